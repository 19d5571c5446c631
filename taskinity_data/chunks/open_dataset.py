"""Open a source: read its metadata and a small sample, and return a `Dataset`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from taskinity_data.chunks.cut import parse_chunk_size
from taskinity_data.chunks.dataset import Dataset, Extent
from taskinity_data.chunks.open_files import Opening, open_sound
from taskinity_data.errors import PlanError, hides_frames
from taskinity_data.formats.registry import refuse_options
from taskinity_data.redact import hides_secrets
from taskinity_data.sources.compression.codecs import Compression
from taskinity_data.sources.find import find_files
from taskinity_data.sources.in_memory import is_in_memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.chunks.reader_keywords import ReaderKeywords
    from taskinity_data.sources.hive import HiveColumn

__all__ = ["Dataset", "Extent", "open_dataset"]


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
        a list of these in order; CSV and JSON may be compressed (gzip, bz2, xz, zstd, lz4, framed
        snappy, zip with one member); a pandas or polars DataFrame, an Arrow table or record batch,
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
        with which records that do not parse are in `Run.bad_lines`. JSON: ``encoding`` (UTF-8);
        JSON Lines: ``on_bad_lines`` too. Parquet: those of `pyarrow.parquet.read_table` that
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

    If one of several files can't be opened at all (no permission, a broken footer, a truncated
    gzip), `plan()`, `head()` and a run raise its error, unless the run has ``on_error="skip"``,
    ``"bisect"`` or a fallback: then that file is skipped. If none can be opened, or if files do not
    fit together, the error is raised here.

    Notes
    -----
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
    size = parse_chunk_size(chunk_size)
    if storage_options and (isinstance(source, Dataset) or is_in_memory(source)):
        raise PlanError("storage_options are for URLs, and this source is not one; leave them out")
    if isinstance(source, Dataset):
        refuse_options(
            "a Dataset, which is open already",
            {"filters": filters, "schema": schema, "format": format, **reader_options},
        )
        narrowed = source if columns is None else source.select(columns)
        return narrowed if size is None else replace(narrowed, chunk_size=size)
    if is_in_memory(source):
        refuse_options("a table in memory", {"schema": schema, "format": format, **reader_options})
        from taskinity_data.formats.memory import open_memory

        file, table_reader = open_memory(source, columns, filters)
        return Dataset((file,), table_reader, size)
    options: dict[str, Any] = {**reader_options}
    compression = Compression.parse(options.pop("compression", "infer"))
    files = find_files(source, storage_options)
    hive: tuple[HiveColumn, ...] = ()
    if files[0].hive:
        from taskinity_data.formats.hive_reader import rule_out
        from taskinity_data.sources.hive import find_hive_columns

        hive = find_hive_columns(files)
        files = rule_out(files, hive, filters)
    how = Opening(format, columns, filters, schema, compression, options)
    return Dataset(*open_sound(files, hive, how), size)
