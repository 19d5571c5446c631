"""What a driver does while all is busy, or while its pool has trouble to start."""

from __future__ import annotations

import sys
import threading

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data import errors
from taskinity_data.execution.window import Window

pytestmark = pytest.mark.thorough

FRAME = pd.DataFrame({"n": range(4)})


def test_processes_that_never_start_end_the_run_with_the_reason(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(errors.FlowFailed, match="no child process could be started") as caught:
        td.process(
            FRAME, len, scheduler="processes", workers=1, chunk_size="1 rows", on_error="skip"
        )
    # No chunk is to blame.
    assert caught.value.run.ledger.at["not_run", "rows"] == len(FRAME)


def test_a_retry_that_waits_for_room_costs_no_time_of_the_driver(monkeypatch, tmp_path):
    waits, go_on = [], threading.Event()
    real = Window.wait

    def wait(self, timeout_s):
        waits.append(timeout_s)
        if len(waits) == 15:
            go_on.set()
        return real(self, timeout_s)

    monkeypatch.setattr(Window, "wait", wait)
    tried = threading.Lock()

    def work(chunk):
        n = int(chunk.n.iloc[0])
        mark = tmp_path / str(n)
        with tried:
            is_first = not mark.exists()
            mark.touch()
        if n == 0 and is_first:
            raise OSError("not now")
        if n in (1, 2):
            # Both threads are taken from before the retry is due until the driver has looked up.
            go_on.wait(20)
        return n

    # Two run and two wait, so that there is no room for the one that is due.
    run = td.process(
        pd.DataFrame({"n": range(8)}), work, scheduler="threads", workers=2, chunk_size="1 rows",
        retries=1, retry_delay="50ms",
    )  # fmt: skip
    assert run.value == list(range(8))
    # All of these look-ups waited for something to end: none asked again at once, and again.
    assert waits.count(0.0) <= 4
