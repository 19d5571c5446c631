"""An output in a store: what is written, what readers see of it, what is left, what is refused."""

import json
import pickle
import threading
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from store_frames import cut, frame, read, same

import taskinity_data as td
from taskinity_data.errors import LedgerError, PlanError, ReadError, SchemaError, SourceNotFound
from taskinity_data.output.manifest import Manifest, StoredPart
from taskinity_data.output.sink import open_sink
from taskinity_data.output.staging import WriteAttempt
from taskinity_data.output.store import lock as store_lock
from taskinity_data.output.store.remote import Remote

URL = "memory://bucket/out"


def write(target, chunks, meta=None, **options):
    with open_sink(target, **options) as sink:
        writer = pickle.loads(pickle.dumps(sink.writer))
        parts = [writer.write(f"k{i}", i, chunk) for i, chunk in enumerate(chunks)]
        return sink.commit(pickle.loads(pickle.dumps(parts)), meta)


def stray(writer):
    """The name of a file that a worker put which then died."""
    table = pa.Table.from_pandas(frame())
    return writer.staging.put(table, writer.format, "", WriteAttempt(7, "key", "01234567"), 0)[0]


def names(system, below="/bucket/out"):
    return sorted(name.removeprefix(f"{below}/") for name in system.find(below))


def listed(system):
    manifest = Manifest.from_json(system.cat("/bucket/out/_manifest.json"))
    return [part.path for part in manifest.parts]


@pytest.mark.parametrize("format_", ["parquet", "csv", "jsonl", "arrow"])
@pytest.mark.parametrize("most", [None, 2])
def test_each_format_reads_back_in_order(memory, format_, most):
    whole = frame()
    told = write(URL, cut(whole, 3, 4), format=format_, max_rows_per_file=most)
    same(read(URL), whole)
    assert [part.rows for part in told.parts] == ([3, 1, 5] if most is None else [2, 1, 1, 2, 2, 1])
    assert names(memory) == sorted(["_manifest.json", *listed(memory)])
    assert listed(memory) == sorted(listed(memory))


def test_names_sort_as_rows_do_where_a_chunk_was_split(memory):
    whole = frame()
    places = [(0, ()), (1, (0,)), (1, (1, 0)), (1, (1, 1))]
    pieces = zip("zyxw", places, cut(whole, 2, 3, 5), strict=True)
    with open_sink(URL) as sink:
        sink.commit([sink.writer.write(k, index, one, at) for k, (index, at), one in pieces])
    files = [f"memory:///bucket/out/{name}" for name in names(memory) if name.startswith("part-")]
    assert len(files) == 4
    same(pd.concat(map(pd.read_parquet, files), ignore_index=True), whole)
    same(read(URL), whole)
    with open_sink(URL, if_exists="append") as sink:  # takes all of them for its own kind
        sink.commit([sink.writer.write("k", 0, whole)])
    assert len(read(URL)) == 2 * len(whole)


@pytest.mark.parametrize("format_", ["parquet", "csv", "jsonl", "arrow"])
def test_partitions_are_directories_that_read_back_as_columns(memory, format_):
    whole = frame()
    write(URL, cut(whole, 4), format=format_, partition_by=["year", "kind"])
    found = read(URL).astype({"year": "int64", "kind": "str"})
    same(found.sort_values("number", ignore_index=True), whole)
    assert all(path.startswith("year=201") for path in listed(memory))
    (one,) = [part for part in Manifest.from_json(memory.cat("/bucket/out/_manifest.json")).parts
              if part.path.startswith("year=2013/kind=k1/")]  # fmt: skip
    assert one.rows == 1
    part = read(f"{URL}/year=2013")
    assert sorted(part.number) == sorted(whole[whole.year == 2013].number)


def test_append_adds_behind_and_overwrite_replaces(memory):
    one, two, three = frame(), frame(100), frame(200)
    write(URL, cut(one, 5), {"run": 1})
    first = names(memory)
    told = write(URL, cut(two, 3), {"run": 2}, if_exists="append")
    assert told.rows == len(two)
    same(read(URL), pd.concat([one, two], ignore_index=True))
    assert set(first) < set(names(memory))
    manifest = Manifest.from_json(memory.cat("/bucket/out/_manifest.json"))
    runs = [one.pop("runs") for one in (manifest.meta, *manifest.added)]
    assert (manifest.meta, manifest.added) == ({"run": 1}, ({"run": 2},))
    assert all(
        f"-{run}-" in listed(memory)[place] for place, (run,) in zip((0, -1), runs, strict=True)
    )
    assert listed(memory) == sorted(listed(memory))
    write(URL, [three], if_exists="overwrite")
    same(read(URL), three)
    assert names(memory) == sorted(["_manifest.json", *listed(memory)])
    with pytest.raises(PlanError, match=r"not empty.*if_exists='overwrite'"):
        write(URL, [one])
    same(read(URL), three)


def test_what_a_run_writes_is_seen_by_nobody_until_it_commits(memory):
    old, new = frame(), frame(100)
    with open_sink(URL) as sink:
        parts = [sink.writer.write("k", 0, new)]
        for source in (URL, f"{URL}/*.parquet"):
            with pytest.raises(SourceNotFound, match="not committed"):
                td.open_dataset(source)
        sink.commit(parts)
    same(read(URL), new)
    write(URL, [old], if_exists="overwrite")
    with open_sink(URL, if_exists="overwrite") as sink:
        parts = [sink.writer.write("k", 0, new)]
        for source in (URL, f"{URL}/", f"{URL}/*.parquet", "memory://bucket"):
            same(read(source), old)
        sink.commit(parts)
    for source in (URL, f"{URL}/*.parquet", "memory://bucket"):
        same(read(source), new)


def test_a_run_that_does_not_commit_leaves_nothing(memory):
    with open_sink(URL) as sink:
        sink.writer.write("k", 0, frame())
        assert len(names(memory)) == 2
    assert not memory.find("/bucket")
    write(URL, [frame()])
    before = names(memory)
    with pytest.raises(SchemaError):
        write(URL, [frame(), frame()[["part"]]], if_exists="overwrite")
    assert names(memory) == before
    same(read(URL), frame())


def test_a_chunk_that_is_written_twice_counts_once(memory):
    with open_sink(URL) as sink:
        lost = sink.writer.write("k", 0, frame())
        kept = sink.writer.write("k", 0, frame())
        with pytest.raises(LedgerError, match="twice"):
            sink._commit((lost, kept), {})
        sink.commit([kept])
    same(read(URL), frame())
    assert names(memory) == ["_manifest.json", kept.files[0].name]


def test_a_straggler_of_a_run_that_has_ended_takes_back_what_it_wrote(memory):
    with open_sink(URL, partition_by="kind") as sink:
        writer = sink.writer
        sink.commit([writer.write("k", 0, frame())])
    before = names(memory)
    with pytest.raises(FileNotFoundError, match="the run has ended"):
        writer.write("k", 0, frame())
    assert names(memory) == before


def test_what_a_straggler_leaves_that_dies_counts_for_nothing_and_the_next_run_removes_it(memory):
    with open_sink(URL) as sink:
        writer = sink.writer
        sink.commit([writer.write("k", 0, frame())])
    late = stray(writer)
    same(read(URL), frame())
    same(read(f"{URL}/*.parquet"), frame())
    assert late in names(memory)
    open_sink(URL, if_exists="append").abort()
    assert late not in names(memory)
    same(read(URL), frame())


def test_a_column_without_values_takes_the_others_type(memory):
    chunks = [
        pd.DataFrame({"a": [1], "t": pd.Series([value], dtype=object)}) for value in (None, "x")
    ]
    told = write(URL, chunks)
    assert told.schema.field("t").type == pa.large_string()
    for path in listed(memory):
        with memory.open(f"/bucket/out/{path}") as file:
            assert pa.parquet.read_schema(file).field("t").type == pa.large_string()
    assert read(URL).t.isna().tolist() == [True, False]
    assert names(memory) == sorted(["_manifest.json", *listed(memory)])


@pytest.mark.parametrize("partition_by", [(), "kind"])
def test_no_rows_at_all_still_tell_the_columns(memory, partition_by):
    told = write(URL, [None, frame()[:0]], partition_by=partition_by)
    assert told.rows == 0
    found = ds.dataset(
        [f"bucket/out/{path}" for path in listed(memory)],
        filesystem=memory,
        partitioning="hive",
        partition_base_dir="bucket/out",
    )
    assert set(found.schema.names) == set(frame().columns)
    assert found.count_rows() == 0


def test_a_manifest_alone_is_told(memory):
    write(URL, [None])
    with pytest.raises(SourceNotFound, match="committed no rows"):
        td.open_dataset(URL)


def test_a_part_that_is_gone_or_cut_is_told(memory):
    for damage in (memory.rm_file, lambda name: memory.pipe_file(name, b"PAR1")):
        with open_sink(URL) as sink:
            part = sink.writer.write("k", 0, frame())
            damage(f"/bucket/out/{part.files[0].name}")
            with pytest.raises(ReadError, match=r"is missing|has 4 bytes"):
                sink.commit([part])
    write(URL, [frame()])
    for damage, said in (
        (lambda name: memory.pipe_file(name, b"PAR1"), "has 4 bytes"),
        (memory.rm_file, "is gone"),
    ):
        damage(f"/bucket/out/{listed(memory)[0]}")
        with pytest.raises(SourceNotFound, match=said):
            td.open_dataset(URL)


def test_a_broken_manifest_is_told_and_another_program_s_is_none(memory):
    write(URL, [frame()])
    text = memory.cat("/bucket/out/_manifest.json")
    memory.pipe_file("/bucket/out/_manifest.json", text[:-9])
    with pytest.raises(ReadError, match="is not a valid manifest"):
        td.open_dataset(URL)
    for if_exists in ("append", "overwrite", "error"):
        with pytest.raises(ReadError, match="is not a valid manifest"):
            open_sink(URL, if_exists=if_exists)
    memory.pipe_file("/bucket/out/_manifest.json", text)
    same(read(URL), frame())
    for part in listed(memory):
        memory.mv(f"/bucket/out/{part}", "/bucket/other/a.parquet")
    memory.pipe_file("/bucket/other/_manifest.json", b'{"version": 3, "parts": []}')
    same(read("memory://bucket/other"), frame())


def test_what_came_meanwhile_is_left_alone(memory):
    other = frame(100)
    with open_sink(URL) as sink:
        part = sink.writer.write("k", 0, frame())
        memory.pipe_file("/bucket/out/mine.parquet", b"x")
        with pytest.raises(PlanError, match="since the run began"):
            sink.commit([part])
    assert names(memory) == ["mine.parquet"]
    memory.rm_file("/bucket/out/mine.parquet")
    write(URL, [frame()])
    with open_sink(URL, if_exists="append") as sink:
        part = sink.writer.write("k", 0, other)
        memory.pipe_file("/bucket/out/_manifest.json", b"{}")
        with pytest.raises(PlanError, match="since the run began"):
            sink.commit([part])


def test_what_no_run_wrote_is_neither_overwritten_nor_added_to(memory):
    memory.pipe_file("/bucket/out/mine.parquet", b"x")
    for if_exists, said in (
        ("error", "not empty; choose another directory$"),
        ("append", "this library did not write"),
        ("overwrite", "this library did not write"),
    ):
        with pytest.raises(PlanError, match=said):
            open_sink(URL, if_exists=if_exists)
    assert names(memory) == ["mine.parquet"]
    memory.rm_file("/bucket/out/mine.parquet")
    write(URL, [frame()])
    memory.pipe_file("/bucket/out/mine.parquet", b"x")
    with pytest.raises(PlanError, match=r"contains mine\.parquet, which no run wrote"):
        open_sink(URL, if_exists="overwrite")
    same(read(URL), frame())  # read by what the manifest lists


def test_appending_keeps_format_columns_and_types(memory):
    write(URL, [frame()])
    for options, said in (
        ({"format": "csv"}, "output_format"),
        ({"partition_by": "kind"}, "partition_by"),
    ):
        with pytest.raises(PlanError, match=said):
            open_sink(URL, if_exists="append", **options)
    with open_sink(URL, if_exists="append") as sink, pytest.raises(SchemaError, match="'part'"):
        sink.writer.write("k", 0, frame().assign(part="x"))


def test_a_directory_copied_from_a_disk_is_whole_with_all_that_was_appended(memory, tmp_path):
    parts = [frame(), frame(100), frame(200), frame(300)]
    for one in parts[:2]:
        write(tmp_path / "out", [one], if_exists="append")
    memory.put(str(tmp_path / "out"), "/bucket/out", recursive=True)
    same(read(URL), pd.concat(parts[:2], ignore_index=True))
    write(URL, [parts[2]], if_exists="append")
    same(read(URL), pd.concat(parts[:3], ignore_index=True))
    write(URL, [parts[3]], if_exists="overwrite")
    same(read(URL), parts[3])
    assert names(memory) == sorted(["_manifest.json", *listed(memory)])


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://example.org/out", "can't be written to a web server"),
        ("https://me:hunter2@example.org/out?sig=hunter2", "can't be written to a web server"),
        ("zip://out::memory://a.zip", "archives and chained"),
        ("simplecache::memory://bucket/out", "archives and chained"),
        ("zip://out", "archives and chained"),
        ("memory://", "has no directory"),
        ("memory://bucket/a=1", "without ="),
        ("nothing://bucket/out", "has no protocol 'nothing'"),
    ],
)
def test_urls_that_cant_be_written_to_are_refused(url, said):
    with pytest.raises(PlanError, match=said) as caught:
        open_sink(url)
    assert "hunter2" not in str(caught.value)


def test_a_path_is_no_url(memory, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PlanError, match="give the URL as a string"):
        open_sink(Path(URL))
    open_sink(URL).abort()
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_target(memory):
    memory.pipe_file("/bucket/out", b"x")
    with pytest.raises(PlanError, match="is a file"):
        open_sink(URL)


def test_another_process_does_not_see_a_store_in_memory(memory, monkeypatch):
    with open_sink(URL) as sink:
        monkeypatch.setattr("taskinity_data.output.staging.name_process", lambda: "process 1")
        with pytest.raises(PlanError, match="scheduler='threads'"):
            sink.writer.write("k", 0, frame())


def test_a_store_with_real_directories_is_left_without_empty_ones(tmp_path):
    url = f"local://{tmp_path}/out"
    with open_sink(url, partition_by="kind") as sink:
        sink.writer.write("k", 0, frame())
        assert (tmp_path / "out" / "kind=k1").is_dir()
    assert list(tmp_path.iterdir()) == []
    for first, if_exists in ((0, "error"), (100, "overwrite"), (200, "append")):
        write(url, cut(frame(first), 3), partition_by="kind", if_exists=if_exists)
    found = read(url).sort_values("number", ignore_index=True).astype({"kind": "str"})
    same(found, pd.concat([frame(100), frame(200)], ignore_index=True))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "_manifest.json", "kind=k0", "kind=k1", "kind=k2"
    ]  # fmt: skip


# -- who writes ------------------------------------------------------------------------------------


def put_marker(system, **changes):
    holder = {**store_lock._describe_process(), **changes}
    system.pipe_file("/bucket/out/_writing/0123456789ab", json.dumps(holder).encode())


def test_two_runs_on_one_target(memory):
    with open_sink(URL) as first:
        part = first.writer.write("k", 0, frame())
        with pytest.raises(PlanError, match=r"process \d+ on .* is writing it"):
            open_sink(URL)
        open_sink("memory://bucket/other").abort()
        first.commit([part])
        with pytest.raises(PlanError, match="is closed"):
            first.commit([part])
    same(read(URL), frame())
    assert names(memory) == ["_manifest.json", part.files[0].name]


@pytest.mark.parametrize(
    ("changes", "is_dead"),
    [
        ({"process": 2**22 + 1}, True),
        ({"started": "1"}, True),  # its number is another process's now
        ({"host": "elsewhere", "process": 2**22 + 1}, False),
        ({"machine": "another", "started": "1"}, False),
        ({}, False),
    ],
)
def test_a_process_that_has_ended_here_is_known_to_be_dead(memory, changes, is_dead):
    put_marker(memory, **changes)
    if is_dead:
        write(URL, [frame()])
        assert len(names(memory)) == 2
    else:
        with pytest.raises(PlanError, match="is writing it"):
            open_sink(URL)
        assert names(memory) == ["_writing/0123456789ab"]


def test_a_marker_that_is_not_whole_counts_until_its_lease_ends(memory):
    memory.pipe_file("/bucket/out/_writing/0123456789ab", b'{"host"')
    with pytest.raises(PlanError, match="is writing it"):
        open_sink(URL)
    marker = memory.store["/bucket/out/_writing/0123456789ab"]
    marker.created -= pd.Timedelta(seconds=store_lock.LEASE_S + 10)
    open_sink(URL).abort()
    assert not memory.find("/bucket")


def test_a_run_elsewhere_that_gives_no_sign_is_dead_after_its_lease(memory, monkeypatch):
    put_marker(memory, host="elsewhere")
    marker = memory.store["/bucket/out/_writing/0123456789ab"]
    marker.created = pd.Timestamp.now("UTC") - pd.Timedelta(seconds=store_lock.LEASE_S - 30)
    with pytest.raises(PlanError, match="on elsewhere is writing it"):
        open_sink(URL)
    marker.created -= pd.Timedelta(seconds=40)
    write(URL, [frame()])
    assert len(names(memory)) == 2


def test_a_marker_is_put_anew_while_a_run_lives(memory, monkeypatch):
    monkeypatch.setattr(store_lock, "BEAT_S", 0.01)
    beats = threading.Semaphore(0)
    put = Remote.put

    def count(self, relative, data):
        put(self, relative, data)
        if relative.startswith("_writing/"):
            beats.release()

    monkeypatch.setattr(Remote, "put", count)
    before = threading.active_count()
    with open_sink(URL) as sink:
        for _ in range(3):
            assert beats.acquire(timeout=120)
        part = sink.writer.write("k", 0, frame())
        # Another run takes this one for dead, and removes what it left.
        (marker,) = [name for name in names(memory) if name.startswith("_writing/")]
        memory.rm_file(f"/bucket/out/{marker}")
        sink._marker._thread.join(10)
        with pytest.raises(PlanError, match="another run took over"):
            sink.commit([part])
    assert threading.active_count() == before
    assert not memory.find("/bucket")


# -- what dead runs leave --------------------------------------------------------------------------


def test_leftovers_of_dead_runs_are_removed_by_name_alone(memory):
    write(URL, [frame()])
    kept = names(memory)
    with open_sink(URL, if_exists="append") as sink:
        late = sink.writer
    left = stray(late)
    with open_sink(f"{URL}/sub/b", partition_by="kind") as sink:  # another output below it
        sink.commit([sink.writer.write("k", 0, frame())])
    mine = ["part-mine.parquet", "_manifest.json.bak", *(f"sub/b/{name}" for name in
            names(memory, "/bucket/out/sub/b"))]  # fmt: skip
    for name in mine[:2]:
        memory.pipe_file(f"/bucket/out/{name}", b"x")
    put_marker(memory, process=2**22 + 1)
    assert left in names(memory)
    open_sink(URL, if_exists="append").abort()
    assert names(memory) == sorted([*kept, *mine])
    same(read(URL), frame())
    assert len(read(f"{URL}/sub/b")) == 9


def test_parts_are_found_by_the_runs_that_their_names_show():
    names = [
        "part-00000-k.parquet",
        "part-batch-00001-00000-k.parquet",
        "part-00002-00000000-k-0123456789ab-01234567-00000.parquet",
        "year=2013/part-00002-00000001-k-ba9876543210-01234567-00000.parquet",
    ]
    parts = tuple(StoredPart(name, 0, "k", 1, 1, "") for name in names)
    added = ({"batch": 1}, {"runs": []}, {"runs": ["0123456789ab", "ba9876543210"]})
    manifest = Manifest("parquet", None, (), parts, {}, added)
    assert [manifest.find_parts(number) for number in range(4)] == [(0, 1), (1, 2), (2, 2), (2, 4)]
