"""Parts become one dataset, or none: what is refused, what readers see, what is on disk."""

import ctypes
import errno
import fcntl
import hashlib
import os
import pickle
import warnings
from pathlib import Path
from types import SimpleNamespace

import dask.dataframe
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet
import pytest

import taskinity_data as td
from taskinity_data import disk
from taskinity_data.errors import LedgerError, PlanError, ReadError, SchemaError
from taskinity_data.output.local import commit
from taskinity_data.output.manifest import MANIFEST, Manifest, read_manifest
from taskinity_data.output.sink import open_sink


def _write(target, chunks, meta=None, **options):
    with open_sink(target, **options) as sink:
        writer = pickle.loads(pickle.dumps(sink.writer))
        parts = [writer.write(f"k{i}", i, chunk) for i, chunk in enumerate(chunks)]
        return sink.commit(pickle.loads(pickle.dumps(parts)), meta)


def _chunks():
    frame = pd.DataFrame(
        {
            "number": range(9),
            "part": np.arange(9) / 7,
            "text": ["a", None, "ü", "", "x,y", 'q"', "z", None, "end"],
            "when": pd.date_range("2013-01-01", periods=9),
            "kind": pd.Categorical(list("abcabcabc")),
        }
    )
    return frame, [frame[:3], frame[3:4], frame[4:]]


def test_all_readers_read_the_rows_in_order(tmp_path):
    frame, chunks = _chunks()
    target = tmp_path / "out"
    _write(target, chunks)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    pd.testing.assert_frame_equal(pd.read_parquet(target), frame)
    pd.testing.assert_frame_equal(
        pl.read_parquet(target / "*.parquet").to_pandas().astype({"kind": "str"}),
        frame.astype({"kind": "str"}),
        check_dtype=False,
    )
    with warnings.catch_warnings(action="ignore"):  # Dask's own, of this pandas
        found = dask.dataframe.read_parquet(target).number.compute(scheduler="synchronous")
    assert found.tolist() == list(range(9))
    found = duckdb.sql(f"select sum(number), sum(part) from read_parquet('{target}/*.parquet')")
    assert found.fetchall()[0] == pytest.approx((36, 36 / 7))
    ours = pd.concat([chunk.read() for chunk in td.open_dataset(target).plan()], ignore_index=True)
    pd.testing.assert_frame_equal(ours.drop(columns="kind"), frame.drop(columns="kind"))


def test_the_manifest_tells_of_every_file(tmp_path):
    _, chunks = _chunks()
    told = _write(tmp_path / "out", chunks, {"flow": "f", "inputs": [1]}, partition_by="kind")
    assert read_manifest(tmp_path / "out") == told
    assert Manifest.from_json(told.to_json()) == told
    assert told.meta == {"flow": "f", "inputs": [1]}
    assert told.rows == 9
    assert told.schema.names == ["number", "part", "text", "when", "kind"]
    on_disk = {str(p.relative_to(tmp_path / "out")) for p in tmp_path.rglob("*.parquet")}
    assert {part.path for part in told.parts} == on_disk
    for part in told.parts:
        content = (tmp_path / "out" / part.path).read_bytes()
        assert len(content) == part.nbytes
        assert hashlib.blake2b(content, digest_size=32).hexdigest() == part.checksum


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_a_column_without_values_takes_the_others_type(tmp_path, format_):
    lists = pa.table({"a": pa.array([[], None])})
    chunks = [
        pa.table({"a": pa.nulls(2), "c": pa.nulls(2)}),
        lists.append_column("c", pa.array([None, None], pa.null()).dictionary_encode()),
        pa.table({"a": [[1], None], "c": pa.array(["x", None]).dictionary_encode()}),
        pa.table({"a": pa.array([], pa.float64()), "c": pa.array([], pa.int8())}),
    ]
    expected = pa.schema(
        {"a": pa.large_list(pa.int64()), "c": pa.dictionary(pa.int32(), pa.large_string())}
    )
    if format_ == "parquet":  # pyarrow reads a dictionary of nulls from no array of these
        chunks[1] = lists.append_column("c", pa.nulls(2))
    else:
        chunks[1] = chunks[0]
    told = _write(tmp_path / "out", chunks, format=format_)
    assert told.schema.equals(expected)
    suffix = f"*.{format_}"
    for path in (tmp_path / "out").glob(suffix):
        assert ds.dataset(path, format=format_).schema.field("a").type == expected.field("a").type
    rows = ds.dataset(tmp_path / "out", format=format_).to_table()
    assert rows["a"].to_pylist() == [
        None,
        None,
        *([None, None] if format_ == "arrow" else [[], None]),
        [1],
        None,
    ]
    assert rows["c"].to_pylist() == [None, None, None, None, "x", None]


def test_objects_without_values_become_texts(tmp_path):
    chunks = [
        pd.DataFrame({"a": [1], "t": pd.Series([value], dtype=object)}) for value in (None, "x")
    ]
    _write(tmp_path / "out", chunks)
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "out"), pd.DataFrame({"a": [1, 1], "t": [None, "x"]}, dtype=None)
    )


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"a": [1.5], "b": ["x"]}, ["'a'", "int64", "double", "chunk 0", "chunk 1"]),
        ({"a": [1]}, ["chunk 1", "'b' is missing"]),
        ({"a": [1], "b": ["x"], "c": [1]}, ["chunk 1", "'c'"]),
        ({"b": ["x"], "a": [1]}, ["chunk 1", "order"]),
    ],
)
def test_chunks_that_differ_are_told_and_nothing_is_written(tmp_path, other, said):
    with open_sink(tmp_path / "out") as sink:
        parts = [
            sink.writer.write("k0", 0, pd.DataFrame({"a": [1], "b": ["x"]})),
            sink.writer.write("k1", 1, pd.DataFrame(other)),
        ]
        sink.check(parts[0])
        with pytest.raises(SchemaError) as early:
            sink.check(parts[1])
        with pytest.raises(SchemaError) as caught:
            sink.commit(parts)
    for error in (early, caught):
        for word in said:
            assert word in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_range_index_is_dropped_and_a_named_one_becomes_columns(tmp_path):
    frame = pd.DataFrame({"a": range(4)})
    # pandas 3 gives a RangeIndex or not, as the rows happen to be.
    _write(tmp_path / "plain", [frame, frame[frame.a > 1], frame[frame.a != 1]])
    found = pd.read_parquet(tmp_path / "plain")
    assert found.columns.tolist() == ["a"]
    assert found.index.equals(pd.RangeIndex(9))
    named = [
        frame.set_axis(list("abcd")).rename_axis("id"),
        frame.set_axis(list("efgh")).rename_axis("id"),
    ]
    _write(tmp_path / "named", named)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "named"), pd.concat(named))
    two = frame.assign(b=1, c="x").set_index(["b", "c"])
    _write(tmp_path / "two", [two])
    assert td.open_dataset(tmp_path / "two").schema.names == ["a", "b", "c"]


def test_what_a_function_may_return(tmp_path):
    table = pa.table({"a": [1, 2]})
    values = [
        pd.DataFrame({"a": [1, 2]}),
        pd.Series([1, 2], name="a"),
        table,
        table.to_batches()[0],
        pl.DataFrame({"a": [1, 2]}),
        None,
        pd.DataFrame(),
        table.slice(0, 0),
    ]
    told = _write(tmp_path / "out", values)
    assert [part.rows for part in told.parts] == [2] * 5
    assert pd.read_parquet(tmp_path / "out").a.tolist() == [1, 2] * 5


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (3, PlanError, "int, which is not a table"),
        (pl.LazyFrame({"a": [1]}), PlanError, "collect()"),
        (pd.Series([1]), PlanError, r"rename\("),
        (pd.DataFrame(index=range(3)), PlanError, "3 rows without columns"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), PlanError, "several columns|Duplicate"),
        (pa.table([[1], [2]], names=["a", "a"]), PlanError, "several columns 'a'"),
        (pd.DataFrame({"ok": [1, 2], "mixed": [1, "x"]}), SchemaError, "'mixed'"),
        (pd.DataFrame({"a": [1, 2]}, index=[1, "x"]), SchemaError, "index"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, value, error, said):
    with open_sink(tmp_path / "out") as sink, pytest.raises(error, match=said) as caught:
        sink.writer.write("key", 5, value)
    assert "chunk 5 (key)" in str(caught.value)


@pytest.mark.parametrize("key", ["", "a/b", ".hidden", "x" * 101])
def test_a_key_that_names_no_file_is_refused(tmp_path, key):
    with open_sink(tmp_path / "out") as sink, pytest.raises(PlanError, match="file name"):
        sink.writer.write(key, 0, None)


def test_a_chunk_written_twice_counts_once(tmp_path):
    with open_sink(tmp_path / "out") as sink:
        first = sink.writer.write("k", 0, pd.DataFrame({"a": [1]}))
        second = sink.writer.write("k", 0, pd.DataFrame({"a": [2]}))
        assert first.files[0].name != second.files[0].name
        sink.commit([first])
    assert pd.read_parquet(tmp_path / "out").a.tolist() == [1]


def test_parts_come_once_and_in_chunk_order(tmp_path):
    frame = pd.DataFrame({"a": [1]})
    for indexes, said in (((0, 0), "twice"), ((1, 0), "in chunk order")):
        with open_sink(tmp_path / "out") as sink, pytest.raises(LedgerError, match=said):
            sink.commit([sink.writer.write("k", index, frame) for index in indexes])
    assert not (tmp_path / "out").exists()


def test_names_sort_as_rows_do(tmp_path):
    with open_sink(tmp_path / "out", max_rows_per_file=2) as sink:
        write = sink.writer.write
        parts = [
            write("z", 3, pd.DataFrame({"a": [0, 1, 2]})),
            write("y", 3, pd.DataFrame({"a": [3]})),  # the halves of one chunk
            write("x", 99_999, pd.DataFrame({"a": [4]})),
            write("b", 100_000, pd.DataFrame({"a": [5]})),
        ]
        told = sink.commit(parts)
    assert [part.rows for part in told.parts] == [2, 1, 1, 1, 1]
    assert pd.read_parquet(tmp_path / "out").a.tolist() == list(range(6))
    assert [part.path for part in told.parts] == sorted(part.path for part in told.parts)


@pytest.mark.parametrize("format_", ["parquet", "csv", "arrow"])
@pytest.mark.parametrize("partition_by", [(), "b"])
def test_no_rows_at_all_still_tell_the_columns(tmp_path, format_, partition_by):
    frame = pd.DataFrame({"a": [1], "b": ["x"]})
    told = _write(tmp_path / "out", [None, frame[:0]], format=format_, partition_by=partition_by)
    assert told.rows == 0
    found = ds.dataset(tmp_path / "out", format=format_, partitioning="hive")
    assert set(found.schema.names) == {"a", "b"}
    assert found.count_rows() == 0


def test_nothing_at_all_leaves_a_manifest_alone(tmp_path):
    assert _write(tmp_path / "out", [None]).schema is None
    assert os.listdir(tmp_path / "out") == [MANIFEST]
    _write(tmp_path / "out", [pd.DataFrame({"a": [1]})], if_exists="append")
    assert read_manifest(tmp_path / "out").schema.names == ["a"]
    _write(tmp_path / "out", [None], if_exists="append")
    assert pd.read_parquet(tmp_path / "out").a.tolist() == [1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "parqet"}, "Did you mean 'parquet'"),
        ({"compression": "ztsd"}, "Did you mean 'zstd'"),
        ({"format": "csv", "compression": "gzip"}, "csv files are written with none"),
        ({"if_exists": "overwrit"}, "Did you mean 'overwrite'"),
        ({"max_rows_per_file": 0}, "whole number from 1 up"),
        ({"partition_by": ["a", "b", "a"]}, "'a' twice"),
        ({"partition_by": "_a"}, "begin with _"),
        ({"partition_by": "a=b"}, "not a valid directory name"),
        ({"partition_by": [3]}, "not a valid directory name"),
        ({"storage_options": {"key": 1}}, "storage_options"),
    ],
)
def test_options_that_cant_be_are_refused_before_work(tmp_path, options, said):
    with pytest.raises(PlanError, match=said):
        open_sink(tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_targets_that_cant_be_are_refused_before_work(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    for target, said in (
        (tmp_path / "file", "is a file"),
        (tmp_path / "file" / "below", "can't be written"),
        ("", "empty"),
        (3, "not a path"),
        ("file://elsewhere/x", "this machine"),
        ("/", "mount point"),
        (tmp_path / "full", "not empty"),
    ):
        with pytest.raises(PlanError, match=said):
            open_sink(target)
    for if_exists in ("append", "overwrite"):
        with pytest.raises(PlanError, match="this library did not write"):
            open_sink(tmp_path / "full", if_exists=if_exists)
    assert sorted(os.listdir(tmp_path)) == ["file", "full"]


def test_an_empty_directory_a_link_and_a_file_url_are_targets(tmp_path):
    real = tmp_path / "real dir"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    frame = pd.DataFrame({"a": [1]})
    _write(tmp_path / "link", [frame])
    assert (tmp_path / "link").is_symlink()
    assert (real / MANIFEST).is_file()
    _write(f"{real.as_uri()}/more/below", [frame])
    assert pd.read_parquet(real / "more" / "below").a.tolist() == [1]


def test_overwriting_spares_what_no_run_wrote(tmp_path):
    target, frame = tmp_path / "out", pd.DataFrame({"a": [1]})
    _write(target, [frame])
    (target / ".notes").write_text("")
    _write(target, [frame + 1], if_exists="overwrite")
    assert pd.read_parquet(target).a.tolist() == [2]
    (target / "notes.txt").write_text("")
    with pytest.raises(PlanError, match=r"notes\.txt"):
        open_sink(target, if_exists="overwrite")


def test_appending_keeps_format_columns_and_types(tmp_path):
    target = tmp_path / "out"
    _write(target, [pd.DataFrame({"a": [1], "b": pd.Series([None], dtype=object)})], {"run": 1})
    for options, said in (
        ({"format": "csv"}, "output_format"),
        ({"partition_by": "a"}, "partition"),
    ):
        with pytest.raises(PlanError, match=said):
            open_sink(target, if_exists="append", **options)
    for frame, said in (
        (pd.DataFrame({"a": [1.5], "b": [None]}), "'a' is int64 in the dataset"),
        (pd.DataFrame({"a": [1], "b": ["x"]}), "all null"),
    ):
        with open_sink(target, if_exists="append") as sink, pytest.raises(SchemaError, match=said):
            sink.writer.write("k", 0, frame)
    for start in range(2, 13):
        _write(target, [pd.DataFrame({"a": [start], "b": [None]})], if_exists="append")
    assert pd.read_parquet(target).a.tolist() == list(range(1, 13))
    assert read_manifest(target).meta == {"run": 1}
    assert [part.rows for part in read_manifest(target).parts] == [1] * 12


def test_appended_partitions_are_read_with_the_old_ones(tmp_path):
    target = tmp_path / "out"
    for start in (0, 2):
        frame = pd.DataFrame({"year": [2013, 2014], "n": [start, start + 1]})
        _write(target, [frame], partition_by="year", if_exists="append")
    expected = [(0, 2013), (1, 2014), (2, 2013), (3, 2014)]
    assert sorted(map(tuple, pd.read_parquet(target)[["n", "year"]].astype(int).values)) == expected
    found = (
        pl.scan_parquet(f"{target}/**/*.parquet", hive_partitioning=True)
        .select("n", "year")
        .collect()
        .rows()
    )
    assert sorted(found) == expected
    found = duckdb.sql(
        f"select n, year from read_parquet('{target}/**/*.parquet', hive_partitioning=true)"
    )
    assert sorted(found.fetchall()) == expected
    ours = pd.concat([chunk.read() for chunk in td.open_dataset(target).plan()])
    assert sorted(zip(ours.n, ours.year.astype(int), strict=True)) == expected


def test_two_runs_on_one_target(tmp_path):
    first = open_sink(tmp_path / "out")
    part = first.writer.write("k", 0, pd.DataFrame({"a": [1]}))
    with pytest.raises(PlanError, match=f"process {os.getpid()} on .* is writing it"):
        open_sink(tmp_path / "out")
    open_sink(tmp_path / "other").abort()
    first.commit([part])
    with pytest.raises(PlanError, match="is closed"):
        first.commit([part])
    with pytest.raises(FileNotFoundError, match="the run has ended"):
        first.writer.write("k", 1, pd.DataFrame({"a": [1]}))
    assert pd.read_parquet(tmp_path / "out").a.tolist() == [1]


def test_what_came_to_the_target_meanwhile_is_left_alone(tmp_path):
    target = tmp_path / "out"
    with open_sink(target) as sink:
        part = sink.writer.write("k", 0, pd.DataFrame({"a": [1]}))
        target.mkdir()
        (target / "mine").write_text("x")
        with pytest.raises(PlanError, match="during the run"):
            sink.commit([part])
    assert os.listdir(target) == ["mine"]
    assert os.listdir(tmp_path) == ["out"]


def test_a_part_that_is_gone_or_cut_is_told(tmp_path):
    for damage, said in ((Path.unlink, "is missing"), (lambda p: os.truncate(p, 4), "has 4 bytes")):
        with open_sink(tmp_path / "out") as sink:
            part = sink.writer.write("k", 0, pd.DataFrame({"a": [1]}))
            damage(Path(sink.writer.staging.directory, part.files[0].name))
            with pytest.raises(ReadError, match=said):
                sink.commit([part])
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_told_with_its_kind(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("taskinity_data.output.staging.sync", fail)
    with (
        open_sink(tmp_path / "out") as sink,
        pytest.raises(OSError, match="No space left") as caught,
    ):
        sink.writer.write("k", 0, pd.DataFrame({"a": [1]}))
    assert caught.value.errno == 28
    assert os.listdir(tmp_path) == []


def test_facts_that_are_no_json_are_refused(tmp_path):
    with open_sink(tmp_path / "out") as sink, pytest.raises(TypeError):
        sink.commit([], {"a": object()})
    assert os.listdir(tmp_path) == []


def test_a_broken_manifest_is_told(tmp_path):
    _write(tmp_path / "out", [pd.DataFrame({"a": [1]})])
    path = tmp_path / "out" / MANIFEST
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(ReadError, match="version 2"):
        open_sink(tmp_path / "out", if_exists="append")
    assert os.listdir(tmp_path) == ["out"]


def test_the_longest_name_is_a_target(tmp_path):
    _write(tmp_path / ("x" * 255), [pd.DataFrame({"a": [1]})])
    assert os.listdir(tmp_path) == ["x" * 255]


def test_directories_change_names_in_one_step_or_the_system_says_why(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if disk.exchange(str(tmp_path / "a"), str(tmp_path / "b")):
        assert os.listdir(tmp_path / "a") == ["b"]
    with pytest.raises(FileNotFoundError):
        disk.exchange(str(tmp_path / "a"), str(tmp_path / "none"))


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def refuse(lock, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(PlanError, match="can't lock files"):
        open_sink(tmp_path / "out")


def test_a_run_that_leaves_while_another_enters_hands_the_target_over(tmp_path, monkeypatch):
    first, lock = open_sink(tmp_path / "out"), fcntl.flock

    def leave_first(file, how):
        monkeypatch.setattr(fcntl, "flock", lock)
        first.abort()
        assert not (tmp_path / ".out.writing").exists()
        return lock(file, how)

    monkeypatch.setattr(fcntl, "flock", leave_first)
    with open_sink(tmp_path / "out") as second:
        assert (tmp_path / ".out.writing" / "lock").is_file()
        with pytest.raises(PlanError, match=f"process {os.getpid()} on .* is writing it"):
            open_sink(tmp_path / "out")
        second.commit([second.writer.write("k", 0, pd.DataFrame({"a": [1]}))])
    assert os.listdir(tmp_path) == ["out"]


def test_what_others_put_beside_the_target_is_left_alone(tmp_path):
    with open_sink(tmp_path / "out"):
        (tmp_path / ".out.writing" / "mine").touch()
    assert os.listdir(tmp_path / ".out.writing") == ["mine"]
    _write(tmp_path / "out", [pd.DataFrame({"a": [1]})])
    assert os.listdir(tmp_path / ".out.writing") == ["mine"]


@pytest.mark.parametrize("number", [None, errno.EINVAL])
def test_a_system_that_cant_exchange_renames_twice(tmp_path, monkeypatch, number):
    def refuse(*_):
        ctypes.set_errno(number)
        return -1

    library = SimpleNamespace() if number is None else SimpleNamespace(renameat2=refuse)
    target, frame = tmp_path / "out", pd.DataFrame({"a": [1]})
    _write(target, [frame])
    monkeypatch.setattr(disk.ctypes, "CDLL", lambda *_, **__: library)
    _write(target, [frame + 1], if_exists="overwrite")
    assert pd.read_parquet(target).a.tolist() == [2]
    assert os.listdir(tmp_path) == ["out"]


def test_an_overwrite_that_fails_midway_brings_the_old_back(tmp_path, monkeypatch):
    target, frame = tmp_path / "out", pd.DataFrame({"a": [1]})
    _write(target, [frame])

    def fail(old, new):
        if new == str(target):
            raise OSError(errno.EIO, "Input/output error")
        disk.rename(old, new)

    monkeypatch.setattr(commit, "exchange", lambda *_: False)
    monkeypatch.setattr(commit, "rename", fail)
    with pytest.raises(OSError, match="Input/output error"):
        _write(target, [frame + 1], if_exists="overwrite")
    assert pd.read_parquet(target).a.tolist() == [1]
    assert os.listdir(tmp_path) == ["out"]


def test_two_directories_that_are_one_are_told(tmp_path, monkeypatch):
    with open_sink(tmp_path / "out", partition_by="key") as sink:
        part = sink.writer.write("k", 0, pd.DataFrame({"key": ["a", "A"], "n": [1, 2]}))
        make = disk.make_directories
        monkeypatch.setattr(commit, "make_directories", lambda root, name: make(root, name.lower()))
        with pytest.raises(LedgerError, match="treats both names as equal"):
            sink.commit([part])
    assert os.listdir(tmp_path) == []


def test_appended_columns_without_values_take_the_type_of_the_old_ones(tmp_path):
    target = tmp_path / "out"
    for text in ("x", None):
        frame = pd.DataFrame({"t": pd.Series([text], dtype=object)})
        _write(target, [frame], if_exists="append")
    for path in target.rglob("*.parquet"):
        assert pa.parquet.read_schema(path).field("t").type == pa.large_string()
    assert pd.read_parquet(target).t.tolist()[0] == "x"


@pytest.mark.parametrize("name", ["note.txt", "x.parquet", "kind=a/x.parquet", "part-batch-0/x"])
@pytest.mark.parametrize("has_added", [False, True])
def test_nothing_is_added_beside_files_that_no_run_wrote(tmp_path, name, has_added):
    target = tmp_path / "out"
    chunks = [pd.DataFrame({"a": [1], "kind": ["a"]})]
    _write(target, chunks, partition_by="kind")
    if has_added:
        _write(target, chunks, partition_by="kind", if_exists="append")
    (target / name).parent.mkdir(exist_ok=True)
    (target / name).write_bytes(b"x")
    before = sorted(target.rglob("*"))
    for if_exists in ("append", "overwrite"):
        with pytest.raises(PlanError, match=f"contains {name}.*move it"):
            open_sink(target, partition_by="kind", if_exists=if_exists)
    assert sorted(target.rglob("*")) == before
    (target / name).unlink()
    (target / name).parent.rmdir() if "batch" in name else None
    (target / ".hidden").write_bytes(b"x")
    _write(target, chunks, partition_by="kind", if_exists="append")
    read = pd.concat(chunk.read() for chunk in td.open_dataset(target).plan())
    assert read["a"].tolist() == [1] * (3 if has_added else 2)
