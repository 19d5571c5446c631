"""The one schema that all parts of a dataset have, found chunk by chunk.

It knows nothing of files. A column that is all null in one chunk has no type there (Arrow's
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

    def add(self, schema: pa.Schema, who: str, *, has_rows: bool = True) -> None:
        """Take in the schema of one more chunk.

        Parameters
        ----------
        schema : pyarrow.Schema
        who : str
            The chunk, for messages.
        has_rows : bool
            A chunk without rows has to have the same columns, of whatever types.

        Raises
        ------
        SchemaError
            Other columns, another order of them, or another type of one.
        """
        known = self.schema
        if known is None:
            self._names_from = who
        else:
            self._check_names(known.names, schema.names, who)
        if not has_rows:
            self._empty = self._empty or schema
        elif self._schema is None:
            self._schema = schema
            self._tellers = dict.fromkeys(schema.names, who)
        else:
            self._schema = self._merge(self._schema, schema, who)

    def _merge(self, known: pa.Schema, schema: pa.Schema, who: str) -> pa.Schema:
        source = known
        for place, (one, other) in enumerate(zip(source, schema, strict=True)):
            if one.type == other.type:
                continue
            merged = merge_types(one.type, other.type)
            if merged is None:
                raise SchemaError(
                    f"column {one.name!r} is {one.type} in {self._tellers[one.name]} and "
                    f"{other.type} in {who}; convert it in the function, so that every chunk has "
                    f"the same type (.astype)",
                    column=one.name,
                )
            if merged != one.type:
                self._tellers[one.name] = who
                known = known.set(place, one.with_type(merged))
        if known is not source and known.equals(schema):
            # What pandas tells of a column is true where the column has values.
            known = known.with_metadata(schema.metadata)
        return known

    def _check_names(self, known: list[str], names: list[str], who: str) -> None:
        if names == known:
            return
        missing = [name for name in known if name not in names]
        extra = [name for name in names if name not in known]
        what = [f"{name!r} is missing" for name in missing]
        what += [f"{name!r} is there as well" for name in extra]
        if not what:
            what = [f"they stand in another order, {names} instead of {known}"]
        raise SchemaError(
            f"{who}: its columns are not those of {self._names_from}: {', '.join(what)}; return "
            "the same columns from every chunk",
            column=[*missing, *extra, None][0],
        )


def merge_types(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The plain type that both stand for, nulls having none of their own; None where none does.

    >>> import pyarrow as pa
    >>> merge_types(pa.large_list(pa.null()), pa.large_list(pa.int64()))
    LargeListType(large_list<item: int64>)
    """
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if one.id != other.id:
        return None
    if pa.types.is_large_list(one):
        value = merge_types(one.value_type, other.value_type)
        return None if value is None else pa.large_list(value)
    if pa.types.is_struct(one):
        if [field.name for field in one] != [field.name for field in other]:
            return None
        types = [merge_types(a.type, b.type) for a, b in zip(one, other, strict=True)]
        if None in types:
            return None
        return pa.struct([a.with_type(t) for a, t in zip(one, types, strict=True)])
    return None
