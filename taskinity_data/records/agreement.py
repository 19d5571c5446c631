"""What the parts of a run have to agree on before they are committed, wherever they lie.

It knows nothing of files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from taskinity_data.errors import LedgerError
from taskinity_data.records.schemas import CommonSchema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.records.parts import Part

__all__ = ["agree", "check_order", "lacks_types", "retype"]


def check_order(parts: Sequence[Part]) -> None:
    """Raise `LedgerError` where a chunk comes twice, or before one that stands before it."""
    seen: dict[tuple[int, str], Part] = {}
    last = -1
    for part in parts:
        if (part.index, part.key) in seen:
            raise LedgerError(f"{part.who} is to be committed twice; keep one part of each chunk")
        if part.index < last:
            raise LedgerError(f"{part.who} comes behind chunk {last:,}; give parts in chunk order")
        seen[part.index, part.key] = part
        last = part.index


def agree(parts: Sequence[Part]) -> pa.Schema | None:
    """The schema that all `parts` have, None where none has any.

    Raises
    ------
    SchemaError
        Two chunks differ.
    """
    common = CommonSchema()
    for part in parts:
        if part.schema is not None:
            common.add(part.schema, part.who, has_rows=part.rows > 0)
    return common.schema


def lacks_types(part: Part, schema: pa.Schema, partition_by: Sequence[str]) -> bool:
    """Whether a column of `part` got its type from other chunks, so that its files lack it."""
    told = {one.name: one.type for one in part.schema or ()}
    return any(one.type != told[one.name] for one in schema if one.name not in partition_by)


def retype(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with the types of `schema`, which differ in columns without values."""
    fields = [schema.field(name) for name in table.column_names]
    columns = [
        pa.nulls(table.num_rows, one.type)
        if column.null_count == table.num_rows
        else column.cast(one.type)
        for one, column in zip(fields, table.columns, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata=schema.metadata))
