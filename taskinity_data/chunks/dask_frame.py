"""Make a Dask DataFrame of chunks, with a partition for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from taskinity_data.formats.reader import refuse_quarantine
from taskinity_data.sources.file import Piece

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.formats.reader import Reader

__all__ = ["make_dask_frame"]


def make_dask_frame(reader: Reader, extent: Piece, chunks: Iterable[Chunk]) -> Any:
    """Return the Dask DataFrame of `chunks`, which `reader` reads; `extent` is of any of its files.

    Raises
    ------
    ImportError
        dask.dataframe is not installed.
    PlanError
        ``on_bad_lines="quarantine"`` is set, which needs a run.
    """
    import dask
    import dask.dataframe as dd

    refuse_quarantine(reader, "a Dask DataFrame has no place for them")
    empty = Piece(extent.file, extent.start, extent.start, 0, 0)
    meta = reader.read([empty], "pandas").data
    from_map: Any = dd.from_map
    # Texts are strings already; Dask would convert decimals, dates, bytes and lists too.
    with dask.config.set({"dataframe.convert-string": False}):
        return from_map(_read, list(chunks), meta=meta, enforce_metadata=False)


def _read(chunk: Chunk) -> pd.DataFrame:
    return cast("pd.DataFrame", chunk.read("pandas"))
