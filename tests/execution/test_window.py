"""Batches on their way: which of those that end are taken in together."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from taskinity_data.execution.schedulers.base import Strategy
from taskinity_data.execution.window import Window
from taskinity_data.execution.worker.job import Item, Job
from taskinity_data.outcome import Attempt, Outcome, Status


class Manual(Strategy):
    """May have so many batches."""

    name = "manual"
    workers = 1

    def __init__(self, limit, *, queues):
        self._limit, self._queues = limit, queues

    @property
    def queues(self):
        return self._queues

    def window(self, batch_s):
        return self._limit

    def load(self, job):
        return job

    def submit(self, loaded, items, key):
        return Future()

    def close(self):
        pass


class Paused(Window):
    """Ends one more batch while it pauses."""

    def __init__(self):
        super().__init__()
        self.paused_s = []
        self.pending = []

    def pause(self, seconds):
        self.paused_s.append(seconds)
        self.end(1.0)

    def fill(self, strategy, batches, *, has_more):
        items = [Item(str(number), data=number, position=number) for number in range(batches)]
        self.pending += self.submit(
            "Task", [[item] for item in items], strategy, Job("Task", ((),))
        )
        assert self.limit(strategy, has_more=has_more) >= batches

    def end(self, seconds):
        outcome = Outcome("Task", "key", Status.COMPLETED, (Attempt(1, 0.0, seconds, "worker"),))
        self.pending.pop().set_result([outcome])


def make_window(batches, batch_s, *, queues=True, share=1.0, has_more=True):
    """A window that has learned how long a batch takes, with that share of what there may be."""
    strategy, window = Manual(round(batches / share), queues=queues), Paused()
    window.fill(strategy, batches, has_more=has_more)
    window.end(batch_s)
    assert len(window.wait(5)) == 1
    assert not window.paused_s
    window.end(batch_s)
    return window


@pytest.mark.parametrize(("batches", "batch_s", "pause_s"), [(300, 2.0, 0.1), (60, 0.1, 0.01)])
def test_what_ends_soon_after_is_taken_in_too_where_much_runs(batches, batch_s, pause_s):
    window = make_window(batches, batch_s)
    assert len(window.wait(5)) == 2
    assert window.paused_s == [pytest.approx(pause_s)]


@pytest.mark.parametrize(
    ("batches", "batch_s", "queues"),
    [(20, 1.0, True), (4, 0.0, True), (1000, 0.0, True), (300, 1.0, False)],
)
def test_nothing_waits_where_little_ends_or_nothing_is_queued(batches, batch_s, queues):
    window = make_window(batches, batch_s, queues=queues)
    assert len(window.wait(5)) == 1
    assert not window.paused_s


def test_nothing_waits_where_there_is_room_for_more():
    window = make_window(200, 0.1, share=0.8)
    assert len(window.wait(5)) == 1
    assert not window.paused_s


def test_what_ends_soon_after_is_taken_in_too_where_all_is_handed_out():
    window = make_window(200, 0.1, share=0.5, has_more=False)
    assert len(window.wait(5)) == 2
    assert window.paused_s == [pytest.approx(0.01)]
