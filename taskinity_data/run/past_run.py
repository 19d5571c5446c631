"""One run that is kept, as its journal tells it: its outcomes, its report, its differences.

It knows nothing of how a run is kept or resumed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from taskinity_data.checkpoints.plain_outcomes import from_plain
from taskinity_data.checkpoints.quarantine import find_failed_chunks, find_quarantine, row_of_entry
from taskinity_data.checkpoints.read_journal import read_past
from taskinity_data.checkpoints.run_directory import find_run, who_runs
from taskinity_data.report.next_steps import next_steps
from taskinity_data.run.diff import RunDiff, compare_runs, facts_for_diff
from taskinity_data.run.outcome_frames import NOWHERE, attempts_frame, outcome_row, outcomes_frame
from taskinity_data.run.rebuild import rebuild_run
from taskinity_data.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskinity_data.checkpoints.read_journal import Past

__all__ = ["PastRun", "load_run", "run_directory", "status_of"]


@dataclass(frozen=True, eq=False)
class PastRun:
    """A run as its journal tells it; see `load_run`.

    Attributes
    ----------
    run_id, flow : str
    status : str
        ``COMPLETED``, ``PARTIAL``, ``FAILED``, ``INTERRUPTED`` (or its process died) or
        ``RUNNING``.
    started : pandas.Timestamp
        Of its last try, in UTC.
    duration_s : float or None
        Of its last try; None where that did not come to its end.
    value : object
        The answer, where the run has one that could be kept.
    stop_reason : str or None
    output : str or None
    outcomes : pandas.DataFrame
        As `Run.outcomes`, of all chunks that have ended, and of the parts of those that were split
        while they ran.
    attempts : pandas.DataFrame
        As `Run.attempts`, of the chunks that have ended.
    notices : tuple of str
    log : str or None
        Where its log was written, of a run that came to its end.
    versions : dict of str to str
    directory : pathlib.Path
    quarantine : pathlib.Path or None
        As `Run.quarantine`.
    """

    run_id: str
    flow: str
    status: str
    started: pd.Timestamp
    duration_s: float | None
    value: Any = field(repr=False)
    stop_reason: str | None
    output: str | None
    outcomes: pd.DataFrame = field(repr=False)
    attempts: pd.DataFrame = field(repr=False)
    notices: tuple[str, ...]
    log: str | None
    versions: dict[str, str]
    directory: Path
    quarantine: Path | None
    _tracebacks: Mapping[str, str] = field(default_factory=dict, repr=False)
    _past: Past | None = field(default=None, repr=False)

    @property
    def failures(self) -> pd.DataFrame:
        """The rows of `outcomes` that have no result, with their ``traceback``, in chunk order."""
        frame = self.outcomes[self.outcomes["status"] != "COMPLETED"]
        told = [self._tracebacks.get(key) for key in frame["key"]]
        return frame.assign(traceback=pd.Series(told, frame.index, "str"))

    def report(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write all that is known of this run as one HTML file, as `Run.report` does.

        What was not kept (of a run that was killed or goes on, or of an older version) is said in
        it.

        Parameters
        ----------
        path : path, optional
            As in `Run.report`.

        Raises
        ------
        WriteError
            It can't be written there (it is an OSError too).
        """
        from taskinity_data.report.html.write import write_report

        assert self._past is not None
        run, ended, missing = rebuild_run(self._past, self.status)
        run = replace(run, next_steps=self.next_steps)
        return write_report(run, ended, path, missing, self._past.head)

    @property
    def next_steps(self) -> tuple[str, ...]:
        """What to type next, where it did not do all and does not go on."""
        if self.status == "RUNNING" or self._past is None:
            return ()
        head = {"run_id": self.run_id, **self._past.head}
        lost = self.failures["key"]
        place = self.directory.parent.absolute()
        steps = next_steps(
            head,
            self.status,
            key=lost.iloc[0] if len(lost) else None,
            run_dir=None if place == run_directory(None).absolute() else str(place),
        )
        return tuple(steps)

    def diff(self, other: PastRun) -> RunDiff:
        """What changed from this run to `other`: inputs, code, options, versions, times, totals."""
        return compare_runs(self._facts, other._facts)

    @cached_property
    def _facts(self) -> dict[str, Any]:
        assert self._past is not None
        return facts_for_diff(self._past, self.status)


def run_directory(run_dir: str | os.PathLike[str] | None) -> Path:
    """Where runs are kept: `run_dir`, else as the settings say."""
    if run_dir is None:
        return load_settings().run_dir
    return Path(os.path.expanduser(os.fsdecode(run_dir)))


def status_of(place: Path, told: Any) -> str:
    """How the run in `place` stands, of which its journal or summary `told`."""
    if who_runs(place) is not None:
        return "RUNNING"
    return "INTERRUPTED" if told in (None, "RUNNING") else str(told)


def load_run(run_id: str, run_dir: str | os.PathLike[str] | None = None) -> PastRun:
    """The run `run_id`, as its journal tells it.

    Parameters
    ----------
    run_id : str
    run_dir : path, optional
        As in `list_runs`.

    Raises
    ------
    ResumeError
        There is none, or its journal can't be read.
    """
    place = find_run(run_directory(run_dir), run_id)
    past = read_past(place)
    end = past.end or {}
    found = [(from_plain(facts[3]), facts[4]) for facts in past.ended.values()]
    # Of a journal that kept no parts of chunks that were split: those that failed were set aside.
    keys = {outcome.key for outcome, _ in found}
    parts = [one for one in find_failed_chunks(place) if one["key"] not in keys]
    rows = [
        *(outcome_row(outcome, where or NOWHERE) for outcome, where in found),
        *map(row_of_entry, parts),
    ]
    started_s, ended_s = past.head["started_s"], end.get("ended_s")
    return PastRun(
        run_id=run_id,
        flow=past.head["flow"],
        status=status_of(place, end.get("status")),
        started=pd.Timestamp(started_s, unit="s", tz="UTC"),
        duration_s=None if ended_s is None else ended_s - started_s,
        value=None if past.value is None else past.value.load(),
        stop_reason=end.get("reason"),
        output=past.head["output"],
        outcomes=outcomes_frame(rows[number] for number in _in_order(past, parts)),
        attempts=attempts_frame((outcome, where or NOWHERE) for outcome, where in found),
        notices=(*past.notes, *end.get("notices", ())),
        log=end.get("log"),
        versions=past.head["versions"],
        directory=place,
        quarantine=find_quarantine(place),
        _tracebacks={one.key: one.failure.traceback for one, _ in found if one.failure is not None}
        | {one["key"]: one["traceback"] for one in parts},
        _past=past,
    )


def _in_order(past: Past, parts: list[dict[str, Any]]) -> list[int]:
    """The numbers of what has ended, and behind it of `parts`, by fan-outs and their items' order.

    Of a chunk that was split the parts are in order; those of `parts` already.
    """
    ranks = {name: number for number, name in enumerate(past.fan_outs)}
    within = {key: one.part for split in past.split.values() for key, one in split.parts.items()}
    places: list[tuple[str, int, tuple[int, ...]]] = []
    for number, (key, (name, _, _, _, _, *more)) in enumerate(past.ended.items()):
        # Older journals tell no position.
        places.append((name, more[0] if more else number, within.get(key, ())))
    places += [(one["fan_out"], one["position"], ()) for one in parts]
    keys = [(ranks.get(name, len(ranks)), *place) for name, *place in places]
    return sorted(range(len(keys)), key=keys.__getitem__)
