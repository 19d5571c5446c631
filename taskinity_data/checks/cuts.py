"""Which small chunks are tried, and how those that were found are made smaller.

It knows nothing of what they are tried for.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from taskinity_data.checks.pieces import count_rows, cut_rows, join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["shrink", "small_cuts"]

Chunks = list[Any]

_SIZES = (2, 4, 30)
"""Prefixes that are tried before the whole, so that what is found is small."""

_MAX_TRIES = 100
"""How many smaller examples are tried, once one was found."""


def small_cuts(whole: Any, *, with_empty: bool = True) -> Iterator[Chunks]:
    """The first rows of `whole`, more and more of them, cut in several ways."""
    n_rows = count_rows(whole)
    for size in [*(size for size in _SIZES if size < n_rows), n_rows]:
        cuts = [[size // 2], [1, 2, size - 1]]
        if with_empty:
            cuts.append([0, size // 2, size // 2])
        seen = set()
        for one in cuts:
            ends = (0, *sorted(min(max(cut, 0), size) for cut in one), size)
            if not with_empty:
                ends = tuple(dict.fromkeys(ends))
            if ends not in seen and len(ends) > len(("start", "stop")):
                seen.add(ends)
                yield [cut_rows(whole, start, stop) for start, stop in pairwise(ends)]


def shrink(chunks: Chunks, breaks: Callable[[Chunks], bool]) -> Chunks:
    """Chunks of as few rows as can be found for which `breaks` still holds."""
    tries = 0
    is_smaller = True
    while is_smaller and tries < _MAX_TRIES:
        is_smaller = False
        for candidate in _smaller(chunks):
            tries += 1
            if tries > _MAX_TRIES:
                break
            if breaks(candidate):
                chunks, is_smaller = candidate, True
                break
    return chunks


def _smaller(chunks: Chunks) -> Iterator[Chunks]:
    if len(chunks) > len(("one", "other")):
        for place in range(len(chunks)):
            yield [*chunks[:place], *chunks[place + 1 :]]
    for place, chunk in enumerate(chunks):
        n_rows = count_rows(chunk)
        step = n_rows
        while step >= 1:
            for start in range(0, n_rows, step):
                kept = [cut_rows(chunk, 0, start), cut_rows(chunk, start + step, n_rows)]
                filled = [part for part in kept if count_rows(part)] or kept[:1]
                if step < n_rows:
                    yield [*chunks[:place], join(filled), *chunks[place + 1 :]]
            step //= 2
