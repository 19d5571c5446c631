"""Cuts of CSV: every cut set gives the rows that pandas makes of the whole."""

from __future__ import annotations

import csv
import io
from codecs import BOM_UTF8
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from properties import examples

from taskinity_data.errors import SourceChanged
from taskinity_data.formats.csv.records import scan as csv_scan
from taskinity_data.formats.csv.records.cuts import Grain, find_grains
from taskinity_data.formats.csv.records.dialect import WHITESPACE, Dialect
from taskinity_data.formats.csv.records.scan import count_rows

WIDE = [f"c{place}" for place in range(36)]
DIALECTS = [
    Dialect(),
    Dialect(skip_blank_lines=False),
    Dialect(doublequote=False),
    Dialect(quotechar=None),
    Dialect(escapechar="\\"),
    Dialect(escapechar="\\", doublequote=False),
    Dialect(comment="#"),
    Dialect(comment="#", skip_blank_lines=False),
    Dialect(skipinitialspace=True),
    Dialect(skipinitialspace=True, skip_blank_lines=False, comment="#"),
    Dialect(sep="\t"),
    Dialect(sep="\t", skipinitialspace=True),
    Dialect(sep=" "),
    Dialect(sep=" ", comment="#", escapechar="\\"),
    Dialect(quotechar="'", sep="a"),
    Dialect(escapechar='"'),
]
ATOMS = [
    "a",
    ",",
    '"',
    "\n",
    "\r",
    " ",
    "#",
    "\\",
    "\t",
    "\0",
    "é",
    '""',
    ',"',
    '",',
    '"\n',
    "\r\n",
]
TEXTS = st.lists(st.sampled_from(ATOMS), max_size=30).map(lambda atoms: "".join(atoms).encode())
# Mostly regular: lines of fields, some of them quoted, so that blocks are found by either way.
FIELDS = st.sampled_from(
    ["", "a", "bc", " d", '"a,b"', '"x\ny"', '"q""q"', '""', 'o"o', '"t"t', "é"]
)
LINES = st.lists(FIELDS, max_size=4).map(",".join)
TABLES = st.tuples(
    st.lists(LINES, max_size=25), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans()
).map(lambda parts: (parts[1].join(parts[0]) + parts[1] * parts[2]).encode())
ANY_TEXT = st.one_of(TEXTS, TABLES)
SIZES = st.sampled_from([1, 2, 3, 7, 20, 64, 1000])
BLOCKS = st.one_of(st.integers(1, 64), st.just(1 << 17))


def read(data: bytes, dialect: Dialect) -> list[tuple[str, ...]] | None:
    """What pandas makes of `data`; None where it refuses."""
    try:
        frame = pd.read_csv(
            io.BytesIO(data),
            header=None,
            names=WIDE,
            index_col=False,
            dtype=str,
            keep_default_na=False,
            engine="c",
            sep=dialect.sep,
            quotechar=dialect.quotechar or '"',
            quoting=csv.QUOTE_MINIMAL if dialect.quotechar else csv.QUOTE_NONE,
            doublequote=dialect.doublequote,
            escapechar=dialect.escapechar,
            comment=dialect.comment,
            skip_blank_lines=dialect.skip_blank_lines,
            skipinitialspace=dialect.skipinitialspace,
            low_memory=False,
        )
    except pd.errors.EmptyDataError:
        return []
    except pd.errors.ParserError:
        return None
    return list(frame.itertuples(index=False, name=None))


def cut(data: bytes, dialect: Dialect, grain_nbytes: int = 1, **options: int) -> list[Grain]:
    return list(find_grains(data, 0, len(data), dialect, grain_nbytes, **options))


def do_tile(grains: list[Grain], data: bytes) -> bool:
    bounds = [0, *(grain.stop for grain in grains)]
    return [grain.start for grain in grains] == bounds[:-1] and bounds[-1] == len(data)


class SlowSearch:
    """Where records end, one byte after another, written apart from the package's ways."""

    LINE_ENDS = (b"", b"\n", b"\r")

    def __init__(self, data: bytes, dialect: Dialect) -> None:
        self.data = data
        self.dialect = dialect
        self.sep = dialect.sep.encode()
        self.quote = dialect.quotechar and dialect.quotechar.encode()
        self.escape = dialect.escapechar and dialect.escapechar.encode()
        self.remark = dialect.comment and dialect.comment.encode()
        self.at = 0

    @property
    def here(self) -> bytes:
        return self.data[self.at : self.at + 1]

    def find_ends(self) -> list[int]:
        ends = []
        while self.here:
            if self.skip_line():
                continue
            self.pass_field()
            while self.here == self.sep:
                self.at += 1
                self.pass_field()
            while self.here not in self.LINE_ENDS:
                self.at += 1
            self.at += 2 if self.data.startswith(b"\r\n", self.at) else 1
            self.at = min(self.at, len(self.data))
            ends.append(self.at)
        return ends

    def skip_line(self) -> bool:
        start = self.at
        if self.here == self.remark:
            while self.here not in self.LINE_ENDS:
                self.at += 1
        elif not self.dialect.skip_blank_lines:
            return False
        while self.here in (b" ", b"\t") and self.here != self.sep:
            self.at += 1
        if self.here not in self.LINE_ENDS:
            self.at = start
            return False
        if self.here == b"\r":
            self.at += 1
            self.at += self.here in (b"\n", self.sep)
        else:
            self.at += 1
        return True

    def pass_field(self) -> None:
        while self.here == b" " and self.dialect.skipinitialspace:
            self.at += 1
        if self.here and self.here == self.quote:
            self.at += 1
            self.pass_quoted()
        else:
            self.pass_text()

    def pass_quoted(self) -> None:
        while self.here:
            if self.here == self.escape:
                self.at += 2
                continue
            is_quote = self.here == self.quote
            self.at += 1
            if not is_quote:
                continue
            if not self.dialect.doublequote:
                self.pass_text()
                return
            if self.here != self.quote:
                if self.here not in (*self.LINE_ENDS, self.sep):
                    self.at += 1
                    self.pass_text()
                return
            self.at += 1

    def pass_text(self) -> None:
        while self.here not in (*self.LINE_ENDS, self.sep, self.remark):
            self.at += 2 if self.here == self.escape else 1


@pytest.fixture(autouse=True)
def halve_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_scan, "LEAF_NBYTES", 8)


@examples(250)
@given(ANY_TEXT, st.sampled_from(DIALECTS), SIZES, BLOCKS)
def test_grains_give_the_rows_of_the_whole(
    data: bytes, dialect: Dialect, grain_nbytes: int, block_nbytes: int
) -> None:
    check_grains(data, dialect, grain_nbytes, block_nbytes)


BLANKS = [
    Dialect(sep=WHITESPACE),
    Dialect(sep=WHITESPACE, comment="#", escapechar="\\"),
    Dialect(sep=WHITESPACE, skip_blank_lines=False, comment="#"),
    Dialect(sep=WHITESPACE, quotechar=None, skipinitialspace=True),
]


@examples(400)
@given(
    st.lists(
        st.sampled_from(["a", " ", "\t", "  ", '"', '""', ' "', '" ', "\n", "\r\n", "#", "\\"])
    ),
    st.sampled_from(BLANKS),
    SIZES,
    BLOCKS,
)
def test_grains_of_fields_between_blanks_give_the_rows_of_the_whole(
    atoms: list[str], dialect: Dialect, grain_nbytes: int, block_nbytes: int
) -> None:
    # A reader refuses lines that end with a CR alone.
    check_grains("".join(atoms).encode(), dialect, grain_nbytes, block_nbytes)


def check_grains(data: bytes, dialect: Dialect, grain_nbytes: int, block_nbytes: int) -> None:
    whole = read(data, dialect)
    grains = cut(data, dialect, grain_nbytes, block_nbytes=block_nbytes)
    assert [grain.start for grain in grains] == [0, *(grain.stop for grain in grains)][
        : len(grains)
    ]
    assert not grains or grains[-1].stop == len(data)
    if whole is None:
        return
    parts = [read(data[grain.start : grain.stop], dialect) for grain in grains]
    assert [len(part) for part in parts] == [grain.rows for grain in grains]
    assert [row for part in parts for row in part] == whole


@examples(250)
@given(ANY_TEXT, st.sampled_from([dialect for dialect in DIALECTS if dialect.is_plain]), BLOCKS)
@example(b'a\r\r"', Dialect(escapechar="\\"), 1)
def test_records_end_where_a_byte_by_byte_search_finds_them(
    data: bytes, dialect: Dialect, block_nbytes: int
) -> None:
    ends = SlowSearch(data, dialect).find_ends()
    grains = cut(data, dialect, block_nbytes=block_nbytes)
    if ends:
        # What follows the last record belongs to it.
        assert [grain.stop for grain in grains] == [*ends[:-1], len(data)]
    assert sum(grain.rows or 0 for grain in grains) == len(ends)
    assert count_rows(data, 0, len(data), dialect) == len(ends)


@examples(150)
@given(ANY_TEXT, st.sampled_from(DIALECTS), SIZES, st.integers(1, 64))
def test_blocks_of_any_size_give_the_cuts_of_one_block(
    data: bytes, dialect: Dialect, grain_nbytes: int, block_nbytes: int
) -> None:
    whole = cut(data, dialect, grain_nbytes)
    parts = cut(data, dialect, grain_nbytes, block_nbytes=block_nbytes)
    assert parts == whole


@examples(200)
@given(ANY_TEXT, st.sampled_from([1, 7, 64]), BLOCKS)
def test_a_grain_is_the_shortest_run_of_records_that_is_long_enough(
    data: bytes, grain_nbytes: int, block_nbytes: int
) -> None:
    records = [grain.stop for grain in cut(data, Dialect())]
    start = 0
    for grain in cut(data, Dialect(), grain_nbytes, block_nbytes=block_nbytes):
        long_enough = [stop for stop in records if stop - start >= grain_nbytes]
        assert grain.stop == (long_enough[0] if long_enough else len(data))
        start = grain.stop


@examples(200)
@given(
    st.lists(st.sampled_from(["a", "bc,d", "", " ", "e\\f", "\\"]), max_size=30),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([Dialect(), Dialect(escapechar="\\"), Dialect(skip_blank_lines=False)]),
    SIZES,
)
def test_cuts_by_seeking_give_the_rows_of_the_whole(
    lines: list[str], line_end: str, dialect: Dialect, grain_nbytes: int
) -> None:
    data = "".join(line + line_end for line in lines).encode()
    seeking = replace(dialect, newlines_in_values=False)
    grains = cut(data, seeking, grain_nbytes)
    assert [grain.start for grain in grains] == [0, *(grain.stop for grain in grains)][
        : len(grains)
    ]
    assert not data or grains[-1].stop == len(data)
    assert {grain.rows for grain in grains} <= {None}
    whole = read(data, dialect)
    if whole is not None:
        parts = [read(data[grain.start : grain.stop], dialect) for grain in grains]
        assert [row for part in parts for row in part or []] == whole


@pytest.mark.parametrize("grain_nbytes", [1, 5, 70_000])
def test_seeking_finds_the_next_line_end_in_lines_longer_than_a_window(grain_nbytes: int) -> None:
    lines = [b"a" * length + b"\n" for length in (10, 200_000, 3, 65_535, 65_536, 1)]
    data = b"".join(lines)
    stops, place = [], 0
    for line in lines:
        place += len(line)
        if place - (stops[-1] if stops else 0) >= grain_nbytes:
            stops.append(place)
    if stops[-1] < len(data):
        stops.append(len(data))
    grains = cut(data, Dialect(newlines_in_values=False), grain_nbytes)
    assert [grain.stop for grain in grains] == stops


def test_a_byte_order_mark_hides_no_quote() -> None:
    data = BOM_UTF8 + b'"a\nb",c\nd,e\n'
    assert [(grain.stop, grain.rows) for grain in cut(data, Dialect())] == [(11, 1), (15, 1)]


def test_a_mark_that_stands_at_a_later_record_is_text() -> None:
    data = b"a\n" + BOM_UTF8 + b'"a\nb"\n'
    assert [grain.stop for grain in cut(data, Dialect())] == [2, 8, 11]


def test_the_first_grain_comes_before_the_file_is_read_to_its_end(tmp_path) -> None:
    path = tmp_path / "cut_short.csv"
    path.write_bytes(b"1,2\n" * 1000)
    grains = find_grains(path, 0, 1_000_000, Dialect(), 40, block_nbytes=256)
    assert next(grains) == Grain(0, 40, 10)
    with pytest.raises(SourceChanged, match="ends at byte 4,000"):
        list(grains)


def test_a_range_inside_a_file_is_cut_alone(tmp_path) -> None:
    path = tmp_path / "some.csv"
    path.write_bytes(b'head\n"1\n",2\n3,4\n5,6\n')
    grains = list(find_grains(str(path), 5, 16, Dialect(), 1))
    assert [(grain.start, grain.stop, grain.rows) for grain in grains] == [(5, 12, 1), (12, 16, 1)]


@pytest.mark.parametrize("text", [b"", b"\n", b" \n\t\r\n", b"\n\n\n"])
def test_a_range_without_a_record_is_one_grain_without_rows(text: bytes) -> None:
    grains = cut(text, Dialect(), block_nbytes=2)
    assert [(grain.start, grain.stop, grain.rows) for grain in grains] == (
        [(0, len(text), 0)] if text else []
    )


def test_blank_lines_belong_to_the_next_record_or_to_the_last() -> None:
    grains = cut(b"\na\n\n \nb\n\n\n", Dialect())
    assert [(grain.start, grain.stop, grain.rows) for grain in grains] == [(0, 3, 1), (3, 10, 1)]


@pytest.mark.thorough
def test_megabytes_of_mixed_text_are_cut_as_by_pandas(tmp_path) -> None:
    regular = b'1,"two, three",4\r\n5,"six\r\nseven",""\r\n\r\n8,"9""10",11\r\n' * 3000
    odd = b'1,5" disk,2\n"a"b,c,d\n  \n' * 40
    data = (regular + odd + b"x\ry\r") * 8
    path = tmp_path / "mixed.csv"
    path.write_bytes(data)
    whole = read(data, Dialect())
    grains = list(find_grains(path, 0, len(data), Dialect(), 60_000))
    assert len(grains) > 20
    assert sum(grain.rows or 0 for grain in grains) == len(whole or [])
    for grain in grains[:: len(grains) // 5]:
        assert len(read(data[grain.start : grain.stop], Dialect()) or []) == grain.rows


def test_a_record_longer_than_many_blocks_stays_whole() -> None:
    long = b'"' + b'a ""b""\n' * 5000 + b'"\n'
    data = b"1\n" + long + b"2\n"
    for dialect in (Dialect(), Dialect(escapechar="\\")):
        grains = cut(data, dialect, block_nbytes=512)
        assert [grain.stop for grain in grains] == [2, 2 + len(long), 4 + len(long)]


def test_a_grain_of_no_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        cut(b"a\n", Dialect(), 0)
