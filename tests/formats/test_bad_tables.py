"""Tables that are cut, damaged or monstrous: the right rows, or an error that names the file.

Copies with turned bits are read in a process of their own (`damage.py`): none may end it.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import made_tables as made
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damage import read_chunks
from properties import mostly_thorough
from pyarrow import feather

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, ReadError

HERE = Path(__file__).parent
FLAT = pa.table({"a": [1, None, 3] * 8, "s": ["x", None, "yy"] * 8, "f": [0.5] * 24})
NESTED = pa.table(
    {
        "a": [1, None, 3] * 8,
        "l": [["x"], [], None] * 8,
        "st": [{"p": 1, "q": "x"}, None, {"p": None, "q": "y"}] * 8,
    }
)
SMALL = FLAT.slice(0, 9)
WRITE = {
    "parquet": lambda path: pq.write_table(SMALL, path),
    "arrow": lambda path: made.write_ipc(SMALL, path, "five rows"),
    "arrows": lambda path: made.write_ipc(SMALL, path, "stream"),
    "feather": lambda path: feather.write_feather(SMALL, path, compression="lz4"),
    "orc": lambda path: made.write_orc(SMALL, path, "one stripe"),
}


@pytest.mark.parametrize("suffix", mostly_thorough(WRITE, 2))
def test_a_file_cut_at_any_byte_is_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    WRITE[suffix](str(path))
    data = path.read_bytes()
    assert read_chunks(str(path)).to_pylist() == SMALL.to_pylist()
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises((PlanError, ReadError), match=rf"a\.{suffix}"):
            [chunk.read() for chunk in open_dataset(path).plan()]


@pytest.mark.parametrize("suffix", WRITE)
def test_wrong_marks_are_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    WRITE[suffix](str(path))
    data = path.read_bytes()
    for wrong in (
        b"XXXX" + data[4:],
        data[1:],
        bytes(len(data)),
        data[::-1],
        b"\n",
        b"PAR1",
        b"ORC",
    ):
        path.write_bytes(wrong)
        assert read_chunks(str(path)) is None


COPIES = 200


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("format_", "table", "way"),
    [
        ("parquet", FLAT, "five rows"),
        ("parquet", NESTED, "checksums"),
        ("arrow", FLAT, "lz4"),
        ("arrow", NESTED, "stream"),
        ("orc", FLAT, "one stripe"),
    ],
)
def test_a_damaged_copy_has_the_rows_of_the_whole_or_is_refused(tmp_path, format_, table, way):
    path = str(tmp_path / f"a.{format_}")
    write = {"parquet": made.write_parquet, "arrow": made.write_ipc, "orc": made.write_orc}
    write[format_](table, path, way)
    verdicts, first = Counter(), 0
    while first < COPIES:
        ended = run_support("damage.py", path, format_, first, COPIES)
        said = [line.split(" ", 2) for line in ended.stdout.splitlines()]
        last = said[-1]
        first = int(last[0]) + 1
        if ended.returncode:
            # Arrow itself dies of it, of ORC's stripes and of Parquet's footers.
            assert format_ != "arrow", (last, ended.stderr[-500:])
            assert last[1] == "ours"
            alone = run_support("tables_oracle.py", f"{path}.{last[0]}.{format_}", format_)
            assert alone.returncode == ended.returncode, alone.stderr
            verdicts["died"] += 1
        bad = [words for words in said if words[1] not in ("ours", "whole", "exact", "refused")]
        assert not bad
        verdicts.update(words[1] for words in said if words[1] in ("exact", "refused"))
    assert sum(verdicts.values()) == COPIES
    assert verdicts["refused"] > 80
    assert verdicts["died"] < 3


def run_support(name, *arguments):
    """A module of ``tests/support`` in a process of its own."""
    path = HERE.parent / "support" / name
    return subprocess.run(
        [sys.executable, "-W", "ignore", str(path), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


ROWS = 1_234


@pytest.mark.parametrize("wrong", [1_233, 1_235, 5_000])
def test_parquet_that_counts_other_rows_than_it_has_is_refused(tmp_path, wrong):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": range(ROWS)}), path, write_statistics=False)
    data = path.read_bytes()
    right, other = (_zigzag(count) for count in (ROWS, wrong))
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    places = [place for place in range(footer, len(data)) if data[place : place + 2] == right]
    places = [place for place in places if data[place - 1] == 0x16]  # numbers, not in a list
    assert len(places) == 3  # of the file, of the row group, of the column's values
    # Where all of them tell of fewer, only the pages could tell; Arrow reads as many too.
    all_ = [places] if wrong > ROWS else []
    for chosen in (*([place] for place in places), places[1:], *all_):
        one = bytearray(data)
        for place in chosen:
            one[place : place + 2] = other
        path.write_bytes(one)
        for size in ("100 rows", "10_000 rows"):
            if chosen == [places[1]]:  # nobody needs the count of a flat column's values
                read = pd.concat(
                    [chunk.read() for chunk in open_dataset(path).plan(chunk_size=size)]
                )
                assert read.a.tolist() == list(range(ROWS))
                continue
            with pytest.raises((PlanError, ReadError), match=r"a\.parquet"):
                [chunk.read() for chunk in open_dataset(path).plan(chunk_size=size)]


def _zigzag(count):
    value = 2 * count
    return bytes([value & 0x7F | 0x80, value >> 7])


WIDE = 100_000


@pytest.mark.thorough
def test_a_hundred_thousand_columns_are_planned_and_read(tmp_path):
    table = pa.table(dict.fromkeys(map(str, range(WIDE)), pa.array([1, 2])))
    path = tmp_path / "a.arrow"
    made.write_ipc(table, str(path), "one batch")
    (chunk,) = open_dataset(path).plan(chunk_size="2 rows")
    assert chunk.read("arrow").shape == (2, WIDE)


def test_five_thousand_columns_of_parquet_are_planned_and_read(tmp_path):
    table = pa.table({str(place): [place] for place in range(WIDE // 20)})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    assert open_dataset(path).head().shape == (1, WIDE // 20)
    assert open_dataset(path, columns=["7"]).head()["7"].tolist() == [7]
