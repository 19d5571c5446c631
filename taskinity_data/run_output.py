"""Where a run's rows go: which fan-out's results are written, and when they become visible.

It knows nothing of files: a sink writes them, and workers call it through its writer.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar

from taskinity_data.errors import PlanError
from taskinity_data.flow.stages import FanOut, Stage
from taskinity_data.outcome import Status
from taskinity_data.records.kept_parts import KeptParts, local_staging
from taskinity_data.records.sink import open_sink
from taskinity_data.result import Output
from taskinity_data.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.execution.driver import Driver
    from taskinity_data.flow.model import Flow
    from taskinity_data.outcome import Outcome
    from taskinity_data.records.sink import Sink
    from taskinity_data.run_journal import RunJournal

__all__ = ["OutputOptions", "RunOutput", "drop_results", "open_output"]


@dataclass(frozen=True)
class OutputOptions:
    """What `run_flow` was told of its output, under its names there."""

    output: Any = None
    output_format: str = "parquet"
    partition_by: str | Sequence[str] = ()
    if_exists: str = "error"
    max_rows_per_file: int | None = None
    output_compression: str | None = None
    spreadsheet_safe: bool = False

    def check(self) -> None:
        """Raise `PlanError` where something is said of an output that there is not."""
        given = [name for name, value in vars(self).items() if value != getattr(type(self), name)]
        if self.output is None and given:
            raise PlanError(f"{given[0]}= says how output is written: say where with output=")


class RunOutput:
    """The results of one fan-out on their way to a sink."""

    def __init__(self, fan_out: str, path: str, sink: Sink, kept: KeptParts) -> None:
        self._fan_out = fan_out
        self._path = path
        self._sink = sink
        self._kept = kept
        self.written: Output | None = None

    @property
    def by_fan_out(self) -> dict[str, RunOutput]:
        """Itself, under the name of the fan-out whose results it gets."""
        return {self._fan_out: self}

    @property
    def writer(self) -> Any:
        """What workers write with."""
        return self._sink.writer

    def check_sources(self, paths: Sequence[str]) -> None:
        """Raise `PlanError` where a file that is read lies in the output's directory."""
        inside = self._sink.target + os.sep
        for path in paths:
            if path.startswith(inside) or os.path.realpath(path).startswith(inside):
                raise PlanError(
                    f"output={self._path!r} holds {path}, which this run reads: it would read its "
                    "own output; name a directory apart from the source"
                )

    def inspect(self, outcome: Outcome) -> None:
        """Raise `SchemaError` where a chunk's columns or types are not those of the others."""
        if outcome.output is not None:
            self._sink.check(outcome.output)

    def commit(self, flow: Flow, driver: Driver, run_id: str) -> None:
        """Make all parts visible, in chunk order."""
        written = [
            (item.position, outcome.output)
            for item, outcome in driver.outcomes
            if item is not None
            and outcome.status is Status.COMPLETED
            and outcome.output is not None
        ]
        written.sort(key=lambda one: one[0])
        manifest = self._sink.commit(
            [part for _, part in written],
            {
                "run_id": run_id,
                "taskinity_data": __version__,
                "flow": flow.name,
                "flow_fingerprint": blake2b(flow.to_text().encode(), digest_size=16).hexdigest(),
                "inputs": _describe_inputs(driver),
            },
        )
        self.written = Output(self._path, len(manifest.parts), manifest.rows, manifest.nbytes)
        self._kept.remove()

    def adopt(self, part: Any) -> Any:
        """A part that an earlier try wrote, for this one; None where it is not there as it was."""
        return part if self._kept.give_back(part, local_staging(self._sink.writer)) else None

    def close(self, *, is_kept: bool = False) -> None:
        """Leave the target as it was, unless it was committed; `is_kept`: keep finished parts."""
        if self.written is None:
            staging = local_staging(self._sink.writer)
            if is_kept and staging is not None:
                self._kept.take(staging)
            self._sink.abort()


def open_output(
    steps: Sequence[Stage], options: OutputOptions, journal: RunJournal
) -> RunOutput | None:
    """What takes the results of the flow's one fan-out; None where no output is asked for.

    What an earlier try of the run has written is put aside before the sink removes it.

    Raises
    ------
    PlanError
        There is not one fan-out alone, or the sink refuses something.
    ResumeError
        The earlier try has committed already.
    """
    options.check()
    if options.output is None:
        return None
    names = [stage.name for stage in steps if isinstance(stage, FanOut)]
    if len(names) != 1:
        raise PlanError(
            f"output= takes the results of one fan-out, but the flow fans out {len(names)} times "
            f"({', '.join(names) or 'never'})"
        )
    partition_by = options.partition_by
    kept = KeptParts(options.output, journal.run_id)
    if journal.past is not None:
        kept.check_not_committed()
        for staging in journal.past.staging:
            kept.take(staging)
    sink = open_sink(
        options.output,
        format=options.output_format,
        partition_by=(partition_by,) if isinstance(partition_by, str) else tuple(partition_by),
        if_exists=options.if_exists,
        max_rows_per_file=options.max_rows_per_file,
        compression=options.output_compression,
        spreadsheet_safe=options.spreadsheet_safe,
    )
    output = RunOutput(names[0], os.fspath(options.output), sink, kept)
    if journal.checkpoints is not None:
        journal.checkpoints.adopt = output.adopt
        staged = local_staging(sink.writer)
        if staged is not None:
            journal.checkpoints.note_output(staged)
    return output


@dataclass(frozen=True, repr=False)
class _Dropped:
    """A reducer that keeps nothing: what was written is the answer."""

    is_reducer: ClassVar[bool] = True
    name: ClassVar[str] = "drop"
    wants: ClassVar[str] = "arrow"
    releases_gil: ClassVar[bool] = True

    def partial(self, data: Any) -> None:
        """Nothing."""

    def combine(self, partials: Sequence[None]) -> None:
        """Nothing."""

    def finish(self, partial: None) -> None:
        """Nothing."""

    def __repr__(self) -> str:
        return "drop()"


def drop_results() -> _Dropped:
    """The reducer of a run that only writes."""
    return _Dropped()


def _describe_inputs(driver: Driver) -> list[dict[str, Any]]:
    extents = [extent for fan_out in driver.fan_outs.values() for extent in fan_out.extents]
    return [
        {
            "path": extent.path,
            "nbytes": extent.file.fingerprint.nbytes,
            "mtime_ns": extent.file.fingerprint.mtime_ns,
        }
        for extent in extents
    ]
