"""Describe a run's answer: the kind, the size and the first rows of any value. Never fails."""

from __future__ import annotations

from typing import Any

from taskinity_data.wording import encodable, format_count, safe_repr, safe_str, type_name

__all__ = ["describe_value", "value_html"]

_MAX_ROWS, _MAX_COLUMNS, _MAX_CHARACTERS, _MAX_CELL = 20, 100, 2_000, 200
_MAX_ANSWER, _MAX_HTML, _MAX_SMALL = 100_000, 1_000_000, 1_000


def describe_value(value: Any, max_rows: int | None = None) -> str:
    """Describe an answer and its beginning: frames and tables by their first rows. Never fails.

    Of a wide frame the first 100 columns; with `max_rows`, those that fit the terminal.

    >>> describe_value([1, 2, 3])
    'list of 3: [1, 2, 3]'
    """
    try:
        return _describe(value, max_rows)[:_MAX_ANSWER]
    except Exception as error:  # noqa: BLE001 - an answer may be any object
        return f"{type_name(value)}, which can't be shown: {type_name(error)} was raised"


def _describe(value: Any, max_rows: int | None) -> str:
    kind, rows = type_name(value), _MAX_ROWS if max_rows is None else max_rows
    shape = _shape_of(value)
    if shape is not None and hasattr(value, "to_string") and hasattr(value, "iloc"):
        size = format_count(shape[0], "row")
        if len(shape) == 2:
            size += f" × {format_count(shape[1], 'column')}"
        text = _first_rows(value, len(shape), max_rows) if shape[0] and rows else ""
        more = f"\n… {shape[0] - rows:,} more rows" if shape[0] > rows else ""
        return f"{kind}, {size}" + (f"\n{text}{more}" if text else "")
    if shape is not None and len(shape) == 2:
        return f"{kind}, {format_count(shape[0], 'row')} × {format_count(shape[1], 'column')}"
    if type(value).__module__ == "numpy" and shape is None:
        return safe_str(value)  # a number as a number
    is_sequence = issubclass(type(value), (list, tuple))
    is_cut = is_sequence and len(value) > _MAX_ROWS
    text = safe_repr(value[:_MAX_ROWS] if is_cut else value, _MAX_CHARACTERS)
    if is_cut:
        text += f" and {len(value) - _MAX_ROWS:,} more"
    if is_sequence or issubclass(type(value), (dict, set)):
        return f"{kind} of {len(value):,}: {text}"
    return text


def _shape_of(value: Any) -> tuple[int, ...] | None:
    """Return rows and columns of a frame or table, None for all else."""
    try:
        shape = value.shape
    except Exception:  # noqa: BLE001 - an answer may be any object
        return None
    is_shape = isinstance(shape, tuple) and len(shape) in (1, 2)
    return shape if is_shape and all(isinstance(count, int) for count in shape) else None


def _first_rows(value: Any, dimensions: int, max_rows: int | None) -> str:
    first = value.head(_MAX_ROWS if max_rows is None else max_rows)
    first = first if dimensions == 1 else first.iloc[:, :_MAX_COLUMNS]
    fits = {
        "max_cols": 0,
        "line_width": 80,
        "max_colwidth": 40,
    }  # 0: what the terminal has room for
    try:
        wide: dict[str, Any] = {"max_colwidth": _MAX_CHARACTERS} if max_rows is None else fits
        wide = {} if dimensions == 1 else wide
        text: str = first.to_string(**wide)
        if len(text) <= _MAX_ANSWER:
            return text
    except Exception:  # noqa: BLE001, S110 - a cell or label may be any object
        pass
    shown = first.astype(object).map(_cell)
    if dimensions == 2:
        shown.columns = [_cell(label) for label in first.columns]
    return str(shown.to_string())


def _cell(value: Any) -> str:
    # pandas holds text without half surrogate pairs.
    return encodable(safe_str(value)[:_MAX_CELL], "utf-8")


def value_html(value: Any) -> str | None:
    """Return what a notebook shows of a small `value` that has a form of its own: a Series too."""
    try:
        if hasattr(value, "__len__") and len(value) > _MAX_SMALL:
            return None
        shown = (value.to_frame() if hasattr(value, "to_frame") else value)._repr_html_()
    except Exception:  # noqa: BLE001 - an answer may be any object
        return None
    return shown if type(shown) is str and len(shown) <= _MAX_HTML else None
