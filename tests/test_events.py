import inspect
import pickle
from dataclasses import FrozenInstanceError

import pytest

from taskinity_data import events
from taskinity_data.events import Event, Observer
from taskinity_data.execution.worker.job import Item
from taskinity_data.outcome import Outcome, RunStatus, Status
from taskinity_data.outcome_block import OutcomeBlock

OUTCOME = Outcome("ProcessChunk", "ProcessChunk-1f", Status.COMPLETED)
ITEM = Item("1f", 7)
EVENTS = [
    Event("r1", 1.0),
    events.RunStarted("r1", 1.0, "Flights", ("DataPreparation", "ProcessChunk")),
    events.SchedulerChanged("r1", 1.0, "threads", 2, "reducers free the GIL"),
    events.TaskStarted("r1", 1.0, "ProcessChunk"),
    events.TaskFinished("r1", 1.0, "ProcessChunk", OUTCOME),
    events.FanOutGrew("r1", 1.0, "ProcessChunk", 4, 400, None, is_final=False),
    events.ChunkSubmitted("r1", 1.0, "ProcessChunk", "ProcessChunk-1f", 100),
    events.ChunkRetried("r1", 1.0, "ProcessChunk", "ProcessChunk-1f", "in 1 s", OUTCOME),
    events.ChunkFinished("r1", 1.0, "ProcessChunk", OUTCOME),
    events.ChunksSubmitted("r1", 1.0, "ProcessChunk", [ITEM]),
    events.ChunksCompleted("r1", 1.0, "ProcessChunk", [ITEM], OutcomeBlock("ProcessChunk", "w")),
    events.Notice("r1", 1.0, "20 finished chunks were reused"),
    events.SizeChanged("r1", 1.0, "ProcessChunk", 2**20, "chunks took 20 ms"),
    events.RunFinished("r1", 2.0, RunStatus.COMPLETED),
]


def test_every_kind_of_event_is_looked_at_here():
    kinds = {
        kind for _, kind in inspect.getmembers(events, inspect.isclass) if issubclass(kind, Event)
    }
    assert {type(event) for event in EVENTS} == kinds


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_survives_pickling(event):
    assert pickle.loads(pickle.dumps(event)) == event


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_cannot_be_changed(event):
    with pytest.raises(FrozenInstanceError):
        event.run_id = "r2"


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_says_of_which_run_and_when(event):
    assert event.run_id == "r1"
    assert event.at_s in (1.0, 2.0)


def test_an_observer_may_leave_out_whatever_it_does_not_need():
    class Listens(Observer):
        pass

    listener = Listens()
    assert listener.on_event(EVENTS[0]) is None
    assert listener.on_tick(1.0) is listener.close() is None


def test_the_exported_names_are_all_events_and_the_observer():
    assert events.__all__ == sorted(events.__all__)
    assert set(events.__all__) == {type(event).__name__ for event in EVENTS} | {"Observer"}
