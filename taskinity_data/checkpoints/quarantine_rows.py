"""The rows of what failed, as the bytes of an Arrow file, or as in their own file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from taskinity_data.data_kinds import is_in_memory
from taskinity_data.errors import WorkerDied
from taskinity_data.formats.frame_tables import to_table
from taskinity_data.formats.stream import StreamBlock, is_stream
from taskinity_data.outcome import BadLine
from taskinity_data.redact import clean_text
from taskinity_data.sources.read import read_range

if TYPE_CHECKING:
    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.outcome import BadLines, Outcome

__all__ = ["QuarantinedRows", "is_safe", "pack_chunk", "pack_lines", "pack_table", "pack_value"]

_DANGERS = (WorkerDied, MemoryError, TimeoutError)
"""After these, reading might do to this process what it did to the worker."""


@dataclass(frozen=True, slots=True)
class QuarantinedRows:
    """The rows of an entry as what is written, or why there are none."""

    suffix: str = ""
    data: Any = b""
    count: int | None = None
    why_not: str | None = None


def is_safe(chunk: Chunk, outcome: Outcome) -> bool:
    """Return whether to read `chunk` here can't end or block this process."""
    if chunk.reader.is_in_memory:
        return True
    if any(attempt.memory_nbytes is not None for attempt in outcome.attempts):
        return True  # it was read, and then something else failed
    failure = outcome.failure
    return failure is None or not failure.is_a(*_DANGERS)


def pack_chunk(chunk: Chunk, *, is_safe: bool) -> QuarantinedRows:
    """Return the rows of `chunk`; raw where they don't parse, or where it is not safe to read them.

    What has no raw form then stays in its file, whose range the entry has.
    """
    why_not = "reading them here might fail as it did"
    if is_safe:
        try:
            return pack_table(chunk.load("arrow").data)
        except Exception as error:  # noqa: BLE001 - what does not parse is kept unchanged
            why_not = clean_text(f"{type(error).__name__}: {error}")
    if chunk.reader.unit != "bytes":
        return QuarantinedRows(why_not=why_not)
    try:
        for piece in chunk.pieces:
            piece.file.check(piece.start)
        texts = [read_range(piece.file, piece.start, piece.stop) for piece in chunk.pieces]
    except Exception as error:  # noqa: BLE001 - a file that is gone, changed, forbidden
        return QuarantinedRows(why_not=clean_text(f"{type(error).__name__}: {error}"))
    return QuarantinedRows(".raw", b"".join(texts), chunk.rows, why_not)


def pack_value(data: Any) -> QuarantinedRows:
    """Return the rows of a list's or a stream's item, where it is a frame or a table."""
    value = data.data if isinstance(data, StreamBlock) else data
    if is_stream(value) or not is_in_memory(value):
        return QuarantinedRows(why_not="it is not a table in memory")
    try:
        return pack_table(to_table(value)[0])
    except Exception as error:  # noqa: BLE001 - columns that Arrow can't hold
        return QuarantinedRows(why_not=clean_text(f"{type(error).__name__}: {error}"))


def pack_lines(bad: BadLines) -> QuarantinedRows:
    """Return the lines that did not parse: a row each, with its bytes, position and reason."""
    names = BadLine._fields
    types = {"start": pa.int64(), "stop": pa.int64(), "row": pa.int64(), "raw": pa.binary()}
    columns = {
        name: pa.array(
            [_as_text(getattr(line, name)) for line in bad.lines], types.get(name, pa.string())
        )
        for name in names
    }
    return pack_table(pa.table(columns))


def _as_text(value: Any) -> Any:
    return clean_text(_escape(value)) if isinstance(value, str) else value


def _escape(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def pack_table(table: Any) -> QuarantinedRows:
    """Return the rows of `table` as an Arrow file."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write(table)
    return QuarantinedRows(".arrow", sink.getvalue(), table.num_rows)
