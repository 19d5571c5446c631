"""Runs a chunk's functions where the chunk is, and returns an Outcome, whatever user code does.

What it does comes as a `Job`, what it does it to as an `Item`. It never raises for what a user's
function did.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.execution.worker.failures import describe_failure
from taskinity_data.execution.worker.log_capture import CapturedLogs, capture_logs
from taskinity_data.execution.worker.result_limit import measure_nbytes
from taskinity_data.execution.worker.side_effects import Surroundings
from taskinity_data.execution.worker.thread_time import queued_seconds
from taskinity_data.formats.stream import StreamBlock
from taskinity_data.outcome import Attempt, Outcome, Status
from taskinity_data.policy import Value
from taskinity_data.redact import Secrets, hiding
from taskinity_data.reducers.row_labels import as_item, call_traced, make_partial, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskinity_data.execution.worker.deadline import Deadline
    from taskinity_data.outcome import BadLines

__all__ = [
    "Guard",
    "Item",
    "Job",
    "ResultWriter",
    "Step",
    "call_step",
    "run_item",
]


class ResultWriter(Protocol):
    """Keeps an item's result outside the run; pickles."""

    def write(self, key: str, index: int, data: Any, within: tuple[int, ...]) -> Any:
        """Write `data`, the result of the item `key` at position `index`; says what was written."""


@dataclass(frozen=True, slots=True)
class Step:
    """One function, with everything but its first input.

    `kind` says as what the function wants a chunk; `takes_piece` whether it gets the chunk, the
    item or the step before's result as its first input (a plain task does not); `leading` and
    `arguments` are the values of its other parameters, by position and by name; no repr, which a
    scheduler may log, shows them.
    """

    task: str
    function: Callable[..., Any]
    kind: str = "pandas"
    takes_piece: bool = True
    leading: tuple[Any, ...] = field(default=(), repr=False)
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
    fallback: Step | Value | None = None
    validate_input: Any = None
    validate_output: Any = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """What is done to each item: it passes through a chain of steps, then through `reducers`.

    Attributes
    ----------
    task : str
    chains : tuple of tuple of Step
        One for all items, or one for each position (the numbered siblings).
    kind : str
        As what a chunk is read where its chain is empty.
    reducers : tuple of Reducer
    keeps_result : bool
        Whether the last step's result itself is part of the outcome's value, which is the pair
        (partials, result).
    writer : ResultWriter, optional
        Gets the last step's result of each item.
    log_level : int, optional
        From which level on what functions log comes back with the outcome; None: nothing does.
    resources : dict of str to float
        What a worker must have to be given an item, beside time and memory.
    max_nbytes : int, optional
        What an outcome's value may take to be sent to another process; None: whatever it takes.
    secrets : Secrets
        What no text of an outcome may hold.
    """

    task: str
    chains: tuple[tuple[Step, ...], ...]
    kind: str = "pandas"
    reducers: tuple[Any, ...] = ()
    keeps_result: bool = True
    writer: ResultWriter | None = None
    log_level: int | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    max_nbytes: int | None = None
    secrets: Secrets = field(default_factory=Secrets, repr=False)

    @property
    def is_timed(self) -> bool:
        """Whether a step has a time limit."""
        return any(step.timeout_s is not None for chain in self.chains for step in chain)

    def chain(self, position: int) -> tuple[Step, ...]:
        """Return the steps of the item at `position`."""
        return self.chains[position] if len(self.chains) > 1 else self.chains[0]


class Guard(NamedTuple):
    """What an item may take in its child process, beside its steps' own times.

    `memory_nbytes` is what the process may hold, `deadline` the end of the run's time; None: no
    bound.
    """

    memory_nbytes: int | None = None
    deadline: Deadline | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to do a job on: a chunk, or any value that was fanned out; None for a plain task.

    `position` is its place among the fan-out's items, `part` its place within one that was split
    (the second half's first half is ``(1, 0)``), `origin` that chunk's key and `row` where in it
    its first row stands, None where unknown; `attempt` counts from 1, `fallback` names the task
    whose fallback replaces it. `counted_rows` is what an item that is not a chunk counts for in the
    account, None where that is not known before it is read. With a `guard` it runs in a
    child process, which can be ended; it `is_suspect` once it was lost with a worker.
    """

    key: str
    data: Any = None
    position: int = 0
    part: tuple[int, ...] = ()
    origin: str | None = None
    row: int | None = 0
    attempt: int = 1
    fallback: str | None = None
    counted_rows: int | None = 1
    guard: Guard | None = None
    is_suspect: bool = False

    @property
    def index(self) -> tuple[int, ...]:
        """Position and part: items sorted by it are in order."""
        return (self.position, *self.part)

    @property
    def nbytes(self) -> int:
        """The planned size of its chunk, 0 where it is none."""
        return self.data.nbytes if type(self.data) is Chunk else 0

    @property
    def rows(self) -> int | None:
        """The rows that are planned for it, None where unknown."""
        return self.data.rows if type(self.data) is Chunk else self.counted_rows

    @property
    def file_range(self) -> tuple[str | None, str | None]:
        """The file of its chunk and the range in it, None where it is none."""
        if type(self.data) is not Chunk:
            return None, None
        chunk = self.data
        return chunk.path, f"{chunk.reader.unit} {chunk.start:,} to {chunk.stop:,}"


def run_item(
    job: Job,
    item: Item,
    begin: Callable[[int], object] | None = None,
    *,
    restores: bool = False,
) -> Outcome:
    """Return the outcome of `item`: its value or partials, or its failure, also of user code.

    `begin` is called with the number of each step before it starts; the first starts with reading.
    What functions change of the process around them is noticed, and where it `restores` put back.

    Raises
    ------
    KeyboardInterrupt
        Only in the main thread, where it is the user's Ctrl-C.
    """
    with hiding(job.secrets):
        return _run_item(job, item, begin, restores)


def _run_item(
    job: Job, item: Item, begin: Callable[[int], object] | None, restores: bool
) -> Outcome:
    clock, begun = _Clock(time.time()), _read_clocks()
    before = Surroundings(has_umask=restores) if job.chain(item.position) else None
    captured = CapturedLogs(job.log_level)
    try:
        with capture_logs(captured):
            done, failure = _work(job, item, clock, begin), None
    except KeyboardInterrupt as error:
        if threading.current_thread() is threading.main_thread():
            raise
        done, failure = _Done(), describe_failure(error)
    except BaseException as error:  # noqa: BLE001 - a failure is a value
        done, failure = _Done(), describe_failure(error)
    took = [after - at for at, after in zip(begun, _read_clocks(), strict=True)]
    changes = before.changes() if before is not None else ()
    if changes and restores and before is not None:
        before.restore()
    attempt = Attempt(
        number=item.attempt,
        started_s=clock.started_s,
        duration_s=took[0],
        worker=name_worker(),
        read_s=clock.read_s,
        function_s=clock.function_s,
        partial_s=clock.partial_s,
        memory_nbytes=clock.memory_nbytes,
        peak_nbytes=peak_nbytes(),
        failure=failure,
        notices=(*changes, *done.notices),
        logs=tuple(captured.lines),
        logs_cut=captured.cut,
        cpu_s=took[1],
        process_cpu_s=took[2],
        queued_s=took[3],
    )
    return Outcome(
        task=clock.task or job.task,
        key=item.key,
        status=Status.COMPLETED if failure is None else Status.FAILED,
        attempts=(attempt,),
        rows=done.rows,
        filtered=done.filtered,
        nbytes=item.nbytes,
        is_fallback=item.fallback is not None and failure is None,
        columns=done.columns,
        value=done.value,
        output=done.output,
        bad_lines=done.bad_lines,
    )


def _read_clocks() -> tuple[float, float, float, float]:
    """Return seconds: by the clock, of CPU (this thread's, the process's), and without a core."""
    now_s = time.perf_counter()
    return now_s, time.thread_time(), time.process_time(), queued_seconds(now_s)


@dataclass(slots=True)
class _Clock:
    started_s: float
    read_s: float = 0.0
    function_s: float = 0.0
    partial_s: float = 0.0
    memory_nbytes: int | None = None
    task: str | None = None


class _Done(NamedTuple):
    value: Any = None
    rows: int | None = None
    filtered: int | None = None
    output: Any = None
    bad_lines: BadLines | None = None
    columns: tuple[str, ...] | None = None
    notices: tuple[str, ...] = ()


def _work(job: Job, item: Item, clock: _Clock, begin: Callable[[int], object] | None) -> _Done:
    chain = [_effective(step, item) for step in job.chain(item.position)]
    first = chain[0] if chain else None
    kind = first.kind if isinstance(first, Step) else job.kind
    clock.task = job.chain(item.position)[0].task if chain else None
    data, rows, filtered, bad_lines = item.data, None, None, None
    if begin is not None:
        begin(0)
    if type(data) is Chunk:
        data.refuse_unreadable()
    is_read = type(data) is StreamBlock or (type(data) is Chunk and kind != "chunk")
    if is_read and not isinstance(first, Value):
        data, rows, filtered, bad_lines = _load(data, kind, clock)
    # Reducers must know which of a chunk's labels are those of its rows.
    is_traced = any(getattr(reducer, "reads_series", False) for reducer in job.reducers)
    data = as_item(data) if is_traced else data
    for number, (planned, step) in enumerate(zip(job.chain(item.position), chain, strict=True)):
        clock.task = planned.task
        if number and begin is not None:
            begin(number)
        at = time.perf_counter()
        try:
            if isinstance(step, Value):
                data = step.value
            elif is_traced:
                data = call_traced(partial(call_step, step), data)
            else:
                data = call_step(step, data)
        finally:
            took_s = time.perf_counter() - at
            clock.function_s += took_s
        if planned.timeout_s is not None and took_s > planned.timeout_s:
            raise TimeoutError(
                f"{planned.task} took {took_s:.3g} s, its timeout is {planned.timeout_s:g} s"
            )
    clock.task = None
    read, data = data, plain(data)
    result = data if job.keeps_result else None
    at = time.perf_counter()
    try:
        partials = tuple(make_partial(reducer, read) for reducer in job.reducers)
        output = None
        if job.writer is not None:
            output = job.writer.write(item.key, item.position, data, item.part)
    finally:
        clock.partial_s = time.perf_counter() - at
    compares = any(getattr(reducer, "compares_columns", False) for reducer in job.reducers)
    columns = _columns(data) if compares else None
    notices = tuple(_notices(job.reducers, partials))
    return _Done((partials, result), rows, filtered, output, bad_lines, columns, notices)


def _load(data: Chunk | StreamBlock, kind: str, clock: _Clock) -> Any:
    """Return the data as `kind`, and what is counted of it, on the `clock` of the attempt."""
    at = time.perf_counter()
    try:
        loaded = data.load(kind)
    finally:
        clock.read_s = time.perf_counter() - at
    clock.memory_nbytes = measure_nbytes(loaded[0])
    return loaded


def _notices(reducers: Sequence[Any], partials: Sequence[Any]) -> Iterator[str]:
    for reducer, made in zip(reducers, partials, strict=True):
        notice = getattr(reducer, "notice", lambda _: None)(made)
        if notice is not None:
            yield notice


def _columns(data: Any) -> tuple[str, ...] | None:
    names = getattr(data, "column_names", getattr(data, "columns", None))
    return None if names is None else tuple(map(str, names))


def _effective(step: Step, item: Item) -> Step | Value:
    """Return `step`, or what stands in for it."""
    if item.fallback == step.task and step.fallback is not None:
        return step.fallback
    return step


def call_step(step: Step, data: Any) -> Any:
    """Return what the function of `step` returns for `data`, both of them validated."""
    if not step.takes_piece:
        result = step.function(*step.leading, **step.arguments)
    else:
        _check(step.validate_input, data, f"the input of {step.task}")
        result = step.function(data, *step.leading, **step.arguments)
    _check(step.validate_output, result, f"the result of {step.task}")
    return result


def _check(contract: Any, data: Any, subject: str) -> None:
    if contract is not None:
        from taskinity_data.execution.worker.contracts import check_contract

        check_contract(contract, data, subject)


def peak_nbytes() -> int | None:
    """Return the most memory that this process has held so far, None where that is unknown."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def name_worker() -> str:
    """Host, process and thread: who did it."""
    return f"{socket.gethostname()}:{os.getpid()}/{threading.current_thread().name}"
