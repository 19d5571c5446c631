"""Chunks of stores: the next one is read while the functions of the one before it run."""

import threading
from functools import partial
from typing import ClassVar

import fsspec
import pandas as pd
import pytest
from distributed import Client, LocalCluster
from fsspec.implementations.memory import MemoryFileSystem

import taskinity_data as td
from taskinity_data.chunks.sizing import Learner
from taskinity_data.errors import FlowFailed
from taskinity_data.execution.worker import next_chunk
from taskinity_data.execution.worker.job import Item, Job, Step, chunk_items
from taskinity_data.execution.worker.next_chunk import NextChunk, ThreadQueue

ROWS, WIDTH = 1_000, len("100000,row 100000\n")
URL = "watched://bucket/numbers.csv"
LAST = 100_000 + ROWS * 3 // 4


class WatchedStore(MemoryFileSystem):
    """A store in memory that knows which ranges were requested, and refuses some."""

    protocol = "watched"
    store: ClassVar = {}
    pseudo_dirs: ClassVar = [""]
    requested: ClassVar = []
    started: ClassVar = set()
    refused: ClassVar = set()
    changed: ClassVar = threading.Condition()

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("watched://", "memory://"))

    def cat_file(self, path, start=None, end=None, **more):
        with self.changed:
            self.requested.append(start)
            self.changed.notify_all()
        if start in self.refused:
            raise OSError("no such disk")
        return super().cat_file(path, start=start, end=end, **more)

    @classmethod
    def reads_ahead(cls, start):
        """Whether, within a minute, a range is requested that no function works on yet."""
        with cls.changed:
            cls.started.add(start)
            return bool(cls.changed.wait_for(lambda: set(cls.requested) - cls.started, 60))


@pytest.fixture
def frame(monkeypatch):
    """What the store's file holds; a batch is one chunk."""
    fsspec.register_implementation("watched", WatchedStore, clobber=True)
    numbers = range(100_000, 100_000 + ROWS)
    frame = pd.DataFrame({"n": numbers, "text": [f"row {n}" for n in numbers]})
    fsspec.filesystem("watched").pipe(URL, frame.to_csv(index=False).encode())
    WatchedStore.started.clear()
    WatchedStore.refused.clear()
    monkeypatch.setattr(Learner, "batch_size", lambda *_: 1)
    return frame


@pytest.fixture
def dataset(frame):
    found = td.open_dataset(URL, chunk_size=50 * WIDTH)
    WatchedStore.requested.clear()
    return found


def watch(rows, _more=b""):
    """Rows, and whether the store was read ahead meanwhile; the last chunks are not watched."""
    store = fsspec.get_filesystem_class("watched")
    first = int(rows["n"].iloc[0])
    start = len("n,text\n") + (first - 100_000) * len("100000,row 100000\n")
    return rows.assign(ahead=first > LAST or store.reads_ahead(start))


@pytest.mark.parametrize("workers", [1, 2])
def test_threads_request_the_next_chunk_while_functions_run(frame, dataset, workers):
    done = td.process(dataset, watch, reduce=td.concat(), scheduler="threads", workers=workers)
    pd.testing.assert_frame_equal(done.value[["n", "text"]], frame)
    assert done.value["ahead"].all()
    later = [start for start in WatchedStore.requested if start > 50 * WIDTH]
    assert sorted(later) == sorted(set(later))


@pytest.mark.parametrize("more", [b"", bytes(1 << 15)], ids=["small job", "kept job"])
def test_a_dask_worker_requests_the_next_chunk_while_a_function_runs(frame, dataset, more):
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):  # fmt: skip
        done = td.process(
            dataset,
            partial(watch, _more=more),
            reduce=td.concat(),
            scheduler=client,
        )
    pd.testing.assert_frame_equal(done.value[["n", "text"]], frame)
    assert done.value["ahead"].all()


def test_what_can_not_be_read_ahead_is_the_failure_of_its_chunk(frame, dataset):
    bad = list(dataset.plan())[5]
    rows = len(bad.read())
    WatchedStore.requested.clear()
    WatchedStore.refused.add(bad.start)
    done = td.process(
        dataset, len, reduce=td.collect(), scheduler="threads", workers=2, on_error="skip"
    )
    (failed,) = done.outcomes[done.outcomes.status != "COMPLETED"].itertuples()
    assert failed.path == URL
    assert "no such disk" in failed.error
    assert sum(done.value) == ROWS - rows


def test_an_object_that_changes_while_chunks_are_read_ahead_is_refused(frame, dataset):
    calls = []

    def work(rows):
        calls.append(len(rows))
        if len(calls) == 4:
            other = frame.assign(n=frame["n"] + 100_000)
            fsspec.filesystem("watched").pipe(URL, other.to_csv(index=False).encode())
        return rows

    with pytest.raises(FlowFailed, match="changed after it was planned"):
        td.process(dataset, work, reduce=td.concat(), scheduler="threads", workers=2)


def queue_of(chunks, *, room=2, **options):
    job = Job("Work", ((Step("Work", len),),), **options)
    queue = ThreadQueue(room)
    for item in chunk_items(chunks):
        queue.add(item.key, job, item)
    return queue


def test_one_chunk_for_each_thread_is_read_ahead(dataset, monkeypatch):
    read = []

    class Counted(NextChunk):
        def __init__(self, item, kind):
            read.append(item.position)
            super().__init__(item, kind)

    monkeypatch.setattr(next_chunk, "NextChunk", Counted)
    chunks = list(dataset.plan())
    items = list(chunk_items(chunks))
    queue = queue_of(chunks)
    for _ in range(4):
        queue.read_next(1.0)
    assert read == [0, 1]
    ahead = queue.take(items[0].key, items[0])
    pd.testing.assert_frame_equal(ahead.take().data, chunks[0].read())
    assert ahead.cpu_s > 0.0
    queue.read_next(1.0)
    assert read == [0, 1, 2]


def test_a_chunk_that_takes_much_memory_is_not_read_ahead(dataset):
    chunks = list(dataset.plan())
    (first, *_) = chunk_items(chunks)
    for max_nbytes, expected in [(chunks[0].nbytes * 6, True), (chunks[0].nbytes * 6 - 1, False)]:
        queue = queue_of(chunks[:1], max_nbytes=max_nbytes)
        queue.read_next(3.0)
        assert (queue.take(first.key, first) is not None) is expected


def test_files_of_this_machine_and_other_values_need_no_thread(frame, tmp_path):
    frame.to_csv(tmp_path / "numbers.csv", index=False)
    chunks = list(td.open_dataset(tmp_path / "numbers.csv", chunk_size=2_000).plan())
    for item in [*chunk_items(chunks), Item("key", 3)]:
        assert ThreadQueue(2).add("name", Job("Work", ((Step("Work", len),),)), item) is None


def test_a_batch_takes_no_chunk_but_its_own(dataset):
    chunks = list(dataset.plan())
    first, second, *_ = chunk_items(chunks)
    queue = queue_of(chunks)
    queue.read_next(1.0)
    assert queue.take(first.key, second) is None
