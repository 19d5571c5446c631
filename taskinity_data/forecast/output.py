"""How large an answer gets over the whole, from what slices gave.

It knows nothing of time.
"""

from __future__ import annotations

import math
import pickle
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.cost_line import Line, fit_line
from taskinity_data.execution.worker.run_item import measure_nbytes

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Grown", "answer_nbytes", "grow", "grow_merged", "grow_side_by_side"]

CLEAR, NOISE = 3.0, 0.003
"""How many times nearer to what was seen one law has to be than another, to be the only one; and
how near is no better than any nearer."""

HALVINGS = 60

SAME, APART = 1.02, 2
"""Results that differ by no more, of slices that differ by more, don't depend on bytes."""

MEASURED, POINTER_NBYTES = 1000, 8
"""Items of a list that are measured, and stand for all; and what a list takes for each."""

_PLAIN = (int, float, bool, str, bytes, type(None))


class Grown(NamedTuple):
    """From what to what a size is expected to grow, and by what single slices differ from that."""

    low: float
    high: float
    ratios: tuple[float, ...] = ()


def grow_side_by_side(
    results: Sequence[list[Any]], nbytes: Sequence[int], total: int, chunks: int
) -> Grown:
    """Of the results of all `chunks` in one list; those of slices of `nbytes` are given as lists.

    >>> import numpy as np
    >>> results = [[np.zeros(1000)], [np.zeros(500)]]
    >>> round(grow_side_by_side(results, [1000, 500], 10_000, 7).low, -3)
    80000.0
    """
    sizes = [answer_nbytes(result) for result in results]
    if not any(sizes):
        return Grown(0.0, 0.0)
    line = fit_line(list(zip(nbytes, map(float, sizes), strict=True)))
    assert line is not None
    if max(sizes) <= SAME * min(sizes) and max(nbytes) > APART * min(nbytes):
        line = Line(sum(sizes) / len(sizes), 0.0, 0.0)
    whole = line.fixed * chunks + line.per_byte * total
    ratios = [size / max(1.0, line.predict(x)) for x, size in zip(nbytes, sizes, strict=True)]
    return Grown(whole, whole, tuple(ratios))


def grow_merged(reducer: Any, partials: Sequence[Any], nbytes: Sequence[int], total: int) -> Grown:
    """Of a partial in which those of all chunks are merged, such as the groups of a group-by."""
    largest = max(range(len(nbytes)), key=nbytes.__getitem__)
    seen = [
        (
            float(sum(nbytes[at] for at in some)),
            float(answer_nbytes(_merge(reducer, partials, some))),
        )
        for some in ([largest], range(0, len(nbytes), 2), range(len(nbytes)))
    ]
    return grow(seen, total)


def _merge(reducer: Any, partials: Sequence[Any], some: Sequence[int]) -> Any:
    chosen = [partials[at] for at in some]
    return chosen[0] if len(chosen) == 1 else reducer.combine(chosen)


def grow(seen: Sequence[tuple[float, float]], total: float) -> Grown:
    """From what to what the size of what is different in `total` bytes of data may come.

    Parameters
    ----------
    seen : three pairs of float
        Bytes of data and the size: of one slice, of some, of all.

    Notes
    -----
    Two laws are tried on the first and the last of `seen`: a power of the bytes [1]_, and a bounded
    store from which each byte draws at random. The one that meets the second much better counts;
    else both do.

    References
    ----------
    .. [1] H. S. Heaps, "Information Retrieval: Computational and Theoretical Aspects", 1978.

    >>> [round(end) for end in grow([(1, 100.0), (4, 100.0), (8, 100.0)], 80)[:2]]
    [100, 100]
    >>> [round(end) for end in grow([(1, 100.0), (4, 200.0), (16, 400.0)], 64)[:2]]
    [800, 800]
    """
    (x1, y1), (x2, y2), (x3, y3) = seen
    if total > x3 == x1:
        return Grown(y3, y3 * total / x3)
    if total <= x3 or y3 <= y1 or not y1:
        return Grown(y3, y3)
    power = min(1.0, math.log(y3 / y1) / math.log(x3 / x1))
    rate = _draw_rate(x3 / x1, y3 / y1) / x1
    laws = {
        "power": (y1 * (x2 / x1) ** power, y3 * (total / x3) ** power),
        "store": tuple(y3 * _drawn(rate * x) / _drawn(rate * x3) for x in (x2, total)),
    }
    errors = {name: abs(math.log(middle / y2)) for name, (middle, _) in laws.items()}
    best = min(errors, key=errors.__getitem__)
    if x1 < x2 < x3 and max(errors.values()) > CLEAR * max(NOISE, errors[best]):
        return Grown(laws[best][1], laws[best][1])
    ends = sorted(whole for _, whole in laws.values())
    return Grown(ends[0], ends[1])


def _drawn(draws: float) -> float:
    """The share of a store that has been met after so many draws for each of its things."""
    return -math.expm1(-draws)


def _draw_rate(times: float, growth: float) -> float:
    """At how many draws for each thing `times` as many meet `growth` times as much."""
    low, high = 1e-9, 50.0
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        if _drawn(middle * times) / _drawn(middle) > growth:
            low = middle
        else:
            high = middle
    return low


def answer_nbytes(value: Any) -> int:
    """Bytes of an answer in memory, its index among them; of a user's own objects as pickled.

    >>> import numpy as np
    >>> answer_nbytes([np.zeros(100), np.zeros(100)])
    1616
    """
    if hasattr(value, "memory_usage"):
        usage = value.memory_usage(deep=True)  # the index is part of an answer
        return int(usage.sum() if hasattr(usage, "sum") else usage)
    found = measure_nbytes(value)
    if found is not None:
        return found
    if type(value) in _PLAIN:
        return sys.getsizeof(value)
    if type(value) is list:
        some = value[:MEASURED]
        share = len(value) / max(1, len(some))
        return int(share * sum(POINTER_NBYTES + answer_nbytes(one) for one in some))
    try:
        return len(pickle.dumps(value))
    except Exception:  # noqa: BLE001 - a user's object may refuse in any way
        return sys.getsizeof(value)
