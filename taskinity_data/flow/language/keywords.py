"""The values of a flow text's keys: texts between quotes, counts, durations, amounts.

It knows nothing of blocks, or of which key stands where.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import SettingsError
from taskinity_data.flow.language.lexer import Mistake
from taskinity_data.flow.language.writer import unquote
from taskinity_data.flow.naming import is_name
from taskinity_data.flow.policies import make_policy
from taskinity_data.policy import Policy

if TYPE_CHECKING:
    from taskinity_data.flow.language.lexer import Key

__all__ = ["EXPECTED", "read_policy", "read_text"]

EXPECTED = {
    "retries": "a whole number from 0 up, e.g. 3",
    "retry_delay": "a duration such as 500ms, 1s or 2m",
    "max_delay": "a duration such as 30s or 2m",
    "timeout": "a duration above 0 such as 30s or 2m",
    "on_error": "fail, skip, bisect or the name of a task of this flow",
    "resources": "names with amounts, e.g. GPU=1, MEMORY=2",
}
"""What each policy takes, in words."""


def read_policy(key: Key) -> Policy:
    """The default policy but for what `key` says; a fallback's name goes unchecked.

    Raises
    ------
    Mistake
        The value can't be meant.
    """
    expected = EXPECTED[key.key]
    if not key.value:
        raise Mistake(key.value_column, f"expected a value: {expected}")
    if key.value[0] in "\"'":
        raise Mistake(key.value_column, f"expected {expected}, without quotes", len(key.value))
    if key.key == "on_error" and is_name(key.value):
        return Policy(on_error=key.value)
    try:
        return make_policy(**{key.key: _READERS[key.key](key.value)})
    except (ValueError, SettingsError) as error:
        message = f"expected {expected}, not {key.value!r}"
        raise Mistake(key.value_column, message, len(key.value)) from error


def read_text(key: Key) -> str:
    """The quoted text that a description is."""
    value, column = key.value, key.value_column
    if not value or value[0] not in "\"'":
        raise Mistake(column, 'expected a text between quotes, e.g. description: "…"', len(value))
    found = re.match(r"(?P<quote>[\"'])(?P<body>(?:\\.|(?!(?P=quote))[^\\])*)(?P=quote)", value)
    if found is None:
        raise Mistake(
            column, f"this quote is never closed: expected {value[0]} in this line", len(value)
        )
    if found.end() < len(value):
        raise Mistake(
            column + found.end(),
            "expected nothing after the closing quote; a quote within a text is written "
            f"\\{value[0]}",
            len(value) - found.end(),
        )
    text = unquote(found["body"])
    if isinstance(text, int):
        raise Mistake(
            column + 1 + text,
            "this backslash means nothing: expected \\\\, \\\", \\', \\n, \\t, \\r, \\u1234 or "
            "\\U00012345",
            2,
        )
    return text


def _read_count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(text)
    return int(text)


def _read_resources(text: str) -> dict[str, float]:
    amounts: dict[str, float] = {}
    for part in text.split(","):
        name, equals, amount = (piece.strip() for piece in part.partition("="))
        if not is_name(name) or not equals or name in amounts:
            raise ValueError(part)
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", amount):
            raise ValueError(part)
        amounts[name] = float(amount)
    return amounts


_READERS: dict[str, Any] = {
    "retries": _read_count,
    "retry_delay": str,
    "max_delay": str,
    "timeout": str,
    "on_error": str,
    "resources": _read_resources,
}
