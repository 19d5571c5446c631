"""Define the result of a run: the answer, the ledger of all that was planned, and its failures.

`ended_run` makes it of a run that has just ended, `kept_run` from a journal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

import pandas as pd

from taskinity_data.errors import BindError, ResumeError
from taskinity_data.execution.fan_out_results import CATEGORIES
from taskinity_data.outcome import RunStatus, Status
from taskinity_data.wording import for_stdout

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from typing_extensions import TypeVar

    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.execution.run_account import Entry
    from taskinity_data.execution.worker.job import Item
    from taskinity_data.flow.flow import Flow
    from taskinity_data.outcome import Outcome
    from taskinity_data.report.bottleneck import Bound

    # With the default, `Run` alone is no error to type checkers.
    T = TypeVar("T", default=Any)
else:
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["Output", "Run"]


class Output(NamedTuple):
    """What a run has written: where, and how much."""

    path: str
    files: int
    rows: int
    nbytes: int


@dataclass(frozen=True, eq=False)
class Run(Generic[T]):
    """The result of a run: one that has just ended, or one that is stored (`load_run`).

    `Run[T]` is one whose value is a T.

    A stored run has no results except the answer, if that could be stored; its chunks have paths
    and ranges, but can't be read.

    Attributes
    ----------
    value : object
        The last task's result, None if there is none.
    results : dict
        Each task's result, by the flow's names. A fan-out's entry is the list of its results if a
        plain function aggregates (or nothing does), without the failed ones; with a reducer there
        is none, nor of a fan-out whose results go to the next one alone, item by item. A numbered
        sibling's entry is its own result.
    status : RunStatus
        ``COMPLETED``, ``PARTIAL`` (something failed, was skipped, quarantined or replaced by a
        fallback), ``FAILED``, ``INTERRUPTED`` (or its process died); for a stored run also
        ``RUNNING``.
    run_id : str
    flow : Flow
    plan : ChunkPlan or None
        The cuts of the first fan-out over a dataset, which ``plan=`` repeats.
    plans : dict of str to ChunkPlan
        The cuts of all fan-outs over datasets.
    sizes : dict of str to list of (int, int, str)
        Their chunk sizes: from which chunk on, how many bytes, and the reason.
    scheduler, scheduler_reason : str
        The scheduler at the end, and the reason for it.
    workers : int
    dashboard_link : str or None
    timings : dict of str to float
        Seconds: ``total``, ``start_workers``, ``plan``, ``combine``, ``wait`` of the driver;
        ``read``, ``function``, ``partial`` of all chunks and items, summed over the workers;
        ``single``: tasks that run once, apart from these. ``cpu``: CPU time of the threads that
        ran chunks and items.
    output : Output or None
        What ``output=`` wrote: its ``path``, ``files``, ``rows``, ``nbytes``.
    quarantine : pathlib.Path or None
        The directory of quarantined rows, None if there are none, or if the run is not stored (see
        ``run_dir=``): for each chunk, row or list item without a result, and each chunk with lines
        that did not parse, ``NAME.json`` has position and error, and ``NAME.arrow``
        (``pandas.read_feather``) or ``NAME.raw`` the rows themselves. An item of a list that is not
        a table has its position there, and not its value.
    notices : tuple of str
        Messages that are not failures: what is reused of an earlier run, what can't be stored,
        results whose columns differ from chunk to chunk.
    log : pathlib.Path or None
        Its log file, if it has one.
    next_steps : tuple of str
        Commands to run next, if it is stored and incomplete.
    started : pandas.Timestamp
        The start of its last attempt, in UTC.
    duration_s : float or None
        The duration of its last attempt; None if that did not end.
    directory : pathlib.Path or None
        The directory in which it is stored, None if it is not.
    versions : dict of str to str
        Versions of Python and the libraries of a stored run; empty for a run of this process.
    missing : tuple of str
        What is unknown about a stored run, as sentences.
    """

    value: T
    results: dict[str, Any]
    status: RunStatus
    run_id: str
    flow: Flow
    plans: dict[str, ChunkPlan]
    sizes: dict[str, list[tuple[int, int, str]]]
    scheduler: str
    scheduler_reason: str
    workers: int
    dashboard_link: str | None
    timings: dict[str, float]
    stop_reason: str | None = None
    output: Output | None = None
    notices: tuple[str, ...] = ()
    quarantine: Path | None = None
    log: Path | None = None
    next_steps: tuple[str, ...] = ()
    started: pd.Timestamp = pd.NaT  # type: ignore[assignment]
    duration_s: float | None = None
    directory: Path | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    _ended: Sequence[tuple[Item | None, Outcome]] = field(default=(), repr=False)
    _accounts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    _bad_lines: tuple[Entry, ...] = field(default=(), repr=False)
    _members: Sequence[tuple[Any, ...]] = field(default=(), repr=False)
    _ranks: Mapping[str, int] = field(default_factory=dict, repr=False)
    _head: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def plan(self) -> ChunkPlan | None:
        """The cuts of the first fan-out over a dataset."""
        return next(iter(self.plans.values()), None)

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """The status of each task and each chunk, a row each.

        Returns
        -------
        pandas.DataFrame
            ``task, key, path`` str; ``start, stop, rows, peak_nbytes`` Int64; ``nbytes, attempts``
            int64; ``status, worker, error`` str; ``started`` UTC time; ``duration_s`` float64;
            ``is_fallback`` (whether its result is that of the task's fallback) bool.
        """
        from taskinity_data.run.outcome_frames import outcomes_frame

        return outcomes_frame(self._ended)

    @cached_property
    def attempts(self) -> pd.DataFrame:
        """Each try of each task and chunk, a row each, those of an earlier run that were used too.

        Returns
        -------
        pandas.DataFrame
            ``task, key, path, worker, error`` str; ``start, stop, memory_nbytes`` (the chunk, once
            read), ``peak_nbytes`` Int64; ``attempt`` (from 1) int64; ``started`` UTC time;
            ``duration_s, read_s, function_s, partial_s`` float64 (``read_s`` of a chunk of a store
            may be before ``started``).
        """
        from taskinity_data.run.outcome_frames import attempts_frame

        return attempts_frame(self._ended)

    @cached_property
    def worker_table(self) -> pd.DataFrame:
        """The workers of a Dask cluster, those that have left too; else the processes of the run.

        Returns
        -------
        pandas.DataFrame
            ``name, host`` str; ``joined`` (or first seen), ``left`` UTC time, NaT where it was
            there to the end; ``chunks`` (and items, with those that were tried again) int64;
            ``reason`` (why it left, or got nothing to do) str.
        """
        from taskinity_data.run.outcome_frames import workers_frame

        return workers_frame(self._members, self._ended)

    @property
    def failures(self) -> pd.DataFrame:
        """The rows of `outcomes` that have an error and no result, with their ``traceback``.

        They are in the order of the flow's tasks and of the chunks, and keep the labels that they
        have in `outcomes`, which is in the order in which things ended.
        """
        from taskinity_data.run.outcome_frames import as_text

        tracebacks = [
            (number, as_text(outcome.failure.traceback))
            for number, (_, outcome) in enumerate(self._ended)
            if outcome.failure is not None and outcome.status is not Status.COMPLETED
        ]
        tracebacks.sort(key=lambda entry: self._order_of(*self._ended[entry[0]]))
        frame = self.outcomes.iloc[[number for number, _ in tracebacks]]
        return frame.assign(
            traceback=pd.Series([text for _, text in tracebacks], frame.index, "str")
        )

    def _order_of(self, item: Item | None, outcome: Outcome) -> tuple[int, tuple[int, ...]]:
        """Return what sorts by the flow's tasks and, within a fan-out, by its items' order."""
        rank = self._ranks.get(outcome.task, len(self._ranks))
        return rank, () if item is None else item.index

    @cached_property
    def bad_lines(self) -> pd.DataFrame:
        """The records that did not parse and were quarantined (``on_bad_lines="quarantine"``).

        Returns
        -------
        pandas.DataFrame
            ``task, key`` (of the chunk), ``path, reason, text`` str; ``start, stop`` (bytes of the
            file), ``row`` (within its piece of the chunk, from 0) int64; ``raw`` bytes. In the
            order of chunks and rows. ``attrs["count"]`` counts those that were not kept,
            too.

        Notes
        -----
        Held in memory: the first 10,000, 16 MiB at most, and of a chunk the first 1,000, 1 MiB at
        most; of a line its first 16 KiB. The ledger counts all of them as ``quarantined``.
        """
        from taskinity_data.run.outcome_frames import bad_lines_frame

        frame = bad_lines_frame(self._bad_lines)
        ended = self._ended if self._bad_lines else ()
        frame.attrs["count"] = sum(
            outcome.bad_lines.count for _, outcome in ended if outcome.bad_lines is not None
        )
        return frame

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """Planned bytes and rows by status.

        Returns
        -------
        pandas.DataFrame
            Columns ``bytes`` and ``rows`` (Int64, ``<NA>`` where unknown); index ``planned,
            processed, fallback, quarantined, skipped, failed, not_run, filtered``. The first is
            the sum of the others. Of an iterator of frames rows are planned as they come in, so
            that they are ``<NA>`` until it has ended; an item of a list or an iterator that is no
            frame counts as one row.
        """
        index = pd.Index(["planned", *CATEGORIES], name="ledger")
        total: dict[str, list[Any]] = {}
        for unit in ("bytes", "rows"):
            total[unit] = []
            for category in index:
                counts = [account[unit][category] for account in self._accounts.values()]
                total[unit].append(pd.NA if None in counts else sum(counts))
        return pd.DataFrame(total, index=index, dtype="Int64")

    @cached_property
    def _bottleneck(self) -> Bound | None:
        from taskinity_data.report.bottleneck import find_bound
        from taskinity_data.report.html.attempts import attempt_rows

        return find_bound(
            self.timings,
            attempt_rows(self._ended),
            workers=self.workers,
            scheduler=self.scheduler,
        )

    @property
    def bound(self) -> str:
        """What kept it from being faster, in a sentence; empty if no chunk was run."""
        return self._bottleneck.headline if self._bottleneck else ""

    @property
    def advice(self) -> str:
        """What to change for it to be faster, in a sentence; empty if there is nothing."""
        sentence, end, _ = (self._bottleneck.advice if self._bottleneck else "").partition(". ")
        return sentence + end.strip()

    @property
    def labels(self) -> Mapping[str, str]:
        """What a run of `process` is shown as: its function's name for the task's, and so on."""
        return self._head.get("labels") or {}

    def explain(self) -> str:
        """Return all that the summary leaves out, as text: ``print(run.explain())``.

        The ledger of bytes and rows, where the time went, chunk sizes and why they changed, the
        errors of retries, and each of the first ten failures.
        """
        from taskinity_data.report.explain import explain

        return for_stdout(explain(self))

    def report(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write all that is known of this run as one HTML file, which opens without a network.

        Parameters
        ----------
        path : path, optional
            A file, or a directory to put ``<run_id>.html`` into; default: the working directory.
            What is missing of its directories is made; a file that is there is replaced.

        Returns
        -------
        pathlib.Path
            Where it is, absolute.

        Raises
        ------
        WriteError
            It can't be written there (it is an OSError too).
        """
        from taskinity_data.report.html.write import write_report
        from taskinity_data.version import versions_here

        head = {"versions": versions_here(), **self._head}
        return write_report(self, self._ended, path, head)

    def diff(self, other: Run) -> pd.DataFrame:
        """Return what differs between this run and `other`, a row each.

        Returns
        -------
        pandas.DataFrame
            ``kind`` (``input, file, code, flow, option, version, seconds, total``), ``name``,
            ``before`` and ``after`` (missing where it was not there) str. Values of files and of
            code are their identities; code that one of them alone reads is left out.

        Raises
        ------
        ResumeError
            One of them is not kept.
        BindError
            `other` is not a run.
        """
        from taskinity_data.run.diff import compare_runs

        if not isinstance(other, Run):
            kind = type(other).__name__
            raise BindError(f"diff compares with a run, not {kind}: pass td.load_run(run_id)")
        return compare_runs(self._diff_details, other._diff_details)

    @cached_property
    def _diff_details(self) -> dict[str, Any]:
        if self.directory is None:
            raise ResumeError(f"run {self.run_id} was not stored; pass run_dir=")
        from taskinity_data.checkpoints.read_journal import read_past
        from taskinity_data.run.diff import facts_for_diff

        return facts_for_diff(read_past(self.directory), str(self.status))

    def __repr__(self) -> str:
        chunks = sum(len(plan) for plan in self.plans.values())
        label = self.labels.get(self.flow.name, self.flow.name)
        return for_stdout(
            f"Run({self.run_id}, {label}: {self.status}, {chunks} chunks on "
            f"{self.scheduler} in {self.timings['total']:.2f} s)"
        )

    def __str__(self) -> str:
        from taskinity_data.report.summary import colours_stdout, summarise

        return for_stdout(summarise(self, is_coloured=colours_stdout()))

    def _repr_html_(self) -> str:
        from taskinity_data.report.summary import summary_html

        return summary_html(self)
