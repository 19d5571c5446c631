"""A run that appends what is new and dies at each single step: the next one has each row once."""

import logging
import shutil
import threading
from contextlib import suppress

import pandas as pd
import pytest
from killing import Killed, Killer, Trouble

import taskinity_data as td
from taskinity_data import disk
from taskinity_data.errors import TaskinityDataError
from taskinity_data.output.local import commit
from taskinity_data.output.store import lock as store_lock

pytestmark = pytest.mark.thorough

OLD, NEW = list(range(4)), list(range(8))


def put(folder, first):
    folder.mkdir(exist_ok=True)
    frame = pd.DataFrame({"n": range(first, first + 4)})
    frame.to_csv(folder / f"{first}.csv", index=False)


def append(folder, output=None, **options):
    return td.process(
        folder / "in", lambda chunk: chunk, output=output or folder / "out", if_exists="append",
        only_new=True, chunk_size="2 rows", scheduler="synchronous", progress=False, **options,
    )  # fmt: skip


def numbers(target):
    dataset = td.open_dataset(target)
    return pd.concat([chunk.read() for chunk in dataset.plan()]).n.tolist()


def rows(target):
    """By the library's reader, and by who reads all files that lie there."""
    found = numbers(target)
    assert pd.concat(map(pd.read_parquet, sorted(target.glob("*.parquet")))).n.tolist() == found
    return found


@pytest.mark.parametrize("how", ["one step", "two renames", "resumed"])
def test_each_input_is_there_once_whatever_the_step_before_which_it_dies(
    how, tmp_path, monkeypatch, caplog
):
    caplog.set_level(logging.CRITICAL)
    for module in (commit, disk):
        monkeypatch.setattr(module, "sync", lambda descriptor: None)
    if how == "two renames":
        monkeypatch.setattr(commit, "exchange", lambda one, other: False)
    first = tmp_path / "first"
    first.mkdir()
    put(first / "in", 0)
    append(first)
    killer = Killer(monkeypatch)
    found, last, was_killed = [], -1, True
    while was_killed:
        last += 1
        folder = tmp_path / str(last)
        folder.mkdir()
        shutil.copytree(first / "out", folder / "out")
        (folder / "in").symlink_to(first / "in")
        put(first / "in", 4) if last == 0 else None
        options = {"resume": True, "run_dir": folder / "runs"} if how == "resumed" else {}

        def die(folder=folder, options=options):
            with suppress(TaskinityDataError, OSError):
                append(folder, **options)

        was_killed = killer.run(die, last)
        if how == "resumed":
            # With a process its locks end, which are those of the files.
            folder.rename(tmp_path / "locked")
            shutil.copytree(tmp_path / "locked", folder, symlinks=True)
            shutil.rmtree(tmp_path / "locked")
        target = folder / "out"
        if how != "two renames" or target.exists():
            now = rows(target)
            assert now in (OLD, NEW), f"before step {last}"
            found.append(now)
        for _ in range(2):
            assert str(append(folder, **options).status) == "COMPLETED"
            assert rows(target) == NEW, f"behind step {last}, and the next run"
        there = {path.name for path in folder.iterdir()} - {"runs"}
        assert there == {"in", "out"}, f"behind step {last}"
    assert last > 20
    assert (found[0], found[-1]) == (OLD, NEW)
    # Once it is new it stays so: the commit is one step.
    assert found[found.index(NEW) :] == [NEW] * (len(found) - found.index(NEW))


@pytest.mark.parametrize("how", ["killed", "killed, answer lost"])
def test_so_it_is_in_a_store(failing, monkeypatch, tmp_path, caplog, how):
    caplog.set_level(logging.CRITICAL)
    url = "failing://bucket/out"
    put(tmp_path / "in", 0)
    append(tmp_path, url)
    before = dict(failing.store)
    put(tmp_path / "in", 4)
    found, last, trouble = [], 0, None
    while trouble is None or trouble.has_struck:
        failing.store.clear()
        failing.store.update(before)
        trouble = failing.trouble = Trouble(last, how)
        with monkeypatch.context() as patch:
            # By the next run this process is another one.
            patch.setattr(store_lock, "_started_at", lambda process: "before")
            with suppress(TaskinityDataError, OSError, Killed):
                append(tmp_path, url)
        failing.trouble = None
        now = numbers(url)
        assert now in (OLD, NEW), f"call {last + 1}"
        found.append(now)
        for _ in range(2):
            assert str(append(tmp_path, url).status) == "COMPLETED"
            assert numbers(url) == NEW, f"behind call {last + 1}, and the next run"
        assert len([name for name in failing.store if name.endswith(".parquet")]) == 4
        last += 1
    assert last > 10
    assert (found[0], found[-1]) == (OLD, NEW)
    assert not [one for one in threading.enumerate() if one.name.startswith("marker-")]
