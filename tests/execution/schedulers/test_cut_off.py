"""Schedulers and workers that go away in the middle of a run, for ever or for a while."""

from __future__ import annotations

import os
import signal
import threading

import pandas as pd
import pytest
from real_cluster import STEP_S, WAIT_S, start_cluster, wait_until

import taskinity_data as td
from taskinity_data import errors
from taskinity_data.execution.schedulers import cluster_workers
from taskinity_data.outcome import RunStatus

pytestmark = pytest.mark.thorough


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "data.csv"
    pd.DataFrame({"n": range(400)}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_scheduler_that_is_gone_stops_a_run_that_can_be_resumed(
    number, csv, tmp_path, monkeypatch
):
    monkeypatch.setattr(cluster_workers, "SILENCE_S", 15.0)
    monkeypatch.setattr(cluster_workers, "REFRESH_S", 0.2)

    def strike(chunk):
        first = int(chunk.n.min())
        (tmp_path / f"ran-{first}").touch()
        while first == 200 and not (tmp_path / "over").exists():
            threading.Event().wait(STEP_S)
        return chunk

    def end_scheduler():
        wait_until((tmp_path / "ran-200").exists)
        os.kill(pid, number)

    options = {
        "reduce": td.count(), "chunk_size": "50 rows", "on_error": "skip", "progress": False,
        "run_dir": tmp_path / "runs",
    }  # fmt: skip
    with start_cluster(tmp_path, workers=1) as client:
        pid = client.run_on_scheduler(os.getpid)
        ending = threading.Thread(target=end_scheduler)
        ending.start()
        try:
            with pytest.raises(errors.FlowFailed, match="the Dask scheduler is gone") as caught:
                td.process(str(csv), strike, scheduler=client, **options)
        finally:
            (tmp_path / "over").touch()
            ending.join()
            os.kill(pid, signal.SIGCONT if number == signal.SIGSTOP else 0)
    stopped = caught.value.run
    assert len(stopped.failures) == 0
    account = stopped.ledger["bytes"]
    assert account["skipped"] == account["failed"] == 0
    assert account["planned"] == account["processed"] + account["not_run"]
    done = (stopped.outcomes.status == "COMPLETED").sum()
    assert 0 < done < 8
    assert f'resume="{stopped.run_id}"' in stopped.next_steps[0]

    for ran in tmp_path.glob("ran-*"):
        ran.unlink()
    run = td.process(
        str(csv), strike, scheduler="threads", workers=1, resume=stopped.run_id, **options
    )
    assert run.value == 400
    assert run.status is RunStatus.COMPLETED
    assert len(list(tmp_path.glob("ran-*"))) == 8 - done


def test_the_late_result_of_a_worker_that_was_cut_off_counts_once(csv, tmp_path):
    def strike(chunk):
        first = int(chunk.n.min())
        tries = len(list(tmp_path.glob(f"ran-{first}-*")))
        (tmp_path / f"ran-{first}-{os.getpid()}").touch()
        while first == 100 and tries == 0 and not (tmp_path / "go on").exists():
            threading.Event().wait(STEP_S)
        if first == 100 and tries == 0:
            (tmp_path / "late").touch()
        # The run must not be over before the late one has ended.
        while first == 300 and not (tmp_path / "late").exists():
            threading.Event().wait(STEP_S)
        return chunk

    def cut_off():
        wait_until(lambda: list(tmp_path.glob("ran-100-*")))
        (first,) = tmp_path.glob("ran-100-*")
        pid = int(first.name.rpartition("-")[2])
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: len(list(tmp_path.glob("ran-100-*"))) == 2)
            (tmp_path / "go on").touch()
        finally:
            os.kill(pid, signal.SIGCONT)

    ttl = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s"}
    with start_cluster(tmp_path, workers=3, nanny=False, **ttl) as client:
        cutting = threading.Thread(target=cut_off)
        cutting.start()
        run = td.process(
            str(csv), strike, scheduler=client, reduce=td.count(), chunk_size="100 rows",
            progress=False,
        )  # fmt: skip
        cutting.join(WAIT_S)
        assert run.value == 400
        assert run.status is RunStatus.COMPLETED
        assert run.ledger.at["processed", "rows"] == 400
        assert sorted(run.outcomes.start.dropna()) == sorted(chunk.start for chunk in run.plan)
        assert len(list(tmp_path.glob("ran-100-*"))) == 2
