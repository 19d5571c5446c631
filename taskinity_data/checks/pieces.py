"""Cut and concatenate rows of any kind: frames, tables, Series, arrays, lists."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from taskinity_data.data_kinds import describe_kind, kind_of
from taskinity_data.reducers.row_labels import is_numbering

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["convert", "count_rows", "cut_rows", "join", "show", "small_cuts"]


def count_rows(data: Any) -> int:
    """Return the number of rows or items."""
    return int(data.num_rows) if kind_of(data) == "arrow" else len(data)


def cut_rows(data: Any, start: int, stop: int) -> Any:
    """Return the rows from `start` to `stop`; rows without labels are numbered from 0."""
    kind = kind_of(data)
    if kind in ("arrow", "polars"):
        return data.slice(start, max(0, min(stop, count_rows(data)) - start))
    if kind in ("pandas", "series"):
        rows = data.iloc[start:stop]
        return rows.reset_index(drop=True) if is_numbering(data.index) else rows
    return data[start:stop]


def join(pieces: Sequence[Any]) -> Any:
    """Concatenate pieces of one kind."""
    if not pieces:
        raise ValueError("there are no chunks to check; give a few")
    kind = kind_of(pieces[0])
    if len(pieces) == 1:
        return pieces[0]
    if kind == "arrow":
        return pa.concat_tables(pieces)
    if kind == "polars":
        import polars as pl

        return pl.concat(pieces)
    if kind in ("pandas", "series"):
        return pd.concat(pieces, ignore_index=is_numbering(pieces[0].index))
    if isinstance(pieces[0], np.ndarray):
        return np.concatenate(pieces)
    if isinstance(pieces[0], (list, tuple)):
        return [item for piece in pieces for item in piece]
    raise ValueError(
        f"{describe_kind(pieces[0])} can't be cut and concatenated: give frames, tables, Series, "
        "arrays or lists"
    )


def convert(piece: Any, kind: str) -> Any:
    """Return a copy of `piece` as what a function needs, so that changes to it have no effect."""
    own_kind = kind_of(piece)
    if kind == "arrow" and own_kind == "pandas":
        return pa.Table.from_pandas(piece, preserve_index=False)
    if kind == "polars" and own_kind in ("pandas", "arrow"):
        import polars as pl

        return pl.from_pandas(piece) if own_kind == "pandas" else pl.from_arrow(piece)
    return piece.copy() if own_kind in ("pandas", "series") else piece


def show(chunks: Sequence[Any]) -> str:
    """Return the text of `chunks`, for a message."""
    return "\n---\n".join(
        chunk.to_string(max_rows=8) if kind_of(chunk) in ("pandas", "series") else repr(chunk)[:800]
        for chunk in chunks
    )


_SIZES = (2, 4, 30)
"""Prefixes that are tried before the whole, so that counterexamples are small."""


def small_cuts(whole: Any, *, with_empty: bool = True) -> Iterator[list[Any]]:
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
