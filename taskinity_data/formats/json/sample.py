"""The types of the columns of JSON records, from a sample of them or from all of them.

It merges what slices show; which slices there are follows from how records lie in the files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.types as pat

from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.sample import (
    SAMPLED_FILES,
    SCAN_NBYTES,
    SCAN_SLICE_NBYTES,
    SLICE_NBYTES,
    map_ahead,
)
from taskinity_data.formats.json.array import BadArray
from taskinity_data.formats.json.cuts import cut_records, find_lines
from taskinity_data.formats.json.exact import BadRecord, LineParser
from taskinity_data.formats.json.fast import infer_fast
from taskinity_data.formats.json.types import Clash, holds_no_null, join_types, tell_path, type_of
from taskinity_data.formats.reader import LONGEST_SAMPLE_NBYTES
from taskinity_data.sources.file import Piece
from taskinity_data.sources.read import read_range

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from taskinity_data.formats.json.cuts import RecordLayout
    from taskinity_data.formats.json.types import NamedType
    from taskinity_data.sources.file import SourceFile

__all__ = ["JsonSchema", "SampleFacts", "freeze", "infer_columns"]


@dataclass(frozen=True, slots=True)
class SampleFacts:
    """What some records show.

    Attributes
    ----------
    types : mapping of column to pyarrow.DataType, or Clash where no one type holds all values
    nulls : frozenset of str
        Columns with a value that is null or missing.
    rows : int
    trouble : str
        Of the first record that could not be read, and where it stands; else ``""``.
    place : str
        Where the records begin.
    """

    types: Mapping[str, pa.DataType | Clash]
    nulls: frozenset[str]
    rows: int
    trouble: str = ""
    place: str = ""

    def __or__(self, other: SampleFacts) -> SampleFacts:
        types = dict(self.types)
        for name, found in other.types.items():
            types[name] = join(types.get(name, pa.null()), found, other.place)
        nulls = self.nulls | other.nulls
        if self.rows:
            nulls |= other.types.keys() - self.types.keys()
        if other.rows:
            nulls |= self.types.keys() - other.types.keys()
        trouble, place = self.trouble or other.trouble, self.place or other.place
        return SampleFacts(types, nulls, self.rows + other.rows, trouble, place)


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """How every column is read, in every chunk.

    Attributes
    ----------
    types : pyarrow.Schema
    strict : frozenset of str
        Integer and bool columns without room for null.
    with_nulls : frozenset of str
        Integer and bool columns that pandas holds as float64 and object, for their nulls.
    dtypes : tuple of (str, str)
        Columns that pandas holds by a dtype with missing values.
    """

    types: pa.Schema
    strict: frozenset[str]
    with_nulls: frozenset[str]
    dtypes: tuple[tuple[str, str], ...]


def infer_columns(files: Sequence[SourceFile], layout: RecordLayout, *, scan: bool) -> SampleFacts:
    """What the records of `files` show.

    Parameters
    ----------
    files : sequence of SourceFile
    layout : RecordLayout
    scan : bool
        Read all; else only where all is at most `SCAN_NBYTES`.

    Notes
    -----
    Records that can't be read are passed over: whoever reads them is told what and where.
    """
    if scan or sum(file.nbytes for file in files) <= SCAN_NBYTES:
        work = (item for file in files for item in all_slices(file, layout))
    else:
        work = (item for file in spread(files) for item in some_slices(file, layout))

    def look(item: tuple[Piece, bytes]) -> tuple[Piece, SampleFacts]:
        piece, text = item
        try:
            return piece, look_at(layout.to_lines(piece, text), piece)
        except BadArray as error:
            trouble = tell_place(piece, error.offset) + error.why
            return piece, SampleFacts({}, frozenset(), 0, trouble)

    seen = SampleFacts({}, frozenset(), 0)
    for piece, found in map_ahead(look, work):
        both = seen | found
        clashing = [
            name
            for name, type_ in both.types.items()
            if isinstance(type_, Clash)
            and not isinstance(seen.types.get(name), Clash)
            and not isinstance(found.types.get(name), Clash)
        ]
        if clashing:
            both = replace(both, types={**both.types, **pin_down(seen, clashing, piece, layout)})
        seen = both
    return seen


def pin_down(
    seen: SampleFacts, names: Sequence[str], piece: Piece, layout: RecordLayout
) -> dict[str, pa.DataType | Clash]:
    """The clashes of the columns `names` in `piece` with what was `seen` before, each with the
    record that shows it.
    """
    text = layout.to_lines(piece, read_range(piece.file, piece.start, piece.stop))
    before = {name: seen.types[name] for name in names}
    found = look_closely(text, piece, before).types
    return {name: found[name] for name in names if isinstance(found[name], Clash)}


def spread(files: Sequence[SourceFile]) -> list[SourceFile]:
    """At most `SAMPLED_FILES` of `files`, the first and the last among them."""
    if len(files) <= SAMPLED_FILES:
        return list(files)
    step = (len(files) - 1) / (SAMPLED_FILES - 1)
    return [files[round(place * step)] for place in range(SAMPLED_FILES)]


def all_slices(file: SourceFile, layout: RecordLayout) -> Iterator[tuple[Piece, bytes]]:
    """All records of a file in slices."""
    start = layout.find_start(file)
    ends = layout.find_ends(file, start, file.nbytes)
    for grain in cut_records(ends, start, file.nbytes, SCAN_SLICE_NBYTES):
        if grain.stop - grain.start <= LONGEST_SAMPLE_NBYTES:
            yield cut_out(file, grain.start, grain.stop)


def some_slices(file: SourceFile, layout: RecordLayout) -> Iterator[tuple[Piece, bytes]]:
    """Head, middle and tail of a file in whole records, the head alone where none can be sought."""
    start, stop = layout.find_start(file), file.nbytes
    if stop - start <= 3 * SLICE_NBYTES:
        yield from all_slices(file, layout)
        return
    ends = layout.find_ends(file, start, stop)
    head = next(cut_records(ends, start, stop, SLICE_NBYTES))
    if head.stop - start <= LONGEST_SAMPLE_NBYTES:
        yield cut_out(file, start, head.stop)
    if not layout.is_seekable:
        return
    for at in ((start + stop) // 2, stop - SLICE_NBYTES):
        text = read_range(file, at, at + SLICE_NBYTES)
        first = text.find(b"\n") + 1
        last = len(text) if at + SLICE_NBYTES == stop else text.rfind(b"\n") + 1
        if first:
            yield cut_out(file, at + first, at + last)


def cut_out(file: SourceFile, start: int, stop: int) -> tuple[Piece, bytes]:
    """A range of `file`, and its bytes."""
    return Piece(file, start, stop, stop - start), read_range(file, start, stop)


def tell_place(piece: Piece, offset: int) -> str:
    return f"{piece.path} (byte {piece.start + offset:,}): "


def look_at(text: bytes, piece: Piece) -> SampleFacts:
    """What the lines of `text`, those of `piece`, show."""
    table = infer_fast(text)
    if table is not None:
        nulls = [name for name in table.schema.names if table[name].null_count]
        types = {one.name: plain(one.type) for one in table.schema}
        return SampleFacts(types, frozenset(nulls), table.num_rows, place=tell_place(piece, 0))
    return look_closely(text, piece)


def plain(type_: pa.DataType) -> pa.DataType:
    """A type that Arrow inferred as one of JSON's: times are texts."""
    if pat.is_list(type_):
        return pa.list_(plain(type_.value_type))
    if pat.is_struct(type_):
        return pa.struct([(one.name, plain(one.type)) for one in type_])
    if type_ in (pa.null(), pa.bool_(), pa.int64(), pa.float64()):
        return type_
    return pa.large_string()


def look_closely(
    text: bytes, piece: Piece, before: Mapping[str, pa.DataType | Clash] | None = None
) -> SampleFacts:
    """As `look_at`, record by record; the types of `before` were found in front of them."""
    lines = find_lines(text)
    parser = LineParser()
    types: dict[str, pa.DataType | Clash] = dict(before or {})
    filled: dict[str, int] = {}
    rows, trouble = 0, ""
    for begin, end in zip(lines.begins.tolist(), lines.ends.tolist(), strict=True):
        try:
            record = parser.read(text, begin, end, rows)
        except BadRecord as error:
            trouble = trouble or tell_place(piece, error.offset) + error.why
            continue
        rows += 1
        for name, value in record.items():
            try:
                name.encode()
                found = type_of(value)
            except UnicodeEncodeError:
                why = f"the key {name!r} or one in it holds half a surrogate pair"
                trouble = trouble or tell_place(piece, begin) + why
                continue
            except Clash as error:
                found = error
            types[name] = join(types.get(name, pa.null()), found, tell_place(piece, begin))
            filled[name] = filled.get(name, 0) + (value is not None)
    nulls = frozenset(name for name, count in filled.items() if count < rows)
    return SampleFacts(types, nulls, rows, trouble, tell_place(piece, 0))


def join(one: pa.DataType | Clash, other: pa.DataType | Clash, where: str) -> pa.DataType | Clash:
    """The type that holds both, or the first clash; `where` the second was found."""
    if isinstance(one, Clash):
        return one
    if isinstance(other, Clash):
        return other.at(where)
    try:
        return join_types(one, other)
    except Clash as error:
        return error.at(where)


def freeze(
    seen: SampleFacts, given: Mapping[str, NamedType], needed: Collection[str] | None
) -> JsonSchema:
    """The schema of what was seen and what the user named, which goes first.

    Parameters
    ----------
    seen : SampleFacts
    given : mapping of column to NamedType
    needed : names, or None for all
        A column that no type holds is left out where it is not among them.

    Raises
    ------
    PlanError
        No type holds a column's values; a type without room for the nulls that were seen.
    """
    types: dict[str, pa.DataType] = {}
    for name, found in {**seen.types, **{name: one.type for name, one in given.items()}}.items():
        if not isinstance(found, Clash):
            types[name] = found
        elif needed is None or name in needed:
            raise PlanError(
                f"{found.where}column {name!r}: it holds {found}{tell_path(name, found.path)}, and "
                "there is no type for both; select other columns by columns=, or write it as text"
            )
    inferred = {name for name in types if name not in given and holds_no_null(types[name])}
    strict = {name for name, one in given.items() if one.is_strict}
    for name in strict & seen.nulls:
        dtype = "boolean" if pat.is_boolean(types[name]) else "Int64"
        raise PlanError(
            f"column {name!r}: schema= has it as {types[name]}, but values of it are null or "
            f"missing; give schema={{{name!r}: {dtype!r}}}"
        )
    return JsonSchema(
        types=pa.schema(list(types.items())),
        strict=frozenset(strict | inferred - seen.nulls),
        with_nulls=frozenset(inferred & seen.nulls),
        dtypes=tuple((name, one.dtype) for name, one in given.items() if one.dtype),
    )
