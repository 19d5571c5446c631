"""Where runs keep what they know of themselves: a private directory a run, locked while it goes.

It knows nothing of journals. ``run.json`` is for listing: what is resumed is proved by the journal.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from taskinity_data.disk import sync, sync_directory
from taskinity_data.errors import ResumeError
from taskinity_data.file_lock import FileLock, Locked, who_holds
from taskinity_data.wording import suggest

__all__ = ["KeptRun", "RunPlace", "enter_run", "find_run", "list_kept", "remove_run", "who_runs"]

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
    place = run_dir / run_id if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id) else None
    if place is None or place.is_symlink() or _look(place) is None:
        names = [run.directory.name for run in list_kept(run_dir)]
        raise ResumeError(
            f"there is no run {run_id!r} in {run_dir.absolute()}.{suggest(str(run_id), names)} "
            "`taskinity-data runs` lists those that are there",
            run_id=run_id,
        )
    return place


class KeptRun(NamedTuple):
    """A run's directory, when its last try began, and its summary without invalid values.

    A run whose summary says no time began when its directory was last written to.
    """

    directory: Path
    begun_s: float
    facts: dict[str, Any]


def list_kept(run_dir: Path) -> list[KeptRun]:
    """Return the runs of a directory, newest first; what else lies there, or is a link, is none."""
    try:
        places = [
            Path(entry.path) for entry in os.scandir(run_dir) if entry.is_dir(follow_symlinks=False)
        ]
    except OSError:
        return []
    found = (_look(place) for place in places)
    return sorted(
        (run for run in found if run is not None),
        key=lambda run: (run.begun_s, run.directory.name),
        reverse=True,
    )


def _look(place: Path) -> KeptRun | None:
    """Return the run in `place`, None where no run made it: many programs call a file ``lock``."""
    try:
        names = os.listdir(place)
        if _LOCK not in names:
            return None
        facts = _read_summary(place)
        # Of one that was copied, or has lost its summary, the journal tells.
        if facts.get("run_id") != place.name and not any(map(_JOURNAL.fullmatch, names)):
            return None
        begun_s: float | None = facts.get("started_s")
        return KeptRun(place, place.stat().st_mtime if begun_s is None else begun_s, facts)
    except OSError:
        return None


def _read_summary(place: Path) -> dict[str, Any]:
    """Return the valid values of a run's summary; none where it can't be read."""
    path = place / _SUMMARY
    try:
        facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(facts, dict):
        return {}
    return {name: value for name, value in facts.items() if _is_valid(name, value)}


def _is_valid(name: str, value: Any) -> bool:
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
