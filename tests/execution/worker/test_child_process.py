"""Items in child processes: what hangs is ended, what dies is told, and the next one runs."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import psutil
import pytest
from strategy_contract import StrategyContract

import taskinity_data as td
from taskinity_data import errors
from taskinity_data.execution.worker import batches, child_main
from taskinity_data.execution.worker.batches import ChildPool, run_items
from taskinity_data.execution.worker.child_process import describe_death
from taskinity_data.execution.worker.deadline import Deadline
from taskinity_data.execution.worker.job import Guard, Item, Job, Step
from taskinity_data.outcome import Status

pytestmark = pytest.mark.thorough


@pytest.fixture
def nursery(monkeypatch):
    # On a slow machine children that are ended take longer than a batch may.
    monkeypatch.setattr(batches, "MAX_BATCH_S", 600.0)
    made = ChildPool()
    yield made
    made.close()


def guarded(*data, memory_nbytes=None, deadline=None) -> list[Item]:
    limits = Guard(memory_nbytes, deadline)
    return [Item(f"k{number}", one, number, guard=limits) for number, one in enumerate(data)]


def run_all(job, items, nursery) -> list:
    """Run `items`; the outcome of each, also of those that come in a block."""
    return StrategyContract().split(run_items(job, items, nursery), items)


def job_of(*functions, timeout_s=None) -> Job:
    steps = [Step(f"Step{n}", one, timeout_s=timeout_s) for n, one in enumerate(functions)]
    return Job("ProcessChunk", (tuple(steps),))


def hang_in_python(x):
    while x:
        pass
    return x


def hang_with_the_lock_held(x):
    return x and ctypes.PyDLL(None).sleep(600)


def hang_and_ignore_signals(x):
    # A mask holds for the thread in which it is set, which is the one that hangs.
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL})
    return x and time.sleep(600)


HANGS = [hang_in_python, hang_with_the_lock_held, hang_and_ignore_signals]


@pytest.mark.parametrize("hang", HANGS)
def test_a_hang_is_ended_when_its_time_is_up(hang, nursery):
    found = run_all(job_of(hang, timeout_s=1.0), guarded(0, 1, 0), nursery)
    assert [outcome.status for outcome in found] == ["COMPLETED", "FAILED", "COMPLETED"]
    assert str(found[1].failure) == (
        "TimeoutError: Step0 took longer than its timeout of 1 s and was ended"
    )
    assert found[1].duration_s >= 1.0


def test_each_step_has_its_own_time_and_the_failing_one_is_named(nursery):
    pause = threading.Event

    def wait(x):
        pause().wait(0.3)
        return x

    def hang(x):
        pause().wait(600)

    chain = (Step("A", wait, timeout_s=30.0), Step("B", wait), Step("C", hang, timeout_s=0.2))
    (outcome,) = run_all(Job("F", (chain,)), guarded(1), nursery)
    assert outcome.task == "C"
    assert "C took longer than its timeout of 0.2 s" in outcome.failure.message


@pytest.mark.parametrize(
    ("die", "says"),
    [
        (lambda x: x and os._exit(3), "exit code 3"),
        (lambda x: x and ctypes.string_at(0), "signal 11"),
        (lambda x: x and (os.kill(os.getpid(), signal.SIGKILL), time.sleep(600)), "signal 9"),
    ],
    ids=["exit", "crash", "kill"],
)
def test_a_death_says_how_and_with_how_much_memory(die, says, nursery):
    found = run_all(job_of(die), guarded(0, 1, 0, memory_nbytes=2 << 30), nursery)
    assert [outcome.status for outcome in found] == ["COMPLETED", "FAILED", "COMPLETED"]
    failure = found[1].failure
    assert failure.kind == "WorkerDied"
    assert f"Step0: worker process died, {says} (memory: 0." in failure.message
    assert failure.message.endswith("of 2.0 GiB)")
    assert isinstance(failure.error, errors.WorkerDied)


def test_the_words_of_a_death():
    assert describe_death(-9, 2_040_109_466, 2 << 30) == (
        "worker process died, signal 9 (memory: 1.9 of 2.0 GiB)"
    )
    assert describe_death(None, 0, None) == "worker process died"
    assert describe_death(1, 1 << 30, None) == "worker process died, exit code 1 (memory: 1.0 GiB)"


def test_too_much_memory_is_a_memory_error(nursery):
    def eat(x):
        held = []
        while x:
            held.append(b"x" * (8 << 20))

    found = run_all(job_of(eat), guarded(0, 1, 0, memory_nbytes=400 << 20), nursery)
    assert [outcome.status for outcome in found] == ["COMPLETED", "FAILED", "COMPLETED"]
    assert found[1].failure.kind == "MemoryError"
    assert "of 400.0 MiB)" in found[1].failure.message


def test_one_killed_from_outside_with_its_memory_full_took_too_much(nursery):
    def fill(x):
        held = b"x" * (330 << 20)
        # Where this process once held more than the child, only looking tells what the child holds.
        time.sleep(0.5)
        return held and (os.kill(os.getpid(), signal.SIGKILL), time.sleep(600))

    (outcome,) = run_all(job_of(fill), guarded(1, memory_nbytes=520 << 20), nursery)
    assert outcome.failure.kind == "MemoryError"
    assert "worker process died, signal 9 (memory: " in outcome.failure.message


def test_an_interrupt_or_exit_that_a_function_raises_is_its_own(nursery):
    for error in (KeyboardInterrupt, SystemExit):

        def leave(x, error=error):
            raise error

        (outcome,) = run_all(job_of(leave), guarded(1), nursery)
        assert outcome.failure.kind == error.__name__


def test_the_end_of_the_run_ends_what_runs_and_what_waits_with_it(nursery):
    items = guarded(1, 2, deadline=Deadline(0.2))
    found = run_all(job_of(lambda x: time.sleep(600)), items, nursery)
    assert [outcome.key for outcome in found] == ["k0", "k1"]
    assert all("run_timeout" in outcome.failure.message for outcome in found)


def test_items_that_need_no_clock_of_their_own_travel_together(nursery):
    (block,) = run_items(job_of(lambda x: x), guarded(*range(100)), nursery)
    assert [value for _, value in block.values] == list(range(100))


def test_after_a_death_among_several_those_that_would_begin_late_are_left_out(nursery, monkeypatch):
    monkeypatch.setattr(batches, "MAX_BATCH_S", 0.0)
    (block,) = run_items(job_of(lambda x: x and os._exit(3)), guarded(0, 1, 0), nursery)
    assert [value for _, value in block.values] == [0]


@pytest.mark.parametrize(
    ("jump_s", "left_s", "nap_s", "status"),
    [(86_400.0, 600.0, 0, "COMPLETED"), (-86_400.0, 0.2, 600, "FAILED")],
    ids=["forward", "back"],
)
def test_a_clock_that_jumps_does_not_move_the_end_of_the_run(
    jump_s, left_s, nap_s, status, nursery, monkeypatch
):
    wall = time.time
    items = guarded(nap_s, deadline=Deadline(left_s))
    monkeypatch.setattr(time, "time", lambda: wall() + jump_s)
    (outcome,) = run_all(job_of(lambda x: time.sleep(x)), items, nursery)
    assert outcome.status == status


def test_one_child_serves_many_items_and_jobs(nursery):
    def name(x):
        return os.getpid()

    pids = {
        outcome.value[1]
        for job in (job_of(name), job_of(name))
        for outcome in run_all(job, guarded(1, 2, 3), nursery)
    }
    assert len(pids) == 1
    assert pids != {os.getpid()}


def test_a_child_that_went_by_itself_is_replaced_unnoticed(nursery):
    job = job_of(lambda x: os.getpid())
    (first,) = run_all(job, guarded(1), nursery)
    pid = first.value[1]
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)], timeout=0.0)
    (second,) = run_all(job, guarded(1), nursery)
    assert second.status is Status.COMPLETED
    assert second.value[1] != pid


def test_closing_ends_what_hangs_and_what_it_has_started(nursery, tmp_path):
    mark = tmp_path / "pid"

    def start(x):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        mark.with_suffix(".part").write_text(str(child.pid))
        mark.with_suffix(".part").rename(mark)
        time.sleep(600)

    found = []
    thread = threading.Thread(
        target=lambda: found.extend(run_all(job_of(start), guarded(1, 2), nursery))
    )
    thread.start()
    until = time.monotonic() + 60
    while not mark.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    nursery.close()
    thread.join(timeout=120)
    assert not thread.is_alive()
    assert len(found) == 2
    pid = int(mark.read_text())
    until = time.monotonic() + 60
    with contextlib.suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_a_child_ends_with_its_parent_and_by_itself(monkeypatch, tmp_path):
    code = (
        "import os, time\n"
        "from taskinity_data.execution.worker.batches import ChildPool, run_items\n"
        "from taskinity_data.execution.worker.job import Guard, Item, Job, Step\n"
        "def tell(x):\n"
        f"    open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "    return os.kill(os.getppid(), 9), time.sleep(600)\n"
        "run_items(Job('J', ((Step('J', tell),),)), [Item('k', 1, guard=Guard())], ChildPool())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False, timeout=120)
    pid = int((tmp_path / "pid").read_text())
    if psutil.pid_exists(pid):
        gone, _ = psutil.wait_procs([psutil.Process(pid)], timeout=120)
        assert gone
    assert child_main.IDLE_S <= 30


# -- whole runs ------------------------------------------------------------------------------------

FRAME = pd.DataFrame({"n": range(60)})


def test_a_timeout_on_threads_costs_that_chunk_alone():
    def work(chunk):
        if chunk.n.min() == 20:
            time.sleep(600)
        return len(chunk)

    run = td.process(
        FRAME, work, chunk_size="10 rows", scheduler="threads", timeout="2s", on_error="skip"
    )
    assert run.value == [10] * 5
    assert run.failures.start.item() == 20
    assert "timeout of 2 s" in run.failures.error.item()


def test_a_timeout_is_retried_like_any_error(tmp_path):
    def work(chunk):
        mark = tmp_path / f"{chunk.n.min()}"
        if not mark.exists():
            mark.touch()
            time.sleep(600 if chunk.n.min() == 20 else 0)
        return len(chunk)

    run = td.process(
        FRAME, work, chunk_size="20 rows", scheduler="threads", timeout="2s", retries=1,
        retry_delay=0, retry_on=TimeoutError,
    )  # fmt: skip
    assert run.value == [20] * 3
    assert sorted(run.outcomes.attempts) == [1, 1, 1, 2]


def test_synchronous_refuses_a_timeout_and_says_what_to_use():
    with pytest.raises(errors.PlanError, match=r'"threads" or "processes"'):
        td.process(FRAME, len, scheduler="synchronous", timeout="1s")


def test_what_cannot_go_to_a_child_is_named_before_anything_runs():
    lock = threading.Lock()
    with pytest.raises(errors.BindError, match="leave timeout out"):
        td.process(FRAME, lambda chunk: lock, scheduler="threads", timeout="1s")


def test_a_run_timeout_ends_what_hangs():
    def hang(chunk):
        while True:
            pass

    with pytest.raises(errors.FlowFailed, match="run_timeout") as caught:
        td.process(FRAME, hang, scheduler="threads", workers=1, run_timeout="1s")
    assert caught.value.run.ledger.at["not_run", "rows"] in (0, 60)
