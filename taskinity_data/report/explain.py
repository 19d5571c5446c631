"""Explain a run in full: ledger, times, sizes, each failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskinity_data.outcome import LOST_WITH_WORKER
from taskinity_data.wording import format_count, format_nbytes, format_seconds, inert

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DRIVER_TIMES",
    "MIN_ADVICE_S",
    "WORKER_TIMES",
    "describe_bad_lines",
    "describe_fallbacks",
    "describe_ledger",
    "describe_output",
    "describe_quarantine",
    "describe_run",
    "explain",
    "find_place",
    "is_unknown",
    "planned_chunks",
]

MIN_ADVICE_S = 2.0
"""Of a shorter run times are noise, and nothing is to be gained."""

DRIVER_TIMES = {
    "start_workers": "starting workers",
    "plan": "planning",
    "combine": "combining",
    "wait": "waiting for workers",
    "close": "stopping workers",
}
WORKER_TIMES = {"read": "reading", "function": "the function", "partial": "reducing and writing"}
"""The parts of `Run.timings` in words: of the driver's time, and of the workers', summed up."""

_MAX_FAILURES, _MAX_OVERCOME, _MAX_SIZES, _MAX_FRAMES = 10, 3, 3, 12
_MAX_BAD_LINES, _MAX_LINE_CHARACTERS = 3, 60
_LEDGER_WORDS = {
    "processed": "processed",
    "fallback": "by a fallback",
    "quarantined": "quarantined",
    "skipped": "skipped",
    "failed": "failed",
    "not_run": "not run",
    "filtered": "filtered out",
}


def explain(run: Any) -> str:
    """Return all that the summary of `run` leaves out, in sections."""
    sections = {
        "Output": [describe_output(run)] if run.output is not None else [],
        "Notes": list(run.notices),
        "Ledger": [*describe_ledger(run, "bytes"), *describe_ledger(run, "rows")],
        "Time": _time(run),
        "Chunks": _chunks(run),
        "Quarantined lines": describe_bad_lines(run),
        "Overcome": _overcome(run),
        "Fallbacks": describe_fallbacks(run),
        "Failed": _failures(run),
        "Quarantined rows": describe_quarantine(run),
        "Next": list(run.next_steps),
    }
    lines = [describe_run(run)]
    for title, section in sections.items():
        if section:
            # A line break in a value must not look like a new line of ours.
            lines += ["", title, *("  " + line.replace("\n", "\n  ") for line in section)]
    return inert("\n".join(lines))


def describe_run(run: Any) -> str:
    """Return what ran, its status and time, and the workers, in one line."""
    where = f"{run.scheduler}, {format_count(run.workers, 'worker')}"
    total = format_seconds(run.timings["total"])
    preposition = "for" if str(run.status) == "RUNNING" else "in"
    head = f"{_label(run, run.flow.name)}: {run.status} {preposition} {total}"
    return f"{head} ({where}; run {run.run_id})"


def _label(run: Any, name: str) -> str:
    return str(run.labels.get(name, name))


def describe_output(run: Any) -> str:
    """Describe what the run wrote and where; empty if it wrote nothing."""
    if run.output is None:
        return ""
    path, files, rows, nbytes = run.output
    size = f"{format_count(files, 'file')}, {format_count(rows, 'row')}, {format_nbytes(nbytes)}"
    return f"{size} in {path}"


def describe_ledger(run: Any, unit: str) -> list[str]:
    """Return the account of bytes or rows, if there are any: planned = processed + failed + …"""
    account = run.ledger[unit].to_dict()
    planned = account["planned"]
    parts = [
        f"{_amount(account[part])} {words}"
        for part, words in _LEDGER_WORDS.items()
        if is_unknown(account[part]) or account[part]
    ]
    if is_unknown(planned) and unit == "rows":
        # Rows are counted by reading; those that were read are shown.
        counted = [part for part in parts if not part.startswith("unknown")]
        return [f"rows: {' + '.join(counted) or '0 processed'}, of an unknown number"]
    return [f"{unit}: {_amount(planned)} planned = {' + '.join(parts)}"] if planned else []


def _time(run: Any) -> list[str]:
    spent = run.timings
    single = spent.get("single", 0.0)
    is_judged = spent["total"] >= MIN_ADVICE_S and str(run.status) in ("COMPLETED", "PARTIAL")
    busy = sum(spent.get(name, 0.0) for name in WORKER_TIMES)
    total = format_seconds(spent["total"])
    lines = [f"in this process: {_shares(spent, DRIVER_TIMES)}; {total} in total"]
    if busy:
        shares = _shares(spent, WORKER_TIMES)
        lines.append(f"on the workers: {shares}; {format_seconds(busy)} in total")
    if single >= 0.0005:
        lines.append(f"tasks that run once: {format_seconds(single)}")
    lines += [run.bound] if run.bound and is_judged else []
    if run.scheduler_reason:
        lines.append(f"{run.scheduler}: {run.scheduler_reason}")
    return lines


def _shares(spent: Mapping[str, float], words: Mapping[str, str]) -> str:
    return ", ".join(
        f"{text} {format_seconds(spent[name])}" for name, text in words.items() if spent.get(name)
    )


def _chunks(run: Any) -> list[str]:
    lines = []
    for name, plan in run.plans.items():
        nbytes = [chunk.nbytes for chunk in plan]
        if not nbytes:
            continue
        smallest, largest = format_nbytes(min(nbytes)), format_nbytes(max(nbytes))
        sizes = f"of {smallest}" if smallest == largest else f"of {smallest} to {largest}"
        lines.append(f"{_label(run, name)}: {format_count(len(nbytes), 'chunk')} {sizes}")
        changes = list(run.sizes.get(name, ()))
        left_out = len(changes) - _MAX_SIZES - 1
        if left_out > 0:
            changes = [changes[0], *changes[-_MAX_SIZES:]]
        # The reason contains the size.
        lines += [f"  from chunk {first}: {reason}" for first, _, reason in changes]
        if left_out > 0:
            lines.append(f"  and {format_count(left_out, 'change')} between the first and the last")
    return lines


def describe_bad_lines(run: Any) -> list[str]:
    """Return how many lines did not parse, and the first of them; empty if all did."""
    lines_kept = run.bad_lines
    if not len(lines_kept):
        return []
    count = lines_kept.attrs["count"]
    lines = [f"{format_count(count, 'line')} did not parse and were quarantined: run.bad_lines"]
    for row in lines_kept.head(_MAX_BAD_LINES).to_dict("records"):
        text = row["text"]
        more = "…" if len(text) > _MAX_LINE_CHARACTERS else ""
        where = f"{row['path']} [bytes {row['start']:,} to {row['stop']:,}]"
        lines.append(f"{where}: {row['reason']}: {text[:_MAX_LINE_CHARACTERS]!r}{more}")
    if count > _MAX_BAD_LINES:
        lines.append(f"and {count - _MAX_BAD_LINES:,} more")
    if count > len(lines_kept):
        lines.append(f"only the first {len(lines_kept):,} are stored; the others are counted")
    return lines


def describe_quarantine(run: Any) -> list[str]:
    """Return where failed rows are quarantined, and the next step; empty if there are none."""
    if run.quarantine is None:
        return []
    files = "KEY.json has the error, KEY.arrow (pandas.read_feather) or KEY.raw the rows"
    return [f"in {run.quarantine}: {files}"]


def _failures(run: Any) -> list[str]:
    failures = run.failures
    planned = planned_chunks(run)
    lines = []
    for number, row in enumerate(failures.head(_MAX_FAILURES).to_dict("records")):
        attempts = format_count(row["attempts"], "attempt")
        task = _label(run, row["task"])
        lines.append(f"{task}: {row['error']} ({row['status'].lower()}, {attempts})")
        if not is_unknown(row["path"]):
            lines.append(f"  in {find_place(row, planned)}, key {row['key']}")
        # Chunks mostly fail with the same error: one traceback is enough.
        if not number:
            frames = str(row["traceback"]).rstrip().splitlines()
            lines += ["  …"] if len(frames) > _MAX_FRAMES else []
            lines += [f"  {line}" for line in frames[-_MAX_FRAMES:]]
    if len(failures) > _MAX_FAILURES:
        lines.append(f"and {len(failures) - _MAX_FAILURES:,} more: run.failures")
    return lines


def _overcome(run: Any) -> list[str]:
    """Return the errors of attempts that another one made good."""
    outcomes = run.outcomes
    is_done = (outcomes["status"] == "COMPLETED") & ~outcomes["is_fallback"]
    lost = _failed_attempts(run, outcomes[is_done])
    lost = lost[lost["error"] != f"WorkerDied: {LOST_WITH_WORKER}"]  # these are in the notes
    return _count_errors(run, lost, "attempt", "a later attempt succeeded", "run.attempts")


def describe_fallbacks(run: Any) -> list[str]:
    """Return what a fallback replaced, by the last error before it."""
    lost = _failed_attempts(run, run.outcomes[run.outcomes["is_fallback"]])
    last = lost.drop_duplicates(["task", "key"], keep="last")
    rows = "run.outcomes[run.outcomes.is_fallback]"
    return _count_errors(run, last, "result", "its fallback was used", rows)


def _failed_attempts(run: Any, outcomes: Any) -> Any:
    # Fan-outs over the same data have the same keys.
    names = ["task", "key"]
    return run.attempts[run.attempts["error"].notna()].merge(outcomes[names].drop_duplicates())


def _count_errors(run: Any, lost: Any, noun: str, remedy: str, rows: str) -> list[str]:
    """Return the most frequent errors of `lost`, with their `remedy`; `rows` shows all."""
    counts = lost.groupby(["task", "error"], sort=False).size().sort_values(ascending=False)
    lines = [
        f"{_label(run, task)}: {error} ({format_count(count, noun)}; {remedy})"
        for (task, error), count in counts.head(_MAX_OVERCOME).items()
    ]
    more = len(counts) - _MAX_OVERCOME
    return [*lines, f"and {format_count(more, 'other error')}: {rows}"] if more > 0 else lines


def planned_chunks(run: Any) -> dict[str, Any]:
    """Return the planned chunks of `run` by key."""
    return {chunk.key: chunk for plan in run.plans.values() for chunk in plan}


def find_place(row: Mapping[Any, Any], planned: Mapping[str, Any]) -> str:
    """Return the file and range of a chunk, with the number of its other pieces."""
    chunk = planned.get(row["key"])
    pieces = [] if chunk is None else list(chunk.pieces)
    if len(pieces) < 2:
        return f"{row['path']} [{row['start']:,} to {row['stop']:,}]"
    # It goes on in other places, mostly other files: its stop is where the last of them stops.
    first = pieces[0]
    more = format_count(len(pieces) - 1, "more piece")
    return f"{first.path} [{first.start:,} to {first.stop:,}] and {more}"


def _amount(count: Any) -> str:
    return "unknown" if is_unknown(count) else f"{count:,}"


def is_unknown(value: Any) -> bool:
    """Return whether a number of the ledger is unknown."""
    # pandas.NA can't be compared, NaN is not equal to itself.
    return value is None or type(value).__name__ == "NAType" or bool(value != value)
