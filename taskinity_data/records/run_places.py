"""Where runs keep what they know of themselves: a private directory a run, locked while it goes.

It knows nothing of journals. ``run.json`` is for listing: what is resumed is proved by the journal.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from taskinity_data.errors import ResumeError, suggest
from taskinity_data.records.disk import sync, sync_directory
from taskinity_data.records.locks import FileLock, Locked, who_holds

__all__ = ["RunPlace", "enter_run", "find_run", "list_places", "read_summary", "who_runs"]

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_LOCK = "lock"
_SUMMARY = "run.json"


class RunPlace:
    """The directory of one run, owned until `leave`."""

    def __init__(self, directory: Path, lock: FileLock) -> None:
        self.directory = directory
        self.run_id = directory.name
        self._lock = lock

    def summarize(self, facts: dict[str, Any]) -> None:
        """Write `facts` for listing, all at once.

        Raises
        ------
        OSError
            They can't be written.
        """
        staged = self.directory / f"{_SUMMARY}.new"
        with staged.open("w", encoding="utf-8") as file:
            json.dump(facts, file, ensure_ascii=False)
            file.flush()
            sync(file.fileno())
        staged.replace(self.directory / _SUMMARY)

    def leave(self) -> None:
        """Let others in."""
        self._lock.close()


def enter_run(run_dir: Path, run_id: str) -> RunPlace:
    """The place of the run `run_id`, made where it is not there, and locked.

    Raises
    ------
    ResumeError
        Another process is running it.
    OSError
        It can't be made.
    """
    if not run_dir.is_dir():
        run_dir.mkdir(parents=True, mode=0o700, exist_ok=True)
        # So that no repository takes it in.
        (run_dir / ".gitignore").write_text("*\n", encoding="utf-8")
    directory = run_dir / run_id
    directory.mkdir(mode=0o700, exist_ok=True)
    sync_directory(str(run_dir))
    try:
        return RunPlace(directory, FileLock(directory / _LOCK))
    except Locked as error:
        raise ResumeError(
            f"run {run_id} is going on in {error}: wait until it has ended, or start another run",
            run_id=run_id,
        ) from error


def find_run(run_dir: Path, run_id: str) -> Path:
    """The directory of the run `run_id`.

    Raises
    ------
    ResumeError
        There is none; close names are told.
    """
    names = [place.name for place in list_places(run_dir)]
    if not isinstance(run_id, str) or run_id not in names or not _RUN_ID.fullmatch(run_id):
        raise ResumeError(
            f"there is no run {run_id!r} in {run_dir.absolute()}.{suggest(str(run_id), names)} "
            "`taskinity-data runs` lists those that are there",
            run_id=run_id,
        )
    return run_dir / run_id


def list_places(run_dir: Path) -> list[Path]:
    """The directories of runs, newest first."""
    try:
        found = [
            Path(entry.path)
            for entry in os.scandir(run_dir)
            if entry.is_dir() and (Path(entry.path) / _LOCK).exists()
        ]
    except OSError:
        return []
    return sorted(found, key=_newest, reverse=True)


def _newest(place: Path) -> tuple[float, str]:
    summary = read_summary(place)
    return float(summary.get("started_s", 0.0)), place.name


def read_summary(place: Path) -> dict[str, Any]:
    """What a run says of itself for listing; empty where that can't be read."""
    try:
        facts = json.loads((place / _SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def who_runs(place: Path) -> str | None:
    """Which process runs it now, None where none does."""
    return who_holds(place / _LOCK)
