"""Define which options of `pandas.read_csv` a CSV dataset supports, and which it refuses."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.encodings import parse_encoding, parse_encoding_errors
from taskinity_data.formats.csv.label_options import (
    SIGNATURE,
    check_with_pandas,
    parse_date_options,
    parse_header,
    parse_index_col,
    parse_names,
    parse_nrows,
    parse_skiprows,
    parse_usecols,
)
from taskinity_data.formats.csv.records.dialect import (
    WHITESPACE,
    check_byte,
    parse_csv_dialect,
    parse_dialect,
)
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskinity_data.formats.csv.records.dialect import Dialect

__all__ = ["CsvOptions", "parse_options"]

# Handed to pandas for each chunk as they are: they act on one field at a time.
PER_CHUNK = (
    "na_values",
    "keep_default_na",
    "na_filter",
    "true_values",
    "false_values",
    "decimal",
    "thousands",
)

IN_FUNCTION = "do it in the chunk function"
REFUSED = {
    "skipfooter": "the last rows are known only at the end of the file; drop them in the function",
    "converters": f"types are inferred from all that converters return; {IN_FUNCTION}",
    "iterator": "a dataset is read in chunks already; use chunk_size=",
    "chunksize": "a dataset is read in chunks already; use chunk_size= of the dataset",
    "compression": "give it to open_dataset, not to the reader",
    "lineterminator": "lines end with \\n, \\r\\n or \\r; write the file with one of these",
    "storage_options": "give it to open_dataset, not to the reader",
}


@dataclass(frozen=True)
class CsvOptions:
    """The options of a CSV reader, checked; picklable.

    Attributes
    ----------
    dialect : Dialect
        All that decides where a record ends.
    encoding, encoding_errors : str
        As Python names them; see `encodings`.
    header : int, tuple of int, "infer" or None
        The row that holds the names, or several of which each is a level of them.
    names : tuple of labels, or None
    skiprows : int or tuple of int
        How many lines are left out before the header, or which lines of the file, from 0.
    nrows : int or None
        Rows of each file, from its first.
    usecols : tuple of labels or positions, callable, or None
        In the file's order afterwards, as in pandas. A function is called for each label when the
        dataset is opened; the reader holds the labels.
    index_col : tuple of labels or positions
        The columns that are the index of each chunk.
    skips_bad_lines : bool
        Rows with too many fields are left out and counted; else they are errors.
    keeps_bad_lines : bool
        They are returned in addition to the remaining rows.
    parse_dates : tuple of labels or positions
        Columns of dates.
    date_format : str, mapping of label to str, or None
        Their formats, where they are not to be guessed.
    dayfirst : bool
        Dates are parsed with the day first.
    dtype : dtype, mapping of label to dtype, or None
        As pandas takes it.
    dtype_backend : "numpy_nullable", "pyarrow" or None
        Whose dtypes columns have that `dtype` does not name.
    per_chunk : dict
        Options that pandas is given for each chunk as they are.
    """

    dialect: Dialect
    encoding: str = "utf-8"
    encoding_errors: str = "strict"
    header: int | str | tuple[int, ...] | None = "infer"
    names: tuple[Any, ...] | None = None
    skiprows: Any = 0
    nrows: int | None = None
    usecols: Any = None
    index_col: tuple[Any, ...] = ()
    skips_bad_lines: bool = False
    keeps_bad_lines: bool = False
    parse_dates: tuple[Any, ...] = ()
    date_format: Any = None
    dayfirst: bool = False
    dtype: Any = None
    dtype_backend: str | None = None
    per_chunk: Mapping[str, Any] = field(default_factory=dict)

    def for_pandas(self) -> dict[str, Any]:
        """Return the keyword arguments of `pandas.read_csv` that hold for head and chunks alike."""
        dialect = self.dialect
        keywords = {
            "sep": dialect.sep,
            "doublequote": dialect.doublequote,
            "escapechar": dialect.escapechar,
            "comment": dialect.comment,
            "skip_blank_lines": dialect.skip_blank_lines,
            "skipinitialspace": dialect.skipinitialspace,
            "engine": "c",
            "low_memory": False,
            **self.per_chunk,
        }
        if dialect.quotechar is None:
            keywords["quoting"] = csv.QUOTE_NONE
        else:
            keywords["quotechar"] = dialect.quotechar
        if self.skips_bad_lines:
            keywords["on_bad_lines"] = "skip"
        return keywords

    def for_head(self) -> dict[str, Any]:
        """Return the same, and those that say where names come from."""
        skiprows = list(self.skiprows) if isinstance(self.skiprows, tuple) else self.skiprows
        header = list(self.header) if isinstance(self.header, tuple) else self.header
        keywords = {**self.for_pandas(), "header": header, "skiprows": skiprows}
        if self.names is not None:
            keywords["names"] = list(self.names)
        return keywords

    @cached_property
    def identity(self) -> str:
        """A stable text of all options that decide how bytes are read."""
        return ", ".join(stable(getattr(self, each.name)) for each in fields(self))


def stable(value: Any) -> str:
    """Return a text of `value` that is the same in every process: sets and mappings are sorted."""
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{key!r}: {stable(value[key])}' for key in value))}}}"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(repr, value)))}}}"
    if isinstance(value, list | tuple | np.ndarray | pd.Index | pd.Series):
        # repr leaves out the middle of a long array.
        return f"[{', '.join(map(stable, value))}]"
    return repr(value)


def parse_options(options: Mapping[str, Any]) -> CsvOptions:
    """Return the options of a CSV dataset, checked before any file is opened.

    Parameters
    ----------
    options : mapping
        Names and meanings of `pandas.read_csv`, and ``newlines_in_values`` (default True). An
        option that is refused may be given its default.

    Returns
    -------
    CsvOptions

    Raises
    ------
    PlanError
        An option that `pandas.read_csv` does not have, or that can't be honoured chunk by chunk.
    """
    arguments = dict(options)
    newlines_in_values = bool(arguments.pop("newlines_in_values", True))
    for name, value in arguments.items():
        check_name(name)
        if name in REFUSED and not is_default(name, value):
            raise PlanError(f"{name}={value!r} can't be honoured chunk by chunk: {REFUSED[name]}")
    arguments = {name: value for name, value in arguments.items() if not is_default(name, value)}
    check_with_pandas(arguments)
    marks = parse_csv_dialect(arguments.get("dialect"))
    if marks:
        arguments.pop("delimiter", None)
        arguments |= marks
    check_engine(arguments)
    check_values(arguments)
    encoding = parse_encoding(arguments.get("encoding"))
    parse_dates, date_format = parse_date_options(arguments)
    bad_lines = parse_bad_lines(arguments)
    return CsvOptions(
        dialect=parse_dialect(arguments, newlines_in_values=newlines_in_values),
        encoding=encoding,
        encoding_errors=parse_encoding_errors(arguments.get("encoding_errors"), encoding),
        header=parse_header(arguments.get("header", "infer"), arguments),
        names=parse_names(arguments.get("names")),
        skiprows=parse_skiprows(arguments.get("skiprows"), arguments),
        nrows=parse_nrows(arguments.get("nrows"), arguments),
        usecols=parse_usecols(arguments.get("usecols"), arguments),
        index_col=parse_index_col(arguments.get("index_col")),
        skips_bad_lines=bad_lines != "error",
        keeps_bad_lines=bad_lines == "quarantine",
        parse_dates=parse_dates,
        date_format=date_format,
        dayfirst=bool(arguments.get("dayfirst", False)),
        dtype=arguments.get("dtype"),
        dtype_backend=arguments.get("dtype_backend"),
        per_chunk={name: arguments[name] for name in PER_CHUNK if name in arguments},
    )


def check_name(name: str) -> None:
    if name not in SIGNATURE:
        names = [*SIGNATURE, "newlines_in_values", "columns", "filters", "schema", "format"]
        raise PlanError(
            f"{name}= is not an option of pandas.read_csv, nor of open_dataset."
            f"{suggest(name, names)}"
        )


def is_default(name: str, value: Any) -> bool:
    default = SIGNATURE[name]
    if name in {"na_values", "dtype", "names", "usecols", "true_values", "false_values"}:
        return value is default or value is None
    return value is default or (type(value) is type(default) and bool(value == default))


def check_engine(arguments: Mapping[str, Any]) -> None:
    """Refuse values that would change how bytes are parsed and are not supported."""
    if arguments.get("index_col") is False and arguments.get("on_bad_lines", "error") != "error":
        raise PlanError(
            f"index_col=False with on_bad_lines={arguments['on_bad_lines']!r}: pandas then drops "
            "other rows; leave index_col out"
        )
    if arguments.get("engine", "c") != "c":
        raise PlanError(
            f"engine={arguments['engine']!r}: chunks are what pandas' C engine reads; leave engine "
            "out"
        )
    if arguments.get("float_precision", "round_trip") != "round_trip":
        raise PlanError(
            f"float_precision={arguments['float_precision']!r}: floats are always correctly "
            "rounded ('round_trip'); leave float_precision out"
        )


def parse_bad_lines(arguments: Mapping[str, Any]) -> str:
    """Return what is done with rows with too many fields."""
    value = arguments.get("on_bad_lines", "error")
    if callable(value):
        raise PlanError(
            "on_bad_lines=: a function requires pandas' Python engine; use 'skip', or "
            "'quarantine', which lists the lines in run.bad_lines"
        )
    if value not in BAD_LINES:
        raise PlanError(
            f"on_bad_lines={value!r}: use one of {', '.join(BAD_LINES)}."
            f"{suggest(str(value), BAD_LINES)}"
        )
    if value == "quarantine" and WHITESPACE in (arguments.get("sep"), arguments.get("delimiter")):
        raise PlanError(
            f"on_bad_lines='quarantine': fields that sep={WHITESPACE!r} separates are not counted; "
            "use on_bad_lines='skip'"
        )
    if value != "error" and arguments.get("usecols") is not None:
        raise PlanError(
            f"on_bad_lines={value!r}: with usecols=, pandas treats no row as bad; use columns="
        )
    return str(value)


BAD_LINES = ("error", "skip", "warn", "quarantine")


def check_values(arguments: Mapping[str, Any]) -> None:
    """Refuse spellings of values by which a column's type would depend on all of its values."""
    for name in ("decimal", "thousands"):
        if name in arguments:
            check_byte(name, arguments[name])
    for name in ("true_values", "false_values"):
        words = arguments.get(name, [])
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise PlanError(f"{name}={words!r}: must be a list of strings")
        for word in words:
            if NUMBER.fullmatch(word):
                raise PlanError(
                    f"{name}={words!r}: {word!r} is also a number, and which one it is depends on "
                    "the whole column; map it in the chunk function"
                )


# Digits, or one of the words that pandas reads as a float.
NUMBER = re.compile(r"\s*[+-]?([0-9.,]+(e[+-]?[0-9]+)?|inf(inity)?|nan.*)\s*", re.IGNORECASE)
