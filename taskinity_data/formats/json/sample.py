"""The types of the columns of JSON records, from a sample of them or from all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.types as pat

from taskinity_data.errors import PlanError
from taskinity_data.formats.json.cuts import cut_records, find_line_ends, find_start
from taskinity_data.formats.json.exact import read_records
from taskinity_data.formats.json.fast import infer_fast
from taskinity_data.formats.json.types import (
    Clash,
    format_path,
    holds_no_null,
    is_text,
    join_types,
    type_of,
)
from taskinity_data.formats.sampling import (
    find_ranges,
    map_ahead,
    plan_slices,
    spread,
)
from taskinity_data.sources.file import Piece
from taskinity_data.sources.read import read_range

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from taskinity_data.formats.json.types import NamedType
    from taskinity_data.formats.sampling import Slices
    from taskinity_data.sources.file import SourceFile
    from taskinity_data.sources.row_cache import RowCache

__all__ = ["NOTHING", "JsonSchema", "SampleSummary", "freeze", "infer_columns"]


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What some records show.

    Attributes
    ----------
    types : mapping of column to pyarrow.DataType, or Clash where no one type holds all values
    nulls : frozenset of str
        Columns with a value that is null or missing.
    rows : int
    trouble : str
        The problem of the first unreadable record, with its position; else ``""``.
    where : str
        Where the records begin.
    """

    types: Mapping[str, pa.DataType | Clash]
    nulls: frozenset[str]
    rows: int
    trouble: str = ""
    where: str = ""

    def __or__(self, other: SampleSummary) -> SampleSummary:
        types = dict(self.types)
        for name, type_ in other.types.items():
            types[name] = join(types.get(name, pa.null()), type_, other.where)
        nulls = self.nulls | other.nulls
        if self.rows:
            nulls |= other.types.keys() - self.types.keys()
        if other.rows:
            nulls |= self.types.keys() - other.types.keys()
        trouble, where = self.trouble or other.trouble, self.where or other.where
        return SampleSummary(types, nulls, self.rows + other.rows, trouble, where)

    def clashing(self) -> set[str]:
        """Return the columns whose values no one type holds."""
        return {name for name, type_ in self.types.items() if isinstance(type_, Clash)}


NOTHING = SampleSummary({}, frozenset(), 0)


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


def infer_columns(
    files: Sequence[SourceFile],
    *,
    scan: bool,
    row_cache: RowCache | None = None,
) -> SampleSummary:
    """Return what the records of `files` show.

    Parameters
    ----------
    files : sequence of SourceFile
    scan : bool
        Read all, however much it is; see `plan_slices`.
    row_cache : RowCache, optional
        Gets the rows, if all are read.

    Notes
    -----
    Records that can't be read are passed over: whoever reads them reports what and where.
    """
    # Arrow needs no longer slices, whose memory would come and go with each.
    nbytes = sum(file.nbytes for file in files)
    slices = plan_slices(nbytes, len(files), scan=scan, are_short=True)
    sampled = files if slices.is_whole else spread(files)
    if not slices.is_whole:
        row_cache = None
    in_grains = row_cache is not None
    parts = (part for file in sampled for part in find_parts(file, slices, in_grains))

    def look(grains: Sequence[Piece]) -> tuple[Piece, SampleSummary]:
        start, stop = grains[0].start, grains[-1].stop
        piece = Piece(grains[0].file, start, stop, stop - start)
        return piece, look_at(read_range(piece.file, start, stop), piece, grains, row_cache)

    total = NOTHING
    for piece, summary in map_ahead(look, parts):
        joined = total | summary
        if joined.clashing() - total.clashing() - summary.clashing():
            # The types of two slices clash: find the record that shows it.
            joined = total | look_closely(
                read_range(piece.file, piece.start, piece.stop), piece, total.types
            )
        total = joined
    return total


def find_parts(file: SourceFile, slices: Slices, in_grains: bool) -> Iterator[list[Piece]]:
    """Yield the parts of a file to look at: see `find_ranges`."""
    start, stop = find_start(file), file.nbytes

    def trim(begin: int, end: int) -> tuple[int, int] | None:
        text = read_range(file, begin, end)
        first = text.find(b"\n") + 1
        last = len(text) if end == stop else text.rfind(b"\n") + 1
        return (begin + first, begin + last) if first else None

    ranges = find_ranges(
        start,
        stop,
        lambda nbytes: cut_records(find_line_ends(file, start, stop), start, stop, nbytes),
        trim,
        slices,
        in_grains=in_grains,
    )
    for parts in ranges:
        yield [Piece(file, x.start, x.stop, x.stop - x.start, x.rows) for x in parts]


def where_of(piece: Piece, offset: int) -> str:
    return f"{piece.path} (byte {piece.start + offset:,}): "


def look_at(
    text: bytes, piece: Piece, grains: Sequence[Piece] = (), row_cache: RowCache | None = None
) -> SampleSummary:
    """Return what the lines of `text`, those of `piece`, show."""
    table = infer_fast(text)
    if table is None:
        return look_closely(text, piece)
    if row_cache is not None:
        row_cache.add(select_flat(table), grains)
    nulls = frozenset(name for name in table.schema.names if table[name].null_count)
    types = {field.name: plain(field.type) for field in table.schema}
    return SampleSummary(types, nulls, table.num_rows, where=where_of(piece, 0))


def select_flat(table: pa.Table) -> pa.Table:
    """Return the columns whose values have types of JSON, without those of times and the nested."""
    fields = [field for field in table.schema if field.type == pa.string()]
    fields += [field for field in table.schema if plain(field.type) == field.type]
    flat = [field for field in fields if not pat.is_nested(field.type)]
    schema = pa.schema([(field.name, plain(field.type)) for field in flat])
    return table.select(schema.names).cast(schema)


def plain(type_: pa.DataType) -> pa.DataType:
    """Return a type that Arrow inferred as one of JSON's: times are texts."""
    if pat.is_list(type_):
        return pa.list_(plain(type_.value_type))
    if pat.is_struct(type_):
        return pa.struct([(field.name, plain(field.type)) for field in type_])
    if type_ in (pa.null(), pa.bool_(), pa.int64(), pa.float64()):
        return type_
    return pa.large_string()


def look_closely(
    text: bytes, piece: Piece, before: Mapping[str, pa.DataType | Clash] | None = None
) -> SampleSummary:
    """Return what `look_at` does, record by record; the types of `before` come in front of them."""
    types: dict[str, pa.DataType | Clash] = dict(before or {})
    filled = dict.fromkeys(types, 0)
    rows, trouble = 0, ""
    for begin, _, record, why in read_records(text):
        where = where_of(piece, begin)
        if record is None:
            trouble = trouble or where + why
            continue
        rows += 1
        for name, value in record.items():
            if not is_text(name):
                why = f"the key {name!r} holds half a surrogate pair"
                trouble = trouble or where + why
                continue
            type_: pa.DataType | Clash
            try:
                type_ = type_of(value)
            except Clash as clash:
                type_ = clash
            types[name] = join(types.get(name, pa.null()), type_, where)
            filled[name] = filled.get(name, 0) + (value is not None)
    nulls = frozenset(name for name, count in filled.items() if count < rows)
    return SampleSummary(types, nulls, rows, trouble, where_of(piece, 0))


def join(
    first: pa.DataType | Clash, second: pa.DataType | Clash, where: str
) -> pa.DataType | Clash:
    """Return the type that holds both, or the first clash; `where` the second was read."""
    if isinstance(first, Clash):
        return first
    try:
        if isinstance(second, Clash):
            raise second
        return join_types(first, second)
    except Clash as clash:
        clash.where = clash.where or where
        return clash


def freeze(
    sample: SampleSummary, named: Mapping[str, NamedType], needed: Collection[str] | None
) -> JsonSchema:
    """Return the schema of what was sampled and what the user named, which goes first.

    Parameters
    ----------
    sample : SampleSummary
    named : mapping of column to NamedType
    needed : names, or None for all
        A column that no type holds is left out where it is not among them.

    Raises
    ------
    PlanError
        No type holds a column's values; a type without room for the nulls that were seen.
    """
    types: dict[str, pa.DataType] = {}
    for name, type_ in {
        **sample.types,
        **{name: column.type for name, column in named.items()},
    }.items():
        if not isinstance(type_, Clash):
            types[name] = type_
        elif needed is None or name in needed:
            raise PlanError(
                f"{type_.where}column {name!r}: it holds {type_}{format_path(name, type_.path)}, "
                "and no type holds both; select other columns with columns=, or write it as text"
            )
    inferred = {name for name in types if name not in named and holds_no_null(types[name])}
    strict = {name for name, column in named.items() if column.is_strict}
    for name in strict & sample.nulls:
        dtype = "boolean" if pat.is_boolean(types[name]) else "Int64"
        raise PlanError(
            f"column {name!r}: schema= has it as {types[name]}, but it has null or missing values; "
            f"give schema={{{name!r}: {dtype!r}}}"
        )
    return JsonSchema(
        types=pa.schema(list(types.items())),
        strict=frozenset(strict | inferred - sample.nulls),
        with_nulls=frozenset(inferred & sample.nulls),
        dtypes=tuple((name, column.dtype) for name, column in named.items() if column.dtype),
    )
