"""Where a run's rows go: which fan-out's results are written, and when they become visible.

A sink writes the files, and workers call it through its writer.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.cut_again import IN_MEMORY
from taskinity_data.errors import PlanError, ResumeError
from taskinity_data.flow.stages import FanOutStage, Stage
from taskinity_data.outcome import Status
from taskinity_data.output.complete import CommittedError, Earlier, KeptParts
from taskinity_data.output.inputs import InputRules, describe_input
from taskinity_data.output.sink import is_in_store, open_sink
from taskinity_data.reducers.base import WholeChunks
from taskinity_data.run.journal import open_journal
from taskinity_data.run.output_options import choose_files
from taskinity_data.run.result import Output
from taskinity_data.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskinity_data.chunks.open_dataset import Dataset
    from taskinity_data.execution.driver import Driver
    from taskinity_data.flow.flow import Flow
    from taskinity_data.outcome import Outcome
    from taskinity_data.output.target import Sink
    from taskinity_data.run.describe_run import CallFacts
    from taskinity_data.run.journal import NoticeBoard, RunJournal
    from taskinity_data.run.options import RunOptions
    from taskinity_data.settings import Settings
    from taskinity_data.sources.file import SourceFile

__all__ = ["Dropped", "RunOutput", "begin"]


class RunOutput:
    """The results of one fan-out on their way to a sink."""

    def __init__(
        self,
        fan_out: str,
        path: str,
        sink: Sink,
        kept_parts: KeptParts,
        rules: InputRules,
        say: Callable[[str], None],
    ) -> None:
        self._fan_out = fan_out
        self._path = path
        self._sink = sink
        self._kept_parts = kept_parts
        self._rules = rules
        self._say = say
        self._is_idle = False
        self.is_in_process = sink.is_in_process
        self.must_read: frozenset[str] = frozenset()
        self.written: Output | None = None

    @property
    def by_fan_out(self) -> dict[str, RunOutput]:
        """Itself, under the name of the fan-out whose results it gets."""
        return {self._fan_out: self}

    @property
    def writer(self) -> Any:
        """What workers write with."""
        return self._sink.writer

    def choose(self, dataset: Dataset) -> Dataset:
        """Return `dataset` with those of its files alone that are to be written.

        Raises
        ------
        PlanError
            See `InputRules.choose`.
        """
        chosen = choose_files(dataset, self._rules, self._say)
        self._is_idle = not chosen.sources
        return chosen

    def refuse_unlisted(self, subject: str) -> None:
        """Raise `PlanError` if new inputs alone are wanted of `subject`, which has no files."""
        self._rules.refuse_unlisted(subject)

    def check_sources(self, paths: Sequence[str]) -> None:
        """Raise `PlanError` if a file that is read is in the output's directory.

        Where what the run has committed is to be completed, `ResumeError` where a file that it
        read is not a source any more: its rows would go.
        """
        gone = sorted(self.must_read - set(paths))
        if gone:
            raise ResumeError(
                f"{self._path} holds rows of {gone[0]}, which is no longer a source: completing it "
                "would remove them. Restore the file, or start another run with another output"
            )
        for path in paths:
            if self._sink.holds(path):
                raise PlanError(
                    f"output={self._path!r} contains {path}, which this run reads: it would read "
                    "its own output; choose a directory outside the source"
                )

    def inspect(self, outcome: Outcome) -> None:
        """Raise `SchemaError` if a chunk's columns or types are not those of the others, and
        what would fail every other chunk, too.
        """
        failure = outcome.failure
        if failure is not None and getattr(failure.error, "ends_run", False):
            assert failure.error is not None
            raise failure.error
        if outcome.output is not None:
            self._sink.check(outcome.output)

    def commit(self, flow: Flow, driver: Driver, run_id: str) -> None:
        """Make all parts visible, in chunk order.

        Where no input is new the target stays as it is.
        """
        if self._is_idle:
            self.written = Output(self._path, 0, 0, 0)
            self._kept_parts.remove()
            self._sink.abort()
            return
        written = [
            (item.index, outcome.output)
            for item, outcome in driver.account.outcomes.singles
            if item is not None
            and outcome.status is Status.COMPLETED
            and outcome.output is not None
        ]
        written.sort(key=lambda entry: entry[0])
        manifest = self._sink.commit(
            [part for _, part in written],
            {
                "run_id": run_id,
                "status": str(driver.status),
                "taskinity_data": __version__,
                "flow": flow.name,
                "flow_fingerprint": blake2b(flow.to_text().encode(), digest_size=16).hexdigest(),
                "inputs": _describe_inputs(driver),
            },
        )
        self.written = Output(self._path, len(manifest.parts), manifest.rows, manifest.nbytes)
        self._kept_parts.remove()

    def adopt(self, part: Any) -> Any:
        """Return a part of an earlier run for this one; None if it is not there as it was."""
        staging = self._sink.writer.staging.directory
        if staging is not None and self._kept_parts.give_back(part, staging):
            return part
        mending = self._sink.mending
        return None if mending is None else mending.reclaim(part)

    def close(self, *, is_kept: bool = False) -> None:
        """Leave the target as it was, unless it was committed; `is_kept`: keep finished parts."""
        if self.written is None:
            staging = self._sink.writer.staging.directory
            if is_kept and staging is not None:
                self._kept_parts.take(staging)
            self._sink.abort()


def open_output(
    steps: Sequence[Stage],
    options: RunOptions,
    journal: RunJournal,
    say: Callable[[str], None],
    *,
    goes_on: bool,
) -> RunOutput:
    """Return what takes the results of the flow's one fan-out.

    What an earlier run has written is moved before the sink removes it.

    Parameters
    ----------
    steps, options, journal
    say : callable
        Takes what the user should know.
    goes_on : bool
        Whether the earlier run goes on where it has committed, too.

    Raises
    ------
    PlanError
        There is not one fan-out alone, or the sink refuses something.
    CommittedError
        The earlier run has committed, and does not go on.
    ResumeError
        The earlier run has committed all of it already, or what it has committed is not there as
        it was.
    """
    assert options.output is not None
    names = [stage.name for stage in steps if isinstance(stage, FanOutStage)]
    if len(names) != 1:
        raise PlanError(
            f"output= takes the results of one fan-out, but the flow fans out {len(names)} times "
            f"({', '.join(names) or 'never'})"
        )
    kept_parts = KeptParts(options.output, journal.run_id, journal.run_dir, say)
    earlier = None
    if journal.past is not None:
        earlier = Earlier(journal.run_id, journal.has_committed, goes_on)
        for staging in journal.past.staging:
            kept_parts.take(staging)
    try:
        sink = open_sink(
            options.output,
            format=options.output_format,
            partition_by=options.partition_by,
            if_exists=options.if_exists,
            max_rows_per_file=options.max_rows_per_file,
            compression=options.output_compression,
            storage_options=options.storage_options,
            earlier=earlier,
        )
    except CommittedError:
        kept_parts.remove()
        raise
    kept_parts.remove_orphans()
    # A URL may hold a password.
    path = sink.target if is_in_store(options.output) else os.fsdecode(options.output)
    listed = None if sink.mending is None else sink.mending.inputs
    rules = InputRules(path, sink.others, listed, options.only_new, options.allow_repeated)
    output = RunOutput(names[0], path, sink, kept_parts, rules, say)
    _join_journal(output, sink, journal)
    return output


def _join_journal(output: RunOutput, sink: Sink, journal: RunJournal) -> None:
    """Give the output what the run has read before, and the journal where parts are written."""
    if sink.mending is not None and journal.past is not None:
        if not journal.past.has_committed:
            # It was killed before it could say so; its parts are known by their content.
            journal.past.commit()
        # A table in memory is in another file each time.
        files = journal.past.files.items()
        named = frozenset(path for name, path in files if not name.startswith(IN_MEMORY))
        output.must_read = named.intersection(entry["path"] for entry in sink.mending.inputs)
    journal.checkpoints.adopt = output.adopt
    journal.checkpoints.mends = sink.mending is not None
    staged = sink.writer.staging.directory
    if staged is not None:
        journal.checkpoints.note_output(staged)


def begin(
    flow: Flow,
    steps: Sequence[Stage],
    options: RunOptions,
    call: CallFacts,
    settings: Settings,
    notices: NoticeBoard,
    *,
    is_anew: bool = False,
) -> tuple[RunJournal, RunOutput]:
    """Open the output, and the journal once that is sure to be possible."""
    journal = open_journal(flow, options, call, settings, notices, is_anew=is_anew)
    sink = None
    try:
        sink = open_output(
            steps,
            options,
            journal,
            notices,
            goes_on=options.resume is not True or not options.only_new,
        )
        journal.begin()
    except CommittedError as error:
        journal.abandon()
        notices(f"resume=True: {error} already; a new one starts")
        return begin(flow, steps, options, call, settings, notices, is_anew=True)
    except BaseException:
        journal.abandon()
        if sink is not None:
            sink.close()
        raise
    return journal, sink


@dataclass(frozen=True, repr=False)
class Dropped(WholeChunks):
    """A reducer that keeps nothing: what was written is the answer."""

    name: ClassVar[str] = "drop"
    wants: ClassVar[str] = "arrow"

    def partial(self, data: Any) -> None:
        """Keep nothing."""

    def combine(self, partials: Sequence[None]) -> None:
        """Keep nothing."""

    def finish(self, partial: None) -> None:
        """Keep nothing."""


def _describe_inputs(driver: Driver) -> list[dict[str, Any]]:
    """Return what the manifest lists: each file of which a chunk has rows there.

    One of which no chunk came through is none: the next run takes it as a new one.
    """
    files: dict[str, SourceFile] = {}
    done: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    # One chunk alone was requested: the rest of its file is not there.
    is_part = not any(fan_out.extents for fan_out in driver.fan_outs.values())
    items = [(item, outcome) for item, outcome in driver.account.outcomes if item is not None]
    for item, outcome in sorted(items, key=lambda entry: entry[0].index):
        chunk = item.data
        if not isinstance(chunk, Chunk) or chunk.reader.is_in_memory:
            continue
        is_done = outcome.status is Status.COMPLETED
        for file in {piece.path: piece.file for piece in chunk.pieces}.values():
            files[file.path] = file
            done[file.path] += is_done
            lost[file.path] += is_part or outcome.is_quarantined or not is_done
    return [describe_input(file, lost[path]) for path, file in files.items() if done[path]]
