"""What a user's cluster starts anew by itself, and workers that do not answer at the start."""

from __future__ import annotations

import os
import signal
import threading

import pandas as pd
import pytest
from real_cluster import STUCK_S, WAIT_S, start_cluster, wait_until

import taskinity_data as td
from taskinity_data.events import ChunkFinished, Observer
from taskinity_data.execution.schedulers import worker_checks

pytestmark = pytest.mark.thorough

ALONE_S = 0.05
"""Chunks that take longer than 30 ms don't travel with others, which would be done again, too."""

LOST = "WorkerDied: a worker that ran or held this died or left"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with start_cluster(tmp_path_factory.mktemp("cluster")) as client:
        yield client


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "data.csv"
    pd.DataFrame({"n": range(400)}).to_csv(path, index=False)
    return path


def strike_once(mark, number):
    """A chunk function that ends its worker in the middle of the second chunk, the first time."""

    def strike(chunk):
        if chunk.n.min() == 100 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), number)
            threading.Event().wait(STUCK_S)
        return len(chunk)

    return strike


def run(csv, function, scheduler, **options):
    options = {"chunk_size": "100 rows", "progress": False, **options}
    return td.process(str(csv), function, scheduler=scheduler, **options)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_try_that_went_with_its_worker_is_an_attempt_and_is_told_once(
    number, client, csv, tmp_path
):
    client.wait_for_workers(2, timeout=WAIT_S)
    done = run(csv, strike_once(tmp_path / "mark", number), client)
    assert done.status == "COMPLETED"
    assert done.value == [100] * 4
    (struck,) = done.plan.chunks[1:2]
    tries = done.attempts[done.attempts["key"] == struck.key]
    assert list(tries["attempt"]) == [1, 2]
    assert tries["error"].iloc[0] == LOST
    assert tries["error"].isna().iloc[1]
    assert tries["worker"].iloc[0].startswith("tcp://")
    assert done.outcomes.set_index("key").loc[struck.key, "attempts"] == 2
    (notice,) = done.notices
    assert notice.startswith("ProcessChunk ran again: a worker that ran or held this died or left")
    assert str(done).count("died or left") == 1
    workers = done.worker_table
    (lost,) = workers.index[workers.left.notna()]
    assert workers.reason[lost] == "it died, or was cut off"
    assert (workers.reason.drop(lost) == "").all()
    assert (workers.host == "127.0.0.1").all()
    assert (workers.joined <= workers.left.fillna(workers.joined)).all()
    assert workers.chunks.sum() == 4


def test_a_restarted_try_costs_no_retry(client, csv, tmp_path):
    client.wait_for_workers(2, timeout=WAIT_S)
    strike = strike_once(tmp_path / "mark", signal.SIGKILL)

    def fail_then_work(chunk):
        strike(chunk)
        failed = tmp_path / "failed"
        if chunk.n.min() == 100 and not failed.exists():
            failed.touch()
            raise ValueError("once")
        return len(chunk)

    done = run(csv, fail_then_work, client, retries=1, retry_delay=0)
    assert done.value == [100] * 4
    tries = done.attempts[done.attempts["key"] == done.plan.chunks[1].key]
    assert list(tries["attempt"]) == [1, 2, 3]
    assert list(tries["error"][:2]) == [LOST, "ValueError: once"]


def test_nothing_of_a_run_stays_on_the_scheduler(client, csv):
    def name_plugins(dask_scheduler):
        return set(dask_scheduler.plugins)

    before = client.run_on_scheduler(name_plugins)
    assert run(csv, len, client).value == [100] * 4

    def is_clean():
        left = client.run_on_scheduler(name_plugins) - before
        return not [name for name in left if "restarts" in name]

    wait_until(is_clean)  # the run has not waited for it


def test_a_worker_that_does_not_answer_at_the_start_is_left_out(csv, tmp_path, monkeypatch):
    monkeypatch.setattr(worker_checks, "ANSWER_S", 15.0)
    with start_cluster(tmp_path, workers=2, nanny=False) as client:
        pids = client.run(os.getpid)
        silent = min(pids)
        os.kill(pids[silent], signal.SIGSTOP)
        try:
            done = run(csv, lambda chunk: os.getpid(), client)
        finally:
            os.kill(pids[silent], signal.SIGCONT)
    assert done.status == "COMPLETED"
    assert set(done.value) == set(pids.values()) - {pids[silent]}
    # Dask may have given it a chunk before it was known to be silent.
    (notice,) = (notice for notice in done.notices if "ran again" not in notice)
    assert notice.startswith(f"worker {silent} is not used: it does not respond")


def test_what_waits_for_a_worker_that_has_gone_runs_on_its_successor(csv, tmp_path, monkeypatch):
    # The other one is left out, and must not get it.
    monkeypatch.setattr(worker_checks, "ANSWER_S", 15.0)  # the one that runs answers in time
    with start_cluster(tmp_path, workers=2) as client:
        pids = client.run(os.getpid)
        silent = min(pids)
        os.kill(pids[silent], signal.SIGSTOP)
        try:
            done = run(csv, strike_once(tmp_path / "mark", signal.SIGKILL), client)
        finally:
            os.kill(pids[silent], signal.SIGCONT)
    assert done.status == "COMPLETED"
    assert done.value == [100] * 4
    used = done.attempts.loc[done.attempts["error"].isna(), "worker"]
    assert silent not in set(used)


def test_a_cluster_of_which_no_worker_answers_is_refused(csv, tmp_path, monkeypatch):
    monkeypatch.setattr(worker_checks, "ANSWER_S", 1.0)
    with start_cluster(tmp_path, workers=1, nanny=False) as client:
        (pid,) = client.run(os.getpid).values()
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(
                td.errors.SchedulerError, match=r"no usable worker.*it does not respond"
            ):
                run(csv, len, client)
        finally:
            os.kill(pid, signal.SIGCONT)


class Received(Observer):
    """Leaves a file for each chunk whose result the driver has, called as `names` say by key."""

    def __init__(self, folder, names):
        self.folder, self.names = folder, names

    def on_event(self, event):
        if isinstance(event, ChunkFinished):
            (self.folder / f"received-{self.names[event.outcome.key]}").touch()


def test_of_workers_that_are_lost_one_after_another_only_what_they_ran_is_done_again(
    client, csv, tmp_path
):
    client.wait_for_workers(2, timeout=WAIT_S)

    def strike(chunk):
        first = int(chunk.n.min())
        started = tmp_path / f"started-{first}-{len(list(tmp_path.glob(f'started-{first}-*')))}"
        started.touch()
        threading.Event().wait(ALONE_S)
        if first in (70, 180, 290) and started.name.endswith("-0"):
            # What this worker has done before is with the driver.
            ended = [path.name.split("-")[1] for path in tmp_path.glob(f"ended-*-{os.getpid()}")]
            wait_until(lambda: all((tmp_path / f"received-{name}").exists() for name in ended))
            os.kill(os.getpid(), signal.SIGKILL)
        (tmp_path / f"ended-{first}-{os.getpid()}").touch()
        return first

    plan = td.open_dataset(str(csv)).plan(chunk_size="10 rows")
    received = Received(tmp_path, {chunk.key: 10 * at for at, chunk in enumerate(plan)})
    done = run(csv, strike, client, chunk_size="10 rows", observers=[received])
    assert done.value == list(range(0, 400, 10))
    assert done.ledger.at["processed", "rows"] == 400
    assert sorted(done.outcomes.start.dropna()) == sorted(chunk.start for chunk in done.plan)
    started = sorted(path.name for path in tmp_path.glob("started-*"))
    again = [f"started-{first}-1" for first in (70, 180, 290)]
    assert started == sorted([f"started-{first}-0" for first in range(0, 400, 10)] + again)
    assert (done.worker_table.reason == "it died, or was cut off").sum() == 3
