"""Run directories: a private directory for each run, locked while it runs.

``run.json`` is for listing: what is resumed is proved by the journal.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from taskinity_data.disk import replace_file, sync_directory
from taskinity_data.errors import ResumeError
from taskinity_data.file_lock import FileLock, Locked, who_holds
from taskinity_data.wording import suggest

__all__ = [
    "KeptRun",
    "RunDirectory",
    "enter_run",
    "find_run",
    "list_kept",
    "remove_run",
    "who_runs",
]

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_LOCK = "lock"
_SUMMARY = "run.json"
_JOURNAL = re.compile(r"\d{5,}\.journal")
_LAST_S = 9e9
"""A time that pandas can still tell, in the year 2255."""


class RunDirectory:
    """The directory of one run, owned until `leave`."""

    def __init__(self, directory: Path, lock: FileLock) -> None:
        self.directory = directory
        self.run_id = directory.name
        self._lock = lock

    def summarize(self, details: dict[str, Any]) -> None:
        """Write `details` for listing, all at once.

        Raises
        ------
        OSError
            They can't be written.
        """
        # In ASCII: half a surrogate pair has no bytes.
        replace_file(self.directory / _SUMMARY, json.dumps(details).encode("ascii"))

    def leave(self) -> None:
        """Let others in."""
        self._lock.close()


def enter_run(run_dir: Path, run_id: str) -> RunDirectory:
    """Return the directory of the run `run_id`, made where it is not there, and locked.

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
        return RunDirectory(directory, FileLock(directory / _LOCK))
    except Locked as error:
        raise ResumeError(
            f"run {run_id} is in progress in {error}: wait until it ends, or start another run",
            run_id=run_id,
        ) from error


def find_run(run_dir: Path, run_id: str) -> Path:
    """Return the directory of the run `run_id`.

    Raises
    ------
    ResumeError
        There is none; the message has close names.
    """
    directory = run_dir / run_id if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id) else None
    if directory is None or directory.is_symlink() or _look(directory) is None:
        names = [run.directory.name for run in list_kept(run_dir)]
        raise ResumeError(
            f"there is no run {run_id!r} in {run_dir.absolute()}.{suggest(str(run_id), names)} "
            "`taskinity-data runs` lists the stored runs",
            run_id=run_id,
        )
    return directory


class KeptRun(NamedTuple):
    """A run's directory, when its last try began, and its summary without invalid values.

    A run whose summary says no time began when its directory was last written to.
    """

    directory: Path
    begun_s: float
    details: dict[str, Any]


def list_kept(run_dir: Path) -> list[KeptRun]:
    """Return the runs of a directory, newest first; links and other files are ignored."""
    try:
        directories = [
            Path(entry.path) for entry in os.scandir(run_dir) if entry.is_dir(follow_symlinks=False)
        ]
    except OSError:
        return []
    runs = (_look(directory) for directory in directories)
    return sorted(
        (run for run in runs if run is not None),
        key=lambda run: (run.begun_s, run.directory.name),
        reverse=True,
    )


def _look(directory: Path) -> KeptRun | None:
    """Return the run in `directory`, None if no run made it: ``lock`` is a common name."""
    try:
        names = os.listdir(directory)
        if _LOCK not in names:
            return None
        details = _read_summary(directory)
        # The directory was copied or has lost its summary: the journal decides.
        if details.get("run_id") != directory.name and not any(map(_JOURNAL.fullmatch, names)):
            return None
        begun_s: float | None = details.get("started_s")
        return KeptRun(
            directory, directory.stat().st_mtime if begun_s is None else begun_s, details
        )
    except OSError:
        return None


def _read_summary(directory: Path) -> dict[str, Any]:
    """Return the valid values of a run's summary; none where it can't be read."""
    path = directory / _SUMMARY
    try:
        details = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(details, dict):
        return {}
    return {name: value for name, value in details.items() if _is_valid(name, value)}


def _is_valid(name: str, value: Any) -> bool:
    if name in ("run_id", "flow", "subject", "status"):
        return isinstance(value, str)
    if name == "output":
        return value is None or isinstance(value, str)
    if name == "labels":
        return isinstance(value, dict) and all(isinstance(label, str) for label in value.values())
    if name == "chunks":
        return type(value) is int and 0 <= value < 1 << 63
    if name in ("started_s", "ended_s"):
        return type(value) in (int, float) and 0 <= value < _LAST_S
    return True


def remove_run(directory: Path) -> bool:
    """Remove the directory of a run, unless one goes on in it; whether it is gone.

    Raises
    ------
    OSError
        It can't be removed.
    """
    try:
        lock = FileLock(directory / _LOCK)
    except Locked:
        return False
    try:
        shutil.rmtree(directory)
    finally:
        lock.close()
    return True


def who_runs(directory: Path) -> str | None:
    """Return which process runs it now, None if none does."""
    return who_holds(directory / _LOCK)
