"""Which stages of a run wait, run or have ended, and what those that ended have given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskinity_data.outcome import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskinity_data.execution.fan_out import RunningFanOut
    from taskinity_data.execution.jobs import Work
    from taskinity_data.outcome import Outcome

__all__ = ["StageProgress"]


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
