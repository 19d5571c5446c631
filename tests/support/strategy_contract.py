"""What every strategy must keep to; a strategy of one's own inherits `StrategyContract`."""

from __future__ import annotations

import itertools
import logging
import os
import pickle
import threading
import time

import pytest

from taskinity_data import errors
from taskinity_data.execution.schedulers.base import check_timeouts
from taskinity_data.execution.worker.job import Guard, Item, Job, Step
from taskinity_data.outcome import Status
from taskinity_data.outcome_block import OutcomeBlock

WAIT_S = 60
NUMBERS = itertools.count(1 << 64)


def double(value):
    return value * 2


def fail_on_three(value):
    if value == 3:
        raise ValueError("three")
    return value


def hang_on_three(value):
    while value == 3:
        pass
    return os.getpid()


def give_lock(value):
    return threading.Lock()


def exit_(value):
    raise SystemExit(value)


def tell_process(value):
    return os.getpid()


def log_a_warning(value):
    logging.getLogger("users.own").debug("not asked for")
    logging.getLogger("users.own").warning("item %d", value)


def meet(path, *, count):
    """Wait for `count` calls, which have a file each in one folder, and return how many came."""
    path.touch()
    end_s = time.monotonic() + WAIT_S
    while len(list(path.parent.iterdir())) < count and time.monotonic() < end_s:
        time.sleep(0.01)
    return len(list(path.parent.iterdir()))


def add(value, *, more):
    return value + more


class StrategyContract:
    """Inherit, and give a fixture `strategy` that opens one and closes it."""

    @pytest.fixture
    def strategy(self):
        raise NotImplementedError

    def run(self, strategy, function, values, **arguments):
        job = Job("P", ((Step("P", function, arguments=arguments),),))
        loaded = strategy.load(job)
        items = [Item(f"{number:032x}", value, number) for number, value in enumerate(values)]
        pending = strategy.submit(loaded, items, f"P-{next(NUMBERS):032x}")
        return self.split(self.finish(strategy, [pending])[0], items)

    def finish(self, strategy, pending):
        for one in pending:
            done = threading.Event()
            one.add_done_callback(lambda _, done=done: done.set())
            assert done.wait(WAIT_S)
        return strategy.collect(pending)

    def split(self, ended, items):
        """Return the outcome of each of `items`, also of those that came in a block."""
        left, outcomes = iter(items), []
        for one in ended:
            if isinstance(one, OutcomeBlock):
                outcomes += one.outcomes(itertools.islice(left, len(one)))
            else:
                next(left)
                outcomes.append(one)
        return outcomes

    def test_outcomes_come_in_the_order_of_the_items(self, strategy):
        outcomes = self.run(strategy, double, [5, 6, 7])
        assert [outcome.value[1] for outcome in outcomes] == [10, 12, 14]
        assert [int(outcome.key, 16) for outcome in outcomes] == [0, 1, 2]

    @pytest.mark.parametrize("guard", [None, Guard()], ids=["there", "in a child"])
    def test_what_a_function_logs_comes_back_with_its_outcome(self, strategy, guard):
        if guard is not None and not strategy.can_end:
            guard = None  # runs no child processes
        job = Job("P", ((Step("P", log_a_warning),),), log_level=logging.WARNING)
        items = [Item(f"{number:032x}", number, number, guard=guard) for number in range(2)]
        pending = strategy.submit(strategy.load(job), items, f"P-{next(NUMBERS):032x}")
        outcomes = self.finish(strategy, [pending])[0]
        said = [[line.text for line in outcome.attempts[0].logs] for outcome in outcomes]
        assert said == [["item 0"], ["item 1"]]
        (line,) = outcomes[0].attempts[0].logs
        assert (line.name, line.level) == ("users.own", logging.WARNING)
        assert abs(line.at_s - outcomes[0].attempts[0].started_s) < WAIT_S

    def test_a_failure_is_a_value_and_costs_its_item_alone(self, strategy):
        outcomes = self.run(strategy, fail_on_three, [2, 3, 4])
        assert [outcome.status for outcome in outcomes] == ["COMPLETED", "FAILED", "COMPLETED"]
        assert outcomes[1].failure.kind == "ValueError"
        assert "fail_on_three" in outcomes[1].failure.traceback

    def test_an_exit_in_a_function_does_not_end_the_worker(self, strategy):
        assert self.run(strategy, exit_, [1])[0].failure.kind == "SystemExit"
        assert self.run(strategy, double, [1])[0].value[1] == 2

    def test_small_inputs_reach_every_item(self, strategy):
        outcomes = self.run(strategy, add, ["a", "b"], more="x" * 100_000)
        assert [len(outcome.value[1]) for outcome in outcomes] == [100_001, 100_001]

    def test_it_says_rightly_whether_items_leave_this_process(self, strategy):
        found = self.run(strategy, tell_process, [None])[0].value[1]
        assert (found != os.getpid()) == strategy.crosses_processes

    def test_a_result_that_cannot_travel_is_that_items_failure(self, strategy):
        outcome = self.run(strategy, give_lock, [1])[0]
        if strategy.crosses_processes:
            assert outcome.status is Status.FAILED
            assert "can't be sent back" in outcome.failure.message
        else:
            assert outcome.status is Status.COMPLETED

    def test_a_closure_and_a_lambda_travel(self, strategy):
        offset = 100
        assert self.run(strategy, lambda value: value + offset, [1])[0].value[1] == 101

    def test_many_batches_at_once_all_come_back(self, strategy):
        loaded = strategy.load(Job("P", ((Step("P", double),),)))
        batches = {
            f"P-{next(NUMBERS):032x}": [Item(f"{number:032x}", number)] for number in range(50)
        }
        found = self.finish(strategy, strategy.submit_all(loaded, batches))
        outcomes = map(self.split, found, batches.values())
        assert [outcome.value[1] for (outcome,) in outcomes] == [2 * number for number in range(50)]

    def test_as_many_items_run_at_once_as_there_are_workers(self, strategy, tmp_path):
        count = strategy.workers
        job = Job("P", ((Step("P", meet, arguments={"count": count}),),))
        batches = {
            f"P-{next(NUMBERS):032x}": [Item(f"{number:032x}", tmp_path / str(number))]
            for number in range(count)
        }
        found = self.finish(strategy, strategy.submit_all(strategy.load(job), batches))
        outcomes = map(self.split, found, batches.values())
        assert [outcome.value[1] for (outcome,) in outcomes] == [count] * count

    def test_an_item_with_a_guard_is_ended_when_its_time_is_up(self, strategy):
        job = Job("P", ((Step("P", hang_on_three, timeout_s=0.5),),))
        if not strategy.can_end:
            with pytest.raises(errors.PlanError, match="a timeout is not supported"):
                check_timeouts(job, strategy)
            return
        check_timeouts(job, strategy)
        items = [Item(f"{n:032x}", n, n, guard=Guard(4 << 30)) for n in (2, 3, 4)]
        # One at a time: a batch that takes long may leave out its last items.
        loaded = strategy.load(job)
        pending = [strategy.submit(loaded, [item], f"P-{next(NUMBERS):032x}") for item in items]
        ended = [ended for (ended,) in self.finish(strategy, pending)]
        outcomes = self.split(ended, items)
        assert [outcome.status for outcome in outcomes] == ["COMPLETED", "FAILED", "COMPLETED"]
        assert "longer than its timeout of 0.5 s" in outcomes[1].failure.message
        assert outcomes[0].value[1] != os.getpid()

    def test_cancelled_batches_do_not_block_what_follows(self, strategy):
        loaded = strategy.load(Job("P", ((Step("P", double),),)))
        pending = [
            strategy.submit(loaded, [Item(f"{number:032x}", number)], f"P-{next(NUMBERS):032x}")
            for number in range(20)
        ]
        strategy.cancel(pending)
        assert self.run(strategy, double, [4])[0].value[1] == 8

    def test_it_has_at_least_one_worker_and_a_name(self, strategy):
        assert strategy.workers >= 1
        assert strategy.name
        assert pickle.dumps(strategy.name)
