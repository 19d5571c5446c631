"""Clusters that grow, are far away, or have workers that can't be used."""

from __future__ import annotations

import math
import os
import threading
from types import SimpleNamespace

import pandas as pd
import pytest
from distributed import LocalCluster, Status
from real_cluster import STEP_S, WAIT_S, start_cluster, start_worker, wait_until

import taskinity_data as td
from taskinity_data import errors
from taskinity_data.execution.schedulers import cluster_workers
from taskinity_data.execution.schedulers.cluster_workers import ClusterWorkers
from taskinity_data.execution.schedulers.growth import count_planned, expect_growth


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "data.csv"
    pd.DataFrame({"n": range(400)}).to_csv(path, index=False)
    return path


def run(csv, function, scheduler, **options):
    options = {"chunk_size": "10 rows", "progress": False, **options}
    return td.process(str(csv), function, scheduler=scheduler, **options)


def until_so_many(folder, count):
    """A chunk function of which the first waits until so many processes have had a chunk."""

    def touch(chunk):
        (folder / f"pid-{os.getpid()}").touch()
        for _ in range(int(WAIT_S / STEP_S)):
            if chunk.n.min() > 0 or len(list(folder.glob("pid-*"))) >= count:
                return os.getpid()
            threading.Event().wait(STEP_S)
        raise TimeoutError

    return touch


# -- how much is queued ----------------------------------------------------------------------------


class FarClient:
    """A client whose scheduler answers after `took_s`, as `clock` says."""

    status = "running"
    cluster = None
    scheduler = SimpleNamespace(ncores="ncores", identity="identity")

    def __init__(self, threads, took_s):
        self.threads, self.took_s, self.now = threads, took_s, 0.0

    def sync(self, query, **options):
        self.now += self.took_s
        if query == "ncores":
            return self.threads
        infos = {worker: {"nthreads": count} for worker, count in self.threads.items()}
        return {"services": {}, "workers": infos}

    def time(self):
        return self.now

    def perf_counter(self):
        return self.now

    def monotonic(self):
        return 1000.0 + self.now


def far_workers(monkeypatch, took_s, threads=2, **options):
    client = FarClient({f"tcp://{number}": 1 for number in range(threads)}, took_s)
    monkeypatch.setattr(cluster_workers, "time", client)
    workers = ClusterWorkers(client, "far", **options)
    workers.refresh()
    return workers


@pytest.mark.parametrize("batch_s", [0.05, 0.2, 1.0, 10.0])
@pytest.mark.parametrize("took_s", [0.001, 0.02, 0.11, 0.5])
def test_the_queue_covers_the_way_to_the_cluster(took_s, batch_s, monkeypatch):
    workers = far_workers(monkeypatch, took_s)
    batches = workers.window(batch_s, items_nbytes=300)
    # While one is reported, fetched and followed by another, each thread has more to do.
    assert (batches / 2 - 1) * batch_s >= min(3 * took_s, 20 * batch_s)
    assert batches <= 2 * max(2, 3 + math.ceil(4 * took_s / batch_s))


def test_the_first_queue_covers_the_way_and_a_new_connection_for_short_chunks(monkeypatch):
    workers = far_workers(monkeypatch, 0.11)
    assert (workers.window(None, items_nbytes=300) / 2 - 1) * 0.2 >= 4 * 0.11


def test_a_queue_of_large_items_stays_small_on_any_way(monkeypatch):
    workers = far_workers(monkeypatch, 1.0)
    assert workers.window(0.01, items_nbytes=300) == 2 * 64
    assert workers.window(0.01, items_nbytes=64 << 20) == 2 * 2


def test_who_is_left_out_gets_nothing_while_all_others_are_gone(monkeypatch):
    monkeypatch.setattr(cluster_workers, "REFRESH_S", 0.0)
    workers = far_workers(monkeypatch, 0.1)
    client = workers._client
    assert workers.restrictions() == {}
    workers.leave_out("tcp://1", "it does not respond")
    assert workers.restrictions() == {"workers": ["tcp://0"]}  # not looked again yet
    client.threads = {"tcp://1": 1}
    workers.refresh()
    assert workers.threads == {}
    assert workers.restrictions() == {"workers": ["tcp://0"]}
    client.threads = {"tcp://1": 1, "tcp://2": 1}
    workers.refresh()
    assert workers.restrictions() == {"workers": ["tcp://2"]}


def test_a_limit_below_what_there_is_leaves_no_queue(monkeypatch):
    assert far_workers(monkeypatch, 0.1, threads=4, limit=2).window(0.1, 300) == 2
    assert far_workers(monkeypatch, 0.1, threads=1, limit=1).window(0.1, 300) == 1


def adaptive(maximum, state="running", **spec):
    return SimpleNamespace(
        _adaptive=SimpleNamespace(state=state, maximum=maximum, target_duration=5.0),
        new_spec={"options": spec},
        worker_spec={},
    )


@pytest.mark.parametrize(
    ("cluster", "threads", "limit", "has_grown", "expected"),
    [
        (None, {}, None, False, (1, 0)),
        (None, {"a": 2, "b": 2}, None, False, (4, 0)),
        (None, {"a": 2}, 8, False, (8, 5)),
        (None, {"a": 2}, None, True, (4, 5)),
        (adaptive(3), {}, None, False, (3, 5)),
        (adaptive(3, nthreads=4), {}, None, False, (12, 5)),
        (adaptive(3, cores=8, processes=2), {}, None, False, (12, 5)),
        (adaptive(3), {"a": 2}, None, False, (6, 5)),
        (adaptive(math.inf), {"a": 2}, None, False, (4, 5)),
        (adaptive(3, state="stopped"), {"a": 2}, None, False, (2, 0)),
        (SimpleNamespace(worker_spec={0: {}, 1: {}}), {}, None, False, (2, 0)),
        (SimpleNamespace(worker_spec={0: {"group": ["-0", "-1"]}}), {"a": 3}, 1, False, (6, 0)),
    ],
)
def test_what_a_cluster_will_have(cluster, threads, limit, has_grown, expected):
    assert expect_growth(cluster, threads, limit, has_grown=has_grown) == expected


def test_only_a_cluster_object_says_how_many_workers_are_planned():
    assert count_planned(None) is None
    assert count_planned(SimpleNamespace(worker_spec={0: {}, 1: {"group": "ab"}})) == 3


# -- waiting ---------------------------------------------------------------------------------------


def wait_for_nobody(monkeypatch, seconds, cluster=None, **options):
    """Look at a cluster without workers until so many seconds have passed."""
    client = FarClient({}, 1.0)
    client.cluster = cluster
    monkeypatch.setattr(cluster_workers, "time", client)
    workers = ClusterWorkers(client, "far", **options)
    while client.now < seconds:
        workers.refresh()
    return workers


def test_why_a_worker_left_is_what_the_scheduler_reports_whoever_sees_it_first(monkeypatch):
    workers = far_workers(monkeypatch, 0.1)
    seen, reported = "it left, or died", "it died, or was cut off"
    for number, reasons in enumerate([(seen, reported), (reported, seen)]):
        for reason in reasons:
            workers.note_end(f"tcp://{number}", 1.0, reason)
    assert [row.reason for row in workers.rows] == [reported, reported]


def test_a_cluster_that_starts_workers_is_waited_for_and_one_that_does_not_for_30_s(monkeypatch):
    starting = SimpleNamespace(worker_spec={0: {}, 1: {}})
    workers = wait_for_nobody(monkeypatch, 100, starting)
    said = "the cluster is starting 2; if none joins, see the workers' logs"
    assert workers.take_notices() == [
        f"far: no worker for {seconds} s, {said}" for seconds in (10, 70)
    ]
    assert workers.take_notices() == []
    wait_for_nobody(monkeypatch, 3000, starting)
    wait_for_nobody(monkeypatch, 30)
    with pytest.raises(errors.SchedulerError, match=r"has joined within 30 s.*wait_for_workers="):
        wait_for_nobody(monkeypatch, 33)


def test_a_cluster_that_starts_workers_only_later_says_so_then(monkeypatch):
    cluster = SimpleNamespace(worker_spec={})
    client = FarClient({}, 1.0)
    client.cluster = cluster
    monkeypatch.setattr(cluster_workers, "time", client)
    workers = ClusterWorkers(client, "far")
    while client.now < 20:
        workers.refresh()
    assert workers.take_notices() == []
    cluster.worker_spec[0] = {}
    workers.refresh()
    (notice,) = workers.take_notices()
    assert notice.startswith("far: no worker for 20 s, the cluster is starting 1; ")


@pytest.mark.parametrize("cluster", [None, SimpleNamespace(worker_spec={0: {}})])
def test_a_time_that_is_given_is_waited_for_whatever_the_cluster_says(cluster, monkeypatch):
    wait_for_nobody(monkeypatch, 600, cluster, wait_s=600.0)
    with pytest.raises(errors.SchedulerError, match=r"has joined within 600 s"):
        wait_for_nobody(monkeypatch, 610, cluster, wait_s=600.0)


def test_an_address_of_dask_gateway_says_what_to_give_instead(csv):
    with pytest.raises(errors.SchedulerError, match=r"gateway\.connect.*get_client"):
        run(csv, len, "gateway://host:8000/abc")


def test_a_cluster_that_is_closed_is_refused(csv):
    closed = SimpleNamespace(scheduler_address="tcp://127.0.0.1:9", status=Status.closed)
    with pytest.raises(errors.SchedulerError, match="closed"):
        run(csv, len, closed)


def test_the_worker_table_of_threads_lists_this_process(csv):
    done = run(csv, len, "threads", workers=2)
    (worker,) = done.worker_table.itertuples()
    assert worker.name.endswith(f":{os.getpid()}")
    assert worker.chunks == 40
    assert worker.joined == done.attempts.started.min()
    assert pd.isna(worker.left)
    assert done.workers == 2


# -- clusters that grow ----------------------------------------------------------------------------


# A worker of Dask's that is stopped while it starts leaves a socket to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.thorough
@pytest.mark.parametrize(("minimum", "maximum"), [(0, 2), (1, 2)])
def test_an_adaptive_cluster_grows_as_far_as_it_may(minimum, maximum, csv, tmp_path):
    with LocalCluster(n_workers=minimum, threads_per_worker=1, dashboard_address=None) as cluster:
        cluster.adapt(minimum=minimum, maximum=maximum, interval="100ms")
        done = run(csv, until_so_many(tmp_path, maximum), cluster)
    assert len(done.value) == 40
    assert len(set(done.value)) >= maximum
    assert done.status == "COMPLETED"


@pytest.mark.thorough
def test_workers_that_join_a_given_scheduler_are_used(csv, tmp_path):
    with start_cluster(tmp_path, workers=0) as client:
        starting = threading.Thread(target=lambda: [start_worker(client), start_worker(client)])
        starting.start()
        done = run(csv, until_so_many(tmp_path, 2), client.scheduler.address)
        starting.join()
    assert len(set(done.value)) == 2


@pytest.mark.thorough
def test_a_cluster_that_stays_without_workers_says_what_to_do(csv, tmp_path):
    with (
        start_cluster(tmp_path, workers=0) as client,
        pytest.raises(
            errors.TaskinityDataError, match=r"has joined within 0\.3 s.*wait_for_workers="
        ),
    ):
        run(csv, len, client, wait_for_workers="300 ms")


# -- workers that can't be used --------------------------------------------------------------------

LACKS = "raise ImportError"
OLDER = "__version__ = '0.0.1'"


def fake_package(folder, source):
    folder.mkdir()
    (folder / "taskinity_data.py").write_text(source)
    return {"PYTHONPATH": str(folder)}


@pytest.mark.thorough
def test_a_worker_with_another_version_is_left_out_before_its_first_chunk(csv, tmp_path):
    with start_cluster(tmp_path, workers=1) as client:
        start_worker(client, **fake_package(tmp_path / "fake", OLDER))
        client.wait_for_workers(2, timeout=WAIT_S)
        done = run(csv, until_so_many(tmp_path, 1), client)
    assert len(set(done.value)) == 1
    (notice,) = done.notices
    assert "is not used: it has " in notice
    assert "taskinity_data" in notice
    workers = done.worker_table.set_index("chunks")
    assert workers.reason[0].startswith("not used: it has taskinity_data")
    assert workers.reason[40] == ""


@pytest.mark.thorough
@pytest.mark.parametrize(("source", "nbytes"), [(LACKS, 1 << 20), (OLDER, 1)])
def test_a_worker_that_joins_checks_itself_before_its_first_chunk(source, nbytes, csv, tmp_path):
    load = os.urandom(nbytes)
    with start_cluster(tmp_path, workers=1) as client:

        def wait_for_the_other(chunk):
            (tmp_path / "begun").touch()
            # Until the other one has refused some: it is idle, this one is not.
            for _ in range(300 if chunk.n.min() == 0 else 0):
                if (tmp_path / "joined").exists():
                    threading.Event().wait(1.0)
                    break
                threading.Event().wait(STEP_S * 10)
            return os.getpid(), len(load)

        def join():
            wait_until((tmp_path / "begun").exists)
            start_worker(client, **fake_package(tmp_path / "fake", source))
            client.wait_for_workers(2, timeout=WAIT_S)
            (tmp_path / "joined").touch()

        joining = threading.Thread(target=join)
        joining.start()
        done = run(csv, wait_for_the_other, client)
        joining.join()
    assert len(done.value) == 40
    assert len(set(done.value)) == 1
    assert done.status == "COMPLETED"
    assert set(done.outcomes.attempts) == {1}
    (notice,) = done.notices
    assert "is not used: it has " in notice


@pytest.mark.thorough
def test_where_no_worker_is_left_the_run_is_refused(csv, tmp_path):
    with start_cluster(tmp_path, workers=0) as client:
        start_worker(client, **fake_package(tmp_path / "fake", LACKS))
        client.wait_for_workers(1, timeout=WAIT_S)
        with pytest.raises(errors.SchedulerError, match=r"no usable worker.*no taskinity_data"):
            run(csv, len, client)


@pytest.mark.thorough
def test_where_all_that_join_are_left_out_the_run_ends_with_the_reason(csv, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_workers, "WAIT_FOR_WORKERS_S", WAIT_S)
    with start_cluster(tmp_path, workers=0) as client:

        def join():
            start_worker(client, **fake_package(tmp_path / "fake", OLDER))
            client.wait_for_workers(1, timeout=WAIT_S)
            monkeypatch.setattr(cluster_workers, "WAIT_FOR_WORKERS_S", 1.0)

        joining = threading.Thread(target=join)
        joining.start()
        with pytest.raises(errors.TaskinityDataError, match=r"it has taskinity_data 0\.0\.1"):
            run(csv, len, client)
        joining.join()
