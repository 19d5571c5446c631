"""Write tables as Parquet, CSV, JSON Lines or Arrow IPC."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from taskinity_data.errors import PlanError, SchemaError
from taskinity_data.output.to_arrow import keep_own_metadata
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

__all__ = [
    "FORMATS",
    "Format",
    "check_format",
    "write_csv",
    "write_jsonl",
]

JSON_ROWS = 10_000
"""Rows that are Python objects at a time: about 10 MB for 20 columns."""


def write_csv(table: pa.Table, file: BinaryIO) -> None:
    """Write `table` with a header, texts in quotes, nulls as nothing, line ends as newlines.

    Parameters
    ----------
    table : pyarrow.Table
    file : binary file

    Raises
    ------
    SchemaError
        A column of lists, structs, bytes or durations.
    """
    columns = [_to_cells(table[name], name) for name in table.column_names]
    if len(columns) == 1 and columns[0].null_count:
        # A null alone on its line would be a blank line, which readers leave out.
        columns = [columns[0].cast(pa.large_string()).fill_null("")]
    pyarrow.csv.write_csv(pa.Table.from_arrays(columns, names=table.column_names), file)


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


def _to_json(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return `column` with values that JSON can represent: NaN as null, times as ISO 8601 strings.

    Raises `PlanError` for infinity, and for types without a JSON form.
    """
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
        return all(_is_plain(field.type) for field in kind)
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


def _no_form(name: str, kind: pa.DataType, format_name: str) -> SchemaError:
    return SchemaError(
        f"column {name!r} is {kind}, which has no form in {format_name} that reads back; convert "
        "it in the function, e.g. to text, or write Parquet",
        column=name,
    )


FORMATS = ("parquet", "csv", "jsonl", "arrow")

_COMPRESSIONS = {
    "parquet": ("snappy", "zstd", "gzip", "lz4", "brotli", "none"),
    "arrow": ("none", "zstd", "lz4"),
    "csv": ("none",),
    "jsonl": ("none",),
}
"""The first of each is the default: what pandas and pyarrow take."""


@dataclass(frozen=True)
class Format:
    """How a table becomes a file's bytes; `check_format` makes one.

    Attributes
    ----------
    name : str
        One of `FORMATS`; the suffix of files too.
    compression : str
    """

    name: str
    compression: str

    @property
    def is_typed(self) -> bool:
        """Whether files carry columns' types."""
        return self.name in ("parquet", "arrow")

    def write(self, table: pa.Table, file: BinaryIO) -> None:
        """Write `table`, all of it, to `file`.

        Raises
        ------
        SchemaError
            A type or value that the format has no form for.
        """
        try:
            self._write(keep_own_metadata(table) if self.is_typed else table, file)
        except pa.ArrowNotImplementedError as error:
            kinds = ", ".join(f"{field.name!r} ({field.type})" for field in table.schema)
            raise SchemaError(
                f"{self.name} does not support the type of a column: {error}; convert it in the "
                f"function, e.g. .astype(str); the columns are {kinds}"
            ) from error

    def _write(self, table: pa.Table, file: BinaryIO) -> None:
        if self.name == "parquet":
            pq.write_table(table, file, compression=self.compression)
        elif self.name == "arrow":
            codec = None if self.compression == "none" else self.compression
            options = pa.ipc.IpcWriteOptions(compression=codec, unify_dictionaries=True)
            with pa.ipc.new_file(file, table.schema, options=options) as writer:
                writer.write_table(table)
        elif self.name == "csv":
            write_csv(table, file)
        else:
            write_jsonl(table, file)

    def read(self, file: pa.NativeFile) -> pa.Table:
        """Return the table of a file that `write` wrote, for formats whose files carry types."""
        if self.name == "parquet":
            with pq.ParquetFile(file) as opened:
                return opened.read()
        with pa.ipc.open_file(file) as reader:
            return reader.read_all()


def check_format(name: Any, compression: Any) -> Format:
    """Return the format of these options.

    Raises
    ------
    PlanError
        An unknown format, or a compression that the format has not.
    """
    if name not in FORMATS:
        raise PlanError(
            f"output_format={name!r}: files are written as {', '.join(FORMATS)}."
            f"{suggest(str(name), FORMATS)}"
        )
    codecs = _COMPRESSIONS[name]
    codec = codecs[0] if compression is None else compression
    if codec not in codecs:
        raise PlanError(
            f"output_compression={compression!r}: {name} files are written with "
            f"{', '.join(codecs)}."
            f"{suggest(str(compression), codecs)}"
        )
    return Format(name, codec)
