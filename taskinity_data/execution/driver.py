"""Runs the stages of a flow: keeps a window of batches in flight, and takes in what comes back.

Fan-outs come from a function that it is given, the strategy decides where items run, and `Attempts`
whether one is tried again.
"""

from __future__ import annotations

import os
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from taskinity_data.errors import LedgerError, SchedulerError, TaskinityDataError
from taskinity_data.execution.attempts import Attempts, run_here
from taskinity_data.execution.fan_out_results import Completed
from taskinity_data.execution.run_account import Account
from taskinity_data.execution.run_progress import StageProgress, StopRules, failing, timed
from taskinity_data.execution.schedulers.base import SynchronousStrategy
from taskinity_data.execution.split_chunks import guard_items
from taskinity_data.execution.window import Window, make_key
from taskinity_data.execution.worker.job import Item, ItemColumns, Job, join_items
from taskinity_data.machine import read_umask
from taskinity_data.outcome import Outcome, RunStatus, Status
from taskinity_data.redact import hide

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskinity_data import events
    from taskinity_data.execution.checkpoint_protocol import CheckpointKeeper
    from taskinity_data.execution.choose_scheduler import SchedulerChoice
    from taskinity_data.execution.fan_out import RunningFanOut
    from taskinity_data.execution.jobs import Work
    from taskinity_data.execution.schedulers.base import Strategy
    from taskinity_data.execution.window import Batch
    from taskinity_data.outcome_block import OutcomeBlock
    from taskinity_data.policy import Policy

__all__ = ["Driver"]

GRACE_S = 5.0
"""How long what runs may take to its end once the run is interrupted; then it is dropped."""

_POLL_S = 0.2
"""How often a waiting driver looks up, so that Ctrl-C and time limits are noticed."""


class Driver:
    """One run, from its first task to its last.

    Parameters
    ----------
    run_id : str
    works : sequence of Work
        In an order in which they can run.
    policies : mapping of task to Policy
    chooser : SchedulerChoice
        Says who runs the items, and may change its mind while the run goes.
    emit : callable
        Takes each event.
    max_failures : int, float or None
        A count, or a share from 0 to 1 of all planned chunks, that may end without a result; None
        for each task's own default.
    run_timeout_s : float, optional
    inspect : callable, optional
        Sees the outcome of each item that has more to report than a value; a `TaskinityDataError`
        that it raises stops the run.
    checkpoints : CheckpointKeeper, optional
        Stores the outcomes of items, and knows which ones need not run again.
    idle : callable, optional
        Called a few times a second while nothing comes back.
    """

    def __init__(
        self,
        run_id: str,
        works: Sequence[Work],
        policies: Mapping[str, Policy],
        chooser: SchedulerChoice,
        emit: Callable[[events.Event], None],
        *,
        max_failures: float | None = None,
        run_timeout_s: float | None = None,
        inspect: Callable[[Outcome], None] | None = None,
        checkpoints: CheckpointKeeper | None = None,
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        self.run_id = run_id
        self.account = Account(run_id, emit)
        self.status = RunStatus.COMPLETED
        self.stop_reason: str | None = None
        self.cause: BaseException | None = None
        self.has_submitted = self.has_dropped = False
        self.seconds = {"plan": 0.0, "combine": 0.0, "wait": 0.0}
        self._umask = read_umask()
        self._stages = StageProgress(works)
        self.values = self._stages.values
        self.fan_outs = self._stages.fan_outs
        self.chooser = chooser
        self._inspect = inspect
        self._checkpoints = checkpoints
        self._idle = idle
        self._limits = StopRules(max_failures, run_timeout_s)
        self._window = Window()
        self._active = self._stages.active
        self._judge = Attempts(policies, self._active, self.account.resize, self._retry)
        self._completed = Completed(self._end_block)
        self._has_room = True
        self._is_interrupted = False

    def run(self) -> None:
        """Run to the end; the attributes hold the result.

        Raises
        ------
        KeyboardInterrupt
            Ctrl-C, after all that was started is cancelled; the attributes hold what was done.
        """
        try:
            while True:
                if self._is_interrupted:
                    self._drain()
                    break
                try:
                    self._start_ready()
                    self._fill()
                except SchedulerError as error:
                    self.fail(str(error), error)
                if self.stop_reason is not None:
                    self._window.drop_gone()
                if not self._window and not self._judge.is_waiting:
                    if self.stop_reason is not None or self._stages.has_ended:
                        break
                    continue
                self._wait()
                overrun = self._limits.overrun()
                if overrun is not None:
                    self.fail(str(overrun), overrun)
                    self._window.abort()
        except KeyboardInterrupt:
            self.status = RunStatus.INTERRUPTED
            self.stop_reason = "interrupted"
            self._window.cancel()
            self.has_dropped = bool(self._window)
            raise
        except BaseException:
            self.status = RunStatus.FAILED
            self._window.cancel()
            raise
        finally:
            for fan_out in self.fan_outs.values():
                fan_out.close()
            os.umask(self._umask)
            self.has_dropped |= self._window.runs_on
            self._window.close()
        if self.status is RunStatus.COMPLETED and self.account.has_losses:
            self.status = RunStatus.PARTIAL

    def interrupt(self) -> bool:
        """Begin nothing more, and end soon; False if this thread runs the items itself."""
        if isinstance(self.chooser.strategy, SynchronousStrategy):
            return False
        self._is_interrupted = True
        self._window.wake()
        return True

    def _drain(self) -> None:
        """Take back what ends within the grace, and drop the rest."""
        self.status, self.stop_reason = RunStatus.INTERRUPTED, self.stop_reason or "interrupted"
        self._judge.stop()
        self._window.cancel()
        until_s = time.monotonic() + GRACE_S
        try:
            while self._window and time.monotonic() < until_s:
                self._wait()
        except SchedulerError:  # nothing comes from there any more
            pass
        self.has_dropped = bool(self._window)
        self._window.abort()

    def _start_ready(self) -> None:
        may_start = partial(self._window.may_start, self.chooser.strategy)
        while self.stop_reason is None and (work := self._stages.take_ready(may_start)):
            if work.name in self._stages.skipped:
                outcome = Outcome(work.name, make_key(self.run_id, work.name), Status.SKIPPED)
                self.account.end(work.name, outcome)
            else:
                self._start(work)

    def _start(self, work: Work) -> None:
        if work.finish is not None:
            source, number = work.finish
            self._finish_reducer(work.name, self.fan_outs[source], number)
            return
        self.account.begin(work.name)
        try:
            strategy = self.chooser.strategy
            if work.open is not None:
                with timed(self.seconds, "plan"):
                    fan_out = work.open(self.values, strategy)
                self._stages.open(fan_out)
                return
            assert work.job is not None
            job = work.job(self.values)
        except TaskinityDataError as error:
            self.fail(f"{work.name}: {error}", error)
            return
        self._stages.single.add(work.name)
        item = Item(key=make_key(self.run_id, work.name))
        is_local = work.is_local and not job.resources
        self._submit(self.chooser.local if is_local else strategy, work.name, job, [item])

    def _fill(self) -> None:
        if self.stop_reason is not None:
            return
        self._judge.release()
        has_more = self._stages.has_more_items
        if has_more:
            self.chooser.refresh()
        strategy = self.chooser.strategy
        window = self.chooser.limit(self._window.limit(strategy, has_more=has_more))
        busy = self._window.count(strategy)
        while busy < window and (due := self._judge.take_due()) is not None:
            batch, item = due
            where = batch.strategy if self.chooser.is_local(batch.strategy) else strategy
            self._submit(where, batch.name, batch.job, [item])
            busy += 1
        self._has_room = busy < window
        turns = deque(self._active.values())
        # What has ended is looked at before: it may change the size of what is cut next. A part of
        # what is missing may wait until that is handed out: to look at each alone costs more.
        while turns and self.stop_reason is None and self._window.done < window - busy:
            fan_out = turns.popleft()
            busy += max(1, self._hand_out(fan_out, strategy, 1 if turns else window - busy))
            if not fan_out.is_cut:
                turns.append(fan_out)
        if not turns and any(fan_out.job.has_backups for fan_out in self._active.values()):
            for name, item in self._window.back_up(strategy):
                self.account.notices.back_up(name, item)

    def _hand_out(self, fan_out: RunningFanOut, strategy: Strategy, room: int) -> int:
        """Submit at most `room` batches, and return how many there were."""
        batches = None
        with failing(fan_out.name, self.fail):
            batches = self._take(fan_out, strategy, room)
        if batches:
            self._submit(strategy, fan_out.name, fan_out.job, *batches)
        self.account.grow(fan_out)
        if batches is not None:
            self._finish_if_done(fan_out.name)
        return len(batches or ())

    def _take(self, fan_out: RunningFanOut, strategy: Strategy, room: int) -> list[Sequence[Item]]:
        """Return the next batches of items that must run, without what an earlier run has ended."""
        left: list[Sequence[Item]] = []
        while not left and not fan_out.is_cut and self.stop_reason is None:
            with timed(self.seconds, "plan"):
                batches = fan_out.take_batches(room, strategy.workers, strategy.target_s)
            keeper, items = self._checkpoints, join_items(batches)
            name, chunks = fan_out.name, fan_out.whole_chunks
            recalled = {} if keeper is None else keeper.recall(name, items, chunks)
            for number, outcome in recalled.items():
                self.has_submitted = True
                self._settle(fan_out, items[number], outcome, shares_process=True)
            if recalled:
                done = {items[number].index for number in recalled}
                left = [[item for item in batch if item.index not in done] for batch in batches]
                batches = [batch for batch in left if batch]
            left = batches
        return left

    def _submit(self, strategy: Strategy, name: str, job: Job, *batches: Sequence[Item]) -> None:
        self.has_submitted = True
        # A plain aggregate's list is not sent elsewhere unless its own time limit asks for it.
        deadline = None if self.chooser.is_local(strategy) else self._limits.deadline
        guarded = guard_items(batches, job, strategy, deadline)
        if name in self._active:
            self.account.submit(name, join_items(guarded))
        self._window.submit(name, guarded, strategy, job)

    def _wait(self) -> None:
        """Take in what is done; wait for the first of it at most until the next retry."""
        was_one_alone = self.chooser.is_one_alone
        self._look()
        if was_one_alone and not self.chooser.is_one_alone:
            return  # the others may begin
        longest_s = min(_POLL_S, self.chooser.look_s)
        # Where all is full, what is due waits for something to end, not for its time.
        until_due_s = self._judge.retries.limit_wait(longest_s)
        with timed(self.seconds, "wait"):
            finished = self._window.wait(until_due_s if self._has_room else longest_s)
        if not finished:
            self._idle()
        # A function in this process may have set another: what the run writes goes by its own.
        os.umask(self._umask)
        for batch, outcomes in finished:
            if isinstance(outcomes, SchedulerError) and batch.strategy.is_gone:
                # No fault of these items: they have not run, and a resumed run does them.
                self.fail(str(outcomes), outcomes)
                continue
            for item, ended in self._judge.take_in(batch, outcomes):
                if not isinstance(item, Item):
                    self._completed.add(batch, item, ended)
                elif isinstance(ended, Outcome):
                    self._completed.end()
                    self._end(batch, item, ended)
            if not self._completed and (repeated := self._judge.find_repeats(batch.name)):
                # All that was tried fails alike.
                self.fail(*repeated)
        self._completed.end()
        for name in {batch.name for batch, _ in finished}:
            self._finish_if_done(name)
        if finished and self.chooser.is_one_alone:
            self._look()  # before more is handed out: the others are idle

    def _look(self) -> None:
        running = self._window.count(self.chooser.strategy)
        self.chooser.look(self._active.values(), running, self.seconds["wait"], self._window.wake)

    def _end(self, batch: Batch, item: Item, outcome: Outcome) -> None:
        fan_out = self._active.get(batch.name)
        if fan_out is None:
            self._end_single(batch.name, outcome)
            return
        if self._checkpoints is not None:
            self._checkpoints.keep(batch.name, [item], outcome)
        self._settle(fan_out, item, outcome, not batch.strategy.crosses_processes)
        if fan_out.loses(item, outcome):
            reason = self._limits.count_loss(fan_out, outcome)
            if reason is not None:
                self.fail(reason, outcome.failure.error if outcome.failure else None)

    def _end_block(self, batch: Batch, parts: list[Sequence[Item]], block: OutcomeBlock) -> None:
        fan_out = self._active[batch.name]
        items = ItemColumns(fan_out.whole_chunks or None)
        for part in parts:
            items.add(part)
        if self._checkpoints is not None:
            self._checkpoints.keep(batch.name, items, block)
        with timed(self.seconds, "combine"), failing(fan_out.name, self.fail):
            fan_out.end_block(items, block, not batch.strategy.crosses_processes)
        self.account.end_block(fan_out.name, items, block)

    def _settle(
        self, fan_out: RunningFanOut, item: Item, outcome: Outcome, shares_process: bool
    ) -> None:
        """Combine and book the final outcome of `item`."""
        with timed(self.seconds, "combine"), failing(fan_out.name, self.fail):
            fan_out.end(item, outcome, shares_process)
            if self._inspect is not None:
                self._inspect(outcome)
        self.account.end_item(fan_out.name, item, outcome)

    def _retry(self, name: str, item: Item, outcome: Outcome | None, how: str, parts: int) -> None:
        self.account.retry(name, item, outcome, how, parts)
        if parts:
            self.account.grow(self._active[name])

    def _end_single(self, name: str, outcome: Outcome) -> None:
        self.account.end(name, outcome)
        self._stages.end_single(name, outcome)
        if outcome.status is Status.FAILED:
            failure = outcome.failure
            self.fail(f"{name} failed: {failure}", failure.error if failure else None)

    def _finish_if_done(self, name: str) -> None:
        fan_out = self._active.get(name)
        if self.stop_reason is not None or fan_out is None or not fan_out.is_done:
            return
        self._stages.end_fan_out(fan_out)
        try:
            fan_out.prove()
        except LedgerError as error:
            self.fail(f"{fan_out.name}: {error}", error)
        # Now the number of chunks is known, of which a share may fail.
        if reason := self._limits.judge(fan_out):
            self.fail(reason, None)
        self.account.end(fan_out.name)

    def _finish_reducer(self, name: str, fan_out: RunningFanOut, number: int) -> None:
        self.account.begin(name)
        key = make_key(self.run_id, name)
        value, outcome = run_here(name, key, lambda: fan_out.finish(number))
        self.seconds["combine"] += outcome.duration_s
        if outcome.failure is None:
            self.values[name] = value
        else:
            self.fail(f"{name} failed: {outcome.failure}", outcome.failure.error)
        self.account.end(name, outcome)

    def fail(self, reason: str, cause: BaseException | None) -> None:
        """Stop, for `reason`: nothing new is begun, what runs is cancelled."""
        if self.stop_reason is None:
            self.stop_reason, self.cause = hide(reason), cause
            self.status = RunStatus.FAILED
            self._judge.stop()
            self._window.cancel()
