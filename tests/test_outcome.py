import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from taskinity_data.outcome import Attempt, Failure, Outcome, RunStatus, Status

FAILURE = Failure(
    kind="ValueError",
    message="bad row",
    traceback="Traceback ...",
    ancestry=("builtins.ValueError", "builtins.Exception"),
    error=ValueError("bad row"),
)
FIRST = Attempt(1, started_s=10.0, duration_s=2.0, worker="a", failure=FAILURE)
SECOND = Attempt(2, started_s=13.0, duration_s=1.5, worker="b", memory_nbytes=100)
OUTCOME = Outcome(
    "ProcessChunk", "ProcessChunk-1f", Status.COMPLETED, (FIRST, SECOND), 5, 1, 100, value=[1, 2]
)


def test_an_outcome_survives_pickling_with_attempts_failure_and_value():
    again = pickle.loads(pickle.dumps(OUTCOME))
    assert again == OUTCOME
    assert again.value == [1, 2]
    assert again.attempts[0].failure.error.args == ("bad row",)


@pytest.mark.parametrize("thing", [OUTCOME, FIRST, FAILURE])
def test_what_became_of_a_task_cannot_be_changed(thing):
    field = next(iter(thing.__dataclass_fields__))
    with pytest.raises(FrozenInstanceError):
        setattr(thing, field, None)


def test_the_last_attempt_tells_how_it_ended_and_how_long_it_took():
    assert OUTCOME.failure is None
    assert OUTCOME.duration_s == 1.5
    failed = Outcome("ProcessChunk", "k", Status.FAILED, (FIRST,))
    assert failed.failure is FAILURE
    assert failed.duration_s == 2.0


def test_a_task_that_was_never_tried_has_no_failure_and_took_no_time():
    outcome = Outcome("ProcessChunk", "k", Status.PENDING)
    assert outcome.failure is None
    assert outcome.duration_s == 0.0


def test_a_failure_reads_as_its_kind_and_message():
    assert str(FAILURE) == "ValueError: bad row"
    assert str(Failure("KeyboardInterrupt", "", "")) == "KeyboardInterrupt"


@pytest.mark.parametrize("kind", [Status, RunStatus])
def test_statuses_are_their_own_names_as_text(kind):
    assert [str(status) for status in kind] == [status.name for status in kind]
    assert [pickle.loads(pickle.dumps(status)) for status in kind] == list(kind)


def test_the_value_is_left_out_of_comparison_and_of_what_is_printed():
    without = replace(OUTCOME, value=None)
    assert without == OUTCOME
    assert "[1, 2]" not in repr(OUTCOME)
