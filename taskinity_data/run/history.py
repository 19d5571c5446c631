"""What earlier runs left: their list, their removal, and one of their chunks run again here."""

from __future__ import annotations

import logging
import shutil
import time
from collections import Counter
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from taskinity_data.checkpoints.quarantine import find_quarantine
from taskinity_data.checkpoints.read_journal import find_item, read_past
from taskinity_data.checkpoints.run_directory import find_run, list_kept, remove_run
from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import BindError, ResumeError
from taskinity_data.execution import open_fan_out
from taskinity_data.execution.jobs import call_job, chunk_job, resolve
from taskinity_data.execution.worker.run_item import call_step
from taskinity_data.flow.language.parser import parse_flow
from taskinity_data.flow.stages import Call, FanOutStage, stages
from taskinity_data.output.complete import kept_directory
from taskinity_data.output.local.work_place import is_staging
from taskinity_data.reducers.base import count
from taskinity_data.run.journal import locate_runs
from taskinity_data.run.kept_run import load_run, status_of
from taskinity_data.run.options import RunOptions, repeated_options
from taskinity_data.run.output_options import share_options
from taskinity_data.user_code import is_user_path

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from taskinity_data.checkpoints.read_journal import Past
    from taskinity_data.flow.flow import Flow
    from taskinity_data.flow.stages import Stage

__all__ = ["clean_runs", "list_runs", "load_run", "reopen", "replay"]

_log = logging.getLogger(__name__)


def list_runs(run_dir: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Return the runs that are kept, newest first.

    Parameters
    ----------
    run_dir : path, optional
        Default: ``TASKINITY_RUN_DIR``, else ``.taskinity``.

    Returns
    -------
    pandas.DataFrame
        ``run_id, flow, status, output`` str; ``started`` UTC time; ``duration_s`` float64;
        ``chunks`` Int64 (that have ended). The ``flow`` of `process` is its function's name.
    """
    rows = []
    for directory, _, details in list_kept(locate_runs(run_dir)):
        started_s, ended_s = details.get("started_s"), details.get("ended_s")
        flow = details.get("flow")
        rows.append(
            {
                "run_id": directory.name,
                "flow": details.get("labels", {}).get(flow, flow),
                "status": status_of(directory, details.get("status")),
                "started": started_s,
                "duration_s": ended_s - started_s if ended_s and started_s else None,
                "chunks": details.get("chunks"),
                "output": details.get("output"),
            }
        )
    dtypes = {
        "run_id": "str", "flow": "str", "status": "str", "started": "float64",
        "duration_s": "float64", "chunks": "Int64", "output": "str",
    }  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(dtypes)).astype(dtypes)
    return frame.assign(started=pd.to_datetime(frame["started"], unit="s", utc=True))


def clean_runs(
    run_dir: str | os.PathLike[str] | None = None,
    *,
    older_than_s: float | None = None,
    dry_run: bool = False,
) -> list[tuple[str, str, int]]:
    """Remove runs that completed, and those that ended or died long ago.

    A run with a quarantine does not count as completed: its quarantined chunks can be run again.

    Parameters
    ----------
    run_dir : path, optional
        As in `list_runs`.
    older_than_s : float, optional
        Runs of any status whose last attempt began earlier are removed, too.
    dry_run : bool
        Only return the runs, and remove nothing.

    Returns
    -------
    list of (str, str, int)
        Run, status, bytes of each that was removed, what it had written but not committed among
        them. Runs in progress are never removed.
    """
    removed = []
    for directory, begun_s, details in list_kept(locate_runs(run_dir)):
        status = status_of(directory, details.get("status"))
        age_s = time.time() - begun_s
        is_old = older_than_s is not None and age_s >= older_than_s
        is_done = status == "COMPLETED" or (status == "PARTIAL" and not find_quarantine(directory))
        if status == "RUNNING" or not (is_old or is_done):
            continue
        parts = _written_by(directory, details.get("output"))
        nbytes = sum(map(_nbytes_in, (directory, *parts)))
        try:
            # One that was resumed meanwhile stays.
            if not dry_run and not remove_run(directory):
                continue
        except OSError as error:
            _log.warning("run %s can't be removed: %s", directory.name, error)
            continue
        for folder in () if dry_run else parts:
            shutil.rmtree(folder, ignore_errors=True)
        removed.append((directory.name, str(status), nbytes))
    return removed


def _nbytes_in(folder: Path) -> int:
    entries = (entry for entry in folder.rglob("*") if not entry.is_symlink())
    return sum(entry.stat().st_size for entry in entries if entry.is_file())


def _written_by(directory: Path, output: Any) -> list[Path]:
    """Directories of parts that a run has written and not committed."""
    folders = [kept_directory(output, directory.name)]
    with suppress(ResumeError):  # of a damaged one nothing is known
        folders += [Path(folder) for folder in read_past(directory).staging if is_staging(folder)]
    return [folder for folder in folders if folder is not None and folder.is_dir()]


def replay(
    run_id: str,
    key: str,
    tasks: Any = None,
    *,
    run_dir: str | os.PathLike[str] | None = None,
    **inputs: Any,
) -> Any:
    """Run one chunk of an earlier run again, in this process, with the current code.

    Nothing is caught, so that a debugger stops where the function raises.

    Parameters
    ----------
    run_id, key : str
        As in `Run.outcomes`, `load_run(run_id).outcomes`, or an entry of its quarantine, where
        single rows have one too. Chunks of several fan-outs over the same data have the same key:
        the first without a result of its own is run.
    tasks : module, list of functions or dict by task, optional
        Functions, where they can't be found by module and name (lambdas, those of notebooks).
    run_dir : path, optional
        As in `list_runs`.
    **inputs
        The inputs that can't be kept: what is in memory, URLs with secrets, `storage_options`.

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
    past = read_past(find_run(locate_runs(run_dir), run_id))
    name, ranges = find_item(past, key)
    inputs_given = past.head["inputs"] | inputs
    missing = [name for name in past.head["asked"] if name not in inputs_given]
    if missing:
        raise ResumeError(
            f"run {run_id}: the input {missing[0]!r} was not stored; pass it again: "
            f"td.replay({run_id!r}, {key!r}, {missing[0]}=...)"
        )
    flow = _bind(past, tasks)
    if past.head["is_process"]:
        steps = tuple(
            stage for stage in stages(flow, ("source",)) if stage.name != "DataPreparation"
        )
        values = {"DataPreparation": open_dataset(inputs_given.pop("source"), **inputs_given)}
        return _run_piece(steps, {}, values, name, ranges, key)
    stored = RunOptions(storage_options=inputs_given.pop("storage_options", None))
    _, inputs_given, shared = share_options(flow, stored, inputs_given)
    return _run_piece(
        stages(flow, tuple(inputs_given)), inputs_given, {}, name, ranges, key, shared
    )


def reopen(
    run_id: str,
    inputs: Mapping[str, Any],
    run_dir: str | os.PathLike[str] | None = None,
) -> tuple[Flow, dict[str, Any], list[str], dict[str, Any]]:
    """Return a kept run's flow, its inputs, the files of its functions, and options of the call.

    Of the files the one with most functions comes first.

    The options are what decides how it is cut, what is written and how much may fail.

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
        There is no such run; it was called from Python, or its output's URL holds secrets, so that
        only the same call can resume it; an input is missing.
    """
    past = read_past(find_run(locate_runs(run_dir), run_id))
    head = past.head
    if head["is_process"] or head["is_wired"]:
        raise ResumeError(
            f"run {run_id} was called from Python, and its arguments are not stored: make the same "
            f"call with resume={run_id!r}"
        )
    if head["output"] and head.get("written") is None:
        raise ResumeError(
            f"run {run_id} writes {head['output']}, and its output options are not stored: make "
            f"the same call with --resume {run_id}"
        )
    inputs_given = head["inputs"] | dict(inputs)
    missing = [name for name in head["asked"] if name not in inputs_given]
    if missing:
        again = "--storage-option NAME=VALUE"
        again = again if missing[0] == "storage_options" else f"--input {missing[0]}=..."
        raise ResumeError(
            f"run {run_id}: the input {missing[0]!r} was not stored; pass it again: {again}"
        )
    files = Counter(location[2] for location in head["functions"].values() if location)
    ranked = [file for file, _ in files.most_common() if file and is_user_path(file)]
    options = repeated_options(head) | {"asks": head.get("asks", ())}
    return parse_flow(head["text"]), inputs_given, ranked, options


def _bind(past: Past, tasks: Any) -> Flow:
    if past.head["is_wired"]:
        raise ResumeError(
            f"run {past.run_id}: its flow was written in Python, and its text does not show how "
            f"parameters are filled; make the same call with resume={past.run_id!r} and "
            "scheduler='synchronous', which runs what did not complete in this process"
        )
    flow = parse_flow(past.head["text"])
    functions: dict[str, Any] = {}
    for name, location in past.head["functions"].items():
        # What reduces is not called here; it only has to be a reducer.
        function = (
            count() if name in past.head["reducers"] else location and _find_function(*location)
        )
        if function is not None:
            functions[name] = function
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
    """Return the function `name` of `module`, which is imported; None if it is not there."""
    try:
        target: Any = import_module(module)
        if module == "__main__" and getattr(target, "__file__", None) != file:
            return None
    except ImportError:
        return None
    for part in name.split("."):
        target = getattr(target, part, None)
    return target


def _run_piece(
    steps: Sequence[Stage],
    inputs: Mapping[str, Any],
    values: Mapping[str, Any],
    name: str,
    ranges: Sequence[str],
    key: str,
    storage_options: Mapping[str, Any] | None = None,
) -> Any:
    """Return what the functions of the fan-out `name` return for the item `key`; nothing is caught.

    `ranges` are those of its chunk, none if it is not a chunk; `values` are results of tasks that
    are known already.
    """
    results = dict(values)
    for stage in steps:
        if isinstance(stage, FanOutStage) and stage.name == name:
            over = resolve(stage.over, results, inputs)
            item = open_fan_out.find_item(stage, over, ranges, key, storage_options)
            job = chunk_job(stage, results, inputs, [], keeps_result=True)
            chain = job.chain(item.position)
            data = item.data
            if isinstance(data, Chunk) and (not chain or chain[0].kind != "chunk"):
                data = data.load(chain[0].kind if chain else job.kind).data
            for step in chain:
                data = call_step(step, data)
            return data
        if isinstance(stage, Call) and all(need in results for need in stage.after):
            (step,) = call_job(stage, results, inputs).chains[0]
            results[stage.name] = step.function(*step.leading, **step.arguments)
    raise ResumeError(
        f"{name} needs the result of another fan-out or a later task, so it can't be run alone; "
        "make the same call with resume= and scheduler='synchronous'"
    )
