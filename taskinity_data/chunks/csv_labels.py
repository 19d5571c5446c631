"""The options of `pandas.read_csv` that name columns or say where names come from, checked."""

from __future__ import annotations

from typing import Any

from taskinity_data.errors import PlanError

__all__ = ["parse_header", "parse_index_col", "parse_names", "parse_usecols"]


def parse_header(value: Any, *, has_names: bool) -> int | str | None:
    """The row that holds the names, from 0; None where no row does.

    Raises
    ------
    PlanError
        It is no row, or several.
    """
    if isinstance(value, bool) or (isinstance(value, int) and value < 0):
        raise PlanError(f"header={value!r}: must be a row number, 'infer' or None")
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, str) and value == "infer":
        return None if has_names else 0
    if isinstance(value, list | tuple):
        raise PlanError(
            f"header={value!r}: a header of several rows makes nested columns, which chunks don't "
            "have; give names= and skiprows="
        )
    raise PlanError(f"header={value!r}: must be a row number, 'infer' or None")


def parse_names(value: Any) -> tuple[Any, ...] | None:
    """The names that are given beside the file, in order.

    Raises
    ------
    PlanError
        They have no order, or are no list of distinct labels.
    """
    if isinstance(value, set | frozenset):
        raise PlanError(f"names={value!r}: a set has no order; give a list")
    return parse_labels("names", value)


def parse_usecols(value: Any) -> tuple[Any, ...] | None:
    """The labels or positions of the columns that are read.

    Raises
    ------
    PlanError
        They are neither all positions nor all names.
    """
    labels = parse_labels("usecols", value)
    if labels is None:
        return None
    are_names = all(isinstance(label, str) for label in labels)
    if not are_names and not all(is_position(label) for label in labels):
        raise PlanError(
            f"usecols={list(labels)!r}: give names alone or positions alone, as pandas takes "
            "either, and no mixture"
        )
    return labels if are_names else tuple(map(int, labels))


def parse_index_col(value: Any) -> tuple[Any, ...]:
    """The columns that become the index, by name or position.

    Raises
    ------
    PlanError
        A column twice, or what names none.
    """
    if value is None:
        return ()
    if value is False:
        raise PlanError(
            "index_col=False: it cuts off fields beyond the header; give names= for all columns, "
            "and usecols="
        )
    columns = tuple(value) if isinstance(value, list | tuple) else (value,)
    for column in columns:
        if not isinstance(column, str) and not (is_position(column) and column >= 0):
            raise PlanError(
                f"index_col={value!r}: the index of each chunk is made of columns, by name or by "
                "position from 0; call set_index in the chunk function for others"
            )
    if not columns:
        raise PlanError("index_col=[]: names no column; leave it out")
    return tuple(column if isinstance(column, str) else int(column) for column in columns)


def is_position(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def parse_labels(name: str, value: Any) -> tuple[Any, ...] | None:
    if value is None:
        return None
    if callable(value):
        raise PlanError(f"{name}= must be a list of columns, not a function; make the list first")
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise PlanError(f"{name}={value!r}: must be a list, such as [{value!r}]")
    labels = tuple(value)
    if any(isinstance(label, tuple) for label in labels):
        raise PlanError(f"{name}={list(labels)!r}: nested columns can't be read in chunks")
    if len(set(labels)) != len(labels):
        raise PlanError(f"{name}={list(labels)!r}: names a column twice")
    return labels
