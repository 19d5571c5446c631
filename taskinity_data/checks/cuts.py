"""Cut data into small chunks to try, and shrink chunks for which a law does not hold."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from taskinity_data.checks.pieces import count_rows, cut_rows, join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["shrink", "small_cuts"]

Chunks = list[Any]

_SIZES = (2, 4, 30)
"""Prefixes that are tried before the whole, so that counterexamples are small."""

_MAX_TRIES = 100
"""How many smaller examples are tried."""


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


def shrink(chunks: Chunks, breaks: Callable[[Chunks], bool]) -> Chunks:
    """Return chunks of as few rows as possible for which `breaks` still holds."""
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
        for index in range(len(chunks)):
            yield [*chunks[:index], *chunks[index + 1 :]]
    for index, chunk in enumerate(chunks):
        n_rows = count_rows(chunk)
        step = n_rows
        while step >= 1:
            for start in range(0, n_rows, step):
                parts = [cut_rows(chunk, 0, start), cut_rows(chunk, start + step, n_rows)]
                filled = [part for part in parts if count_rows(part)] or parts[:1]
                if step < n_rows:
                    yield [*chunks[:index], join(filled), *chunks[index + 1 :]]
            step //= 2
