"""Columns of files as the types that were requested, and the types that hold those of two files.

Arrow's own casts refuse what is too large and cut fractions of integers;
they are silent where a time, a time zone or a number is lost otherwise, and that is refused here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from taskinity_data.errors import PlanError

__all__ = ["cast", "holds", "nullable_dtypes", "read_type"]


def read_type(name: str, type_: Any) -> pa.DataType:
    """Return the Arrow type that ``schema=`` means by `type_` for column `name`.

    Raises
    ------
    PlanError
        It means none.
    """
    if isinstance(type_, pa.DataType):
        return type_
    nullable = _nullable(type_)
    try:
        if nullable is not None:
            return pa.from_numpy_dtype(nullable.numpy_dtype)
        return pa.type_for_alias(type_) if isinstance(type_, str) else pa.from_numpy_dtype(type_)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise PlanError(
            f'schema: {type_!r} for column {name!r} is not an Arrow type; give e.g. "int64", '
            '"float64", "string" or a pyarrow type'
        ) from error


def nullable_dtypes(schema: Any) -> dict[str, str]:
    """Return the columns for which ``schema=`` names a pandas dtype with its own missing values."""
    if not isinstance(schema, dict):
        return {}
    dtypes = {name: _nullable(type_) for name, type_ in schema.items()}
    return {name: str(dtype) for name, dtype in dtypes.items() if dtype is not None}


def _nullable(type_: Any) -> Any:
    """Return the dtype (``Int64``, ``boolean``, ``Float64``, …) that `type_` is or names, or None.

    Names in lower case are those of Arrow's types.
    """
    if isinstance(type_, str) and (type_ == "boolean" or type_[:1].isupper()):
        try:
            type_ = pd.api.types.pandas_dtype(type_)
        except (TypeError, ValueError):
            return None
    if isinstance(type_, pd.ArrowDtype) or not isinstance(type_, pd.api.extensions.ExtensionDtype):
        return None
    return type_ if isinstance(getattr(type_, "numpy_dtype", None), np.dtype) else None


def holds(wide: pa.DataType, narrow: pa.DataType) -> bool:
    """Return whether every value of `narrow` is one of `wide`."""
    if wide == narrow or pat.is_null(narrow):
        return True
    for kind in (pat.is_signed_integer, pat.is_unsigned_integer, pat.is_floating):
        if kind(wide) and kind(narrow):
            return bool(wide.bit_width >= narrow.bit_width)
    for large, small in ((pa.large_string(), pa.string()), (pa.large_binary(), pa.binary())):
        if {wide, narrow} == {large, small}:
            return True
    if pat.is_dictionary(wide) and pat.is_dictionary(narrow):
        return bool(wide.value_type == narrow.value_type and wide.ordered == narrow.ordered)
    return False


def cast(column: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    """Return `column` as `type_`.

    Raises
    ------
    pyarrow.ArrowException
        A value does not fit, or would be another one.
    """
    old = column.type
    if old == type_:
        return column
    if pat.is_timestamp(old) and pat.is_timestamp(type_) and (old.tz is None) != (type_.tz is None):
        raise pa.ArrowInvalid("one type has a time zone and the other has none")
    made = column.cast(type_)
    if pat.is_nested(old) and pat.is_nested(type_):
        _check_parts(column, type_)
    if pat.is_floating(type_) and pat.is_floating(old):
        changed = pc.and_(pc.is_inf(made), pc.invert(pc.is_inf(column)))
    elif _may_lose(old, type_):
        changed = pc.not_equal(made.cast(old), column)
    else:
        return made
    index = pc.index(changed, True).as_py()
    if index >= 0:
        raise pa.ArrowInvalid(f"{column[index].as_py()!r} would become {made[index].as_py()!r}")
    return made


def _check_parts(column: pa.ChunkedArray, type_: pa.DataType) -> None:
    """Raise if values in the lists or structs of `column` would change in `type_`."""
    if pat.is_struct(column.type) and pat.is_struct(type_):
        for index, field in enumerate(column.type):
            if type_.get_field_index(field.name) < 0:
                raise pa.ArrowInvalid(f"its field {field.name!r} would be lost")
            cast(pc.struct_field(column, index), type_.field(field.name).type)
    elif hasattr(column.type, "value_type") and hasattr(type_, "value_type"):
        cast(pc.list_flatten(column), type_.value_type)


def _may_lose(old: pa.DataType, new: pa.DataType) -> bool:
    """Return whether Arrow silently casts values of `old` to other ones of `new`."""
    if pat.is_timestamp(old):
        if pat.is_time(new):
            raise pa.ArrowInvalid("the days would be lost")
        return bool(pat.is_date(new))
    is_number = pat.is_integer(old) or pat.is_floating(old) or pat.is_decimal(old)
    return bool(
        (is_number and pat.is_boolean(new)) or (pat.is_floating(old) and pat.is_decimal(new))
    )
