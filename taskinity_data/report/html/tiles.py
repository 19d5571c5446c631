"""Make the large numbers at the top of a report: status, rows in, rows lost, duration, rows/s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.report.explain import is_unknown
from taskinity_data.report.html.attempts import status_of
from taskinity_data.wording import format_count, format_nbytes, format_number, format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.report.html.attempts import AttemptRow

__all__ = ["Tile", "make_tiles"]

_LOST = ("quarantined", "skipped", "failed", "not_run")
_MAX_DIGITS = 10_000_000


class Tile(NamedTuple):
    """One number, what it counts, and a line below; `state` gives it a colour."""

    title: str
    number: str
    line: str = ""
    state: str = ""


def make_tiles(
    run: Any, ended: Sequence[tuple[Any, Any]], attempts: Sequence[AttemptRow]
) -> list[Tile]:
    """Return four or five numbers: those of rows, or of items or tasks where no rows are counted.

    What an earlier run has done does not count.
    """
    total_s = run.timings["total"]
    duration = Tile(
        "Duration",
        format_seconds(total_s),
        format_count(run.workers, "worker") if run.workers else "",
    )
    rows, nbytes = (run.ledger[unit].to_dict() for unit in ("rows", "bytes"))
    fresh = [row for row in attempts if row.number is not None and row.status != "RETRIED"]
    done = [row for row in fresh if row.status in ("COMPLETED", "FALLBACK")]
    status = Tile("Status", str(run.status), _describe_chunks(ended), str(run.status))
    if not any(map(len, run.plans.values())):
        return [status, *_count_outcomes(ended), duration, *_rate(len(done), "item", total_s)]
    read = sum(row.rows or 0 for row in done)
    rate = _rate(read, "row", total_s)
    if rate and any(row.nbytes for row in done):
        speed = f"{format_nbytes(sum(row.nbytes for row in done) / total_s)}/s"
        rate = [rate[0]._replace(line=speed)]
    lost = [rows[name] for name in _LOST]
    lost_nbytes = sum(nbytes[name] for name in _LOST if not is_unknown(nbytes[name]))
    is_known = not any(map(is_unknown, lost))
    some = (is_known and sum(lost)) or lost_nbytes
    of = f"{100 * lost_nbytes / nbytes['planned']:.2f} % of the bytes" if lost_nbytes else ""
    planned = rows["planned"]
    entered = rows["processed"] if is_unknown(planned) else planned
    return [
        status,
        Tile(
            "Rows in",
            _amount(entered),
            format_nbytes(nbytes["planned"]) if nbytes["planned"] else "",
        ),
        Tile(
            "Rows lost",
            _amount(sum(lost)) if is_known else "unknown",
            of,
            "PARTIAL" if some else "",
        ),
        duration,
        *rate,
    ]


def _count_outcomes(ended: Sequence[tuple[Any, Any]]) -> list[Tile]:
    """Return how many items, or else tasks, there were, and how many have no result."""
    items = [outcome for item, outcome in ended if item is not None]
    noun, counted = ("Items", items) if items else ("Tasks", [outcome for _, outcome in ended])
    lost = sum(str(outcome.status) != "COMPLETED" for outcome in counted)
    return [
        Tile(noun, f"{len(counted):,}"),
        Tile(f"{noun} lost", f"{lost:,}", "", "PARTIAL" if lost else ""),
    ]


def _describe_chunks(ended: Sequence[tuple[Any, Any]]) -> str:
    states = [status_of(outcome) for item, outcome in ended if item is not None]
    done = sum(state in ("COMPLETED", "REUSED", "FALLBACK") for state in states)
    if not states:
        return ""
    reused = states.count("REUSED")
    more = f", {reused:,} reused" if reused else ""
    return f"{done:,} of {format_count(len(states), 'chunk')}{more}"


def _rate(count: int, noun: str, total_s: float) -> list[Tile]:
    return (
        [Tile(f"{noun.capitalize()}s/s", format_number(count / total_s))]
        if count and total_s
        else []
    )


def _amount(count: Any) -> str:
    if is_unknown(count):
        return "unknown"
    return f"{count:,}" if count < _MAX_DIGITS else format_number(count)
