"""How many bytes the next chunk should have, and why: pure arithmetic on what was measured.

It knows no files, no clocks, no scheduler and no chunk: bytes, seconds and counts come in as
arguments, sizes with their reasons come out. A size that the user chose never comes here.

References
----------
.. [1] S. F. Hummel, E. Schonberg, L. E. Flynn, "Factoring: a method for scheduling parallel
   loops", Communications of the ACM 35(8), 1992.
.. [2] C. D. Polychronopoulos, D. J. Kuck, "Guided self-scheduling: a practical scheduling scheme
   for parallel supercomputers", IEEE Transactions on Computers C-36(12), 1987.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

from taskinity_data.chunks.cost_line import Line, fit_line
from taskinity_data.wording import format_nbytes

__all__ = ["Learner", "Observation", "Size", "first_size"]

TASK_S = 0.0016
"""Seconds that a Dask task costs client and scheduler, one task after another (measured with Dask
2026.8 on two cores; of 32 small chunks in one task each costs 52 µs)."""

CLOCK_S = 1e-9
"""The step of a performance counter: what a chunk takes at least."""

OVERHEAD = 0.05
"""The share of a chunk's time that may go to what does not depend on its bytes."""

USUAL_S, LONG_S = 0.15, 2.0
"""Seconds of a chunk: what is aimed at, and what only a chunk's own fixed cost may push beyond.
Simulated makespans are the same from 0.15 to 0.5 s; real ones are not: text of more than 32 MiB,
0.2 s of parsing, is read into memory that glibc takes anew for each chunk."""

DISPATCH_SHARE = 0.5
"""The share of the scheduler's time that all workers' tasks may take: at a half, a task waits half
of another's time for its turn (M/D/1 queue), at nine tenths four and a half."""

GROWTH = 2.0
"""The largest factor between a chunk that has ended and the next: it is what half of a worker's
memory, left free, can take where a larger chunk needs more than any line foretold."""

MEMORY_SHARE, SPARE_SHARE = 0.5, 0.125
"""The share of a worker's memory for one chunk with all that lies there (Dask spills at 0.6), and
the share that its bytes may take in any case: before a chunk has told what functions make of them,
and where what does not depend on them, and can't be sized away, takes the half."""

TAPER = 2.0
"""A chunk is at most 1/(TAPER · workers) of what is left: the share that factoring gives to a
batch [1]_, taken anew at each chunk as guided self-scheduling does [2]_."""

SCATTER = 0.2
"""The relative scatter of chunks' times that the taper expects at least: some worker is slower."""

WINDOW = 64
"""Chunks that are remembered: twice what sixteen workers have in flight. To fit a line through them
takes about 0.06 ms."""

PROBES = 8
"""While fewer have ended, each second chunk has half the size, later each of so many: from one size
alone a fixed cost can't be told from a cost per byte."""

FIRST_SHARES, FIRST_S = 8, 0.4
"""Chunks a worker at the first size, and seconds to read one. Two rounds are in flight before the
first has ended: at 8, three quarters of the data are left to what they teach."""

ASSUMED_RATE_NBYTES_S = 50e6
"""Bytes read a second where no sample was timed: the order of pandas' C engine on CSV."""

SMALLEST_S, SMALLEST_NBYTES = 0.01, 32 << 10
"""A first chunk takes so long to read and has so many bytes, or it is a worker's whole share of the
data: anything less takes less time to read than its task costs."""

MOST_SHARERS, FEW_NBYTES = 16, 1 << 10
"""Among so many workers even small data are shared out, down to so many bytes: what few records ask
of a function (a service's answer each, say) nobody knows before."""

FLOOR_SHARES, FLOOR_NBYTES = 256, 1 << 20
"""So many chunks a worker are as good a balance as any: none is smaller than that (but half of it,
to learn), or than so many bytes where that is less. Where a chunk's time does not depend on its
bytes, and noise hides it, each would else be smaller than the one before."""

LUCKY_SHARE = 8
"""One in so many chunks may be shorter than a fixed cost, by luck or an early end."""

BATCH_LIMIT = 256
"""Chunks in one task at most: what the death of a worker takes along."""


@dataclass(frozen=True, slots=True)
class Size:
    """A target for the next chunk, in planned bytes, and the reason in words."""

    target_nbytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What a chunk that ended has cost.

    Attributes
    ----------
    nbytes : int
        Planned bytes, as in `Size.target_nbytes`.
    duration_s : float
        Seconds on the worker, reading, function and partial together.
    memory_nbytes : int, optional
        The worker's peak while it ran, None where it was not measured.
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
) -> Size:
    """The size of the chunks that are cut before any has ended.

    Parameters
    ----------
    total_nbytes : int or None
        Planned bytes of the whole dataset, None where they are not known yet.
    workers : int
        Chunks that can run at the same time.
    worker_memory_nbytes : int or None
        What one worker may use; None: no bound.
    expansion : float
        Bytes in memory per planned byte, measured on a sample.
    read_rate_nbytes_s : float, optional
        Planned bytes that one worker reads a second, measured on the same sample.

    Returns
    -------
    Size
        At least 1 byte.
    """
    rate = _positive(read_rate_nbytes_s, ASSUMED_RATE_NBYTES_S)
    if total_nbytes == 0:
        return Size(SMALLEST_NBYTES, "there are no rows to cut")
    bounds = {f"{FIRST_S:g} s to read at {_rate(rate)}": FIRST_S * rate}
    if total_nbytes is not None:
        share = total_nbytes / max(1, workers)
        few = max(FEW_NBYTES, total_nbytes / min(max(1, workers), MOST_SHARERS))
        least = min(SMALLEST_NBYTES, few)
        worth = max(least, min(share, SMALLEST_S * rate))
        if share / FIRST_SHARES >= worth:
            reason = f"{FIRST_SHARES} chunks a worker of {format_nbytes(total_nbytes)}"
        else:
            reason = f"smaller pieces of {format_nbytes(total_nbytes)} are not worth a task"
        bounds[reason] = max(share / FIRST_SHARES, worth)
    if worker_memory_nbytes is not None:
        room = SPARE_SHARE * worker_memory_nbytes / _positive(expansion, 1.0)
        measured = f"{expansion:.3g} bytes a byte"
        bounds[_memory_reason(worker_memory_nbytes, measured, SPARE_SHARE)] = room
    reason, nbytes = min(bounds.items(), key=lambda bound: bound[1])
    return _size(nbytes, f"first size, {reason}")


@dataclass(frozen=True)
class Learner:
    """What a run has learned of its chunks' time and memory; each observation gives a new one.

    Attributes
    ----------
    first : Size
        From `first_size`: the size until something is known.
    worker_memory_nbytes : int or None
        What one worker may use; None: no bound.
    expansion : float
        Bytes in memory per planned byte, as the sample had it, until the chunks say better.
    recent : tuple of Observation
        The last `WINDOW`, oldest first.
    count : int
        All that were ever observed.
    total_nbytes : int or None
        Planned bytes of the whole dataset, None where they are not known.
    """

    first: Size
    worker_memory_nbytes: int | None = None
    expansion: float = 1.0
    recent: tuple[Observation, ...] = ()
    count: int = 0
    total_nbytes: int | None = None

    def observe(self, seen: Observation) -> Learner:
        """The learner that knows of one more chunk, in the order in which they ended.

        A chunk without bytes teaches nothing.
        """
        if seen.nbytes <= 0:
            return self
        seen = replace(seen, duration_s=max(seen.duration_s, CLOCK_S))
        return replace(
            self,
            recent=(*self.recent, seen)[-WINDOW:],
            count=self.count + 1,
        )

    @cached_property
    def time(self) -> Line | None:
        """Seconds on the worker against bytes, None before the first observation."""
        durations = sorted(seen.duration_s for seen in self.recent)
        most_s = durations[len(durations) // LUCKY_SHARE] if durations else math.inf
        return fit_line([(seen.nbytes, seen.duration_s) for seen in self.recent], most_s)

    @cached_property
    def memory(self) -> Line:
        """Peak bytes on the worker against bytes, such that no recent chunk lies above."""
        points = [(o.nbytes, float(o.memory_nbytes)) for o in self.recent if o.memory_nbytes]
        expansion = _positive(self.expansion, 1.0)
        fit = fit_line(points)
        if fit is None:
            return Line(0.0, expansion, 0.0)
        if fit.fixed == 0.0 and fit.per_byte > expansion:
            # One size alone does not tell the two parts apart: the sample does.
            mean = sum(x for x, _ in points) / len(points)
            fit = Line((fit.per_byte - expansion) * mean, expansion, fit.scatter)
        above = max(y / fit.predict(x) for x, y in points)
        return Line(fit.fixed * above, fit.per_byte * above, fit.scatter)

    def next_size(self, remaining_nbytes: int | None, workers: int, in_flight: int) -> Size:
        """The size of the next chunk to be handed out.

        Parameters
        ----------
        remaining_nbytes : int or None
            Planned bytes that no chunk was made of yet; None where that is not known.
        workers : int
            Chunks that can run at the same time, as of now.
        in_flight : int
            Chunks that were handed out and have not ended.

        Returns
        -------
        Size
            At least 1 byte; at most `GROWTH` times the largest recent chunk.

        Notes
        -----
        About 0.15 ms with a full window; thread-safe, as nothing is changed.
        """
        time = self.time
        if time is None:
            nbytes, reason = float(self.first.target_nbytes), "the first size"
        else:
            nbytes, reason = self._wanted(time, workers)
            floor = self._floor(workers)
            if nbytes < floor:
                nbytes, reason = floor, f"smaller ones would balance no better; {reason}"
        is_long = remaining_nbytes is None or remaining_nbytes >= PROBES * nbytes
        every = 2 if self.count < PROBES else PROBES
        if is_long and (self.count + in_flight) % every == 1:
            nbytes, reason = nbytes / 2, f"half, to learn a chunk's fixed cost; {reason}"
        cap, cap_reason = self._cap()
        if remaining_nbytes is not None:
            share = self._share(time, remaining_nbytes, workers)
            if share < nbytes:
                nbytes = share
                reason = f"tapered, {format_nbytes(remaining_nbytes)} left for {workers} workers"
        if cap < nbytes:
            nbytes, reason = cap, cap_reason
        if remaining_nbytes is not None and remaining_nbytes <= 1.5 * nbytes:
            nbytes = remaining_nbytes if remaining_nbytes <= cap else remaining_nbytes / 2
            reason = f"the last, evenly; {reason}"
        if nbytes == self.first.target_nbytes:
            return self.first
        return _size(nbytes, reason)

    def batch_size(self, chunk_nbytes: int, remaining_nbytes: int | None, workers: int) -> int:
        """How many chunks of about `chunk_nbytes` travel in one task, from 1 to `BATCH_LIMIT`.

        As few as keep the task's own cost within `OVERHEAD`, that is 30 ms of work, and no more
        than a worker's tapered share of what remains. One, until a chunk has ended.
        """
        time = self.time
        if time is None:
            return 1
        nbytes = max(1, chunk_nbytes)
        wanted = _useful_s(TASK_S) / time.predict(nbytes)
        if remaining_nbytes is not None:
            wanted = min(wanted, remaining_nbytes / nbytes / (TAPER * max(1, workers)))
        return max(1, math.ceil(min(wanted, BATCH_LIMIT)))

    def _wanted(self, time: Line, workers: int) -> tuple[float, str]:
        """The bytes that make a chunk's time right."""
        dispatch_s = min(LONG_S, TASK_S * workers / DISPATCH_SHARE)
        wanted_s = max(USUAL_S, _useful_s(TASK_S + time.fixed), dispatch_s)
        nbytes = wanted_s / time.per_byte if time.per_byte > 0.0 else math.inf
        rate = f" at {1e-6 / time.per_byte:.3g} MB/s" if time.per_byte > 0.0 else ""
        return nbytes, (
            f"{wanted_s:.2g} s a chunk{rate}; fitted {_seconds(time.fixed)} + "
            f"{_seconds(time.per_byte)} a byte over {len(self.recent)} chunks"
        )

    def _share(self, time: Line | None, remaining_nbytes: int, workers: int) -> float:
        """The bytes of what remains that one chunk may have for workers to end together.

        Half of what is left for each worker; more, up to all of it, where the fixed cost of
        another chunk is worth more than the balance; more still where chunks become so short
        that handing them out takes longer than they do.
        """
        everyone = remaining_nbytes / max(1, workers)
        share = everyone / TAPER if workers > 1 else everyone
        if time is None:
            first = self.first.target_nbytes
            return max(share, first if first < SMALLEST_NBYTES else first / 4)
        if time.per_byte == 0.0:
            return everyone
        fixed_s = time.fixed + TASK_S
        balance_s = math.sqrt(everyone * time.per_byte * fixed_s / max(time.scatter, SCATTER))
        shortest_s = max(2 * fixed_s, math.sqrt(remaining_nbytes * time.per_byte * TASK_S))
        least = max(shortest_s / time.per_byte, self._floor(workers))
        return max(share, min(everyone, balance_s / time.per_byte), least)

    def _floor(self, workers: int) -> float:
        """The bytes that a usual chunk has at least, as far as the whole is known."""
        if self.total_nbytes is None:
            return 0.0
        return min(FLOOR_NBYTES, self.total_nbytes / (FLOOR_SHARES * max(1, workers)))

    def _cap(self) -> tuple[float, str]:
        """The most bytes that growth and memory allow."""
        grown, reason = math.inf, ""
        if self.recent:
            # Small files make small chunks: these do not take back what the sample allowed.
            sizes = [o.nbytes for o in self.recent]
            known = [self.first.target_nbytes] if self.count < WINDOW else []
            grown, reason = GROWTH * max(sizes + known), "twice the largest chunk so far"
        if self.worker_memory_nbytes is None:
            return grown, reason
        memory = self.memory
        whole = self.worker_memory_nbytes
        free = max(MEMORY_SHARE * whole - memory.fixed, SPARE_SHARE * whole)
        fits = free / memory.per_byte if memory.per_byte > 0.0 else math.inf
        measured = f"{format_nbytes(memory.fixed)} + {memory.per_byte:.3g} bytes a byte"
        return min((grown, reason), (fits, _memory_reason(whole, measured, MEMORY_SHARE)))


def _useful_s(fixed_s: float) -> float:
    """Seconds of work for which `fixed_s` are within `OVERHEAD`."""
    return fixed_s * (1 / OVERHEAD - 1)


def _size(nbytes: float, reason: str) -> Size:
    """`nbytes` as a whole number of at least 1, with its reason."""
    target = max(1, math.floor(min(nbytes, 2.0**62)))
    return Size(target, f"{format_nbytes(target)}: {reason}")


def _positive(value: float | None, default: float) -> float:
    """`value` where it can be divided by, else `default`."""
    return value if value is not None and 0.0 < value < math.inf else default


def _memory_reason(worker_memory_nbytes: int, measured: str, share: float) -> str:
    whole = format_nbytes(worker_memory_nbytes)
    return f"{measured} within {share:g} of the {whole} that a worker has"


def _rate(nbytes_s: float) -> str:
    return f"{nbytes_s / 1e6:.3g} MB/s"


def _seconds(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1.0:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
