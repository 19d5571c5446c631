"""Values of a piece of CSV that do not fit their columns, or may not: found, and named."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from taskinity_data.formats.csv.fast import check_wide
from taskinity_data.formats.csv.pandas_parser import parse_column
from taskinity_data.formats.reader import Misfit
from taskinity_data.formats.schema import INT64_STOP

if TYPE_CHECKING:
    import pandas as pd

    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.formats.csv.pandas_parser import PieceParser
    from taskinity_data.formats.schema import Column

__all__ = ["check_floats", "check_floats_of", "misfit"]

NUMBERS = {"int64", "uint64", "float64"}


def check_floats_of(numbers: npt.NDArray[Any], column: Column, piece: PieceParser) -> None:
    """Raise `Misfit` if texts that became `numbers` may be others in the whole column."""
    if "na_values" in piece.options.per_chunk:
        check_missing(numbers, column, piece)
    if not column.is_proven and bool((np.abs(numbers) >= INT64_STOP).any()):
        check_wide(piece.texts(column), column, piece.options)


def check_missing(numbers: npt.NDArray[Any], column: Column, piece: PieceParser) -> None:
    """Raise `Misfit` if an integer is missing as a number, but not as it is written.

    na_values=[1] and " 1": pandas compares texts where all of the column are integers, else numbers
    too, which a chunk can't know.
    """
    if not np.isnan(numbers).any():
        return
    texts = piece.texts(column)
    is_integer = texts.str.fullmatch(r"\s*[+-]?[0-9]+\s*") == True  # noqa: E712 - or null
    unclear = np.isnan(numbers) & is_integer.to_numpy(dtype=bool)
    if unclear.any():
        row = int(unclear.argmax())
        why = "equals one of na_values as a number, but not as text; add it as it is written"
        raise Misfit(column, row, str(texts.iloc[row]), "str", why)


def check_floats(texts: pd.DataFrame, column: Column, options: CsvOptions) -> None:
    """Raise `Misfit` at the first text of a float column that pandas can't read as one."""
    values = texts[column.label]
    for row, text in first_rows(values):
        if isinstance(text, str) and kind_of(text, options) not in NUMBERS:
            raise Misfit(column, row, text, "str", "is not a number")


def misfit(column: Column, piece: PieceParser) -> Misfit:
    """Return the first value that does not fit a column of numbers or bools."""
    texts = piece.texts(column)
    for row, text in first_rows(texts):
        if not isinstance(text, str):
            if column.allows_missing:
                continue
            return Misfit(column, row, None, "float64", "is missing")
        kind = kind_of(text, piece.options)
        if kind == column.kind or (kind == "bool" and column.kind == "maybe_bool"):
            continue
        if column.kind == "uint64" and kind == "int64" and "-" not in text:
            continue
        if column.kind == "float64" and kind in NUMBERS:
            continue
        fits = "float64" if {kind, column.kind} <= NUMBERS else "str"
        return Misfit(
            column, row, text, fits, f"is not a valid {column.kind.replace('maybe_', '')}"
        )
    return Misfit(column, None, None, "str", f"has values that are not valid as {column.kind}")


def first_rows(texts: pd.Series) -> list[tuple[int, Any]]:
    """Return (row, text) of the first of each distinct text, in order."""
    firsts = texts.reset_index(drop=True).drop_duplicates()
    return list(zip(firsts.index.tolist(), firsts.tolist(), strict=True))


PLAIN_INTEGER = re.compile(r"-?[0-9]{1,18}")
PLAIN_FLOAT = re.compile(r"-?[0-9]{1,15}\.[0-9]{1,15}")


def kind_of(text: str, options: CsvOptions) -> str:
    """Return what pandas infers for a column of just this text."""
    # Each call of pandas takes 0.2 ms, and thousands of good values may precede the first bad one.
    if PLAIN_INTEGER.fullmatch(text):
        return "int64"
    if PLAIN_FLOAT.fullmatch(text) and options.per_chunk.get("decimal", ".") == ".":
        return "float64"
    names = ("true_values", "false_values", "decimal", "thousands")
    return str(parse_column([text], options, names, keep_default_na=False).dtype)
