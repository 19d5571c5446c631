"""Where runs keep what they know of themselves: a private directory a run, locked while it goes.

It knows nothing of journals. ``run.json`` is for listing: what is resumed is proved by the journal.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from taskinity_data.disk import sync, sync_directory
from taskinity_data.errors import ResumeError
from taskinity_data.file_lock import FileLock, Locked, who_holds
from taskinity_data.wording import suggest

__all__ = [
    "RunPlace", "begun_s", "enter_run", "find_run", "list_places", "read_summary", "remove_run",
    "who_runs",
]  # fmt: skip

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_LOCK = "lock"
_SUMMARY = "run.json"
_JOURNAL = re.compile(r"\d{5,}\.journal")
_LAST_S = 9e9
"""A time that pandas can still tell, in the year 2255."""


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
        with staged.open("w", encoding="ascii") as file:
            json.dump(facts, file)  # in ASCII: half a surrogate pair has no bytes
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
    """The directories of runs, newest first; what else lies there, or is linked there, is none."""
    try:
        found = [
            Path(entry.path)
            for entry in os.scandir(run_dir)
            if entry.is_dir(follow_symlinks=False) and _is_run(Path(entry.path))
        ]
    except OSError:
        return []
    return sorted(found, key=_newest, reverse=True)


def _is_run(place: Path) -> bool:
    """Whether a run made it: many programs call a file ``lock``."""
    try:
        names = os.listdir(place)
    except OSError:
        return False
    # Of one that was copied, or has lost its summary, the journal tells.
    is_known = read_summary(place).get("run_id") == place.name
    return _LOCK in names and (is_known or any(map(_JOURNAL.fullmatch, names)))


def _newest(place: Path) -> tuple[float, str]:
    return begun_s(place), place.name


def begun_s(place: Path) -> float:
    """When its last try began; of one that does not say so, when it was last written to."""
    told: float | None = read_summary(place).get("started_s")
    return place.stat().st_mtime if told is None else told


def read_summary(place: Path) -> dict[str, Any]:
    """What a run says of itself for listing, without what can't be meant; empty where that can't be
    read.
    """
    path = place / _SUMMARY
    try:
        facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(facts, dict):
        return {}
    return {name: value for name, value in facts.items() if _can_be_meant(name, value)}


def _can_be_meant(name: str, value: Any) -> bool:
    if name in ("run_id", "flow", "subject", "status"):
        return isinstance(value, str)
    if name == "output":
        return value is None or isinstance(value, str)
    if name == "chunks":
        return type(value) is int and 0 <= value < 1 << 63
    if name in ("started_s", "ended_s"):
        return type(value) in (int, float) and 0 <= value < _LAST_S
    return True


def remove_run(place: Path) -> bool:
    """Remove the directory of a run, unless one goes on in it; whether it is gone.

    Raises
    ------
    OSError
        It can't be removed.
    """
    try:
        lock = FileLock(place / _LOCK)
    except Locked:
        return False
    try:
        shutil.rmtree(place)
    finally:
        lock.close()
    return True


def who_runs(place: Path) -> str | None:
    """Which process runs it now, None where none does."""
    return who_holds(place / _LOCK)
