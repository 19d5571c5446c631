"""Runs a flow, and says what became of it: the place where all parts are put together.

It decides nothing itself: what runs in which order stands in `flow`, what is cut in `chunks`, who
runs it in `execution`, what is shown in `report`.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import replace
from inspect import currentframe
from types import ModuleType
from typing import TYPE_CHECKING, Any

from taskinity_data import events
from taskinity_data.aggregation.reducers import collect
from taskinity_data.chunks.csv_options import SIGNATURE
from taskinity_data.chunks.dataset import open_dataset
from taskinity_data.chunks.plan import ChunkPlan, parse_chunk_size
from taskinity_data.errors import BindError, FlowFailed, TaskinityDataError
from taskinity_data.execution.choose import Chooser
from taskinity_data.execution.driver import Driver
from taskinity_data.execution.jobs import policies
from taskinity_data.execution.pieces import PieceOptions
from taskinity_data.execution.works import make_works, only_kernels
from taskinity_data.flow.marks import mark_of
from taskinity_data.flow.model import Flow, Task
from taskinity_data.flow.parser import parse_flow
from taskinity_data.flow.policies import make_policy
from taskinity_data.flow.stages import FanOut, Stage, stages
from taskinity_data.outcome import RunStatus
from taskinity_data.policy import parse_duration, parse_nbytes
from taskinity_data.report.progress import progress_for
from taskinity_data.result import Run
from taskinity_data.run_options import (
    check_flow,
    check_inputs,
    check_policies,
    check_workers,
    keywords_of,
    parse_max_failures,
    sort_options,
    sort_plans,
    with_defaults,
)
from taskinity_data.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Run", "process", "run_flow", "run_flow_from_dsl", "run_parallel_flow_from_dsl"]

_log = logging.getLogger(__name__)


def run_flow(
    flow: Flow,
    *,
    scheduler: Any = None,
    workers: int | None = None,
    memory: str | int | None = None,
    chunk_size: str | int = "auto",
    max_failures: int | str | None = None,
    run_timeout: str | float | None = None,
    plan: ChunkPlan | Mapping[str, ChunkPlan] | None = None,
    only: str | Sequence[str] = (),
    progress: bool | None = None,
    observers: Sequence[Any] = (),
    inputs: Mapping[str, Any] | None = None,
    **more_inputs: Any,
) -> Run:
    """Run a bound flow to its end.

    Parameters
    ----------
    flow : Flow
        Bound: every task has its function.
    scheduler : optional
        ``"synchronous"``, ``"threads"``, ``"processes"``, an address, a scheduler file, a
        `distributed.Client`, a Dask cluster object or a `concurrent.futures.Executor`. None takes
        the current client if there is one; else threads, and local processes once the first
        chunks' time shows that they pay.
    workers : int, optional
        How many items at once; default: one to each core.
    memory : str or int, optional
        What one worker may use, as ``"2GiB"`` or bytes; default: its share of the machine.
    chunk_size : str or int
        ``"auto"``, bytes (``64_000_000``, ``"64MiB"``) or rows (``"100_000 rows"``).
    max_failures : int or str, optional
        How many chunks may end without a result of their own, as a count or a share (``"1%"``).
    run_timeout : str or float, optional
        As ``"10m"`` or seconds: how long the whole run may take.
    plan : ChunkPlan, or dict of them by fan-out, optional
        Cuts to repeat, as ``run.plan`` of an earlier run.
    only : str or sequence of str, optional
        One chunk alone, as ``PATH:START-STOP``: the error of a failed chunk tells its own. With
        ``scheduler="synchronous"`` a debugger stops in its function.
    progress : bool, optional
        Whether to draw; default: on a terminal or in a notebook.
    observers : sequence of Observer
        Each gets every event.
    inputs : dict, optional
        The flow's inputs, for names that options have taken.
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
        A source, option or scheduler that can't be meant.
    FlowFailed
        The run ended without its answer; `.run` holds what was done.
    KeyboardInterrupt
        Ctrl-C, once all is cancelled and closed.
    """
    given = {**(inputs or {}), **more_inputs}
    check_inputs(given)
    steps = stages(check_flow(flow), tuple(given))
    return _run(
        flow,
        steps,
        with_defaults(flow, given),
        {},
        scheduler=scheduler,
        workers=workers,
        memory=memory,
        chunk_size=chunk_size,
        max_failures=max_failures,
        run_timeout=run_timeout,
        plan=plan,
        only=only,
        progress=progress,
        observers=observers,
    )


def process(
    source: Any,
    function: Callable[..., Any] | None = None,
    *,
    reduce: Any = None,
    **options: Any,
) -> Run:
    """Run `function` over the chunks of `source`, and reduce what it returns: a flow in one call.

    Parameters
    ----------
    source : path, glob, directory, list of them, DataFrame, Arrow table or Dataset
    function : callable, optional
        chunk -> anything. None: the rows themselves are reduced.
    reduce : Reducer or callable
        A reducer, or a function of the list of all results in chunk order. Default: `collect`.
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
    task_options, dataset_options, run_options = sort_options(
        options,
        keywords_of(run_flow) - {"inputs"},
        {*keywords_of(open_dataset), *SIGNATURE, "newlines_in_values"},
    )
    if reduce is None:
        reduce = collect()
    elif not callable(reduce) and not getattr(reduce, "is_reducer", False):
        raise BindError(f"reduce={reduce!r} is neither a reducer nor a function of a list")
    elif str(getattr(reduce, "__module__", "")).startswith("taskinity_data.aggregation") and not (
        getattr(reduce, "is_reducer", False)
    ):
        name = reduce.__name__.rstrip("_")
        raise BindError(f"reduce=td.{name}: that makes reducers; call it, reduce=td.{name}(...)")
    dataset = open_dataset(source, **dataset_options)
    name = task_options.pop("name", "ProcessChunk")
    description = task_options.pop("description", None)
    flow = Flow(
        "Process",
        tasks=(
            Task("DataPreparation", function=_open),
            Task(
                name,
                description,
                "*",
                make_policy(**task_options),
                pass_rows if function is None else function,
            ),
            Task("AggregateResults", function=reduce),
        ),
        edges=(("DataPreparation", name), (name, "AggregateResults")),
    ).bind({})
    steps = stages(flow, ("source",))
    steps = tuple(
        replace(stage, chains=((),))
        if function is None and isinstance(stage, FanOut) and getattr(reduce, "is_reducer", False)
        else stage
        for stage in steps
        if stage.name != "DataPreparation"
    )
    return _run(flow, steps, {}, {"DataPreparation": dataset}, **run_options)


def pass_rows(chunk: Any) -> Any:
    """The chunk itself: what stands where no function was given."""
    return chunk


def _open(source: Any) -> Any:
    return open_dataset(source)


def run_flow_from_dsl(
    text: str,
    input_data: Any = None,
    tasks: Any = None,
    max_workers: int | None = None,
) -> dict[str, Any]:
    """Run a flow's text, and give every task's result by name.

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
        vars(tasks).update({key: one for key, one in names.items() if mark_of(one) is not None})
    flow = parse_flow(text).bind(tasks)
    needed = flow.required_inputs
    if isinstance(input_data, dict) and (set(input_data) & set(needed) or not needed):
        inputs = dict(input_data)
    elif input_data is None:
        inputs = {}
    elif len(needed) == 1:
        inputs = {needed[0]: input_data}
    else:
        raise BindError(
            f"flow {flow.name} needs the inputs {', '.join(needed) or 'none'}: give input_data as "
            "a dict of them"
        )
    return run_flow(flow, workers=max_workers, inputs=inputs).results


run_parallel_flow_from_dsl = run_flow_from_dsl


# -- putting it together ---------------------------------------------------------------------------


def _run(
    flow: Flow,
    steps: Sequence[Stage],
    inputs: Mapping[str, Any],
    values: Mapping[str, Any],
    *,
    scheduler: Any = None,
    workers: int | None = None,
    memory: str | int | None = None,
    chunk_size: str | int = "auto",
    max_failures: int | str | None = None,
    run_timeout: str | float | None = None,
    plan: ChunkPlan | Mapping[str, ChunkPlan] | None = None,
    only: str | Sequence[str] = (),
    progress: bool | None = None,
    observers: Sequence[Any] = (),
) -> Run:
    size = parse_chunk_size(chunk_size)
    settings = load_settings(max_workers=check_workers(workers))
    memory_nbytes = None if memory is None else parse_nbytes(memory)
    allowed = parse_max_failures(max_failures)
    timeout_s = None if run_timeout is None else parse_duration(run_timeout)
    check_policies(steps)
    default_size = parse_chunk_size(settings.chunk_size)
    ranges = (only,) if isinstance(only, str) else tuple(only)
    options = PieceOptions(size, default_size, sort_plans(steps, plan), ranges)

    run_id = time.strftime("%Y%m%dT%H%M%S-") + secrets.token_hex(3)
    told = _Announcer(run_id, [*progress_for(progress), *observers])
    begun = time.perf_counter()
    told(events.RunStarted(run_id, time.time(), flow.name, flow.order))
    driver: Driver | None = None
    chooser: Chooser | None = None
    failed: BaseException | None = None
    try:
        chooser = Chooser(
            scheduler if scheduler is not None else settings.scheduler,
            settings.max_workers,
            memory_nbytes,
            stays_in_threads=only_kernels(steps),
            announce=told.announce,
        )
        started_s = time.perf_counter() - begun
        driver = Driver(
            run_id,
            make_works(steps, inputs, options, chooser),
            policies(steps),
            chooser,
            told,
            max_failures=allowed,
            run_timeout_s=timeout_s,
        )
        driver.values.update(values)
        driver.run()
    except KeyboardInterrupt as error:
        failed = error
    finally:
        at = time.perf_counter()
        if chooser is not None:
            chooser.close()
        closed_s = time.perf_counter() - at
        status = driver.status if driver is not None else RunStatus.FAILED
        told(events.RunFinished(run_id, time.time(), status))
        told.close()
    if driver is None or chooser is None:
        assert failed is not None
        raise failed
    run = Run.of(
        flow,
        driver,
        run_id=run_id,
        strategy=told.strategies[-1],
        reason=chooser.reason,
        seconds={
            "total": time.perf_counter() - begun,
            "start_workers": started_s,
            "close": closed_s,
        },
    )
    if failed is not None:
        failed.run = run  # type: ignore[attr-defined]  # for whoever catches it
        raise failed
    if run.status is RunStatus.FAILED:
        if not driver.has_submitted and isinstance(driver.cause, TaskinityDataError):
            # Nothing has run: the call was wrong.
            raise driver.cause
        raise FlowFailed(f"flow {flow.name}: {run.tell_failure()}", run=run) from driver.cause
    return run


class _Announcer:
    """Passes events on to observers; one that raises is dropped, and said."""

    def __init__(self, run_id: str, observers: Sequence[Any]) -> None:
        self._run_id = run_id
        self._observers = list(observers)
        self.strategies: list[tuple[str, int, str | None]] = []

    def __call__(self, event: events.Event) -> None:
        for observer in list(self._observers):
            try:
                observer.on_event(event)
            except Exception:  # noqa: BLE001 - an observer never costs the run
                _log.warning("observer %r raised and is dropped", observer, exc_info=True)
                self._observers.remove(observer)

    def announce(self, strategy: Any, reason: str) -> None:
        """Tell who runs from now on."""
        name, workers, link = strategy.name, strategy.workers, strategy.dashboard_link
        self.strategies.append((name, workers, link))
        self(events.SchedulerChanged(self._run_id, time.time(), name, workers, reason, link))

    def close(self) -> None:
        """Let observers put their things away."""
        for observer in self._observers:
            close = getattr(observer, "close", None)
            if close is not None:
                close()
