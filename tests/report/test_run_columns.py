"""What the page knows of a run, from batches alone; and what it is filled with."""

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from taskinity_data.events import ChunkFinished, ChunkSubmitted, RunStarted, TaskStarted
from taskinity_data.flow.language.parser import parse_flow
from taskinity_data.outcome import Attempt, Outcome, RunStatus, Status
from taskinity_data.report.dashboard import fill as dashboard_fill
from taskinity_data.report.dashboard.observer import DashboardObserver
from taskinity_data.report.palette import TONES, tone_of
from taskinity_data.report.run_columns import (
    MAX_FAILURES,
    MAX_POINTS,
    STATES,
    FailureCount,
    LiveRun,
)

NODES = {
    "n0": (False, False, ("DataPreparation",)),
    "n1": (True, False, ("Clean",)),
    "n2": (True, False, ("ProcessChunk",)),
    "n3": (False, True, ("Lenient",)),
}
EDGES = (("n0", "n1"), ("n1", "n2"))
FILL = {state: tone_of(state).fill for state in STATES}


@pytest.fixture
def run():
    run = LiveRun("r1", "Client-1")
    run.add(
        [
            ("drawn", 0.0, '<g class="many state-n2"><text>state-n2</text></g>', NODES, EDGES),
            ("run", 100.0, "Delays", {}),
            ("scheduler", 100.0, "processes, 2 workers", 2),
            ("begin", 100.5, "ProcessChunk"),
            ("grew", 100.5, "ProcessChunk", 3, 60, True),
            *[chunk(n) for n in range(3)],
        ]
    )
    return run


def chunk(number, key=None, at_s=101.0, nbytes=20):
    location = f"/d/{number // 2}.csv bytes {number}"
    return ("chunk", at_s, "ProcessChunk", key or f"k{number}", nbytes, location)


def done(key, state="COMPLETED", error="", rows=5, before=None, at_s=102.0, nbytes=20, seconds=0.5):
    facts = (state, rows, nbytes, seconds, "0.5 s on w", error, "in f\n", before)
    return ("done", at_s, "ProcessChunk", key, *facts)


def again(key, parts=0):
    return ("again", 102.0, "ProcessChunk", key, parts)


def cells_of(run):
    """Where each cell of a strip is, in percent, and its colour."""
    data = dashboard_fill.fill_strips(run)
    lefts, rights = (list(map(float, data[name])) for name in ("left", "right"))
    return [
        ((round(left, 3), round(right)), colour)
        for left, right, colour in zip(lefts, rights, data["color"], strict=True)
    ]


def states_of(task):
    return [STATES[code] for code in task.codes]


def test_chunks_run_and_end(run):
    run.add([done("k0"), done("k1", "FAILED", "ValueError: <i>", None)])
    task = run.tasks["ProcessChunk"]
    assert +task.counts == {"RUNNING": 1, "COMPLETED": 1, "FAILED": 1}
    assert task.describe() == "2 of 3 chunks, 1 failed or skipped"
    assert (task.done_nbytes, task.done_rows) == (40, 5)
    ((group, failure),) = run.failures.items()
    assert group == ("ProcessChunk", "FAILED", "ValueError: <i>")
    assert (failure.location, failure.traceback) == ("/d/0.csv bytes 1", "in f\n")
    assert run.throughput[-1] == (2.0, 40.0)


def test_failures_that_differ_in_numbers_alone_are_counted_together(run):
    run.add([("grew", 102.0, "ProcessChunk", 200, 4_000, True)])
    run.add([chunk(number) for number in range(3, 200)])
    run.add([done(f"k{number}", "SKIPPED", f"ValueError: row {number}") for number in range(60)])
    ((_, failure),) = run.failures.items()
    assert (failure.count, failure.error) == (60, "ValueError: row 0")
    texts = "abcdefghijklmnopqrstuvwxyz"
    errors = [f"E: {first}{second}" for first in texts for second in texts][:100]
    run.add([done(f"k{60 + at}", "FAILED", error) for at, error in enumerate(errors)])
    assert (len(run.failures), run.left_out) == (MAX_FAILURES, 100 - MAX_FAILURES + 1)


def test_a_chunk_that_is_tried_again_is_retrying_and_counted_once(run):
    run.add([again("k0"), chunk(0)])
    task = run.tasks["ProcessChunk"]
    assert states_of(task) == ["RETRYING", "RUNNING", "RUNNING"]
    assert task.describe() == "0 of 3 chunks, 1 tried again"
    run.add([done("k0")])
    assert +task.counts == {"RUNNING": 2, "COMPLETED": 1}


def test_the_parts_of_a_split_chunk_take_its_place(run):
    run.add([again("k1", parts=2), ("grew", 102.0, "ProcessChunk", 4, 60, True)])
    run.add([chunk(1, "k1a", nbytes=10), chunk(1, "k1b", nbytes=10)])
    run.add([done("k0"), done("k1a", nbytes=10), done("k1b", nbytes=10), done("k2")])
    assert run.tasks["ProcessChunk"].describe() == "4 of 4 chunks, 1 tried again"
    assert {colour for _, colour in cells_of(run)} == {FILL["COMPLETED"]}
    assert len(cells_of(run)) == 4
    assert run.share == 1


def test_what_an_earlier_try_has_done_is_counted_and_is_no_throughput(run):
    run.add([("grew", 102.0, "ProcessChunk", 4, 80, True)])
    run.add([done("k9", before="/d/1.csv bytes 9"), done("k0")])
    assert run.tasks["ProcessChunk"].describe() == "2 of 4 chunks, 1 reused"
    assert run.throughput[-1] == (2.0, 20.0)
    data = dashboard_fill.fill_strips(run)
    assert data["where"][-1] == "/d/1.csv bytes 9"
    assert data["text"][-1] == "reused, 20 B, 0.5 s on w"


def test_chunks_without_a_number_are_not_told_one(run):
    run.add([("grew", 102.0, "ProcessChunk", None, 0, False)])
    assert run.tasks["ProcessChunk"].describe() == "0 chunks"
    run.add([("grew", 102.0, "ProcessChunk", 7, 0, False)])
    assert run.tasks["ProcessChunk"].describe() == "0 of about 7 chunks"


def test_tasks_that_run_with_the_next_one_and_those_before_them_have_its_state(run):
    assert list(run.states().values()) == ["COMPLETED", "RUNNING", "RUNNING", "PENDING"]
    assert dashboard_fill.format_graph(run) == '<g class="many running"><text>state-n2</text></g>'


def test_a_task_that_has_ended_without_some_chunks_is_amber(run):
    run.add([done("k0"), done("k1", "SKIPPED"), done("k2")])
    run.add([("end", 103.0, "ProcessChunk", "COMPLETED")])
    assert '<g class="many skipped">' in dashboard_fill.format_graph(run)
    assert f"--dot:{TONES['attention'].fill}" in dashboard_fill.format_tasks(run)


@pytest.mark.parametrize(
    ("status", "state"), [("FAILED", "FAILED"), ("INTERRUPTED", "STOPPED"), ("LOST", "STOPPED")]
)
def test_nothing_runs_once_a_run_is_over(run, status, state):
    run.add([done("k0"), again("k1"), ("finish", 104.0, status)])
    assert states_of(run.tasks["ProcessChunk"]) == ["COMPLETED", "PENDING", "PENDING"]
    assert list(run.states().values()) == ["COMPLETED", state, state, "PENDING"]
    assert f'<g class="many {state.lower()}">' in dashboard_fill.format_graph(run)
    assert f"--dot:{tone_of(state).fill}" in dashboard_fill.format_tasks(run)
    assert run.left_s is None
    assert run.spent_s == 4.0


def test_a_run_that_ends_well_leaves_no_node_pending_but_who_stood_by(run):
    run.add([done("k0"), done("k1"), done("k2"), ("end", 103.0, "ProcessChunk", "COMPLETED")])
    run.add([("finish", 104.0, "PARTIAL")])
    assert list(run.states().values()) == ["COMPLETED"] * 3 + ["PENDING"]


def test_a_run_whose_driver_has_gone_is_told_so_until_it_comes_back(run):
    run.lose()
    assert "DRIVER LOST" in dashboard_fill.format_head(run)
    run.add([done("k0")])
    assert "RUNNING" in dashboard_fill.format_head(run)
    run.add([("finish", 104.0, "COMPLETED")])
    run.lose()
    assert "COMPLETED" in dashboard_fill.format_head(run)
    assert ">4.0 s<" in dashboard_fill.format_head(run)


def test_percent_and_time_left_are_by_planned_bytes_and_known_after_five_chunks(run):
    run.add([("grew", 102.0, "ProcessChunk", 100, 2_000, True)])
    run.add([chunk(number) for number in range(3, 12)])
    run.add([done(f"k{number}", at_s=110.5, seconds=2.0) for number in range(4)])
    assert run.share == 0.04
    assert run.left_s is None
    assert "4 %" in dashboard_fill.format_head(run)
    assert "unknown" in dashboard_fill.format_head(run)
    run.add([done(f"k{number}", at_s=110.5, seconds=2.0) for number in range(4, 10)])
    # Ten of a hundred in ten seconds, of which both workers lost none.
    assert run.share == 0.1
    assert run.left_s == pytest.approx(90, abs=1)


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


def test_sizes_that_hardly_differ_are_not_drawn(run):
    assert dashboard_fill.fill_sizes(run)[0] == ""
    run.add([chunk(number, nbytes=20 * number) for number in range(3, 30)])
    unit, sizes = dashboard_fill.fill_sizes(run)
    assert (unit, len(sizes["y"])) == ("B", 30)


def test_a_strip_is_as_full_as_the_planned_bytes_are_done(run):
    run.add([("grew", 102.0, "ProcessChunk", 30, 2_000, False), done("k0")])
    cells = cells_of(run)
    assert cells[0] == ((0.0, 1), FILL["COMPLETED"])
    assert [colour for _, colour in cells[1:]] == [FILL["RUNNING"]] * 2 + [FILL["PENDING"]]
    assert cells[3][0] == (3.0, 100)
    data = dashboard_fill.fill_strips(run)
    assert data["alpha"] == [1, 1, 1, 0.25]
    assert data["where"][1] == "/d/0.csv bytes 1"
    assert data["text"][:2] == ["completed, 20 B, 0.5 s on w", "running, 20 B"]
    assert set(data["task"]) == {"ProcessChunk"}


def test_a_strip_of_very_many_chunks_has_few_cells_and_shows_a_failure_among_them(run):
    count = 20_000
    run.add([("grew", 102.0, "ProcessChunk", count, 20 * count, True)])
    run.add([chunk(number) for number in range(3, count)])
    run.add([done(f"k{number}") for number in range(count) if number != 7_777])
    run.add([done("k7777", "FAILED", "E")])
    cells = cells_of(run)
    assert len(cells) == dashboard_fill.MAX_CELLS
    assert cells[-1][0][1] == 100
    (failed,) = [left for (left, _), colour in cells if colour == FILL["FAILED"]]
    assert failed == pytest.approx(100 * 7_777 / count, abs=0.3)


def test_items_without_bytes_fill_a_strip_by_their_number():
    run = LiveRun("r")
    run.add([("run", 0.0, "F", {}), ("begin", 0.0, "Each"), ("grew", 0.0, "Each", 4, 0, True)])
    run.add(
        [
            ("chunk", 1.0, "Each", "k", 0, ""),
            ("done", 2.0, "Each", "k", "COMPLETED", None, 0, 1.0, "", "", "", None),
        ]
    )
    assert run.share == 0.25
    assert cells_of(run) == [((0.0, 25), FILL["COMPLETED"]), ((25.0, 100), FILL["PENDING"])]


def test_the_legend_counts_the_states_that_there_are(run):
    run.add([done("k0"), done("k1", "SKIPPED")])
    text = dashboard_fill.format_legend(run)
    assert "1 completed" in text
    assert "1 skipped" in text
    assert "failed" not in text


def test_memory_has_round_units():
    workers = [SimpleNamespace(name="0", metrics={"memory": 4e8}, memory_limit=12.6e9)]
    names, unit, data = dashboard_fill.fill_memory(workers)
    assert (names, unit) == (["0"], "GB")
    assert (data["used"], data["limit"]) == ([0.4], [12.6])
    assert data["text"] == ["400.0 MB of 12.6 GB"]


def test_nothing_that_a_run_holds_is_markup(run):
    hostile = "<script>alert(1)</script>\n\x1b[31m"
    run.flow = run.scheduler = hostile
    run.labels = {"ProcessChunk": hostile}
    failure = FailureCount("FAILED", hostile, hostile, hostile)
    for text in (
        dashboard_fill.format_head(run),
        dashboard_fill.format_tasks(run),
        dashboard_fill.format_failure(hostile, failure),
        dashboard_fill.format_failure("Work", FailureCount("FAILED", "k", "", "")),
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


def observer_with(client, say=print, labels=None):
    flow = parse_flow("flow F:\n    A -> B[*]")
    started = RunStarted("r", 1.0, "F", ("A", "B"))
    return DashboardObserver(flow, started, Strategy(client), labels or {}, say)


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


def test_a_run_of_process_is_shown_by_its_labels_alone():
    client = Client()
    observer = observer_with(client, labels={"F": "clean", "B": "clean"})
    for name in ("A", "B[*]", "B"):
        observer.on_event(TaskStarted("r", 1.0, name))
    observer.on_ending(RunStatus.COMPLETED, 3.0)
    run = LiveRun("r")
    run.add(client.scheduler.batches)
    assert run.flow == "clean"
    assert re.findall('class="name"[^>]*>([^<]*)<', run.svg) == ["clean [*]"]
    assert {key: node.names for key, node in run.nodes.items()} == {"n1": ("B", "B")}
    assert run.edges == ()
    shown = dashboard_fill.format_tasks(run)
    assert shown.count("<tr>") == shown.count("</span>clean</th>") == 1


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
