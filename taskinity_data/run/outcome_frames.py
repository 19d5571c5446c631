"""Outcomes, attempts and bad lines as DataFrames: one row each."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pandas as pd

from taskinity_data.chunks.chunk import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskinity_data.execution.worker.job import Item
    from taskinity_data.outcome import BadLine, Outcome

    Ended = Iterable[tuple[Item | None, Outcome]]

__all__ = [
    "as_text",
    "attempts_frame",
    "bad_lines_frame",
    "outcomes_frame",
    "workers_frame",
]

_WHERE = {"task": "str", "key": "str", "path": "str", "start": "Int64", "stop": "Int64"}

_OUTCOMES = _WHERE | {
    "rows": "Int64",
    "nbytes": "int64",
    "status": "str",
    "attempts": "int64",
    "worker": "str",
    "started": "datetime64[ns, UTC]",
    "duration_s": "float64",
    "peak_nbytes": "Int64",
    "error": "str",
    "is_fallback": "bool",
}

_ATTEMPTS = _WHERE | {
    "attempt": "int64",
    "worker": "str",
    "started": "datetime64[ns, UTC]",
    "duration_s": "float64",
    "read_s": "float64",
    "function_s": "float64",
    "partial_s": "float64",
    "memory_nbytes": "Int64",
    "peak_nbytes": "Int64",
    "error": "str",
}

_attempt_facts = attrgetter(
    "number", "worker", "started_s", "duration_s", "read_s", "function_s", "partial_s",
    "memory_nbytes", "peak_nbytes",
)  # fmt: skip

_WORKERS = {
    "name": "str",
    "host": "str",
    "joined": "datetime64[ns, UTC]",
    "left": "datetime64[ns, UTC]",
    "chunks": "int64",
    "reason": "str",
}

_BAD_LINES = {
    "task": "str",
    "key": "str",
    "path": "str",
    "start": "int64",
    "stop": "int64",
    "row": "int64",
    "reason": "str",
    "text": "str",
    "raw": "object",
}

_line_facts = attrgetter("start", "stop", "row", "reason", "text", "raw")


def as_text(text: str) -> str:
    r"""Return `text` with half surrogate pairs, as in names of files, written as ``\udcff``."""
    return text.encode("utf-8", "backslashreplace").decode()


def outcomes_frame(ended: Ended) -> pd.DataFrame:
    """Return a frame of items and their outcomes; see `Run.outcomes`."""
    return _frame((_to_row(item, outcome) for item, outcome in ended), _OUTCOMES)


def _to_row(item: Item | None, outcome: Outcome) -> tuple[Any, ...]:
    last = outcome.attempts[-1] if outcome.attempts else None
    return (
        *_where(item, outcome),
        outcome.rows,
        outcome.nbytes,
        str(outcome.status),
        len(outcome.attempts),
        last.worker if last else None,
        last.started_s if last else None,
        outcome.duration_s,
        last.peak_nbytes if last else None,
        _describe(outcome.failure),
        outcome.is_fallback,
    )


def attempts_frame(ended: Ended) -> pd.DataFrame:
    """Return a frame of the attempts of items; see `Run.attempts`."""
    return _frame(
        (
            (*_where(item, outcome), *_attempt_facts(attempt), _describe(attempt.failure))
            for item, outcome in ended
            for attempt in outcome.attempts
        ),
        _ATTEMPTS,
    )


def workers_frame(rows: Iterable[tuple[Any, ...]], ended: Ended) -> pd.DataFrame:
    """Return a frame of a cluster's workers, or of the processes that ran what has `ended`."""
    rows = list(rows)
    if not rows:
        starts: dict[str, list[float]] = {}
        for _, outcome in ended:
            for attempt in outcome.attempts:
                if attempt.worker == "driver":
                    continue
                starts.setdefault(attempt.worker.partition("/")[0], []).append(attempt.started_s)
        rows = [
            (name, name.partition(":")[0], min(times_s), None, len(times_s), "")
            for name, times_s in starts.items()
        ]
    return _frame(rows, _WORKERS)


def bad_lines_frame(lines: Iterable[tuple[str, str, BadLine]]) -> pd.DataFrame:
    """Return a frame of tasks, keys and lines; see `Run.bad_lines`."""
    return _frame(
        ((task, key, as_text(line.path), *_line_facts(line)) for task, key, line in lines),
        _BAD_LINES,
    )


def _where(item: Item | None, outcome: Outcome) -> tuple[Any, ...]:
    chunk = None if item is None else item.data
    if not isinstance(chunk, Chunk):
        return outcome.task, outcome.key, None, None, None
    return outcome.task, outcome.key, as_text(chunk.path), chunk.start, chunk.stop


def _describe(failure: Any) -> str | None:
    return None if failure is None else as_text(str(failure))


def _frame(rows: Iterable[tuple[Any, ...]], columns: Mapping[str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=list(columns))
    for name in {"started", "joined", "left"} & set(columns):
        frame[name] = pd.to_datetime(frame[name].astype("float64"), unit="s", utc=True)
    return frame.astype(dict(columns))
