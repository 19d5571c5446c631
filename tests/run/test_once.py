"""``@td.once``: made once in each process of a run, shared by its threads, closed at its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data import errors
from taskinity_data.checkpoints.code_identity import identify
from taskinity_data.execution.schedulers.children import ChildStrategy
from taskinity_data.execution.worker.job import Item, Job, Step

FRAME = pd.DataFrame({"a": range(40)})
OPTIONS = {"chunk_size": "2 rows", "progress": False, "workers": 2}


def note(folder, what):
    """Leave a line with this process's number; many processes may write at once."""
    with (Path(folder) / "notes").open("a") as file:
        file.write(f"{what} {os.getpid()}\n")


def noted(folder, what):
    """The processes that have noted `what`, in order."""
    lines = (Path(folder) / "notes").read_text().splitlines()
    return [int(pid) for word, pid in map(str.split, lines) if word == what]


def wait_until(condition):
    for _ in range(12_000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise TimeoutError


class Connection:
    def __init__(self, folder):
        self.folder = folder
        note(folder, "connected")

    def close(self):
        note(self.folder, "disconnected")


@td.once
def connect(folder):
    return Connection(folder)


@td.once
def model(folder):
    connect(folder)
    note(folder, "made")
    yield 2
    note(folder, "closed")


def double(chunk, folder):
    note(folder, "ran")
    return len(chunk) * model(folder)


def run(function, folder, **options):
    return td.process(
        FRAME, function, reduce=td.sum(), inputs={"folder": str(folder)}, **(OPTIONS | options)
    )


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_a_value_is_made_once_in_this_process_and_closed_at_the_end(scheduler, tmp_path):
    made = run(double, tmp_path, scheduler=scheduler)
    assert made.value == 80
    assert made.notices == ()
    lines = [line.split()[0] for line in (tmp_path / "notes").read_text().splitlines()]
    # The last one first: what made it may need the other one to its end.
    assert [line for line in lines if line != "ran"] == [
        "connected", "made", "closed", "disconnected"
    ]  # fmt: skip
    assert lines[-2:] == ["closed", "disconnected"]


def test_threads_wait_for_the_one_that_makes_it():
    calls, barrier = [], threading.Barrier(2)

    @td.once
    def value():
        calls.append(1)
        return object()

    def get(chunk):
        barrier.wait(60)
        return value()

    found = td.process(FRAME, get, scheduler="threads", **OPTIONS).value
    assert len(calls) == len(set(map(id, found))) == 1


def test_each_run_makes_its_own_and_a_plain_call_keeps_one_for_the_process(tmp_path):
    assert double(FRAME, str(tmp_path)) == 80
    for _ in range(2):
        run(double, tmp_path, scheduler="threads")
        assert double(FRAME, str(tmp_path)) == 80
    assert len(noted(tmp_path, "made")) == 3
    assert len(noted(tmp_path, "closed")) == 2


def test_all_tasks_of_a_flow_share_it(tmp_path):
    @td.task
    def begin(folder):
        model(folder)
        return list(range(4))

    @td.task
    def add(number, folder):
        return number + model(folder)

    @td.task
    def total(numbers, folder):
        return sum(numbers) * model(folder)

    @td.flow
    def calculate(folder):
        return total(add.map(begin(folder), folder=folder), folder)

    found = td.run_flow(calculate, folder=str(tmp_path), scheduler="threads", progress=False)
    assert found.value == 28
    assert len(noted(tmp_path, "made")) == len(noted(tmp_path, "closed")) == 1


def test_a_value_is_kept_for_each_set_of_arguments():
    made = []

    @td.once
    def value(name, *, size=1):
        made.append((name, size))
        return name * size

    def get(chunk):
        return value("a") + value("b", size=2) + value(name="a")

    assert set(td.process(FRAME, get, scheduler="threads", **OPTIONS).value) == {"abba"}
    assert made == [("a", 1), ("b", 2), ("a", 1)]
    with pytest.raises(TypeError, match=r"@once: value\(\) takes hashable arguments"):
        value({})


def test_an_error_while_it_is_made_is_the_chunks_and_a_retry_makes_it(tmp_path):
    tries = []

    @td.once
    def value():
        tries.append(1)
        if len(tries) < 3:
            raise OSError("the service is starting")
        return 1

    def get(chunk):
        return value()

    with pytest.raises(errors.FlowFailed, match="OSError: the service is starting"):
        td.process(FRAME, get, scheduler="synchronous", **OPTIONS)
    made = td.process(FRAME, get, scheduler="synchronous", retries=1, retry_delay=0, **OPTIONS)
    assert sum(made.value) == 20
    assert len(tries) == 3
    assert made.outcomes.attempts.tolist()[:2] == [2, 1]


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize(
    ("error", "raised"),
    [(ValueError("five"), errors.FlowFailed), (KeyboardInterrupt(), KeyboardInterrupt)],
    ids=["failure", "interrupt"],
)
def test_it_is_closed_too_where_the_run_fails_or_is_interrupted(error, raised, scheduler, tmp_path):
    def fail(chunk, folder):
        model(folder)
        if isinstance(error, ValueError):
            raise error
        if chunk["a"].iloc[0] == 0:  # a second one would stop the run at once
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(raised):
        run(fail, tmp_path, scheduler=scheduler)
    assert len(noted(tmp_path, "made")) == len(noted(tmp_path, "closed")) == 1


def test_what_can_not_be_closed_is_a_notice_and_the_others_are_closed(tmp_path):
    @td.once
    def broken():
        connect(str(tmp_path))
        yield 1
        raise OSError("the disk is full")

    made = td.process(FRAME, lambda chunk: broken(), scheduler="threads", **OPTIONS)
    assert made.notices == ("@once: closing broken raised OSError: the disk is full",)
    assert len(noted(tmp_path, "disconnected")) == 1


def test_what_can_not_make_a_value_is_refused():
    async def fetch():
        return 1

    with pytest.raises(errors.BindError, match="@once on fetch: it is an async function"):
        td.once(fetch)
    with pytest.raises(errors.BindError, match="@once on 3: it is not callable"):
        td.once(3)


def test_its_code_is_part_of_a_functions_identity_and_nothing_else_of_it():
    def digest(function):
        value = td.once(function)
        return identify({"task": lambda chunk: value()}).digest

    assert digest(lambda: 1) == digest(lambda: 1) is not None
    assert digest(lambda: 1) != digest(lambda: 2)


@pytest.mark.thorough
@pytest.mark.parametrize("scheduler", ["threads", "processes"])
@pytest.mark.parametrize("timeout", [None, "60s"], ids=["plain", "timed"])
def test_each_process_makes_one_and_closes_it_at_the_end(scheduler, timeout, tmp_path):
    made = run(double, tmp_path, scheduler=scheduler, timeout=timeout)
    assert (made.value, made.notices) == (80, ())
    pids = noted(tmp_path, "made")
    assert sorted(pids) == sorted(set(noted(tmp_path, "ran")))
    assert sorted(pids) == sorted(noted(tmp_path, "closed"))
    assert (os.getpid() in pids) == (scheduler == "threads" and timeout is None)


@pytest.mark.thorough
def test_a_process_that_is_left_alone_for_long_closes_what_it_has(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sitecustomize.py").write_text(
        "import taskinity_data.execution.worker.child_main as child\nchild.IDLE_S = 0.0\n"
    )
    run(double, tmp_path, scheduler="threads", workers=1, timeout="60s", chunk_size="40 rows")
    assert noted(tmp_path, "made") == noted(tmp_path, "closed")


@pytest.mark.thorough
def test_the_children_that_a_run_goes_over_to_have_their_own(tmp_path):
    children = ChildStrategy(2, 1 << 30)
    try:
        step = Step("P", lambda value: double([value], str(tmp_path)))
        loaded = children.load(Job("P", ((step,),), session_id="run"))
        items = [Item(f"k{number}", number, number) for number in range(4)]
        pending = [children.submit(loaded, [item], item.key) for item in items]
        assert all(future.result(60)[0].values[0][1] == 2 for future in pending)
        assert children.close_values("another") == []
        assert noted(tmp_path, "closed") == []
        assert children.close_values("run") == []
        assert sorted(noted(tmp_path, "made")) == sorted(noted(tmp_path, "closed"))
    finally:
        children.close()


@pytest.mark.thorough
def test_a_cluster_keeps_its_workers_and_runs_on_it_share_nothing(tmp_path):
    from distributed import LocalCluster

    def fail(chunk, folder):
        folder = Path(folder)
        if chunk["a"].iloc[0] == 0:
            wait_until((folder / "runs").exists)
            model(str(folder))
            raise ValueError("five")
        (folder / "runs").touch()
        wait_until((folder / "run-has-ended").exists)
        try:
            model(str(folder))
        except RuntimeError:
            note(folder, "refused")

    @td.once
    def broken():
        yield 1
        raise OSError("the disk is full")

    options = {"threads_per_worker": 2, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=2, **options) as cluster:
        first, second, third = (tmp_path / name for name in "abc")
        for folder in (first, second, third):
            folder.mkdir()
        assert run(double, first, scheduler=cluster, workers=None).value == 80
        assert run(double, second, scheduler=cluster, workers=None, timeout="60s").value == 80
        with pytest.raises(errors.FlowFailed):
            run(fail, third, scheduler=cluster, workers=None)
        assert len(noted(third, "made")) == len(noted(third, "closed")) == 1
        (third / "run-has-ended").touch()
        wait_until(lambda: noted(third, "refused"))
        for folder in (first, second, third):
            pids = noted(folder, "made")
            assert len(pids) == len(set(pids))
            assert sorted(pids) == sorted(noted(folder, "closed"))
        assert set(noted(first, "made")) == set(noted(first, "ran"))
        made = td.process(FRAME, lambda chunk: broken(), scheduler=cluster, **OPTIONS)
        assert set(made.notices) == {"@once: closing broken raised OSError: the disk is full"}


@pytest.mark.thorough
def test_in_an_executor_it_is_closed_with_the_processes(tmp_path):
    with ProcessPoolExecutor(2) as pool:
        assert run(double, tmp_path, scheduler=pool).value == 80
    pids = noted(tmp_path, "made")
    assert sorted(pids) == sorted(set(noted(tmp_path, "ran"))) == sorted(noted(tmp_path, "closed"))


@pytest.mark.thorough
@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_ctrl_c_closes_it_once_what_runs_has_ended(scheduler, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, pathlib, sys, threading
            import pandas as pd
            import taskinity_data as td

            @td.once
            def model(folder):
                yield 1
                (folder / f"closed-{os.getpid()}").touch()

            def slow(chunk, folder):
                model(folder)
                (folder / f"made-{os.getpid()}").touch()
                threading.Event().wait(0.1)

            td.process(pd.DataFrame({"a": range(10_000)}), slow, scheduler=sys.argv[1],
                       chunk_size="1 rows", workers=2, inputs={"folder": pathlib.Path(sys.argv[2])})
            """
        )
    )
    with subprocess.Popen(
        [sys.executable, str(script), scheduler, str(tmp_path)], stderr=subprocess.PIPE, text=True
    ) as child:
        wait_until(lambda: list(tmp_path.glob("made-*")))
        child.send_signal(signal.SIGINT)
        logged = child.communicate(timeout=120)[1]
    assert "KeyboardInterrupt" in logged
    made, closed = (
        {path.name.partition("-")[2] for path in tmp_path.glob(f"{what}-*")}
        for what in ("made", "closed")
    )
    assert made == closed != set()


def test_ctrl_c_while_it_is_closed_does_not_say_that_the_run_stopped():
    @td.once
    def model():
        yield 1
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(
        KeyboardInterrupt, match=r"already ended \(COMPLETED\); for its result, see error\.run"
    ) as caught:
        td.process(FRAME, lambda chunk: model(), scheduler="threads", progress=False)
    assert str(caught.value.run.status) == "COMPLETED"
    assert caught.value.run.value


@pytest.mark.thorough
def test_outside_of_a_run_it_is_closed_when_the_process_ends(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import taskinity_data as td\n"
        "@td.once\n"
        "def value():\n"
        "    print('made')\n"
        "    yield 1\n"
        "    print('closed')\n"
        "print(value() + value())\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["made", "2", "closed"]
