"""What is to be made of what came back: another attempt, or the last word on an item.

It knows nothing of reducers, thresholds or events: the driver is told what has ended, and asks
which items are due again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from taskinity_data.execution.decide import Fallback, Retry, Skip, decide
from taskinity_data.execution.fan_out import lose, merge_attempts
from taskinity_data.execution.retries import Retries
from taskinity_data.outcome import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskinity_data.execution.process import Item
    from taskinity_data.execution.window import Batch
    from taskinity_data.policy import Policy

__all__ = ["Judge"]

MOST_LOSSES = 10
"""So often an item may lose its worker to what comes from outside: more than an unlucky one does
whose workers are killed one after another, and an end for one that kills them in some way of its
own."""


class Judge:
    """Owns the attempts of all items: those that were made, and those that are due.

    Parameters
    ----------
    policies : mapping of task to Policy
    seed : int
        Of the jitter of retries.
    """

    def __init__(self, policies: Mapping[str, Policy], seed: int = 0) -> None:
        self.retries = Retries()
        self._policies = policies
        self._random = Random(seed)  # noqa: S311 - jitter
        self._before: dict[tuple[str, int], Outcome] = {}
        self._losses: Counter[tuple[str, int]] = Counter()
        self._is_stopped = False

    def stop(self) -> None:
        """From now on nothing is tried again."""
        self._is_stopped = True
        self.retries.clear()

    def take_in(
        self, batch: Batch, found: list[Outcome | BaseException] | BaseException
    ) -> Iterator[tuple[Item, Outcome]]:
        """The items of `batch` that have ended with what was `found`, each with its outcome."""
        is_lost = isinstance(found, BaseException)
        if isinstance(found, BaseException):
            if self._is_stopped:
                return
            found = [found] * len(batch.items)
        for item, outcome in zip(batch.items, found, strict=True):
            if isinstance(outcome, BaseException):
                if is_lost and self._runs_again(batch, item):
                    continue
                outcome = lose(batch.name, item, outcome)
            ended = self._judge(batch, item, outcome)
            if ended is not None:
                yield item, ended

    def _runs_again(self, batch: Batch, item: Item) -> bool:
        """Whether `item`, whose worker died, was only beside the fault, for all that is known.

        From the first time on it runs in a child process, so that its own fault is seen there and
        costs no worker; one that is lost all the same dies of what comes from outside.
        """
        self._losses[batch.name, item.position] += 1
        can_tell = getattr(batch.strategy, "can_end", False)
        if self._losses[batch.name, item.position] > (MOST_LOSSES if can_tell else 1):
            return False
        self.retries.add(batch, replace(item, is_suspect=True), 0.0)
        return True

    def _judge(self, batch: Batch, item: Item, outcome: Outcome) -> Outcome | None:
        """The last word on `item`; None where it is tried again."""
        name = batch.name
        outcome = merge_attempts(self._before.pop((name, item.position), None), outcome)
        failure = outcome.failure
        if failure is None:
            return outcome
        policy = self._policies.get(outcome.task) or self._policies[name]
        is_fallback = item.fallback is not None
        verdict = decide(policy, failure, item.attempt, self._random.random(), is_fallback)
        if not self._is_stopped and isinstance(verdict, Retry | Fallback):
            delay_s = verdict.delay_s if isinstance(verdict, Retry) else 0.0
            stand_in = outcome.task if isinstance(verdict, Fallback) else item.fallback
            self._before[name, item.position] = outcome
            again = replace(item, attempt=item.attempt + 1, fallback=stand_in)
            self.retries.add(batch, again, delay_s)
            return None
        status = Status.SKIPPED if isinstance(verdict, Skip) else Status.FAILED
        return replace(outcome, status=status)
