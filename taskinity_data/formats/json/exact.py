"""Parse JSON Lines with Python's json module: slow, exact, with the offset of each error."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.types as pat

from taskinity_data.formats.json.cuts import find_lines
from taskinity_data.formats.json.types import (
    ITEMS,
    Clash,
    format_path,
    inside,
    is_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BadRecord", "parse_exact", "read_records"]


class BadRecord(Exception):  # noqa: N818 - it becomes a ReadError where the file is known
    """A line that can't be read.

    Attributes
    ----------
    offset : int
        Where the line begins, from the text's first byte.
    row : int
        The line's index among those that are not blank.
    why : str
    column : str or None
        Where a value does not fit the schema.
    value : object
    """

    def __init__(
        self, offset: int, row: int, why: str, column: str | None = None, value: Any = None
    ) -> None:
        super().__init__(offset, row, why, column, value)  # all, so that it can be pickled
        self.offset, self.row, self.why = offset, row, why
        self.column, self.value = column, value

    def __str__(self) -> str:
        return self.why


class ParsedLine(NamedTuple):
    """A line between two offsets, and its object, or why it is none."""

    begin: int
    end: int
    record: dict[str, Any] | None
    why: str = ""


def read_records(text: bytes) -> Iterator[ParsedLine]:
    """Yield the lines of `text` that are not blank; an object that names a key twice is none."""
    repeated: list[str] = []

    def to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(pairs)
        if len(record) < len(pairs):
            keys = [key for key, _ in pairs]
            repeated.append(next(key for key in keys if keys.count(key) > 1))
        return record

    decoder = json.JSONDecoder(object_pairs_hook=to_object)
    lines = find_lines(text)
    for begin, end in zip(lines.begins.tolist(), lines.ends.tolist(), strict=True):
        repeated.clear()
        record = None
        try:
            record = decoder.decode(text[begin:end].decode())
            why = ""
        except json.JSONDecodeError as error:
            why = f"this is not JSON: {error.msg} at its character {error.pos + 1}"
        except UnicodeDecodeError as error:
            why = f"byte {error.start + 1} of it is not UTF-8 ({error.reason})"
        except RecursionError:
            why = "its lists and objects are nested too deeply"
        except ValueError as error:
            why = f"this can't be read: {error}"
        if not why and not isinstance(record, dict):
            why = f"an object {{...}} was expected, not {text[begin:end].strip()[:20]!r}"
        if not why and repeated:
            why = f"the key {repeated[0]!r} is repeated in one object"
        yield ParsedLine(begin, end, None if why else record, why)


def parse_exact(
    text: bytes, schema: pa.Schema, strict: frozenset[str], *, is_open: bool
) -> pa.Table:
    """Return the lines of `text` that are not blank as a table of `schema`.

    Parameters
    ----------
    text : bytes
    schema : pyarrow.Schema
    strict : frozenset of str
        Columns without room for null.
    is_open : bool
        Keys that `schema` lacks are passed over.

    Raises
    ------
    BadRecord
        The first line that is malformed or does not fit.
    """
    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    fields = [(field.name, field.type, field.name in strict) for field in schema]
    for row, (offset, _, record, why) in enumerate(read_records(text)):
        if record is None:
            raise BadRecord(offset, row, why)
        if not is_open:
            for key, value in record.items():
                if key not in columns:
                    raise BadRecord(offset, row, unseen(key, value), key, value)
        for name, type_, is_strict in fields:
            value = record.get(name)
            try:
                if value is None and is_strict:
                    raise Clash(f"null or missing, unlike all other values of this {type_} column")
                columns[name].append(fit(value, type_))
            except Clash as clash:
                path = format_path(name, clash.path)
                why = (
                    f"column {name!r}{path}: {clash}; give a type that holds all values by "
                    "schema=, as {'a': 'Int64'} does, or schema='scan', or leave the column out "
                    "with columns="
                )
                raise BadRecord(offset, row, why, name, value) from clash
    return pa.table([pa.array(columns[name], type_) for name, type_, _ in fields], schema=schema)


def fit(value: Any, type_: pa.DataType) -> Any:
    """Return `value` as `type_` holds it, exactly.

    Raises
    ------
    Clash
        It does not.
    """
    if value is None:
        return None
    if pat.is_list(type_) and isinstance(value, list):
        return [inside(ITEMS, fit, item, type_.value_type) for item in value]
    if pat.is_struct(type_) and isinstance(value, dict):
        fields = {field.name: field.type for field in type_}
        for key in value:
            if key not in fields:
                raise Clash(f"the key {key!r} of an object in it was never seen before")
        return {key: inside(key, fit, item, fields[key]) for key, item in value.items()}
    if pat.is_large_string(type_) and isinstance(value, str):
        if not is_text(value):
            raise Clash(f"{show(value)} has a lone surrogate, which is not valid text")
        return value
    if pat.is_boolean(type_) and isinstance(value, bool):
        return value
    if pat.is_floating(type_) and isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if pat.is_floating(type_):
            return to_float(value)
        if pat.is_integer(type_):
            is_signed = pat.is_signed_integer(type_)
            stop = 1 << (type_.bit_width - is_signed)
            if (-stop if is_signed else 0) <= value < stop:
                return value
    raise Clash(f"{show(value)} is not a valid {type_}")


def to_float(value: int) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if number != value:
        raise Clash(f"the integer {value} has no exact float64")
    return number


def show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def unseen(key: str, value: Any) -> str:
    return (
        f"the key {key!r} (value {show(value)}) was not among those that the schema was made of; "
        "give its type by schema=, or schema='scan' to look at all of the data, or select the "
        "others with columns="
    )
