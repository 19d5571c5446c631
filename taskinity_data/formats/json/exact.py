"""Parse JSON Lines with Python's json module: slow, exact, with the place of each error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.types as pat

from taskinity_data.formats.json.cuts import find_lines
from taskinity_data.formats.json.types import ITEMS, Clash, code_of, join_types, tell_path, type_of
from taskinity_data.outcome import MAX_LINE_NBYTES, MAX_LINES, BadLine, BadLines, take_first

if TYPE_CHECKING:
    from taskinity_data.sources.file import Piece

__all__ = [
    "BadRecord",
    "LineParser",
    "blank_bad_lines",
    "parse_exact",
]

FLOAT_EXACT = 1 << 53


class BadRecord(Exception):  # noqa: N818 - says what is the matter
    """A line that can't be read.

    Attributes
    ----------
    offset : int
        Where the line begins, from the text's first byte.
    row : int
        The line's place among those that are not blank, from 0.
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


class JsonMisfit(ValueError):  # noqa: N818 - says what is the matter
    """A value that does not fit its column's type; `path` leads to it, as in `Clash`."""

    path: tuple[str, ...] = ()

    def within(self, name: str) -> JsonMisfit:
        """Itself, seen from one level further out."""
        self.path = (name, *self.path)
        return self


class NoText(JsonMisfit):
    """A string that no type of text holds."""


def parse_exact(
    text: bytes, schema: pa.Schema, strict: frozenset[str], *, is_open: bool
) -> pa.Table:
    """The lines of `text` that are not blank as a table of `schema`.

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
    names = set(schema.names)
    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    fields = [(one, one.name, one.type, one.name in strict) for one in schema]
    parser = LineParser()
    lines = find_lines(text)
    pairs = zip(lines.begins.tolist(), lines.ends.tolist(), strict=True)
    for row, (offset, end) in enumerate(pairs):
        record = parser.read(text, offset, end, row)
        if not is_open:
            for key in record:
                if key not in names:
                    raise BadRecord(offset, row, unseen(key, record[key]), key, record[key])
        for field, name, type_, is_strict in fields:
            value = record.get(name)
            try:
                if value is None and is_strict:
                    raise JsonMisfit(missing(field))
                columns[name].append(fit(value, type_))
            except JsonMisfit as error:
                step = "mend the file" if isinstance(error, NoText) else advice(field, value)
                why = f"column {name!r}{tell_path(name, error.path)}: {error}; {step}"
                raise BadRecord(offset, row, why, name, value) from error
    return pa.table([pa.array(columns[one.name], one.type) for one in schema], schema=schema)


class LineParser:
    """Reads lines by Python's json module, and sees keys that stand twice in an object."""

    def __init__(self) -> None:
        self._twice: list[str] = []
        self._decoder = json.JSONDecoder(object_pairs_hook=self._to_object)

    def read(self, text: bytes, begin: int, end: int, row: int) -> dict[str, Any]:
        """The object of the line between two offsets, the `row`-th.

        Raises
        ------
        BadRecord
            The line is no object of JSON, or names a key twice.
        """
        self._twice.clear()
        try:
            record = self._decoder.decode(text[begin:end].decode())
        except json.JSONDecodeError as error:
            why = f"this is no JSON: {error.msg} at its character {error.pos + 1}"
            raise BadRecord(begin, row, why) from error
        except UnicodeDecodeError as error:
            why = f"byte {error.start + 1} of it is no UTF-8 ({error.reason})"
            raise BadRecord(begin, row, why) from error
        except RecursionError as error:
            raise BadRecord(begin, row, "lists and objects lie too deep in it") from error
        except ValueError as error:
            raise BadRecord(begin, row, f"this can't be read: {error}") from error
        if not isinstance(record, dict):
            why = f"an object {{...}} was expected, not {text[begin:end].strip()[:20]!r}"
            raise BadRecord(begin, row, why)
        if self._twice:
            raise BadRecord(begin, row, f"the key {self._twice[0]!r} stands twice in one object")
        return record

    def _to_object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(pairs)
        if len(record) < len(pairs):
            keys = [key for key, _ in pairs]
            self._twice.append(next(key for key in keys if keys.count(key) > 1))
        return record


def fit(value: Any, type_: pa.DataType) -> Any:
    """`value` as `type_` holds it, exactly.

    Raises
    ------
    Misfit
        It does not.
    """
    if value is None:
        return None
    if pat.is_list(type_) and isinstance(value, list):
        return [fit_within(ITEMS, item, type_.value_type) for item in value]
    if pat.is_struct(type_) and isinstance(value, dict):
        fields = {one.name: one.type for one in type_}
        for key in value:
            if key not in fields:
                raise JsonMisfit(f"the key {key!r} of an object in it was never seen before")
        return {key: fit_within(key, item, fields[key]) for key, item in value.items()}
    if pat.is_large_string(type_) and isinstance(value, str):
        if has_lone_surrogate(value):
            raise NoText(f"{show(value)} holds half a surrogate pair, which is no text")
        return value
    if pat.is_boolean(type_) and isinstance(value, bool):
        return value
    if pat.is_floating(type_) and isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if pat.is_floating(type_):
            if abs(value) > FLOAT_EXACT and not is_exact(value):
                raise JsonMisfit(f"the integer {value} has no exact float64")
            return float(value)
        if pat.is_integer(type_) and fits_width(value, type_):
            return value
    raise JsonMisfit(f"{show(value)} is no {type_}")


def fit_within(step: str, value: Any, type_: pa.DataType) -> Any:
    try:
        return fit(value, type_)
    except JsonMisfit as error:
        raise error.within(step) from None


def has_lone_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= one <= "\udfff" for one in text)


def is_exact(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def fits_width(value: int, type_: pa.DataType) -> bool:
    if pat.is_signed_integer(type_):
        half = 1 << (type_.bit_width - 1)
        return bool(-half <= value < half)
    return bool(0 <= value < 1 << type_.bit_width)


def show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def missing(field: pa.Field) -> str:
    return f"null or missing, where no other value of this {field.type} column was"


def unseen(key: str, value: Any) -> str:
    try:
        wanted = code_of(type_of(value))
    except (Clash, UnicodeEncodeError) as error:
        wanted = f"... ({error})"
    return (
        f"the key {key!r} (value {show(value)}) was not among those that the schema was made of; "
        f"give schema={{{key!r}: {wanted}}}, or schema='scan' to look at all of the data, or "
        "select the others with columns="
    )


def advice(field: pa.Field, value: Any) -> str:
    """The next step where `value` is not of `field`'s type."""
    leave = "leave the column out with columns=, or mend the file"
    try:
        found = type_of(value)
        if pat.is_integer(field.type) and pat.is_integer(found):
            if value < 0:
                return f"integers below 0 and beyond int64 share no exact type: {leave}"
            joined = found
        else:
            joined = join_types(field.type, found)
    except (Clash, UnicodeEncodeError) as error:
        return f"no type holds it exactly ({error}): {leave}"
    if joined == field.type and value is not None:
        return f"no type holds all of these values exactly: {leave}"
    return f"give schema={{{field.name!r}: {code_of(joined)}}}, or schema='scan'"


def blank_bad_lines(text: bytes, piece: Piece, place: int, rows: int) -> tuple[bytes, BadLines]:
    """`text` with spaces for each line that can't be read, and these lines.

    Parameters
    ----------
    text : bytes
        Whole lines of `piece`.
    piece : Piece
    place : int
        Where `text` begins, from the piece's start.
    rows : int
        The lines of `piece` before it that are not blank.

    Notes
    -----
    All other lines stay where they are, so that what is said of them later holds for the file.
    """
    parser, lines = LineParser(), find_lines(text)
    blanked, count, nbytes = bytearray(text), 0, 0
    kept: list[BadLine] = []
    pairs = zip(lines.begins.tolist(), lines.ends.tolist(), strict=True)
    for row, (begin, end) in enumerate(pairs):
        try:
            parser.read(text, begin, end, row)
        except BadRecord as trouble:
            is_closed = text[end - 1 : end] == b"\n"
            blanked[begin : end - is_closed] = b" " * (end - is_closed - begin)
            count += 1
            nbytes += end - begin
            if len(kept) < MAX_LINES:
                start = piece.start + place
                raw = text[begin : min(end, begin + MAX_LINE_NBYTES)]
                kept.append(
                    BadLine(
                        piece.path,
                        start + begin,
                        start + end,
                        rows + row,
                        raw,
                        "utf-8",
                        trouble.why,
                    )
                )
    return bytes(blanked), BadLines(count, nbytes, take_first(kept))
