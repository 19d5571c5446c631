"""The types of JSON values: how two of them join, which a user may name, how they are written.

It knows nothing of files or parsers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.types as pat

from taskinity_data.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "ITEMS",
    "MAX_DEPTH",
    "Clash",
    "NamedType",
    "code_of",
    "given_types",
    "has_struct",
    "holds_no_null",
    "join_types",
    "tell_path",
    "type_of",
]

MAX_DEPTH = 64
"""Lists and objects within each other: far more than data have, far less than overruns a stack."""

ITEMS = "[]"
MOST_STEPS = 8
"""Shown of the way to a value that lies deep."""

_TEXT = pa.large_string()


class Clash(ValueError):  # noqa: N818 - says what is the matter
    """Two values that no one type holds exactly, or one that none does.

    `path` leads to it from the column's value: keys of objects, and ``"[]"`` for the items of a
    list. `where` tells the file and byte of the record that shows it, once that is known.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.path: tuple[str, ...] = ()
        self.where = ""

    def at(self, where: str) -> Clash:
        """Itself, found at `where`, if no earlier place is known."""
        self.where = self.where or where
        return self

    def within(self, name: str) -> Clash:
        """Itself, seen from one level further out."""
        self.path = (name, *self.path)
        return self


@dataclass(frozen=True, slots=True)
class NamedType:
    """A type that the user named.

    Attributes
    ----------
    type : pyarrow.DataType
    is_strict : bool
        No value may be null, since pandas' dtype has no room for it.
    dtype : str
        pandas' dtype where it is one with missing values (``"Int64"``, ``"boolean"``), else ``""``.
    """

    type: pa.DataType
    is_strict: bool
    dtype: str = ""


def holds_no_null(type_: pa.DataType) -> bool:
    """Whether pandas' dtype for `type_` has no missing values."""
    return bool(pat.is_integer(type_) or pat.is_boolean(type_))


def has_struct(type_: pa.DataType) -> bool:
    """Whether there are objects in values of `type_`."""
    if pat.is_list(type_):
        return has_struct(type_.value_type)
    return bool(pat.is_struct(type_))


def type_of(value: Any, depth: int = 0) -> pa.DataType:
    """The Arrow type of what `json.loads` gives.

    Raises
    ------
    Clash
        A list whose items have no common type, an integer beyond 64 bits, too deep a nesting.
    """
    if depth > MAX_DEPTH:
        raise Clash(f"lists and objects lie more than {MAX_DEPTH} deep")
    if value is None:
        return pa.null()
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 64:
            raise Clash("an integer beyond 64 bits, which no column holds exactly")
        return pa.int64() if value < 1 << 63 else pa.uint64()
    if isinstance(value, float):
        return pa.float64()
    if isinstance(value, str):
        return _TEXT
    if isinstance(value, list):
        found = pa.null()
        try:
            for item in value:
                found = join_types(found, type_of(item, depth + 1))
        except Clash as error:
            raise error.within(ITEMS) from None
        return pa.list_(found)
    fields = []
    for key, item in value.items():
        try:
            fields.append((key, type_of(item, depth + 1)))
        except Clash as error:
            raise error.within(key) from None
    return pa.struct(fields)


def join_types(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The narrowest type that holds the values of both.

    Raises
    ------
    Clash
        There is none, as for texts and numbers.

    Examples
    --------
    >>> join_types(pa.int64(), pa.float64())
    DataType(double)
    """
    if one == other or pat.is_null(other):
        return one
    if pat.is_null(one):
        return other
    if pat.is_list(one) and pat.is_list(other):
        try:
            return pa.list_(join_types(one.value_type, other.value_type))
        except Clash as error:
            raise error.within(ITEMS) from None
    if pat.is_struct(one) and pat.is_struct(other):
        fields = {field.name: field.type for field in one}
        for field in other:
            known = fields.get(field.name, pa.null())
            try:
                fields[field.name] = join_types(known, field.type)
            except Clash as error:
                raise error.within(field.name) from None
        return pa.struct(list(fields.items()))
    both = {one, other}
    if both == {pa.int64(), pa.uint64()}:
        return pa.uint64()
    if both <= {pa.int64(), pa.uint64(), pa.float64()}:
        return pa.float64()
    raise Clash(f"{name_of(one)} beside {name_of(other)}")


def tell_path(column: str, path: Sequence[str]) -> str:
    """``" (in 'a.b[]')"`` for what lies deeper in a column, else ``""``."""
    if not path:
        return ""
    steps = "".join(step if step == ITEMS else f".{step}" for step in path[:MOST_STEPS])
    return f" (in {column + steps + '…' * (len(path) > MOST_STEPS)!r})"


def name_of(type_: pa.DataType) -> str:
    """What values of `type_` are called in JSON."""
    if pat.is_struct(type_):
        return "objects"
    if pat.is_list(type_):
        return "lists"
    if pat.is_boolean(type_):
        return "true or false"
    return "texts" if pat.is_large_string(type_) else "numbers"


def code_of(type_: pa.DataType, *, is_column: bool = True) -> str:
    """`type_` as it is written in ``schema=``, with room for null.

    Examples
    --------
    >>> code_of(pa.int64()), code_of(pa.list_(pa.int64()))
    ("'Int64'", 'pa.list_(pa.int64())')
    """
    if pat.is_list(type_):
        return f"pa.list_({code_of(type_.value_type, is_column=False)})"
    if pat.is_struct(type_):
        inner = (f"{one.name!r}: {code_of(one.type, is_column=False)}" for one in type_)
        return f"pa.struct({{{', '.join(inner)}}})"
    if not is_column or pat.is_null(type_):
        names = {pa.float64(): "float64", pa.bool_(): "bool_"}
        return f"pa.{names.get(type_, type_)}()"
    columns = {pa.bool_(): "boolean", pa.float64(): "float64", _TEXT: "str"}
    return repr(columns.get(type_) or str(type_).replace("int", "Int").replace("uI", "UI"))


def given_types(schema: Any) -> dict[str, NamedType]:
    """The types that ``schema=`` names, by column; none where it is None or ``"scan"``.

    Parameters
    ----------
    schema : None, "scan", pyarrow.Schema, or mapping of column to dtype

    Raises
    ------
    PlanError
        It is none of these, or a type that JSON has no values of.
    """
    if schema is None or (isinstance(schema, str) and schema == "scan"):
        return {}
    if isinstance(schema, pa.Schema):
        named: Iterable[tuple[Any, Any]] = [(one.name, one.type) for one in schema]
    elif isinstance(schema, dict):
        named = schema.items()
    else:
        raise PlanError(
            f"schema={schema!r}: must be None, 'scan', a pyarrow schema or a dict of dtypes"
        )
    types: dict[str, NamedType] = {}
    for name, wanted in named:
        if not isinstance(name, str) or name in types:
            raise PlanError(f"schema: {name!r} is no name of one column")
        types[name] = _given(name, wanted)
    return types


def _given(name: str, wanted: Any) -> NamedType:
    if isinstance(wanted, pa.DataType):
        type_ = _readable(name, wanted)
        return NamedType(type_, is_strict=holds_no_null(type_))
    try:
        dtype: Any = pd.api.types.pandas_dtype(wanted)
    except TypeError as error:
        raise PlanError(f"column {name!r}: {wanted!r} is no dtype: {error}") from error
    if isinstance(dtype, pd.StringDtype) or dtype == np.dtype(object):
        return NamedType(_TEXT, is_strict=False)
    if isinstance(dtype, pd.BooleanDtype):
        return NamedType(pa.bool_(), is_strict=False, dtype="boolean")
    numpy_dtype = getattr(dtype, "numpy_dtype", dtype)
    if isinstance(numpy_dtype, np.dtype) and numpy_dtype.kind in "iufb":
        type_ = _readable(name, pa.from_numpy_dtype(numpy_dtype))
        if numpy_dtype is dtype:
            return NamedType(type_, is_strict=holds_no_null(type_))
        if numpy_dtype.kind in "iu":
            return NamedType(type_, is_strict=False, dtype=str(dtype))
    raise PlanError(_refusal(name, wanted))


def _readable(name: str, type_: pa.DataType, depth: int = 0) -> pa.DataType:
    """`type_` as it is read, texts and lists in one way each."""
    if depth > MAX_DEPTH:
        raise PlanError(f"column {name!r}: its type lies more than {MAX_DEPTH} deep")
    if pat.is_string(type_) or pat.is_large_string(type_):
        return _TEXT
    if pat.is_list(type_) or pat.is_large_list(type_):
        return pa.list_(_readable(name, type_.value_type, depth + 1))
    if pat.is_struct(type_):
        fields = [(one.name, _readable(name, one.type, depth + 1)) for one in type_]
        if len({field for field, _ in fields}) < len(fields):
            raise PlanError(f"column {name!r}: {type_} names a field twice")
        return pa.struct(fields)
    if pat.is_integer(type_) or type_ in (pa.null(), pa.bool_(), pa.float64()):
        return type_
    raise PlanError(_refusal(name, type_))


def _refusal(name: str, wanted: Any) -> str:
    return (
        f"column {name!r}: JSON can't be held to {wanted!s}; read it as an integer, float64, bool, "
        "str, 'Int64' or 'boolean' (with missing values), pa.list_ or pa.struct of these, and make "
        "of it what you want in the chunk function"
    )
