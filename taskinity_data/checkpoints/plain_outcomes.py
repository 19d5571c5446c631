"""Convert outcomes to plain values and back, without their value and without exceptions."""

from __future__ import annotations

from array import array
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.outcome import Attempt, BadLine, BadLines, Failure, Outcome, Status
from taskinity_data.outcome_block import OutcomeBlock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskinity_data.output.parts import Part

__all__ = ["from_plain", "split_plain_block", "to_plain", "to_plain_block"]

_NOT_KEPT = ("logs", "logs_cut", "queued_s")
_ATTEMPT = tuple(
    field.name for field in fields(Attempt) if field.name not in ("failure", *_NOT_KEPT)
)
_CONVERTED = ("status", "attempts", "is_recalled", "value", "output", "bad_lines")
_OUTCOME = tuple(field.name for field in fields(Outcome) if field.name not in _CONVERTED)
"""The facts of an outcome that are plain values themselves: its task and key first."""


def to_plain(outcome: Outcome) -> tuple[Any, ...]:
    """Return all but the value; the task and the key come first."""
    return (
        *(getattr(outcome, name) for name in _OUTCOME),
        str(outcome.status),
        [_plain_attempt(attempt) for attempt in outcome.attempts],
        _plain_part(outcome.output),
        _plain_lines(outcome.bad_lines),
    )


def from_plain(plain: Sequence[Any], value: Any = None) -> Outcome:
    """Return the outcome that `to_plain` converted, with `value`."""
    *values, status, attempts, output, bad_lines = plain
    return Outcome(
        **dict(zip(_OUTCOME, values, strict=True)),
        status=Status(status),
        attempts=tuple(map(_attempt, attempts)),
        value=value,
        output=_part(output),
        bad_lines=_lines(bad_lines),
    )


_COLUMNS = ("times", "counts", "sizes", "spent", "peaks")
"""The numbers of a block."""


def to_plain_block(
    name: str, items: Sequence[Any], identities: Sequence[Any], block: OutcomeBlock
) -> dict[str, Any]:
    """Return what the journal keeps of `items` of a fan-out, which completed together.

    `identities` are what `FanOutRecord.identity_of` returns for each.
    """
    befores = [before for _, before, _ in identities]
    columns = {column: getattr(block, column).tobytes() for column in _COLUMNS}
    return columns | {
        "name": name,
        "keys": b"".join(bytes.fromhex(item.key) for item in items),
        "positions": array("q", [item.position for item in items]).tobytes(),
        "where": _plain_ranges([item.data for item in items]),
        "identities": [identity for identity, *_ in identities],
        "before": befores if any(befores) else None,
        "task": block.task,
        "workers": _number(block.workers),
    }


def _plain_ranges(chunks: Sequence[Any]) -> tuple[Any, ...] | None:
    """Return paths, and of each chunk the number of its path, start, stop and bytes, if any is."""
    if not any(isinstance(chunk, Chunk) for chunk in chunks):
        return None
    ranges = [
        (chunk.path, chunk.start, chunk.stop, chunk.nbytes)
        if isinstance(chunk, Chunk)
        else (None, 0, 0, 0)
        for chunk in chunks
    ]
    numbers = array("q", [number for _, *numbers in ranges for number in numbers])
    return *_number([path for path, *_ in ranges]), numbers.tobytes()


def _number(names: Sequence[str | None]) -> tuple[list[str | None], bytes]:
    """Return the distinct ones of `names`, and the number of each."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return list(numbers), array("q", [numbers[name] for name in names]).tobytes()


def _names(names: Sequence[Any], numbers: bytes) -> list[Any]:
    return [names[number] for number in array("q", numbers)]


class _PlainItem(NamedTuple):
    key: str
    nbytes: int
    attempt: int = 1
    fallback: str | None = None


def split_plain_block(plain: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yield what the journal keeps of each item where it is kept alone."""
    block = OutcomeBlock(plain["task"], workers=_names(*plain["workers"]))
    for name in _COLUMNS:
        getattr(block, name).frombytes(plain[name])
    where: list[Any] = [None] * len(block)
    sizes = [0] * len(block)
    if plain["where"] is not None:
        paths, path_numbers, ranges = plain["where"]
        starts, stops, sizes = (array("q", ranges)[column::3].tolist() for column in range(3))
        where = [
            None if path is None else (path, start, stop)
            for path, start, stop in zip(_names(paths, path_numbers), starts, stops, strict=True)
        ]
    keys = [plain["keys"][at : at + 16].hex() for at in range(0, 16 * len(block), 16)]
    columns = zip(
        block.outcomes(map(_PlainItem, keys, sizes)),
        plain["identities"],
        plain["before"] or [0] * len(block),
        where,
        array("q", plain["positions"]),
        strict=True,
    )
    for outcome, identity, before, location, position in columns:
        yield plain["name"], identity, before, to_plain(outcome), location, position, None


def _plain_attempt(attempt: Attempt) -> tuple[Any, ...]:
    failure = attempt.failure
    plain = failure and (failure.kind, failure.message, failure.traceback, failure.ancestry)
    return (*(getattr(attempt, name) for name in _ATTEMPT), plain)


def _attempt(plain: Sequence[Any]) -> Attempt:
    *values, plain_failure = plain
    failure = None if plain_failure is None else Failure(*plain_failure)
    return Attempt(**dict(zip(_ATTEMPT, values, strict=True)), failure=failure)


def _plain_lines(bad_lines: BadLines | None) -> tuple[Any, ...] | None:
    if bad_lines is None:
        return None
    lines = [tuple(line) for line in bad_lines.lines]
    return bad_lines.count, bad_lines.nbytes, lines


def _lines(plain: Sequence[Any] | None) -> BadLines | None:
    if plain is None:
        return None
    count, nbytes, lines = plain
    return BadLines(count, nbytes, tuple(BadLine(*line) for line in lines))


def _plain_part(part: Any) -> tuple[Any, ...] | None:
    if part is None:
        return None
    schema = None if part.schema is None else part.schema.serialize().to_pybytes()
    files = [
        {field.name: getattr(file, field.name) for field in fields(file)} for file in part.files
    ]
    return part.index, part.key, schema, files


def _part(plain: Sequence[Any] | None) -> Part | None:
    if plain is None:
        return None
    import pyarrow as pa

    from taskinity_data.output.parts import Part, StagedFile

    index, key, schema, files = plain
    read = None if schema is None else pa.ipc.read_schema(pa.py_buffer(schema))
    return Part(index, key, read, tuple(StagedFile(**file) for file in files))
