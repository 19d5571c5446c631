"""Leaving threads for child processes: when they are started, and that no run waits for them."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import psutil
import pytest
from shared_lock import see_shared_lock

import taskinity_data as td
from taskinity_data.execution import choose_scheduler as choose
from taskinity_data.execution.schedulers.children import ChildStrategy
from taskinity_data.execution.window import Window
from taskinity_data.execution.worker.job import Job, Step
from taskinity_data.execution.worker.thread_time import LockWatch

FRAME = pd.DataFrame({"n": range(60)})
WAIT_S = 300
"""Longer than anything here takes; only a failing test waits for it."""


@pytest.fixture(autouse=True)
def shared_lock(monkeypatch):
    see_shared_lock(monkeypatch)


def wait_for(path):
    for _ in range(100 * WAIT_S):
        if path.exists():
            return
        threading.Event().wait(0.01)
    raise TimeoutError(path)


def wait_in_child(here, asked):
    """What an input is loaded with: in another process than `here` it does not come to its end."""
    if os.getpid() != here:
        asked.touch()
        threading.Event().wait(WAIT_S)
    return here


class SlowToLoad:
    def __init__(self, asked):
        self.asked, self.here = asked, os.getpid()

    def __reduce__(self):
        return wait_in_child, (self.here, self.asked)


def test_the_answer_does_not_wait_for_processes_that_are_still_starting(tmp_path):
    slow = SlowToLoad(tmp_path / "asked")
    before = {one.pid for one in psutil.Process().children(recursive=True)}

    def work(chunk):
        if chunk.n.iloc[0]:
            wait_for(slow.asked)
        else:
            threading.Event().wait(0.5)  # so long that 60 of them make processes pay
        return int(chunk.n.sum())

    run = td.process(FRAME, work, reduce=sum, workers=2, chunk_size="1 rows")
    assert run.value == sum(range(60))
    assert run.scheduler == "threads"
    assert "ended before" in run.scheduler_reason
    left = {one.pid for one in psutil.Process().children(recursive=True)} - before
    assert not left


def work_here_and_there(folder):
    """A chunk function that lets the first chunk run on until a child has had one."""
    here, first, started = os.getpid(), folder / "first", folder / "started"

    def work(chunk):
        if os.getpid() != here:
            started.touch()
        elif first.exists():
            wait_for(started)
        else:
            threading.Event().wait(0.3)
            first.touch()
        return os.getpid()

    return work


def test_a_run_moves_to_processes_and_its_first_chunks_count(tmp_path):
    run = td.process(FRAME, work_here_and_there(tmp_path), workers=2, chunk_size="1 rows")
    assert run.scheduler == "processes"
    assert run.dashboard_link is None
    assert os.getpid() in run.value
    assert len(set(run.value)) > 1
    assert "left" in run.scheduler_reason


def test_a_later_fan_out_that_can_not_be_sent_runs_in_threads(tmp_path):
    lock = threading.Lock()

    def count(rows, pid):
        with lock:
            return os.getpid()

    flow = td.parse_flow("flow F:\n    Rows -> Pid[*] -> Pids -> Count[*] -> Counts\n")
    steps = {
        "rows": lambda: FRAME,
        "pid": work_here_and_there(tmp_path),
        "pids": lambda pid: list(range(len(pid))),
        "count": lambda pids: count(pids, pids),
        "counts": lambda count: set(count),
    }
    run = td.run_flow(flow.bind(steps), workers=2, chunk_size="1 rows", progress=False)
    assert run.scheduler == "processes"
    assert run.value == {os.getpid()}


def test_results_that_can_not_be_sent_come_from_threads_again(tmp_path):
    work = work_here_and_there(tmp_path)

    def lock_where_it_ran(chunk):
        return work(chunk), threading.Lock()

    run = td.process(FRAME, lock_where_it_ran, workers=2, chunk_size="1 rows")
    assert run.scheduler == "processes"
    assert {pid for pid, _ in run.value} == {os.getpid()}
    assert len(run.value) == len(FRAME)
    # After two seconds the journal has a notice of its own.
    (notice,) = [notice for notice in run.notices if "in threads again" in notice]
    assert "runs in threads again: the result (tuple) can't be sent back" in notice


def exit_in_child(here):
    if os.getpid() != here:
        raise ValueError("not here")
    return here


class LoadsHereAlone:
    def __init__(self):
        self.here = os.getpid()

    def __reduce__(self):
        return exit_in_child, (self.here,)


def test_a_job_that_can_not_be_unpacked_there_stays_in_threads():
    only_here = LoadsHereAlone()
    chooser, fan_out = open_chooser(lambda chunk: only_here)
    woken = threading.Event()
    chooser.look([fan_out], 2, 0.0, woken.set)
    threads = chooser.strategy
    while chooser.strategy is threads and "did not start" not in chooser.reason:
        assert woken.wait(WAIT_S)
        woken.clear()
        chooser.refresh()
    assert chooser.strategy is threads
    assert "can't be unpacked in a child process: ValueError: not here" in chooser.reason
    assert chooser.limit(4) == 4
    chooser.close()


def open_chooser(function, workers=2):
    chooser = choose.SchedulerChoice(
        None, workers, None, stays_in_threads=False, announce=lambda *_: None, clock=lambda: 1.0
    )
    job = Job("A", ((Step("A", function),),))
    fan_out = SimpleNamespace(name="A", job=job, ended=0, estimate_remaining_s=lambda *_: 60.0)
    return chooser, fan_out


def test_one_thread_computes_while_processes_start(monkeypatch):
    monkeypatch.setattr(ChildStrategy, "has_started", False)
    chooser, fan_out = open_chooser(len, workers=4)
    assert chooser.limit(8) == 1  # the first chunk
    fan_out.estimate_remaining_s = lambda *_: 0.5
    chooser.look([fan_out], 2, 0.0, lambda: None)
    assert "too little" in chooser.reason
    assert chooser.limit(8) == 1
    fan_out.estimate_remaining_s = lambda *_: 60.0
    chooser.look([fan_out], 2, 0.0, lambda: None)
    assert chooser.limit(8) == 1
    assert "blocked each other" in chooser.reason
    chooser.refresh()
    assert chooser.limit(8) == 1
    chooser.close()


def test_no_chunk_waits_in_a_queue_before_one_has_ended(monkeypatch):
    def look(watch, now_s, *_, **__):
        watch.begun_s, watch.runs_alone, watch.is_shared = now_s, False, False

    monkeypatch.setattr(LockWatch, "look", look)
    chooser, fan_out = open_chooser(len, workers=4)
    chooser.look([fan_out], 2, 0.0, lambda: None)
    assert chooser.limit(8) == 4
    fan_out.ended = 1
    chooser.look([fan_out], 2, 0.0, lambda: None)
    assert chooser.limit(8) == 8
    assert "do not block each other" in chooser.reason
    chooser.close()


def test_no_thread_idles_once_the_first_chunk_has_ended(monkeypatch):
    def look(watch, now_s, *_, has_ended):
        watch.begun_s, watch.runs_alone = now_s, not has_ended

    def wait(window, timeout_s):
        if ended:
            in_flight.append(len(window))
        finished = wait_as_ever(window, timeout_s)
        ended.extend(finished)
        return finished

    in_flight, ended, wait_as_ever = [], [], Window.wait
    monkeypatch.setattr(LockWatch, "look", look)
    monkeypatch.setattr(Window, "wait", wait)
    threads, both = set(), threading.Event()

    def work(chunk):
        if chunk.n.iloc[0]:
            threads.add(threading.get_ident())
            if len(threads) == 2:
                both.set()
            assert both.wait(WAIT_S)

    td.process(FRAME, work, workers=2, chunk_size="1 rows", progress=False)
    assert in_flight[0] > 1


def test_others_begin_while_the_first_chunk_still_runs(monkeypatch):
    def look(watch, now_s, *_, **__):
        watch.begun_s, watch.runs_alone = now_s, False

    def wait(window, timeout_s):
        in_flight.append(len(window))
        return wait_as_ever(window, timeout_s)

    in_flight, wait_as_ever, both = [], Window.wait, threading.Barrier(2, timeout=WAIT_S)
    monkeypatch.setattr(LockWatch, "look", look)
    monkeypatch.setattr(Window, "wait", wait)
    td.process(FRAME, lambda chunk: both.wait(), workers=2, chunk_size="30 rows", progress=False)
    assert in_flight[0] == 2


def test_a_job_that_can_not_be_sent_stays_in_threads():
    lock = threading.Lock()
    chooser, fan_out = open_chooser(lambda chunk: lock)
    chooser.look([fan_out], 2, 0.0, lambda: None)
    assert "processes would be faster, but" in chooser.reason
    assert chooser.limit(4) == 4
    chooser.close()


def test_a_function_that_ends_its_process_costs_its_own_chunk_alone(tmp_path):
    here, work = os.getpid(), work_here_and_there(tmp_path)

    def end_at_50(chunk):
        if os.getpid() != here and chunk.n.iloc[0] == 50:
            os._exit(3)
        return work(chunk)

    run = td.process(FRAME, end_at_50, workers=2, chunk_size="1 rows", max_failures=1)
    assert run.status == "PARTIAL"
    assert len(run.value) == 59
    (failure,) = run.failures.itertuples()
    assert "exit code 3" in str(failure.error)


def test_output_is_written_by_processes_too(tmp_path):
    written = tmp_path / "out"
    work = work_here_and_there(tmp_path)
    run = td.process(
        FRAME,
        lambda chunk: chunk.assign(pid=work(chunk)),
        output=str(written),
        workers=2,
        chunk_size="1 rows",
    )
    assert run.scheduler == "processes"
    frame = pd.concat(map(pd.read_parquet, sorted(Path(written).glob("*.parquet"))))
    assert sorted(frame.n) == list(range(60))
    assert frame.pid.nunique() > 1
