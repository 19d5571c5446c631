"""From the keywords of ``@td.task``, or of a flow's text, to a checked `Policy`.

It knows nothing of flows: whether an `on_error` that is a name names a task is checked there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import SettingsError
from taskinity_data.policy import ON_ERROR, Policy, Value, parse_duration
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["POLICY_FIELDS", "make_policy", "merge_policies", "stated_keywords"]

POLICY_FIELDS = {
    "retries": "retries",
    "retry_delay": "retry_delay_s",
    "max_delay": "max_delay_s",
    "retry_on": "retry_on",
    "give_up_on": "give_up_on",
    "timeout": "timeout_s",
    "on_error": "on_error",
    "validate_input": "validate_input",
    "validate_output": "validate_output",
    "resources": "resources",
}
"""The keywords of ``@td.task`` and the fields of `Policy` that they set."""

_DEFAULTS = Policy()


def make_policy(**keywords: Any) -> Policy:
    """The policy that `keywords` of ``@td.task`` ask for.

    Raises
    ------
    SettingsError
        A value that can't be meant; the message names the keyword.
    """
    values: dict[str, Any] = {}
    for keyword, given in keywords.items():
        check = _CHECKS.get(keyword)
        values[POLICY_FIELDS[keyword]] = check(keyword, given) if check else given
    return Policy(**values)


def stated_keywords(policy: Policy) -> frozenset[str]:
    """The keywords whose values in `policy` are not the defaults."""
    return frozenset(
        keyword
        for keyword, name in POLICY_FIELDS.items()
        if getattr(policy, name) is not getattr(_DEFAULTS, name)
        and getattr(policy, name) != getattr(_DEFAULTS, name)
    )


def merge_policies(base: Policy, over: Policy, stated: Collection[str]) -> Policy:
    """`base`, with the `stated` keywords taken from `over`."""
    return replace(
        base, **{POLICY_FIELDS[key]: getattr(over, POLICY_FIELDS[key]) for key in stated}
    )


def _check_duration(keyword: str, given: Any) -> float:
    try:
        seconds = parse_duration(given)
    except SettingsError as error:
        raise SettingsError(f"{keyword}: {error}") from error
    if not math.isfinite(seconds):
        raise SettingsError(f"{keyword}: {given!r} is longer than can be counted")
    return seconds


def _check_timeout(keyword: str, given: Any) -> float | None:
    seconds = None if given is None else _check_duration(keyword, given)
    if seconds == 0:
        raise SettingsError(f"{keyword}: no task ends within 0 s; leave it out for no limit")
    return seconds


def _check_errors(keyword: str, given: Any) -> tuple[type[BaseException], ...] | None:
    if given is None and keyword == "retry_on":
        return None
    kinds = given if isinstance(given, (tuple, list)) else (given,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise SettingsError(f"{keyword}: {kind!r} is not a class of exceptions, e.g. OSError")
    return tuple(kinds)


def _check_on_error(keyword: str, given: Any) -> Any:
    if isinstance(given, str):
        if given not in ON_ERROR:
            raise SettingsError(
                f"{keyword}: {given!r} is neither {', '.join(map(repr, ON_ERROR))} nor a fallback, "
                f"which is a function or td.value(...).{suggest(given, ON_ERROR)}"
            )
    elif not isinstance(given, Value) and not callable(given):
        raise SettingsError(
            f"{keyword}: {given!r} is neither {', '.join(map(repr, ON_ERROR))} nor a function; for "
            "a value to take instead write td.value(...)"
        )
    return given


def _check_validator(keyword: str, given: Any) -> Any:
    if given is not None and not callable(given) and not callable(getattr(given, "validate", None)):
        raise SettingsError(f"{keyword}: {given!r} is neither callable nor has a .validate method")
    return given


def _check_resources(keyword: str, given: Any) -> dict[str, float] | None:
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise SettingsError(f"{keyword}: {given!r} is not a dict such as {{'GPU': 1}}")
    for name, amount in given.items():
        is_number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
        if not isinstance(name, str) or not is_number or not 0 < amount < math.inf:
            raise SettingsError(f"{keyword}: {name!r}: {amount!r} is not an amount above 0")
    return dict(given)


_CHECKS = {
    "retry_delay": _check_duration,
    "max_delay": _check_duration,
    "timeout": _check_timeout,
    "retry_on": _check_errors,
    "give_up_on": _check_errors,
    "on_error": _check_on_error,
    "validate_input": _check_validator,
    "validate_output": _check_validator,
    "resources": _check_resources,
}
