"""The types of JSON values: how two of them join, which a user may name, how they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.types as pat

from taskinity_data.errors import PlanError
from taskinity_data.formats.schema import is_nullable_integer, to_pandas_dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "ITEMS",
    "MAX_DEPTH",
    "Clash",
    "NamedType",
    "format_path",
    "has_struct",
    "holds_no_null",
    "inside",
    "is_text",
    "join_types",
    "named_types",
    "type_of",
]

T = TypeVar("T")

MAX_DEPTH = 64
"""Lists and objects within each other: far more than data have, far less than overruns a stack."""

ITEMS = "[]"
MAX_STEPS = 8
"""Maximum length of the path shown for a deeply nested value."""

_TEXT = pa.large_string()


class Clash(ValueError):  # noqa: N818 - it becomes a PlanError or SchemaError
    """A value that no type holds exactly, or not the type of the other values.

    `path` leads to it from the column's value: keys of objects, and ``"[]"`` for the items of a
    list. `where` is the file and byte of the record that shows it, once that is known.
    """

    path: tuple[str, ...] = ()
    where: str = ""


def inside(step: str, function: Callable[..., T], *arguments: Any) -> T:
    """Call `function`; clashes in it are one `step` further in."""
    try:
        return function(*arguments)
    except Clash as clash:
        clash.path = (step, *clash.path)
        raise


class NamedType(NamedTuple):
    """A type that the user named, and pandas' dtype where it is one with missing values."""

    type: pa.DataType
    dtype: str = ""

    @property
    def is_strict(self) -> bool:
        """Whether no value may be null, since pandas' dtype has no room for it."""
        return holds_no_null(self.type) and not self.dtype


def holds_no_null(type_: pa.DataType) -> bool:
    """Return whether pandas' dtype for `type_` has no missing values."""
    return bool(pat.is_integer(type_) or pat.is_boolean(type_))


def has_struct(type_: pa.DataType) -> bool:
    """Return whether there are objects in values of `type_`."""
    if pat.is_list(type_):
        return has_struct(type_.value_type)
    return bool(pat.is_struct(type_))


def is_text(value: str) -> bool:
    """Return whether no half of a surrogate pair is in `value`."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def type_of(value: Any, depth: int = 0) -> pa.DataType:
    """Return the Arrow type of what `json.loads` gives.

    Raises
    ------
    Clash
        A list whose items have no common type, an integer beyond 64 bits, too deep a nesting, a
        key that is not text.
    """
    if depth > MAX_DEPTH:
        raise Clash(f"lists and objects are nested more than {MAX_DEPTH} deep")
    if value is None:
        return pa.null()
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 64:
            raise Clash("an integer beyond 64 bits, which no type holds exactly")
        return pa.int64() if value < 1 << 63 else pa.uint64()
    if isinstance(value, float):
        return pa.float64()
    if isinstance(value, str):
        return _TEXT
    if isinstance(value, list):
        return pa.list_(inside(ITEMS, _type_of_items, value, depth + 1))
    for key in value:
        if not is_text(key):
            raise Clash(f"the key {key!r}, which has a lone surrogate")
    return pa.struct([(key, inside(key, type_of, item, depth + 1)) for key, item in value.items()])


def _type_of_items(items: Iterable[Any], depth: int) -> pa.DataType:
    joined = pa.null()
    for item in items:
        joined = join_types(joined, type_of(item, depth))
    return joined


def join_types(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    """Return the narrowest type that holds the values of both.

    Raises
    ------
    Clash
        There is none, as for strings and numbers.

    Examples
    --------
    >>> join_types(pa.int64(), pa.float64())
    DataType(double)
    """
    if first == second or pat.is_null(second):
        return first
    if pat.is_null(first):
        return second
    if pat.is_list(first) and pat.is_list(second):
        return pa.list_(inside(ITEMS, join_types, first.value_type, second.value_type))
    if pat.is_struct(first) and pat.is_struct(second):
        fields = {field.name: field.type for field in first}
        for field in second:
            name, before = field.name, fields.get(field.name, pa.null())
            fields[name] = inside(name, join_types, before, field.type)
        return pa.struct(list(fields.items()))
    both = {first, second}
    if both == {pa.int64(), pa.uint64()}:
        return pa.uint64()
    if both <= {pa.int64(), pa.uint64(), pa.float64()}:
        return pa.float64()
    raise Clash(f"{name_of(first)} and {name_of(second)}")


def format_path(column: str, path: Sequence[str]) -> str:
    """Return ``" (in 'a.b[]')"`` for what is nested in a column, else ``""``."""
    if not path:
        return ""
    steps = "".join(step if step == ITEMS else f".{step}" for step in path[:MAX_STEPS])
    return f" (in {column + steps + '…' * (len(path) > MAX_STEPS)!r})"


def name_of(type_: pa.DataType) -> str:
    """Return the word for values of `type_` in JSON."""
    if pat.is_struct(type_):
        return "objects"
    if pat.is_list(type_):
        return "lists"
    if pat.is_boolean(type_):
        return "true or false"
    return "strings" if pat.is_large_string(type_) else "numbers"


def named_types(schema: Any) -> dict[str, NamedType]:
    """Return the types that ``schema=`` names, by column; none where it is None or ``"scan"``.

    Parameters
    ----------
    schema : None, "scan", pyarrow.Schema, or mapping of column to dtype

    Raises
    ------
    PlanError
        It is something else, or a type that JSON has no values of.
    """
    if schema is None or (isinstance(schema, str) and schema == "scan"):
        return {}
    pairs: Iterable[tuple[Any, Any]]
    if isinstance(schema, pa.Schema):
        pairs = [(field.name, field.type) for field in schema]
    elif isinstance(schema, dict):
        pairs = schema.items()
    else:
        raise PlanError(
            f"schema={schema!r}: must be None, 'scan', a pyarrow schema or a dict of dtypes"
        )
    types: dict[str, NamedType] = {}
    for name, dtype in pairs:
        if not isinstance(name, str) or name in types:
            raise PlanError(f"schema: {name!r} is not a name of one column")
        types[name] = _named_type(name, dtype)
    return types


def _named_type(name: str, requested: Any) -> NamedType:
    if isinstance(requested, pa.DataType):
        return NamedType(_readable(name, requested))
    dtype = to_pandas_dtype(name, requested)
    if isinstance(dtype, pd.StringDtype) or dtype == np.dtype(object):
        return NamedType(_TEXT)
    if isinstance(dtype, pd.BooleanDtype):
        return NamedType(pa.bool_(), "boolean")
    if is_nullable_integer(dtype):
        return NamedType(pa.from_numpy_dtype(dtype.numpy_dtype), str(dtype))
    if isinstance(dtype, np.dtype) and dtype.kind in "iufb":
        return NamedType(_readable(name, pa.from_numpy_dtype(dtype)))
    raise PlanError(_refusal(name, requested))


def _readable(name: str, type_: pa.DataType, depth: int = 0) -> pa.DataType:
    """Return `type_` as it is read, texts and lists in one way each."""
    if depth > MAX_DEPTH:
        raise PlanError(f"column {name!r}: its type is nested more than {MAX_DEPTH} deep")
    if pat.is_string(type_) or pat.is_large_string(type_):
        return _TEXT
    if pat.is_list(type_) or pat.is_large_list(type_):
        return pa.list_(_readable(name, type_.value_type, depth + 1))
    if pat.is_struct(type_):
        fields = [(part.name, _readable(name, part.type, depth + 1)) for part in type_]
        if len({field for field, _ in fields}) < len(fields):
            raise PlanError(f"column {name!r}: {type_} has a field twice")
        return pa.struct(fields)
    if pat.is_integer(type_) or type_ in (pa.null(), pa.bool_(), pa.float64()):
        return type_
    raise PlanError(_refusal(name, type_))


def _refusal(name: str, requested: Any) -> str:
    return (
        f"column {name!r}: JSON can't be held to {requested!s}; read it as an integer, float64, "
        "bool, str, 'Int64' or 'boolean' (with missing values), pa.list_ or pa.struct of these, "
        "and make of it what you want in the chunk function"
    )
