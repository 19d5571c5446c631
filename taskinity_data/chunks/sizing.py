"""Compute how many bytes the next chunk should have, and why, from what was measured.

This is pure arithmetic on its arguments. A size that the user chose is not changed here.

References
----------
.. [1] S. F. Hummel, E. Schonberg, L. E. Flynn, "Factoring: a method for scheduling parallel loops",
   Communications of the ACM 35(8), 1992.
.. [2] C. D. Polychronopoulos, D. J. Kuck, "Guided self-scheduling: a practical scheduling scheme
   for parallel supercomputers", IEEE Transactions on Computers C-36(12), 1987.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from taskinity_data.chunks.size import (
    ROWS_NBYTES,
    Line,
    Size,
    fit_line,
    format_rate,
    format_seconds,
    make_size,
    memory_reason,
    whole_groups,
)
from taskinity_data.wording import format_nbytes

__all__ = ["Learner", "Observation", "Size", "first_size"]

TASK_S, CHUNK_S = 0.0016, 0.005
"""Seconds that a Dask task costs client and scheduler, one task after another (measured with Dask
2026.8), and a chunk's fixed cost, which few chunks don't show."""

CLOCK_S = 1e-9
"""The resolution of a performance counter: the shortest time of a chunk."""

OVERHEAD = 0.05
"""The share of a chunk's time that may be independent of its bytes."""

TARGET_S, MAX_TARGET_S = 0.15, 2.0
"""Seconds of a chunk: the target, and its limit, which only a chunk's own fixed cost may exceed.
Simulated makespans are the same from 0.15 to 0.5 s; real ones are not: text of more than 32 MiB,
0.2 s of parsing, is read into memory that glibc allocates again for each chunk."""

PROCESS_TARGET_S, LARGE_NBYTES = 1.0, 8 << 20
"""The target in other processes, for chunks of slow functions: of more bytes than these, none takes
longer than `TARGET_S` for it. A chunk there costs 8 ms of CPU on its worker and 9 ms in the
driver's process, where in threads it costs 1 ms: of 1 s that is less than 2 %."""

DISPATCH_SHARE = 0.5
"""The share of the scheduler's time that all workers' tasks may take: at a half, a task waits half
as long as it takes (M/D/1 queue), at nine tenths four and a half times as long."""

GROWTH = 2.0
"""The largest factor between a completed chunk and the next: half of a worker's memory is left
free for a larger chunk that needs more than the fitted line predicts."""

MEMORY_SHARE, SPARE_SHARE = 0.5, 0.125
"""The share of a worker's memory for one chunk together with everything else (Dask spills at 0.6),
and the share that its bytes may take in any case: before the first chunk has been measured, and if
memory that does not depend on the chunk's size takes the half."""

TAPER = 2.0
"""A chunk is at most 1/(TAPER · workers) of what remains: the share that factoring gives to a
batch [1]_, computed for each chunk as in guided self-scheduling [2]_."""

SCATTER = 0.2
"""The lowest relative scatter of chunks' times that the taper assumes: some worker is slower."""

WINDOW = 64
"""Chunks that are remembered: twice what sixteen workers have in flight. Fitting a line through
them takes about 0.06 ms."""

PROBES = 8
"""While fewer chunks have completed, every second one has half the size, later every eighth: the
fixed cost can't be separated from the cost per byte with a single size."""

FIRST_SHARES, FIRST_S = 8, 0.4
"""Chunks per worker at the first size, and seconds to read one. Two rounds are in flight before the
first has completed: at 8, three quarters of the data are sized by what was measured."""

ASSUMED_RATE_NBYTES_S = 50e6
"""Bytes read per second if no sample was timed: the order of pandas' C engine on CSV."""

MIN_S, MIN_NBYTES = 0.01, 32 << 10
"""A first chunk takes at least this time to read and has at least these bytes, unless it is a
worker's whole share of the data: a smaller one takes less time to read than its task costs."""

MAX_SHARERS, FEW_NBYTES = 16, 1 << 10
"""Even small data are divided among this many workers, in chunks of at least this many bytes: a
function may take long for a few records (a request to a service for each, say)."""

FLOOR_SHARES, FLOOR_NBYTES = 256, 1 << 20
"""More chunks per worker do not improve the balance: none is smaller than that share (or half of
it, to learn), or than these bytes if that is less. If a chunk's time does not depend on its bytes,
and noise hides it, each chunk would otherwise be smaller than the one before."""

LUCKY_SHARE = 8
"""One in so many chunks may be shorter than the fixed cost, by chance or an early end."""

BATCH_LIMIT = 1024
"""The most chunks in one task: they are lost if the worker dies."""


class Observation(NamedTuple):
    """The cost of a completed chunk.

    Attributes
    ----------
    nbytes : int
        Planned bytes, as in `Size.target_nbytes`.
    duration_s : float
        Seconds on the worker, reading, function and partial together, without those for which other
        programs had its core.
    memory_nbytes : int, optional
        The worker's peak while it ran, None if it was not measured.
    """

    nbytes: int
    duration_s: float
    memory_nbytes: int | None = None


def first_size(
    total_nbytes: int | None,
    workers: int,
    worker_memory_nbytes: int | None,
    expansion: float,
    read_rate_nbytes_s: float | None = None,
    group_nbytes: int = 0,
) -> Size:
    """Return the size of the chunks that are cut before any has completed.

    Parameters
    ----------
    total_nbytes : int or None
        Planned bytes of the whole dataset, None if unknown.
    workers : int
        Chunks that can run at the same time.
    worker_memory_nbytes : int or None
        Memory that one worker may use; None: unlimited.
    expansion : float
        Bytes in memory per planned byte, measured on a sample.
    read_rate_nbytes_s : float, optional
        Planned bytes that one worker reads per second, measured on the same sample.
    group_nbytes : int
        Bytes of a usual group of rows that is decoded as a whole; 0: there are no such groups.

    Returns
    -------
    Size
        At least 1 byte.
    """
    rate = _positive(read_rate_nbytes_s, ASSUMED_RATE_NBYTES_S)
    if total_nbytes == 0:
        return Size(MIN_NBYTES, "there are no rows to cut")
    bounds = {f"{FIRST_S:g} s to read at {format_rate(rate)}": FIRST_S * rate}
    if group_nbytes:
        bounds[f"{format_nbytes(ROWS_NBYTES)} in memory"] = ROWS_NBYTES / _positive(expansion, 1.0)
    if total_nbytes is not None:
        share = total_nbytes / max(1, workers)
        few = max(FEW_NBYTES, total_nbytes / min(max(1, workers), MAX_SHARERS))
        lowest = min(MIN_NBYTES, few)
        worth = max(lowest, min(share, MIN_S * rate))
        if share / FIRST_SHARES >= worth:
            reason = f"{FIRST_SHARES} chunks a worker of {format_nbytes(total_nbytes)}"
        else:
            reason = (
                f"smaller chunks would cost more than they save on {format_nbytes(total_nbytes)}"
            )
        bounds[reason] = max(share / FIRST_SHARES, worth)
    # Where one group is more than a worker's share, the others would wait for it.
    whole = math.inf if total_nbytes is None else total_nbytes / max(1, workers)
    if worker_memory_nbytes is not None:
        room = SPARE_SHARE * worker_memory_nbytes / _positive(expansion, 1.0)
        measured = f"{expansion:.3g} bytes a byte"
        bounds[memory_reason(worker_memory_nbytes, measured, SPARE_SHARE)] = room
        whole = min(whole, room)
    reason, nbytes = min(bounds.items(), key=lambda bound: bound[1])
    if not group_nbytes:
        return make_size(nbytes, f"first size, {reason}")
    return whole_groups(make_size(nbytes, f"first size, {reason}"), group_nbytes, whole)


@dataclass(frozen=True)
class Learner:
    """A model of the chunks' time and memory in a run; each observation returns a new one.

    Attributes
    ----------
    first : Size
        From `first_size`: the size until a chunk has completed.
    worker_memory_nbytes : int or None
        Memory that one worker may use; None: unlimited.
    expansion : float
        Bytes in memory per planned byte in the sample, used until chunks are measured.
    recent : tuple of Observation
        The last `WINDOW`, oldest first.
    count : int
        The number of all observations.
    total_nbytes : int or None
        Planned bytes of the whole dataset, None if unknown.
    group_nbytes : int
        As in `first_size`.
    target_s : float
        Target of a chunk of less than `LARGE_NBYTES`, in seconds.
    """

    first: Size
    worker_memory_nbytes: int | None = None
    expansion: float = 1.0
    recent: tuple[Observation, ...] = ()
    count: int = 0
    total_nbytes: int | None = None
    group_nbytes: int = 0
    target_s: float = TARGET_S

    def observe(self, observation: Observation) -> Learner:
        """Return the learner with one more chunk, in the order in which they completed.

        A chunk without bytes is ignored.
        """
        if observation.nbytes <= 0:
            return self
        return self.observe_all([observation], 1)

    def observe_all(self, last: list[Observation], count: int) -> Learner:
        """Return the learner with `count` more chunks with bytes, of which these were the last."""
        last = [each._replace(duration_s=max(each.duration_s, CLOCK_S)) for each in last]
        return replace(self, recent=(*self.recent, *last)[-WINDOW:], count=self.count + count)

    @cached_property
    def time(self) -> Line | None:
        """Seconds on the worker against bytes, None before the first observation."""
        durations = sorted(observation.duration_s for observation in self.recent)
        max_fixed_s = durations[len(durations) // LUCKY_SHARE] if durations else math.inf
        return fit_line(
            [(observation.nbytes, observation.duration_s) for observation in self.recent],
            max_fixed_s,
        )

    @cached_property
    def memory(self) -> Line:
        """Peak bytes on the worker against bytes, such that no recent chunk is above the line."""
        points = [(o.nbytes, float(o.memory_nbytes)) for o in self.recent if o.memory_nbytes]
        expansion = _positive(self.expansion, 1.0)
        fit = fit_line(points)
        if fit is None:
            return Line(0.0, expansion, 0.0)
        if fit.fixed == 0.0 and fit.per_byte > expansion:
            # A single size does not separate the two parts: the sample does.
            mean = sum(x for x, _ in points) / len(points)
            fit = Line((fit.per_byte - expansion) * mean, expansion, fit.scatter)
        above = max(y / fit.predict(x) for x, y in points)
        return Line(fit.fixed * above, fit.per_byte * above, fit.scatter)

    def next_size(self, remaining_nbytes: int | None, workers: int, in_flight: int) -> Size:
        """Return the size of the next chunk.

        Parameters
        ----------
        remaining_nbytes : int or None
            Planned bytes that are not in any chunk yet; None if unknown.
        workers : int
            Chunks that can run at the same time, as of now.
        in_flight : int
            Chunks that were submitted and have not completed.

        Returns
        -------
        Size
            At least 1 byte, and one whole group of rows if that fits; at most `GROWTH` times the
            largest recent chunk.

        Notes
        -----
        Takes about 0.15 ms with a full window; thread-safe, since nothing is changed.
        """
        time = self.time
        if time is None:
            nbytes, reason = float(self.first.target_nbytes), "the first size"
        else:
            nbytes, reason = self._target(time, workers)
            floor = self._floor(workers)
            if nbytes < floor:
                nbytes, reason = floor, f"smaller chunks would not balance better; {reason}"
        is_long = remaining_nbytes is None or remaining_nbytes >= PROBES * nbytes
        every = 2 if self.count < PROBES else PROBES
        if is_long and (self.count + in_flight) % every == 1:
            nbytes, reason = nbytes / 2, f"half, to learn a chunk's fixed cost; {reason}"
        cap, cap_reason = self._cap()
        if remaining_nbytes is not None:
            share = self._share(time, remaining_nbytes, workers)
            if share < nbytes:
                nbytes = share
                left = f"{format_nbytes(remaining_nbytes)} remain for {workers} workers"
                reason = f"tapered towards the end, {left}"
        if cap < nbytes:
            nbytes, reason = cap, cap_reason
        if remaining_nbytes is not None and remaining_nbytes <= 1.5 * nbytes:
            nbytes = remaining_nbytes if remaining_nbytes <= cap else remaining_nbytes / 2
            reason = f"the rest in equal chunks; {reason}"
        if nbytes == self.first.target_nbytes:
            return self.first
        size = make_size(nbytes, reason)
        if not self.group_nbytes:
            return size
        return whole_groups(size, self.group_nbytes, min(self.first.whole_nbytes, self._fits()))

    def batch_size(self, chunk_nbytes: int, remaining_nbytes: int | None, workers: int) -> int:
        """Return how many chunks of about `chunk_nbytes` form one task, from 1 to `BATCH_LIMIT`.

        As few as keep the task's own cost within `OVERHEAD`, that is 30 ms of work, and no more
        than a worker's tapered share of what remains. 1 until a chunk has completed.
        """
        time = self.time
        if time is None:
            return 1
        nbytes = max(1, chunk_nbytes)
        count = _useful_s(TASK_S) / time.predict(nbytes)
        if remaining_nbytes is not None:
            count = min(count, remaining_nbytes / nbytes / (TAPER * max(1, workers)))
        return max(1, math.ceil(min(count, BATCH_LIMIT)))

    def _target(self, time: Line, workers: int) -> tuple[float, str]:
        """Return the bytes of a chunk with the target time, and the reason."""
        dispatch_s = min(MAX_TARGET_S, TASK_S * workers / DISPATCH_SHARE)
        slow_s = min(self.target_s, LARGE_NBYTES * time.per_byte)
        target_s = max(TARGET_S, slow_s, _useful_s(TASK_S + time.fixed), dispatch_s)
        if self.group_nbytes and self.target_s == target_s == TARGET_S:
            target_s = min(target_s, time.per_byte * ROWS_NBYTES / _positive(self.expansion, 1.0))
        nbytes = target_s / time.per_byte if time.per_byte > 0.0 else math.inf
        rate = f" at {1e-6 / time.per_byte:.3g} MB/s" if time.per_byte > 0.0 else ""
        return nbytes, (
            f"{target_s:.2g} s a chunk{rate}; fitted {format_seconds(time.fixed)} + "
            f"{format_seconds(time.per_byte)} a byte over {len(self.recent)} chunks"
        )

    def _share(self, time: Line | None, remaining_nbytes: int, workers: int) -> float:
        """Return the bytes of the remainder that one chunk may have, so that workers end together.

        Half of what remains for each worker; more, up to all of it, if the fixed cost of another
        chunk outweighs the balance; even more if chunks become so short that submitting them takes
        longer than they do.
        """
        everyone = remaining_nbytes / max(1, workers)
        share = everyone / TAPER if workers > 1 else everyone
        if time is None:
            first = self.first.target_nbytes
            return max(share, first if first < MIN_NBYTES else first / 4)
        if time.per_byte == 0.0:
            return everyone
        fixed_s = max(time.fixed, CHUNK_S) + TASK_S
        balance_s = math.sqrt(everyone * time.per_byte * fixed_s / max(time.scatter, SCATTER))
        shortest_s = max(2 * fixed_s, math.sqrt(remaining_nbytes * time.per_byte * TASK_S))
        lowest = max(shortest_s / time.per_byte, self._floor(workers))
        return max(share, min(everyone, balance_s / time.per_byte), lowest)

    def _floor(self, workers: int) -> float:
        """Return the lowest bytes of a usual chunk, if the total is known."""
        if self.total_nbytes is None:
            return 0.0
        return min(FLOOR_NBYTES, self.total_nbytes / (FLOOR_SHARES * max(1, workers)))

    def _cap(self) -> tuple[float, str]:
        """Return the largest size that growth and memory allow, in bytes, and the reason."""
        grown, reason = math.inf, ""
        if self.recent:
            # Small files make small chunks: these do not reduce what the sample allowed.
            sizes = [o.nbytes for o in self.recent]
            sample = [self.first.target_nbytes] if self.count < WINDOW else []
            grown, reason = GROWTH * max(sizes + sample), "twice the largest chunk so far"
        if self.worker_memory_nbytes is None:
            return grown, reason
        memory = self.memory
        measured = f"{format_nbytes(memory.fixed)} + {memory.per_byte:.3g} bytes a byte"
        why = memory_reason(self.worker_memory_nbytes, measured, MEMORY_SHARE)
        return min((grown, reason), (self._fits(), why))

    def _fits(self) -> float:
        """Return the highest bytes that memory allows."""
        memory, whole = self.memory, self.worker_memory_nbytes
        if whole is None or memory.per_byte <= 0.0:
            return math.inf
        return max(MEMORY_SHARE * whole - memory.fixed, SPARE_SHARE * whole) / memory.per_byte


def _useful_s(fixed_s: float) -> float:
    """Return the seconds of work for which `fixed_s` is within `OVERHEAD`."""
    return fixed_s * (1 / OVERHEAD - 1)


def _positive(value: float | None, default: float) -> float:
    """Return `value` if it is a valid divisor, else `default`."""
    return value if value is not None and 0.0 < value < math.inf else default
