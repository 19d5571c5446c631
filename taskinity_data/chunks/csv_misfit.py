"""A value of a CSV that does not fit its column, before anyone knows in which file it stands.

It knows nothing of who parses, or of how that is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskinity_data.chunks.schema import Column

__all__ = ["Misfit"]


@dataclass
class Misfit(Exception):  # noqa: N818 - it becomes a SchemaError where the file is known
    """A value that does not fit its column.

    Attributes
    ----------
    column : Column
    row : int or None
        From 0, within what was parsed.
    value : text, None for a missing value
    fits : str
        A dtype that the column could be given instead.
    why : str
    """

    column: Column
    row: int | None
    value: Any
    fits: str
    why: str
