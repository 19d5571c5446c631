"""What a file of record batches or stripes holds, as its metadata tell: rows, bytes, nulls.

It knows nothing of how one format or another tells it, nor of chunks.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from taskinity_data.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from taskinity_data.chunks.source_file import SourceFile

__all__ = ["Layout", "check_schema"]


@dataclass(frozen=True, eq=False)
class Layout:
    """What one file holds.

    Attributes
    ----------
    file : SourceFile
    schema : pyarrow.Schema
        With the metadata that pandas left, where there are some.
    starts : numpy.ndarray
        Shape (groups + 1,), int64: the row at which each group (record batch, stripe) begins, and
        the number of rows.
    sizes : numpy.ndarray
        Shape (groups, columns), int64: bytes in memory of each column in each group.
    null_counts : dict of str to int
        Nulls of each column for which that is known.
    """

    file: SourceFile
    schema: pa.Schema
    starts: np.ndarray[Any, np.dtype[np.int64]]
    sizes: np.ndarray[Any, np.dtype[np.int64]]
    null_counts: dict[str, int]

    @property
    def rows(self) -> int:
        """Rows of the file."""
        return int(self.starts[-1])

    def group_nbytes(self, names: Sequence[str]) -> list[int]:
        """Bytes of columns `names` in each group; rows where the file has none of them.

        A group without rows has none: its buffers may hold an offset.
        """
        rows = np.diff(self.starts)
        wanted = set(names)
        places = [place for place, name in enumerate(self.schema.names) if name in wanted]
        sizes = self.sizes[:, places].sum(axis=1) if places else rows
        return [int(nbytes) for nbytes in np.where(rows > 0, sizes, 0)]

    def groups(self, start: int, stop: int) -> range:
        """The groups that hold rows `start` to `stop`, of which there is at least one."""
        first = int(np.searchsorted(self.starts, start, "right")) - 1
        return range(first, int(np.searchsorted(self.starts, stop, "left")))


def check_schema(schema: pa.Schema, path: str) -> None:
    """Raise `PlanError` where two columns of `schema` have one name, or where what pandas noted in
    it is damaged.
    """
    names = schema.names
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise PlanError(f"{path}: there are several columns {twice!r}; rename them first")
    noted = (schema.metadata or {}).get(b"pandas")
    if noted is not None and not _is_sound(noted):
        raise PlanError(
            f"{path}: what pandas noted of its columns (the metadata 'pandas') is damaged; write "
            "or copy the file again"
        )


def _is_sound(noted: bytes) -> bool:
    """Whether pandas' metadata have the form that dtypes are restored by."""
    try:
        told = json.loads(noted)
        columns = [(one["name"], one["numpy_type"], one["pandas_type"]) for one in told["columns"]]
    except (ValueError, TypeError, KeyError):
        return False
    is_typed = all(isinstance(dtype, str) for _, *dtypes in columns for dtype in dtypes)
    return is_typed and isinstance(told.get("index_columns"), list)
