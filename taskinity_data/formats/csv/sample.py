"""The types of the columns of CSV files, from a sample of them or from all of them.

It asks pandas what it infers for slices, and leaves what follows from that to the schema.
"""

from __future__ import annotations

import csv
import io
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from taskinity_data.formats.csv.encodings import to_utf8, unit_nbytes
from taskinity_data.formats.csv.fast import (
    has_wide_integers,
    parse_fast,
    split_first_rows,
)
from taskinity_data.formats.csv.pandas_parser import TooManyFields, parse_text
from taskinity_data.formats.csv.records.encoded import codec_of, open_marks
from taskinity_data.formats.csv.records.rows import find_row_grains
from taskinity_data.formats.csv.records.scan import join_texts, trim_to_records
from taskinity_data.formats.sampling import (
    find_ranges,
    map_ahead,
    plan_slices,
    spread,
)
from taskinity_data.formats.schema import (
    INT64_STOP,
    Column,
    ColumnFacts,
    freeze,
    is_proven_by,
    observe,
    text_column,
)
from taskinity_data.sources.read import read_range

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from taskinity_data.formats.csv.head import Head
    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.formats.csv.records.cuts import Grain
    from taskinity_data.formats.sampling import Slices
    from taskinity_data.sources.file import SourceFile

__all__ = ["infer_columns", "iter_texts", "nbytes_of"]

# Slices of a sample that are looked at together: so few that two threads have as much to do.
MAX_BATCH_NBYTES = 1_000_000

# The first rows mostly settle a column's type; where they don't, all of the slice is read as texts.
SETTLING_ROWS = 200
SMALL_NBYTES = 1 << 20
"""Of less Arrow reads all texts in the time in which pandas reads those of 200 rows."""


class Slice(NamedTuple):
    """Records of one file, in its codec, and whether its first are among them."""

    data: bytes
    codec: str
    labels: tuple[Hashable, ...]
    is_first: bool


def infer_columns(
    files: Sequence[tuple[SourceFile, Head]],
    labels: Sequence[Hashable],
    options: CsvOptions,
    *,
    scan: bool,
) -> dict[Hashable, Column]:
    """Return the columns `labels` as pandas would infer them over what is read of `files`.

    Parameters
    ----------
    scan : bool
        Read all; else only where all is at most `SCAN_NBYTES`.

    Raises
    ------
    PlanError
        The answer would depend on the order of values.
    """
    if not labels:
        return {}
    slices = plan_slices(nbytes_of(files), len(files), scan=scan)
    sampled = files if slices.is_whole else spread(files)
    work = iter_slices(sampled, options, slices)
    observed = dict.fromkeys(labels, ColumnFacts())
    proven = {label: len(sampled) == len(files) for label in labels}

    def look(batch: list[Slice]) -> list[tuple[bool, dict[Hashable, tuple[ColumnFacts, bool]]]]:
        together = observe_together(batch, labels, options) if len(batch) > 1 else None
        if together is not None:
            return [(batch[0].is_first, together)]
        return [(part.is_first, observe_slice(part, labels, options)) for part in batch]

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
    return {label: freeze(label, observed[label], is_proven=proven[label]) for label in labels}


def iter_slices(
    files: Sequence[tuple[SourceFile, Head]], options: CsvOptions, slices: Slices
) -> Iterator[Slice]:
    """Yield what is looked at of `files`."""
    for file, head in files:
        yield from find_slices(file, head, options, slices)


def nbytes_of(files: Sequence[tuple[SourceFile, Head]]) -> int:
    """Return the bytes of `files` that may be read."""
    return sum(stop_of(file, head) for file, head in files)


def stop_of(file: SourceFile, head: Head) -> int:
    """Return the byte behind the last row of `file`."""
    return file.nbytes if head.rows is None else head.rows.stop


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


def decode_slice(part: Slice, options: CsvOptions) -> bytes:
    decoded = to_utf8(part.data, part.codec, options.encoding_errors)
    if not options.skips_bad_lines:
        return decoded
    from taskinity_data.formats.csv.bad_lines import skip_bad_start

    return skip_bad_start(decoded, part.labels, options)


def find_slices(
    file: SourceFile, head: Head, options: CsvOptions, slices: Slices
) -> Iterator[Slice]:
    """Yield what is looked at of a file, in whole records: see `find_ranges`."""
    codec, _ = codec_of(file, options)
    start, stop = head.data_start, stop_of(file, head)
    dialect = options.dialect
    has_holes = head.rows is not None and bool(head.rows.holes)
    # Where any of these may stand before the window, nothing tells whether a quote in it opens.
    is_blind = dialect.escapechar is not None or dialect.comment is not None or has_holes

    def cut(nbytes: int) -> Iterator[Grain]:
        near = start + 2 * nbytes
        if near < stop and not (slices.is_whole or has_holes):
            # A pass over all reads megabytes before it yields the first records.
            first = next(find_row_grains(file, start, near, options, nbytes))
            if first.stop < near:
                yield first
                return
        yield from find_row_grains(file, start, stop, options, nbytes, head.rows)

    for begin, end in find_ranges(
        start,
        stop,
        cut,
        None if is_blind else lambda begin, end: trim_window(file, begin, end, options),
        slices,
    ):
        data = read_range(file, begin, end)
        if head.rows is not None:
            data = head.rows.blank_out(data, begin, file, options)
        yield Slice(data, codec, head.labels, begin == start)


def trim_window(
    file: SourceFile, start: int, stop: int, options: CsvOptions
) -> tuple[int, int] | None:
    """Return where the whole records lie in a range that begins and ends anywhere."""
    dialect = options.dialect
    quotechar = dialect.quotechar if dialect.newlines_in_values else None
    unit = unit_nbytes(options.encoding)
    window = bytearray((stop - start) // unit)
    with open_marks(file, options) as read:
        n_read = read(memoryview(window), start // unit)
    records = trim_to_records(bytes(window[:n_read]), dialect.sep_bytes, quotechar)
    if records is None:
        return None
    begin = start // unit + window.index(b"\n") + 1
    return begin * unit, (begin + len(records)) * unit


def gather(parts: Iterable[Slice], slices: Slices) -> Iterator[list[Slice]]:
    """Yield slices that have the same columns as one item, up to the size of one, others alone.

    pandas takes a millisecond and more for each call. Where all is read these are the beginnings of
    files, and else what is not: what nobody has read could hold what the first values of each file
    have to settle.
    """
    batch: list[Slice] = []
    nbytes = 0
    limit = slices.nbytes if slices.is_whole else MAX_BATCH_NBYTES
    for part in parts:
        if part.is_first != slices.is_whole:
            yield [part]
            continue
        is_alike = bool(batch) and part[1:] == batch[0][1:]
        if batch and not (is_alike and nbytes + len(part.data) <= limit):
            yield batch
            batch, nbytes = [], 0
        batch.append(part)
        nbytes += len(part.data)
    if batch:
        yield batch


def observe_together(
    batch: Sequence[Slice], labels: Sequence[Hashable], options: CsvOptions
) -> dict[Hashable, tuple[ColumnFacts, bool]] | None:
    """Return `observe_slice` of a text made of all, None where it could differ from each alone.

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
            part = Slice(joined, "utf-8", all_labels, batch[0].is_first)
            return observe_frame(frame, part, labels, options)
    except (ValueError, OverflowError, pd.errors.ParserError, TooManyFields):
        pass
    return None


def is_plain(values: pd.Series, options: CsvOptions) -> bool:
    """Return whether no part of a column's values alone could be of another kind."""
    if values.dtype.kind == "f":
        return not bool((values.abs() >= INT64_STOP).any())
    if isinstance(values.dtype, pd.StringDtype):
        return not has_wide_integers(values, options)
    return values.dtype.kind in "ib" or pd.api.types.infer_dtype(values) == "boolean"


def observe_slice(
    part: Slice, labels: Sequence[Hashable], options: CsvOptions
) -> dict[Hashable, tuple[ColumnFacts, bool]]:
    """Return what a slice shows of each column, and whether its first values settle the type.

    Rows with too many fields are passed over here, since reading reports them.
    """
    try:
        decoded = decode_slice(part, options)
        try:
            frame = parse_tolerantly(decoded, part.labels, options, None)
        except OverflowError:
            # Of a column that nobody reads, perhaps.
            dtype = dict.fromkeys([label for label in part.labels if label not in labels], str)
            frame = parse_tolerantly(decoded, part.labels, options, dtype)
        return observe_frame(frame, part._replace(data=decoded), labels, options)
    except (ValueError, OverflowError) as error:
        if isinstance(error, OverflowError) and options.dtype_backend is not None:
            from taskinity_data.formats.csv.column_types.nullable import beyond_int64

            raise beyond_int64("a column", options.dtype_backend) from error
        # Not parsed, not decoded: reading this range reports what and where.
        return {}


def observe_frame(
    frame: pd.DataFrame, part: Slice, labels: Sequence[Hashable], options: CsvOptions
) -> dict[Hashable, tuple[ColumnFacts, bool]]:
    """Return what `frame`, the parsed `part`, shows of each column: see `observe_slice`."""
    values = dict(frame.items())
    if options.dtype_backend is None:
        shown = {label: observe(values[label]) for label in labels}
    else:
        from taskinity_data.formats.csv.column_types.nullable import observe_nullable

        shown = {label: observe_nullable(values[label]) for label in labels}
    for label in labels:
        is_wide = "text" in shown[label] and has_wide_integers(values[label], options)
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
    alone = texts.to_frame().to_csv(index=False, header=False, quoting=csv.QUOTE_ALL)
    numbers = {
        name: value
        for name, value in options.per_chunk.items()
        if name in {"decimal", "thousands", "na_values", "keep_default_na", "na_filter"}
    }
    try:
        pd.read_csv(io.StringIO(alone), header=None, dtype=np.float64, **numbers)
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
