"""What a user calls to run a flow, a flow's text, or a function over a source."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from inspect import currentframe
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from taskinity_data.chunks.open_dataset import open_source
from taskinity_data.errors import BindError, PlanError, hides_frames
from taskinity_data.execution.schedulers.base import current_client
from taskinity_data.flow.binding.signatures import mark_of
from taskinity_data.flow.flow import short_flow
from taskinity_data.flow.keywords import make_policy
from taskinity_data.flow.stages import stages, with_defaults
from taskinity_data.formats.stream import is_stream, listed_paths
from taskinity_data.redact import hides_secrets
from taskinity_data.reducers.base import check_reduce, collect
from taskinity_data.run.arguments import (
    ProcessKeywords,
    check_flow,
    explain_input,
    show_keywords,
    sort_options,
)
from taskinity_data.run.describe_run import CallFacts, label_tasks, name_subject
from taskinity_data.run.options import RunOptions
from taskinity_data.run.result import Run
from taskinity_data.run.session import run_session
from taskinity_data.settings import load_settings
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.flow.flow import Flow
    from taskinity_data.reducers.base import Finishes

    T = TypeVar("T")

__all__ = [
    "Run",
    "process",
    "run_flow",
    "run_flow_from_dsl",
    "run_parallel_flow_from_dsl",
]


@hides_frames
@hides_secrets
def run_flow(
    flow: Flow,
    *,
    scheduler: Any = None,
    workers: int | None = None,
    memory: str | int | None = None,
    wait_for_workers: str | float | None = None,
    priority: int = 0,
    backups: bool = False,
    chunk_size: str | int = "auto",
    max_failures: int | str | None = None,
    run_timeout: str | float | None = None,
    plan: ChunkPlan | Mapping[str, ChunkPlan] | None = None,
    check: bool = False,
    resume: bool | str | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    output_format: str = "parquet",
    partition_by: str | Sequence[str] = (),
    if_exists: str = "error",
    only_new: bool = False,
    allow_repeated: bool = False,
    max_rows_per_file: int | None = None,
    output_compression: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    observers: Sequence[Any] = (),
    inputs: Mapping[str, Any] | None = None,
    **more_inputs: Any,
) -> Run:
    """Run a bound flow to its end.

    Parameters
    ----------
    flow : Flow
        A flow whose tasks all have functions.
    scheduler : optional
        ``"synchronous"``, ``"threads"``, ``"processes"``, an address, a scheduler file, a
        `distributed.Client`, a Dask cluster object or a `concurrent.futures.Executor`. None takes
        the current client if there is one; else threads, and local processes once the time of the
        first chunks shows that they are faster.
    workers : int, optional
        The number of workers; default: one per core. On a Dask cluster: at most so many chunks at
        once, and how many there may be where its address alone is given and it grows; default: all
        threads that it has, and may grow to.
    memory : str or int, optional
        Memory that one worker may use, as ``"2GiB"`` or bytes; default: its share of the machine.
    wait_for_workers : str or float, optional
        How long to wait for workers of a Dask cluster, at the start or later: ``"10 min"``, or
        seconds. Default: while the cluster object reports that it is starting some, else 30 s.
        Tasks are sent before any worker is there, so that adaptive clusters start some.
    priority : int
        Priority of the run's tasks on a shared Dask cluster: higher goes first.
    backups : bool
        Start second copies of the last slow chunks, where workers have nothing else to do, of tasks
        marked ``pure=True``. The first result of each chunk counts. A copy that runs on in a thread
        can't be ended; elsewhere it ends with the run, or is cancelled.
    chunk_size : str or int
        ``"auto"``, bytes (``64_000_000``, ``"64MiB"``) or rows (``"100_000 rows"``).
    max_failures : int or str, optional
        How many chunks may end without their own result, as a count or a share (``"1%"``). The run
        always stops if its first ten chunks all fail with the same error.
    run_timeout : str or float, optional
        As ``"10m"`` or seconds: how long the whole run may take.
    plan : ChunkPlan, or dict of them by fan-out, optional
        Cuts to repeat, such as ``run.plan`` of an earlier run.
    check : bool
        Whether to test functions and reducers on rows of the first chunks, before anything is run,
        for answers that depend on where chunks are cut: with the laws of
        `td.testing.check_reducer` and `check_chunkwise`, in this process, for a few seconds at
        most.
    resume : bool or str, optional
        True: resume the newest run of this flow and output, if there is one. A run's id: resume
        that run. Finished chunks with unchanged code, options and data are reused; differences are
        reported. A run whose output was committed without failed or skipped chunks is resumed only
        by its id: these chunks run, and their parts are added when the run has completed.
    run_dir : path, optional
        Directory in which finished chunks are stored during the run, with one directory per run.
        Default: ``TASKINITY_RUN_DIR``, else ``.taskinity``, where runs of less than two seconds
        leave nothing.
    output : path, optional
        A directory, or the URL of one in a store: each chunk's table becomes a part file there, and
        all appear at once when the run has completed. The flow must have one fan-out; if it ends
        with it, the value is the directory, and the tables are not returned. A relative path is
        resolved against ``TASKINITY_OUTPUT_DIR``, if that is set.
    output_format : {"parquet", "csv", "jsonl", "arrow"}
        CSV and JSON Lines hold no types: whole floats read back as integers.
    partition_by : str or sequence of str
        Columns by whose values parts are divided into ``column=value`` directories: integers,
        dates and texts. Readers take the values from the names: as integers, or texts.
    if_exists : {"error", "overwrite", "append"}
        What to do if the directory exists; nothing is changed until the run has completed.
        Appending is refused if the manifest lists one of the inputs (files, by size, time and file
        number, or ETag, at any path), or an earlier version of it. Frames, iterators and lists of
        items are not listed, and are appended each time.
    only_new : bool
        With ``if_exists="append"``: only inputs that the manifest does not list; each is in the
        output once, however often a run is killed or repeated. If there is none, nothing runs, and
        the output does not change.
    allow_repeated : bool
        With ``if_exists="append"``: all inputs, even if they are listed, as for another function.
    max_rows_per_file : int, optional
        Write chunks with more rows to several files. Default: one file per chunk and directory.
    output_compression : str, optional
        For Parquet (``"snappy"``, the default, ``"zstd"``, ``"gzip"``, …) and Arrow (``"lz4"``,
        ``"zstd"``); CSV and JSON Lines are not compressed.
    storage_options : dict, optional
        Options of fsspec's file system, for all URLs: of an `output` in a store, of a source that
        the run itself opens, and of those that a task with a parameter `storage_options` opens.
        Open a source in another store first, with `td.open_dataset`.
    progress : bool, optional
        Whether to show progress; default: bars on a terminal or in a notebook, elsewhere a line
        every few seconds on standard error.
    observers : sequence
        Objects whose method ``on_event(event)`` is called with every event; the other methods only
        if they are a `td.Observer`.
    inputs : dict, optional
        The flow's inputs, for names that are also options.
    **more_inputs
        The flow's inputs by name.

    Returns
    -------
    Run

    Raises
    ------
    BindError
        The flow is not bound, or inputs are missing or unknown.
    PlanError, SettingsError, SchedulerError
        An invalid source, option or scheduler.
    CheckError
        With `check`: a law does not hold; the message shows the rows.
    ResumeError
        `resume` names a run that does not exist, is still running, or can't be resumed.
    FlowFailed
        The run ended without its answer; `.run` is the run.
    KeyboardInterrupt
        Ctrl-C or SIGTERM, after running chunks have ended (or were dropped after 5 s), finished
        ones are stored and everything is closed; `.run` is the run. A second one stops at once.
    """
    options = RunOptions.of(locals())
    from taskinity_data.run.output_options import share_options

    arguments = {**(inputs or {}), **more_inputs}
    options, arguments, shared = share_options(check_flow(flow), options, arguments)
    call = CallFacts("", arguments, {}, asks=tuple(sorted(storage_options or ())))
    try:
        steps = stages(flow, tuple(arguments))
    except BindError as error:
        # An option that was misspelled, or is not the run's, came as an input.
        hints = (explain_input(name) for name in more_inputs if repr(name) in str(error))
        raise BindError(f"{error}{next(filter(None, hints), '')}") from None
    return run_session(flow, steps, with_defaults(flow, arguments), {}, options, call, shared)


@overload
def process(
    source: Any,
    function: Callable[..., Any] | None = None,
    *,
    reduce: Finishes[T] | Callable[[list[Any]], T],
    inputs: Mapping[str, Any] | None = None,
    **options: Unpack[ProcessKeywords],
) -> Run[T]: ...
@overload
def process(
    source: Any,
    function: Callable[..., Any] | None = None,
    *,
    reduce: Any = None,
    inputs: Mapping[str, Any] | None = None,
    **options: Unpack[ProcessKeywords],
) -> Run[Any]: ...
@show_keywords
@hides_frames
@hides_secrets
def process(
    source: Any,
    function: Callable[..., Any] | None = None,
    *,
    reduce: Any = None,
    inputs: Mapping[str, Any] | None = None,
    **options: Unpack[ProcessKeywords],
) -> Run:
    """Run `function` on the chunks of `source`, and reduce its results: a flow in one call.

    Parameters
    ----------
    source : path, glob, directory, list of them, DataFrame, Arrow table, Dataset, or iterator
        Each part of an iterator of frames or tables, a record batch reader or a Dask DataFrame is a
        chunk, taken during the run, and never more than workers can use. An iterator of paths is
        the list of them.
    function : callable, optional
        chunk -> anything. None: the rows are reduced.
    reduce : Reducer or callable
        A reducer, or a function of the list of all results in chunk order. Default: `collect`; with
        ``output=`` nothing, and the value is the output's directory.
    inputs : dict, optional
        Values of other parameters of the functions, by name: a small table to join, a threshold.
        They are sent once to each worker, not with each chunk.
    **options
        Options of `td.task`, of `td.open_dataset` (those of `pandas.read_csv` included) and of
        `td.run_flow`.

    Returns
    -------
    Run
        ``.value`` is the reduced value.

    Raises
    ------
    BindError
        An option that none of them has.
    PlanError, FlowFailed, ...
        As `run_flow`.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"a": range(5)})
    >>> process(frame, lambda chunk: int(chunk.a.sum()), chunk_size="2 rows").value
    [1, 5, 4]
    """
    source = listed_paths(source)
    task_options, dataset_options, run_options = sort_options(options)
    chosen = RunOptions(**run_options)
    if chosen.storage_options is not None:
        from taskinity_data.run.output_options import share_with_source

        chosen, shared = share_with_source(chosen, source, load_settings().output_dir)
        dataset_options |= shared
    writes_only = reduce is None and chosen.output is not None
    subject = name_subject(source, function or reduce)
    if writes_only:
        from taskinity_data.run.output import Dropped

        reduce = Dropped()
    elif reduce is None:
        reduce = collect()
    else:
        check_reduce(reduce)
    labels = label_tasks(function, reduce, task_options.get("name"))
    inputs = dict(inputs or {})
    if "source" in inputs:
        raise BindError("inputs= has a 'source', which is process()'s first argument: rename it")
    call = CallFacts(subject, {"source": source, **dataset_options, **inputs}, labels)
    if not is_stream(source):
        with _planning(labels["Process"], chosen.progress):
            caches_rows = chosen.cuts_here and current_client() is None
            source = open_source(source, dataset_options, caches_rows=caches_rows)
        if function is None and chosen.partition_by:
            from taskinity_data.run.output_options import check_partition_columns

            check_partition_columns(chosen, source.schema.names)
    elif dataset_options:
        raise PlanError(
            f"{next(iter(dataset_options))}= is an option for files and tables; frames of an "
            "iterator are used as they are"
        )
    name = task_options.pop("name", "ProcessChunk")
    description = task_options.pop("description", None)
    policy = make_policy(**task_options)
    flow, steps = short_flow(function, reduce, policy, name, description, inputs)
    run = run_session(flow, steps, inputs, {"DataPreparation": source}, chosen, call)
    return replace(run, value=run.output.path) if writes_only and run.output else run


def _planning(label: str, progress: bool | None) -> AbstractContextManager[None]:
    if progress is False:
        return nullcontext()
    from taskinity_data.report.progress import planning

    return planning(label, progress)


def run_flow_from_dsl(
    text: str,
    input_data: Any = None,
    tasks: Any = None,
    max_workers: int | None = None,
) -> dict[str, Any]:
    """Run a flow's text, and return every task's result by name.

    Parameters
    ----------
    text : str
        In the flow language.
    input_data : optional
        A dict of the flow's inputs, or the one input that it needs.
    tasks : module, dict or list, optional
        The functions; default: those marked ``@td.task`` in the caller's module.
    max_workers : int, optional

    Returns
    -------
    dict
    """
    if tasks is None:
        frame = currentframe()
        caller = frame.f_back if frame is not None else None
        names = caller.f_globals if caller is not None else {}
        # As a module, because there functions that match no task are left alone.
        tasks = ModuleType(str(names.get("__name__", "__main__")))
        vars(tasks).update(
            {key: value for key, value in names.items() if mark_of(value) is not None}
        )
    from taskinity_data.flow.language.parser import parse_flow

    flow = parse_flow(text).bind(tasks)
    inputs = _name_inputs(flow.name, flow.required_inputs, input_data)
    return run_flow(flow, workers=max_workers, inputs=inputs).results


run_parallel_flow_from_dsl = run_flow_from_dsl


def _name_inputs(flow: str, needed: Sequence[str], input_data: Any) -> dict[str, Any]:
    """Return `input_data` by the names of the inputs that the flow needs."""
    if input_data is None and not needed:
        return {}
    if isinstance(input_data, dict) and (set(input_data) & set(needed) or not needed):
        return dict(input_data)
    # A dict may be the one input itself, as it is there; one with a slip in its key is not.
    slip = (
        suggest(needed[0], map(str, input_data)) if needed and isinstance(input_data, dict) else ""
    )
    if input_data is not None and len(needed) == 1 and not slip:
        return {needed[0]: input_data}
    if not needed:
        raise BindError(f"flow {flow} needs no input: leave input_data out")
    example = ", ".join(f"{name!r}: ..." for name in needed)
    keys = f", not {', '.join(map(repr, input_data))}" if isinstance(input_data, dict) else ""
    raise BindError(f"flow {flow} needs {', '.join(needed)}{keys}: input_data={{{example}}}")
