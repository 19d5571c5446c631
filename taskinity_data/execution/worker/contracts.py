"""Checks what goes into a function, or comes out, against what its author promised.

A check is a function, or anything with a `.validate` (a pandera schema).
"""

from __future__ import annotations

from typing import Any

from taskinity_data.errors import SchemaError

__all__ = ["check_contract"]

_MAX_NAMED = 5


def check_contract(check: Any, data: Any, subject: str) -> None:
    """Raise `SchemaError` if `data` does not pass `check`; its rows that fail are named.

    Parameters
    ----------
    check : callable, or object with ``.validate``, or None
        A function gives None or True if all is well, False if it is not, or a boolean for
        each row. What it raises goes on as it is. A ``.validate`` raises; one that can gather
        (``lazy=True``, as pandera's) does so.
    data : object
    subject : str
        ``"the input of ProcessChunk"``.
    """
    if check is None:
        return
    if hasattr(check, "validate"):
        _check_schema(check, data, subject)
        return
    verdict = check(data)
    name = getattr(check, "__name__", repr(check))
    is_single = verdict is None or isinstance(verdict, bool) or not hasattr(verdict, "__len__")
    if is_single:
        if verdict is not None and not verdict:
            raise SchemaError(f"{subject} did not pass {name}")
        return
    rows = [row for row, holds in enumerate(verdict) if not holds]
    if rows:
        raise SchemaError(f"{subject} did not pass {name} in {_describe_rows(rows)}", row=rows[0])


def _check_schema(schema: Any, data: Any, subject: str) -> None:
    name = getattr(schema, "name", None) or getattr(schema, "__name__", type(schema).__name__)
    try:
        _validate(schema, data)
    except Exception as error:
        cases = getattr(error, "failure_cases", None)
        if cases is None or not hasattr(cases, "to_dict"):
            raise
        records = cases.to_dict("records")
        words = [_describe_case(case) for case in records[:_MAX_NAMED]]
        if len(records) > _MAX_NAMED:
            words.append(f"and {len(records) - _MAX_NAMED:,} more")
        first = records[0] if records else {}
        raise SchemaError(
            f"{subject} does not conform to {name}: {'; '.join(words)}",
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


def _describe_case(case: dict[str, Any]) -> str:
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


def _describe_rows(rows: list[int]) -> str:
    if len(rows) == 1:
        return f"row {rows[0]:,}"
    more = f" and {len(rows) - _MAX_NAMED:,} more" if len(rows) > _MAX_NAMED else ""
    return f"{len(rows):,} rows: {', '.join(f'{row:,}' for row in rows[:_MAX_NAMED])}{more}"
