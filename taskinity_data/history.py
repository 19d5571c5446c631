"""What earlier runs left: their list, one of them, and one of their chunks run again here.

It knows nothing of how a run is kept or resumed.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from taskinity_data.aggregation.reducers import count
from taskinity_data.chunks.dataset import open_dataset
from taskinity_data.errors import BindError, ResumeError
from taskinity_data.execution.replay import run_piece
from taskinity_data.flow.parser import parse_flow
from taskinity_data.flow.stages import stages
from taskinity_data.records.kept_parts import kept_directory
from taskinity_data.records.past import find_item, read_past
from taskinity_data.records.plain_outcomes import from_plain
from taskinity_data.records.quarantine import find_failed_chunks, find_quarantine, row_of_entry
from taskinity_data.records.run_places import find_run, list_places, read_summary, who_runs
from taskinity_data.result import OUTCOME_COLUMNS
from taskinity_data.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskinity_data.flow.model import Flow
    from taskinity_data.outcome import Outcome
    from taskinity_data.records.past import Past

__all__ = ["PastRun", "clean_runs", "list_runs", "load_run", "reopen", "replay"]


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
        As `Run.outcomes`, of all chunks that have ended; of those that were split while they ran,
        the parts that failed.
    notices : tuple of str
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
    value: Any
    stop_reason: str | None
    output: str | None
    outcomes: pd.DataFrame = field(repr=False)
    notices: tuple[str, ...]
    versions: dict[str, str]
    directory: Path
    quarantine: Path | None
    _tracebacks: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def failures(self) -> pd.DataFrame:
        """The rows of `outcomes` that have no result, with their ``traceback``."""
        frame = self.outcomes[self.outcomes["status"] != "COMPLETED"]
        told = [self._tracebacks.get(key) for key in frame["key"]]
        return frame.assign(traceback=pd.Series(told, frame.index, "str"))


def list_runs(run_dir: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """The runs that are kept, newest first.

    Parameters
    ----------
    run_dir : path, optional
        Default: ``TASKINITY_RUN_DIR``, else ``.taskinity``.

    Returns
    -------
    pandas.DataFrame
        ``run_id, flow, status, output`` str; ``started`` UTC time; ``duration_s`` float64;
        ``chunks`` Int64 (that have ended).
    """
    rows = []
    for place in list_places(_directory(run_dir)):
        facts = read_summary(place)
        started_s, ended_s = facts.get("started_s"), facts.get("ended_s")
        rows.append(
            {
                "run_id": place.name,
                "flow": facts.get("flow"),
                "status": _status(place, facts.get("status")),
                "started": started_s,
                "duration_s": ended_s - started_s if ended_s and started_s else None,
                "chunks": facts.get("chunks"),
                "output": facts.get("output"),
            }
        )
    dtypes = {
        "run_id": "str", "flow": "str", "status": "str", "started": "float64",
        "duration_s": "float64", "chunks": "Int64", "output": "str",
    }  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(dtypes)).astype(dtypes)
    return frame.assign(started=pd.to_datetime(frame["started"], unit="s", utc=True))


def _directory(run_dir: str | os.PathLike[str] | None) -> Path:
    return load_settings().run_dir if run_dir is None else Path(os.fsdecode(run_dir)).expanduser()


def _status(place: Path, told: Any) -> str:
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
    place = find_run(_directory(run_dir), run_id)
    past = read_past(place)
    end = past.end or {}
    found = [(from_plain(facts[3]), facts[4]) for facts in past.ended.values()]
    # Parts of chunks that were split are in no journal; those that failed were set aside.
    keys = {outcome.key for outcome, _ in found}
    parts = [one for one in find_failed_chunks(place) if one["key"] not in keys]
    rows = [*(_row(*one) for one in found), *map(row_of_entry, parts)]
    frame = pd.DataFrame(rows, columns=list(OUTCOME_COLUMNS))
    frame["started"] = pd.to_datetime(frame["started"].astype("float64"), unit="s", utc=True)
    started_s, ended_s = past.head["started_s"], end.get("ended_s")
    return PastRun(
        run_id=run_id,
        flow=past.head["flow"],
        status=_status(place, end.get("status")),
        started=pd.Timestamp(started_s, unit="s", tz="UTC"),
        duration_s=None if ended_s is None else ended_s - started_s,
        value=None if past.value is None else past.value.load(),
        stop_reason=end.get("reason"),
        output=past.head["output"],
        outcomes=frame.astype(OUTCOME_COLUMNS),
        notices=tuple(past.notes),
        versions=past.head["versions"],
        directory=place,
        quarantine=find_quarantine(place),
        _tracebacks={one.key: one.failure.traceback for one, _ in found if one.failure is not None}
        | {one["key"]: one["traceback"] for one in parts},
    )


def _row(outcome: Outcome, where: Any) -> tuple[Any, ...]:
    path, start, stop = where or (None, None, None)
    last = outcome.attempts[-1] if outcome.attempts else None
    return (
        outcome.task,
        outcome.key,
        path,
        start,
        stop,
        outcome.rows,
        outcome.nbytes,
        str(outcome.status),
        len(outcome.attempts),
        last.worker if last else None,
        last.started_s if last else None,
        outcome.duration_s,
        last.peak_nbytes if last else None,
        str(outcome.failure) if outcome.failure is not None else None,
    )


def clean_runs(
    run_dir: str | os.PathLike[str] | None = None,
    *,
    older_than_s: float | None = None,
    dry_run: bool = False,
) -> list[tuple[str, str, int]]:
    """Remove runs that have ended well, and those that ended or died long ago.

    Parameters
    ----------
    run_dir : path, optional
        As in `list_runs`.
    older_than_s : float, optional
        Runs of any status whose last try began before so many seconds are removed too.
    dry_run : bool
        Only tell.

    Returns
    -------
    list of (str, str, int)
        Run, status, bytes of each that was removed, what it had written but not committed among
        them. Runs that go on now are never touched.
    """
    removed = []
    for place in list_places(_directory(run_dir)):
        facts = read_summary(place)
        status = _status(place, facts.get("status"))
        age_s = pd.Timestamp.now("UTC").timestamp() - float(facts.get("started_s", 0.0))
        is_old = older_than_s is not None and age_s >= older_than_s
        if status == "RUNNING" or not (is_old or status in ("COMPLETED", "PARTIAL")):
            continue
        folders = [place, *_written_by(place, facts.get("output"))]
        nbytes = sum(
            entry.stat().st_size for one in folders for entry in one.rglob("*") if entry.is_file()
        )
        if not dry_run:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
        removed.append((place.name, status, nbytes))
    return removed


def _written_by(place: Path, output: Any) -> list[Path]:
    """Directories of parts that a run has written and not committed."""
    found = [kept_directory(output, place.name)]
    with suppress(ResumeError):  # of a damaged one nothing is known
        found += [Path(one) for one in read_past(place).staging]
    return [one for one in found if one is not None and one.is_dir()]


def replay(
    run_id: str,
    key: str,
    tasks: Any = None,
    *,
    run_dir: str | os.PathLike[str] | None = None,
    **inputs: Any,
) -> Any:
    """Run one chunk of an earlier run again: here, in this process, with today's code.

    Nothing is caught, so that a debugger stops where the function raises.

    Parameters
    ----------
    run_id, key : str
        As in `Run.outcomes`, `load_run(run_id).outcomes`, or an entry of its quarantine, where
        single rows have one too.
    tasks : module, list of functions or dict by task, optional
        Functions, where they can't be found by module and name (lambdas, those of notebooks).
    run_dir : path, optional
        As in `list_runs`.
    **inputs
        The inputs that can't be kept: what is in memory, and URLs with secrets.

    Returns
    -------
    object
        What the last chunk function returns.

    Raises
    ------
    ResumeError
        There is no such run or chunk, or the run's inputs are not all there.
    BindError
        A function can't be found.
    """
    past = read_past(find_run(_directory(run_dir), run_id))
    name, ranges = find_item(past, key)
    given = past.head["inputs"] | inputs
    missing = [name for name in past.head["asked"] if name not in given]
    if missing:
        raise ResumeError(
            f"run {run_id}: the input {missing[0]!r} could not be kept; give it again: "
            f"td.replay({run_id!r}, {key!r}, {missing[0]}=...)"
        )
    flow = _bind(past, tasks)
    if past.head["is_process"]:
        steps = tuple(one for one in stages(flow, ("source",)) if one.name != "DataPreparation")
        values = {"DataPreparation": open_dataset(given.pop("source"), **given)}
        return run_piece(steps, {}, values, name, ranges, key)
    return run_piece(stages(flow, tuple(given)), given, {}, name, ranges, key)


def reopen(
    run_id: str,
    inputs: Mapping[str, Any],
    run_dir: str | os.PathLike[str] | None = None,
) -> tuple[Flow, dict[str, Any], str]:
    """The flow of a kept run, its inputs, and the file that its functions were in.

    Parameters
    ----------
    run_id : str
    inputs : mapping
        Those that could not be kept, and others instead of those that were.
    run_dir : path, optional
        As in `list_runs`.

    Raises
    ------
    ResumeError
        There is no such run; it was called from Python, or wrote an output, so that only the same
        call can go on with it; an input is missing.
    """
    past = read_past(find_run(_directory(run_dir), run_id))
    head = past.head
    if head["is_process"] or head["is_wired"]:
        raise ResumeError(
            f"run {run_id} was called from Python, whose arguments are not kept: make the same "
            f"call with resume={run_id!r}"
        )
    if head["output"]:
        raise ResumeError(
            f"run {run_id} writes {head['output']}, and how is not kept: make the same call with "
            f"--resume {run_id}"
        )
    given = head["inputs"] | dict(inputs)
    missing = [name for name in head["asked"] if name not in given]
    if missing:
        raise ResumeError(
            f"run {run_id}: the input {missing[0]!r} could not be kept; give it again: "
            f"--input {missing[0]}=..."
        )
    files = {place[2] for place in head["functions"].values() if place and place[2]}
    return parse_flow(head["text"]), given, min(files, default="")


def _bind(past: Past, tasks: Any) -> Flow:
    if past.head["is_wired"]:
        raise ResumeError(
            f"run {past.run_id}: its flow was written in Python, so that its text alone does not "
            "tell what fills which parameter; make the call again with only= and the chunk's range"
        )
    flow = parse_flow(past.head["text"])
    functions: dict[str, Any] = {}
    for name, place in past.head["functions"].items():
        # What reduces is not called here; it only has to be a reducer.
        found = count() if name in past.head["reducers"] else place and _find_function(*place)
        if found is not None:
            functions[name] = found
    if isinstance(tasks, dict):
        functions |= tasks
    elif tasks is not None:
        return flow.bind(tasks)
    lost = [task.name for task in flow.tasks if task.name not in functions]
    if lost:
        raise BindError(
            f"run {past.run_id}: the function of {lost[0]} can't be found by module and name; give "
            f"it: td.replay(..., tasks={{{lost[0]!r}: function}})"
        )
    return flow.bind(functions)


def _find_function(module: str, name: str, file: str) -> Any:
    """The function called `name` in `module`, which is imported, from its file where need be."""
    try:
        found: Any = import_module(module)
        if module == "__main__" and getattr(found, "__file__", None) != file:
            return None
    except ImportError:
        return None
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
