"""Infer nullable dtypes of columns, as with `dtype_backend` of `pandas.read_csv`."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from taskinity_data.errors import PlanError
from taskinity_data.formats.schema import KINDS, Column, ColumnFacts

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

__all__ = [
    "NullableColumn",
    "beyond_int64",
    "check_given",
    "check_nullable_index",
    "freeze_nullable",
    "no_rows",
    "nullable_floats",
    "observe_nullable",
]

PROBE = "int64,float64,bool,str,null\n1,1.5,True,x,\n"
"""A value of each kind."""


@dataclass(frozen=True, slots=True)
class NullableColumn(Column):
    """A column of a nullable dtype; its `kind` may also be ``"null"``: no value at all."""

    @property
    def arrow_type(self) -> Any:
        """The type of its kind, whose nulls are its missing values."""
        return pa.null() if self.kind == "null" else KINDS[self.kind]

    @property
    def needs_pandas(self) -> bool:
        """True."""
        return True

    @property
    def allows_missing(self) -> bool:
        """True."""
        return True


def check_given(columns: Iterable[Column], backend: str | None) -> None:
    """Refuse dtypes that pandas changes with `dtype_backend`."""
    for column in columns:
        if backend is not None and column.kind != "str":
            raise PlanError(
                f"column {column.label!r}: dtype={str(column.dtype)!r} would change with "
                f"dtype_backend={backend!r} (int64 becomes float64 in pandas); leave one of them "
                "out, or give a nullable dtype such as 'Int64'"
            )


def check_nullable_index(columns: Iterable[Column]) -> None:
    """Refuse an index of Arrow's integers, of which pandas makes floats where any is missing."""
    for column in columns:
        is_arrow = isinstance(column, NullableColumn) and isinstance(column.dtype, pd.ArrowDtype)
        if is_arrow and column.kind == "int64":
            raise PlanError(
                f"index_col={column.label!r}: with dtype_backend='pyarrow', pandas converts an "
                "index of integers with missing values to floats; set the index in the chunk "
                "function"
            )


def dtypes_of(backend: str) -> Mapping[Any, Any]:
    """Return the dtype of each kind, as pandas has it."""
    return dict(pd.read_csv(io.StringIO(PROBE), dtype_backend=backend).dtypes)  # type: ignore[call-overload]


def observe_nullable(values: pd.Series) -> ColumnFacts:
    """Return what a slice shows about a column, by the nullable dtype that pandas inferred."""
    if len(values) == 0:
        return ColumnFacts()
    is_missing = values.isna()
    if is_missing.all():
        return ColumnFacts({"null"})
    kind = values.dtype.kind
    if values.dtype == object:
        kinds = {"huge"}
    else:
        kinds = {"i": {"integer"}, "u": {"big"}, "f": {"float"}, "b": {"bool"}}.get(kind, {"text"})
    return ColumnFacts(kinds | ({"null"} if is_missing.any() else set()))


def freeze_nullable(
    label: Hashable, kinds: ColumnFacts, backend: str, *, is_proven: bool
) -> Column:
    """Return the column that pandas would infer over all that was seen.

    Raises
    ------
    PlanError
        There are integers beyond int64: what pandas makes of them depends on all others.
    """
    if not kinds:
        return Column(label, "str", np.dtype(object), is_proven=True)
    if kinds & {"big", "huge", "wide text"}:
        raise beyond_int64(f"column {label!r}", backend)
    dtypes = dtypes_of(backend)
    if "text" in kinds or ("bool" in kinds and kinds & {"integer", "float"}):
        kind = "str"
    elif "bool" in kinds:
        kind = "bool"
    elif "float" in kinds:
        kind = "float64"
    else:
        kind = "int64" if "integer" in kinds or dtypes["null"] == dtypes["int64"] else "null"
    return NullableColumn(label, kind, dtypes[kind], is_proven=is_proven)


def beyond_int64(where: str, backend: str) -> PlanError:
    """Return the refusal of integers that are too large for a nullable dtype."""
    return PlanError(
        f"{where}: integers beyond int64 can't be read with dtype_backend={backend!r}, since what "
        "pandas makes of them depends on all values; name dtype={COLUMN: 'str'}"
    )


def no_rows(labels: Iterable[Hashable], backend: str) -> dict[Hashable, Column]:
    """Return the columns of no rows of a file that has some, of which pandas makes integers."""
    integers = ColumnFacts({"integer"})
    return {label: freeze_nullable(label, integers, backend, is_proven=True) for label in labels}


def nullable_floats(numbers: Any, dtype: Any) -> Any:
    """Return `numbers` as an array of `dtype`, in which what is not a number is missing."""
    if isinstance(dtype, pd.ArrowDtype):
        return pd.arrays.ArrowExtensionArray(pa.array(numbers, from_pandas=True))
    return pd.arrays.FloatingArray(numbers, np.isnan(numbers))
