"""The formats that tables are written in: Parquet, CSV, JSON lines, Arrow IPC.

It knows nothing of directories and chunks. Text formats have rules of their own in `write_text`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from taskinity_data.errors import PlanError, SchemaError, suggest
from taskinity_data.records.tables import tell_of_own
from taskinity_data.records.write_text import write_csv, write_jsonl

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["FORMATS", "Format", "check_format"]

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
    spreadsheet_safe : bool
    """

    name: str
    compression: str
    spreadsheet_safe: bool

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
            self._write(tell_of_own(table) if self.is_typed else table, file)
        except pa.ArrowNotImplementedError as error:
            kinds = ", ".join(f"{one.name!r} ({one.type})" for one in table.schema)
            raise SchemaError(
                f"{self.name} has no form for a column's type: {error}; convert it in the "
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
            write_csv(table, file, spreadsheet_safe=self.spreadsheet_safe)
        else:
            write_jsonl(table, file)

    def read(self, file: pa.NativeFile) -> pa.Table:
        """The table of a file that `write` wrote, for formats whose files carry types."""
        if self.name == "parquet":
            with pq.ParquetFile(file) as opened:
                return opened.read()
        with pa.ipc.open_file(file) as reader:
            return reader.read_all()


def check_format(name: Any, compression: Any, *, spreadsheet_safe: bool) -> Format:
    """The format of these options.

    Raises
    ------
    PlanError
        An unknown format, a compression that the format has not, an option that means nothing.
    """
    if name not in FORMATS:
        raise PlanError(
            f"output_format={name!r}: files are written as {', '.join(FORMATS)}."
            f"{suggest(str(name), FORMATS)}"
        )
    known = _COMPRESSIONS[name]
    codec = known[0] if compression is None else compression
    if codec not in known:
        raise PlanError(
            f"output_compression={compression!r}: {name} files are written with {', '.join(known)}."
            f"{suggest(str(compression), known)}"
        )
    if spreadsheet_safe and name != "csv":
        raise PlanError(f"spreadsheet_safe=True means nothing for {name}; leave it out")
    return Format(name, codec, spreadsheet_safe)
