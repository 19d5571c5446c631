"""Tries the laws of a fan-out's functions and reducers on rows of its first chunks, before it runs.

It runs them here, in the driver's process.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from taskinity_data.checks.compare import differ
from taskinity_data.checks.laws import as_rows, find_broken, find_dependence
from taskinity_data.checks.pieces import convert, count_rows, cut_rows, join, small_cuts
from taskinity_data.chunks.chunk import Chunk
from taskinity_data.data_kinds import is_in_memory, kind_of
from taskinity_data.errors import CheckError
from taskinity_data.execution.worker.failures import describe_failure
from taskinity_data.execution.worker.run_item import call_step
from taskinity_data.formats.stream import StreamBlock
from taskinity_data.reducers.row_labels import as_item, call_traced, make_partial, plain
from taskinity_data.wording import format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskinity_data.execution.fan_out import RunningFanOut
    from taskinity_data.execution.worker.job import Item, Job
    from taskinity_data.reducers.base import Reducer

__all__ = ["check_fan_out"]

CHUNKS, ROWS = 3, 100
"""Samples of a fan-out: the first rows of its first chunks. A function that looks beyond its chunk
mostly shows within a few rows. The first chunks are known before the rest is cut; one alone may be
all nulls."""

MAX_S = 5.0
"""For a whole fan-out: functions are called about twenty times with each reducer, a group-by takes
20 ms each on a busy machine. What takes longer is tried on fewer cuts."""

_WAYS = 3
"""In halves, in four with single rows among them, and with parts that have no rows."""

_NBYTES = 64 << 10
"""What is read of a chunk for its sample: more than 100 rows of nearly all tables."""

_ADVICE = (
    "A function that is run chunk by chunk must not look beyond its chunk (rolling windows, ranks, "
    "shares of a total, duplicates): let it give what can be combined, and do the rest in a "
    "reducer's combine or finish; or let chunks be whole groups or files. td.testing.check_reducer "
    "and check_chunkwise try the same in your tests"
)


def check_fan_out(
    fan_out: RunningFanOut,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Try the laws on samples of `fan_out`, which is not begun yet.

    Parameters
    ----------
    fan_out : RunningFanOut
    say : callable
        Takes what could not be tried, and why.
    clock : callable

    Raises
    ------
    CheckError
        One does not hold: for these rows, cut otherwise, the answer is another.

    Notes
    -----
    For each sample: the functions give the same twice; what they give, put together by each
    reducer, does not depend on the cuts; reducers of one's own keep their own laws. Where no
    reducer says how results are put together, the functions' rows are compared, if they are written
    or there is one for each row of the chunk. Plain aggregates are not called.
    """
    job, until_s = fan_out.job, clock() + MAX_S

    def is_over() -> bool:
        return clock() >= until_s

    items = fan_out.peek(CHUNKS)
    has_samples = False
    were_cut: list[bool] = []
    for item in items:
        chain = job.chain(item.position)
        if chain and chain[0].kind == "chunk" and isinstance(item.data, Chunk):
            say(f"check: {job.task} reads its chunk itself, which can't be cut; it is not tried")
            return
        if not all(step.takes_piece for step in chain):
            return
        try:
            rows = _sample(job, item)
        except Exception as error:  # noqa: BLE001 - the run itself will say more
            say(f"check: {_name(item)} can't be read ({describe_failure(error)}): not tried")
            continue
        if rows is not None:
            has_samples = True
            sample = _Sample(job, item, rows, say, is_over, is_first=not were_cut)
            was_cut = sample.check()
            if was_cut is not None:
                were_cut.append(was_cut)
    rows_tried = f"the first {ROWS} rows of {format_count(len(were_cut), 'chunk')}"
    if items and not has_samples:
        say(f"check: {job.task} has no items whose rows can be cut; it is not tried")
    elif any(were_cut):
        say(
            f"check: {job.task} does not depend on the cuts as far as {rows_tried} show; plain "
            "aggregates are not tried"
        )
    elif were_cut:
        say(
            f"check: {job.task} gives the same results again for {rows_tried}; whether the answer "
            "depends on the cuts is not tried, since that is up to what is made of them"
        )
    if is_over():
        say(f"check: {job.task} takes long, so that it was tried on few cuts ({MAX_S:g} s)")


def _sample(job: Job, item: Item) -> Any:
    """Return the first rows of `item` as its functions get them; None if there are not two."""
    data, chain = item.data, job.chain(item.position)
    kind = chain[0].kind if chain else "pandas"
    if isinstance(data, Chunk):
        grains = data.reader.recut(data.pieces[0], min(_NBYTES, max(1, data.nbytes)))
        first = next(iter(grains))
        rows = Chunk(data.reader, (first,)).load(kind).data
    elif isinstance(data, StreamBlock):
        rows = data.load(kind).data
    elif is_in_memory(data) or isinstance(data, (list, tuple)):
        rows = data
    else:
        return None
    return None if count_rows(rows) < 2 else cut_rows(rows, 0, min(ROWS, count_rows(rows)))


def _name(item: Item) -> str:
    return f"chunk {item.position}" + (f", {item.data}" if isinstance(item.data, Chunk) else "")


class _Sample:
    """Rows of one item, and what is tried on them."""

    def __init__(
        self,
        job: Job,
        item: Item,
        rows: Any,
        say: Callable[[str], None],
        is_over: Callable[[], bool],
        *,
        is_first: bool,
    ) -> None:
        self._job, self._item, self._rows = job, item, rows
        self._say, self._is_over, self._is_first = say, is_over, is_first
        self._chain = job.chain(item.position)
        self._names = " and ".join(step.task for step in self._chain)
        self._reducers = [reducer for reducer in job.reducers if reducer.name != "collect"]

    def check(self) -> bool | None:
        """Return whether other cuts of the rows were tried, None if nothing could be."""
        try:
            whole, again = self._call(self._rows), self._call(self._rows)
        except Exception as error:  # noqa: BLE001 - the run's own policies are for that
            self._say(
                f"check: {self._names} raised {describe_failure(error)} for rows of "
                f"{_name(self._item)}: not tried there"
            )
            return None
        if difference := _differ_safely(whole, again):
            self._fail(
                "it gives another result for the same rows",
                f"The second time: {difference}\nA chunk that is tried again would give another "
                "answer: give random numbers a seed made of the rows",
            )
        for reducer in self._reducers:
            self._check_reducer(reducer, whole)
        is_of_rows = self._is_of_rows(whole)
        if is_of_rows:
            self._check_rows()
        if self._is_first and self._chain:
            self._look_twice(is_of_rows=is_of_rows)
        return is_of_rows or bool(self._reducers)

    def _look_twice(self, *, is_of_rows: bool) -> None:
        """Tell where rows that occur twice would make the cuts matter, as for removing duplicates.

        Such rows may not be in the data, so that it is not an error.
        """
        twice = [self._rows, self._rows]
        try:
            self._call(join(twice))
            through: list[Any] = [_Through(reducer, self._read) for reducer in self._reducers]
            broken: list[Any] = [
                find_broken(reducer, [twice], self._is_over) for reducer in through
            ]
            if is_of_rows:
                broken.append(self._find_dependence([twice]))
        except Exception:  # noqa: BLE001 - it takes no such rows, then
            return
        if any(broken):
            self._say(
                f"check: of rows that occur twice, in one chunk or in two, {self._names} makes "
                "something else each time, as where duplicates are removed or first rows taken; "
                "where such rows can be in the data the answer depends on the cuts"
            )

    def _call(self, rows: Any) -> Any:
        return plain(self._read(rows))

    def _read(self, rows: Any) -> Any:
        """Return what the functions give, as reducers read it."""
        # A copy, so that what a function does to its chunk harms nobody.
        kind = self._chain[0].kind if self._chain else "native"
        data = convert(
            rows, kind if isinstance(self._item.data, (Chunk, StreamBlock)) else "native"
        )
        data = as_item(data)
        for step in self._chain:
            data = call_traced(partial(call_step, step), data)
        return data

    def _cuts(self, rows: Any, *, with_empty: bool = False) -> list[list[Any]]:
        """Cuts of all of `rows`: each way for the first sample, one for the others."""
        cuts = list(small_cuts(rows, with_empty=with_empty))
        return cuts[-_WAYS:] if self._is_first else cuts[-1:]

    def _is_of_rows(self, whole: Any) -> bool:
        """Return whether the functions' rows themselves, one after another, are the answer."""
        if not self._chain or kind_of(whole) is None:
            return False
        if self._job.writer is not None:
            return True
        return not self._reducers and count_rows(whole) == count_rows(self._rows)

    def _check_reducer(self, reducer: Reducer, whole: Any) -> None:
        try:
            reducer.finish(None)
        except Exception as error:
            law = "finish(None), the answer for no chunks at all, raised"
            raise self._error(f"{reducer!r}", f"{law} {error!r}", law) from error
        can_cut = kind_of(whole) is not None or isinstance(whole, (list, tuple))
        # Behind functions the built-in ones are tried with these alone: their own laws have tests.
        if can_cut and count_rows(whole) > 1 and not (self._chain and _is_ours(reducer)):
            broken = find_broken(reducer, self._cuts(whole, with_empty=True), self._is_over)
            if broken is not None:
                raise self._error(f"{reducer!r}", str(broken), broken.law)
        if self._chain:
            through: Any = _Through(reducer, self._read)
            broken = find_broken(through, self._cuts(self._rows), self._is_over)
            if broken is not None:
                raise self._error(f"{self._names}, reduced by {reducer!r}", str(broken), broken.law)

    def _check_rows(self) -> None:
        description = self._find_dependence(small_cuts(self._rows, with_empty=False))
        if description is not None:
            self._fail("its rows depend on where chunks are cut", description)

    def _find_dependence(self, cuts: Iterable[list[Any]]) -> str | None:
        return find_dependence(
            lambda rows: as_rows(self._call(rows), self._names), cuts, self._is_over
        )

    def _fail(self, law: str, description: str) -> None:
        raise self._error(
            self._names,
            description if description.startswith(law) else f"{law}. {description}",
            law,
        )

    def _error(self, subject: str, description: str, law: str) -> CheckError:
        return CheckError(
            f"check: {subject}: {description}\nFound in the first rows of {_name(self._item)}, "
            f"before any chunk was run. {_ADVICE}",
            task=self._job.task,
            law=law,
        )


def _is_ours(reducer: Any) -> bool:
    """Return whether it is a built-in one with no functions of the user's in it."""
    return type(reducer).__module__.startswith("taskinity_data.") and reducer.name != "reducer"


def _differ_safely(first: Any, other: Any) -> str | None:
    try:
        return differ(first, other)
    except Exception:  # noqa: BLE001 - results of a class that can't be compared tell nothing
        return None


class _Through:
    """A reducer whose partial begins with the functions: what a chunk's task does as a whole."""

    def __init__(self, reducer: Reducer, read: Callable[[Any], Any]) -> None:
        self._reducer, self._read = reducer, read
        self.combine, self.finish = reducer.combine, reducer.finish

    def partial(self, data: Any) -> Any:
        return make_partial(self._reducer, self._read(data))
