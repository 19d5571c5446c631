"""The types of the columns of CSV files, from a sample of them or from all of them.

It asks pandas what it infers for slices, and leaves what follows from that to the schema.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from taskinity_data.formats.csv.columns import to_array
from taskinity_data.formats.csv.fast import (
    has_lone_return,
    has_wide_integers,
    parse_fast,
    split_first_rows,
)
from taskinity_data.formats.csv.pandas_parser import TooManyFields, parse_column, parse_text
from taskinity_data.formats.csv.records.scan import join_texts
from taskinity_data.formats.csv.records.texts import (
    Slice,
    decode_slice,
    gather,
    iter_slices,
    load_slice,
    nbytes_of,
)
from taskinity_data.formats.sampling import map_ahead, plan_slices, spread
from taskinity_data.formats.schema import (
    INT64_STOP,
    Column,
    ColumnFacts,
    freeze,
    is_proven_by,
    observe,
    text_column,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from taskinity_data.formats.csv.head import Head
    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.sources.file import SourceFile
    from taskinity_data.sources.row_cache import RowCache

__all__ = ["infer_columns", "iter_texts"]

# The first rows mostly settle a column's type; where they don't, all of the slice is read as texts.
SETTLING_ROWS = 200
SMALL_NBYTES = 1 << 20
"""Of less Arrow reads all texts in the time in which pandas reads those of 200 rows."""


def infer_columns(
    files: Sequence[tuple[SourceFile, Head]],
    labels: Sequence[Hashable],
    options: CsvOptions,
    *,
    scan: bool,
    row_cache: RowCache | None = None,
) -> dict[Hashable, Column]:
    """Return the columns `labels` as pandas would infer them over what is read of `files`.

    Parameters
    ----------
    scan : bool
        Read all; else only where all is at most `SCAN_NBYTES`.
    row_cache : RowCache, optional
        Gets the rows, if all are read.

    Raises
    ------
    PlanError
        The answer would depend on the order of values.
    """
    if not labels:
        return {}
    slices = plan_slices(nbytes_of(files), len(files), scan=scan)
    sampled = files if slices.is_whole else spread(files)
    is_cached = row_cache is not None and slices.is_whole
    work = iter_slices(sampled, options, slices, caches_rows=is_cached)
    observed = dict.fromkeys(labels, ColumnFacts())
    proven = {label: len(sampled) == len(files) for label in labels}

    def look(batch: list[Slice]) -> list[tuple[bool, dict[Hashable, tuple[ColumnFacts, bool]]]]:
        batch = [load_slice(part, options) for part in batch]
        together = observe_together(batch, labels, options, row_cache) if len(batch) > 1 else None
        if together is not None:
            return [(batch[0].is_first, together)]
        return [(part.is_first, observe_slice(part, labels, options, row_cache)) for part in batch]

    for results in map_ahead(look, gather(work, slices)):
        for is_first, columns in results:
            for label, (shown, settles) in columns.items():
                observed[label] |= shown
                if is_first:
                    proven[label] &= settles
    backend = options.dtype_backend
    if backend is not None:
        from taskinity_data.formats.csv.column_types.nullable import freeze_nullable

        return {
            label: freeze_nullable(label, observed[label], backend, is_proven=proven[label])
            for label in labels
        }
    unsigned = [label for label in labels if observed[label] == {"integer", "zero", "big"}]
    for texts, _ in iter_texts(files, options, scan=scan) if unsigned else ():
        for label in unsigned:
            # With an integer beyond int64, pandas takes -0 for a negative number.
            is_negative = texts[label].str.contains("-", regex=False).any()
            observed[label] |= {"negative"} if is_negative else set()
    return {label: freeze(label, observed[label], is_proven=proven[label]) for label in labels}


def iter_texts(
    files: Sequence[tuple[SourceFile, Head]], options: CsvOptions, *, scan: bool
) -> Iterator[tuple[pd.DataFrame, bool]]:
    """Yield the same slices as texts, and of each whether all before it have come, too.

    A slice that does not parse is passed over: reading it reports the error.
    """
    slices = plan_slices(nbytes_of(files), len(files), scan=scan)
    is_whole = slices.is_whole
    work = iter_slices(files if is_whole else spread(files), options, slices)

    def look(part: Slice) -> tuple[pd.DataFrame | None, bool]:
        part = load_slice(part, options)
        try:
            decoded = decode_slice(part, options)
            return parse_tolerantly(decoded, part.labels, options, str), part.is_first
        except (ValueError, OverflowError):
            return None, part.is_first

    is_gapless = True
    for position, (texts, is_first) in enumerate(map_ahead(look, work)):
        is_gapless = is_gapless and is_whole if position else is_first
        if texts is not None:
            yield texts, is_gapless


def observe_together(
    batch: Sequence[Slice],
    labels: Sequence[Hashable],
    options: CsvOptions,
    row_cache: RowCache | None,
) -> dict[Hashable, tuple[ColumnFacts, bool]] | None:
    """Return `observe_slice` of a text made of all, None if it could differ from each alone.

    It does not differ for integers of int64 and bools, which all values are then, nor for floats
    and texts among which no integer is beyond int64.
    """
    is_strict = options.encoding_errors == "strict" and not options.skips_bad_lines
    if not is_strict or options.dtype_backend is not None:
        return None
    all_labels = batch[0].labels
    try:
        joined = join_texts([decode_slice(part, options) for part in batch], options.dialect)
        if joined is None:
            return None
        frame = parse_text(joined, all_labels, options)
        if all(is_plain(frame[label], options) for label in labels):
            pieces = tuple(piece for part in batch for piece in part.pieces)
            part = batch[0]._replace(pieces=pieces, data=joined)
            return observe_frame(frame, part, labels, options, row_cache)
    except (ValueError, OverflowError, pd.errors.ParserError, TooManyFields):
        pass
    return None


def is_plain(values: pd.Series, options: CsvOptions) -> bool:
    """Return whether no part of a column's values alone could be of another kind."""
    if values.dtype.kind == "f":
        floats = values.to_numpy()
        low, high = np.fmin.reduce(floats, initial=0.0), np.fmax.reduce(floats, initial=0.0)
        return bool(max(-low, high) < INT64_STOP)
    if isinstance(values.dtype, pd.StringDtype):
        return not has_wide_integers(values, options)
    return values.dtype.kind in "ib" or pd.api.types.infer_dtype(values) == "boolean"


def observe_slice(
    part: Slice, labels: Sequence[Hashable], options: CsvOptions, row_cache: RowCache | None
) -> dict[Hashable, tuple[ColumnFacts, bool]]:
    """Return what a slice shows of each column, and whether its first values settle the type.

    Rows with too many fields are passed over here, since reading reports them.
    """
    try:
        decoded = decode_slice(part, options)
        try:
            frame = parse_tolerantly(decoded, part.labels, options, None)
        except OverflowError:
            # Perhaps in a column that is not read.
            dtype = dict.fromkeys([label for label in part.labels if label not in labels], str)
            frame = parse_tolerantly(decoded, part.labels, options, dtype)
        return observe_frame(frame, part._replace(data=decoded), labels, options, row_cache)
    except (ValueError, OverflowError) as error:
        if isinstance(error, OverflowError) and options.dtype_backend is not None:
            from taskinity_data.formats.csv.column_types.nullable import beyond_int64

            raise beyond_int64("a column", options.dtype_backend) from error
        # Not parsed, not decoded: reading this range reports what and where.
        return {}


def observe_frame(
    frame: pd.DataFrame,
    part: Slice,
    labels: Sequence[Hashable],
    options: CsvOptions,
    row_cache: RowCache | None,
) -> dict[Hashable, tuple[ColumnFacts, bool]]:
    """Return what `frame`, the parsed `part`, shows of each column: see `observe_slice`."""
    values = dict(frame.items())
    plain: dict[Hashable, None] = {}
    if row_cache is not None and part.pieces and not has_lone_return(part.data):
        # What others are depends on other slices.
        labelled = (label for label in row_cache.labels if is_plain(values[label], options))
        plain = dict.fromkeys(labelled)
        table = pa.table({str(label): to_array(values[label]) for label in plain})
        row_cache.add(table, part.pieces)
    if options.dtype_backend is None:
        shown = {label: observe(values[label]) for label in labels}
    else:
        from taskinity_data.formats.csv.column_types.nullable import observe_nullable

        shown = {label: observe_nullable(values[label]) for label in labels}
    for label in labels:
        may_be_wide = "text" in shown[label] and label not in plain
        is_wide = may_be_wide and has_wide_integers(values[label], options)
        if is_wide and are_numbers(values[label], options):
            shown[label] = shown[label] - {"text"} | {"wide text"}
    settled = dict.fromkeys(labels, False)
    unsure = [label for label in labels if values[label].dtype.kind not in "iu"]
    if part.is_first and unsure:
        thousands = options.per_chunk.get("thousands") or ""
        for texts in iter_first_texts(part, unsure, options):
            settled |= {label: is_proven_by(texts[label], thousands) for label in unsure}
            unsure = [label for label in unsure if not settled[label]]
            if not unsure:
                break
    return {label: (shown[label], settled[label]) for label in labels}


def iter_first_texts(part: Slice, labels: Sequence[Hashable], options: CsvOptions) -> Iterator[Any]:
    """Yield the first texts of each of `labels`, those of more rows each time, at last of all."""
    yield split_first_rows(part.data, part.labels, options)
    if len(part.data) > SMALL_NBYTES:
        yield parse_tolerantly(part.data, part.labels, options, str, nrows=SETTLING_ROWS)
    columns = [text_column(label) for label in labels]
    table = parse_fast(part.data, part.labels, columns, options)
    if table is None:
        yield parse_tolerantly(part.data, part.labels, options, str)
    else:
        yield dict(
            zip(labels, (texts.unique().to_pylist() for texts in table.columns), strict=True)
        )


def are_numbers(texts: pd.Series, options: CsvOptions) -> bool:
    """Return whether pandas reads `texts` as floats; a parse of that column alone."""
    names = ("decimal", "thousands", "na_values", "keep_default_na", "na_filter")
    try:
        parse_column(texts.fillna(""), options, names, dtype=np.float64)
    except (ValueError, OverflowError):
        return False
    return True


def parse_tolerantly(
    data: bytes,
    labels: Sequence[Hashable],
    options: CsvOptions,
    dtype: Any,
    nrows: int | None = None,
) -> pd.DataFrame:
    try:
        return parse_text(data, labels, options, dtype=dtype, nrows=nrows)
    except (pd.errors.ParserError, TooManyFields):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.ParserWarning)
            keywords = {
                "dtype": dtype,
                "on_bad_lines": "skip",
                "index_col": False,
                "nrows": nrows,
            }
            try:
                return parse_text(data, labels, options, **keywords)
            except pd.errors.ParserError:
                from taskinity_data.formats.csv.messages import record_ends

                # A quote that is never closed: the last record holds all that follows it.
                ends = record_ends(data, options)
                return parse_text(
                    data[: ends[-2] if len(ends) > 1 else 0], labels, options, **keywords
                )
