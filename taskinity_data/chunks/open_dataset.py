"""Open a source: read its metadata and a small sample, and return a `Dataset`.

The names and types of its options are here too, for editors and type checkers.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, Unpack

from taskinity_data.chunks.cut import parse_chunk_size
from taskinity_data.chunks.dataset import Dataset, Extent
from taskinity_data.chunks.plan_limits import UNREADABLE, as_failure, refuse_failures
from taskinity_data.data_kinds import is_in_memory
from taskinity_data.errors import PlanError, hides_frames
from taskinity_data.formats.detect import (
    detect_conversions,
    detect_format,
    implied_options,
    peek_files,
)
from taskinity_data.formats.registry import check_file, open_files, refuse_options
from taskinity_data.machine import count_cores
from taskinity_data.redact import hides_secrets
from taskinity_data.sources.changed import explain_change
from taskinity_data.sources.codecs import Compression, parse_compression
from taskinity_data.sources.find import find_files

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from taskinity_data.errors import ReadError
    from taskinity_data.formats.reader import Reader
    from taskinity_data.sources.file import SourceFile
    from taskinity_data.sources.hive import HiveColumn

__all__ = [
    "Dataset",
    "DatasetKeywords",
    "Extent",
    "ReaderKeywords",
    "open_dataset",
    "open_source",
]


@hides_frames
@hides_secrets
def open_dataset(
    source: Any,
    *,
    format: str | None = None,  # noqa: A002 - the name that pandas' and Dask's users know
    columns: Sequence[str] | None = None,
    filters: Any = None,
    schema: Any = None,
    chunk_size: Any = "auto",
    storage_options: Mapping[str, Any] | None = None,
    **reader_options: Unpack[ReaderKeywords],
) -> Dataset:
    """Open `source` from its metadata and a small sample.

    Parameters
    ----------
    source : str, os.PathLike, list of them, DataFrame, or Arrow table
        A file, a directory (read recursively), a glob, a URL of any of them that fsspec supports,
        a list of these in order; CSV and JSON may be compressed (gzip, bz2, xz, zstd, lz4,
        zip with one member); a pandas or polars DataFrame, an Arrow table or record batch,
        written once as Arrow IPC; a `Dataset`, which is returned.
    format : {"csv", "jsonl", "json", "parquet", "arrow", "orc"} or None
        None: detected from suffix and content.
    columns : list of str or None
        Columns, in that order; None: all.
    filters : list of tuple, list of list of tuple, pyarrow.compute.Expression, or None
        Rows that pass, as in `pandas.read_parquet`.
    schema : None, "scan", pyarrow.Schema, or dict
        None: from a sample (CSV, JSON) or the files' own metadata (others). ``"scan"``: exact,
        reads all once. A schema, or types of some columns; CSV files may lack columns that it
        names, and their rows then have missing values.
    chunk_size : "auto", int or str
        Planned bytes (``64_000_000``, ``"64MiB"``) or rows (``"100_000 rows"``).
    storage_options : dict or None
        Options of the stores of URLs, passed to fsspec's file system of that protocol (``key``,
        ``secret``, ``endpoint_url``, ``anon``, ...). Secrets in them are never shown.
    **reader_options
        CSV: those of `pandas.read_csv`, with its names and meanings, except those that can't be
        honoured chunk by chunk; ``newlines_in_values=True``; and ``on_bad_lines="quarantine"``,
        with which records that do not parse are in `Run.bad_lines`. JSON: ``encoding`` (UTF-8).
        Parquet: those of `pyarrow.parquet.read_table` that
        choose types (``coerce_int96_timestamp_unit``, ``read_dictionary``, ``binary_type``,
        ``list_type``, ``arrow_extensions_enabled``). Other formats have none. CSV and JSON also
        have ``compression``: ``"infer"`` (from suffix and content), ``None`` (read as it is), a
        codec, or ``{"method": ..., "max_nbytes": ...}`` with a limit for the decompressed size.

    Returns
    -------
    Dataset

    Raises
    ------
    PlanError
        The source, the format, an option, a column or a filter is wrong: the message names it, and
        the next step.
    SourceNotFound
        There is no such file.
    ReadError
        A compressed file is truncated or damaged: `.start` is the byte of the file.

    Notes
    -----
    If one of several files can't be opened at all (no permission, a broken footer, a truncated
    gzip), `plan()`, `head()` and a run raise its error, unless the run has ``on_error="skip"``,
    ``"bisect"`` or a fallback: then that file is skipped. If none can be opened, or if files do not
    fit together, the error is raised here.

    A compressed file is decompressed here, once and as a stream, into a scratch file in the
    directory for temporary files (``TMPDIR``), which is removed with the last dataset, plan or
    chunk that refers to it. Offsets and sizes are then those of the text.

    Examples
    --------
    >>> import pandas as pd
    >>> dataset = open_dataset(pd.DataFrame({"a": [1, 2, 3]}), filters=[("a", ">", 1)])
    >>> dataset.head(1)
       a
    0  2
    """
    named = {"format": format, "columns": columns, "filters": filters, "schema": schema}
    named |= {"chunk_size": chunk_size, "storage_options": storage_options}
    return open_source(source, {**named, **reader_options})


def open_source(source: Any, options: Mapping[str, Any], *, caches_rows: bool = False) -> Dataset:
    """Open `source` as `open_dataset` does with `options`.

    If it `caches_rows`, those that are parsed for the schema are held for one run in this process.
    """
    options = dict(options)
    names = ("format", "columns", "filters", "schema", "storage_options")
    format_, columns, filters, schema, storage_options = (options.pop(x, None) for x in names)
    size = parse_chunk_size(options.pop("chunk_size", "auto"))
    if storage_options and (isinstance(source, Dataset) or is_in_memory(source)):
        raise PlanError("storage_options are for URLs, and this source is not one; leave them out")
    if isinstance(source, Dataset):
        refuse_options(
            "a Dataset, which is open already",
            {"filters": filters, "schema": schema, "format": format_, **options},
        )
        narrowed = source if columns is None else source.select(columns)
        return narrowed if size is None else replace(narrowed, chunk_size=size)
    if is_in_memory(source):
        refuse_options("a table in memory", {"schema": schema, "format": format_, **options})
        from taskinity_data.formats.memory import open_memory

        file, table_reader = open_memory(source, columns, filters)
        return Dataset((file,), table_reader, size)
    compression = parse_compression(options.pop("compression", "infer"))
    files = find_files(source, storage_options)
    hive: tuple[HiveColumn, ...] = ()
    if files[0].hive:
        from taskinity_data.formats.hive_reader import rule_out
        from taskinity_data.sources.hive import find_hive_columns

        hive = find_hive_columns(files)
        files = rule_out(files, hive, filters)
    how = _Opening(format_, columns, filters, schema, compression, options, caches_rows)
    return Dataset(*_open_sound(files, hive, how), size)


class _Opening(NamedTuple):
    """The options with which files are opened: see `open_dataset`."""

    format: str | None
    columns: Sequence[str] | None
    filters: Any
    schema: Any
    compression: Compression
    options: dict[str, Any]
    caches_rows: bool


def _open_sound(
    files: Sequence[SourceFile], hive: tuple[HiveColumn, ...], how: _Opening
) -> tuple[tuple[SourceFile, ...], Reader]:
    """Return `files`, those that can't be opened with their failure, and the others' reader.

    Files are opened one by one only if opening all of them together fails; raises `PlanError` or
    `ReadError` if none can be opened, or if those that can do not fit together.
    """
    sound = [file for file in files if file.failure is None]
    if not sound:
        refuse_failures(files)
    try:
        opened, reader = _open(sound, hive, how)
    except UNREADABLE:
        failures = _find_failures(sound, how) if len(sound) > 1 else {}
        if not 0 < len(failures) < len(set(sound)):
            raise
        files = [replace(file, failure=file.failure or failures.get(file)) for file in files]
        sound = [file for file in files if file.failure is None]
        opened, reader = _open(sound, hive, how)
    remaining = iter(opened)
    return tuple(next(remaining) if file.failure is None else file for file in files), reader


def _open(
    files: Sequence[SourceFile], hive: tuple[HiveColumn, ...], how: _Opening
) -> tuple[tuple[SourceFile, ...], Reader]:
    unpacked, format_ = _unpack(files, how)
    options = implied_options(unpacked, how.options)
    requested = (how.columns, how.filters, how.schema, options)
    reader = open_files(format_, unpacked, hive, *requested, caches_rows=how.caches_rows)
    return unpacked, reader


def _unpack(files: Sequence[SourceFile], how: _Opening) -> tuple[tuple[SourceFile, ...], str]:
    """Return `files`, those that are converted with their text, and the format of all."""
    method, max_nbytes = how.compression
    ends = peek_files(files, how.format, method)
    conversions = detect_conversions(files, ends, method, how.format, how.options)
    if any(conversions):
        from taskinity_data.sources.compression.unpack import unpack_files

        files = unpack_files(files, conversions, max_nbytes)
        ends = peek_files(files)
    format_ = detect_format(files, how.format, how.options, ends)
    if format_ == "json":
        from taskinity_data.sources.compression.unpack import unpack_arrays

        files = unpack_arrays(files)
    return tuple(files), format_


def _find_failures(
    files: Sequence[SourceFile], how: _Opening
) -> dict[SourceFile, PlanError | ReadError]:
    """Return the failures of those of `files` that can't be opened separately."""
    texts: list[SourceFile] = []  # references that keep decompressed files

    def check(file: SourceFile) -> PlanError | ReadError | None:
        try:
            with explain_change(file):
                (unpacked,), format_ = _unpack([file], how)
                texts.append(unpacked)
                check_file(format_, unpacked, implied_options([unpacked], how.options))
        except UNREADABLE as error:
            return as_failure(file, error)
        return None

    with ThreadPoolExecutor(count_cores(), "taskinity-look") as pool:
        failures = zip(files, pool.map(check, files), strict=True)
        return {file: failure for file, failure in failures if failure is not None}


class ReaderKeywords(TypedDict, total=False):
    """The options of `open_dataset` that depend on the format: of CSV, JSON and Parquet."""

    # Of CSV: those of pandas.read_csv that can be honoured chunk by chunk.
    sep: str
    delimiter: str | None
    header: int | Sequence[int] | Literal["infer"] | None
    names: Sequence[Hashable] | None
    index_col: Hashable | Sequence[Hashable] | Literal[False] | None
    usecols: Sequence[Hashable] | Callable[[Hashable], bool] | None
    dtype: Any
    engine: Literal["c"] | None
    true_values: Sequence[str] | None
    false_values: Sequence[str] | None
    skipinitialspace: bool
    skiprows: int | Sequence[int] | None
    nrows: int | None
    na_values: Any
    keep_default_na: bool
    na_filter: bool
    skip_blank_lines: bool
    parse_dates: bool | Sequence[Hashable] | None
    dayfirst: bool
    date_format: str | Mapping[Hashable, str] | None
    cache_dates: bool
    thousands: str | None
    decimal: str
    quotechar: str | None
    quoting: int
    doublequote: bool
    escapechar: str | None
    comment: str | None
    encoding: str | None
    encoding_errors: str | None
    dialect: Any
    on_bad_lines: Literal["error", "skip", "warn", "quarantine"]
    low_memory: bool
    memory_map: bool
    float_precision: Literal["round_trip"] | None
    dtype_backend: Literal["numpy_nullable", "pyarrow"]
    newlines_in_values: bool
    # Of CSV and JSON.
    compression: str | Mapping[str, Any] | None
    # Of Parquet: those of pyarrow.parquet.read_table that decide on types.
    arrow_extensions_enabled: bool
    binary_type: Any
    coerce_int96_timestamp_unit: str | None
    list_type: Any
    read_dictionary: Sequence[str] | str | None


class DatasetKeywords(ReaderKeywords, total=False):
    """The options of `open_dataset` that are not those of a run, too."""

    format: str | None
    columns: Sequence[str] | None
    filters: Any
    schema: Any
