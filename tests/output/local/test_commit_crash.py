"""A run that dies before each single step on the file system leaves old or new, never neither."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from killing import Killer

from taskinity_data.output.complete import Earlier
from taskinity_data.output.local import commit
from taskinity_data.output.manifest import read_manifest
from taskinity_data.output.sink import open_sink

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[3]


def _frame(first):
    return pd.DataFrame({"n": range(first, first + 4), "text": None if first == 4 else "x"})


def _write(target, if_exists, first):
    with open_sink(target, if_exists=if_exists) as sink:
        # The first part has no type for `text` in the new run: it is written anew at the commit.
        parts = [sink.writer.write(f"k{i}", i, _frame(first + 4 * i)) for i in range(2)]
        sink.commit(parts)


def _write_again(target, batch):
    """The last of two chunks, by a run that has left it out before; the first is reused."""
    with open_sink(target, if_exists="append", earlier=Earlier("it", True)) as sink:
        first = sink.mending.reclaim(_PARTS[target])
        second = sink.writer.write("k1", 1, _frame(batch + 4))
        sink.commit([first, second], {"run_id": "it"})


_PARTS = {}


def _write_half(target, first):
    with open_sink(target, if_exists="append") as sink:
        _PARTS[target] = sink.writer.write("k0", 0, _frame(first))
        sink.commit([_PARTS[target]], {"run_id": "it", "status": "PARTIAL"})


def _rows(target):
    if not target.exists():
        return None
    rows = []
    for part in read_manifest(target).parts:
        rows += pd.read_parquet(target / part.path)["n"].tolist()
    assert sorted(rows) == sorted(pd.read_parquet(target)["n"])
    return rows


OLD, NEW = [0, 1, 2, 3, 4, 5, 6, 7], [4, 5, 6, 7, 8, 9, 10, 11]
CASES = {
    "error": (None, NEW),
    "overwrite": (OLD, NEW),
    "two renames": (OLD, NEW),
    "append": (OLD, OLD + NEW),
}


@pytest.mark.parametrize("case", CASES)
def test_old_or_new_whatever_the_step_before_which_it_dies(case, tmp_path, monkeypatch):
    old, new = CASES[case]
    monkeypatch.setattr(commit, "sync", lambda descriptor: None)
    if case == "two renames":
        monkeypatch.setattr(commit, "exchange", lambda one, other: False)
    killer = Killer(monkeypatch)
    if_exists = "overwrite" if case == "two renames" else case
    found, last, was_killed = [], -1, True
    while was_killed:
        last += 1
        folder = tmp_path / str(last)
        folder.mkdir()
        target = folder / "out"
        if old is not None:
            _write(target, "error", 0)
        run = partial(_write, target, if_exists, 4)
        was_killed = killer.run(run, last)
        rows = _rows(target)
        if not (case == "two renames" and rows is None):
            assert rows in (old, new), f"before step {last}"
        open_sink(target, if_exists="append").abort()
        assert _rows(target) in (old, new), f"behind step {last}, and the next sink"
        assert [path.name for path in folder.iterdir()] == ["out"] * target.exists()
        found.append(rows)
    assert last > 10
    assert found[0] == old
    assert found[-1] == new
    # Once it is new it stays so: the commit is one step.
    first_new = found.index(new)
    assert set(map(str, found[first_new:])) == {str(new)}
    assert (None in found) == (case in ("error", "two renames"))


MENDS = {
    "whole": ([], [], True),
    "whole, two renames": ([], [], False),
    "batch": (OLD, OLD, True),
    "batch, two renames": (OLD, OLD, False),
}


@pytest.mark.parametrize("case", MENDS)
def test_what_is_completed_is_old_or_new_too(case, tmp_path, monkeypatch):
    before, behind, has_exchange = MENDS[case]
    monkeypatch.setattr(commit, "sync", lambda descriptor: None)
    if not has_exchange:
        monkeypatch.setattr(commit, "exchange", lambda one, other: False)
    killer = Killer(monkeypatch)
    half, whole = [8, 9, 10, 11], [8, 9, 10, 11, 12, 13, 14, 15]
    old, new = [before + middle + behind for middle in (half, whole)]
    found, last, was_killed = [], -1, True
    while was_killed:
        last += 1
        folder = tmp_path / str(last)
        folder.mkdir()
        target = folder / "out"
        if before:
            _write(target, "error", 0)
        _write_half(target, 8)
        if behind:
            _write(target, "append", 0)
        was_killed = killer.run(partial(_write_again, target, 8), last)
        rows = _rows(target)
        if has_exchange:
            assert rows in (old, new), f"before step {last}"
        open_sink(target, if_exists="append").abort()
        rows = _rows(target)
        assert rows in (old, new), f"behind step {last}, and the next sink"
        assert [path.name for path in folder.iterdir()] == ["out"]
        found.append(rows)
    assert last > 10
    assert (found[0], found[-1]) == (old, new)
    assert set(map(str, found[found.index(new) :])) == {str(new)}


def test_processes_killed_at_random_leave_old_or_new():
    ended = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "kill_writes.py", "--rounds", "3", "--seed", "7"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count(" | 0 |\n") == 4
