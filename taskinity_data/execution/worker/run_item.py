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
from array import array
from dataclasses import replace
from functools import partial
from operator import sub
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.data_kinds import measure_nbytes
from taskinity_data.execution.worker.captured_logs import CapturedLogs, capture_logs
from taskinity_data.execution.worker.failures import describe_failure
from taskinity_data.execution.worker.job import Step, effective
from taskinity_data.execution.worker.next_chunk import is_remote
from taskinity_data.execution.worker.surroundings import Surroundings
from taskinity_data.execution.worker.thread_time import queued_seconds
from taskinity_data.flow.once import within_session
from taskinity_data.formats.stream import StreamBlock
from taskinity_data.outcome import Outcome, Status
from taskinity_data.outcome_block import OutcomeBlock
from taskinity_data.policy import Value
from taskinity_data.redact import hiding
from taskinity_data.reducers.row_labels import as_item, call_traced, make_partial, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from taskinity_data.execution.worker.job import Item, Job
    from taskinity_data.execution.worker.next_chunk import QueuedBatch
    from taskinity_data.formats.reader import ReadResult
    from taskinity_data.outcome import BadLines, Failure

__all__ = [
    "MAX_BATCH_S",
    "call_step",
    "count_items",
    "name_worker",
    "peak_nbytes",
    "run_each",
    "run_item",
]

MAX_BATCH_S = 2.0
"""After which the rest of a batch goes back to the driver: a batch is meant to take 0.03 s, and
where items become slow, other workers take their share."""


def run_item(job: Job, item: Item) -> Outcome:
    """Return the outcome of `item`: see `run_each`."""
    (ended,) = run_each(job, (item,))
    return next(ended.outcomes([item])) if isinstance(ended, OutcomeBlock) else ended


def run_each(
    job: Job,
    items: Iterable[Item],
    begin: Callable[[int], object] | None = None,
    *,
    restores: bool = False,
    batch: QueuedBatch | None = None,
) -> list[Outcome | OutcomeBlock]:
    """Return the outcomes of `items` in their order: values or partials, or failures of user code.

    Those are left out that would begin after `MAX_BATCH_S`.

    `begin` is called with the number of each step before it starts; the first starts with reading.
    What functions change of the process around them is noticed, and where it `restores` put back.
    The `batch` that they are gets its chunk where it was read ahead, and has the next one read.

    Raises
    ------
    KeyboardInterrupt
        Only in the main thread, where it is the user's Ctrl-C.
    """
    with hiding(job.secrets), within_session(job.session_id):
        return _Turn(job, begin, restores, batch).run(items)


def count_items(ended: Iterable[Any]) -> int:
    """Return how many items have ended, of which some are together in blocks."""
    return sum(len(part) if isinstance(part, OutcomeBlock) else 1 for part in ended)


class _Turn:
    """Some items of a job, one after another in this thread.

    Those that just completed are in blocks: clocks that cost a system call are read once a block.
    """

    def __init__(
        self,
        job: Job,
        begin: Callable[[int], object] | None,
        restores: bool,
        batch: QueuedBatch | None,
    ) -> None:
        self._job, self._begin, self._restores, self._batch = job, begin, restores, batch
        self._worker = name_worker()
        self._captured = CapturedLogs(job.log_level)
        self._ended: list[Outcome | OutcomeBlock] = []
        self._before: Surroundings | None = None
        self._clocks = 0.0, 0.0
        self._at = self._started_s = 0.0

    def run(self, items: Iterable[Item]) -> list[Outcome | OutcomeBlock]:
        self._look_around()
        with capture_logs(self._captured):
            self._open()
            until_s = self._at + MAX_BATCH_S
            for item in items:
                if self._at > until_s:
                    break
                self._items.append(item)
                self._run(item)
            self._measure()
            self._close()
        return self._ended

    def _look_around(self) -> None:
        if any(self._job.chains):
            self._before = Surroundings(has_umask=self._restores)

    def _run(self, item: Item) -> None:
        clock = _Clock()
        failure = None
        try:
            done = _work(self._job, item, clock, self._begin, self._batch)
        except KeyboardInterrupt as error:
            if threading.current_thread() is threading.main_thread():
                raise
            done, failure = _Done(), describe_failure(error)
        except BaseException as error:  # noqa: BLE001 - a failure is a value
            done, failure = _Done(), describe_failure(error)
        started, self._at = self._at, time.perf_counter()
        if clock.ahead_s is not None:
            self._clocks = self._clocks[0] - clock.ahead_s[0], self._clocks[1] - clock.ahead_s[1]
        self._block.add(
            (
                self._started_s + started,
                self._at - started,
                clock.read_s,
                clock.function_s,
                clock.partial_s,
            ),
            done.rows,
            done.filtered,
            clock.memory_nbytes,
            done.value,
        )
        changes = self._before.changes() if self._before is not None else ()
        captured = self._captured
        if failure is None and not (changes or captured.lines or captured.cut or done.has_more):
            return
        self._report(clock.task or self._job.task, done, failure, changes)
        captured.clear()
        if changes:
            if self._restores and self._before is not None:
                self._before.restore()
            self._look_around()
        self._open()

    def _report(
        self, task: str, done: _Done, failure: Failure | None, changes: tuple[str, ...]
    ) -> None:
        """Report the last item's outcome separately from the block: it has more to report."""
        captured = self._captured
        self._measure()
        ended = self._block.take_last(self._items.pop())
        self._close()
        attempt = replace(
            ended.attempts[0],
            failure=failure,
            notices=(*changes, *done.notices),
            logs=tuple(captured.lines),
            logs_cut=captured.cut,
        )
        self._ended.append(
            replace(
                ended,
                task=task,
                status=Status.COMPLETED if failure is None else Status.FAILED,
                attempts=(attempt,),
                is_fallback=ended.is_fallback and failure is None,
                columns=done.columns,
                output=done.output,
                bad_lines=done.bad_lines,
            )
        )

    def _open(self) -> None:
        self._items: list[Item] = []
        self._block = OutcomeBlock(self._job.task, self._worker)
        self._at = time.perf_counter()
        self._clocks = _read_clocks(self._at)
        self._started_s = time.time() - self._at

    def _measure(self) -> None:
        after = _read_clocks(time.perf_counter())
        self._block.end_turn(array("d", map(sub, after, self._clocks)), peak_nbytes())

    def _close(self) -> None:
        """Add the block to what has ended."""
        if self._items:
            self._ended.append(self._block)


def _read_clocks(now_s: float) -> tuple[float, float]:
    """Return seconds of this thread: on a core, and waiting for one."""
    return time.thread_time(), queued_seconds(now_s)


class _Clock:
    read_s = function_s = partial_s = 0.0
    ahead_s: tuple[float, float] | None = None
    """Of the thread that read ahead: on a core, and waiting for one."""
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

    @property
    def has_more(self) -> bool:
        """Whether there is more to report than a value and counts."""
        return bool(
            self.notices
            or self.output is not None
            or self.bad_lines is not None
            or self.columns is not None
        )


def _work(
    job: Job,
    item: Item,
    clock: _Clock,
    begin: Callable[[int], object] | None,
    batch: QueuedBatch | None,
) -> _Done:
    chain = job.chain(item.position)
    clock.task = chain[0].task if chain else None
    data, rows, filtered, bad_lines = item.data, None, None, None
    if begin is not None:
        begin(0)
    if type(data) is Chunk:
        data.refuse_unreadable()
    if type(data) in (Chunk, StreamBlock) and (kind := job.kind_of(item)) is not None:
        data, rows, filtered, bad_lines, _ = _load(item, kind, clock, batch)
    data = as_item(data) if job.traces_series else data
    data = _call_chain(job, item, data, clock, begin)
    clock.task = None
    read, data = data, plain(data)
    result = data if job.keeps_result else None
    if not job.reducers and job.writer is None:
        return _Done(((), result), rows, filtered, None, bad_lines)
    at = time.perf_counter()
    try:
        partials = tuple(make_partial(reducer, read) for reducer in job.reducers)
        output = None
        if job.writer is not None:
            output = job.writer.write(item.key, item.position, data, item.part)
    finally:
        clock.partial_s = time.perf_counter() - at
    columns = _columns(data) if job.compares_columns else None
    notices = tuple(_notices(job.reducers, partials))
    return _Done((partials, result), rows, filtered, output, bad_lines, columns, notices)


def _load(item: Item, kind: str, clock: _Clock, batch: QueuedBatch | None) -> ReadResult:
    """Return the data as `kind`, and what is counted of it, on the `clock` of the attempt."""
    at = time.perf_counter()
    ahead = None if batch is None else batch.queue.take(batch.name, item)
    try:
        loaded = item.data.load(kind) if ahead is None else ahead.take()
    finally:
        clock.read_s = time.perf_counter() - at
        if ahead is not None:
            clock.read_s, clock.ahead_s = ahead.read_s, (ahead.cpu_s, ahead.queued_s)
    nbytes = loaded.nbytes
    clock.memory_nbytes = measure_nbytes(loaded.data) if nbytes is None else nbytes
    if batch is not None and clock.memory_nbytes is not None and is_remote(item):
        batch.queue.read_next(clock.memory_nbytes / max(1, item.nbytes))
    return loaded


def _notices(reducers: Sequence[Any], partials: Sequence[Any]) -> Iterator[str]:
    for reducer, made in zip(reducers, partials, strict=True):
        notice = getattr(reducer, "notice", lambda _: None)(made)
        if notice is not None:
            yield notice


def _columns(data: Any) -> tuple[str, ...] | None:
    names = getattr(data, "column_names", getattr(data, "columns", None))
    return None if names is None else tuple(map(str, names))


def _call_chain(
    job: Job, item: Item, data: Any, clock: _Clock, begin: Callable[[int], object] | None
) -> Any:
    """Return what the functions make of `data`, one after another."""
    for number, planned in enumerate(job.chain(item.position)):
        step = effective(planned, item)
        clock.task = planned.task
        if number and begin is not None:
            begin(number)
        at = time.perf_counter()
        try:
            if isinstance(step, Value):
                data = step.value
            elif job.traces_series:
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
    return data


def call_step(step: Step, data: Any) -> Any:
    """Return what the function of `step` returns for `data`, both of them validated."""
    if not step.takes_piece:
        result = step.function(*step.leading, **step.arguments)
    else:
        _check(step.validate_input, data, "input", step)
        result = step.function(data, *step.leading, **step.arguments)
    _check(step.validate_output, result, "result", step)
    return result


def _check(contract: Any, data: Any, subject: str, step: Step) -> None:
    if contract is not None:
        from taskinity_data.execution.worker.contracts import check_contract

        check_contract(contract, data, f"the {subject} of {step.task}")


def peak_nbytes() -> int | None:
    """Return the most memory that this process has held so far, None if that is unknown."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def name_worker() -> str:
    """Host, process and thread: who did it."""
    return f"{socket.gethostname()}:{os.getpid()}/{threading.current_thread().name}"
