"""How a CSV file marks its fields and records: the options that decide where records end."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "WHITESPACE",
    "Dialect",
    "check_byte",
    "parse_csv_dialect",
    "parse_dialect",
]


WHITESPACE = r"\s+"
"""The separator that means any run of spaces and tabs, as in pandas."""

# They act on where records and fields end, so the cut pass has to know them as well.
DIALECT = (
    "quotechar",
    "quoting",
    "doublequote",
    "escapechar",
    "comment",
    "skip_blank_lines",
    "skipinitialspace",
)


MARKS = ("sep", "quotechar", "escapechar", "comment")


@dataclass(frozen=True, slots=True)
class Dialect:
    r"""The marks of a CSV text, with the names, meanings and defaults of `pandas.read_csv`.

    Attributes
    ----------
    sep : str
        Between fields; one ASCII character, or `WHITESPACE`.
    quotechar : str or None
        Around fields that hold other marks; None if quotes have no effect (``csv.QUOTE_NONE``).
    doublequote : bool
        Two quotes inside a quoted field are one quote of its text.
    escapechar : str or None
        Takes the meaning from the character that follows it, line ends included.
    comment : str or None
        From here to the end of the line nothing is data; a line that begins so is not a record.
    skip_blank_lines : bool
        Lines of nothing but spaces and tabs are not records (they are, where it is False).
    skipinitialspace : bool
        Spaces after `sep` are no part of the field, so that a quote may follow them.
    newlines_in_values : bool
        False promises that no field holds a line end: cuts are then found by seeking.

    Raises
    ------
    PlanError
        A mark is not one ASCII character, or is a line end.

    Notes
    -----
    Records end at ``\n``, ``\r\n`` or a lone ``\r``. All marks are found as bytes: right in UTF-8
    and in every encoding of one byte a character that extends ASCII.

    Examples
    --------
    >>> Dialect(sep="\t").sep_bytes
    b'\t'
    >>> Dialect(quotechar=None).quote_byte is None
    True
    """

    sep: str = ","
    quotechar: str | None = '"'
    doublequote: bool = True
    escapechar: str | None = None
    comment: str | None = None
    skip_blank_lines: bool = True
    skipinitialspace: bool = False
    newlines_in_values: bool = True

    def __post_init__(self) -> None:
        for name in MARKS:
            mark = getattr(self, name)
            if (mark is None and name != "sep") or (mark == WHITESPACE and name == "sep"):
                continue
            check_byte(name, mark)

    @property
    def sep_bytes(self) -> bytes:
        """The bytes that each separate fields, or do so in runs."""
        return b" \t" if self.sep == WHITESPACE else self.sep.encode()

    @property
    def quote_byte(self) -> int | None:
        """`quotechar` as a byte."""
        return None if self.quotechar is None else ord(self.quotechar)

    @property
    def escape_byte(self) -> int | None:
        """`escapechar` as a byte."""
        return None if self.escapechar is None else ord(self.escapechar)

    @property
    def comment_byte(self) -> int | None:
        """`comment` as a byte."""
        return None if self.comment is None else ord(self.comment)

    @property
    def blank_bytes(self) -> bytes:
        """The bytes that a blank line may be made of."""
        return b" \t" if self.sep == WHITESPACE else b" \t".replace(self.sep_bytes, b"")

    @property
    def plain_mark(self) -> str:
        """A character that is plain text."""
        special = {self.sep, self.quotechar, self.escapechar, self.comment}
        return next(digit for digit in "12345" if digit not in special)

    def make_record(self, width: int) -> bytes:
        """Return a record of so many plain fields."""
        return self.sep_bytes[:1].join([self.plain_mark.encode()] * width) + b"\n"

    @property
    def is_plain(self) -> bool:
        """Whether each byte has one meaning at most, so that the order of looking is free."""
        characters = [self.quotechar, self.escapechar, self.comment]
        marks = [mark for mark in characters if mark is not None]
        drops_sep = self.skipinitialspace and self.sep == " "
        return len({self.sep, *marks}) == 1 + len(marks) and not drops_sep


def parse_csv_dialect(value: Any) -> dict[str, Any]:
    """Return the options of a dialect of the module `csv`, which override others."""
    if value is None:
        return {}
    try:
        dialect = csv.get_dialect(value) if isinstance(value, str) else value
        marks = {name: getattr(dialect, name) for name in CSV_DIALECT}
    except (csv.Error, AttributeError) as error:
        raise PlanError(
            f"dialect={value!r}: {error}; give a dialect of the csv module or its name, such as "
            "'excel'"
        ) from error
    return {"sep": marks.pop("delimiter"), **marks}


CSV_DIALECT = (
    "delimiter", "doublequote", "escapechar", "skipinitialspace", "quotechar", "quoting",
)  # fmt: skip


def parse_dialect(arguments: Mapping[str, Any], *, newlines_in_values: bool) -> Dialect:
    """Return the dialect that the options of `pandas.read_csv` make."""
    if "sep" in arguments and "delimiter" in arguments:
        raise PlanError("sep= and delimiter= are the same option; give one of them")
    sep = arguments.get("sep", arguments.get("delimiter", ","))
    if sep is None:
        raise PlanError("sep=None lets pandas guess the separator; give it, such as sep=';'")
    values = {name: arguments[name] for name in DIALECT if name in arguments}
    quoting = values.pop("quoting", csv.QUOTE_MINIMAL)
    if quoting not in {csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE}:
        raise PlanError(
            f"quoting={quoting!r}: only QUOTE_MINIMAL, QUOTE_ALL and QUOTE_NONE are supported in "
            "chunks; leave quoting out and give dtype= for columns that must stay text"
        )
    if quoting == csv.QUOTE_NONE:
        values["quotechar"] = None
    elif values.get("quotechar", '"') is None:
        raise PlanError("quotechar=None requires quoting=csv.QUOTE_NONE (3)")
    dialect = Dialect(sep=sep, newlines_in_values=newlines_in_values, **values)
    names: dict[str, str] = {}
    for name in MARKS:
        character = getattr(dialect, name)
        if character in names:
            raise PlanError(
                f"{names[character]}= and {name}= are both {character!r}; they must differ"
            )
        if character is not None:
            names[character] = name
    return dialect


def check_byte(name: str, value: Any) -> None:
    """Refuse what is not one ASCII character, or one that ends lines or fields by itself."""
    if not isinstance(value, str) or not value:
        raise PlanError(f"{name}={value!r}: must be one character")
    if len(value) > 1 and name == "sep":
        raise PlanError(
            rf"sep={value!r}: a separator of several characters is a regular expression in pandas "
            r"and can't be cut safely; rewrite the file with a separator of one character, or give "
            r"sep='\s+' for spaces and tabs"
        )
    if len(value) > 1 or not value.isascii():
        raise PlanError(f"{name}={value!r}: must be one ASCII character")
    if value in "\r\n\0" or (name != "sep" and value in " \t"):
        raise PlanError(f"{name}={value!r}: this character can't be used as {name}")
