"""The end of a run's time, here and sent elsewhere."""

import pickle
from types import SimpleNamespace

import pytest

from taskinity_data.execution.worker import deadline
from taskinity_data.execution.worker.deadline import Deadline


@pytest.fixture
def clock(monkeypatch):
    """The monotonic clock of a machine, to be set; and the machine's name."""
    made = SimpleNamespace(now_s=1_000.0, name="this machine")
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: made.now_s))
    monkeypatch.setattr(deadline, "_clock", lambda: made.name)
    return made


def test_it_comes_nearer_as_time_goes(clock):
    end = Deadline(10.0)
    clock.now_s += 4.0
    assert end.left_s == 6.0
    clock.now_s += 7.0
    assert end.left_s == -1.0


def test_for_processes_of_one_machine_it_is_one_moment_however_long_it_travels(clock):
    sent = pickle.dumps(Deadline(10.0))
    clock.now_s += 4.0
    assert pickle.loads(sent).left_s == 6.0


@pytest.mark.parametrize(
    ("name", "now_s"),
    [("another machine", 1_004.0), (None, 1_004.0), ("this machine", 5.0)],
    ids=["elsewhere", "unknown", "set off"],
)
def test_by_another_clock_what_was_left_at_sending_counts_from_its_arrival(clock, name, now_s):
    sent = pickle.dumps(Deadline(10.0))
    clock.name, clock.now_s = name, now_s
    end = pickle.loads(sent)
    assert end.left_s == 10.0
    clock.now_s += 4.0
    assert end.left_s == 6.0


def test_this_machine_s_clock_has_a_name_where_the_system_gives_one():
    assert deadline._clock() == deadline._clock() != ""
