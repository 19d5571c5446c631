"""A frame or table that is already in memory, as chunks: written once as Arrow IPC, read mapped.

It knows nothing of who reads: local workers map the file, so that rows are never sent to them.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
import pyarrow as pa
import pyarrow.types as pat
from pandas.api.types import is_object_dtype, pandas_dtype

from taskinity_data.errors import PlanError
from taskinity_data.formats.deliver import count_only, deliver_rows, drop_pandas_index, gather
from taskinity_data.formats.filters import parse_filters
from taskinity_data.formats.frame_tables import restore_objects, to_table
from taskinity_data.formats.reader import ReadResult, RowReader, check_columns
from taskinity_data.sources.file import Piece, SourceFile
from taskinity_data.sources.fingerprint import Fingerprint
from taskinity_data.sources.temporary import OwnDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.formats.filters import Filters

__all__ = ["ArrowReader", "open_memory"]

BATCH_NBYTES = 1 << 20
"""Arrow bytes of a record batch: mapping one costs 20 µs, and a range maps whole batches."""


class Keeper:
    """A private directory that goes when the last reader of this process that refers to it goes."""

    def __init__(self) -> None:
        self._own = OwnDirectory("memory")
        self.directory = self._own.path

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy in another process reads the file but does not own it.
        return type(None), ()


@dataclass(frozen=True)
class ArrowReader(RowReader):
    """How the rows of one Arrow IPC file are found and read: see `open_memory`.

    Attributes
    ----------
    schema : pyarrow.Schema
        The selected columns, with pandas' metadata but for the index.
    needed : tuple of str
        The columns that are mapped: the selected and the filter's.
    rows : int
    nbytes_of : tuple of (str, int)
        Arrow bytes of each selected column.
    batch_rows : int
        Rows of each record batch but the last.
    filters : Filters or None
    objects : frozenset of str
        Columns that were of dtype object in pandas; Arrow holds them by a type of its own.
    arrow_dtyped : frozenset of str
        Columns of a `pandas.ArrowDtype`, not all of which pandas' metadata can tell.
    labels : pandas.Index or None
        pandas' names of the columns, where they are not plain texts.
    categories : tuple of (str, pyarrow.Array)
    with_nulls : frozenset of str
    keeper : Keeper or None
        Who owns the file, where it is private.
    """

    is_in_memory: ClassVar[bool] = True

    schema: pa.Schema
    needed: tuple[str, ...]
    rows: int
    nbytes_of: tuple[tuple[str, int], ...]
    batch_rows: int
    filters: Filters | None = None
    objects: frozenset[str] = frozenset()
    arrow_dtyped: frozenset[str] = frozenset()
    labels: pd.Index | None = field(default=None, compare=False)
    categories: tuple[tuple[str, pa.Array], ...] = ()
    with_nulls: frozenset[str] = frozenset()
    keeper: Keeper | None = field(default=None, compare=False, repr=False)

    @property
    def format(self) -> str:
        """``"arrow"``."""
        return "arrow"

    @property
    def needs_pandas(self) -> bool:
        """Whether an Arrow table of some rows does not tell what pandas holds of the whole."""
        told = self.with_nulls | self.arrow_dtyped
        return any(
            one.name in told or (one.name in self.objects and _is_number_or_time(one.type))
            for one in self.schema
        )

    def identity(self) -> str:
        """Return a stable text of all that decides what a range reads as."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        digest = blake2b(self.schema.serialize(), digest_size=16)
        filters = "" if self.filters is None else self.filters.text
        digest.update(
            f"\0{filters}\0{sorted(self.objects)}\0{sorted(self.arrow_dtyped)}"
            f"\0{sorted(self.with_nulls)}\0{self.labels!r}".encode()
        )
        return f"arrow {digest.hexdigest()}"

    def select(self, columns: Sequence[str]) -> ArrowReader:
        """Return the reader of `columns` alone, some of `schema`'s names, in that order."""
        places = [self.schema.get_field_index(name) for name in columns]
        needed = dict.fromkeys([*columns, *(self.filters.columns if self.filters else ())])
        return replace(
            self,
            schema=pa.schema([self.schema.field(place) for place in places], self.schema.metadata),
            needed=tuple(needed),
            labels=None if self.labels is None else self.labels[places],
            categories=tuple(one for one in self.categories if one[0] in columns),
        )

    @property
    def nbytes(self) -> int:
        """Arrow bytes of the selected columns."""
        sizes = dict(self.nbytes_of)
        return sum(sizes[name] for name in self.schema.names) if self.schema.names else self.rows

    def extent(self, file: SourceFile) -> Piece:
        """Return all rows."""
        return Piece(file, 0, self.rows, self.nbytes, self.rows)

    def read(self, pieces: Sequence[Piece], as_: str) -> ReadResult:
        """Return the rows of `pieces`, in order; an Arrow table lies in the mapped file."""
        tables = [table for piece in pieces if piece.rows for table in self._tables(piece)]
        rows = sum(table.num_rows for table in tables)
        planned = sum(piece.stop - piece.start for piece in pieces)
        named = bool(self.schema.names)
        table = gather(tables, self.schema, self.categories) if named else count_only(rows)
        data = deliver_rows(table, as_, self.with_nulls, pieces, exact=self.arrow_dtyped)
        if as_ == "pandas":
            for place, name in enumerate(self.schema.names):
                if name in self.objects:
                    data.isetitem(place, restore_objects(table.column(place), data.iloc[:, place]))
                elif name in self.arrow_dtyped:
                    values = pd.arrays.ArrowExtensionArray(table.column(place))
                    data.isetitem(place, pd.Series(values, index=data.index))
            if self.labels is not None:
                data.columns = self.labels
        return ReadResult(data, rows, planned - rows)

    def _tables(self, piece: Piece) -> Iterator[pa.Table]:
        with pa.memory_map(piece.path) as mapped:
            opened = pa.ipc.open_file(mapped)
            first, last = piece.start // self.batch_rows, (piece.stop - 1) // self.batch_rows
            batches = [opened.get_batch(place) for place in range(first, last + 1)]
        start = piece.start - first * self.batch_rows
        table = pa.Table.from_batches(batches).slice(start, piece.stop - piece.start)
        table = table.select(list(self.needed)) if self.needed else table
        yield table if self.filters is None else self.filters.apply(table)


def open_memory(
    source: Any,
    columns: Sequence[str] | None = None,
    filters: Any = None,
    directory: str | None = None,
) -> tuple[SourceFile, ArrowReader]:
    """Return `source` written as Arrow IPC, and the reader of its rows.

    Parameters
    ----------
    source : pandas.DataFrame, pyarrow.Table, pyarrow.RecordBatch or polars.DataFrame
        Of a pandas index, named levels come as columns, before the others; the rest is dropped.
    columns, filters
        As in `open_dataset`.
    directory : str or None
        Where the file is written; who names it also removes it. None: a private temporary
        directory, removed when the last reader that refers to it in this process is gone.

    Raises
    ------
    PlanError
        A column that Arrow can't hold unchanged (values of mixed types, complex numbers), two
        columns of one name, a lazy or streamed source.

    Notes
    -----
    Writes uncompressed, a batch at a time. Missing values in columns of dtype object come back as
    None, whatever they were.
    """
    table, frame = to_table(source)
    _refuse_categories(frame)
    names = table.schema.names
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise PlanError(f"source: there are several columns {twice!r}; rename them first")
    selected = check_columns(columns, table.schema, names)
    parsed = parse_filters(filters, table.schema)
    table = table.unify_dictionaries()
    keeper = Keeper() if directory is None else None
    handle, path = tempfile.mkstemp(
        ".arrow", "source-", keeper.directory if keeper is not None else directory
    )
    os.close(handle)
    try:
        batch_rows = _write(table, path)
    except OSError as error:
        Path(path).unlink()
        raise PlanError(
            f"source: it is written to {Path(path).parent} for the workers, and that failed "
            f"({error}); "
            "free space there, or name another directory by the environment's TMPDIR"
        ) from error
    arrow_dtyped = _find_arrow_dtypes(frame, table)
    schema = pa.schema(
        [table.schema.field(name) for name in selected],
        drop_pandas_index(table.schema.metadata, _find_untold(frame, table)),
    )
    reader = ArrowReader(
        schema=schema,
        needed=tuple(dict.fromkeys([*selected, *(parsed.columns if parsed else ())])),
        rows=table.num_rows,
        nbytes_of=tuple((name, table[name].nbytes) for name in selected),
        batch_rows=batch_rows,
        filters=parsed,
        objects=_find_objects(frame, table),
        arrow_dtyped=arrow_dtyped,
        labels=_find_labels(frame, table, selected),
        categories=_categories(table, selected),
        with_nulls=_find_nulls(table, selected, parsed),
        keeper=keeper,
    )
    return SourceFile(path, Fingerprint.of(path)), reader


def _is_number_or_time(type_: pa.DataType) -> bool:
    """Return whether pandas would not take values of `type_` as objects by itself."""
    return bool(pat.is_primitive(type_) and not pat.is_date(type_) and not pat.is_time(type_))


def _refuse_categories(frame: pd.DataFrame | None) -> None:
    """Raise `PlanError` for categories that Arrow's files have no dictionary of."""
    dtypes = [] if frame is None else frame.dtypes.items()
    for label, dtype in dtypes:
        if isinstance(dtype, pd.CategoricalDtype) and isinstance(
            dtype.categories.dtype, pd.IntervalDtype | pd.PeriodDtype
        ):
            kind = dtype.categories.dtype
            raise PlanError(
                f"source: column {label!r} has categories of dtype {kind}, as pandas.cut makes "
                f'them, which Arrow can\'t hold; convert it: .astype("{kind}"), or .astype(str)'
            )


def _find_objects(frame: pd.DataFrame | None, table: pa.Table) -> frozenset[str]:
    if frame is None:
        return frozenset()
    is_object = [is_object_dtype(dtype) for dtype in frame.dtypes]
    return frozenset(name for name, yes in zip(table.schema.names, is_object, strict=True) if yes)


def _find_arrow_dtypes(frame: pd.DataFrame | None, table: pa.Table) -> frozenset[str]:
    dtypes: Any = [] if frame is None else frame.dtypes
    pairs = zip(table.schema.names, dtypes, strict=False)
    return frozenset(name for name, dtype in pairs if isinstance(dtype, pd.ArrowDtype))


def _find_untold(frame: pd.DataFrame | None, table: pa.Table) -> Iterator[str]:
    """Yield columns whose `pandas.ArrowDtype` pandas does not know again by its name."""
    dtypes: Any = [] if frame is None else frame.dtypes
    for name, dtype in zip(table.schema.names, dtypes, strict=False):
        if not isinstance(dtype, pd.ArrowDtype):
            continue
        try:
            is_known = pandas_dtype(str(dtype)) == dtype
        except (TypeError, NotImplementedError):
            is_known = False
        if not is_known:
            yield name


def _find_labels(
    frame: pd.DataFrame | None, table: pa.Table, selected: Sequence[str]
) -> pd.Index | None:
    if frame is None:
        return None
    labels = frame.columns[[table.schema.get_field_index(name) for name in selected]]
    is_plain = labels.name is None and list(labels) == list(selected)
    return None if is_plain and labels.dtype == "str" else labels


def _find_nulls(
    table: pa.Table, selected: Sequence[str], filters: Filters | None
) -> frozenset[str]:
    names = [
        name
        for name in selected
        if (pat.is_integer(table.schema.field(name).type) or pat.is_boolean(table[name].type))
        and table[name].null_count
    ]
    if not names or filters is None:
        return frozenset(names)
    passed = filters.apply(table.select(list(dict.fromkeys([*names, *filters.columns]))))
    return frozenset(name for name in names if passed[name].null_count)


def _categories(table: pa.Table, names: Sequence[str]) -> tuple[tuple[str, pa.Array], ...]:
    found = []
    for name in names:
        type_ = table.schema.field(name).type
        if pat.is_dictionary(type_):
            chunks = table[name].chunks
            found.append((name, chunks[0].dictionary if chunks else pa.array([], type_.value_type)))
    return tuple(found)


def _write(table: pa.Table, path: str) -> int:
    """Write `table` in even record batches; the rows of each."""
    rows = table.num_rows
    batch_rows = max(1, rows * BATCH_NBYTES // max(BATCH_NBYTES, table.nbytes))
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        for start in range(0, rows, batch_rows):
            part = table.slice(start, batch_rows).combine_chunks()
            for batch in part.to_batches():
                writer.write_batch(batch)
    return int(batch_rows)
