"""Read the values of a flow text's keys: quoted texts, and the policies of tasks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from taskinity_data.errors import SettingsError
from taskinity_data.flow.keywords import KEYWORDS, make_policy
from taskinity_data.flow.language.lexer import Mistake
from taskinity_data.flow.language.writer import unquote
from taskinity_data.flow.naming import is_name
from taskinity_data.policy import Policy

if TYPE_CHECKING:
    from taskinity_data.flow.language.lexer import Key

__all__ = ["read_policy", "read_text"]


def read_policy(key: Key) -> Policy:
    """Return the default policy with the value of `key`; a fallback's name is not checked.

    Raises
    ------
    Mistake
        The value is invalid.
    """
    keyword = KEYWORDS[key.key]
    expected = keyword.expected
    if not key.value:
        raise Mistake(key.value_column, f"expected a value: {expected}")
    if key.value[0] in "\"'":
        raise Mistake(key.value_column, f"expected {expected}, without quotes", len(key.value))
    if key.key == "on_error" and is_name(key.value):
        return Policy(on_error=key.value)
    assert keyword.read is not None  # one of TASK_KEYS
    try:
        return make_policy(**{key.key: keyword.read(key.value)})
    except (ValueError, SettingsError) as error:
        message = f"expected {expected}, not {key.value!r}"
        raise Mistake(key.value_column, message, len(key.value)) from error


def read_text(key: Key) -> str:
    """Return the quoted text that a description is."""
    value, column = key.value, key.value_column
    if not value or value[0] not in "\"'":
        raise Mistake(column, 'expected a text between quotes, e.g. description: "…"', len(value))
    match = re.match(r"(?P<quote>[\"'])(?P<body>(?:\\.|(?!(?P=quote))[^\\])*)(?P=quote)", value)
    if match is None:
        raise Mistake(
            column, f"this quote is never closed: expected {value[0]} in this line", len(value)
        )
    if match.end() < len(value):
        raise Mistake(
            column + match.end(),
            "expected nothing after the closing quote; a quote within a text is written "
            f"\\{value[0]}",
            len(value) - match.end(),
        )
    text = unquote(match["body"])
    if isinstance(text, int):
        raise Mistake(
            column + 1 + text,
            "this backslash means nothing: expected \\\\, \\\", \\', \\n, \\t, \\r, \\u1234 or "
            "\\U00012345",
            2,
        )
    return text
