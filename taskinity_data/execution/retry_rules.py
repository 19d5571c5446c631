"""Decide by its policy what follows a failed attempt: pure, with the random draw passed in."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.errors import TaskinityDataError

if TYPE_CHECKING:
    from taskinity_data.outcome import Failure
    from taskinity_data.policy import Policy

__all__ = ["Action", "Decision", "decide", "is_final"]

_FINAL = (
    TypeError, NameError, AttributeError, ImportError, FileNotFoundError, KeyError, SyntaxError,
    NotImplementedError,
)  # fmt: skip
"""Errors of Python that come again however often one tries: mistakes in code, a missing column
(KeyError) or file. Those of this library say so themselves."""


def is_final(error: BaseException) -> bool:
    """Return whether trying again would only raise `error` again."""
    return isinstance(error, _FINAL) or (isinstance(error, TaskinityDataError) and error.is_final)


class Action(Enum):
    """What follows a failed attempt."""

    RETRY = "retry"
    FALLBACK = "fallback"
    """The task's fallback is used."""
    SKIP = "skip"
    """The run continues without this result."""
    BISECT = "bisect"
    """The chunk is halved until the bad rows are alone; one that can't be halved is skipped."""
    FAIL = "fail"
    """It failed; the run's threshold says what that means."""


class Decision(NamedTuple):
    """What follows a failed attempt, and of a retry after how many seconds."""

    action: Action
    delay_s: float = 0.0


def decide(
    policy: Policy, failure: Failure, attempt: int, draw: float, is_fallback: bool = False
) -> Decision:
    """Return what follows `failure`.

    Parameters
    ----------
    policy : Policy
        Of the task that failed.
    failure : Failure
    attempt : int
        The number of the attempt that failed, from 1.
    draw : float
        A random number from 0 to 1: full jitter [1]_.
    is_fallback : bool
        Whether it was the fallback that failed.

    References
    ----------
    .. [1] M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    if not is_fallback and attempt <= policy.retries and _is_retryable(policy, failure):
        ceiling_s = min(policy.max_delay_s, policy.retry_delay_s * 2.0 ** min(attempt - 1, 64))
        return Decision(Action.RETRY, draw * ceiling_s)
    if policy.on_error == "skip":
        return Decision(Action.SKIP)
    if policy.on_error == "bisect":
        return Decision(Action.BISECT)
    if policy.on_error == "fail" or is_fallback:
        return Decision(Action.FAIL)
    return Decision(Action.FALLBACK)


def _is_retryable(policy: Policy, failure: Failure) -> bool:
    if failure.is_a(*policy.give_up_on):
        return False
    if policy.retry_on is not None:
        return failure.is_a(*policy.retry_on)
    return not failure.is_final
