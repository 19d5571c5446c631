"""Files and partition values whose names hold anything: read as they are, shown inertly."""

from __future__ import annotations

import os

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, TaskinityDataError

NAMES = [
    "new\nline", "two  spaces ", " leading", "quote's", 'dou"ble', "back\\slash", "100%", "%2e%2e",
    "up..", "a=b=c", "=", "emoji \U0001f642", "za\u017c\u00f3\u0142\u0107", "star*", "[brackets]",
    "quest?", "#hash", "a;b&c|d", "$HOME", "~", "-rf", "tab\t", "\x1b[31mred\x1b[0m", "<b>bold",
    "comma,", "{braces}", "colon:1-2", "r\rn", "\u202egnihsif", "nul", "con",
]  # fmt: skip
LONG = "n" * 255


def names_of(suffix):
    return [f"{name}{suffix}" for name in NAMES] + [LONG[: 255 - len(suffix)] + suffix]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_files_are_read_by_any_name(tmp_path, suffix):
    for place, name in enumerate(names_of(suffix)):
        path = tmp_path / name
        if suffix == ".parquet":
            pq.write_table(pa.table({"a": [place]}), str(path))
        else:
            path.write_text(f"a\n{place}\n" if suffix == ".csv" else f'{{"a": {place}}}\n')
        assert open_dataset(str(path)).head().a.tolist() == [place], name
    whole = open_dataset(tmp_path)
    plan = whole.plan(chunk_size="1 rows")
    found = {os.path.basename(chunk.path): chunk.read().a.tolist() for chunk in plan}
    assert found == {name: [place] for place, name in enumerate(names_of(suffix))}
    for chunk in plan:
        assert whole.pick(chunk.ranges).key == chunk.key


VALUES = [*NAMES, LONG[:250], "", "..", "../../up", "a/b", "NULL", "0x10", "007"]


def test_partition_values_are_what_was_written(tmp_path):
    """pandas writes them, with what a path can't hold as percent signs."""
    values = [value for value in VALUES if len(value) < 200 and value != ""]
    frame = pd.DataFrame({"k": values, "a": range(len(values))})
    frame.to_parquet(tmp_path / "out", partition_cols=["k"])
    assert {one.name for one in tmp_path.iterdir()} == {"out"}
    dataset = open_dataset(tmp_path / "out")
    read = pd.concat([chunk.read() for chunk in dataset.plan(chunk_size="1 rows")])
    assert dict(zip(read.a, read.k.astype(str), strict=True)) == dict(enumerate(values))
    for value in ("../../up", "100%", "a=b=c", "new\nline", "quote's"):
        some = open_dataset(tmp_path / "out", filters=[("k", "==", value)])
        assert some.head().a.tolist() == [values.index(value)]


def test_keys_of_partitions_may_be_hostile_too(tmp_path):
    (tmp_path / "a%20b=1%2F2" / "%3D=x").mkdir(parents=True)
    pq.write_table(pa.table({"a": [1]}), str(tmp_path / "a%20b=1%2F2" / "%3D=x" / "f.parquet"))
    frame = open_dataset(tmp_path).head()
    assert frame.columns.tolist() == ["a", "a b", "="]
    assert frame["a b"].tolist() == ["1/2"]


CONTROLS = ("\x1b", "\r", "\u202e", "\x07", "\x9b")


@pytest.mark.parametrize("name", ["\x1b[31mred", "r\rn", "\u202egnihsif", "bell\x07", "\x9bcsi"])
def test_names_do_nothing_where_they_are_shown(tmp_path, name):
    path = tmp_path / f"{name}.csv"
    path.write_text("a\n1\n2\n")
    dataset = open_dataset(path)
    plan = dataset.plan(chunk_size=1)
    shown = [repr(dataset), repr(plan), dataset._repr_html_(), repr(plan[0]), str(plan[0])]
    path.write_text("a\n1\n")
    for call in (plan[0].read, lambda: open_dataset(path, columns=["b"])):
        with pytest.raises(TaskinityDataError) as caught:
            call()
        shown.append(str(caught.value))
    path.unlink()
    with pytest.raises(PlanError) as caught:
        open_dataset(path)
    shown.append(str(caught.value))
    for text in shown:
        assert not any(control in text for control in CONTROLS), text
