"""Decide when a run stops early: after too many failures, or after `run_timeout`.

The rules only count failures and read the clock; the driver stops the run.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from taskinity_data.outcome import Status

if TYPE_CHECKING:
    from taskinity_data.execution.fan_out import RunningFanOut
    from taskinity_data.execution.worker.deadline import Deadline
    from taskinity_data.outcome import Outcome

__all__ = ["StopRules"]


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
        """Count a chunk that ended without a result; the reason to stop, None where there is none.

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
        more = f" ({lost} chunks failed, max_failures allows {allowed})" if allowed else ""
        return f"{outcome.task} failed: {outcome.failure}{more}"

    def overrun(self) -> TimeoutError | None:
        """Return what to stop with once the run's time is up."""
        if self.deadline is None or self.deadline.left_s >= 0:
            return None
        return TimeoutError(f"the run took longer than run_timeout ({self._run_timeout_s:g} s)")
