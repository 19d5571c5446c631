import tempfile
import warnings
from pathlib import Path

import pandas as pd
import pytest
from bad_records import SKIPPED
from csv_oracle import as_source, chunks_of, in_chunks, judge, write
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from properties import examples, mostly_thorough

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, ReadError, SchemaError
from taskinity_data.formats.csv.bad_lines import skip_bad_start
from taskinity_data.formats.csv.open import open_csv
from taskinity_data.formats.csv.options import parse_options

SIZES = (1, 2, 7, 12, 30, 1 << 30)
SKIP = {"on_bad_lines": "skip"}


def reader_of(file, options=SKIP, **keywords):
    return open_csv([file], None, keywords.get("filters"), keywords.get("schema"), options)


@pytest.mark.parametrize("mode", mostly_thorough(["skip", "warn", "quarantine"], 1))
@pytest.mark.parametrize("name", SKIPPED)
def test_rows_with_too_many_fields_are_left_out_as_pandas_does(name, mode, tmp_path):
    text, options = SKIPPED[name]
    file = write(tmp_path, text)
    with warnings.catch_warnings():
        # The oracle's, of "warn"; chunks give none.
        warnings.filterwarnings("ignore", "Skipping line", pd.errors.ParserWarning)
        verdicts = {judge(file, size, {**options, "on_bad_lines": mode}) for size in SIZES}
    assert verdicts == {"exact"}


@pytest.mark.parametrize("kind", ["pandas", "arrow", "native"])
@pytest.mark.parametrize("size", SIZES)
def test_rows_that_are_left_out_are_counted(size, kind, tmp_path):
    file = write(tmp_path, 'a,b\n1,2\nx,y,z\n"3\n",4\np,q,r,s\nx,y,z\n5,6\n')
    chunks = chunks_of(reader_of(file), [file], size)
    results = [chunk.load(kind) for chunk in chunks]
    assert sum(result.rows for result in results) == 3
    assert sum(result.filtered for result in results) == 3
    for chunk, result in zip(chunks, results, strict=True):
        assert result.rows + result.filtered == chunk.rows


def test_filters_count_beside_what_is_left_out(tmp_path):
    file = write(tmp_path, "a,b\n1,2\nx,y,z\n3,4\n")
    result = reader_of(file, filters=[("a", ">", 1)]).read([whole_of(file)], "pandas")
    assert (result.rows, result.filtered) == (1, 2)


def whole_of(file):
    return reader_of(file).extent(file)


def test_a_file_without_bad_rows_is_read_as_ever(tmp_path):
    file = write(tmp_path, 'a,b\n1,x\n2,"y"\n')
    assert judge(file, 1, SKIP) == "exact"
    assert reader_of(file).identity() != reader_of(file, {}).identity()


def test_a_first_row_that_is_too_long_is_refused_where_pandas_makes_an_index(tmp_path):
    file = write(tmp_path, "a,b\n1,2,3\n4,5\n")
    with pytest.raises(PlanError, match="index"):
        reader_of(file)


@pytest.mark.parametrize("first", ["1,2\n", "x,y,z\n"])
def test_a_quote_that_is_never_closed_is_still_an_error(first, tmp_path):
    file = write(tmp_path, f'a,b\n1,2\n{first}3,"4\n5,6\n')
    reader = reader_of(file)
    chunks = chunks_of(reader, [file], 1)
    assert [len(chunk.read()) for chunk in chunks[:2]] == [1, int(first == "1,2\n")]
    with pytest.raises(ReadError, match="is never closed"):
        chunks[-1].read()
    with pytest.raises(ReadError, match="row 2 of the chunk"):
        reader.read([reader.extent(file)], "pandas")


def test_a_value_that_does_not_fit_is_named_among_the_rows_that_are_left(tmp_path):
    file = write(tmp_path, "a,b\n1,2\nx,y,z\n3,4\nq,5\n")
    reader = reader_of(file, schema={"a": "int64"})
    with pytest.raises(SchemaError, match="'q'") as caught:
        reader.read([reader.extent(file)], "pandas")
    assert caught.value.row == 2
    assert "byte 1" not in str(caught.value)


def test_the_search_for_a_good_row_reads_little_more_than_what_is_before_it(monkeypatch):
    options = parse_options({"on_bad_lines": "skip"})
    nbytes = []
    read = pd.read_csv

    def count(source, **keywords):
        nbytes.append(len(source.getvalue()))
        return read(source, **keywords)

    monkeypatch.setattr(pd, "read_csv", count)
    data = b"x,y,z\n" * 100 + b"1,2\n" * 10_000
    assert skip_bad_start(data, ["a", "b"], options) == b"1,2\n" * 10_000
    assert sum(nbytes) < 10_000
    assert skip_bad_start(data[:600], ["a", "b"], options) == b""
    assert skip_bad_start(b"", ["a", "b"], options) == b""


FIELDS = ["", "1", "2.5", "x", "é", "True", '"x\ny"', '"q""q"', 'a"b', '"a"b', "#", " ", "\ufeff"]


@examples(150)
@given(
    width=st.integers(1, 3),
    rows=st.lists(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=5), max_size=9),
    end=st.sampled_from(["\n", "\n", "\r\n", "\r"]),
    size=st.sampled_from([1, 5, 13, 1 << 30]),
    options=st.sampled_from(
        [
            {},
            {"header": None},
            {"skip_blank_lines": False},
            {"comment": "#"},
            {"skipinitialspace": True},
            {"names": ["x", "y", "z"], "header": 0},
            {"names": ["x", "y", "z"]},
        ]
    ),
)
def test_chunks_are_what_pandas_leaves_or_refused(width, rows, end, size, options):
    head = ",".join(f"c{place}" for place in range(width))
    text = end.join([head, *[",".join(row) for row in rows], ""])
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "data.csv"
        path.write_bytes(text.encode())
        verdict = judge(as_source(path), size, {**options, **SKIP})
        assert verdict in {"exact", "refused", "both refuse"}


def test_the_sample_is_not_misled_by_the_first_row_of_a_slice(tmp_path, monkeypatch):
    monkeypatch.setattr("taskinity_data.formats.sampling.SCAN_SLICE_NBYTES", 8)
    file = write(tmp_path, "a,b\n1,2\n1,2\nx,y,z\n3,4\n5,6\n")
    assert_frame_equal(in_chunks(file, 1, SKIP), pd.read_csv(file.path, **SKIP))
    assert str(reader_of(file).schema.field("a").type) == "int64"


@pytest.mark.parametrize("ids", [range(6), range(1, 7), range(10, 70, 10), [5] * 6], ids=str)
@pytest.mark.parametrize("dtype", [{"zip": str}, str, None], ids=str)
@pytest.mark.parametrize("size", mostly_thorough(["1 rows", 1, "2 rows", "3 rows", 1 << 20], 2))
def test_extra_fields_are_seen_though_ids_count_as_an_index_does(tmp_path, ids, dtype, size):
    rows = [f"{one},0{place}" + (",x" if place == 3 else "") for place, one in enumerate(ids)]
    path = tmp_path / "a.csv"
    path.write_text("id,zip\n" + "\n".join(rows) + "\n")
    options = {} if dtype is None else {"dtype": dtype}
    with pytest.raises(ReadError, match=r"more fields|saw 3"):
        read(path, size, **options)
    whole = pd.read_csv(path, on_bad_lines="skip", **options)
    assert len(whole) == 5
    pd.testing.assert_frame_equal(read(path, size, on_bad_lines="skip", **options), whole)


def read(path, size, **options):
    plan = open_dataset(path, **options).plan(chunk_size=size)
    return pd.concat([chunk.read() for chunk in plan], ignore_index=True)
