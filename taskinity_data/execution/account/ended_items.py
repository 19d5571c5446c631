"""Items that have ended with their outcomes: those of a block in columns, not an object each."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from taskinity_data.execution.worker.job import Item
from taskinity_data.outcome import OutcomeBlock

if TYPE_CHECKING:
    from taskinity_data.outcome import Attempt, Outcome

__all__ = ["EndedItems", "ItemColumns"]

_KEY_NBYTES = 16


class ItemColumns(Sequence[Item]):
    """Whole items at their first attempt, in about 30 bytes each beside their data."""

    __slots__ = ("_counted_rows", "_data", "_keys", "_positions")

    def __init__(self, items: Sequence[Item]) -> None:
        self._keys = bytes.fromhex("".join([item.key for item in items]))
        positions = [item.position for item in items]
        first, count = positions[0], len(positions)
        is_range = positions == list(range(first, first + count))
        self._positions: Sequence[int] = (
            range(first, first + count) if is_range else array("q", positions)
        )
        self._data = [item.data for item in items]
        rows = [item.counted_rows for item in items]
        self._counted_rows = rows[0] if rows.count(rows[0]) == count else rows

    @staticmethod
    def of(items: Sequence[Item]) -> Sequence[Item]:
        """Return `items` in columns, as they are where these have not all that is to be kept."""
        if any(item.part or item.attempt > 1 or item.is_suspect for item in items):
            return items
        return ItemColumns(items)

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[index] for index in range(len(self))[number]]
        start, rows = number * _KEY_NBYTES, self._counted_rows
        return Item(
            self._keys[start : start + _KEY_NBYTES].hex(),
            self._data[number],
            self._positions[number],
            counted_rows=rows[number] if isinstance(rows, list) else rows,
        )


class EndedItems(Sequence["tuple[Item | None, Outcome]"]):
    """Pairs of an item (None: a task that runs once) and its outcome, in the order they came.

    Those of blocks are created on each access.
    """

    def __init__(self, pairs: Iterable[tuple[Item | None, Outcome]] = ()) -> None:
        self._parts: list[tuple[Any, Any]] = list(pairs)
        self._count = len(self._parts)

    def append(self, item: Item | None, outcome: Outcome) -> None:
        """Add one that has ended."""
        self._parts.append((item, outcome))
        self._count += 1

    def extend(self, items: Sequence[Item], block: OutcomeBlock) -> None:
        """Add the `items` of a block."""
        self._parts.append((items, block))
        self._count += len(items)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[Item | None, Outcome]]:
        for item, outcome in self._parts:
            if isinstance(outcome, OutcomeBlock):
                yield from zip(item, outcome.outcomes(item), strict=True)
            else:
                yield item, outcome

    def __getitem__(self, number: Any) -> Any:
        return list(self)[number]

    @property
    def singles(self) -> list[tuple[Item | None, Outcome]]:
        """Those outside blocks: all that did not simply complete are among them."""
        return [part for part in self._parts if not isinstance(part[1], OutcomeBlock)]

    def attempts(self) -> Iterator[tuple[bool, Attempt]]:
        """Yield whether it was an item's, and each attempt of this run; a block's in one."""
        for item, outcome in self._parts:
            if isinstance(outcome, OutcomeBlock):
                yield True, outcome.total()
            elif not outcome.is_recalled:
                # What an earlier run did took no time of this one.
                for attempt in outcome.attempts:
                    yield item is not None, attempt
