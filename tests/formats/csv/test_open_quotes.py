"""A quote that is never closed: found soon, and named with its place."""

import pandas as pd
import pytest

import taskinity_data as td

ROWS = 200_000
ROW = "1,abcdefgh,2.5\n"


def write(path, before, after):
    path.write_text("a,b,c\n" + ROW * before + '7,"open,2.5\n' + ROW * after)
    return path.read_text().index('"')


def test_a_quote_in_the_first_row_is_named_without_a_parse_for_each_line(tmp_path, monkeypatch):
    path = tmp_path / "data.csv"
    place = write(path, 0, ROWS)
    parses = []
    read = pd.read_csv
    monkeypatch.setattr(pd, "read_csv", lambda *a, **k: (parses.append(1), read(*a, **k))[1])
    with pytest.raises(td.errors.PlanError, match=f"byte {place:,}.* never closed") as caught:
        td.open_dataset(str(path))
    assert str(path) in str(caught.value)
    assert len(parses) < 10


def test_a_quote_in_the_header_is_named(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text('a,"b,c\n' + ROW * 5)
    with pytest.raises(td.errors.PlanError, match=r"byte 2, .* never closed"):
        td.open_dataset(str(path))


def test_a_quote_further_on_is_named_by_the_chunk_that_holds_it(tmp_path):
    path = tmp_path / "data.csv"
    place = write(path, 1000, ROWS // 10)
    *good, last = td.open_dataset(str(path)).plan(chunk_size=1000)
    assert sum(len(chunk.read()) for chunk in good) > 900
    with pytest.raises(td.errors.ReadError, match=f"byte {place:,} is never closed"):
        last.read()


def test_a_first_row_that_no_worker_can_hold_is_refused_with_limit_and_place(tmp_path, monkeypatch):
    path = tmp_path / "data.csv"
    place = write(path, 0, ROWS)
    monkeypatch.setattr("taskinity_data.formats.csv.head.share_memory", lambda workers: 8_000_000)
    with pytest.raises(td.errors.PlanError, match=f"1,000,000 bytes.*byte {place:,}"):
        td.open_dataset(str(path))
