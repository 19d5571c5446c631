"""A job on a worker: an Outcome, whatever user code does."""

from __future__ import annotations

import pickle
import threading

import pytest

from taskinity_data.execution.worker.batches import ChildPool, run_items
from taskinity_data.execution.worker.job import Item, Job, Step
from taskinity_data.execution.worker.run_item import run_item
from taskinity_data.outcome import Status
from taskinity_data.policy import value


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class NeedsTwo(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


def job_of(*functions, **options) -> Job:
    chain = tuple(Step(f"Step{number}", function) for number, function in enumerate(functions))
    return Job("ProcessChunk", (chain,), **options)


def raise_(error):
    raise error


def test_steps_run_in_a_row_and_the_last_result_is_the_value():
    outcome = run_item(job_of(lambda x: x + 1, lambda x: x * 10), Item("k", 4))
    assert outcome.status is Status.COMPLETED
    assert outcome.value == ((), 50)


@pytest.mark.parametrize(
    "error",
    [ValueError("bad"), SystemExit(3), GeneratorExit(), Unspeakable(), NeedsTwo(1, 2)],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_function_raises_is_a_failure_that_travels(error):
    outcome = run_item(job_of(lambda x: raise_(error)), Item("k", 1))
    assert outcome.status is Status.FAILED
    assert outcome.failure.kind == type(error).__name__
    again = pickle.loads(pickle.dumps(outcome))
    assert again.failure.kind == type(error).__name__


def test_an_interrupt_in_a_worker_thread_is_a_failure():
    found = []
    thread = threading.Thread(
        target=lambda: found.append(
            run_item(job_of(lambda x: raise_(KeyboardInterrupt())), Item("k", 1))
        )
    )
    thread.start()
    thread.join()
    assert found[0].failure.kind == "KeyboardInterrupt"


def test_an_interrupt_in_the_main_thread_is_the_users():
    with pytest.raises(KeyboardInterrupt):
        run_item(job_of(lambda x: raise_(KeyboardInterrupt())), Item("k", 1))


def test_the_traceback_shows_the_users_frames_alone():
    def divide(x):
        return x / 0

    outcome = run_item(job_of(divide), Item("k", 1))
    text = outcome.failure.traceback
    assert "in divide" in text
    assert "return x / 0" in text
    assert "run_item" not in text
    assert text.rstrip().endswith("ZeroDivisionError: division by zero")


def test_the_failing_step_is_named():
    outcome = run_item(job_of(lambda x: x, lambda x: x.nothing), Item("k", 1))
    assert outcome.task == "Step1"


def test_one_bad_item_leaves_the_others_of_its_batch_alone():
    job = job_of(lambda x: 1 / x)
    items = [Item("a", 1), Item("b", 0), Item("c", 2)]
    before, failed, after = run_items(job, items, ChildPool())
    outcomes = [*before.outcomes(items[:1]), failed, *after.outcomes(items[2:])]
    assert [outcome.status for outcome in outcomes] == ["COMPLETED", "FAILED", "COMPLETED"]


def test_a_fallback_stands_in_for_its_own_step_only():
    steps = (
        Step("First", lambda x: x + 1),
        Step("Second", lambda x: raise_(ValueError()), fallback=Step("Other", lambda x: -x)),
    )
    outcome = run_item(Job("P", (steps,)), Item("k", 1, attempt=2, fallback="Second"))
    assert outcome.value == ((), -2)
    assert outcome.is_fallback


def test_a_value_stands_in_without_the_chunk_being_read():
    step = Step("First", len, fallback=value("nothing"))
    outcome = run_item(Job("P", ((step,),)), Item("k", 7, fallback="First"))
    assert outcome.value == ((), "nothing")


def test_a_chain_of_its_own_for_each_position():
    job = Job("P", ((Step("P1", lambda x: "one"),), (Step("P2", lambda x: "two"),)))
    assert [run_item(job, Item("k", 0, position=p)).value[1] for p in (0, 1)] == ["one", "two"]


def test_a_time_over_the_timeout_is_a_failure():
    step = Step("Slow", lambda x: threading.Event().wait(0.05), timeout_s=0.01)
    outcome = run_item(Job("P", ((step,),)), Item("k", 0))
    assert outcome.failure.kind == "TimeoutError"


@pytest.mark.parametrize("where", ["validate_input", "validate_output"])
def test_a_check_that_says_no_is_a_failure_that_names_it(where):
    def is_positive(x):
        return x > 0

    step = Step("Check", lambda x: x, **{where: is_positive})
    outcome = run_item(Job("P", ((step,),)), Item("k", -1))
    assert "is_positive" in outcome.failure.message
    assert run_item(Job("P", ((step,),)), Item("k", 1)).status is Status.COMPLETED
