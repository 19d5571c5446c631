"""Cut data into small chunks to try."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from taskinity_data.checks.pieces import count_rows, cut_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["small_cuts"]

Chunks = list[Any]

_SIZES = (2, 4, 30)
"""Prefixes that are tried before the whole, so that counterexamples are small."""


def small_cuts(whole: Any, *, with_empty: bool = True) -> Iterator[Chunks]:
    """Yield the first rows of `whole`, more and more of them, cut in several ways."""
    n_rows = count_rows(whole)
    for size in [*(size for size in _SIZES if size < n_rows), n_rows]:
        cuts = [[size // 2], [1, 2, size - 1]]
        if with_empty:
            cuts.append([0, size // 2, size // 2])
        tried = set()
        for offsets in cuts:
            ends = (0, *sorted(min(max(cut, 0), size) for cut in offsets), size)
            if not with_empty:
                ends = tuple(dict.fromkeys(ends))
            if ends not in tried and len(ends) > len(("start", "stop")):
                tried.add(ends)
                yield [cut_rows(whole, start, stop) for start, stop in pairwise(ends)]
