"""Write the journal of a run, and find results of the resumed run that can be reused.

The driver calls `recall` before it submits an item, and `keep` when an item has ended. Items are
looked up by their identity: code, options and data.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from taskinity_data.outcome import Outcome, Status
from taskinity_data.wording import format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from taskinity_data.checkpoints.fan_out_record import FanOutRecord
    from taskinity_data.checkpoints.journal import Journal
    from taskinity_data.checkpoints.quarantine import Quarantine
    from taskinity_data.checkpoints.read_journal import Past
    from taskinity_data.checkpoints.run_directory import RunDirectory
    from taskinity_data.checkpoints.value_budget import ValueBudget
    from taskinity_data.chunks.cut_columns import CutColumns
    from taskinity_data.chunks.open_dataset import Dataset
    from taskinity_data.outcome_block import OutcomeBlock

T = TypeVar("T")

__all__ = ["BEGIN_S", "Checkpoints"]

BEGIN_S = 2.0
"""Without `run_dir=` or `resume=`, a run is stored from its third second on, so that short runs
leave no directory behind; outcomes until then are written at that time."""

MAX_EARLY = 32
"""Results that are held in memory until then; results of further items in that time are not
stored, so that a resumed run computes them again."""


class Checkpoints:
    """The journal of one run.

    Parameters
    ----------
    enter : callable
        Creates the directory of the run, and locks it; may raise `OSError`.
    head : mapping
        A description of the run, of plain values.
    say : callable
        Called with messages for the user.
    past : Past, optional
        The journal of the run that is resumed; its results are reused.
    is_asked : bool
        Whether the user passed `run_dir=` or `resume=`: then the caller calls `begin` at the start.
    more : callable
        Called when the journal begins; returns further plain values for it.
    """

    def __init__(
        self,
        enter: Callable[[], RunDirectory],
        head: Mapping[str, Any],
        say: Callable[[str], None],
        *,
        past: Past | None = None,
        is_asked: bool = False,
        more: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._enter, self.head, self._say = enter, dict(head), say
        self._more = more
        self._past = past
        self._outdated = set() if past is None else {key[:2] for key in past.ended}
        self._begun_s = time.monotonic()
        self._early: list[Callable[[], Any]] | None = []
        self._is_asked = is_asked
        self._run_directory: RunDirectory | None = None
        self._journal: Journal | None = None
        self._quarantine: Quarantine | None = None
        self._values: ValueBudget | None = None
        self._fans: dict[str, FanOutRecord] = {}
        self._chunks: dict[str, CutColumns] = {}
        self._counts: Counter[str] = Counter()
        self.adopt: Callable[[Any], Any] | None = None
        self.mends = False
        self.has_begun = False

    def will_keep(self, status: str) -> bool:
        """Return whether results can be reused by a later run after ``close(status)``."""
        is_waiting = self._early is not None and self._counts["early"] > 0
        return self.was_kept or (is_waiting and status == "INTERRUPTED")

    def will_write(self, status: str) -> bool:
        """Return whether ``close(status)`` writes a journal."""
        return self.has_begun or self.will_keep(status)

    @property
    def was_kept(self) -> bool:
        """Whether any result can be reused by a later run."""
        return bool(self._counts["kept"] + self._counts["recalled"])

    @property
    def quarantine(self) -> Path | None:
        """The directory of the quarantine, None if nothing failed."""
        return None if self._quarantine is None else self._quarantine.path

    @property
    def recalled(self) -> int:
        """The number of chunks whose results were reused."""
        return self._counts["recalled"]

    # -- fan-outs ------------------------------------------------------------------------------

    def enter(self, job: Any, dataset: Dataset | None, cutting: str) -> FanOutRecord | None:
        """Begin a fan-out that does `job` to pieces of `dataset`; None until the journal begins."""
        return self._act(self._enter_fan_out, job, dataset, cutting)

    def recall(self, name: str, items: Sequence[Any], chunks: CutColumns) -> dict[int, Outcome]:
        """Return the stored outcomes of those `items` that need not be run, by their numbers.

        `chunks` are all that are handed out, now or later; they are stored with what ends.
        """
        self._chunks[name] = chunks
        if self._is_early:
            return {}  # `keep` finds their identities
        return self._act(self._recall_all, name, items) or {}

    def keep(self, name: str, items: Sequence[Any], ended: Outcome | OutcomeBlock) -> None:
        """Keep the outcomes of `items`, with those values that have an exact form.

        The rows of one without a result are quarantined, and lines that did not parse.
        """
        is_part = bool(items[0].part)
        self._counts["early"] += 0 if is_part else len(items)
        if self._is_early and (is_part or self._counts["early"] > MAX_EARLY):
            ended = _without_results(ended)
        self._act(self._keep, name, items, ended)

    def note_output(self, staging: str) -> None:
        """Note where parts are written until they are committed."""
        self._act(self._write, "O", staging)

    def note_scheduler(self, name: str, workers: int, reason: str) -> None:
        """Note who runs items from now on."""
        self._act(self._write, "S", (name, workers, reason))

    @property
    def _is_early(self) -> bool:
        return self._early is not None and time.monotonic() - self._begun_s < BEGIN_S

    def _act(self, act: Callable[..., T], *arguments: Any) -> T | None:
        """Return what `act` does, None if that waits until it is time to begin."""
        if self._early is not None:
            if self._is_early:
                self._early.append(partial(act, *arguments))
                return None
            try:
                self.begin()
            except OSError as error:
                self._early = None
                self._say(
                    f"no journal is kept: {error.strerror} ({error.filename}). If the run stops, "
                    "it can't be resumed; set another directory with run_dir= or TASKINITY_RUN_DIR"
                )
        return act(*arguments)

    # -- what is done about them ---------------------------------------------------------------

    def _enter_fan_out(self, job: Any, dataset: Dataset | None, cutting: str) -> FanOutRecord:
        past = self._past.fan_outs.get(job.task) if self._past is not None else None
        from taskinity_data.checkpoints.fan_out_record import FanOutRecord

        fan = FanOutRecord(job, dataset, cutting, past, takes_time=self._is_asked)
        self._fans[job.task] = fan
        self._write("F", tuple(fan.start))
        for part, reason in fan.unstable.items():
            self._report(
                f"{job.task}: {part} holds something without an identity ({reason}), so its chunks "
                "are run again when this run is resumed"
            )
        if past is None and fan.computed:
            self._report(
                f"{job.task}: it takes {', '.join(fan.computed)}, which are known when it runs: "
                "changes in them outside that file will not be noticed when this run is resumed"
            )
        if past is not None and self._past is not None:
            for line in fan.list_differences(self._past.files, mends=self.mends):
                self._report(line)
        return fan

    def _recall_all(self, name: str, items: Sequence[Any]) -> dict[int, Outcome]:
        fan = self._fans.get(name)
        if fan is None:
            return {}
        fan.note(items)
        if fan.past is None:
            return {}
        outcomes = {
            number: self._recall(fan, item) for number, item in enumerate(items) if not item.part
        }
        return {number: ended for number, ended in outcomes.items() if ended is not None}

    def _recall(self, fan: FanOutRecord, item: Any) -> Outcome | None:
        for before in fan.find(item, mends=self.mends):
            try:
                value = fan.load(before.load())
            except (OSError, ValueError) as error:
                self._report(f"{fan.name}: a stored chunk can't be read ({error}) and is run again")
                continue
            output = before.outcome.output
            if output is not None:
                part = self.adopt(output) if self.adopt is not None else None
                if part is None:
                    continue
                output = replace(part, index=item.position, key=item.key)
            self._counts["recalled"] += 1
            self._outdated.discard(before.key[:2])
            fan.forget([item.position])
            if self._quarantine is not None:
                self._quarantine.take(fan.name, item, before.outcome)
            return replace(
                before.outcome,
                task=fan.name,
                key=item.key,
                value=value,
                output=output,
                is_recalled=True,
            )
        return None

    def _keep(self, name: str, items: Sequence[Any], ended: Outcome | OutcomeBlock) -> None:
        fan = self._fans.get(name)
        if fan is None:
            return
        if self._outdated:
            self._outdated.difference_update((name, item.origin or item.key) for item in items)
        if self._quarantine is not None:
            if isinstance(ended, Outcome):
                self._quarantine.take(name, items[0], ended)
            else:
                self._quarantine.forget(name, items)
        record = fan.describe_items(items, ended)
        values = _values_of(ended)
        keeps = self._values if values and fan.can_find(record) else None
        buffers = [] if keeps is None else keeps.encode(fan, values, ended.duration_s)
        if keeps is not None and not buffers and not isinstance(ended, Outcome):
            # Some of them may be kept.
            for item, outcome in zip(items, ended.outcomes(items), strict=True):
                self._keep(name, [item], outcome)
            return
        if record.data is not None:
            fan.forget(record.positions)
        self._write_cuts(fan)
        self._write("B", tuple(record), buffers)
        if record.part is None and self._journal is not None:
            self._counts["ended"] += len(items)
            self._counts["kept"] += len(items) if buffers else 0

    def _write_cuts(self, fan: FanOutRecord) -> None:
        chunks = self._chunks.get(fan.name)
        if chunks is not None and (cuts := fan.describe_cuts(chunks)) is not None:
            self._write("K", tuple(cuts))

    # -- writing -------------------------------------------------------------------------------

    def _report(self, text: str) -> None:
        if self._journal is not None:
            self._say(text)
            self._write("N", text)

    def begin(self) -> None:
        """Begin to write, what has ended until now first.

        Raises
        ------
        OSError
            It can't be written.
        ResumeError
            Another process is running it.
        """
        from taskinity_data.checkpoints.journal import Journal
        from taskinity_data.checkpoints.quarantine import Quarantine
        from taskinity_data.checkpoints.value_budget import ValueBudget

        self._run_directory = self._enter()
        try:
            self._run_directory.summarize(self.head | {"status": "RUNNING"})
            self._journal = Journal(self._run_directory.directory, self._run_directory.run_id)
        except OSError:
            self._run_directory.leave()
            raise
        self._quarantine = Quarantine(
            self._run_directory.directory, self._run_directory.run_id, self._say
        )
        self._values = ValueBudget(self._report, is_asked=self._is_asked)
        self.has_begun = True
        early, self._early = self._early or [], None
        self._write("H", self.head | dict(self._more()))
        for act in early:
            act()

    def _write(self, kind: str, details: Any, buffers: Any = ()) -> None:
        if self._journal is None:
            return
        try:
            self._journal.add(kind, details, buffers)
        except OSError as error:
            directory = self._journal.path.parent
            self._stop_journal()
            self._say(
                f"the journal in {directory} can't be written any more ({error.strerror}): the run "
                "continues without it, and later results are not stored"
            )

    def _stop_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    # -- the end -------------------------------------------------------------------------------

    def close(
        self,
        status: str,
        value: Any = None,
        reason: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the end of the run to the journal, and release the run's directory.

        A run that was interrupted before its journal began (`BEGIN_S`) is stored now, so that it
        can be resumed. Errors of the file system are reported to the user, never raised.

        `status` is a run status, `value` the answer (stored if it is small), `reason` why the run
        stopped early; `details` are further plain values to store.
        """
        if self._early is not None and self.will_keep(status):
            try:
                self.begin()
            except OSError as error:
                self._say(f"results can't be stored: {error.strerror} ({error.filename})")
        self._early = None
        if self._past is not None:
            reused = format_count(self.recalled, "finished chunk")
            was = "was" if self.recalled == 1 else "were"
            self._report(f"{reused} of run {self._past.run_id} {was} reused")
        if self._quarantine is not None:
            self._quarantine.close(has_completed=status in ("COMPLETED", "PARTIAL"))
        for fan in self._fans.values():
            self._write_cuts(fan)
        end = {"status": status, "reason": reason, "ended_s": time.time()}
        answer = [] if self._values is None else self._values.encode_answer(value)
        # Chunks of earlier tries that were cut otherwise now, or are gone.
        outdated = list(self._outdated) if status in ("COMPLETED", "PARTIAL") else []
        self._write("E", {**(details or {}), **end, "outdated": outdated}, answer)
        self._stop_journal()
        if self._run_directory is not None:
            try:
                counts = {"chunks": self._counts["ended"] + self._counts["recalled"]}
                self._run_directory.summarize(self.head | end | counts)
            except OSError as error:
                self._say(f"{self._run_directory.directory}: no summary ({error.strerror})")
            self._run_directory.leave()
            self._run_directory = None


def _values_of(ended: Outcome | OutcomeBlock) -> list[Any]:
    """Return the values that can be kept; none where not all of them can."""
    if not isinstance(ended, Outcome):
        return ended.values
    is_done = ended.status is Status.COMPLETED and ended.value is not None
    return [ended.value] if is_done else []


def _without_results(ended: Outcome | OutcomeBlock) -> Outcome | OutcomeBlock:
    """Return `ended` without values, but for one of what was written, without a result."""
    if not isinstance(ended, Outcome):
        return ended.without_values()
    partials, result = ended.value or ((), None)
    is_empty = result is None and all(partial is None for partial in partials)
    return ended if is_empty else replace(ended, value=None)
