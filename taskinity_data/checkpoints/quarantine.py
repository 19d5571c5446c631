"""Write what failed in a run to its directory: an entry for each chunk, row or list item.

An entry is ``NAME.json``, with task, range and error, and the rows themselves: ``NAME.arrow``
(`pandas.read_feather`), or ``NAME.raw``, the unchanged bytes of the file, if they do not parse or
must not be read in this process.
"""

from __future__ import annotations

import json
import platform
import re
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from taskinity_data.checkpoints.quarantine_rows import (
    QuarantinedRows,
    is_safe,
    pack_chunk,
    pack_lines,
    pack_value,
)
from taskinity_data.chunks.chunk import Chunk
from taskinity_data.disk import replace_file, sync_directory
from taskinity_data.outcome import Status
from taskinity_data.version import versions_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from taskinity_data.outcome import Attempt, Outcome

__all__ = [
    "DIRECTORY",
    "Quarantine",
    "belongs",
    "find_quarantine",
    "read_entries",
]

DIRECTORY = "quarantine"

MAX_ENTRIES, MAX_NBYTES = 10_000, 1 << 30
"""Of a run: one that fails more often needs another look than one at each; and nobody asked for a
second copy of a whole dataset. Beyond the bytes entries say where their rows are."""

MAX_ENTRY_NBYTES = 256 << 20
"""The planned size of a chunk whose rows are read here: it comes into the driver's memory."""

_NAME = re.compile(r"[0-9a-f]{8,64}")


def belongs(outcome: Outcome) -> bool:
    """Return whether something of `outcome` is to be quarantined."""
    if outcome.status is Status.COMPLETED:
        return outcome.bad_lines is not None
    return outcome.failure is not None


def find_quarantine(run_directory: Path) -> Path | None:
    """Return the quarantine of the run in `run_directory`, None if it has none."""
    directory = run_directory.absolute() / DIRECTORY
    return directory if any(directory.glob("*.json")) else None


def read_entries(run_directory: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of the run in `run_directory`, in the order of their names."""
    for path in sorted((run_directory / DIRECTORY).glob("*.json")):
        with suppress(OSError, ValueError):  # not ours, or gone meanwhile
            entry = json.loads(path.read_text(encoding="ascii"))
            if isinstance(entry, dict) and entry.get("entry") == path.stem:
                yield entry


class Quarantine:
    """The quarantine of a run in progress.

    Parameters
    ----------
    run_directory : Path
        The run's directory.
    run_id : str
    say : callable
        Takes what the user should know.

    Notes
    -----
    Entries of an earlier run stay until their chunk ends again, or the run ends well. What can't
    be written is reported once, and costs the run nothing.
    """

    def __init__(self, run_directory: Path, run_id: str, say: Callable[[str], None]) -> None:
        self._run_directory, self._run_id, self._say = run_directory, run_id, say
        self._directory = run_directory / DIRECTORY
        self._here = {"versions": versions_here(), "platform": platform.platform()}
        self._earlier: dict[tuple[str, str], list[str]] = {}
        for entry in read_entries(run_directory):
            of = str(entry.get("fan_out")), str(entry.get("chunk"))
            self._earlier.setdefault(of, []).append(entry["entry"])
        self._count = self._nbytes = 0
        self._is_broken = False

    @property
    def path(self) -> Path | None:
        """Where it is, None if nothing is in it."""
        return find_quarantine(self._run_directory)

    def take(self, name: str, item: Any, outcome: Outcome) -> None:
        """Forget the entries of `item`, which has ended, and quarantine what belongs here."""
        try:
            self.forget(name, [item])
            if belongs(outcome) and not self._is_broken:
                self._add(name, item, outcome)
        except OSError as error:
            self._is_broken = True
            self._say(
                f"the quarantine in {self._directory} can't be written any more "
                f"({error.strerror}): what fails from now on stands in the run alone "
                "(run.failures, run.bad_lines); make room, and resume or redrive the run"
            )

    def forget(self, name: str, items: Sequence[Any]) -> None:
        """Remove the entries of `items`."""
        for item in items if self._earlier else ():
            for entry in self._earlier.pop((name, item.origin or item.key), ()):
                with suppress(OSError):
                    self._remove(entry)

    def close(self, *, has_completed: bool) -> None:
        """End it; where the run `has_completed`, entries that were not seen again go."""
        left = [entry for entries in self._earlier.values() for entry in entries]
        self._earlier.clear()
        with suppress(OSError):
            for entry in left if has_completed else ():
                self._remove(entry)
            if self._count:
                sync_directory(str(self._directory))

    # -- one entry -----------------------------------------------------------------------------

    def _add(self, name: str, item: Any, outcome: Outcome) -> None:
        if self._count == MAX_ENTRIES:
            self._say(
                f"the quarantine in {self._directory} has {MAX_ENTRIES:,} entries and takes no "
                "more: later failures are only in run.failures"
            )
        self._count += 1
        if self._count > MAX_ENTRIES:
            return
        self._directory.mkdir(mode=0o700, exist_ok=True)
        entry = blake2b(f"{name}\0{item.key}".encode(), digest_size=16).hexdigest()
        entry = f"{item.key}-{entry[:8]}" if _NAME.fullmatch(item.key) else entry
        rows = self._rows(item, outcome)
        stored: dict[str, Any] = {"rows": rows.count, "why_not": rows.why_not}
        if rows.suffix:
            stored |= {"file": f"{entry}{rows.suffix}", "nbytes": len(rows.data)}
            replace_file(self._directory / stored["file"], rows.data, mode=0o600)
            self._nbytes += len(rows.data)
        details = {
            "entry": entry,
            "run_id": self._run_id,
            "fan_out": name,
            "task": outcome.task,
            "key": item.key,
            "chunk": item.origin or item.key,
            "status": str(outcome.status),
            "nbytes": outcome.nbytes,
            **_describe_range(item),
            **_describe_failure(outcome),
            "bad_lines": outcome.bad_lines and outcome.bad_lines.count,
            "attempts": [_describe_attempt(attempt) for attempt in outcome.attempts],
            "kept": stored,
            **self._here,
        }
        # The rows first: what can be read is whole.
        text = json.dumps(details, indent=1).encode("ascii")
        replace_file(self._directory / f"{entry}.json", text, mode=0o600)

    def _remove(self, entry: str) -> None:
        for suffix in (".json", ".arrow", ".raw"):
            (self._directory / f"{entry}{suffix}").unlink(missing_ok=True)

    def _rows(self, item: Any, outcome: Outcome) -> QuarantinedRows:
        if outcome.bad_lines is not None:
            return pack_lines(outcome.bad_lines)
        data = item.data
        if not isinstance(data, Chunk):
            return pack_value(data)
        if data.nbytes > min(MAX_ENTRY_NBYTES, MAX_NBYTES - self._nbytes):
            return QuarantinedRows(why_not="too large to be copied; they are where the range says")
        return pack_chunk(data, is_safe=is_safe(data, outcome))


# -- what an entry says ----------------------------------------------------------------------------


def _describe_range(item: Any) -> dict[str, Any]:
    """Return the position and the range of `item` as JSON values; no range for a list item."""
    chunk = item.data
    if not isinstance(chunk, Chunk):
        return {"position": item.position, "pieces": [], "unit": None, "row": None, "rows": None}
    pieces = [
        {"path": piece.path, "start": piece.start, "stop": piece.stop} for piece in chunk.pieces
    ]
    return {
        "position": item.position,
        "pieces": pieces,
        "unit": chunk.reader.unit,
        # Within the chunk that was planned.
        "row": item.row,
        "rows": chunk.rows,
    }


def _describe_failure(outcome: Outcome) -> dict[str, Any]:
    failure = outcome.failure
    if failure is None:
        return {"error": None, "traceback": None}
    return {"error": str(failure), "traceback": failure.traceback}


def _describe_attempt(attempt: Attempt) -> dict[str, Any]:
    started = datetime.fromtimestamp(attempt.started_s, UTC).isoformat(" ", "milliseconds")
    return {
        "number": attempt.number,
        "started": started,
        "duration_s": attempt.duration_s,
        "worker": attempt.worker,
        "memory_nbytes": attempt.memory_nbytes,
        "peak_nbytes": attempt.peak_nbytes,
        "error": None if attempt.failure is None else str(attempt.failure),
    }
