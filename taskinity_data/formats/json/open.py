"""JSON Lines and JSON arrays of records as chunks.

Put together, the chunks' rows are ``[json.loads(line) for line in file]`` without blank lines, or
``json.load(file)``, as an Arrow table of the dataset's schema: a key that a record lacks is null.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from taskinity_data.errors import PlanError
from taskinity_data.formats.filters import parse_filters
from taskinity_data.formats.json.cuts import find_start
from taskinity_data.formats.json.reader import JsonReader
from taskinity_data.formats.json.sample import NOTHING, freeze, infer_columns
from taskinity_data.formats.json.types import named_types
from taskinity_data.formats.reader import check_columns
from taskinity_data.sources.read import map_files
from taskinity_data.sources.row_cache import RowCache
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.sources.file import SourceFile

__all__ = ["check_file", "open_array", "open_lines"]


def open_records(
    format_: str,
    files: Sequence[SourceFile],
    columns: Sequence[str] | None,
    filters: Any,
    schema: Any,
    options: Mapping[str, Any],
    *,
    caches_rows: bool = False,
) -> JsonReader:
    """Return the reader of a dataset of files of JSON Lines, which arrays were converted to.

    Parameters
    ----------
    format_ : {"jsonl", "json"}
        What the files were.
    files : sequence of SourceFile
        At least one; their rows follow one another.
    columns : sequence of str, or None for all
    filters : see `parse_filters`
        Rows that don't pass are counted as filtered.
    schema : None, "scan", pyarrow.Schema, or mapping of column to dtype
        A schema: these columns alone, in this order, and nothing is read for it. What a mapping
        does not name is inferred. What either names need not be there.
    options : mapping
        ``encoding``, which must be UTF-8.
    caches_rows : bool
        Whether rows that are parsed for the schema are held for a run in this process.

    Raises
    ------
    PlanError
        An option, column, filter, type or file that can't be honoured, each with its name.

    Notes
    -----
    Reads all up to 64 MB for the schema, else up to 256 kB at head, middle and tail of up to 300
    files.
    """
    check_options(options)
    named = named_types(schema)
    list(map_files(find_start, files))
    is_complete = isinstance(schema, pa.Schema) and len(schema) > 0
    sample, cache = NOTHING, RowCache() if caches_rows else None
    if not is_complete:
        sample = infer_columns(files, scan=isinstance(schema, str), row_cache=cache)
    if not sample.types and not named:
        if sample.trouble:
            raise PlanError(f"{sample.trouble}; repair the file")
        if sample.rows:
            raise PlanError(
                f"{files[0].path}: none of {sample.rows:,} records has a key, and rows without "
                "columns can't be counted; leave the file out"
            )
    if columns is not None and not list(columns):
        raise PlanError("columns=[]: select at least one column")
    is_chosen = columns is not None and not isinstance(columns, str)
    all_columns = freeze(sample, named, columns if is_chosen and filters is None else None)
    names = check_columns(columns, all_columns.types, all_columns.types.names)
    return JsonReader(
        format=format_,
        all_columns=all_columns,
        columns=tuple(names),
        is_open=is_complete or not sample.types.keys() <= set(names),
        filters=parse_filters(filters, all_columns.types),
        row_cache=cache,
    )


def check_options(options: Mapping[str, Any]) -> None:
    """Raise `PlanError` for what JSON has no use for."""
    names = ["encoding", "columns", "filters", "schema", "chunk_size"]
    for name, value in options.items():
        if value is None:
            continue
        if name != "encoding":
            raise PlanError(
                f"{name}={value!r} is not an option for JSON; leave it out.{suggest(name, names)}"
            )
        if str(value).lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig"):
            raise PlanError(
                f"encoding={value!r}: JSON is UTF-8; convert the file: "
                f"iconv -f {value} -t UTF-8 FILE > NEW"
            )


def check_file(file: SourceFile, _options: Any) -> None:
    """Raise what is wrong with the beginning of `file`: it is of another format."""
    find_start(file)


open_lines, open_array = partial(open_records, "jsonl"), partial(open_records, "json")
