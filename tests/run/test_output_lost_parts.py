"""A part that the manifest lists and that is gone: neither read past nor added to."""

from pathlib import Path

import fsspec
import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.errors import PlanError, SourceNotFound

FRAME = pd.DataFrame({"n": range(1_200), "year": [2013, 2014, 2015] * 400})


def write(target, **options):
    options = {"chunk_size": "100 rows", "scheduler": "synchronous", **options}
    return td.process(FRAME, lambda chunk: chunk, output=target, progress=False, **options)


def read(target):
    return td.process(target, reduce=td.count(), scheduler="synchronous", progress=False).value


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out"


@pytest.mark.parametrize("output_format", ["parquet", "csv", "jsonl", "arrow"])
def test_a_directory_without_a_listed_part_is_not_read(target, output_format):
    write(target, output_format=output_format)
    assert read(target) == 1_200
    lost = sorted(target.glob("part-*"))[5]
    lost.unlink()
    for source in (target, f"{target}/", [target], target.as_uri(), target.parent):
        with pytest.raises(SourceNotFound, match=rf"{lost}: _manifest.json lists it.*is gone"):
            td.open_dataset(source)


def test_what_is_named_file_by_file_is_read(target):
    write(target)
    sorted(target.glob("part-*"))[5].unlink()
    assert read(f"{target}/*.parquet") == 1_100
    (target / "_manifest.json").unlink()
    assert read(target) == 1_100


def test_a_part_of_another_size_is_told_too(target):
    write(target, output_format="csv")
    part = sorted(target.glob("part-*"))[5]
    cut = part.read_text().splitlines(keepends=True)[:-1]
    nbytes = part.stat().st_size
    part.write_text("".join(cut))
    said = rf"{part}: .* has {part.stat().st_size} bytes, not {nbytes}"
    with pytest.raises(SourceNotFound, match=said):
        td.open_dataset(target)


@pytest.mark.parametrize("source", ["out", "out/year=2014", "out/year=*", "."])
def test_a_part_of_a_partition_is_missed_where_that_is_read(target, source, monkeypatch):
    write(target, partition_by="year")
    monkeypatch.chdir(target.parent)
    assert read("out/year=2013") == 400
    lost = sorted(target.glob("year=2014/*"))[3]
    lost.unlink()
    assert read("out/year=2013") == 400
    with pytest.raises(SourceNotFound, match=rf"{lost.relative_to(target)}: .*is gone"):
        td.open_dataset(source)


def test_an_appended_part_is_missed_like_a_first_one(target):
    write(target)
    first = set(target.rglob("*.parquet"))
    write(target, if_exists="append")
    assert read(target) == 2_400
    lost = sorted(set(target.rglob("*.parquet")) - first)[5]
    lost.unlink()
    with pytest.raises(SourceNotFound, match=rf"{lost}: .*is gone"):
        td.open_dataset(target)


@pytest.mark.parametrize("partition_by", [(), "year"])
@pytest.mark.parametrize("way", ["gone", "cut", "of the second run"])
def test_nothing_is_added_to_an_output_that_is_not_whole(target, partition_by, way):
    write(target, partition_by=partition_by)
    first = set(target.rglob("*.parquet"))
    if way == "of the second run":
        write(target, partition_by=partition_by, if_exists="append")
    lost = sorted(set(target.rglob("*.parquet")) - (first if way.startswith("of") else set()))[5]
    if way == "cut":
        lost.write_bytes(b"PAR1")
    else:
        lost.unlink()
    before = sorted(target.rglob("*"))
    said = "has 4 bytes" if way == "cut" else "is gone"
    with pytest.raises(PlanError, match=rf"lists .*{lost.name}, which {said}"):
        write(target, partition_by=partition_by, if_exists="append")
    assert sorted(target.rglob("*")) == before
    if partition_by == ():
        write(target, if_exists="overwrite")
        assert read(target) == 1_200


def test_nor_to_one_in_a_store():
    system = fsspec.filesystem("memory")
    system.store.clear()
    write("memory://lost/out")
    lost = sorted(name for name in system.find("/lost/out") if name.endswith(".parquet"))[5]
    system.rm_file(lost)
    with pytest.raises(PlanError, match=rf"lists {Path(lost).name}, which is gone"):
        write("memory://lost/out", if_exists="append")
    write("memory://lost/out", if_exists="overwrite")
    assert read("memory://lost/out") == 1_200
    system.store.clear()
