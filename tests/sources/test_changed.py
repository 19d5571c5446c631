"""A file that was changed in place, its size and time put back, is found where it was cut."""

import os
from pathlib import Path

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.chunks.chunk import mark_chunk
from taskinity_data.errors import SourceChanged

FRAME = pd.DataFrame({"a": range(1000, 1400), "b": [f"text {n}" for n in range(1000, 1400)]})


def change(path, old, new):
    """Replace bytes by others of the same length, and put the time back."""
    data = Path(path).read_bytes()
    assert data.count(old) == 1
    assert len(old) == len(new)
    stat = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(data.index(old))
        file.write(new)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv("data.csv", index=False)
    return "data.csv"


@pytest.mark.parametrize("row", [1000, 1099, 1100, 1399])
def test_between_plan_and_read_it_is_named_with_both_checksums(path, row):
    plan = td.open_dataset(path).plan(chunk_size="100 rows")
    frames = [chunk.read() for chunk in plan]
    assert pd.concat(frames, ignore_index=True).equals(FRAME)
    change(path, f"{row},text {row}".encode(), f"{row},TEXT {row}".encode())
    number = (row - 1000) // 100
    with pytest.raises(SourceChanged, match="changed in place") as caught:
        plan[number].read()
    assert f"{plan[number].mark:08x} then" in str(caught.value)
    assert caught.value.start == plan[number].start


def test_of_a_parquet_file_its_footer_tells(tmp_path):
    path = tmp_path / "a.parquet"
    FRAME.to_parquet(path, compression=None)
    plan = td.open_dataset(path).plan(chunk_size="100 rows")
    plan[0].read()
    data = path.read_bytes()
    footer = data.rindex(b"pandas_version")
    stat = os.stat(path)
    path.write_bytes(data[:footer] + b"PANDAS_version" + data[footer + 14 :])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(SourceChanged, match="changed in place"):
        plan[0].read()


def test_between_two_tries_all_of_the_file_is_read_anew_and_that_is_said(path):
    FRAME.to_csv("other.csv", index=False)
    calls = []

    def total(chunk):
        calls.append(len(chunk))
        return chunk

    def go(**options):
        calls.clear()
        return td.process(
            ["data.csv", "other.csv"],
            total,
            reduce=td.concat(),
            chunk_size="100 rows",
            scheduler="synchronous",
            run_dir="runs",
            **options,
        )

    run = go()
    assert len(calls) == 8
    assert go(resume=run.run_id).value.equals(run.value)
    assert not calls
    change("data.csv", b"1200,text 1200", b"1200,TEXT 1200")
    again = go(resume=run.run_id)
    assert len(calls) == 4
    assert again.value.b.tolist()[200] == "TEXT 1200"
    assert [line for line in again.notices if "data.csv changed since" in line]
    # What is known of it now is reused too.
    assert go(resume=run.run_id).value.equals(again.value)
    assert not calls


def test_what_can_not_be_marked_is_none(tmp_path):
    for chunk in td.open_dataset(FRAME).plan(chunk_size="100 rows"):
        assert chunk.mark is None
    FRAME.to_csv(tmp_path / "a.csv.gz", index=False)
    assert td.open_dataset(tmp_path / "a.csv.gz").plan()[0].mark is None


def test_marks_are_no_part_of_what_a_chunk_is(path):
    chunk = td.open_dataset(path).plan(chunk_size="100 rows")[0]
    assert mark_chunk(chunk) == chunk
    assert all(half.mark is None for half in chunk.split())


def test_a_chunk_of_several_files_is_marked_at_its_outer_ends(tmp_path):
    for name in "abc":
        FRAME.to_csv(tmp_path / f"{name}.csv", index=False)
    (chunk,) = td.open_dataset(tmp_path).plan(chunk_size="2000 rows")
    assert len(chunk.pieces) == 3
    change(tmp_path / "c.csv", b"1399,text 1399", b"1399,TEXT 1399")
    with pytest.raises(SourceChanged, match="changed in place"):
        chunk.read()


def test_a_large_chunk_is_marked_at_both_ends(tmp_path):
    path = tmp_path / "large.csv"
    pd.DataFrame({"a": range(10_000, 20_000)}).to_csv(path, index=False)
    for old, is_seen in ((b"10000", True), (b"19999", True), (b"15000", False)):
        (chunk,) = td.open_dataset(path).plan(chunk_size="10000 rows")
        change(path, old, b"x" + old[1:])
        assert (mark_chunk(chunk).mark != chunk.mark) is is_seen
        change(path, b"x" + old[1:], old)
