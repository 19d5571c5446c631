"""The names and types of a task's options, for editors and type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskinity_data.policy import Value

__all__ = ["TaskKeywords"]


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
