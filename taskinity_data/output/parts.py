"""Write chunks' tables as part files in the staging directory, and check that parts agree."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from taskinity_data.errors import LedgerError, PlanError, ReadError, SchemaError
from taskinity_data.output.common_schema import CommonSchema
from taskinity_data.output.partitions import check_columns, split_rows
from taskinity_data.output.staging import WriteAttempt
from taskinity_data.output.to_arrow import to_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.output.staging import Staging
    from taskinity_data.output.write_formats import Format

__all__ = [
    "Part",
    "PartWriter",
    "StagedFile",
    "agree",
    "check_added",
    "check_nbytes",
    "check_order",
    "lacks_types",
    "retype",
]

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class StagedFile:
    """One file of a part, where it is until the commit.

    Attributes
    ----------
    name : str
        Where it is staged.
    directory : str
        Where its rows belong below the target: ``""``, or ``year=2013/month=1``.
    number : int or None
        Which file of its chunk and directory it is, None if `max_rows_per_file` is.
    rows, nbytes : int
    checksum : str
        BLAKE2b of all its bytes, 32 bytes in hexadecimal.
    written : str
        The checksum when its chunk wrote it, where it was committed before, and may have been
        written again for that.
    """

    name: str
    directory: str
    number: int | None
    rows: int
    nbytes: int
    checksum: str
    written: str = ""


@dataclass(frozen=True)
class Part:
    """What one chunk wrote.

    Attributes
    ----------
    index, key : int, str
        Of the chunk.
    schema : pyarrow.Schema or None
        None if the chunk gave nothing.
    files : tuple of StagedFile
        None for a chunk without rows.
    within : tuple of int
        Its place within the chunk of that index, where that one was split.
    """

    index: int
    key: str
    schema: pa.Schema | None
    files: tuple[StagedFile, ...]
    within: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """The chunk, for messages."""
        return name_chunk(self.index, self.key)

    @property
    def rows(self) -> int:
        """Of all files."""
        return sum(file.rows for file in self.files)

    @property
    def nbytes(self) -> int:
        """Of all files."""
        return sum(file.nbytes for file in self.files)


def name_chunk(index: int, key: str) -> str:
    """Return ``chunk 12 (key)``."""
    return f"chunk {index:,} ({key})"


@dataclass(frozen=True)
class PartWriter:
    """Writes chunks' tables on whatever worker sees the place where they are staged.

    Attributes
    ----------
    staging : Staging
    format : Format
    partition_by : tuple of str
    max_rows_per_file : int or None
    expected : pyarrow.Schema or None
        That of the dataset which parts are added to.

    Notes
    -----
    Frozen, picklable, safe in any number of threads and processes.
    """

    staging: Staging
    format: Format
    partition_by: tuple[str, ...] = ()
    max_rows_per_file: int | None = None
    expected: pa.Schema | None = None

    def write(self, key: str, index: int, data: Any, within: tuple[int, ...] = ()) -> Part:
        """Write what a chunk function returned, and return the part.

        Parameters
        ----------
        key : str
            The chunk's: of ASCII characters, digits, ``.``, ``_`` and ``-``, at most 100.
        index : int
            The chunk's place in the plan, from 0.
        data : pandas.DataFrame, pandas.Series, pyarrow.Table, pyarrow.RecordBatch, \
polars.DataFrame or None
            None, or a table without rows, writes no file.
        within : tuple of int
            Its place within the chunk of that index, where that one was split.

        Returns
        -------
        Part
            Its files are on disk, synced, or in the store.

        Raises
        ------
        PlanError
            `data` is not a table.
        SchemaError
            A column that the format or a directory's name has no form for, or that does not fit
            the dataset which parts are added to.
        OSError
            The disk is full, the staging directory or the store can't be reached.
        """
        label = name_chunk(index, key)
        if not _KEY.fullmatch(key) or index < 0:
            raise PlanError(f"{label}: the key or index can't be part of a file name")
        table = to_table(data, label)
        if table is None:
            return Part(index, key, None, ())
        check_columns(self.partition_by, table.column_names, label)
        if self.expected is not None:
            check_added(
                self.expected, table.schema, label, self.format, has_rows=table.num_rows > 0
            )
        if not table.num_rows:
            return Part(index, key, table.schema, ())
        attempt = WriteAttempt(index, key, os.urandom(4).hex(), within)
        pieces = list(enumerate(self._split(table, label)))
        try:
            if min(self.staging.at_once, len(pieces)) == 1:
                files = [self._put(attempt, *piece) for piece in pieces]
            else:
                with ThreadPoolExecutor(min(self.staging.at_once, len(pieces))) as pool:
                    files = list(pool.map(lambda piece: self._put(attempt, *piece), pieces))
        except SchemaError as error:
            error.message = f"{label}: {error.message}"
            raise
        self.staging.confirm([file.name for file in files])
        return Part(index, key, table.schema, tuple(files), within)

    def _put(
        self, attempt: WriteAttempt, number_of_file: int, piece: tuple[str, int | None, pa.Table]
    ) -> StagedFile:
        directory, number, rows = piece
        name, nbytes, checksum = self.staging.put(
            rows, self.format, directory, attempt, number_of_file
        )
        return StagedFile(name, directory, number, rows.num_rows, nbytes, checksum)

    def _split(self, table: pa.Table, label: str) -> Iterator[tuple[str, int | None, pa.Table]]:
        max_rows = self.max_rows_per_file
        for directory, rows in split_rows(table, self.partition_by, label):
            if max_rows is None:
                yield directory, None, rows
                continue
            for number, start in enumerate(range(0, rows.num_rows, max_rows)):
                yield directory, number, rows.slice(start, max_rows)


def check_added(
    expected: pa.Schema, schema: pa.Schema, label: str, format_: Format, *, has_rows: bool
) -> None:
    """Raise `SchemaError` if rows of `schema` don't fit a dataset of the schema `expected`."""
    common = CommonSchema()
    common.add(expected, "the dataset that is added to")
    common.add(schema, label, has_rows=has_rows)
    merged = common.schema
    if merged is None or not format_.is_typed or merged.equals(expected):
        return
    name, old, new = next(
        (field.name, field.type, other.type)
        for field, other in zip(expected, merged, strict=True)
        if field.type != other.type
    )
    raise SchemaError(
        f"column {name!r} is all null ({old}) in the existing dataset and {new} in {label}; write "
        "into a new directory",
        column=name,
    )


def check_order(parts: Sequence[Part]) -> None:
    """Raise `LedgerError` if a chunk comes twice or out of order."""
    part_of: dict[tuple[int, str], Part] = {}
    last = -1
    for part in parts:
        if (part.index, part.key) in part_of:
            raise LedgerError(f"{part.label} would be committed twice; keep one part of each chunk")
        if part.index < last:
            raise LedgerError(f"{part.label} comes after chunk {last:,}; give parts in chunk order")
        part_of[part.index, part.key] = part
        last = part.index


def agree(parts: Sequence[Part]) -> pa.Schema | None:
    """Return the schema that all `parts` have, None if none has any.

    Raises
    ------
    SchemaError
        Two chunks differ.
    """
    common = CommonSchema()
    for part in parts:
        if part.schema is not None:
            common.add(part.schema, part.label, has_rows=part.rows > 0)
    return common.schema


def lacks_types(
    part: Part, schema: pa.Schema | None, format_: Format, partition_by: Sequence[str]
) -> bool:
    """Return whether the files of `part` lack a type that a column got from other chunks."""
    if schema is None or not format_.is_typed:
        return False
    types = {field.name: field.type for field in part.schema or ()}
    return any(
        field.type != types[field.name] for field in schema if field.name not in partition_by
    )


def retype(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return `table` with the types of `schema`, which differ in columns without values."""
    fields = [schema.field(name) for name in table.column_names]
    columns = [
        pa.nulls(table.num_rows, field.type)
        if column.null_count == table.num_rows
        else column.cast(field.type)
        for field, column in zip(fields, table.columns, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata=schema.metadata))


def check_nbytes(part: Part, path: str, nbytes: int, written: int, step: str) -> None:
    """Raise `ReadError` if a file of `part` has not the bytes that were `written`.

    Parameters
    ----------
    part : Part
    path : str
        For the message, without secrets.
    nbytes : int
        What it has; -1 where it is missing.
    written : int
    step : str
        What to ask, as the end of the message.
    """
    if nbytes != written:
        state = "is missing" if nbytes < 0 else f"has {nbytes:,} bytes"
        raise ReadError(
            f"{path}: the file that {part.label} wrote {state}, instead of {written:,} bytes; "
            f"{step}? Run it again",
            path=path,
        )
