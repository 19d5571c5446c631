"""Where data begin: lines skipped and records passed are those of pandas."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from taskinity_data.formats.csv.records.cuts import end_of_record, find_grains, skip_lines
from taskinity_data.formats.csv.records.dialect import Dialect

ATOMS = ["a", ",", '"', "\n", "\r", " ", "#", "\\", '""', ',"', '",', '"\n', "\r\n"]
TEXTS = st.lists(st.sampled_from(ATOMS), max_size=24).map(lambda atoms: "".join(atoms).encode())
DIALECTS = [
    Dialect(),
    Dialect(skip_blank_lines=False),
    Dialect(doublequote=False),
    Dialect(quotechar=None),
    Dialect(escapechar="\\"),
    Dialect(comment="#"),
]


def read(data: bytes, dialect: Dialect, skiprows: int = 0) -> list[tuple[str, ...]] | None:
    try:
        frame = pd.read_csv(
            io.BytesIO(data),
            header=None,
            names=[f"c{place}" for place in range(32)],
            index_col=False,
            dtype=str,
            keep_default_na=False,
            engine="c",
            skiprows=skiprows,
            quoting=csv.QUOTE_MINIMAL if dialect.quotechar else csv.QUOTE_NONE,
            doublequote=dialect.doublequote,
            escapechar=dialect.escapechar,
            comment=dialect.comment,
            skip_blank_lines=dialect.skip_blank_lines,
        )
    except pd.errors.EmptyDataError:
        return []
    except pd.errors.ParserError:
        return None
    return list(frame.itertuples(index=False, name=None))


@examples(250)
@given(TEXTS, st.sampled_from(DIALECTS), st.integers(0, 4))
def test_what_is_left_behind_skipped_lines_is_what_pandas_reads(
    data: bytes, dialect: Dialect, count: int
) -> None:
    expected = read(data, dialect, count)
    if expected is not None:
        place = skip_lines(data, 0, len(data), count, dialect)
        assert read(data[place:], dialect) == expected


@examples(200)
@given(TEXTS, st.sampled_from(DIALECTS), st.integers(1, 5))
def test_records_are_counted_as_by_cuts(data: bytes, dialect: Dialect, count: int) -> None:
    grains = list(find_grains(data, 0, len(data), dialect, 1))
    if sum(grain.rows or 0 for grain in grains) < count:
        assert end_of_record(data, 0, len(data), count, dialect) is None
    else:
        place = end_of_record(data, 0, len(data), count, dialect)
        assert place is not None
        assert place == grains[count - 1].stop or count == len(grains)
        rows = read(data[:place], dialect)
        assert rows is None or len(rows) == count


def test_a_skipped_line_may_be_longer_than_what_is_read_at_once(tmp_path) -> None:
    path = tmp_path / "wide.csv"
    path.write_bytes(b'"' + b"x\n" * 100_000 + b'"\n' + b"y" * 70_000 + b"\n1,2\n")
    size = path.stat().st_size
    assert skip_lines(path, 0, size, 2, Dialect()) == size - 4
    assert end_of_record(path, 0, size, 2, Dialect()) == size - 4


@pytest.mark.parametrize("dialect", [Dialect(), Dialect(escapechar="\\"), Dialect(sep="\t")])
def test_a_byte_order_mark_is_no_part_of_the_first_line(dialect: Dialect) -> None:
    data = b"\xef\xbb\xbf" + b'"a\nb"\nc\n'
    assert skip_lines(data, 0, len(data), 1, dialect) == 9
    assert end_of_record(data, 0, len(data), 1, dialect) == 9


def test_no_lines_skipped_is_the_start_and_too_many_the_end() -> None:
    assert skip_lines(b"a\nb\n", 2, 4, 0, Dialect()) == 2
    assert skip_lines(b"a\nb\n", 0, 4, 7, Dialect()) == 4


def test_the_promise_of_no_line_ends_in_fields_changes_no_count() -> None:
    dialect = replace(Dialect(), newlines_in_values=False)
    assert end_of_record(b"a\nb\n", 0, 4, 2, dialect) == 4
