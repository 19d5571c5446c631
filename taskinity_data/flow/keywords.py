"""The keywords of a task: how each is checked, read from a flow's text and written there.

One that has no `read` is for ``@td.task`` alone. The values are kept in a `Policy`; whether an
`on_error` that is a name names a task is checked with the flow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from taskinity_data.errors import SettingsError
from taskinity_data.flow.naming import is_name
from taskinity_data.policy import ON_ERROR, Policy, Value, parse_duration
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = [
    "KEYWORDS",
    "TASK_KEYS",
    "Keyword",
    "TaskKeywords",
    "default_keywords",
    "make_policy",
    "merge_policies",
    "stated_keywords",
    "write_number",
]


class TaskKeywords(TypedDict, total=False):
    """The options of `td.task`, which describes each."""

    name: str | None
    description: str | None
    retries: int
    retry_delay: str | float
    max_delay: str | float
    retry_on: Any
    give_up_on: Any
    timeout: str | float | None
    on_error: str | Value | Callable[..., Any]
    validate_input: Any
    validate_output: Any
    resources: Mapping[str, float] | None
    pure: bool


class Keyword(NamedTuple):
    """A keyword of a task.

    Attributes
    ----------
    field : str
        The field of `Policy` that it sets.
    check : callable or None
        Takes the keyword and the value that was given, and returns that of the field.
    expected : str
        What a flow's text may say, in words.
    read : callable or None
        From the text of the value to what `check` takes; raises ValueError.
    write : callable
        From the field's value to its text; None if a text can't say it.
    """

    field: str
    check: Callable[[str, Any], Any] | None = None
    expected: str = ""
    read: Callable[[str], Any] | None = None
    write: Callable[[Any], str | None] = lambda _: None


def _check_duration(keyword: str, value: Any) -> float:
    try:
        seconds = parse_duration(value)
    except SettingsError as error:
        raise SettingsError(f"{keyword}: {error}") from error
    if not math.isfinite(seconds):
        raise SettingsError(f"{keyword}: {value!r} is too long")
    return seconds


def _check_timeout(keyword: str, value: Any) -> float | None:
    seconds = None if value is None else _check_duration(keyword, value)
    if seconds == 0:
        raise SettingsError(f"{keyword}: no task ends within 0 s; leave it out for no limit")
    return seconds


def _check_errors(keyword: str, value: Any) -> tuple[type[BaseException], ...] | None:
    if value is None and keyword == "retry_on":
        return None
    kinds = value if isinstance(value, (tuple, list)) else (value,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise SettingsError(f"{keyword}: {kind!r} is not a class of exceptions, e.g. OSError")
    return tuple(kinds)


def _check_on_error(keyword: str, value: Any) -> Any:
    if isinstance(value, str):
        if value not in ON_ERROR:
            raise SettingsError(
                f"{keyword}: {value!r} is neither {', '.join(map(repr, ON_ERROR))} nor a fallback, "
                f"which is a function or td.value(...).{suggest(value, ON_ERROR)}"
            )
    elif not isinstance(value, Value) and not callable(value):
        raise SettingsError(
            f"{keyword}: {value!r} is neither {', '.join(map(repr, ON_ERROR))} nor a function; for "
            "a fallback value write td.value(...)"
        )
    return value


def _check_validator(keyword: str, value: Any) -> Any:
    if value is not None and not callable(value) and not callable(getattr(value, "validate", None)):
        raise SettingsError(f"{keyword}: {value!r} is neither callable nor has a .validate method")
    return value


def _check_resources(keyword: str, value: Any) -> dict[str, float] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise SettingsError(f"{keyword}: {value!r} is not a dict such as {{'GPU': 1}}")
    for name, amount in value.items():
        is_number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
        if not isinstance(name, str) or not is_number or not 0 < amount < math.inf:
            raise SettingsError(f"{keyword}: {name!r}: {amount!r} is not an amount above 0")
    return dict(value)


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


def _write_seconds(seconds: float | None) -> str | None:
    return f"{write_number(seconds)}s" if seconds is not None and math.isfinite(seconds) else None


def _write_name(on_error: Any) -> str | None:
    return on_error if isinstance(on_error, str) else None


def _write_resources(amounts: Mapping[str, float] | None) -> str | None:
    if not amounts or not all(is_name(name) for name in amounts):
        return None
    return ", ".join(f"{name}={write_number(amount)}" for name, amount in amounts.items())


def write_number(number: float) -> str:
    """Every digit of `number`, without an exponent."""
    whole = f"{Decimal(repr(number if isinstance(number, int) else float(number))):f}"
    return whole.removesuffix(".0")


KEYWORDS = {
    "retries": Keyword("retries", None, "a whole number from 0 up, e.g. 3", _read_count, str),
    "retry_delay": Keyword(
        "retry_delay_s",
        _check_duration,
        "a duration such as 500ms, 1s or 2m",
        str,
        _write_seconds,
    ),
    "max_delay": Keyword(
        "max_delay_s", _check_duration, "a duration such as 30s or 2m", str, _write_seconds
    ),
    "retry_on": Keyword("retry_on", _check_errors),
    "give_up_on": Keyword("give_up_on", _check_errors),
    "timeout": Keyword(
        "timeout_s", _check_timeout, "a duration above 0 such as 30s or 2m", str, _write_seconds
    ),
    "on_error": Keyword(
        "on_error",
        _check_on_error,
        "fail, skip, bisect or the name of a task of this flow",
        str,
        _write_name,
    ),
    "validate_input": Keyword("validate_input", _check_validator),
    "validate_output": Keyword("validate_output", _check_validator),
    "resources": Keyword(
        "resources",
        _check_resources,
        "names with amounts, e.g. GPU=1, MEMORY=2",
        _read_resources,
        _write_resources,
    ),
    "pure": Keyword("pure"),
}

TASK_KEYS = ("description", *(name for name, keyword in KEYWORDS.items() if keyword.read))
"""The keys of a task in a flow's text."""


_DEFAULTS = Policy()


def default_keywords() -> dict[str, Any]:
    """Return the keywords with their defaults, as ``@td.task`` has them."""
    return {
        name: _write_seconds(default) if keyword.write is _write_seconds else default
        for name, keyword in KEYWORDS.items()
        for default in [getattr(_DEFAULTS, keyword.field)]
    }


def make_policy(**keywords: Any) -> Policy:
    """Return the policy for `keywords` of ``@td.task``.

    Raises
    ------
    SettingsError
        A value is invalid; the message names the keyword.
    """
    values: dict[str, Any] = {}
    for keyword, value in keywords.items():
        field, check, *_ = KEYWORDS[keyword]
        values[field] = check(keyword, value) if check else value
    return Policy(**values)


def stated_keywords(policy: Policy) -> frozenset[str]:
    """Return the keywords whose values in `policy` are not the defaults."""
    return frozenset(
        name
        for name, (field, *_) in KEYWORDS.items()
        if getattr(policy, field) is not getattr(_DEFAULTS, field)
        and getattr(policy, field) != getattr(_DEFAULTS, field)
    )


def merge_policies(base: Policy, over: Policy, stated: Collection[str]) -> Policy:
    """Return `base`, with the `stated` keywords taken from `over`."""
    fields = [KEYWORDS[name].field for name in stated]
    return replace(base, **{field: getattr(over, field) for field in fields})
