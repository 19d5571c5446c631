"""Rows that were parsed when a dataset was opened, and that its run takes: each against pandas."""

import json
import pickle
import threading
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from csv_oracle import as_source, whole, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import taskinity_data as td
from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.open_dataset import open_source
from taskinity_data.chunks.sizing import Learner, Size
from taskinity_data.errors import FlowFailed, PlanError, ReadError
from taskinity_data.formats import reader as base_reader
from taskinity_data.formats import sampling
from taskinity_data.formats.csv import reader as reader_module
from taskinity_data.formats.csv import sample
from taskinity_data.formats.csv.open import open_csv
from taskinity_data.sources import row_cache as row_cache_module
from taskinity_data.sources.row_cache import RowCache

CORPUS = Path(__file__).parents[2] / "corpus"
OPTIONS = json.loads((CORPUS / "options.json").read_text())


def small(grain_nbytes, slice_nbytes):
    """Slices and grains of a few bytes, so that small files have many."""
    stack = ExitStack()
    for module in (sampling, base_reader):
        stack.enter_context(mock.patch.object(module, "GRAIN_NBYTES", grain_nbytes))
    for name in ("SCAN_SLICE_NBYTES", "MIN_SCAN_SLICE_NBYTES"):
        stack.enter_context(mock.patch.object(sampling, name, slice_nbytes))
    # Slices with bad lines are parsed with warnings caught, which two threads can't do at once.
    stack.enter_context(mock.patch.object(sample, "map_ahead", map))
    return stack


def read_in_chunks(file, options, grain_nbytes, slice_nbytes, together=1, *, caches_rows=True):
    """The rows of chunks of `together` grains, as one frame, or the refusal."""
    with small(grain_nbytes, slice_nbytes):
        try:
            reader = open_csv([file], None, None, None, options, caches_rows=caches_rows)
            pieces = list(reader.grains(reader.extent(file), grain_nbytes))
            runs = [tuple(pieces[at : at + together]) for at in range(0, len(pieces), together)]
            chunks = [Chunk(reader, run) for run in runs or [(reader.extent(file),)]]
            return pd.concat([chunk.read() for chunk in chunks], ignore_index=True)
        except (PlanError, ReadError) as error:
            return error


def judge_cached(file, options, grain_nbytes, slice_nbytes, together=1):
    """AssertionError where cached rows are not what is read and what pandas reads."""
    sizes = grain_nbytes, slice_nbytes, together
    cached = read_in_chunks(file, options, *sizes)
    plain = read_in_chunks(file, options, *sizes, caches_rows=False)
    if isinstance(plain, Exception):
        assert str(cached) == str(plain)
    else:
        assert_frame_equal(cached, plain, check_exact=True)
        assert_frame_equal(cached, whole(file, options), check_exact=True)
    return cached


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_cached_rows_are_those_of_the_whole_file_or_the_error_is_the_same(name):
    file = as_source(CORPUS / name)
    size = max(1, file.nbytes // 12)
    judge_cached(file, OPTIONS[name], size, 3 * size)


VALUES = st.sampled_from(
    ["", "0", "-0", "7", "-3", "1.5", "1e300", "inf", "True", "false", "x", "NA", "0x1F", "+4",
     "9223372036854775807", "9223372036854775808", "-9223372036854775809", "007", " 5", "1_000"]
)  # fmt: skip


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(st.lists(VALUES, min_size=1, max_size=3), min_size=2, max_size=3),
    rows=st.integers(1, 40),
    sizes=st.tuples(st.integers(1, 60), st.integers(1, 4), st.integers(1, 4)),
    data=st.data(),
)
def test_cached_rows_of_drawn_files_are_what_pandas_reads(kinds, rows, sizes, data, tmp_path):
    lines = [",".join(data.draw(st.sampled_from(kind)) for kind in kinds) for _ in range(rows)]
    text = ",".join(f"c{number}" for number in range(len(kinds))) + "\n" + "\n".join(lines) + "\n"
    grain, slices, together = sizes
    judge_cached(write(tmp_path, text), {}, grain, slices * grain, together)


LAST = {
    "a missing value behind integers": ("5", "", "float64"),
    "a fraction behind integers": ("5", "1.5", "float64"),
    "an integer of uint64 behind integers": ("5", "9223372036854775808", "uint64"),
    "a text behind integers": ("5", "x", "str"),
    "a text behind floats": ("1.5", "x", "str"),
    "a missing value behind bools": ("True", "", "object"),
    "a text behind bools": ("True", "maybe", "str"),
    "a number behind missing values": ("", "7", "float64"),
    "a text behind missing values": ("", "x", "str"),
    "a date behind missing values": ("", "2020-01-01", "str"),
    "an infinity behind integers": ("5", "inf", "float64"),
    "a quoted line end behind texts": ("x", '"y\nz"', "str"),
}


@pytest.mark.parametrize("case", LAST)
def test_what_the_last_record_changes_is_found_and_no_row_is_lost(case, tmp_path):
    value, last, dtype = LAST[case]
    lines = [f"{number},{value}" for number in range(300)]
    file = write(tmp_path, "n,v\n" + "\n".join([*lines, f"300,{last}"]) + "\n")
    assert judge_cached(file, {}, 40, 400)["v"].dtype == dtype


@pytest.mark.parametrize("zero", ["0", "-0"])
def test_minus_zero_is_negative_beside_an_integer_beyond_int64(zero, tmp_path):
    lines = [f"{number},{number % 7}" for number in range(300)]
    file = write(tmp_path, "n,v\n" + "\n".join([f"0,{zero}", *lines, f"300,{2**63}"]) + "\n")
    dtype = whole(file, {})["v"].dtype
    got = judge_cached(file, {}, 40, 400)
    if dtype == "uint64":
        assert got["v"].dtype == dtype
    else:
        assert dtype == "str"
        assert "its dtype in pandas depends on their order" in str(got)
    # A type that the user names is kept, as in pandas.
    few = write(tmp_path, f"v\n5\n{zero}\n", "few.csv")
    options = {"dtype": {"v": "uint64"}}
    assert_frame_equal(read_in_chunks(few, options, 2, 2), whole(few, options))


@pytest.fixture
def numbers(tmp_path):
    """About 3.7 MB in two files: texts, numbers, missing values."""
    rows = np.arange(150_000)
    frame = pd.DataFrame({
        "key": np.char.add("k", (rows % 7).astype(str)),
        "n": rows,
        "x": np.where(rows % 3 == 0, np.nan, rows / 7),
    })  # fmt: skip
    frame[:140_000].to_csv(tmp_path / "a.csv", index=False)
    frame[140_000:].to_csv(tmp_path / "b.csv", index=False)
    return frame


@pytest.fixture
def parses(monkeypatch):
    """The pieces that runs parse from files, whose chunks are no smaller than grains."""
    monkeypatch.setattr(Learner, "next_size", lambda *_: Size(700_000, "the same for all"))
    parsed = []
    read_text = reader_module.read_text
    monkeypatch.setattr(
        reader_module,
        "read_text",
        lambda piece, *rest: parsed.append(piece) or read_text(piece, *rest),
    )
    return parsed


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_a_run_parses_nothing_again_and_has_each_row_once(scheduler, numbers, tmp_path, parses):
    run = td.process(
        str(tmp_path / "*.csv"), reduce=td.concat(), scheduler=scheduler, workers=2, progress=False
    )
    assert_frame_equal(run.value, numbers)
    assert len(run.plan) > 1
    assert parses == []


def test_a_flow_that_opens_a_path_parses_nothing_again(numbers, tmp_path, parses):
    flow = td.parse_flow("flow Count:\n    Files -> Count[*] -> Total\n").bind(
        {"files": lambda: str(tmp_path / "*.csv"), "count": len, "total": sum}
    )
    run = td.run_flow(flow, scheduler="synchronous", progress=False)
    assert run.value == len(numbers)
    assert parses == []


def count_texts(chunk: pd.DataFrame) -> int:
    return int(chunk["key"].notna().sum())


def test_other_processes_read_the_files(numbers, tmp_path):
    run = td.process(
        str(tmp_path / "*.csv"),
        count_texts,
        reduce=td.sum(),
        scheduler="processes",
        workers=2,
        progress=False,
    )
    assert run.value == len(numbers)


def test_a_copy_for_another_process_holds_no_rows(numbers, tmp_path):
    dataset = open_source(str(tmp_path / "a.csv"), {}, caches_rows=True)
    (extent,) = dataset.extents
    assert dataset.reader.row_cache.find([extent])
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.reader.row_cache.find([extent]) == []
    assert copy.reader == dataset.reader
    assert Chunk(copy.reader, (extent,)).key == Chunk(dataset.reader, (extent,)).key
    assert_frame_equal(Chunk(copy.reader, (extent,)).read(), numbers[:140_000])


def test_a_retry_reads_the_file(numbers, tmp_path, parses):
    failed, lock = set(), threading.Lock()

    def fail_once(chunk):
        first = int(chunk["n"].iloc[0])
        with lock:
            is_new = first not in failed
            failed.add(first)
        if is_new:
            raise OSError("away for a moment")
        return chunk

    run = td.process(
        str(tmp_path / "*.csv"),
        fail_once,
        reduce=td.concat(),
        retries=1,
        retry_delay="1ms",
        scheduler="synchronous",
        progress=False,
    )
    assert_frame_equal(run.value, numbers)
    assert len(parses) >= len(run.plan)


def test_a_chunk_that_is_divided_has_each_row_once(numbers, tmp_path):
    def refuse_one(chunk):
        if (chunk["n"] == 31_234).any():
            raise ValueError("not this one")
        return chunk

    run = td.process(
        str(tmp_path / "*.csv"),
        refuse_one,
        reduce=td.concat(),
        on_error="bisect",
        scheduler="synchronous",
        progress=False,
    )
    rest = numbers[numbers["n"] != 31_234].reset_index(drop=True)
    assert_frame_equal(run.value, rest)


@pytest.mark.parametrize("fails", [False, True])
def test_no_rows_are_held_once_a_run_has_ended(fails, numbers, tmp_path):
    def work(chunk):
        if fails:
            raise ValueError("no")
        return len(chunk)

    options = {"reduce": td.sum(), "scheduler": "synchronous", "progress": False}
    try:
        run = td.process(str(tmp_path / "*.csv"), work, **options)
    except FlowFailed as error:
        run = error.run
    assert next(iter(run.plan)).reader.row_cache._grains == {}


def test_rows_beyond_the_room_are_read_from_the_file(numbers, tmp_path, parses, monkeypatch):
    monkeypatch.setattr(row_cache_module, "MAX_CACHED_NBYTES", 1_000_000)
    dataset = open_source(str(tmp_path / "*.csv"), {}, caches_rows=True)
    grains = list(dataset.iter_grains(row_cache_module.GRAIN_NBYTES))
    frames = [Chunk(dataset.reader, (grain,)).read() for grain in grains]
    assert_frame_equal(pd.concat(frames, ignore_index=True), numbers)
    assert 0 < len(parses) < len(grains)


@pytest.mark.parametrize("as_", ["pandas", "arrow", "polars"])
def test_cached_rows_come_as_whatever_is_asked_for(as_, numbers, tmp_path):
    cached = open_source(str(tmp_path / "a.csv"), {}, caches_rows=True)
    (extent,) = cached.extents
    plain = td.open_dataset(str(tmp_path / "a.csv"))
    ours, theirs = (
        Chunk(cached.reader, (extent,)).read(as_),
        Chunk(plain.reader, (extent,)).read(as_),
    )
    assert cached.reader.row_cache.find([extent]) == []
    if as_ == "pandas":
        assert_frame_equal(ours, theirs)
    else:
        assert ours.equals(theirs)


OPTIONS_OF_READERS = {
    "columns": {"columns": ["x", "key"]},
    "filters": {"filters": [("n", "<", 31_000)]},
    "index": {"index_col": "n"},
    "a float that is named": {"dtype": {"n": "float64"}},
    "a small integer that is named": {"dtype": {"n": "int32"}},
    "texts that are named": {"dtype": {"n": "str"}},
    "categories": {"dtype": {"key": "category"}},
    "nullable dtypes": {"dtype_backend": "numpy_nullable"},
    "missing values that are numbers": {"na_values": [7]},
    "a number of rows": {"nrows": 40_000},
    "no header": {"header": None, "skiprows": 1},
    "a name of an object": {"dtype": {"key": object}},
}


@pytest.mark.parametrize("name", OPTIONS_OF_READERS)
def test_options_mean_what_they_mean_without_a_cache(name, numbers, tmp_path):
    path, options = str(tmp_path / "a.csv"), OPTIONS_OF_READERS[name]
    cached, plain = open_source(path, options, caches_rows=True), td.open_dataset(path, **options)
    (extent,) = cached.extents
    assert cached.reader == plain.reader
    assert_frame_equal(
        Chunk(cached.reader, (extent,)).read(), Chunk(plain.reader, (extent,)).read()
    )


def test_sums_have_the_same_bits_from_cached_rows_and_from_the_file(numbers, tmp_path):
    path = str(tmp_path / "a.csv")
    reduce = td.group_by("key", s=("x", "sum"), v=("x", "var"), n=("n", "mean"))
    cached = td.process(path, reduce=reduce, scheduler="synchronous", progress=False)
    plain = td.open_dataset(path)
    again = td.process(
        plain, reduce=reduce, plan=cached.plan, scheduler="synchronous", progress=False
    )
    assert_frame_equal(cached.value, again.value, check_exact=True)


def test_a_file_that_changes_before_its_rows_are_taken_is_not_read(numbers, tmp_path):
    dataset = open_source(str(tmp_path / "a.csv"), {}, caches_rows=True)
    (extent,) = dataset.extents
    with open(tmp_path / "a.csv", "a", encoding="utf-8") as file:
        file.write("k0,1,2\n")
    with pytest.raises(ReadError, match="changed"):
        Chunk(dataset.reader, (extent,)).read()


def test_tables_without_all_rows_are_not_cached(numbers, tmp_path):
    dataset = open_source(str(tmp_path / "a.csv"), {}, caches_rows=True)
    (extent,) = dataset.extents
    (grain, *_) = dataset.reader.row_cache.find([extent])
    cached = RowCache(["n"])
    cached.add(grain.rows.slice(1), [grain.piece])
    assert cached.find([grain.piece]) == []
