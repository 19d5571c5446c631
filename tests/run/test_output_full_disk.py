"""``output=`` on a disk that is full: what the run says, and what it leaves."""

import errno
import os
from pathlib import Path

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data import file_lock
from taskinity_data.errors import FlowFailed, PlanError
from taskinity_data.output import staging

ROWS = list(range(40))


def write(folder, **options):
    return td.process(
        pd.DataFrame({"n": ROWS}), lambda chunk: chunk, output=folder / "out",
        run_dir=folder / "runs", chunk_size="10 rows", scheduler="synchronous", progress=False,
        **options,
    )  # fmt: skip


def full(*_args, **_options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def small_disk(monkeypatch):
    """Has room for two parts."""
    real, parts = staging.sync, []

    def sync(handle):
        parts.append(handle)
        return real(handle) if len(parts) < 3 else full()

    monkeypatch.setattr(staging, "sync", sync)


def test_a_part_that_can_not_be_written_takes_no_room(tmp_path, small_disk, monkeypatch):
    with pytest.raises(FlowFailed, match=r"\(free some space, or choose another") as caught:
        write(tmp_path)
    monkeypatch.undo()
    (kept,) = tmp_path.glob(".out.kept-*")
    assert len(list(kept.glob("part-*"))) == 2
    done = write(tmp_path, resume=caught.value.run.run_id)
    assert done.notices[0].startswith("2 finished chunks")
    assert pd.read_parquet(tmp_path / "out")["n"].tolist() == ROWS
    assert sorted(os.listdir(tmp_path)) == ["out", "runs"]


def test_parts_that_can_not_be_kept_are_written_again(tmp_path, small_disk, monkeypatch):
    real = Path.write_text
    monkeypatch.setattr(
        Path, "write_text", lambda path, *args, **options: (
            full() if path.name == ".run" else real(path, *args, **options)
        ),
    )  # fmt: skip
    with pytest.raises(FlowFailed) as caught:
        write(tmp_path)
    monkeypatch.undo()
    failed = caught.value.run
    assert failed.notices[0].startswith("the parts that were written can't be kept: No space left")
    assert os.listdir(tmp_path) == ["runs"]
    done = write(tmp_path, resume=failed.run_id)
    assert done.ledger.at["processed", "rows"] == len(ROWS)
    assert pd.read_parquet(tmp_path / "out")["n"].tolist() == ROWS


def test_a_lock_holds_where_its_holder_can_not_be_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "write_text", full)
    held = file_lock.FileLock(tmp_path / "lock")
    with pytest.raises(file_lock.Locked, match="another process"):
        file_lock.FileLock(tmp_path / "lock")
    held.close()


def test_a_directory_that_can_not_be_made_is_refused_with_the_cure(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "makedirs", full)
    with pytest.raises(PlanError, match="left on device; free some space, or choose another disk"):
        write(tmp_path)
