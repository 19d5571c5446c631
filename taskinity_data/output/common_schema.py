"""The one schema that all parts of a dataset have, found chunk by chunk.

A column that is all null in one chunk has no type there (Arrow's
null), and takes the type that other chunks give it; nothing else is ever changed to fit.
"""

from __future__ import annotations

import pyarrow as pa

from taskinity_data.errors import SchemaError

__all__ = ["CommonSchema", "merge_types"]


class CommonSchema:
    """What the chunks seen so far agree on.

    Attributes
    ----------
    schema : pyarrow.Schema or None
        None as long as no chunk had columns.
    """

    def __init__(self) -> None:
        self._schema: pa.Schema | None = None
        self._empty: pa.Schema | None = None
        self._tellers: dict[str, str] = {}
        self._names_from = ""

    @property
    def schema(self) -> pa.Schema | None:
        """Of the chunks with rows, else of the first that had columns."""
        return self._empty if self._schema is None else self._schema

    def add(self, schema: pa.Schema, label: str, *, has_rows: bool = True) -> None:
        """Take in the schema of one more chunk.

        Parameters
        ----------
        schema : pyarrow.Schema
        label : str
            The chunk, for messages.
        has_rows : bool
            A chunk without rows has to have the same columns, of whatever types.

        Raises
        ------
        SchemaError
            Other columns, another order of them, or another type of one.
        """
        schema_before = self.schema
        if schema_before is None:
            self._names_from = label
        else:
            self._check_names(schema_before.names, schema.names, label)
        if not has_rows:
            self._empty = self._empty or schema
        elif self._schema is None:
            self._schema = schema
            self._tellers = dict.fromkeys(schema.names, label)
        else:
            self._schema = self._merge(self._schema, schema, label)

    def _merge(self, schema_before: pa.Schema, schema: pa.Schema, label: str) -> pa.Schema:
        source = schema_before
        for index, (field, other) in enumerate(zip(source, schema, strict=True)):
            if field.type == other.type:
                continue
            merged = merge_types(field.type, other.type)
            if merged is None:
                raise SchemaError(
                    f"column {field.name!r} is {field.type} in {self._tellers[field.name]} and "
                    f"{other.type} in {label}; convert it in the function, so that every chunk has "
                    f"the same type (.astype)",
                    column=field.name,
                )
            if merged != field.type:
                self._tellers[field.name] = label
                schema_before = schema_before.set(index, field.with_type(merged))
        if schema_before is not source and schema_before.equals(schema):
            # What pandas tells of a column is true where the column has values.
            schema_before = schema_before.with_metadata(schema.metadata)
        return schema_before

    def _check_names(self, names_before: list[str], names: list[str], label: str) -> None:
        if names == names_before:
            return
        missing = [name for name in names_before if name not in names]
        extra = [name for name in names if name not in names_before]
        differences = [f"{name!r} is missing" for name in missing]
        differences += [f"{name!r} is there as well" for name in extra]
        if not differences:
            differences = [f"their order is {names} instead of {names_before}"]
        raise SchemaError(
            f"{label}: its columns are not those of {self._names_from}: {', '.join(differences)}; "
            "return the same columns from every chunk",
            column=[*missing, *extra, None][0],
        )


def merge_types(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """Return the plain type of both, nulls having none of their own; None if there is none.

    >>> import pyarrow as pa
    >>> merge_types(pa.large_list(pa.null()), pa.large_list(pa.int64()))
    LargeListType(large_list<item: int64>)
    """
    if first == second or pa.types.is_null(second):
        return first
    if pa.types.is_null(first):
        return second
    if first.id != second.id:
        return None
    if pa.types.is_large_list(first):
        value = merge_types(first.value_type, second.value_type)
        return None if value is None else pa.large_list(value)
    if pa.types.is_struct(first):
        if [field.name for field in first] != [field.name for field in second]:
            return None
        types = [merge_types(a.type, b.type) for a, b in zip(first, second, strict=True)]
        if None in types:
            return None
        return pa.struct([a.with_type(t) for a, t in zip(first, types, strict=True)])
    return None
