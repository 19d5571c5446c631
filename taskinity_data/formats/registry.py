"""The file formats that are read: a record for each, from which everything else is derived.

A new format is a module in this package and a record here. The module is loaded when a file of the
format is opened; ``docs/formats.md`` says what is read of which format.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from taskinity_data.formats.reader import Reader
    from taskinity_data.formats.table_access import TableAccess
    from taskinity_data.sources.file import SourceFile
    from taskinity_data.sources.hive import HiveColumn

__all__ = [
    "FORMATS",
    "FileFormat",
    "check_file",
    "format_of_suffix",
    "open_files",
    "refuse_options",
]


class FileFormat(NamedTuple):
    """A file format.

    Attributes
    ----------
    title : str
        Its name in messages.
    module : str
        Below ``taskinity_data.formats``.
    opener : str
        Of text, ``opener(files, columns, filters, schema, options)`` of the module gives a reader,
        and ``check_file(file, options)`` of it raises what is wrong with one file. Of tables, the
        module's `TableAccess`.
    suffixes : tuple of str
    marks : tuple of bytes
        How its files may begin; none for text. Text may be compressed, and its hive columns are
        added to the reader.
    takes_options : bool
        Whether it has reader options.
    """

    title: str
    module: str
    opener: str
    suffixes: tuple[str, ...]
    marks: tuple[bytes, ...] = ()
    takes_options: bool = True

    @property
    def is_text(self) -> bool:
        """Whether its files are text, rather than tables."""
        return not self.marks

    def load(self) -> ModuleType:
        """Return the module."""
        return import_module(f"taskinity_data.formats.{self.module}")

    def access(self, options: Mapping[str, Any]) -> TableAccess:
        """Return how files of tables are looked into; `PlanError` where an option is wrong."""
        if not self.takes_options:
            refuse_options(self.title, options)
        access: type[TableAccess] = getattr(self.load(), self.opener)
        return access.of(options)


FORMATS = {
    "csv": FileFormat("CSV", "csv.open", "open_csv", (".csv", ".tsv", ".tab")),
    "jsonl": FileFormat("JSON Lines", "json.open", "open_lines", (".jsonl", ".ndjson")),
    "json": FileFormat("JSON", "json.open", "open_array", (".json",)),
    "parquet": FileFormat(
        "Parquet", "parquet.reader", "ParquetAccess", (".parquet", ".pq"), (b"PAR1", b"PARE")
    ),
    "arrow": FileFormat(
        "Arrow IPC",
        "arrow_ipc",
        "IpcAccess",
        (".arrow", ".arrows", ".feather", ".ipc"),
        (b"ARROW1\0\0", b"\xff\xff\xff\xff", b"FEA1"),
        takes_options=False,
    ),
    "orc": FileFormat("ORC", "orc.reader", "OrcAccess", (".orc",), (b"ORC",), takes_options=False),
}
"""By the name that ``format=`` has. ``"arrow"``: Arrow's IPC, as a file (Feather) or a stream;
``"jsonl"``: an object a line."""


def format_of_suffix(suffix: str) -> str | None:
    """Return the name of the format that files with `suffix`, in lower case, are in."""
    return next((name for name, record in FORMATS.items() if suffix in record.suffixes), None)


def check_file(format_: str, file: SourceFile, options: Mapping[str, Any]) -> None:
    """Raise what is wrong with `file` of `format_` alone, whatever the other files are.

    Raises
    ------
    PlanError, ReadError
    """
    record = FORMATS[format_]
    if record.is_text:
        record.load().check_file(file, options)
    else:
        record.access(options).open_layout(file)


def open_files(
    format_: str,
    files: Sequence[SourceFile],
    hive: tuple[HiveColumn, ...],
    columns: Sequence[str] | None,
    filters: Any,
    schema: Any,
    options: Mapping[str, Any],
    caches_rows: bool,
) -> Reader:
    """Return the reader of `files`, all of `format_`, with `hive` columns; see `open_source`.

    Raises
    ------
    PlanError
        An option has no effect on the format, or its reader refuses something.
    """
    record = FORMATS[format_]
    if not record.is_text:
        from taskinity_data.formats.open_tables import open_tables

        return open_tables(record.access(options), files, columns, filters, schema, hive)
    open_text = getattr(record.load(), record.opener)
    if hive:
        from taskinity_data.formats.hive_reader import add_hive_columns

        whole = open_text(files, None, None, schema, options)
        return add_hive_columns(whole, files[0].path, hive, columns, filters)
    reader: Reader = open_text(files, columns, filters, schema, options, caches_rows=caches_rows)
    return reader


def refuse_options(subject: str, options: Mapping[str, Any]) -> None:
    """Raise `PlanError` if any option has a value."""
    names = [name for name, value in options.items() if value is not None]
    if names:
        value = options[names[0]]
        raise PlanError(f"{names[0]}={value!r} has no effect on {subject}; leave it out")
