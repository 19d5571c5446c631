"""Read records of CSV files as text: pieces of a run, and what is looked at for the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.errors import ReadError
from taskinity_data.formats.csv.encodings import hint_encoding, to_utf8
from taskinity_data.formats.csv.fast import has_lone_return
from taskinity_data.formats.csv.records.dialect import WHITESPACE
from taskinity_data.formats.csv.records.rows import find_row_grains
from taskinity_data.formats.csv.records.scan import trim_to_records
from taskinity_data.formats.sampling import find_ranges
from taskinity_data.sources.file import Piece
from taskinity_data.sources.read import read_range

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from taskinity_data.formats.csv.head import Head
    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.formats.csv.records.cuts import Grain
    from taskinity_data.formats.csv.records.rows import RowRange
    from taskinity_data.formats.sampling import Slices
    from taskinity_data.sources.file import SourceFile

__all__ = ["Slice", "decode_slice", "gather", "iter_slices", "load_slice", "nbytes_of", "read_text"]

# Slices of a sample that are looked at together: so few that two threads have as much to do.
MAX_BATCH_NBYTES = 1_000_000


class Slice(NamedTuple):
    """Records of one file, and whether its first are among them.

    `data` are read by `load_slice`, in the thread that looks at them. `rows` are which of a file's
    rows are read, where they are not all; `pieces` what chunks of a run are made of, if its rows
    may be cached for one.
    """

    labels: tuple[Hashable, ...]
    is_first: bool
    piece: Piece
    rows: RowRange | None = None
    pieces: tuple[Piece, ...] = ()
    data: bytes = b""


def iter_slices(
    files: Sequence[tuple[SourceFile, Head]],
    options: CsvOptions,
    slices: Slices,
    *,
    caches_rows: bool = False,
) -> Iterator[Slice]:
    """Yield what is looked at of `files`, with its pieces if it `caches_rows`."""
    for file, head in files:
        is_all = head.rows is None
        yield from find_slices(file, head, options, slices, caches_rows=caches_rows and is_all)


def nbytes_of(files: Sequence[tuple[SourceFile, Head]]) -> int:
    """Return the bytes of `files` that may be read."""
    return sum(stop_of(file, head) for file, head in files)


def stop_of(file: SourceFile, head: Head) -> int:
    """Return the byte after the last row of `file`."""
    return file.nbytes if head.rows is None else head.rows.stop


def load_slice(part: Slice, options: CsvOptions) -> Slice:
    """Return `part` with its data."""
    file, start, stop = part.piece.file, part.piece.start, part.piece.stop
    data = read_range(file, start, stop)
    if part.rows is not None:
        data = part.rows.blank_out(data, start, options)
    return part._replace(data=data)


def decode_slice(part: Slice, options: CsvOptions) -> bytes:
    """Return the records as UTF-8, without bad lines before the first good one."""
    decoded = to_utf8(part.data, options.encoding, options.encoding_errors)
    if not options.skips_bad_lines:
        return decoded
    from taskinity_data.formats.csv.bad_lines import skip_bad_start

    return skip_bad_start(decoded, part.labels, options)


def find_slices(
    file: SourceFile, head: Head, options: CsvOptions, slices: Slices, *, caches_rows: bool
) -> Iterator[Slice]:
    """Yield what is looked at of a file, in whole records: see `find_ranges`."""
    start, stop = head.data_start, stop_of(file, head)
    dialect = options.dialect
    has_holes = head.rows is not None and bool(head.rows.holes)
    # If any of these may precede the window, a quote in it may open or close.
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

    trim = None if is_blind else lambda begin, end: trim_window(file, begin, end, options)
    for parts in find_ranges(start, stop, cut, trim, slices, in_grains=caches_rows):
        begin, end = parts[0].start, parts[-1].stop
        pieces = (Piece(file, x.start, x.stop, x.stop - x.start, x.rows) for x in parts)
        yield Slice(
            head.labels,
            begin == start,
            Piece(file, begin, end, end - begin),
            head.rows,
            tuple(pieces) if caches_rows else (),
        )


def trim_window(
    file: SourceFile, start: int, stop: int, options: CsvOptions
) -> tuple[int, int] | None:
    """Return where the whole records are in a range that begins and ends anywhere."""
    dialect = options.dialect
    quotechar = dialect.quotechar if dialect.newlines_in_values else None
    window = read_range(file, start, stop)
    records = trim_to_records(window, dialect.sep_bytes, quotechar)
    if records is None:
        return None
    begin = start + window.index(b"\n") + 1
    return begin, begin + len(records)


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
        is_alike = bool(batch) and part[:2] == batch[0][:2]
        if batch and not (is_alike and nbytes + part.piece.nbytes <= limit):
            yield batch
            batch, nbytes = [], 0
        batch.append(part)
        nbytes += part.piece.nbytes
    if batch:
        yield batch


def read_text(piece: Piece, options: CsvOptions, rows: RowRange | None = None) -> bytes:
    """Return the whole records of `piece` as UTF-8, without lines that `rows` leaves out.

    Raises
    ------
    ReadError
        A byte that belongs to no text, or lines that can't be cut with these options.
    """
    data = read_range(piece.file, piece.start, piece.stop)
    if rows is not None:
        data = rows.blank_out(data, piece.start, options)
    try:
        text = to_utf8(data, options.encoding, options.encoding_errors)
    except UnicodeDecodeError as error:
        step = hint_encoding(data, error.start, options.encoding)
        raise ReadError(
            f"{piece.path}: byte {piece.start + error.start:,} is not valid "
            f"{options.encoding} text; {step}",
            path=piece.path,
            start=piece.start,
        ) from error
    check_returns(piece, text, options)
    return text


def check_returns(piece: Piece, data: bytes, options: CsvOptions) -> None:
    r"""Raise `ReadError` if pandas' parser reads a record depending on what precedes it.

    After a lone ``\r`` it takes a space for the separator that it is; at the start of a text, or
    after ``\n``, `skipinitialspace` or ``sep=r"\s+"`` drops it.
    """
    dialect = options.dialect
    drops_blanks = dialect.sep == WHITESPACE or (dialect.sep == " " and dialect.skipinitialspace)
    if drops_blanks and has_lone_return(data):
        option = " and skipinitialspace=True" if dialect.sep == " " else ""
        raise ReadError(
            f"{piece.path} [bytes {piece.start:,} to {piece.stop:,}]: lines end with \\r alone, "
            f"which is not supported with sep={dialect.sep!r}{option}; write the file with \\n",
            path=piece.path,
            start=piece.start,
        )
