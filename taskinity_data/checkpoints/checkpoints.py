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

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.outcome import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from taskinity_data.checkpoints.fan_out_record import FanOutRecord
    from taskinity_data.checkpoints.journal import Journal
    from taskinity_data.checkpoints.quarantine import Quarantine
    from taskinity_data.checkpoints.read_journal import Past
    from taskinity_data.checkpoints.run_directory import RunDirectory
    from taskinity_data.checkpoints.value_budget import ValueBudget
    from taskinity_data.chunks.open_dataset import Dataset
    from taskinity_data.outcome import Outcome
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
        self._enter, self._head, self._say = enter, dict(head), say
        self._more = more
        self._past = past
        self._outdated = set() if past is None else set(past.ended)
        self._begun_s = time.monotonic()
        self._early: list[Callable[[], Any]] | None = []
        self._is_asked = is_asked
        self._run_directory: RunDirectory | None = None
        self._journal: Journal | None = None
        self._quarantine: Quarantine | None = None
        self._values: ValueBudget | None = None
        self._fans: dict[str, FanOutRecord] = {}
        self._counts: Counter[str] = Counter()
        self.adopt: Callable[[Any], Any] | None = None
        self.mends = False
        self.has_begun = False

    @property
    def head(self) -> Mapping[str, Any]:
        """A description of the run."""
        return self._head

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

    def recall(self, name: str, items: Sequence[Any]) -> dict[int, Outcome]:
        """Return the stored outcomes of those `items` that need not be run, by their numbers."""
        if self._is_early and items and not isinstance(items[0].data, Chunk):
            return {}  # `keep` finds their identities; of chunks the cuts are stored now
        return self._act(self._recall_all, name, items) or {}

    def keep(self, name: str, item: Any, outcome: Outcome) -> None:
        """Keep the outcome of `item`, with its partial where that has an exact form."""
        if item.part:
            outcome = replace(outcome, value=None)
            self._act(self._keep_part, name, item, outcome)
            return
        has_value = not self._is_early or self._counts["early"] < MAX_EARLY
        value = outcome.value
        if value is not None and value[1] is None:
            # Where no result came, what was written is all of it.
            has_value = has_value or all(partial is None for partial in value[0])
        if not has_value:
            outcome = replace(outcome, value=None)
        self._counts["early"] += 1
        self._act(self._keep, name, item, outcome, has_value)

    def keep_block(
        self, name: str, items: Sequence[Any], block: OutcomeBlock, columns: Sequence[Any]
    ) -> None:
        """Keep the outcomes of `items`, which completed together: see `keep`."""
        if self._is_early:
            items = columns
            if self._counts["early"] + len(items) > MAX_EARLY:
                block = block.without_values()
        self._counts["early"] += len(items)
        self._act(self._keep_block, name, items, block)

    def set_aside(self, name: str, item: Any, outcome: Outcome) -> None:
        """Keep the rows of `item` where it has no result, and the lines that did not parse."""
        has_nothing = outcome.failure is None and outcome.bad_lines is None
        if self._past is None and has_nothing:
            return
        self._act(self._set_aside, name, item, replace(outcome, value=None))

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
        """Return what `act` does, None where that waits until it is time to begin."""
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
        details = {"name": job.task, "code": fan.parts, "asked": fan.cutting}
        self._write("F", details | {"unstable": list(fan.unstable)})
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
        whole = {number: item for number, item in enumerate(items) if not item.part}
        if (cuts := fan.describe_cuts(list(whole.values()))) is not None:
            self._write("K", cuts)
        outcomes = {number: self._recall(fan, item) for number, item in whole.items()}
        return {number: ended for number, ended in outcomes.items() if ended is not None}

    def _recall(self, fan: FanOutRecord, item: Any) -> Outcome | None:
        fan.count(item)
        record = None if fan.past is None else fan.find(item, mends=self.mends)
        if record is None:
            return None
        try:
            value = fan.load(record.load())
        except (OSError, ValueError) as error:
            self._report(f"{fan.name}: a stored chunk can't be read ({error}) and is run again")
            return None
        from taskinity_data.checkpoints.plain_outcomes import from_plain

        outcome = from_plain(record.details[3], value)
        if outcome.output is not None:
            part = self.adopt(outcome.output) if self.adopt is not None else None
            if part is None:
                return None
            outcome = replace(outcome, output=replace(part, index=item.position, key=item.key))
        self._counts["recalled"] += 1
        self._outdated.discard((fan.name, record.details[3][1], record.details[2]))
        return replace(outcome, task=fan.name, key=item.key, is_recalled=True)

    def _keep(self, name: str, item: Any, outcome: Outcome, has_value: bool) -> None:
        fan = self._fans.get(name)
        if fan is None or outcome.is_recalled:
            return
        details = fan.describe_item(item, outcome)
        self._outdated.discard((name, outcome.key, details[2]))
        is_done = has_value and outcome.status is Status.COMPLETED and details[1] is not None
        keeps = self._values if is_done else None
        self._write_ended("C", details, () if keeps is None else keeps.encode(fan, outcome))

    def _keep_block(self, name: str, items: Sequence[Any], block: OutcomeBlock) -> None:
        fan = self._fans.get(name)
        if fan is None:
            return
        if self._quarantine is not None:
            self._quarantine.forget(name, items)
        identities = list(map(fan.identity_of, items))
        has_identities = all(identity for identity, *_ in identities)
        keeps = self._values if block.values and has_identities else None
        buffers = [] if keeps is None else keeps.encode_block(fan, block)
        if not buffers and block.values:  # some of them may be kept
            for item, outcome in zip(items, block.outcomes(items), strict=True):
                self._keep(name, item, outcome, has_value=True)
            return
        from taskinity_data.checkpoints.plain_outcomes import to_plain_block

        if self._outdated:
            for item, (_, before, _) in zip(items, identities, strict=True):
                self._outdated.discard((name, item.key, before))
        plain = to_plain_block(fan.name, items, identities, block)
        self._write_ended("B", plain, buffers, len(items))
        fan.forget(items)

    def _keep_part(self, name: str, item: Any, outcome: Outcome) -> None:
        fan = self._fans.get(name)
        if fan is not None:
            from taskinity_data.checkpoints.plain_outcomes import to_plain

            self._write("D", (name, *fan.describe_part(item), to_plain(outcome)))

    def _set_aside(self, name: str, item: Any, outcome: Outcome) -> None:
        if self._quarantine is not None:
            self._quarantine.take(name, item, outcome)

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
            self._run_directory.summarize(self._head | {"status": "RUNNING"})
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
        self._write("H", self._head | dict(self._more()))
        for act in early:
            act()

    def _write_ended(self, kind: str, details: Any, buffers: Any, count: int = 1) -> None:
        self._write(kind, details, buffers)
        if self._journal is not None:
            self._counts["ended"] += count
            self._counts["kept"] += count if buffers else 0

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
            self._report(
                f"{self.recalled:,} finished chunks of run {self._past.run_id} were reused"
            )
        if self._quarantine is not None:
            self._quarantine.close(has_completed=status in ("COMPLETED", "PARTIAL"))
        end = {"status": status, "reason": reason, "ended_s": time.time()}
        answer = [] if self._values is None else self._values.encode_answer(value)
        # Chunks of earlier tries that were cut otherwise now, or are gone.
        outdated = list(self._outdated) if status in ("COMPLETED", "PARTIAL") else []
        self._write("E", {**(details or {}), **end, "outdated": outdated}, answer)
        self._stop_journal()
        if self._run_directory is not None:
            try:
                counts = {"chunks": self._counts["ended"] + self._counts["recalled"]}
                self._run_directory.summarize(self._head | end | counts)
            except OSError as error:
                self._say(f"{self._run_directory.directory}: no summary ({error.strerror})")
            self._run_directory.leave()
            self._run_directory = None
