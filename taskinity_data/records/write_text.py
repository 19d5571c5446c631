"""Tables as text: CSV that keeps every row and number, JSON lines with an object a row.

It knows nothing of files' names. What has no form in text that reads back (bytes, durations,
maps, infinities in JSON) is refused, never bent.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from taskinity_data.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

__all__ = ["write_csv", "write_jsonl"]

JSON_ROWS = 10_000
"""Rows that stand as Python objects at a time: about 10 MB for 20 columns."""

_FORMULA = r"^[=+\-@\t\r]"
"""What a spreadsheet may take for a formula."""


def write_csv(table: pa.Table, file: BinaryIO, *, spreadsheet_safe: bool) -> None:
    """Write `table` with a header, texts in quotes, nulls as nothing, line ends as newlines.

    Parameters
    ----------
    table : pyarrow.Table
    file : binary file
    spreadsheet_safe : bool
        Put a single quote before texts, names of columns included, that begin with one of
        ``= + - @`` or a tab or carriage return. Numbers stay.

    Raises
    ------
    SchemaError
        A column of lists, structs, bytes or durations.
    """
    columns = [_to_cells(table[name], name) for name in table.column_names]
    names = table.column_names
    if spreadsheet_safe:
        columns = [_disarm(one) if pa.types.is_large_string(one.type) else one for one in columns]
        names = _disarm(pa.array(names, pa.large_string())).to_pylist()
    if len(columns) == 1 and columns[0].null_count:
        # A null alone on its line would be a blank line, which readers leave out.
        columns = [columns[0].cast(pa.large_string()).fill_null("")]
    pyarrow.csv.write_csv(pa.Table.from_arrays(columns, names=names), file)


def write_jsonl(table: pa.Table, file: BinaryIO) -> None:
    """Write `table` with an object a line that has all columns, in order.

    Nulls and NaN are null; dates and times ISO 8601 texts, those with a zone in UTC; decimals
    texts, so that no digit is lost.

    Raises
    ------
    SchemaError
        An infinity; a column of bytes, durations or maps, or of lists or structs that hold
        anything but texts, numbers and bools.
    """
    columns = [_to_json(table[name], name) for name in table.column_names]
    plain = pa.Table.from_arrays(columns, names=table.column_names)
    for batch in plain.to_batches(max_chunksize=JSON_ROWS):
        lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in batch.to_pylist()]
        file.write("".join(f"{line}\n" for line in lines).encode())


def _to_cells(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    column = _decode(column)
    kind = column.type
    if pa.types.is_null(kind):
        return column.cast(pa.large_string())
    if pa.types.is_float16(kind):
        return column.cast(pa.float32())
    if _is_flat(kind) or pa.types.is_timestamp(kind):
        return column
    raise _no_form(name, kind, "CSV")


def _disarm(texts: Any) -> Any:
    is_formula = pc.match_substring_regex(texts, _FORMULA)
    mark, nothing = pa.scalar("'", pa.large_string()), pa.scalar("", pa.large_string())
    quoted = pc.binary_join_element_wise(mark, texts, nothing)
    return pc.if_else(is_formula, quoted, texts)


def _to_json(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    column = _decode(column)
    kind = column.type
    if pa.types.is_floating(kind):
        if pc.any(pc.is_inf(column.cast(pa.float64()))).as_py():
            raise _no_infinity(name)
        wide = column.cast(pa.float64())
        return pc.if_else(pc.is_nan(wide), pa.scalar(None, pa.float64()), wide)
    if pa.types.is_timestamp(kind):
        zone = "" if kind.tz is None else "Z"
        utc = column if kind.tz is None else column.cast(pa.timestamp(kind.unit, "UTC"))
        return pc.strftime(utc, format=f"%Y-%m-%dT%H:%M:%S{zone}")
    if pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.large_string())
    if pa.types.is_nested(kind) and _is_plain(kind):
        finite = [_without_nan(value, name) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(finite, kind)])
    if _is_flat(kind) or pa.types.is_null(kind):
        return column
    raise _no_form(name, kind, "JSON")


def _decode(column: pa.ChunkedArray) -> pa.ChunkedArray:
    is_coded = pa.types.is_dictionary(column.type)
    return column.cast(column.type.value_type) if is_coded else column


_FLAT: tuple[Callable[[pa.DataType], bool], ...] = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_large_string,
    pa.types.is_date,
    pa.types.is_time,
)


def _is_flat(kind: pa.DataType) -> bool:
    return any(test(kind) for test in _FLAT)


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _is_plain(kind.value_type)
    if pa.types.is_struct(kind):
        return all(_is_plain(one.type) for one in kind)
    return any(test(kind) for test in (*_FLAT[:3], pa.types.is_large_string, pa.types.is_null))


def _without_nan(value: Any, name: str) -> Any:
    if isinstance(value, float):
        if math.isinf(value):
            raise _no_infinity(name)
        return None if math.isnan(value) else value
    if isinstance(value, list):
        return [_without_nan(item, name) for item in value]
    if isinstance(value, dict):
        return {key: _without_nan(item, name) for key, item in value.items()}
    return value


def _no_infinity(name: str) -> SchemaError:
    return SchemaError(
        f"column {name!r} holds an infinity, which JSON has not; replace it in the function, or "
        "write Parquet",
        column=name,
    )


def _no_form(name: str, kind: pa.DataType, what: str) -> SchemaError:
    return SchemaError(
        f"column {name!r} is {kind}, which has no form in {what} that reads back; convert it in "
        "the function, e.g. to text, or write Parquet",
        column=name,
    )
