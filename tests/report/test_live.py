"""What the page knows of a run, from batches alone; and what it draws of it."""

import pytest

from taskinity_data.events import ChunkSubmitted
from taskinity_data.flow.parser import parse_flow
from taskinity_data.report import dashboard, dashboard_page
from taskinity_data.report.dashboard import DashboardObserver
from taskinity_data.report.live import MOST_POINTS, LiveRun


@pytest.fixture
def run():
    run = LiveRun("r1")
    run.add(
        [
            ("run", 100.0, "Delays", ("DataPreparation", "ProcessChunk"), "<svg></svg>"),
            ("scheduler", 100.0, "processes, 2 workers"),
            ("begin", 100.5, "ProcessChunk"),
            ("grew", 100.5, "ProcessChunk", 3, 60, True),
            *[
                ("chunk", 101.0, "ProcessChunk", f"k{n}", 20, f"/d/{n // 2}.csv", f"bytes {n}")
                for n in range(3)
            ],
        ]
    )
    return run


def done(key, state="COMPLETED", error="", rows=5):
    return ("done", 102.0, "ProcessChunk", key, state, rows, 1, "w", 0.5, error, "in f\n")


def test_chunks_run_and_end(run):
    run.add([done("k0"), done("k1", "FAILED", "ValueError: <i>", None)])
    task = run.tasks["ProcessChunk"]
    assert +task.counts == {"RUNNING": 1, "COMPLETED": 1, "FAILED": 1}
    assert task.tell() == "2 of 3 chunks, 1 failed or skipped"
    assert (task.done_nbytes, task.done_rows) == (40, 5)
    assert list(run.failures) == [("ProcessChunk", "/d/0.csv bytes 1", "ValueError: <i>", "in f\n")]
    assert run.throughput[-1] == (2.0, 40.0)


def test_a_chunk_that_is_handed_out_again_is_retrying_and_counted_once(run):
    run.add([("chunk", 103.0, "ProcessChunk", "k0", 20, "/d/0.csv", "bytes 0")])
    assert len(run.columns["key"]) == 3
    assert run.columns["state"][0] == "RETRYING"
    assert +run.tasks["ProcessChunk"].counts == {"RUNNING": 2, "RETRYING": 1}


def test_a_run_that_ends_leaves_no_task_pending(run):
    run.add([("finish", 104.0, "PARTIAL")])
    assert {task.state for task in run.tasks.values()} == {"COMPLETED"}


def test_series_stay_short(run):
    for number in range(3 * MOST_POINTS):
        run.add([("begin", 105.0 + number, "ProcessChunk")])
    assert len(run.throughput) <= MOST_POINTS
    assert run.throughput[-1][0] == 5.0 + 3 * MOST_POINTS - 1


def test_each_file_begins_a_line_of_cells(run):
    cells = dashboard_page.fill_cells(run)
    assert list(zip(cells["x"], cells["y"], strict=True)) == [(0, 0), (1, 0), (0, 1)]
    assert cells["where"][2] == "/d/1.csv bytes 2"
    assert cells["told"][0] == "running, 20 B"


def test_many_chunks_become_shares_by_file(run):
    run.add([done("k0"), done("k2", "SKIPPED")])
    bars = dashboard_page.fill_bars(run)
    assert bars["file"] == ["0.csv (1)", "1.csv (2)"]
    assert (bars["COMPLETED"], bars["RUNNING"], bars["SKIPPED"]) == ([1, 0], [1, 0], [0, 1])


def test_many_files_share_rows(monkeypatch, run):
    monkeypatch.setattr(dashboard_page, "MOST_BARS", 1)
    bars = dashboard_page.fill_bars(run)
    assert bars["file"] == ["0.csv and 1 more (1)"]
    assert bars["RUNNING"] == [3]


def test_nothing_that_a_run_holds_is_markup(run):
    hostile = "<script>alert(1)</script>"
    run.flow = run.scheduler = hostile
    run.tasks["ProcessChunk"].name = hostile
    run.failures.append((hostile, hostile, hostile, hostile))
    for text in (
        dashboard_page.tell_head(run),
        dashboard_page.tell_tasks(run),
        dashboard_page.tell_failures(run),
    ):
        assert "<script" not in text
        assert "&lt;script&gt;" in text


def test_without_a_dask_cluster_nothing_is_sent():
    observer = DashboardObserver(parse_flow("flow F:\n    A -> B"))
    observer.use(object())
    observer.close()


def test_what_waits_for_a_cluster_is_bounded(monkeypatch):
    monkeypatch.setattr(dashboard, "MOST_WAITING", 10)
    observer = DashboardObserver(parse_flow("flow F:\n    A -> B"))
    for number in range(1_000):
        observer.on_event(ChunkSubmitted("r", 0.0, "B", str(number), 1))
    assert len(observer._batch) == 10


def test_a_scheduler_that_does_not_answer_costs_the_run_nothing():
    class Client:
        dashboard_link = "http://127.0.0.1:1/status"
        status = "running"

        class loop:
            add_callback = staticmethod(lambda *arguments: None)

        def sync(self, function, *arguments, callback_timeout):
            raise TimeoutError(f"{function.__name__} took {callback_timeout} s")

    class Strategy:
        client = Client()

    observer = DashboardObserver(parse_flow("flow F:\n    A -> B"))
    observer.use(Strategy())
    observer.on_event(ChunkSubmitted("r", 0.0, "B", "k", 1))
    observer.close()
