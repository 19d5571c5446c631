"""Keep the outcomes of many items that just completed in columns, not as an object each."""

from __future__ import annotations

from array import array
from dataclasses import InitVar, dataclass, field, replace
from itertools import islice
from operator import add
from typing import TYPE_CHECKING, Any

from taskinity_data.outcome import Attempt, Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["OutcomeBlock", "is_plain"]

_TIMES, _COUNTS, _SPENT = 5, 3, 2
"""Numbers of an item: its start, its duration, and that of reading, of the functions and of the
partials; its rows, those filtered, its bytes in memory. Of a turn: see `OutcomeBlock.spent`."""

_UNKNOWN = -1
"""Represents None among integers."""


@dataclass(slots=True)
class OutcomeBlock:
    """The outcomes of items that completed, and left nothing else to report, in columns.

    Items that a worker ran in one go are a turn; a block of a batch has one.

    Attributes
    ----------
    task : str
        Of all of them.
    times : array of double
        Start (seconds since the epoch), duration, reading, functions, partials: for one item after
        the other.
    counts : array of int
        Rows, filtered rows, bytes in memory, -1 where unknown, for one item after the other; empty
        where none of them was read.
    values : list
        As in `Outcome`; empty once they have been taken.
    workers, sizes : list of str, array of int
        Who ran each turn, and how many items it has.
    spent : array of double
        `cpu_s` and `queued_s`, as in `Attempt`, for one turn after the other; each item has a share
        that goes with its duration.
    peaks : array of int
        Peak bytes of the process when each turn had ended, -1 where unknown.
    lost : tuple of Attempt
        Tries of all of them that ended with their worker, before these.
    """

    task: str
    worker: InitVar[str | None] = None
    times: array[float] = field(default_factory=lambda: array("d"))
    counts: array[int] = field(default_factory=lambda: array("q"))
    values: list[Any] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)
    sizes: array[int] = field(default_factory=lambda: array("q"))
    spent: array[float] = field(default_factory=lambda: array("d"))
    peaks: array[int] = field(default_factory=lambda: array("q"))
    lost: tuple[Attempt, ...] = ()

    def __post_init__(self, worker: str | None) -> None:
        if worker is not None:
            self._open_turn(worker, (0.0, 0.0), None)

    def _open_turn(self, worker: str, spent: Sequence[float], peak_nbytes: int | None) -> None:
        self.workers.append(worker)
        self.sizes.append(0)
        self.spent.extend(spent)
        self.peaks.append(_to_number(peak_nbytes))

    def __len__(self) -> int:
        return len(self.times) // _TIMES

    def add(
        self,
        times: Sequence[float],
        rows: int | None,
        filtered: int | None,
        memory_nbytes: int | None,
        value: Any,
    ) -> None:
        """Add an item of the last turn that has ended."""
        self._count((_to_number(rows), _to_number(filtered), _to_number(memory_nbytes)))
        self.times.extend(times)
        self.sizes[-1] += 1
        self.values.append(value)

    def _count(self, counts: Sequence[int]) -> None:
        """Add the `counts` of items whose times are added next."""
        if not self.counts and any(count != _UNKNOWN for count in counts):
            self.counts.extend([_UNKNOWN] * (_COUNTS * len(self)))
            self.counts.extend(counts)
        elif self.counts:
            self.counts.extend(counts)

    def end_turn(self, spent: array[float], peak_nbytes: int | None) -> None:
        """Note what the last turn has `spent`, and the peak of its process."""
        self.spent[-_SPENT:] = spent
        self.peaks[-1] = _to_number(peak_nbytes)

    def add_outcome(self, outcome: Outcome) -> None:
        """Add a plain outcome (see `is_plain`) as a turn of its own."""
        (attempt,) = outcome.attempts
        spent = attempt.cpu_s or 0.0, attempt.queued_s
        self._open_turn(attempt.worker, spent, attempt.peak_nbytes)
        times = (
            attempt.started_s,
            attempt.duration_s,
            attempt.read_s,
            attempt.function_s,
            attempt.partial_s,
        )
        self.add(times, outcome.rows, outcome.filtered, attempt.memory_nbytes, outcome.value)

    def add_block(self, other: OutcomeBlock) -> None:
        """Add the items of `other`, which has no lost tries."""
        self._count(other.counts or [_UNKNOWN] * (_COUNTS * len(other)))
        self.times.extend(other.times)
        self.values.extend(other.values)
        self.workers.extend(other.workers)
        self.sizes.extend(other.sizes)
        self.spent.extend(other.spent)
        self.peaks.extend(other.peaks)

    @property
    def durations_s(self) -> array[float]:
        """The seconds that each item took."""
        return self.times[1::_TIMES]

    @property
    def duration_s(self) -> float:
        """The seconds that all items took."""
        return sum(self.durations_s)

    @property
    def works_s(self) -> list[float]:
        """What each item takes where it has a core whenever it wants one: see `Attempt`."""
        parts_s = map(sum, zip(*(self.times[part::_TIMES] for part in (2, 3, 4)), strict=True))
        durations_s = list(map(max, self.durations_s, parts_s))
        works_s, start = list[float](), 0
        for size, cpu_s, queued_s in zip(
            self.sizes, self.spent[::_SPENT], self.spent[1::_SPENT], strict=True
        ):
            of_turn_s = durations_s[start : start + size]
            whole_s = sum(of_turn_s)
            share = max(whole_s - queued_s, cpu_s) / whole_s if whole_s else 1.0
            works_s += [duration_s * share for duration_s in of_turn_s]
            start += size
        return works_s

    @property
    def cpu_s(self) -> float:
        """CPU time of all items."""
        return sum(self.spent[::_SPENT])

    @property
    def rows(self) -> int:
        """Rows that were read, of all items together."""
        return sum(rows for rows in self.counts[::_COUNTS] if rows != _UNKNOWN)

    def read_rows(self, planned: Iterable[int | None]) -> tuple[int, int]:
        """Return how many rows were read, as `planned` where that is unknown, and filtered."""
        if not self.counts:
            return sum(rows or 0 for rows in planned), 0
        reads = self.counts[::_COUNTS]
        rows, unread = sum(reads), reads.count(_UNKNOWN)
        if unread:
            pairs = zip(reads, planned, strict=True)
            rows += unread + sum(expected or 0 for read, expected in pairs if read == _UNKNOWN)
        return rows, sum(dropped for dropped in self.counts[1::_COUNTS] if dropped != _UNKNOWN)

    @property
    def peak_nbytes(self) -> int | None:
        """The highest of `peaks`, None if none is known."""
        return _to_count(max(self.peaks, default=_UNKNOWN))

    @property
    def memory_nbytes(self) -> list[int | None]:
        """Bytes in memory of each item."""
        return list(map(_to_count, self.counts[2::_COUNTS])) or [None] * len(self)

    def peaks_of_items(self) -> list[int | None]:
        """Return the peak of the turn of each item."""
        peaks: list[int | None] = []
        for peak, size in zip(self.peaks, self.sizes, strict=True):
            peaks += [_to_count(peak)] * size
        return peaks

    def _counts_of(self, number: int) -> tuple[int | None, int | None, int | None]:
        if not self.counts:
            return None, None, None
        rows, filtered, memory = self.counts[number * _COUNTS : (number + 1) * _COUNTS]
        return _to_count(rows), _to_count(filtered), _to_count(memory)

    def outcomes(self, items: Iterable[Any]) -> Iterator[Outcome]:
        """Yield all outcomes, which are those of `items`."""
        left, start = iter(items), 0
        for turn, size in enumerate(self.sizes):
            durations_s = self.durations_s[start : start + size] if size > 1 else (1.0,)
            whole_s = sum(durations_s)
            for number, item in enumerate(islice(left, size)):
                share = durations_s[number] / whole_s if whole_s else 1.0
                yield self._outcome(start + number, item, turn, share)
            start += size

    def _outcome(self, number: int, item: Any, turn: int, share: float) -> Outcome:
        rows, filtered, memory_nbytes = self._counts_of(number)
        started_s, *times = self.times[number * _TIMES : (number + 1) * _TIMES]
        spent = [seconds * share for seconds in self._spent_by(turn)]
        sizes = memory_nbytes, _to_count(self.peaks[turn])
        attempt = _make_attempt(item.attempt, started_s, self.workers[turn], times, spent, sizes)
        return Outcome(
            self.task,
            item.key,
            Status.COMPLETED,
            (*self.lost, attempt),
            rows,
            filtered,
            item.nbytes,
            item.fallback is not None,
            value=self.values[number] if self.values else None,
        )

    def _spent_by(self, turn: int) -> array[float]:
        return self.spent[turn * _SPENT : (turn + 1) * _SPENT]

    def totals(self) -> Iterator[Attempt]:
        """Yield an attempt for each worker with the times of its items, one after another."""
        by_worker: dict[str, array[float]] = {}
        start = 0
        for turn, (worker, size) in enumerate(zip(self.workers, self.sizes, strict=True)):
            times = self.times[start * _TIMES : (start + size) * _TIMES]
            start += size
            sums = array("d", [sum(times[column::_TIMES]) for column in range(1, _TIMES)])
            sums += self._spent_by(turn)
            before = by_worker.setdefault(worker, sums)
            if before is not sums:
                by_worker[worker] = array("d", map(add, before, sums))
        for worker, sums in by_worker.items():
            yield _make_attempt(1, self.times[0], worker, sums[: _TIMES - 1], sums[_TIMES - 1 :])

    def take_last(self, item: Any) -> Outcome:
        """Take out the last outcome of a block of one turn, which is the one of `item`."""
        durations_s = self.durations_s
        whole_s = sum(durations_s)
        share = durations_s[-1] / whole_s if len(self) > 1 and whole_s else 1.0
        outcome = self._outcome(len(self) - 1, item, 0, share)
        self.spent = array("d", [seconds * (1.0 - share) for seconds in self.spent])
        self.sizes[0] -= 1
        del self.times[-_TIMES:], self.values[-1:], self.counts[-_COUNTS:]
        return outcome

    def without_values(self) -> OutcomeBlock:
        """Return the same without values."""
        return replace(self, values=[])


def is_plain(outcome: Outcome) -> bool:
    """Return whether `outcome` completed at once, with nothing to report that a block lacks."""
    if outcome.status is not Status.COMPLETED or len(outcome.attempts) != 1:
        return False
    attempt = outcome.attempts[0]
    return not (
        outcome.is_fallback
        or outcome.is_recalled
        or attempt.number != 1
        or attempt.cpu_s is None
        or attempt.notices
        or attempt.logs
        or attempt.logs_cut
        or outcome.bad_lines is not None
        or outcome.output is not None
        or outcome.columns is not None
    )


def _make_attempt(
    number: int,
    started_s: float,
    worker: str,
    times: Sequence[float],
    spent: Sequence[float],
    sizes: tuple[int | None, int | None] = (None, None),
) -> Attempt:
    duration_s, read_s, function_s, partial_s = times
    cpu_s, queued_s = spent
    memory_nbytes, peak_nbytes = sizes
    return Attempt(
        number,
        started_s,
        duration_s,
        worker,
        read_s,
        function_s,
        partial_s,
        memory_nbytes=memory_nbytes,
        cpu_s=cpu_s,
        queued_s=queued_s,
        peak_nbytes=peak_nbytes,
    )


def _to_number(count: int | None) -> int:
    return _UNKNOWN if count is None else count


def _to_count(number: int) -> int | None:
    return None if number == _UNKNOWN else number
