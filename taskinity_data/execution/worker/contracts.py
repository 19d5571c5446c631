"""Checks what goes into a function, or comes out, against what its author promised.

A check is a function, or anything with a `.validate` (a pandera schema). It knows nothing of who
runs the function.
"""

from __future__ import annotations

from typing import Any

from taskinity_data.errors import SchemaError

__all__ = ["check_contract"]

_MOST_NAMED = 5


def check_contract(check: Any, data: Any, what: str) -> None:
    """Raise `SchemaError` where `data` does not pass `check`; its rows that fail are named.

    Parameters
    ----------
    check : callable, or object with ``.validate``, or None
        A function gives None or True where all is well, False where it is not, or a boolean for
        each row. What it raises goes on as it is. A ``.validate`` raises; one that can gather
        (``lazy=True``, as pandera's) is asked to.
    data : object
    what : str
        ``"the input of ProcessChunk"``.
    """
    if check is None:
        return
    if hasattr(check, "validate"):
        _check_schema(check, data, what)
        return
    said = check(data)
    name = getattr(check, "__name__", repr(check))
    is_single = said is None or isinstance(said, bool) or not hasattr(said, "__len__")
    if is_single:
        if said is not None and not said:
            raise SchemaError(f"{what} did not pass {name}")
        return
    rows = [row for row, holds in enumerate(said) if not holds]
    if rows:
        raise SchemaError(f"{what} did not pass {name} in {_tell_rows(rows)}", row=rows[0])


def _check_schema(schema: Any, data: Any, what: str) -> None:
    name = getattr(schema, "name", None) or getattr(schema, "__name__", type(schema).__name__)
    try:
        _validate(schema, data)
    except Exception as error:
        cases = getattr(error, "failure_cases", None)
        if cases is None or not hasattr(cases, "to_dict"):
            raise
        told = cases.to_dict("records")
        words = [_tell_case(case) for case in told[:_MOST_NAMED]]
        if len(told) > _MOST_NAMED:
            words.append(f"and {len(told) - _MOST_NAMED:,} more")
        first = told[0] if told else {}
        raise SchemaError(
            f"{what} does not keep to {name}: {'; '.join(words)}",
            row=_row(first),
            column=first.get("column"),
            value=first.get("failure_case"),
        ) from None


def _validate(schema: Any, data: Any) -> None:
    try:
        schema.validate(data, lazy=True)
    except TypeError as error:
        # One without `lazy`; an error of its own with other words goes on.
        if "lazy" not in str(error):
            raise
        schema.validate(data)


def _tell_case(case: dict[str, Any]) -> str:
    row, column = _row(case), case.get("column")
    where = [f"row {row:,}"] if row is not None else []
    where += [f"column {column}"] if column is not None else []
    return (
        f"{', '.join(where) or 'all of it'}: {case.get('failure_case')!r} fails {case.get('check')}"
    )


def _row(case: dict[str, Any]) -> int | None:
    try:
        return int(case["index"])
    except (KeyError, TypeError, ValueError):
        return None


def _tell_rows(rows: list[int]) -> str:
    if len(rows) == 1:
        return f"row {rows[0]:,}"
    more = f" and {len(rows) - _MOST_NAMED:,} more" if len(rows) > _MOST_NAMED else ""
    return f"{len(rows):,} rows: {', '.join(f'{row:,}' for row in rows[:_MOST_NAMED])}{more}"
