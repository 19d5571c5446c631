"""``backups=True``: the last slow chunks run a second time, and each result counts once."""

import threading
from pathlib import Path

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data import errors

FRAME = pd.DataFrame({"a": range(10)})
OPTIONS = {"chunk_size": "1 rows", "workers": 2, "progress": False, "backups": True}


def hang_once(chunk, folder):
    """Wait, in the first copy of the first chunk, until the run has ended."""
    if chunk["a"].iloc[0] == 0:
        try:
            Path(folder, "began").touch(exist_ok=False)
        except FileExistsError:
            return chunk
        while not Path(folder, "run-has-ended").exists():
            threading.Event().wait(0.01)
        Path(folder, "first-copy-ended").touch()
    return chunk


def finish(folder):
    Path(folder, "run-has-ended").touch()


def check_run(run):
    assert len(run.outcomes.dropna(subset=["start"])) == 10
    assert run.outcomes["status"].eq("COMPLETED").all()
    assert any("a second copy was started, the first result counts" in note for note in run.notices)


@pytest.mark.parametrize(
    "scheduler",
    ["threads", pytest.param("processes", marks=pytest.mark.thorough)],
)
def test_a_chunk_that_hangs_in_its_first_copy_ends_in_its_second(scheduler, tmp_path):
    inputs = {"folder": str(tmp_path)}
    options = OPTIONS | {"reduce": td.concat(), "inputs": inputs, "pure": True}
    try:
        run = td.process(FRAME, hang_once, scheduler=scheduler, **options)
        check_run(run)
        assert run.value["a"].tolist() == list(range(10))
    finally:
        finish(tmp_path)


def test_an_output_has_each_part_once(tmp_path):
    try:
        run = td.process(
            FRAME,
            hang_once,
            scheduler="threads",
            inputs={"folder": str(tmp_path)},
            pure=True,
            output=tmp_path / "out",
            **OPTIONS,
        )
        check_run(run)
    finally:
        finish(tmp_path)
    while not (tmp_path / "first-copy-ended").exists():
        threading.Event().wait(0.01)
    assert pd.read_parquet(tmp_path / "out")["a"].tolist() == list(range(10))


@pytest.mark.thorough
def test_on_a_cluster_too_and_its_tasks_have_the_runs_priority(tmp_path):
    from distributed import LocalCluster

    def find_priority(chunk, folder):
        from distributed import get_worker

        worker = get_worker()
        hang_once(chunk, folder)
        return -worker.state.tasks[worker.get_current_task()].priority[0]

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    options = OPTIONS | {"reduce": td.collect(), "inputs": {"folder": str(tmp_path)}}
    try:
        run = td.process(FRAME, find_priority, scheduler=cluster, pure=True, priority=7, **options)
        check_run(run)
        assert run.value == [7] * 10
    finally:
        finish(tmp_path)
        cluster.close()


def test_functions_that_are_not_marked_pure_are_refused_before_the_run():
    with pytest.raises(errors.PlanError, match=r"backups=True .* @td.task\(pure=True\)"):
        td.process(FRAME, len, **OPTIONS)
    assert td.process(FRAME, reduce=td.count(), **OPTIONS).value == 10


def test_a_priority_is_a_whole_number():
    with pytest.raises(errors.SettingsError, match="priority: 'high' is not a whole number"):
        td.process(FRAME, len, priority="high", progress=False)
