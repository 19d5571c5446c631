"""The time for which a thread could run, but had no core."""

from __future__ import annotations

from taskinity_data.execution.worker.job import Item, Job, Step
from taskinity_data.execution.worker.run_item import run_item
from taskinity_data.execution.worker.thread_time import MAX_AGE_S, queued_seconds


def test_a_thread_knows_for_how_long_it_had_no_core():
    read_s = queued_seconds(100.0)
    assert read_s >= 0.0
    assert queued_seconds(100.0) == read_s  # not read again at once
    assert queued_seconds(101.0) >= read_s
    outcome = run_item(Job("P", ((Step("P", len),),)), Item("k", "text"))
    (attempt,) = outcome.attempts
    assert 0.0 <= attempt.queued_s <= attempt.duration_s + MAX_AGE_S
    assert attempt.work_s >= attempt.cpu_s
