"""What the page knows of a run, from batches alone; and what it is filled with."""

import subprocess
import sys

import pytest

from taskinity_data.events import ChunkFinished, ChunkSubmitted, RunStarted
from taskinity_data.flow.language.parser import parse_flow
from taskinity_data.outcome import Attempt, Outcome, RunStatus, Status
from taskinity_data.report.dashboard import fill as dashboard_fill
from taskinity_data.report.dashboard.observer import DashboardObserver
from taskinity_data.report.run_columns import MAX_POINTS, LiveRun

NODES = {
    "n0": ("DataPreparation", False, False, ("DataPreparation",)),
    "n1": ("Clean [*]", True, False, ("Clean",)),
    "n2": ("ProcessChunk [*]", True, False, ("ProcessChunk",)),
    "n3": ("Lenient", False, True, ("Lenient",)),
}
EDGES = (("DataPreparation", "Clean"), ("Clean", "ProcessChunk"))


@pytest.fixture
def run():
    run = LiveRun("r1", "Client-1")
    run.add(
        [
            ("drawn", 0.0, '<g class="many state-n2"><text>state-n2</text></g>', NODES, EDGES),
            ("run", 100.0, "Delays", ("DataPreparation", "Clean", "ProcessChunk")),
            ("scheduler", 100.0, "processes, 2 workers"),
            ("begin", 100.5, "ProcessChunk"),
            ("grew", 100.5, "ProcessChunk", 3, 60, True),
            *[chunk(n) for n in range(3)],
        ]
    )
    return run


def chunk(number, key=None, path=None, at_s=101.0):
    place = path or f"/d/{number // 2}.csv", f"bytes {number}"
    return ("chunk", at_s, "ProcessChunk", key or f"k{number}", 20, *place)


def done(key, state="COMPLETED", error="", rows=5, before=None, at_s=102.0):
    facts = (state, rows, 20, 1, "w", 0.5, error, "in f\n", before)
    return ("done", at_s, "ProcessChunk", key, *facts)


def again(key, parts=0):
    return ("again", 102.0, "ProcessChunk", key, parts)


def test_chunks_run_and_end(run):
    run.add([done("k0"), done("k1", "FAILED", "ValueError: <i>", None)])
    task = run.tasks["ProcessChunk"]
    assert +task.counts == {"RUNNING": 1, "COMPLETED": 1, "FAILED": 1}
    assert task.describe() == "2 of 3 chunks, 1 failed or skipped"
    assert (task.done_nbytes, task.done_rows) == (40, 5)
    assert list(run.failures) == [("ProcessChunk", "/d/0.csv bytes 1", "ValueError: <i>", "in f\n")]
    assert run.throughput[-1] == (2.0, 40.0)


def test_a_chunk_that_is_tried_again_is_retrying_and_counted_once(run):
    run.add([again("k0"), chunk(0)])
    assert len(run.columns["key"]) == 3
    assert run.columns["state"][0] == "RETRYING"
    assert run.tasks["ProcessChunk"].describe() == "0 of 3 chunks, 1 tried again"
    run.add([done("k0")])
    assert +run.tasks["ProcessChunk"].counts == {"RUNNING": 2, "COMPLETED": 1}


def test_the_parts_of_a_split_chunk_take_its_place(run):
    run.add([again("k1", parts=2), ("grew", 102.0, "ProcessChunk", 4, 60, True)])
    run.add([chunk(1, "k1a"), chunk(1, "k1b")])
    run.add([done(key) for key in ("k0", "k1a", "k1b", "k2")])
    assert run.tasks["ProcessChunk"].describe() == "4 of 4 chunks, 1 tried again"
    cells = dashboard_fill.fill_cells(run)
    assert set(cells.data["color"]) == {dashboard_fill.COLORS["COMPLETED"]}
    assert len(cells.data["color"]) == 4
    assert dashboard_fill.fill_bars(run)["COMPLETED"] == [3, 1]


def test_what_an_earlier_try_has_done_is_counted_and_is_no_throughput(run):
    run.add([("grew", 102.0, "ProcessChunk", 4, 80, True)])
    run.add([done("k9", before=("/d/1.csv", "bytes 9")), done("k0")])
    assert run.tasks["ProcessChunk"].describe() == "2 of 4 chunks, 1 reused"
    assert run.throughput[-1] == (2.0, 20.0)
    cells = dashboard_fill.fill_cells(run)
    assert cells.data["where"][-1] == "/d/1.csv bytes 9"
    assert cells.data["text"][-1].startswith("reused, 20 B")


def test_chunks_without_a_number_are_not_told_one(run):
    run.add([("grew", 102.0, "ProcessChunk", None, 0, False)])
    assert run.tasks["ProcessChunk"].describe() == "0 chunks"
    run.add([("grew", 102.0, "ProcessChunk", 7, 0, False)])
    assert run.tasks["ProcessChunk"].describe() == "0 of about 7 chunks"


def test_tasks_that_run_with_the_next_one_and_those_before_them_have_its_state(run):
    assert list(run.states().values()) == ["COMPLETED", "RUNNING", "RUNNING", "PENDING"]
    text = dashboard_fill.format_tasks(run)
    assert "stands by" in text
    assert dashboard_fill.format_graph(run).endswith(
        '<g class="many running"><text>state-n2</text></g>'
    )


@pytest.mark.parametrize(
    ("status", "state"), [("FAILED", "FAILED"), ("INTERRUPTED", "STOPPED"), ("LOST", "STOPPED")]
)
def test_nothing_runs_once_a_run_is_over(run, status, state):
    run.add([done("k0"), again("k1"), ("finish", 104.0, status)])
    assert run.columns["state"] == ["COMPLETED", "PENDING", "PENDING"]
    assert list(run.states().values()) == ["COMPLETED", state, state, "PENDING"]
    assert f"{state.lower()}" in dashboard_fill.format_graph(run)
    assert dashboard_fill.format_tasks(run)
    assert dashboard_fill.fill_bars(run)["RUNNING"] == [0, 0]
    assert run.spent_s == 4.0


def test_a_run_that_ends_well_leaves_no_task_pending_but_who_stood_by(run):
    run.add([done("k0"), done("k1"), done("k2"), ("end", 103.0, "ProcessChunk", "COMPLETED")])
    run.add([("finish", 104.0, "PARTIAL")])
    assert list(run.states().values()) == ["COMPLETED"] * 3 + ["PENDING"]


def test_a_run_whose_driver_has_gone_is_told_so_until_it_comes_back(run):
    run.lose()
    assert "its driver has gone" in dashboard_fill.format_head(run)
    run.add([done("k0")])
    assert "Delays: RUNNING" in dashboard_fill.format_head(run)
    run.add([("finish", 104.0, "COMPLETED")])
    run.lose()
    assert "Delays: COMPLETED, 4.0 s" in dashboard_fill.format_head(run)


def test_series_stay_short(run):
    for number in range(3 * MAX_POINTS):
        run.add([("begin", 105.0 + number, "ProcessChunk")])
    assert len(run.throughput) <= MAX_POINTS
    assert run.throughput[-1][0] == 5.0 + 3 * MAX_POINTS - 1


def test_throughput_is_what_was_done_of_late(run):
    run.add([done("k0", at_s=102.0)])
    run.add([done("k1", at_s=104.0)])
    run.add([done("k2", at_s=110.0)])
    unit, rate = dashboard_fill.fill_rate(run)
    assert unit == "B/s"
    assert rate["x"] == [1.0, 2.0, 4.0, 10.0]
    assert rate["y"] == pytest.approx([0.0, 20.0, 40 / 3, 0.0])


def test_each_file_begins_a_line_of_cells_with_its_name(run):
    cells = dashboard_fill.fill_cells(run)
    assert list(zip(cells.data["x"], cells.data["y"], strict=True)) == [(0, 0), (1, 0), (0, 1)]
    assert cells.data["where"][2] == "/d/1.csv bytes 2"
    assert cells.data["text"][0] == "running, 20 B"
    assert (cells.high, cells.names) == (2, {0: "0.csv", 1: "1.csv"})


def test_very_many_files_follow_one_another_with_gaps(run):
    run.add([chunk(0, f"m{number}", f"/m/{number}.csv") for number in range(200)])
    cells = dashboard_fill.fill_cells(run)
    assert cells.names == {}
    assert cells.wide == 100
    assert cells.high == 5
    places = list(zip(cells.data["x"], cells.data["y"], strict=True))
    assert places[:5] == [(0, 0), (1, 0), (3, 0), (5, 0), (7, 0)]
    assert len(set(places)) == 203


def test_many_chunks_become_shares_by_file(run):
    run.add([done("k0"), done("k2", "SKIPPED")])
    bars = dashboard_fill.fill_bars(run)
    assert bars["file"] == ["0.csv (1)", "1.csv (2)"]
    assert (bars["COMPLETED"], bars["RUNNING"], bars["SKIPPED"]) == ([1, 0], [1, 0], [0, 1])


def test_many_files_share_rows(monkeypatch, run):
    monkeypatch.setattr(dashboard_fill, "MAX_BARS", 1)
    bars = dashboard_fill.fill_bars(run)
    assert bars["file"] == ["0.csv and 1 more (1)"]
    assert bars["RUNNING"] == [3]


def test_nothing_that_a_run_holds_is_markup(run):
    hostile = "<script>alert(1)</script>\n\x1b[31m"
    run.flow = run.scheduler = hostile
    run.nodes["n0"] = run.nodes["n0"]._replace(label=hostile)
    for text in (
        dashboard_fill.format_head(run),
        dashboard_fill.format_tasks(run),
        dashboard_fill.format_failure(hostile, hostile, hostile, hostile),
        dashboard_fill.format_failure("Work", "k", "", ""),
    ):
        assert "<script" not in text
        assert "\x1b" not in text
    assert "&lt;script&gt;" in dashboard_fill.format_head(run)


# --- beside the driver ----------------------------------------------------------------------------


class Scheduler:
    """Takes batches like the plugin, and answers `why`."""

    def __init__(self, why=None):
        self.why, self.batches = why, []

    async def taskinity_page(self, run, driver, batch):
        self.batches += batch
        return self.why


class Client:
    """A Dask client as far as the observer needs one; its loop runs when it is asked to wait."""

    status = "running"
    id = "Client-1"

    class loop:
        add_callback = staticmethod(lambda *arguments: None)

    def __init__(self, why=None):
        self.scheduler = Scheduler(why)

    async def register_plugin(self, plugin, name):
        pass

    def sync(self, function, *arguments, callback_timeout):
        import asyncio

        asyncio.run(function(*arguments))


class Strategy:
    dashboard_link = "http://127.0.0.1:1/status"

    def __init__(self, client):
        self.client = client


def observer_with(client, say=print):
    flow = parse_flow("flow F:\n    A -> B[*]")
    started = RunStarted("r", 1.0, "F", ("A", "B"))
    return DashboardObserver(flow, started, Strategy(client), say)


def test_the_end_is_sent_before_the_cluster_is_left_and_not_again():
    client = Client()
    observer = observer_with(client)
    attempt = Attempt(1, 0.0, 0.5, "w")
    kept = Outcome("B", "k", Status.COMPLETED, (attempt,), rows=3, nbytes=9, is_recalled=True)
    observer.on_event(ChunkFinished("r", 2.0, "B", kept, "/a.csv", "bytes 0 to 9"))
    observer.on_ending(RunStatus.COMPLETED, 3.0)
    client.status = "closed"
    observer.close()
    run = LiveRun("r")
    run.add(client.scheduler.batches)
    assert [batch[0] for batch in client.scheduler.batches] == ["drawn", "run", "done", "finish"]
    assert run.status == "COMPLETED"
    assert run.states() == {"n0": "COMPLETED", "n1": "COMPLETED"}
    assert run.tasks["B"].counts["REUSED"] == 1


@pytest.mark.parametrize(("why", "told"), [("no Bokeh", 1), ("", 0)])
def test_why_there_is_no_page_is_said_once_where_one_was_wanted(why, told):
    said = []
    observer = observer_with(Client(why), said.append)
    observer.on_ending(RunStatus.COMPLETED, 3.0)
    observer.close()
    assert len(said) == told
    assert all(why in text for text in said)


def test_without_a_dask_cluster_there_is_no_observer_for_its_page():
    code = (
        "import sys, pandas as pd, taskinity_data as td\n"
        "td.process(pd.DataFrame({'a': range(5)}), len, scheduler='threads')\n"
        "assert 'taskinity_data.report.dashboard.observer' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_is_held_for_a_cluster_that_refuses_the_page():
    observer = observer_with(Client("no Bokeh"), print)
    observer.on_ending(RunStatus.COMPLETED, 3.0)
    held = len(observer._batch)
    for number in range(10):
        observer.on_event(ChunkSubmitted("r", 0.0, "B", str(number), 1))
    assert len(observer._batch) == held


def test_a_scheduler_that_does_not_answer_costs_the_run_nothing():
    class Silent(Client):
        def sync(self, function, *arguments, callback_timeout):
            raise TimeoutError(f"{function.__name__} took {callback_timeout} s")

    observer = observer_with(Silent())
    observer.on_event(ChunkSubmitted("r", 0.0, "B", "k", 1))
    observer.close()
