"""Small files are looked at together; what is told of them is what each alone tells."""

import re

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from properties import examples

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, TaskinityDataError
from taskinity_data.formats import sampling
from taskinity_data.formats.csv import fast
from taskinity_data.formats.csv import head as csv_head
from taskinity_data.formats.csv import sample as csv_sample
from taskinity_data.formats.csv.head import read_head
from taskinity_data.formats.csv.options import parse_options
from taskinity_data.formats.csv.sample import infer_columns, parse_tolerantly
from taskinity_data.formats.schema import is_proven_by
from taskinity_data.sources.file import SourceFile
from taskinity_data.sources.fingerprint import Fingerprint

VALUES = [
    "", "1", "-3", "2.5", "1e400", "1e18", "True", "false", "x", "NA", "inf", "nan", " 7", "0x1A",
    "1_0", "007", "9223372036854775807", "9223372036854775808", "-9223372036854775809",
    "18446744073709551616", "99999999999999999999.5", '"2"', '"a,b"', '"a\n1"',
    '"a""b"', '"', "é", "#1", "'",
]  # fmt: skip
cells = st.sampled_from(VALUES)
ENDS = ["\n", "\r\n", "\r"]


@st.composite
def texts(draw, columns=2):
    """The records of a file, without its header."""
    rows = draw(st.lists(st.lists(cells, min_size=columns, max_size=columns), max_size=5))
    end = draw(st.sampled_from(ENDS))
    text = end.join(",".join(row) for row in rows)
    return text + draw(st.sampled_from(["", end, end * 2])) if rows else text


def source(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return SourceFile(str(path), Fingerprint.of(str(path)))


def outcome(call):
    try:
        return call()
    except (PlanError, UnicodeError) as error:
        return f"{type(error).__name__}: {error}"


@examples(300)
@given(
    bodies=st.lists(texts(), min_size=2, max_size=5),
    options=st.sampled_from([{}, {"comment": "#"}, {"skip_blank_lines": False}, {"quoting": 3}]),
    scan=st.booleans(),
)
@example(bodies=["1,x\n", "18446744073709551616,x\n"], options={}, scan=True)
@example(bodies=["1.5,x\n", "99999999999999999999,x\n"], options={}, scan=True)
@example(bodies=["True,1\n", "1,\n"], options={}, scan=True)
def test_types_are_those_of_files_looked_at_one_by_one(
    bodies, options, scan, tmp_path, monkeypatch
):
    monkeypatch.setattr(sampling, "SCAN_NBYTES", -1)
    monkeypatch.setattr(sampling, "SLICE_NBYTES", 12)
    parsed = parse_options(options)
    files = []
    for number, body in enumerate(bodies):
        file = source(tmp_path / f"{number}.csv", "a,b\n" + body)
        head = outcome(lambda file=file: read_head(file, parsed))
        if not isinstance(head, str):
            files.append((file, head))
    assume(files)

    def kinds():
        try:
            found = infer_columns(files, ["a", "b"], parsed, scan=scan)
        except PlanError as error:  # of more values together there may be more kinds to name
            return re.sub(r"beyond int64 and [a-z, ]+ values", "", str(error))
        return [(one.label, one.kind, one.dtype) for one in found.values()]

    together = outcome(kinds)
    with monkeypatch.context() as patch:
        patch.setattr(csv_sample, "gather", lambda parts, _: ([part] for part in parts))
        assert together == outcome(kinds)


@examples(300)
@given(
    body=texts(),
    options=st.sampled_from([{}, {"sep": "b"}, {"decimal": ","}, {"thousands": "_"}, {"sep": " "}]),
)
@example(body="18446744073709551616,x\n1.5,x\n", options={})
@example(body="NA,1\nx,2\n", options={})
def test_first_values_settle_a_type_only_where_pandas_reads_them_so(body, options):
    parsed, data = parse_options(options), body.encode()
    found = fast.split_first_rows(data, ["a", "b"], parsed)
    if any(found.values()):
        texts = parse_tolerantly(data, ["a", "b"], parsed, str)
        for label, first in found.items():
            assert first == texts[label].dropna().tolist()[: len(first)]
            assert is_proven_by(texts[label]) or not is_proven_by(first)


PLAIN = ["", "1", "-3", "2.5", "x", "NA", "True", "0x1A", '"2"', '"a,b"', '"a\n1"', "é"]


def rows_of(read, kind):
    """The rows that `read` returns as a list, or its error."""
    try:
        data = read()
    except TaskinityDataError as error:
        return f"{type(error).__name__}: {error}"
    frame = data if isinstance(data, pd.DataFrame) else data.to_pandas(ignore_metadata=True)
    return [[None if pd.isna(one) else one for one in row] for row in frame.to_numpy().tolist()]


@examples(200)
@given(
    bodies=st.lists(
        st.one_of(
            st.lists(st.tuples(*[st.sampled_from(PLAIN[:5])] * 2), max_size=4).map(
                lambda rows: "\n".join(map(",".join, rows))
            ),
            texts(),
        ),
        min_size=2,
        max_size=5,
    ),
    kind=st.sampled_from(["pandas", "arrow", "native"]),
    options=st.sampled_from(
        [
            {},
            {"skip_blank_lines": False},
            {"dtype": "str"},
            {"parse_dates": ["a"]},
            {"index_col": "a"},
            {"filters": [("b", "!=", "x")], "dtype": "str"},
        ]
    ),
)
@example(bodies=["x,1\n", "y,0x1A\n"], kind="native", options={"dtype": "str"})
@example(bodies=["1,2\n", "1,2,3\n"], kind="native", options={})
def test_small_files_of_one_chunk_read_as_each_alone(bodies, kind, options, tmp_path):
    for number, body in enumerate(bodies):
        (tmp_path / f"{number}.csv").write_text("a,b\n" + body, newline="")
    paths = [tmp_path / f"{number}.csv" for number in range(len(bodies))]
    try:
        found = open_dataset(paths, **options).encode(["a", "b"])
    except (PlanError, TaskinityDataError):
        return
    try:
        chunk = found.plan(chunk_size="1GiB")[0]
    except TaskinityDataError:
        return
    alone: list | str = []
    for piece in chunk.pieces:
        rows = rows_of(lambda piece=piece: found.reader.read([piece], kind).data, kind)
        if isinstance(rows, str):
            alone = rows
            break
        alone += rows
    assert rows_of(lambda: found.reader.read(chunk.pieces, kind).data, kind) == alone


def test_many_small_files_take_one_parse_of_arrow_and_keep_texts_as_codes(tmp_path, monkeypatch):
    for number in range(50):
        (tmp_path / f"{number:02}.csv").write_text(f"a,b\n{number % 3}y,{number}")
    found = open_dataset(tmp_path / "*.csv").encode(["a"])
    (chunk,) = found.plan(chunk_size="1GiB")
    parse, calls = fast._parse, []
    monkeypatch.setattr(fast, "_parse", lambda *args: calls.append(args) or parse(*args))
    table = chunk.load("native").data
    assert len(calls) == 1
    assert pa.types.is_dictionary(table["a"].type)
    assert table["b"].to_pylist() == list(range(50))


HEADERS = [
    "a,b", "a,b,c", "a", " a,b", "\ta,b", "a, b", '"a",b', "a,a", "a,", ",a", "", " ", "#a,b",
    "é,b", "\ufeffa,b", "1,2", "a;b", "a,b#c",
    '"a","b"', '"a,b",c', '"a""b",c', '"a"x,b', 'a,"b', '"",b', '"a b"', '"a;b";c',
]  # fmt: skip


@examples(400)
@given(
    header=st.sampled_from(HEADERS),
    ends=st.tuples(st.sampled_from(ENDS), st.sampled_from(ENDS)),
    rows=st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
        lambda widths: st.tuples(*(texts(columns=width) for width in widths))
    ),
    options=st.sampled_from(
        [
            {},
            {"comment": "#"},
            {"skip_blank_lines": False},
            {"quoting": 3},
            {"header": None},
            {"header": 1},
            {"skiprows": 1},
            {"names": ["p", "q"]},
            {"names": ["p"], "header": 0},
            {"skipinitialspace": True},
            {"escapechar": "x"},
            {"sep": " "},
            {"sep": ";"},
            {"encoding": "latin-1"},
            {"encoding": "utf-16"},
        ]
    ),
)
def test_a_head_is_the_same_whatever_files_were_opened_before(
    header, ends, rows, options, tmp_path
):
    parsed = parse_options(options)
    codec = options.get("encoding", "utf-8")
    first, second = (
        source(tmp_path / f"{number}.csv", (header + end + body).encode(codec, "replace"))
        for number, (end, body) in enumerate(zip(ends, rows, strict=True))
    )
    csv_head._CACHED.clear()
    alone = outcome(lambda: read_head(second, parsed))
    csv_head._CACHED.clear()
    outcome(lambda: read_head(first, parsed))
    assert outcome(lambda: read_head(second, parsed)) == alone


def test_pandas_is_asked_for_one_head_and_one_sample_of_many_files(tmp_path, monkeypatch):
    for number in range(50):
        (tmp_path / f"{number:02}.csv").write_text(f"a,b\n{number},x\n{number + 1},\n")
    calls = []
    read_csv = pd.read_csv
    monkeypatch.setattr(pd, "read_csv", lambda *a, **k: calls.append(a) or read_csv(*a, **k))
    csv_head._CACHED.clear()
    found = open_dataset(tmp_path / "*.csv")
    assert len(calls) < 20  # two threads may both meet the first head
    whole = pd.concat([read_csv(path) for path in sorted(tmp_path.iterdir())], ignore_index=True)
    assert found.head(100).equals(whole)
    assert found.rows == len(whole) or found.rows is None


@pytest.mark.parametrize("odd", ["a,b\n1,2,3\n", "a,b\n1,2\n1,2,3\n"])
def test_one_odd_file_among_many_is_still_named(odd, tmp_path):
    for number in range(20):
        (tmp_path / f"{number:02}.csv").write_text("a,b\n1,2\n")
    (tmp_path / "13.csv").write_text(odd)
    with pytest.raises(TaskinityDataError, match=r"13\.csv"):
        open_dataset(tmp_path / "*.csv").plan(chunk_size="1GiB")[0].read()
