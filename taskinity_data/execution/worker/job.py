"""Define what is done, a `Job` with its steps, and the items that it is done to."""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.data_kinds import add_counts
from taskinity_data.formats.stream import count_rows
from taskinity_data.redact import Secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from taskinity_data.chunks.cut_columns import CutColumns
    from taskinity_data.execution.worker.deadline import Deadline
    from taskinity_data.policy import Value

__all__ = [
    "Guard",
    "Item",
    "ItemColumns",
    "Job",
    "ResultWriter",
    "Step",
    "chunk_items",
    "count_all",
    "count_planned",
    "divide_list",
    "effective",
    "join_items",
    "list_items",
    "stream_items",
]


class ResultWriter(Protocol):
    """Keeps an item's result outside the run; pickles."""

    def write(self, key: str, index: int, data: Any, within: tuple[int, ...]) -> Any:
        """Write `data`, the result of the item `key` at position `index`; says what was written."""


@dataclass(frozen=True, slots=True)
class Step:
    """One function, with everything but its first input.

    `kind` says as what the function wants a chunk; `takes_piece` whether it gets the chunk, the
    item or the step before's result as its first input (a plain task does not); `leading` and
    `arguments` are the values of its other parameters, by position and by name; no repr, which a
    scheduler may log, shows them.
    """

    task: str
    function: Callable[..., Any]
    kind: str = "pandas"
    takes_piece: bool = True
    leading: tuple[Any, ...] = field(default=(), repr=False)
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
    fallback: Step | Value | None = None
    validate_input: Any = None
    validate_output: Any = None
    timeout_s: float | None = None


@dataclass(frozen=True)
class Job:
    """What is done to each item: it passes through a chain of steps, then through `reducers`.

    Attributes
    ----------
    task : str
    chains : tuple of tuple of Step
        One for all items, or one for each position (the numbered siblings).
    kind : str
        As what a chunk is read where its chain is empty.
    reducers : tuple of Reducer
    keeps_result : bool
        Whether the last step's result itself is part of the outcome's value, which is the pair
        (partials, result).
    writer : ResultWriter, optional
        Gets the last step's result of each item.
    log_level : int, optional
        From which level on what functions log comes back with the outcome; None: nothing does.
    resources : dict of str to float
        What a worker must have to get an item, in addition to time and memory.
    max_nbytes : int, optional
        What an outcome's value may take to be sent to another process; None: whatever it takes.
    secrets : Secrets
        What no text of an outcome may hold.
    session_id : str
        Of the run whose values of ``@td.once`` its functions get.
    has_backups : bool
        Whether batches that take long are started a second time.
    """

    task: str
    chains: tuple[tuple[Step, ...], ...]
    kind: str = "pandas"
    reducers: tuple[Any, ...] = ()
    keeps_result: bool = True
    writer: ResultWriter | None = None
    log_level: int | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    max_nbytes: int | None = None
    secrets: Secrets = field(default_factory=Secrets, repr=False)
    session_id: str = ""
    has_backups: bool = False

    @cached_property
    def traces_series(self) -> bool:
        """Whether a reducer must know which labels of a Series are those of a chunk's rows."""
        return any(getattr(reducer, "reads_series", False) for reducer in self.reducers)

    @cached_property
    def compares_columns(self) -> bool:
        """Whether a reducer must know whether results have the same columns."""
        return any(getattr(reducer, "compares_columns", False) for reducer in self.reducers)

    @property
    def runs_kernels(self) -> bool:
        """Whether built-in reducers alone run, of which no item takes long."""
        are_kernels = (getattr(reducer, "releases_gil", False) for reducer in self.reducers)
        return bool(self.reducers) and all(are_kernels) and not any(self.chains) and not self.writer

    @property
    def is_timed(self) -> bool:
        """Whether a step has a time limit."""
        return any(step.timeout_s is not None for chain in self.chains for step in chain)

    def chain(self, position: int) -> tuple[Step, ...]:
        """Return the steps of the item at `position`."""
        return self.chains[position] if len(self.chains) > 1 else self.chains[0]

    def kind_of(self, item: Item) -> str | None:
        """Return as what the data of `item` are read for its first step; None: not at all."""
        chain = self.chain(item.position)
        first = effective(chain[0], item) if chain else None
        kind = self.kind if first is None else getattr(first, "kind", None)
        return None if kind == "chunk" and type(item.data) is Chunk else kind


class Guard(NamedTuple):
    """What an item may take in its child process, in addition to its steps' own times.

    `memory_nbytes` is what the process may hold, `deadline` the end of the run's time; None: no
    bound.
    """

    memory_nbytes: int | None = None
    deadline: Deadline | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to do a job on: a chunk, or any value that was fanned out; None for a plain task.

    `position` is its place among the fan-out's items, `part` its place within one that was split
    (the second half's first half is ``(1, 0)``), `origin` that chunk's key and `row` where in it
    its first row stands, None if unknown; `attempt` counts from 1, `fallback` names the task
    whose fallback replaces it. `counted_rows` is what an item that is not a chunk counts for in the
    account, None if that is not known before it is read. With a `guard` it runs in a
    child process, which can be ended; it `is_suspect` once it was lost with a worker.
    """

    key: str
    data: Any = None
    position: int = 0
    part: tuple[int, ...] = ()
    origin: str | None = None
    row: int | None = 0
    attempt: int = 1
    fallback: str | None = None
    counted_rows: int | None = 1
    guard: Guard | None = None
    is_suspect: bool = False

    @property
    def index(self) -> tuple[int, ...]:
        """Position and part: items sorted by it are in order."""
        return (self.position, *self.part)

    @property
    def nbytes(self) -> int:
        """The planned size of its chunk, 0 where it is none."""
        return self.data.nbytes if type(self.data) is Chunk else 0

    @property
    def rows(self) -> int | None:
        """The rows that are planned for it, None if unknown."""
        return self.data.rows if type(self.data) is Chunk else self.counted_rows

    @property
    def file_range(self) -> tuple[str | None, str | None]:
        """The file of its chunk and the range in it, None if it is none."""
        if type(self.data) is not Chunk:
            return None, None
        chunk = self.data
        return chunk.path, f"{chunk.reader.unit} {chunk.start:,} to {chunk.stop:,}"


def effective(step: Step, item: Item) -> Step | Value:
    """Return `step`, or its replacement."""
    if item.fallback == step.task and step.fallback is not None:
        return step.fallback
    return step


def chunk_items(chunks: Iterable[Chunk]) -> Iterator[Item]:
    """Yield an item for each chunk, in order."""
    return (Item(chunk.key, chunk, position) for position, chunk in enumerate(chunks))


def divide_list(values: Sequence[Any], width: int) -> list[Sequence[Any]]:
    """Return `width` slices of nearly equal length."""
    ends = [len(values) * number // width for number in range(width + 1)]
    return [list(values[start:stop]) for start, stop in pairwise(ends)]


def count_planned(value: Any) -> int | None:
    """Return the rows that are planned for an item of `value`: of a chunk its own."""
    return value.rows if type(value) is Chunk else count_rows(value)


def count_all(values: Sequence[Any]) -> int | None:
    """Return how many rows `values` have together, None if that is not known."""
    return add_counts(map(count_rows, values))


def list_items(
    pieces: Sequence[Any], count: Callable[[Any], int | None] = count_rows
) -> Iterator[Item]:
    """Yield an item for each of `pieces`, named by its position; `count` returns its rows."""
    for position, value in enumerate(pieces):
        key = blake2b(f"item {position} of {len(pieces)}".encode(), digest_size=16).hexdigest()
        yield Item(key=key, data=value, position=position, counted_rows=count(value))


def stream_items(parts: Iterable[Any]) -> Iterator[Item]:
    """Yield an item for each of `parts`, none taken before it is needed."""
    for position, value in enumerate(parts):
        key = blake2b(f"item {position} of a stream".encode(), digest_size=16).hexdigest()
        yield Item(key=key, data=value, position=position, counted_rows=count_rows(value))


_KEY_NBYTES = 16


class ItemColumns(Sequence[Item]):
    """Whole items at their first attempt: of chunks their positions, of others about 20 bytes each
    beside their data. An item is made on each access.

    Parameters
    ----------
    chunks : CutColumns, optional
        The chunks that are their data, by position; None: key and data of each are kept here.
    positions : iterable of int
    """

    __slots__ = ("_keys", "chunks", "data", "positions", "rows")

    def __init__(self, chunks: CutColumns | None = None, positions: Iterable[int] = ()) -> None:
        self.chunks = chunks
        self.positions = array("I", positions)
        self._keys = bytearray()
        self.data: list[Any] = []
        self.rows: dict[int, int | None] = {}
        """What items count for, where that is not 1."""

    def add(self, items: Sequence[Item]) -> None:
        """Add `items`, which have the same chunks, or none."""
        start = len(self)
        if isinstance(items, ItemColumns):
            self.rows |= {start + number: rows for number, rows in items.rows.items()}
            self._keys += items._keys  # noqa: SLF001 - of the same class
            self.positions += items.positions
            self.data += items.data
            return
        self.positions.extend([item.position for item in items])
        if self.chunks is None:
            self._keys += bytes.fromhex("".join([item.key for item in items]))
            self.data += [item.data for item in items]
            for number, item in enumerate(items, start):
                if item.counted_rows != 1:
                    self.rows[number] = item.counted_rows

    @property
    def keys(self) -> bytes:
        """The keys of all, 16 bytes each."""
        if self.chunks is None:
            return bytes(self._keys)
        return b"".join(self.chunks.keys(self._numbers))

    @property
    def sizes(self) -> list[int]:
        """The planned bytes of each chunk, 0 for others."""
        return [0] * len(self) if self.chunks is None else self.chunks.sizes(self._numbers)

    @property
    def planned_rows(self) -> Iterator[int | None]:
        """The rows that are planned for each, None if unknown."""
        if self.chunks is None:
            return (self.rows.get(number, 1) for number in range(len(self)))
        return (self.chunks[number].rows for number in self._numbers)

    @property
    def _numbers(self) -> Sequence[int]:
        """The positions of the chunks in `chunks`."""
        first = self.chunks.first if self.chunks is not None else 0
        return [position - first for position in self.positions] if first else self.positions

    def pack(self) -> bytes | None:
        """Return chunks in a row as bytes, with what is needed of `chunks` alone; else None."""
        if self.chunks is None or not self:
            return None
        start, stop = self.positions[0], self.positions[-1] + 1
        if stop - start != len(self):
            return None
        return pickle.dumps(self.chunks.cut_out(start, stop), protocol=5)

    def __len__(self) -> int:
        return len(self.positions)

    def __iter__(self) -> Iterator[Item]:
        if self.chunks is None:
            yield from map(self._item, range(len(self)))
            return
        keys = self.chunks.keys(self._numbers)
        for position, number, key in zip(self.positions, self._numbers, keys, strict=True):
            yield Item(key.hex(), self.chunks[number], position)

    def __getitem__(self, number: Any) -> Any:
        if not isinstance(number, slice):
            return self._item(range(len(self))[number])
        if self.chunks is not None:
            return ItemColumns(self.chunks, self.positions[number])
        return list(map(self._item, range(len(self))[number]))

    def _item(self, number: int) -> Item:
        position = self.positions[number]
        if self.chunks is not None:
            chunk = self.chunks[position - self.chunks.first]
            return Item(chunk.key, chunk, position)
        start = number * _KEY_NBYTES
        key = self._keys[start : start + _KEY_NBYTES].hex()
        return Item(key, self.data[number], position, counted_rows=self.rows.get(number, 1))


def join_items(parts: Sequence[Sequence[Item]]) -> Sequence[Item]:
    """Return the items of all `parts` of a fan-out in one sequence."""
    first = parts[0] if parts else ()
    if isinstance(first, ItemColumns) and all(isinstance(part, ItemColumns) for part in parts):
        joined = ItemColumns(first.chunks)
        for part in parts:
            joined.add(part)
        return joined
    return [item for part in parts for item in part]
