"""Make a checked `Policy` of the keywords of ``@td.task`` or of a flow's text.

Whether an `on_error` that is a name names a task is checked with the flow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from taskinity_data.flow.language.keywords import KEYWORDS
from taskinity_data.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["make_policy", "merge_policies", "stated_keywords"]

_DEFAULTS = Policy()


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
