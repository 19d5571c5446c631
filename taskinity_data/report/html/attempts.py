"""Make flat rows of a run's attempts, for the charts, tables and rules of the report."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.outcome import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.outcome import Failure

__all__ = ["AttemptRow", "attempt_rows", "location_of", "printable", "status_of"]

# What would move a terminal's cursor, hide, or turn the direction of what follows it.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb\ufffe\uffff"
    "\ud800-\udfff]"
)

_MAX_ERROR = 120


class AttemptRow(NamedTuple):
    """One attempt at one item, or at one single task.

    `number` is the position of the item in its fan-out, None for a single task. `status` is the
    `status_of` of its outcome for the last attempt, ``"RETRIED"`` for those before it. `error` is
    cut to what a mark's title holds. Times are in seconds since the epoch and seconds.
    """

    task: str
    number: int | None
    location: str
    status: str
    attempt: int
    started_s: float
    duration_s: float
    worker: str
    read_s: float
    function_s: float
    partial_s: float
    peak_nbytes: int | None
    nbytes: int
    rows: int | None
    error: str

    @property
    def ended_s(self) -> float:
        """When it ended, in seconds since the epoch."""
        return self.started_s + self.duration_s


def attempt_rows(ended: Sequence[tuple[Any, Any]]) -> list[AttemptRow]:
    """Return all attempts of `ended`, pairs of item (None for a single task) and outcome.

    They are in the order in which they began, without those of an earlier run, which
    took no time of this one.
    """
    rows = []
    for item, outcome in ended:
        if outcome.is_recalled:
            continue
        number = None if item is None else item.position
        location = "" if item is None else location_of(item.data)
        for attempt in outcome.attempts:
            is_last = attempt is outcome.attempts[-1]
            status = status_of(outcome) if is_last else "RETRIED"
            rows.append(
                AttemptRow(
                    outcome.task,
                    number,
                    location,
                    status,
                    attempt.number,
                    attempt.started_s,
                    attempt.duration_s,
                    attempt.worker,
                    attempt.read_s,
                    attempt.function_s,
                    attempt.partial_s,
                    attempt.peak_nbytes,
                    outcome.nbytes,
                    outcome.rows if is_last else None,
                    _format_error(attempt.failure),
                )
            )
    return sorted(rows, key=lambda row: row.started_s)


def status_of(outcome: Any) -> str:
    """Return the status of an outcome in one word, which may be REUSED, QUARANTINED or FALLBACK."""
    if outcome.is_recalled and outcome.status is Status.COMPLETED:
        return "REUSED"
    if outcome.is_quarantined:
        return "QUARANTINED"
    if outcome.is_fallback and outcome.status is Status.COMPLETED:
        return "FALLBACK"
    return str(outcome.status)


def _format_error(failure: Failure | None) -> str:
    if failure is None:
        return ""
    # A message may be long, and there may be thousands of them: cut before it is copied.
    return str(replace(failure, message=failure.message[:_MAX_ERROR]))


def location_of(data: Any) -> str:
    """Return the location of an item's data as text; empty if it is not a chunk."""
    if not isinstance(data, Chunk):
        return ""
    first, *others = data.pieces
    more = "" if not others else f" and {len(others):,} more"
    return f"{first.path} [{first.start:,} to {first.stop:,}]{more}"


def printable(text: str, longest: int | None = None) -> str:
    r"""Return `text` with each control character as ``�``, cut to `longest` characters.

    >>> printable("red \x1b[31m", 7)
    'red �[…'
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    return _UNPRINTABLE.sub("�", text)
