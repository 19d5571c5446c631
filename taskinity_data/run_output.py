"""Where a run's rows go: which fan-out's results are written, and when they become visible.

It knows nothing of files: a sink writes them, and workers call it through its writer.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar

from taskinity_data.chunks.repeated_cuts import IN_MEMORY
from taskinity_data.errors import PlanError, ResumeError, SchemaError
from taskinity_data.flow.stages import FanOut, Input, Stage, stages
from taskinity_data.flow.wiring import wire
from taskinity_data.outcome import Status
from taskinity_data.records.kept_parts import KeptParts, local_staging
from taskinity_data.records.mending import Earlier
from taskinity_data.records.partitions import check_columns, check_partition_by, find_misread
from taskinity_data.records.sink import is_in_store, open_sink
from taskinity_data.result import Output
from taskinity_data.settings import load_settings
from taskinity_data.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskinity_data.chunks.fingerprint import Fingerprint
    from taskinity_data.execution.driver import Driver
    from taskinity_data.flow.model import Flow
    from taskinity_data.outcome import Outcome
    from taskinity_data.records.sink import Sink
    from taskinity_data.run_journal import RunJournal

__all__ = ["OutputOptions", "RunOutput", "drop_results", "locate", "open_output", "share_options"]


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
    storage_options: Mapping[str, Any] | None = field(default=None, repr=False)

    def check_columns(self, names: Sequence[str]) -> None:
        """Raise `PlanError` where rows of these columns can't be parted by `partition_by`."""
        try:
            check_columns(check_partition_by(self.partition_by), names, "the dataset")
        except SchemaError as error:
            raise PlanError(str(error), column=error.column) from error

    def shared_with(
        self, source: Any, output_dir: str | None
    ) -> tuple[OutputOptions, dict[str, Any]]:
        """These and the source's options, where `storage_options` are given for all URLs at once.

        Parameters
        ----------
        source : object
            What `process` was given.
        output_dir : str or None
            See `locate`.
        """
        if self.storage_options is None:
            return self, {}
        items = source if isinstance(source, (list, tuple)) else [source]
        is_for_output = is_in_store(locate(self.output, output_dir))
        is_for_source = any(map(is_in_store, items)) or not is_for_output
        options = {"storage_options": self.storage_options} if is_for_source else {}
        return (self if is_for_output else replace(self, storage_options=None)), options

    def told(self) -> dict[str, Any]:
        """How the output is written, as plain values: without where, and what may be secret."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self.given().items()
            if name not in ("output", "storage_options")
        }

    def check(self) -> None:
        """Raise `PlanError` where something is said of an output that there is not."""
        given = self.given()
        if self.output is None and given:
            raise PlanError(
                f"{next(iter(given))}= says how output is written: say where with output="
            )

    def given(self) -> dict[str, Any]:
        """Those that are not the defaults."""
        return {
            name: value for name, value in vars(self).items() if value != getattr(type(self), name)
        }


def share_options(
    flow: Flow, written: OutputOptions, inputs: Mapping[str, Any]
) -> tuple[OutputOptions, dict[str, Any], Mapping[str, Any] | None]:
    """Who gets the `storage_options` of a flow's run, which stand for all its URLs at once.

    They go to an output in a store; and, where an input is a URL or nothing is written to a store,
    to tasks that have a parameter of that name, and to URLs that the run itself opens.

    Parameters
    ----------
    flow : Flow
    written : OutputOptions
        What was said of the output, with the `storage_options`.
    inputs : mapping
        Of the flow.

    Returns
    -------
    (OutputOptions, dict, mapping or None)
        Those of the output, the inputs, and the options of URLs that the run opens.

    Raises
    ------
    PlanError
        Nobody takes them.
    """
    given = dict(inputs)
    if written.storage_options is None:
        return written, given, None
    written, shared = written.shared_with(list(given.values()), load_settings().output_dir)
    options = shared.get("storage_options")
    if options is None:
        return written, given, None
    fills = wire(flow, {*given, "storage_options"}).fills.values()
    if any(Input("storage_options") in fill.sources() for fill in fills):
        given.setdefault("storage_options", dict(options))
    elif written.storage_options is None and not any(
        isinstance(stage, FanOut)
        and isinstance(stage.over, Input)
        and is_in_store(given.get(stage.over.name))
        for stage in stages(flow, tuple(given))
    ):
        raise PlanError(
            f"storage_options ({', '.join(sorted(options))}) reach no URL: the flow opens its data "
            "in a function; give that a parameter storage_options, and hand it to td.open_dataset"
        )
    return written, given, options


class RunOutput:
    """The results of one fan-out on their way to a sink."""

    def __init__(self, fan_out: str, path: str, sink: Sink, kept: KeptParts) -> None:
        self._fan_out = fan_out
        self._path = path
        self._sink = sink
        self._kept = kept
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

    def check_sources(self, paths: Sequence[str]) -> None:
        """Raise `PlanError` where a file that is read lies in the output's directory.

        Where what the run has committed is to be completed, `ResumeError` where a file that it
        read is no source any more: its rows would go.
        """
        gone = sorted(self.must_read - set(paths))
        if gone:
            raise ResumeError(
                f"{self._path} holds rows of {gone[0]}, which is no source any more: to complete "
                "it would remove them. Put the file back, or start another run, into another output"
            )
        for path in paths:
            if self._sink.holds(path):
                raise PlanError(
                    f"output={self._path!r} holds {path}, which this run reads: it would read its "
                    "own output; name a directory apart from the source"
                )

    def inspect(self, outcome: Outcome) -> None:
        """Raise `SchemaError` where a chunk's columns or types are not those of the others, and
        what would fail every other chunk, too.
        """
        failure = outcome.failure
        if failure is not None and getattr(failure.error, "ends_run", False):
            assert failure.error is not None
            raise failure.error
        if outcome.output is not None:
            self._sink.check(outcome.output)

    def commit(self, flow: Flow, driver: Driver, run_id: str, say: Callable[[str], None]) -> None:
        """Make all parts visible, in chunk order, and say what other readers may misread."""
        written = [
            (item.place, outcome.output)
            for item, outcome in driver.account.outcomes
            if item is not None
            and outcome.status is Status.COMPLETED
            and outcome.output is not None
        ]
        written.sort(key=lambda one: one[0])
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
        self._kept.remove()
        if manifest.schema is not None and manifest.partition_by:
            folders = {os.path.dirname(part.path) for part in manifest.parts}
            for name, text in find_misread(manifest.schema, folders).items():
                say(
                    f"partition_by: column {name!r} holds texts such as {text!r}, which other "
                    "readers take for numbers or bools unless they are told otherwise (pandas: "
                    "partitioning=, DuckDB: hive_types=, polars: hive_schema=); td.open_dataset "
                    "reads texts"
                )

    def adopt(self, part: Any) -> Any:
        """A part that an earlier try wrote, for this one; None where it is not there as it was."""
        staging = local_staging(self._sink.writer)
        if staging is not None and self._kept.give_back(part, staging):
            return part
        mending = self._sink.mending
        return None if mending is None else mending.reclaim(part)

    def close(self, *, is_kept: bool = False) -> None:
        """Leave the target as it was, unless it was committed; `is_kept`: keep finished parts."""
        if self.written is None:
            staging = local_staging(self._sink.writer)
            if is_kept and staging is not None:
                self._kept.take(staging)
            self._sink.abort()


def locate(output: Any, output_dir: str | None) -> Any:
    """`output` itself, or, where it is a relative path, where it lies below `output_dir`.

    Parameters
    ----------
    output : path or None
    output_dir : str or None
        The setting: a folder or a URL.

    Raises
    ------
    PlanError
        It leads out of a URL.

    Examples
    --------
    >>> locate("clean/2013", "s3://bucket/results")
    's3://bucket/results/clean/2013'
    """
    if output_dir is None or not isinstance(output, (str, os.PathLike)):
        return output
    text = os.fsdecode(output)
    if not text or "://" in text or text.startswith(("/", "~")):
        return output
    if "://" not in output_dir:
        return os.path.join(output_dir, text)
    below = os.path.normpath(text)
    if below.partition("/")[0] in (".", ".."):
        raise PlanError(
            f"output={text!r} names no directory below TASKINITY_OUTPUT_DIR, which is a URL; give "
            "a name without .. or the whole URL"
        )
    return f"{output_dir.rstrip('/')}/{below}"


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
        The earlier try has committed all of it already, or what it has committed is not there as
        it was.
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
    kept = KeptParts(options.output, journal.run_id)
    earlier = None
    if journal.past is not None:
        earlier = Earlier(journal.run_id, journal.has_committed)
        for staging in journal.past.staging:
            kept.take(staging)
    sink = open_sink(
        options.output,
        format=options.output_format,
        partition_by=options.partition_by,
        if_exists=options.if_exists,
        max_rows_per_file=options.max_rows_per_file,
        compression=options.output_compression,
        storage_options=options.storage_options,
        spreadsheet_safe=options.spreadsheet_safe,
        earlier=earlier,
    )
    # A URL may hold a password.
    path = sink.target if is_in_store(options.output) else os.fsdecode(options.output)
    output = RunOutput(names[0], path, sink, kept)
    if sink.mending is not None and journal.past is not None:
        if not journal.past.has_committed:
            # It was killed before it could say so; its parts are known by their content.
            journal.past.commit()
        # A table in memory lies elsewhere each time.
        files = journal.past.files.items()
        named = {path for name, path in files if not name.startswith(IN_MEMORY)}
        output.must_read = frozenset(named.intersection(sink.mending.sources))
    if journal.checkpoints is not None:
        journal.checkpoints.adopt = output.adopt
        journal.checkpoints.mends = sink.mending is not None
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
        _describe_input(extent.path, extent.file.fingerprint)
        for extent in extents
        if extent.failure is None
    ]


def _describe_input(path: str, fingerprint: Fingerprint) -> dict[str, Any]:
    told = {"path": path, "nbytes": fingerprint.nbytes, "mtime_ns": fingerprint.mtime_ns}
    return told | ({"tag": fingerprint.tag} if fingerprint.tag else {})
