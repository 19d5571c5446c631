"""Where the messages of an Arrow IPC file or stream lie, and what they hold, from their headers.

It knows nothing of values: bodies are not read, but for the length before each compressed buffer.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from taskinity_data.errors import PlanError
from taskinity_data.formats.file_layouts.ipc_messages import MessageError, read_footer, read_message
from taskinity_data.formats.tables import TableLayout, check_schema
from taskinity_data.sources.caches import Cache
from taskinity_data.sources.read import Bytes, StoreBytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.formats.file_layouts.ipc_messages import Message, MessageRange
    from taskinity_data.sources.file import SourceFile

__all__ = ["IpcLayout", "open_ipc_layout"]

_MAGIC = b"ARROW1"
_BEGIN = _MAGIC + bytes(2)
_FEATHER_V1 = b"FEA1"
_CONTINUATION = b"\xff\xff\xff\xff"
_HEAD_NBYTES = 8
_TAIL_NBYTES = 4 + len(_MAGIC)
_LENGTH_NBYTES = 8

LAYOUTS_NBYTES = 16 << 20
"""Bytes of layouts that are kept in a process: 500,000 record batches of one column."""

_GAP_NBYTES = 72
"""Bytes between messages that may be padding and the mark that ends the batches: a message's header
alone has more."""

_MOST = 1 << 48
"""More rows and bytes than any file has."""

_DAMAGED = "write or copy the file again"


@dataclass(frozen=True)
class Dictionary:
    """A dictionary message: its bytes, its id, and how many batches stand before it."""

    start: int
    stop: int
    id: int
    is_delta: bool
    place: int


@dataclass(frozen=True, eq=False)
class IpcLayout(TableLayout):
    """What one Arrow IPC file or stream holds.

    Attributes
    ----------
    head : bytes
        The schema, as a message.
    spans : numpy.ndarray
        Shape (batches, 2), int64: bytes from and to which each record batch goes.
    dictionaries : tuple of Dictionary
        In the order in which they stand; those of a file, whose batches all see the same, first.
    is_compressed : bool
    """

    head: bytes
    spans: np.ndarray[Any, np.dtype[np.int64]]
    dictionaries: tuple[Dictionary, ...]
    is_compressed: bool

    def segments(self, batches: Sequence[int]) -> Iterator[tuple[int, int]]:
        """From and to where the bytes go that, after the head, make a stream of `batches`.

        `batches` ascend; their dictionaries are among the bytes.
        """
        seen = 0
        for batch in batches:
            known: dict[int, list[int]] = {}
            while seen < len(self.dictionaries) and self.dictionaries[seen].place <= batch:
                one = self.dictionaries[seen]
                known[one.id] = [*known.get(one.id, []), seen] if one.is_delta else [seen]
                seen += 1
            for place in sorted(place for places in known.values() for place in places):
                yield self.dictionaries[place].start, self.dictionaries[place].stop
            start, stop = self.spans[batch]
            yield int(start), int(stop)

    def first_of_each_dictionary(self) -> list[int]:
        """Batches whose dictionaries together are all that any batch sees."""
        places = dict.fromkeys(one.place for one in self.dictionaries)
        return [place for place in places if place < len(self.spans)]


_layouts: Cache[IpcLayout] = Cache(LAYOUTS_NBYTES)


def open_ipc_layout(file: SourceFile) -> IpcLayout:
    """The layout of `file`.

    Raises
    ------
    PlanError
        It is truncated, malformed, of Feather's first version, or has two columns of one name.

    Notes
    -----
    Costs about 25 µs a record batch. Keeps the last layouts, by fingerprint.
    """
    key = file.path, file.fingerprint
    found = _layouts.get(key)
    if found is None:
        found = _open(file)
        _layouts.put(key, found, found.sizes.nbytes + found.spans.nbytes + 1000)
    return found


def _open(file: SourceFile) -> IpcLayout:
    path = file.path
    data = _map(file)
    if data[: len(_FEATHER_V1)] == _FEATHER_V1:
        line = f"feather.write_feather(feather.read_table({path!r}), {path + '.arrow'!r})"
        raise PlanError(
            f"{path}: this is Feather's first version, which is not read; convert it: "
            f"from pyarrow import feather; {line}"
        )
    is_file = data[: len(_MAGIC)] == _MAGIC
    head, messages = _read_file(data, path) if is_file else _read_stream(data, path)
    schema = _read_schema(head, path)
    check_schema(schema, path)
    batches = [one for one in messages if one.kind == "batch"]
    nodes, buffers = _shape(schema)
    firsts = np.cumsum([0, *nodes])[:-1].tolist()
    for one in batches:
        if len(one.nodes) != sum(nodes) or any(one.nodes[at][0] != one.rows for at in firsts):
            raise PlanError(
                f"{path}: the record batch at byte {one.start:,} has not the schema's fields, or "
                f"they are not as long as it; {_DAMAGED}"
            )
    if sum(one.rows for one in batches) > _MOST:
        raise PlanError(f"{path}: its record batches have too many rows to be true; {_DAMAGED}")
    null_counts = {
        name: sum(one.nodes[first][1] for one in batches)
        for name, first in zip(schema.names, firsts, strict=True)
    }
    sizes = [_sizes(data, one, buffers, path) for one in batches]
    starts = np.cumsum([0, *(one.rows for one in batches)], dtype=np.int64)
    return IpcLayout(
        file=file,
        schema=schema,
        starts=starts,
        sizes=np.array(sizes, np.int64).reshape(len(batches), len(schema)),
        null_counts=null_counts,
        head=head,
        spans=np.array([(one.start, one.stop) for one in batches], np.int64).reshape(-1, 2),
        dictionaries=_find_dictionaries(messages, path, is_file=is_file),
        is_compressed=any(one.is_compressed for one in batches),
    )


def _map(file: SourceFile) -> Bytes:
    if file.store is not None:
        return StoreBytes(file, file.nbytes)
    try:
        with pa.memory_map(file.path) as mapped:
            return memoryview(mapped.read_buffer()).cast("B")
    except (pa.ArrowException, OSError) as error:
        raise PlanError(f"{file.path}: can't be read: {error}") from error


def _read_stream(data: Bytes, path: str) -> tuple[bytes, list[Message]]:
    """The schema's message and the others of a stream."""
    messages: list[Message] = []
    place = 0
    while True:
        one = _read_message(data, place, path)
        if one.kind == "end":
            break
        messages.append(one)
        place = one.stop
        if (one.kind == "schema") != (len(messages) == 1):
            raise PlanError(
                f"{path}: the message at byte {one.start:,} is a {one.kind}, where a stream has a "
                f"schema first and only there; {_DAMAGED}"
            )
    if one.stop != len(data) or not messages:
        raise PlanError(
            f"{path}: the stream ends at byte {one.stop:,} of {len(data):,}; where several were "
            "put into one file, split them"
        )
    return bytes(data[messages[0].start : messages[0].stop]), messages[1:]


def _read_file(data: Bytes, path: str) -> tuple[bytes, list[Message]]:
    """The schema's message and the others of a file: dictionaries, then record batches."""
    nbytes = len(data)
    tail = nbytes - _TAIL_NBYTES
    if tail < _HEAD_NBYTES or data[-len(_MAGIC) :] != _MAGIC:
        raise PlanError(f"{path}: the Arrow file is truncated, its footer is missing; {_DAMAGED}")
    footer_nbytes = int.from_bytes(data[tail : tail + 4], "little", signed=True)
    end = tail - footer_nbytes
    if footer_nbytes <= 0 or end < _HEAD_NBYTES:
        raise PlanError(f"{path}: the Arrow file's footer is malformed; {_DAMAGED}")
    try:
        footer = read_footer(data[end:tail])
        # Arrow looks at all of the footer, here at one without a file before it.
        pa.ipc.open_file(pa.py_buffer(_BEGIN + bytes(data[end:])))
    except (MessageError, pa.ArrowException, OSError) as error:
        raise PlanError(f"{path}: the Arrow file's footer is malformed; {_DAMAGED}") from error
    messages = [
        *(_read_block(data[:end], block, "dictionary", path) for block in footer.dictionaries),
        *(_read_block(data[:end], block, "batch", path) for block in footer.batches),
    ]
    spans = sorted((one.start, one.stop) for one in messages)
    if data[_HEAD_NBYTES : _HEAD_NBYTES + len(_CONTINUATION)] == _CONTINUATION:
        spans.insert(0, _check_first_schema(data[:end], footer.schema, path))
    for one, other in pairwise([*spans, (end, end)]):
        if not 0 <= other[0] - one[1] <= _GAP_NBYTES:
            raise PlanError(
                f"{path}: the footer tells nothing of bytes {one[1]:,} to {other[0]:,}, or twice; "
                f"{_DAMAGED}"
            )
    return footer.schema, messages


def _read_block(data: Bytes, block: MessageRange, kind: str, path: str) -> Message:
    one = _read_message(data, block.start, path) if block.start >= _HEAD_NBYTES else None
    told = block.start + block.header_nbytes, block.body_nbytes
    if one is None or one.kind != kind or (one.body, one.stop - one.body) != told:
        raise PlanError(
            f"{path}: the footer tells of a {kind} at byte {block.start:,}, but there is none of "
            f"that size; {_DAMAGED}"
        )
    return one


def _read_message(data: Bytes, start: int, path: str) -> Message:
    try:
        return read_message(data, start)
    except MessageError as error:
        raise PlanError(
            f"{path}: the message at byte {start:,} of the Arrow data can't be read: {error}; "
            "the file is truncated or damaged: write or copy it again"
        ) from error


def _read_schema(head: bytes, path: str) -> pa.Schema:
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(head))
        schema.names  # noqa: B018 - decodes them
        return schema
    # Extension types are built from what the file says by any class that is registered.
    except Exception as error:
        raise PlanError(f"{path}: the schema can't be read: {error}; {_DAMAGED}") from error


def _check_first_schema(data: Bytes, told: bytes, path: str) -> tuple[int, int]:
    """From and to where the schema goes that stands before the batches, the same as the footer's.

    Some writers have no message there.
    """
    first = _read_message(data, _HEAD_NBYTES, path)
    found = _read_schema(bytes(data[first.start : first.stop]), path)
    if not found.equals(_read_schema(told, path)):
        raise PlanError(f"{path}: the schemas in its head and its footer differ; {_DAMAGED}")
    return first.start, first.stop


def _find_dictionaries(
    messages: Sequence[Message], path: str, *, is_file: bool
) -> tuple[Dictionary, ...]:
    found: list[Dictionary] = []
    place = 0
    for one in messages:
        if one.kind == "dictionary":
            is_again = not one.is_delta and one.dictionary in {other.id for other in found}
            if is_file and is_again:
                raise PlanError(
                    f"{path}: the dictionary at byte {one.start:,} replaces another, which an "
                    f"Arrow file may not; {_DAMAGED}"
                )
            found.append(Dictionary(one.start, one.stop, one.dictionary, one.is_delta, place))
        place += one.kind == "batch"
    return tuple(found)


def _shape(schema: pa.Schema) -> tuple[list[int], list[tuple[int, int]]]:
    """Of each column, how many field nodes; how many buffers, and columns of views, it has."""
    parts = [list(_nodes(one.type)) for one in schema]
    return (
        [len(nodes) for nodes in parts],
        [(sum(count for count, _ in nodes), sum(view for _, view in nodes)) for nodes in parts],
    )


def _nodes(type_: pa.DataType) -> Iterator[tuple[int, bool]]:
    """Of a field and those within it, how many buffers it has, and whether it holds views."""
    if isinstance(type_, pa.BaseExtensionType):
        yield from _nodes(type_.storage_type)
        return
    is_view = pat.is_string_view(type_) or pat.is_binary_view(type_)
    yield _buffers(type_), is_view
    if not pat.is_dictionary(type_):
        for place in range(type_.num_fields):
            yield from _nodes(type_.field(place).type)


def _buffers(type_: pa.DataType) -> int:
    if pat.is_null(type_) or pat.is_run_end_encoded(type_):
        return 0
    if pat.is_struct(type_) or pat.is_fixed_size_list(type_):
        return 1
    if pat.is_union(type_):
        return 1 if type_.mode == "sparse" else 2
    is_text = pat.is_string(type_) or pat.is_binary(type_)
    is_large = pat.is_large_string(type_) or pat.is_large_binary(type_)
    is_list_view = pat.is_list_view(type_) or pat.is_large_list_view(type_)
    return 3 if is_text or is_large or is_list_view else 2


def _sizes(data: Bytes, batch: Message, buffers: Sequence[tuple[int, int]], path: str) -> list[int]:
    """Bytes of each column of `batch`, uncompressed."""
    lengths = [_length(data, batch, place, nbytes, path) for place, nbytes in batch.buffers]
    variadic = iter(batch.variadic)
    counts = [count + sum(next(variadic, 0) for _ in range(views)) for count, views in buffers]
    if sum(counts) != len(lengths):
        # Unions of the format's version 4 have one more: then all columns count alike.
        return [sum(lengths) // len(buffers)] * len(buffers)
    ends = np.cumsum(counts).tolist()
    return [sum(lengths[end - count : end]) for count, end in zip(counts, ends, strict=True)]


def _length(data: Bytes, batch: Message, place: int, nbytes: int, path: str) -> int:
    if not batch.is_compressed or nbytes < _LENGTH_NBYTES:
        return nbytes
    start = batch.body + place
    length = int.from_bytes(data[start : start + _LENGTH_NBYTES], "little", signed=True)
    if not -1 <= length <= _MOST:
        raise PlanError(f"{path}: the buffer at byte {start:,} has no length; {_DAMAGED}")
    return nbytes - _LENGTH_NBYTES if length == -1 else length
