"""Which stages of a run wait, run or have ended, and when the run stops early.

`StopRules` only count failures and read the clock; the driver stops the run.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import TaskinityDataError
from taskinity_data.execution.worker.failures import describe_failure
from taskinity_data.outcome import Status
from taskinity_data.wording import format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from taskinity_data.execution.fan_out import RunningFanOut
    from taskinity_data.execution.jobs import Work
    from taskinity_data.execution.worker.deadline import Deadline
    from taskinity_data.outcome import Outcome

__all__ = ["StageProgress", "StopRules", "failing", "timed"]


class StageProgress:
    """The stages of one run.

    Parameters
    ----------
    works : sequence of Work
        In an order in which they can run.

    Attributes
    ----------
    values : dict of str to object
        What each stage that ended has given.
    fan_outs, active : dict of str to RunningFanOut
        All that were opened, and those whose items have not all ended.
    single : set of str
        The tasks that run once, and do so now.
    skipped : set of str
        Stages that were skipped, or whose input was.
    """

    def __init__(self, works: Sequence[Work]) -> None:
        self.values: dict[str, Any] = {}
        self.fan_outs: dict[str, RunningFanOut] = {}
        self.active: dict[str, RunningFanOut] = {}
        self.single: set[str] = set()
        self.skipped: set[str] = set()
        self._idle: set[str] = set()
        self._waiting = list(works)

    def take_ready(self, has_place: Callable[[Work], bool]) -> Work | None:
        """Return the next stage that is to be started or is skipped; None: all others wait.

        A stage that would get nothing is passed over, and gives None.
        """
        for work in list(self._waiting):
            if any(need in self.skipped for need in work.needs):
                self.skipped.add(work.name)
            elif any(need in self._idle for need in work.needs) and work.finish is None:
                # Nothing came that it could be called with.
                self._waiting.remove(work)
                self._idle.add(work.name)
                self.values[work.name] = None
                continue
            elif not all(need in self.values for need in work.needs) or not has_place(work):
                continue
            elif any(need in self._idle for need in work.needs):
                self._idle.add(work.name)
            self._waiting.remove(work)
            return work
        return None

    def open(self, fan_out: RunningFanOut) -> None:
        """Take in a fan-out that has started."""
        self.fan_outs[fan_out.name] = self.active[fan_out.name] = fan_out
        if fan_out.is_idle:
            self._idle.add(fan_out.name)

    def end_single(self, name: str, outcome: Outcome) -> None:
        """Take in the end of a task that runs once."""
        self.single.remove(name)
        if outcome.status is Status.COMPLETED:
            self.values[name] = outcome.value[1]
        elif outcome.status is Status.SKIPPED:
            self.skipped.add(name)

    def end_fan_out(self, fan_out: RunningFanOut) -> None:
        """Take in the end of a fan-out."""
        del self.active[fan_out.name]
        keeps = fan_out.job.keeps_result
        self.values[fan_out.name] = fan_out.results.as_list() if keeps else None

    @property
    def has_more_items(self) -> bool:
        """Whether a fan-out has items that were not handed out yet, or one is still to begin."""
        return any(not fan_out.is_cut for fan_out in self.active.values()) or any(
            work.open is not None for work in self._waiting
        )

    @property
    def has_ended(self) -> bool:
        """Whether no stage waits or runs."""
        return not self._waiting and not self.active and not self.single


class StopRules:
    """The limits of a run: the number of chunks without a result, and its time.

    Parameters
    ----------
    max_failures : int, float or None
        A count, or a share from 0 to 1 of all planned chunks; None: none may fail, any may be
        skipped.
    run_timeout_s : float, optional
        From now on.

    Attributes
    ----------
    deadline : Deadline or None
        The end of that time.
    """

    def __init__(self, max_failures: float | None, run_timeout_s: float | None) -> None:
        self._max_failures = max_failures
        self._run_timeout_s = run_timeout_s
        self.deadline: Deadline | None = None
        if run_timeout_s is not None:
            from taskinity_data.execution.worker.deadline import Deadline

            self.deadline = Deadline(run_timeout_s)
        self._lost: Counter[str] = Counter()
        self._last: dict[str, Outcome] = {}

    def count_loss(self, fan_out: RunningFanOut, outcome: Outcome) -> str | None:
        """Count a chunk that ended without a result; the reason to stop, None if there is none.

        A share can't be judged before the number of chunks is known.
        """
        if self._max_failures is None and (
            outcome.status is Status.SKIPPED or outcome.is_quarantined
        ):
            return None
        self._lost[fan_out.name] += 1
        self._last[fan_out.name] = outcome
        return self.judge(fan_out)

    def judge(self, fan_out: RunningFanOut) -> str | None:
        """Return why the run must stop, None if `fan_out` has not lost too many chunks.

        Called again when the number of chunks becomes known, which a share needs.
        """
        lost, allowed = self._lost[fan_out.name], self._max_failures
        if allowed is None:
            allowed = 0
        elif isinstance(allowed, float):
            total = fan_out.expect_items()
            if total is None:
                return None
            allowed = int(allowed * total)
        if lost <= allowed:
            return None
        outcome = self._last[fan_out.name]
        reason = f"{outcome.task} failed: {outcome.failure}"
        if self._max_failures is None:
            return reason
        return f"{reason} ({format_count(lost, 'chunk')} failed, max_failures allows {allowed})"

    def overrun(self) -> TimeoutError | None:
        """Return what to stop with once the run's time is up."""
        if self.deadline is None or self.deadline.left_s >= 0:
            return None
        return TimeoutError(f"the run took longer than run_timeout ({self._run_timeout_s:g} s)")


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add how long the block takes to `seconds`, under `name`, whether it fails or not."""
    at = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] += time.perf_counter() - at


@contextmanager
def failing(name: str, fail: Callable[[str, BaseException | None], None]) -> Iterator[None]:
    """Let `fail` end the run where combining for the fan-out `name` raises, or its last chunk."""
    try:
        yield
    except TaskinityDataError as error:
        fail(f"{name}: {error}", error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's combine may raise anything
        failure = describe_failure(error)
        fail(f"{name}: combining raised {failure}", failure.error)
