"""Which module opens files of a format, loaded when it is needed.

It knows nothing of what stands in the files; `detect` tells which format they are in.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.errors import PlanError
from taskinity_data.formats.detect import NAMES, implied_options
from taskinity_data.formats.hive_reader import add_hive_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.formats.reader import Reader
    from taskinity_data.sources.file import SourceFile
    from taskinity_data.sources.hive import HiveColumn

__all__ = ["check_file", "open_files", "refuse_options"]


class _Opener(NamedTuple):
    """``module.function(files, columns, filters, schema, options)`` gives a reader.

    The hive columns come before the options where the reader knows them.
    """

    module: str
    function: str
    takes_options: bool = False
    knows_hive: bool = False


_OPENERS = {
    "csv": _Opener("csv.open", "open_csv", takes_options=True),
    "jsonl": _Opener("json.open_lines", "open_jsonl", takes_options=True),
    "json": _Opener("json.open_array", "open_json", takes_options=True),
    "parquet": _Opener("parquet.reader", "open_parquet", takes_options=True, knows_hive=True),
    "arrow": _Opener("arrow_ipc", "open_ipc", knows_hive=True),
    "orc": _Opener("orc", "open_orc", knows_hive=True),
}


def check_file(format_: str, file: SourceFile, options: Mapping[str, Any]) -> None:
    """Raise what is wrong with `file` of `format_` alone, whatever the other files are.

    Raises
    ------
    PlanError, ReadError
    """
    module = import_module(f"taskinity_data.formats.{_OPENERS[format_].module}")
    module.check_file(file, implied_options([file], options))


def open_files(
    format_: str,
    files: Sequence[SourceFile],
    hive: tuple[HiveColumn, ...],
    columns: Sequence[str] | None,
    filters: Any,
    schema: Any,
    options: Mapping[str, Any],
) -> Reader:
    """The reader of `files`, all of `format_`, with `hive` columns; the rest as in `open_dataset`.

    Raises
    ------
    PlanError
        An option means nothing for the format, or its reader refuses something.
    """
    opener = _OPENERS[format_]
    if not opener.takes_options:
        refuse_options(NAMES[format_], options)
    open_them = getattr(import_module(f"taskinity_data.formats.{opener.module}"), opener.function)
    options = implied_options(files, options)
    reader: Reader
    if opener.knows_hive:
        reader = open_them(files, columns, filters, schema, hive, options)
    elif hive:
        whole = open_them(files, None, None, schema, options)
        reader = add_hive_columns(whole, files[0].path, hive, columns, filters)
    else:
        reader = open_them(files, columns, filters, schema, options)
    return reader


def refuse_options(what: str, options: Mapping[str, Any]) -> None:
    """Raise `PlanError` where any option has a value."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise PlanError(f"{given[0]}={options[given[0]]!r} means nothing for {what}; leave it out")
