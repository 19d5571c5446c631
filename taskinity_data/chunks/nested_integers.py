"""Which nested columns hold integers that pandas would round: those beside missing values.

It knows nothing of files. Arrow makes floats of all integers of a list that are converted together,
where any of them is missing; those beyond 2^53 become others, in silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["find_rounded"]

FLOAT_EXACT = 1 << 53


def find_rounded(table: pa.Table) -> str | None:
    """The first nested column of `table` in which pandas would hold another integer.

    Notes
    -----
    Looks at the values of 64-bit integers in lists, structs and maps that hold nulls, about 1 ns
    each; at nothing else.
    """
    for name, column in zip(table.schema.names, table.columns, strict=True):
        if pat.is_nested(column.type) and _is_rounded(column.chunks):
            return str(name)
    return None


def _is_rounded(arrays: Sequence[Any]) -> bool:
    """Whether one of `arrays`, which are converted together, holds what would change."""
    arrays = [one for one in arrays if len(one)]
    if not arrays:
        return False
    type_ = arrays[0].type
    if isinstance(type_, pa.BaseExtensionType):
        return _is_rounded([one.storage for one in arrays])
    if pat.is_struct(type_):
        places = range(type_.num_fields)
        return any(_is_rounded([one.field(place)]) for one in arrays for place in places)
    if pat.is_map(type_):
        spans = [(one.offsets[0].as_py(), one.offsets[-1].as_py()) for one in arrays]
        pairs = list(zip(arrays, spans, strict=True))
        return any(
            _is_rounded(
                [getattr(one, part).slice(first, last - first) for one, (first, last) in pairs]
            )
            for part in ("keys", "items")
        )
    if pat.is_list(type_) or pat.is_large_list(type_):
        spans = [(one.offsets[0].as_py(), one.offsets[-1].as_py()) for one in arrays]
        return _is_rounded(
            [
                # What lies behind a null list is converted with the others.
                one.values.slice(first, last - first)
                for one, (first, last) in zip(arrays, spans, strict=True)
            ]
        )
    if pat.is_fixed_size_list(type_):
        size = type_.list_size
        return _is_rounded([one.values.slice(one.offset * size, len(one) * size) for one in arrays])
    if pat.is_list_view(type_) or pat.is_large_list_view(type_):
        return _is_rounded([one.flatten() for one in arrays])
    is_long = pat.is_int64(type_) or pat.is_uint64(type_)
    return is_long and any(one.null_count for one in arrays) and any(map(_is_beyond, arrays))


def _is_beyond(array: pa.Array) -> bool:
    ends = pc.min_max(array).as_py()
    return any(end is not None and abs(end) > FLOAT_EXACT for end in ends.values())
