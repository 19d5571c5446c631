"""What a real run tells those who listen, and what they may do to it."""

import threading

import pandas as pd
import pytest

import taskinity_data as td


class Listens(td.Observer):
    def __init__(self):
        self.events = []

    def on_event(self, event):
        self.events.append(event)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def process(function, observer, **options):
    frame = pd.DataFrame({"a": range(40)})
    return td.process(
        frame, function, scheduler="threads", workers=1, progress=False, observers=[observer],
        **{"chunk_size": "10 rows", "reduce": sum} | options,
    )  # fmt: skip


def test_time_goes_on_for_observers_while_nothing_ends():
    heard = threading.Event()

    class Clock(Listens):
        def on_tick(self, at_s):
            heard.set()

    run = process(lambda chunk: heard.wait(60), Clock())
    assert run.value == 4


@pytest.mark.parametrize("what", ["on_event", "on_scheduler", "on_tick", "on_ending", "close"])
def test_an_observer_that_raises_costs_no_run(what):
    def refuse(*facts):
        raise RuntimeError("no")

    observer = Listens()
    setattr(observer, what, refuse)
    assert process(len, observer).value == 40


def test_of_an_object_that_is_no_observer_on_event_alone_is_called():
    class Connection:
        """Has methods of its own, some of which have an observer's names."""

        def __init__(self):
            self.calls = []
            self.counts = []

        def on_event(self, event):
            self.counts[-1] += 1

        def __getattr__(self, name):
            return lambda *_, **__: self.calls.append(name)

    connection = Connection()
    for _ in range(2):
        connection.counts.append(0)
        process(len, connection)
    assert connection.calls == []
    assert connection.counts[0] == connection.counts[1] > 4


def test_an_observer_is_told_what_runs_the_tasks_and_is_closed_after_each_run():
    class Listener(td.Observer):
        def __init__(self):
            self.told = []

        def on_scheduler(self, strategy):
            self.told.append((strategy.name, strategy.workers, strategy.dashboard_link))

        def close(self):
            self.told.append("closed")

    listener = Listener()
    for _ in range(2):
        process(len, listener)
    assert listener.told == [("threads", 1, None), "closed"] * 2


def test_how_it_ends_is_told_before_the_workers_are_left():
    said = []

    class Leaves(Listens):
        def on_event(self, event):
            if isinstance(event, td.events.RunFinished):
                said.append("finished")

        def on_ending(self, status, at_s):
            said.append(str(status))

        def close(self):
            said.append("closed")

    process(len, Leaves())
    assert said == ["COMPLETED", "finished", "closed"]


def test_observers_are_closed_where_closing_the_workers_fails(monkeypatch):
    closed = threading.Event()

    class Closes(Listens):
        def close(self):
            closed.set()

    def refuse(self, session_id, *, waits=True):
        raise RuntimeError("they do not close")

    monkeypatch.setattr("taskinity_data.execution.choose_scheduler.SchedulerChoice.close", refuse)
    with pytest.raises(RuntimeError, match="they do not close"):
        process(len, Closes())
    assert closed.is_set()


def test_chunks_are_handed_out_and_tasks_that_run_once_are_not():
    flow = td.parse_flow("flow F:\n    Make -> Each[*] -> All")
    bound = flow.bind({"make": lambda: [1, 2, 3], "each": lambda x: x, "all": sorted})
    observer = Listens()
    td.run_flow(bound, scheduler="threads", workers=1, progress=False, observers=[observer])
    assert {event.task for event in observer.of(td.events.ChunkSubmitted)} == {"Each"}
    # How many items a list has is known before they are handed out.
    grown = observer.of(td.events.FanOutGrew)
    assert {(event.chunks, event.is_final) for event in grown} == {(3, True)}


def test_what_becomes_of_a_split_chunk_can_be_followed():
    def refuse(chunk):
        assert not (chunk["a"] == 5).any()
        return len(chunk)

    observer = Listens()
    run = process(refuse, observer, on_error="bisect")
    assert run.value == 39
    given = {event.key for event in observer.of(td.events.ChunkSubmitted)}
    ended = {event.outcome.key for event in observer.of(td.events.ChunkFinished)}
    split = {event.key: event.parts for event in observer.of(td.events.ChunkRetried)}
    assert given == ended | set(split)
    assert set(split.values()) == {2}
    assert observer.of(td.events.FanOutGrew)[-1].chunks == len(ended)


def test_chunks_of_an_earlier_try_end_with_their_place(tmp_path):
    path = tmp_path / "n.csv"
    pd.DataFrame({"a": range(40)}).to_csv(path, index=False)
    options = {
        "scheduler": "threads", "workers": 1, "progress": False, "chunk_size": "10 rows",
        "reduce": td.sum(), "run_dir": tmp_path / "kept", "resume": True,
    }  # fmt: skip
    mended = tmp_path / "mended"

    def late(chunk):
        assert mended.exists() or chunk["a"].max() < 39
        return len(chunk)

    with pytest.raises(td.errors.FlowFailed):
        td.process(str(path), late, **options)
    mended.touch()
    observer = Listens()
    td.process(str(path), late, **options, observers=[observer])
    ended = observer.of(td.events.ChunkFinished)
    assert [event.outcome.is_recalled for event in ended] == [True, True, True, False]
    assert {event.path for event in ended} == {str(path)}
    assert all(event.where.startswith("bytes ") for event in ended)
