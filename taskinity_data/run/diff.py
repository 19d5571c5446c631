"""What differs between two runs that are kept: inputs, code, options, versions, times, totals.

It works on what the journals say, and looks at no file and no function itself.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pandas as pd

from taskinity_data.data_kinds import add_counts
from taskinity_data.outcome import Status
from taskinity_data.wording import inert_line, safe_str

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskinity_data.checkpoints.read_journal import Past

__all__ = ["compare_runs", "facts_for_diff"]

_IN_MEMORY = "a table in memory"
_NOT_KEPT = "not kept"
_NO_CODE = ("argument ", "reducer ", "what is kept", "output")
"""Parts of a fan-out's identity that are not code, or are shown elsewhere."""


def facts_for_diff(past: Past, status: str) -> dict[str, dict[str, Any]]:
    """Return what of a run is compared: values by name, of each kind."""
    head = past.head
    files = {}
    for identity, path in past.files.items():
        files[_IN_MEMORY if identity.startswith("memory ") else path] = identity
    parts: dict[str, str] = {}
    for fan_out in past.fan_outs.values():
        parts |= {
            name: digest
            for name, digest in fan_out.start.parts.items()
            if name not in fan_out.start.unstable
        }
    # The digest of a table in memory is among the files.
    hidden = () if _IN_MEMORY in files else head.get("asked", ())
    code = {name: part for name, part in parts.items() if not name.startswith(_NO_CODE)}
    return {
        "input": dict.fromkeys(hidden, _NOT_KEPT) | head.get("inputs", {}),
        "file": files,
        "code": code | head["code"],
        "flow": {"text": head.get("text", "")},
        "option": head["options"],
        "version": head.get("versions", {}) | {"host": head.get("host")},
        "seconds": _times(past),
        "total": _totals(past) | {"status": status},
    }


def _times(past: Past) -> dict[str, float]:
    end = past.end or {}
    times: dict[str, float] = {}
    if "timings" in end:
        times["the whole run"] = end["timings"]["total"]
    for outcome in [*(outcome for _, outcome in past.outcomes()), *past.singles()]:
        attempts = () if outcome.is_recalled else outcome.attempts
        name = f"work of {outcome.task}"
        times[name] = times.get(name, 0.0) + sum(attempt.duration_s for attempt in attempts)
    return {name: round(spent_s, 3) for name, spent_s in times.items()}


def _totals(past: Past) -> dict[str, Any]:
    chunks = [outcome for _, outcome in past.outcomes()]
    counts = Counter(outcome.status for outcome in chunks)
    rows = (outcome.rows for outcome in chunks if outcome.status is Status.COMPLETED)
    return {
        "chunks": len(chunks),
        "rows": add_counts(rows),
        "bytes": sum(outcome.nbytes for outcome in chunks),
        "failed": counts[Status.FAILED],
        "skipped": counts[Status.SKIPPED],
        "replaced by a fallback": sum(outcome.is_fallback for outcome in chunks),
        "tried again": sum(len(outcome.attempts) > 1 for outcome in chunks),
        "reused from an earlier run": sum(
            outcome.is_recalled and outcome.status is Status.COMPLETED for outcome in chunks
        ),
    }


def compare_runs(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Return what differs between two results of `facts_for_diff`: see `Run.diff`."""
    rows = []
    for kind in before:
        old, new = before[kind], after[kind]
        for name in dict.fromkeys([*old, *new]):
            values = old.get(name), new.get(name)
            # What one of them alone reads has changed the function that reads it.
            is_compared = kind != "code" or (name in old and name in new)
            if is_compared and (values[0] != values[1] or values[0] == _NOT_KEPT):
                rows.append((kind, *map(_format, (name.removeprefix("task "), *values))))
    return pd.DataFrame(rows, columns=["kind", "name", "before", "after"], dtype="str")


def _format(value: Any) -> str | None:
    return None if value is None else inert_line(safe_str(value))
