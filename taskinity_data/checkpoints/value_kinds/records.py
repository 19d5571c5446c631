"""Outcomes, and what they consist of, as JSON: of each class its fields in order; see `values`."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from taskinity_data.outcome import Attempt, BadLine, BadLines, Failure, Outcome, Status
from taskinity_data.outcome_block import OutcomeBlock

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskinity_data.checkpoints.value_kinds.codec import ValueReader, ValueWriter

__all__ = ["READERS", "WRITERS", "pair"]


def pair(kind: Any, *left_out: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return what writes a dataclass without the fields that are `left_out`, and what reads it."""
    names = [field.name for field in fields(kind) if field.name not in left_out]

    def write(writer: ValueWriter, value: Any) -> Any:
        return [kind.__name__, *writer.values([getattr(value, name) for name in names])]

    def read(reader: ValueReader, parts: list[Any]) -> Any:
        return kind(**dict(zip(names, reader.values(parts), strict=True)))

    return write, read


_PAIRS: dict[Any, tuple[Callable[..., Any], Callable[..., Any]]] = {
    Outcome: pair(Outcome, "value", "is_recalled"),
    OutcomeBlock: pair(OutcomeBlock, "values"),
    Attempt: pair(Attempt, "logs", "logs_cut"),
    Failure: pair(Failure, "error"),
    BadLines: pair(BadLines),
    BadLine: (
        lambda writer, line: ["BadLine", *writer.values(line)],
        lambda reader, parts: BadLine(*reader.values(parts)),
    ),
    Status: (
        lambda _writer, status: ["Status", str(status)],
        lambda _reader, parts: Status(parts[0]),
    ),
}

WRITERS = {kind: write for kind, (write, _) in _PAIRS.items()}
READERS = {kind.__name__: read for kind, (_, read) in _PAIRS.items()}
