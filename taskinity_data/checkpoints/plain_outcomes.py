"""Outcomes as plain values and back: without their value, and without exceptions themselves.

It knows nothing of where they are kept.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from taskinity_data.outcome import Attempt, BadLine, BadLines, Failure, Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.output.parts import Part

__all__ = ["from_plain", "to_plain"]

_LOGS = ("logs", "logs_cut")
_ATTEMPT = tuple(one.name for one in fields(Attempt) if one.name not in ("failure", *_LOGS))
_BAD_LINE = tuple(field.name for field in fields(BadLine))
_MADE = ("status", "attempts", "is_recalled", "value", "output", "bad_lines")
_OUTCOME = tuple(field.name for field in fields(Outcome) if field.name not in _MADE)
"""The facts of an outcome that are plain values themselves: its task and key first."""


def to_plain(outcome: Outcome) -> tuple[Any, ...]:
    """All but the value; the task and the key come first."""
    return (
        *(getattr(outcome, name) for name in _OUTCOME),
        str(outcome.status),
        [_plain_attempt(attempt) for attempt in outcome.attempts],
        _plain_part(outcome.output),
        _plain_lines(outcome.bad_lines),
    )


def from_plain(plain: Sequence[Any], value: Any = None) -> Outcome:
    """The outcome that `to_plain` made it of, with `value`."""
    *facts, status, attempts, output, bad_lines = plain
    return Outcome(
        **dict(zip(_OUTCOME, facts, strict=True)),
        status=Status(status),
        attempts=tuple(_attempt(one) for one in attempts),
        value=value,
        output=_part(output),
        bad_lines=_lines(bad_lines),
    )


def _plain_attempt(attempt: Attempt) -> tuple[Any, ...]:
    failure = attempt.failure
    told = failure and (failure.kind, failure.message, failure.traceback, failure.ancestry)
    return (*(getattr(attempt, name) for name in _ATTEMPT), told)


def _attempt(plain: Sequence[Any]) -> Attempt:
    *values, told = plain
    failure = None if told is None else Failure(*told)
    # Journals of before CPU time was measured lack what is last.
    return Attempt(**dict(zip(_ATTEMPT, values, strict=False)), failure=failure)


def _plain_lines(bad_lines: BadLines | None) -> tuple[Any, ...] | None:
    if bad_lines is None:
        return None
    kept = [tuple(getattr(line, name) for name in _BAD_LINE) for line in bad_lines.lines]
    return bad_lines.count, bad_lines.nbytes, kept


def _lines(plain: Sequence[Any] | None) -> BadLines | None:
    if plain is None:
        return None
    count, nbytes, kept = plain
    return BadLines(count, nbytes, tuple(BadLine(*line) for line in kept))


def _plain_part(part: Any) -> tuple[Any, ...] | None:
    if part is None:
        return None
    schema = None if part.schema is None else part.schema.serialize().to_pybytes()
    files = [{one.name: getattr(file, one.name) for one in fields(file)} for file in part.files]
    return part.index, part.key, schema, files


def _part(plain: Sequence[Any] | None) -> Part | None:
    if plain is None:
        return None
    import pyarrow as pa

    from taskinity_data.output.parts import Part, StagedFile

    index, key, schema, files = plain
    read = None if schema is None else pa.ipc.read_schema(pa.py_buffer(schema))
    return Part(index, key, read, tuple(StagedFile(**one) for one in files))
