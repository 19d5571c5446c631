"""What a policy says of a failed attempt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskinity_data import errors
from taskinity_data.execution.retry_rules import Action, decide
from taskinity_data.execution.worker.failures import describe_failure
from taskinity_data.policy import Policy, value


def failure_of(error: BaseException):
    return describe_failure(error)


def test_without_a_policy_the_first_failure_is_the_last():
    assert decide(Policy(), failure_of(ValueError("x")), 1, 0.5).action is Action.FAIL


@given(
    retries=st.integers(0, 50),
    attempt=st.integers(1, 60),
    draw=st.floats(0, 1),
    delay=st.floats(0, 100),
    longest=st.floats(0, 1000),
)
def test_retries_are_counted_and_their_delay_stays_below_both_bounds(
    retries, attempt, draw, delay, longest
):
    policy = Policy(retries=retries, retry_delay_s=delay, max_delay_s=longest)
    verdict = decide(policy, failure_of(ValueError("x")), attempt, draw)
    if attempt > retries:
        assert verdict.action is Action.FAIL
    else:
        assert verdict.action is Action.RETRY
        assert 0 <= verdict.delay_s <= min(longest, delay * 2 ** (attempt - 1))


@pytest.mark.parametrize(
    "error",
    [
        TypeError("x"), NameError("x"), AttributeError("x"), ImportError("x"), KeyError("x"),
        ModuleNotFoundError("x"), errors.SchemaError("x"), errors.SourceNotFound("x"),
        errors.TooLargeToSend("x"), errors.SourceChanged("x"),
    ],
)  # fmt: skip
def test_errors_that_would_only_repeat_are_not_retried(error):
    assert decide(Policy(retries=3), failure_of(error), 1, 0.0).action is Action.FAIL


@pytest.mark.parametrize(
    "error", [ValueError("x"), OSError("x"), errors.ReadError("x"), errors.WorkerDied("x")]
)
def test_errors_that_may_pass_are_retried(error):
    assert decide(Policy(retries=3), failure_of(error), 1, 0.0).action is Action.RETRY


def test_what_a_users_own_class_calls_final_is_its_own_matter():
    class Own(ValueError):
        is_final = True

    assert decide(Policy(retries=3), failure_of(Own("x")), 1, 0.0).action is Action.RETRY


def test_retry_on_names_what_is_retried_and_subclasses_count():
    policy = Policy(retries=1, retry_on=(OSError,))
    assert decide(policy, failure_of(ConnectionError("x")), 1, 0.0).action is Action.RETRY
    assert decide(policy, failure_of(ValueError("x")), 1, 0.0).action is Action.FAIL


def test_give_up_on_beats_retry_on():
    policy = Policy(retries=1, retry_on=(OSError,), give_up_on=(PermissionError,))
    assert decide(policy, failure_of(PermissionError("x")), 1, 0.0).action is Action.FAIL


def test_skip_comes_after_the_last_retry():
    policy = Policy(retries=1, on_error="skip")
    assert decide(policy, failure_of(ValueError("x")), 1, 0.0).action is Action.RETRY
    assert decide(policy, failure_of(ValueError("x")), 2, 0.0).action is Action.SKIP


@pytest.mark.parametrize("on_error", [value(None), len, "OtherTask"])
def test_a_fallback_stands_in_once_and_its_own_failure_is_final(on_error):
    policy = Policy(retries=2, on_error=on_error)
    assert decide(policy, failure_of(ValueError("x")), 3, 0.0).action is Action.FALLBACK
    assert (
        decide(policy, failure_of(ValueError("x")), 1, 0.0, is_fallback=True).action is Action.FAIL
    )
