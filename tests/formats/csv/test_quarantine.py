"""Rows with too many fields that are set aside: what stays, and what is told of the others."""

import csv
import io
import pickle
import random

import pandas as pd
import pytest
from bad_records import SKIPPED
from csv_oracle import as_text, chunks_of, judge, write

from taskinity_data.formats.csv.bad_lines import has_good
from taskinity_data.formats.csv.open import open_csv
from taskinity_data.formats.csv.options import parse_options
from taskinity_data.formats.csv.records.state_machine import get_walker
from taskinity_data.outcome import MAX_LINE_NBYTES, MAX_LINES

SIZES = (1, 12, 1 << 30)
QUARANTINE = {"on_bad_lines": "quarantine"}


def load(file, size, options=QUARANTINE, kind="pandas", **keywords):
    (file,), options = as_text([file], options)
    reader = open_csv([file], None, keywords.get("filters"), keywords.get("schema"), options)
    return [chunk.load(kind) for chunk in chunks_of(reader, [file], size)]


def lines_of(results):
    return [line for one in results if one.bad_lines for line in one.bad_lines.lines]


@pytest.mark.parametrize("kind", ["pandas", "arrow", "native"])
@pytest.mark.parametrize("size", SIZES)
def test_bad_lines_come_back_with_their_bytes_place_and_reason(size, kind, tmp_path):
    text = 'a,b\n1,2\n\n\nx,"y,\n",z\n"3\n",4\np,q,r,s\nx,y,z\n5,6\n'
    file = write(tmp_path, text)
    results = load(file, size, kind=kind)
    found = lines_of(results)
    assert [line.raw for line in found] == [b'x,"y,\n",z\n', b"p,q,r,s\n", b"x,y,z\n"]
    assert [text.encode()[line.start : line.stop] for line in found] == [one.raw for one in found]
    assert [line.text for line in found] == ['x,"y,\n",z', "p,q,r,s", "x,y,z"]
    assert [line.reason for line in found] == [
        "expected 2 fields, saw 3",
        "expected 2 fields, saw 4",
        "expected 2 fields, saw 3",
    ]
    assert {line.path for line in found} == {file.path}
    assert sum(result.rows for result in results) == 3
    assert sum(result.filtered for result in results) == 0
    assert sum(one.bad_lines.nbytes for one in results if one.bad_lines) == 10 + 8 + 6
    if size == 1 << 30:
        assert [line.row for line in found] == [1, 3, 4]
    assert pickle.loads(pickle.dumps(found)) == found


LINES = "a,b\n\t\n1,2\n \n#é\n\r\n\nx,é,z\n\n #,1,2\n\n"


@pytest.mark.parametrize("size", [*SIZES, 4, 20])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
@pytest.mark.parametrize("newlines_in_values", [True, False])
def test_blank_lines_and_comments_are_none_of_a_bad_line(
    size, encoding, newlines_in_values, tmp_path
):
    raw = LINES.encode(encoding)
    options = {"comment": "#", "encoding": encoding, "newlines_in_values": newlines_in_values}
    found = lines_of(load(write(tmp_path, raw), size, {**QUARANTINE, **options}))
    assert [line.text for line in found] == ["x,é,z"]
    assert [raw[line.start : line.stop] for line in found] == ["x,é,z\n".encode(encoding)]


@pytest.mark.parametrize("name", SKIPPED)
def test_for_every_size_the_same_lines_are_set_aside(name, tmp_path):
    text, options = SKIPPED[name]
    file = write(tmp_path, text)
    options = {**options, **QUARANTINE}
    counts = [len(judged_rows(file, options))] * len(SIZES)
    found = [load(file, size, options) for size in SIZES]
    assert [sum(one.rows for one in results) for results in found] == counts
    places = [[(line.start, line.stop) for line in lines_of(results)] for results in found]
    assert places[0]
    assert all(one == places[0] for one in places)
    raw = text.decode(options["encoding"]) if isinstance(text, bytes) else text
    assert all(line.raw in raw.encode() for line in lines_of(found[0]))


def judged_rows(file, options):
    assert judge(file, 1, options) == "exact"
    return pd.read_csv(file.path, **{**options, "on_bad_lines": "skip"})


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-32-le", "cp1252", "shift_jis", "utf-8-sig", "gb18030"]
)
def test_bytes_are_those_of_the_file_or_of_its_text_in_utf_8(encoding, tmp_path):
    word = {"cp1252": "é", "shift_jis": "ソ表", "gb18030": "中"}.get(encoding, "é中")
    lines = [f"a,{word}", "1,2", f"{word},2,{word}", "3,4", f"5,{word},6"]
    raw = "\r\n".join(lines).encode(encoding)
    file = write(tmp_path, raw)
    if encoding not in ("cp1252", "utf-8-sig"):
        raw = "\r\n".join(lines).encode()
    for size in SIZES:
        found = lines_of(load(file, size, {**QUARANTINE, "encoding": encoding}))
        assert [line.text for line in found] == [lines[2], lines[4]]
        assert [raw[line.start : line.stop] for line in found] == [one.raw for one in found]


def test_undecodable_bytes_are_kept_as_they_are(tmp_path):
    file = write(tmp_path, b"a,b\n1,2\n\xff,\xfe,3\n4,5\n")
    options = {**QUARANTINE, "encoding_errors": "replace"}
    (line,) = lines_of(load(file, 1, options))
    assert line.raw == b"\xff,\xfe,3\n"
    assert line.text == r"\xff,\xfe,3"


def test_filters_count_apart_from_what_is_set_aside(tmp_path):
    file = write(tmp_path, "a,b\n1,2\nx,y,z\n3,4\n")
    (result,) = load(file, 1 << 30, filters=[("a", ">", 1)])
    assert (result.rows, result.filtered, result.bad_lines.count) == (1, 1, 1)


def test_where_nothing_is_bad_nothing_is_told(tmp_path):
    file = write(tmp_path, 'a,b\n1,x\n2,"y"\n')
    assert [one.bad_lines for one in load(file, 1)] == [None, None]
    readers = [
        open_csv([file], None, None, None, {"on_bad_lines": m})
        for m in ("skip", *QUARANTINE.values())
    ]
    assert readers[0].identity() != readers[1].identity()


def test_of_many_and_of_long_lines_the_first_is_kept_and_all_are_counted(tmp_path):
    bad = "1,2," + "w" * MAX_LINE_NBYTES + "\n" + "x,y,z\n" * (MAX_LINES + 500)
    (result,) = load(write(tmp_path, "a,b\n1,2\n" + bad), 1 << 30)
    assert result.bad_lines.count == MAX_LINES + 501
    assert result.bad_lines.nbytes == len(bad)
    assert len(result.bad_lines.lines) == MAX_LINES
    first = result.bad_lines.lines[0]
    assert len(first.raw) == MAX_LINE_NBYTES
    assert first.stop - first.start == MAX_LINE_NBYTES + 5


@pytest.mark.parametrize("seed", range(6))
def test_fields_are_counted_as_pandas_counts_them(seed):
    rng = random.Random(seed)
    pieces = ["1", "x", " ", "  ", '"', '""', '"a,b"', ",", ",", ",", "\\", "#", "\t", "'", "é"]
    options = rng.choice(
        [
            {},
            {"quoting": csv.QUOTE_NONE},
            {"skipinitialspace": True},
            {"sep": " ", "skipinitialspace": True},
            {"comment": "#"},
            {"escapechar": "\\"},
            {"doublequote": False},
        ]
    )
    parsed = parse_options(options)
    labels = ["a", "b", "c"]
    for _ in range(150):
        record = ("1" + "".join(rng.choices(pieces, k=rng.randint(1, 9)))).encode() + b"\n"
        try:
            pd.read_csv(io.BytesIO(record), header=None, **parsed.for_pandas())
        except pd.errors.ParserError:
            continue
        is_good = has_good(record, labels, parse_options({**options, "on_bad_lines": "skip"}))
        assert (get_walker(parsed.dialect).count_fields(record) <= 3) == is_good, record
