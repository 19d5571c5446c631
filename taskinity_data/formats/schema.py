"""Infer, merge, accept and write the schema that every chunk of a text dataset has."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api import types

from taskinity_data.errors import PlanError
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

__all__ = [
    "BOOLS",
    "KINDS",
    "Column",
    "ColumnFacts",
    "arrow_schema",
    "fits_int64",
    "freeze",
    "given_column",
    "given_columns",
    "is_nullable_integer",
    "is_proven_by",
    "observe",
    "text_column",
    "with_room",
]

INT64_STOP = 1 << 63

# What a column's texts are read as. pandas' own inference has no other kinds.
KINDS = {
    "int64": pa.int64(),
    "uint64": pa.uint64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "maybe_bool": pa.bool_(),
    "str": pa.large_string(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """How one column is read, in every chunk.

    Attributes
    ----------
    label : str or int
        As in pandas.
    kind : str
        A key of `KINDS`: what its texts must be. ``"maybe_bool"`` is bool with missing values,
        which pandas holds as objects; missing values are else allowed in float64 and str only.
    dtype : pandas dtype
        What pandas holds it as.
    is_given : bool
        The user named the type, so that pandas would not have inferred it.
    is_proven : bool
        The file's first values show how pandas infers the column, whatever follows. Where they
        do not, an integer beyond int64 later on may change the meaning of the whole column.
    """

    label: Hashable
    kind: str
    dtype: Any
    is_given: bool = False
    is_proven: bool = False

    @property
    def name(self) -> str:
        """Its name in Arrow."""
        return str(self.label)

    @property
    def arrow_type(self) -> Any:
        """Its type in Arrow."""
        if isinstance(self.dtype, pd.CategoricalDtype):
            return pa.dictionary(pa.int32(), pa.large_string(), ordered=bool(self.dtype.ordered))
        if isinstance(self.dtype, np.dtype) and self.dtype.kind in "iuf":
            return pa.from_numpy_dtype(self.dtype)
        if is_nullable_integer(self.dtype):
            return pa.from_numpy_dtype(self.dtype.numpy_dtype)
        return KINDS[self.kind]

    @property
    def details(self) -> str:
        """What decides its values and is not in the text of its dtype."""
        is_category = isinstance(self.dtype, pd.CategoricalDtype)
        return repr(list(self.dtype.categories)) if is_category else ""

    @property
    def is_made_of_texts(self) -> bool:
        """Whether a parser reads texts, from which its values are made afterwards."""
        return False

    def as_text(self) -> Column:
        """Return the column of texts that it is made of, or itself where it is not."""
        return text_column(self.label) if self.is_made_of_texts else self

    @property
    def needs_pandas(self) -> bool:
        """Whether an Arrow table of some rows does not tell what pandas holds of the whole."""
        return self.kind == "maybe_bool" or is_nullable_integer(self.dtype)

    @property
    def allows_missing(self) -> bool:
        """Whether a missing value fits."""
        return self.kind in {"float64", "str", "maybe_bool"} or is_nullable_integer(self.dtype)


ColumnFacts = frozenset[str]
"""What some slices of a file showed about one column.

It holds ``"null"``, ``"integer"``, ``"negative"``, ``"zero"`` (the lowest integer of a slice is 0,
or a -0), ``"big"`` (integer of uint64 only), ``"huge"`` (integer of neither), ``"float"`` (any
number, where missing values hide whether they are integers), ``"bool"``, ``"text"``,
``"wide text"`` (numbers that pandas left as texts for an integer beyond int64 among the first)."""


def observe(values: pd.Series) -> ColumnFacts:
    """Return what a slice shows about a column, from the type that pandas inferred for it.

    Parameters
    ----------
    values : Series of int64, uint64, float64, bool, str or object
        As `pandas.read_csv` gave it without a dtype.
    """
    if len(values) == 0:
        return ColumnFacts()
    kind = values.dtype.kind
    if kind == "i":
        lowest = values.to_numpy().min()
        kinds = {"integer"}
        if lowest <= 0:
            kinds.add("negative" if lowest < 0 else "zero")
    elif kind == "u":
        kinds = {"integer", "big"}
    elif kind == "b":
        kinds = {"bool"}
    elif kind == "f":
        # Through NumPy, since a table may have hundreds of columns.
        n_null = int(np.count_nonzero(np.isnan(values.to_numpy())))
        kinds = ({"null"} if n_null else set()) | ({"float"} if n_null < len(values) else set())
    else:
        kinds = {"null"} if bool(values.isna().any()) else set()
        if values.dtype == object:
            kinds |= {"bool" if isinstance(value, BOOLS) else "huge" for value in values.dropna()}
        else:
            kinds |= {"integer", "negative", "big"} if are_wide_integers(values) else {"text"}
    return ColumnFacts(kinds)


def are_wide_integers(texts: pd.Series) -> bool:
    """Return whether pandas left all of them as texts since some integers are beyond int64."""
    is_wide = False
    for text in texts:
        if isinstance(text, str) and text:
            if not INTEGER.fullmatch(text):
                return False
            is_wide |= not fits_int64(text)
    return is_wide


BOOLS = (bool, np.bool_)


def freeze(label: Hashable, kinds: ColumnFacts, *, is_proven: bool) -> Column:
    """Return the column that pandas would infer over all that was seen.

    Raises
    ------
    PlanError
        A column has integers beyond int64 and other values, so that its dtype depends on their
        order.
    """
    kinds -= {"zero"}
    if "wide text" in kinds:
        # Pandas would have made floats of them, had the slice not begun there.
        kinds = kinds - {"wide text"} | ({"float"} if is_proven else {"text"})
    if not kinds:
        return Column(label, "str", np.dtype(object), is_proven=True)
    wide = kinds & {"big", "huge"}
    if "text" in kinds:
        kind = "str"
    elif "bool" in kinds:
        kind = "str" if kinds & {"integer", "float", "huge"} else "bool"
        kind = "maybe_bool" if kind == "bool" and "null" in kinds else kind
    elif wide and not is_proven:
        if kinds != {"integer", "big"}:
            raise PlanError(
                f"column {label!r}: it has integers beyond int64 and {', '.join(sorted(kinds))} "
                f"values, and its dtype in pandas depends on their order; give schema={{{label!r}: "
                f"'float64'}} or schema={{{label!r}: 'str'}}"
            )
        kind = "uint64"
    elif kinds & {"null", "float", "huge"}:
        kind = "float64"
    else:
        kind = "uint64" if wide else "int64"
    return Column(label, kind, dtype_of_kind(kind), is_proven=is_proven)


def text_column(label: Hashable) -> Column:
    """Return a column of whatever type."""
    return Column(label, "str", dtype_of_kind("str"), is_proven=True)


def dtype_of_kind(kind: str) -> Any:
    if kind == "str":
        return pd.StringDtype(na_value=np.nan)
    return np.dtype(object if kind == "maybe_bool" else kind)


INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*")


def is_proven_by(texts: Iterable[Any], thousands: str = "") -> bool:
    """Return whether a column's first texts settle how pandas infers it, whatever follows.

    pandas tries int64 first, and gives up at the first text that is not an integer. An integer
    beyond int64 before that text leads to another dtype (uint64, object, or strings in which a
    missing value is ``''``).
    """
    for text in texts:
        if not isinstance(text, str):
            continue
        if thousands:
            text = text.replace(thousands, "")
        if not INTEGER.fullmatch(text):
            return True
        if not fits_int64(text):
            return False
    return False


def fits_int64(text: str) -> bool:
    """Return whether an integer, as it is written, is one of int64; of any number of digits."""
    bare = text.strip()
    digits = bare.lstrip("+-").lstrip("0") or "0"
    # Python makes no int of more than 4,300 digits.
    if len(digits) > len(str(INT64_STOP)):
        return False
    number = -int(digits) if bare.startswith("-") else int(digits)
    return -INT64_STOP <= number < INT64_STOP


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """Return the Arrow schema of `columns`."""
    return pa.schema([pa.field(column.name, column.arrow_type) for column in columns])


def is_nullable_integer(dtype: Any) -> bool:
    """Return whether `dtype` is one of integers with room for missing values."""
    return types.is_extension_array_dtype(dtype) and types.is_integer_dtype(dtype)


def given_columns(dtype: Any, schema: Any, labels: Sequence[Hashable]) -> dict[Hashable, Column]:
    """Return the columns whose types the user named, by label.

    Parameters
    ----------
    dtype : dtype, mapping, or None
        The option of `pandas.read_csv`.
    schema : mapping of label to dtype, pyarrow.Schema, or None
    labels : sequence
        The labels of all columns of the dataset.

    Raises
    ------
    PlanError
        An unknown column, a type that no chunk can be held to, or both options for a column.
    """
    by_dtype = as_mapping("dtype", dtype, labels)
    by_schema = as_mapping("schema", schema, labels)
    for label in by_dtype.keys() & by_schema.keys():
        raise PlanError(f"column {label!r}: dtype= and schema= both set its type; keep one")
    return {label: given_column(label, type_) for label, type_ in {**by_dtype, **by_schema}.items()}


def with_room(column: Column, *, is_arrow: bool, lacks: str) -> Column:
    """Return `column` with room for the missing values of a file that lacks it.

    Parameters
    ----------
    column : Column
        Its type was named.
    is_arrow : bool
        By an Arrow type, which has room for nulls; pandas then holds it by the dtype that has room.
    lacks : str
        That file.

    Raises
    ------
    PlanError
        A dtype was named that has no room.
    """
    if column.allows_missing:
        return column
    dtype = column.dtype
    is_bool = column.kind == "bool"
    wide = "str" if is_bool else dtype.name.replace("i", "I").replace("uI", "UI")
    if not is_arrow:
        also = "" if is_bool else " or 'float64'"
        raise PlanError(
            f"column {column.label!r}: {lacks} lacks it, and {dtype} can't hold missing values; "
            f"give schema={{{column.label!r}: {wide!r}}}{also}"
        )
    if is_bool:
        return replace(column, kind="maybe_bool", dtype=np.dtype(object))
    return replace(column, kind="str", dtype=pd.api.types.pandas_dtype(wide))


def as_mapping(option: str, value: Any, labels: Sequence[Hashable]) -> Mapping[Hashable, Any]:
    if value is None:
        return {}
    if isinstance(value, pa.Schema):
        by_name = {str(label): label for label in labels}
        value = {by_name.get(field.name, field.name): field.type for field in value}
    elif isinstance(value, defaultdict) and value.default_factory is not None:
        value = {label: value.default_factory() for label in labels} | dict(value)
    elif isinstance(value, list | tuple | set) or callable(getattr(value, "fields", None)):
        raise PlanError(f"{option}={value!r}: must be a dict of column to dtype")
    elif not isinstance(value, dict):
        if option == "schema":
            raise PlanError(
                f"schema={value!r}: must be None, 'scan', a pyarrow schema or a dict of dtypes"
            )
        value = dict.fromkeys(labels, value)
    for label in value:
        if label not in labels:
            raise PlanError(
                f"{option}=: there is no column {label!r} among "
                f"{', '.join(map(repr, labels))}.{suggest(str(label), map(str, labels))}"
            )
    return dict(value)


_KIND_OF = {"b": "bool", "i": "int64", "u": "uint64", "f": "float64", "O": "str"}


def given_column(label: Hashable, type_: Any) -> Column:
    """Return the column of a type that was requested."""
    if isinstance(type_, Column):
        return replace(type_, label=label, is_given=True)
    dtype = to_pandas_dtype(label, type_)
    flags = {"is_given": True, "is_proven": True}
    if isinstance(dtype, pd.CategoricalDtype | pd.StringDtype) or is_nullable_integer(dtype):
        return Column(label, "str", dtype, **flags)
    if isinstance(dtype, np.dtype):
        dtype = np.dtype(object) if dtype.kind == "U" and not dtype.itemsize else dtype
        is_read = dtype.kind in _KIND_OF and (dtype.kind != "f" or dtype.itemsize in {4, 8})
        if is_read:
            return Column(label, _KIND_OF[dtype.kind], dtype, **flags)
    raise PlanError(
        f"column {label!r}: chunks of CSV can't be read as {type_!r}; read it as 'str' and "
        "convert in the chunk function, or name an integer, a float, bool, 'Int64' (integers with "
        "missing values) or a CategoricalDtype with its categories"
    )


def to_pandas_dtype(label: Hashable, type_: Any) -> Any:
    if isinstance(type_, pa.DataType):
        if pa.types.is_string(type_) or pa.types.is_large_string(type_):
            return dtype_of_kind("str")
        simple = pa.types.is_integer(type_) or pa.types.is_floating(type_)
        if simple or pa.types.is_boolean(type_):
            return np.dtype(type_.to_pandas_dtype())
        raise PlanError(
            f"column {label!r}: {type_} can't be read from CSV here; read it as string and cast "
            "in the chunk function"
        )
    try:
        return pd.api.types.pandas_dtype(type_)
    except TypeError as error:
        raise PlanError(f"column {label!r}: {type_!r} is not a dtype: {error}") from error
