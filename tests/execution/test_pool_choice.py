"""Leaving threads for a pool of processes: no run waits for a pool that it did not use."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from types import SimpleNamespace

import distributed
import pandas as pd
import psutil
import pytest
from shared_lock import see_shared_lock

import taskinity_data as td
from taskinity_data.execution import choose_scheduler as choose
from taskinity_data.execution.schedulers import connect
from taskinity_data.execution.schedulers.pool_start import PoolStart, wait_for_unused_pools
from taskinity_data.execution.worker.run_item import Job, Step
from taskinity_data.outcome import Attempt

FRAME = pd.DataFrame({"n": range(60)})
WAIT_S = 60.0
"""Longer than anything here takes; only a failing test waits for it."""


@pytest.fixture
def held_start(monkeypatch, tmp_path):
    """Dask's local cluster, held: the file that says so, and the event that lets it start."""
    asked, may_start = tmp_path / "asked", threading.Event()
    real = distributed.LocalCluster

    def start(*args, **options):
        asked.touch()
        may_start.wait(WAIT_S)
        return real(*args, **options)

    monkeypatch.setattr(distributed, "LocalCluster", start)
    yield asked, may_start
    may_start.set()


@pytest.fixture
def shared_lock(monkeypatch):
    see_shared_lock(monkeypatch)


def wait_for(path):
    for _ in range(6000):
        if path.exists():
            return
        threading.Event().wait(0.01)
    raise TimeoutError(path)


def _end_of(threads):
    for thread in threads:
        thread.join(WAIT_S)
    return [thread.name for thread in threads if thread.is_alive()]


def test_the_answer_does_not_wait_for_a_pool_that_is_still_starting(held_start, shared_lock):
    asked, may_start = held_start
    before, children = set(threading.enumerate()), psutil.Process().children(recursive=True)

    def work(chunk):
        if chunk.n.iloc[0]:
            wait_for(asked)
        else:
            threading.Event().wait(0.5)  # so long that 60 of them make processes pay
        return int(chunk.n.sum())

    run = td.process(FRAME, work, reduce=sum, workers=2, chunk_size="1 rows")
    assert asked.exists()
    assert not may_start.is_set()
    assert run.value == sum(range(60))
    assert run.scheduler == "threads"
    assert "ended before" in run.scheduler_reason
    may_start.set()
    started = [one for one in threading.enumerate() if one not in before and not one.daemon]
    assert _end_of(started) == []
    left = set(psutil.Process().children(recursive=True)) - set(children)
    assert [one for one in left if "resource_tracker" not in " ".join(one.cmdline())] == []


def test_a_pool_is_started_only_once_one_that_was_given_up_has_ended():
    begun, ends, closed = (threading.Event() for _ in range(3))

    class Pool:
        def abort(self):
            return False

        def close(self):
            ends.wait()
            closed.set()

    def start():
        begun.set()
        return Pool()

    starting = PoolStart(start, lambda: None)
    assert begun.wait(WAIT_S)
    starting.give_up()
    waiting = threading.Thread(target=wait_for_unused_pools)
    waiting.start()
    assert not closed.is_set()
    ends.set()
    waiting.join(WAIT_S)
    assert closed.is_set()


@pytest.mark.thorough
def test_a_script_that_ends_while_a_pool_is_starting_leaves_no_process(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import threading
        from pathlib import Path
        import distributed
        import pandas as pd
        import taskinity_data as td
        from taskinity_data.execution.schedulers.lock_watch import LockWatch

        def look(watch, now_s, *_, **__):
            watch.begun_s = watch.begun_s or now_s
            watch.runs_alone, watch.is_shared = False, True

        LockWatch.look = look
        asked = Path({str(tmp_path / "asked")!r})
        real = distributed.LocalCluster

        def start(*args, **options):
            asked.touch()
            return real(*args, **options)

        distributed.LocalCluster = start

        def work(chunk):
            if chunk.n.iloc[0]:
                while not asked.exists():
                    threading.Event().wait(0.01)
            else:
                threading.Event().wait(0.5)
            return int(chunk.n.sum())

        frame = pd.DataFrame({{"n": range(60)}})
        print(td.process(frame, work, reduce=sum, workers=2, chunk_size="1 rows").value)
        """)
    )
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    ) as child:
        try:
            out, err = child.communicate(timeout=WAIT_S)
        finally:
            child.kill()
    assert (out, err, child.returncode) == ("1770\n", "", 0)
    # Python's own resource tracker ends by itself once it sees that the script is gone.
    left = [psutil.Process(pid) for pid in psutil.pids() if _session(pid) == child.pid]
    _, alive = psutil.wait_procs(left, timeout=WAIT_S)
    assert alive == []


def _session(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


class Pool:
    """A pool of processes that never runs anything, and that says when it was closed."""

    name, workers, memory_nbytes, dashboard_link, crosses_processes = (
        "processes",
        2,
        None,
        None,
        True,
    )

    def __init__(self):
        self.closed = threading.Event()

    def check(self, paths):
        """It sees all files."""

    def close(self):
        self.closed.set()


@pytest.fixture
def moved(monkeypatch, shared_lock):
    """A chooser whose run has gone over to a pool, and what it announced."""
    monkeypatch.setattr(connect, "open_strategy", lambda *_: Pool())
    announced, ready = [], threading.Event()
    chooser = choose.SchedulerChoice(
        None,
        2,
        None,
        stays_in_threads=False,
        announce=lambda strategy, _: announced.append(strategy.name),
    )
    fan_out = SimpleNamespace(
        name="A", job=Job("A", ((Step("A", len),),)), estimate_remaining_s=lambda *_: 60.0
    )
    threads = chooser.strategy
    _end_items(chooser, threads, 8, seconds=1.0, cpu_s=0.5)
    chooser.look([fan_out], 2, 0.0, ready.set)
    assert ready.wait(WAIT_S)
    chooser.refresh()
    yield chooser, threads, announced
    chooser.close()


def _end_items(chooser, strategy, count, *, seconds, cpu_s, at=0.0):
    """Two workers end so many items each, one after another: what they took is given, not timed."""
    for number in range(count):
        attempt = Attempt(1, at + number * seconds, seconds, "w", cpu_s=cpu_s)
        for _ in range(2):
            chooser.compare("A", strategy, attempt, 100)


def test_a_run_goes_back_to_threads_where_processes_do_no_more_a_second(moved):
    chooser, threads, announced = moved
    _end_items(chooser, chooser.strategy, 12, seconds=1.2, cpu_s=0.1, at=20.0)
    assert chooser.strategy is threads
    assert "no faster" in chooser.reason
    assert announced == ["threads", "processes", "threads"]


def test_a_run_stays_in_processes_where_they_do_more_a_second(moved):
    chooser, threads, announced = moved
    _end_items(chooser, chooser.strategy, 12, seconds=0.6, cpu_s=0.1, at=20.0)
    assert chooser.strategy is not threads
    assert announced == ["threads", "processes"]


def test_rows_that_get_dearer_along_a_file_are_no_reason_to_go_back(moved):
    # Twice the work a byte: each takes as long as in threads, but both compute at once.
    chooser, threads, _ = moved
    _end_items(chooser, chooser.strategy, 12, seconds=1.0, cpu_s=1.0, at=20.0)
    assert chooser.strategy is not threads


def test_what_a_worker_loads_for_its_first_items_does_not_count(moved):
    chooser, threads, _ = moved
    _end_items(chooser, chooser.strategy, 1, seconds=30.0, cpu_s=30.0, at=20.0)
    _end_items(chooser, chooser.strategy, 12, seconds=0.6, cpu_s=0.1, at=50.0)
    assert chooser.strategy is not threads


def test_one_thread_computes_while_processes_start(held_start, shared_lock, monkeypatch):
    _, may_start = held_start
    chooser = choose.SchedulerChoice(
        None, 4, None, stays_in_threads=False, announce=lambda *_: None, clock=lambda: 1.0
    )
    left_s = 60.0
    fan_out = SimpleNamespace(
        name="A", job=Job("A", ((Step("A", len),),)), estimate_remaining_s=lambda *_: left_s
    )
    try:
        assert chooser.limit(8) == 1  # the first chunk
        left_s = 0.5
        chooser.look([fan_out], 2, 0.0, lambda: None)
        assert "too little" in chooser.reason
        assert chooser.limit(8) == 4  # none waits in a queue before one has ended
        _end_items(chooser, chooser.strategy, 1, seconds=0.1, cpu_s=0.1)
        assert chooser.limit(8) == 8
        left_s = 60.0
        chooser.look([fan_out], 2, 0.0, lambda: None)
        assert chooser.limit(8) == 1
        assert "blocked each other" in chooser.reason
    finally:
        may_start.set()
        chooser.close()
        wait_for_unused_pools()


def test_a_job_that_can_not_be_sent_stays_in_threads(shared_lock):
    chooser = choose.SchedulerChoice(
        None, 2, None, stays_in_threads=False, announce=lambda *_: None
    )
    lock = threading.Lock()
    job = Job("A", ((Step("A", lambda chunk: lock),),))
    fan_out = SimpleNamespace(name="A", job=job, estimate_remaining_s=lambda *_: 60.0)
    chooser.look([fan_out], 2, 0.0, lambda: None)
    assert "processes would be faster, but" in chooser.reason
    assert chooser.limit(4) == 4
    chooser.close()
