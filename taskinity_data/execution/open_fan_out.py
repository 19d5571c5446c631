"""Open a fan-out: divide a dataset or a list into the items that a job processes.

Chunk sizes are adapted to the measured costs of the run, unless the user set them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.cut import ChunkSize
from taskinity_data.chunks.open_dataset import Dataset, open_source
from taskinity_data.chunks.plan import ChunkPlan, check_tiling
from taskinity_data.chunks.size import small_size
from taskinity_data.chunks.sizing import Learner, Size
from taskinity_data.data_kinds import add_counts
from taskinity_data.errors import PlanError
from taskinity_data.execution.fan_out import RunningFanOut
from taskinity_data.execution.worker.job import (
    chunk_items,
    count_all,
    count_planned,
    divide_list,
    list_items,
    stream_items,
)
from taskinity_data.formats.stream import is_stream, iter_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.execution.checkpoint_protocol import CheckpointKeeper, Entered
    from taskinity_data.execution.schedulers.base import Strategy
    from taskinity_data.execution.worker.job import Item, Job
    from taskinity_data.flow.stages import FanOutStage
    from taskinity_data.sources.file import Piece

__all__ = ["PieceOptions", "as_dataset", "find_item", "narrow", "open_fan_out", "plan_items"]


class PieceOptions(NamedTuple):
    """How fan-outs are cut.

    Attributes
    ----------
    chunk_size : ChunkSize or None
        Of every fan-out; None: that of its dataset.
    default_size : ChunkSize or None
        Where neither says one; None: sizes follow what the run learns.
    plans : tuple of (fan-out's name, ChunkPlan)
        Cuts to repeat.
    checkpoints : CheckpointKeeper or None
        Gets every fan-out that begins, and knows the cuts of an earlier run.
    log_level : int or None
        See `Job`.
    storage_options : mapping or None
        Of URLs that are opened here, and not by a function.
    session_id : str
        See `Job`.
    backups : bool
        Whether slow chunks of pure functions are started a second time.
    """

    chunk_size: ChunkSize | None = None
    default_size: ChunkSize | None = None
    plans: tuple[tuple[str, ChunkPlan], ...] = ()
    checkpoints: CheckpointKeeper | None = None
    log_level: int | None = None
    storage_options: Mapping[str, Any] | None = None
    session_id: str = ""
    backups: bool = False

    def enter(self, job: Job, dataset: Dataset | None, cutting: Any) -> Entered | None:
        """Enter a fan-out that begins."""
        if self.checkpoints is None:
            return None
        return self.checkpoints.enter(job, dataset, str(cutting))


def open_fan_out(
    stage: FanOutStage, job: Job, value: Any, options: PieceOptions, strategy: Strategy
) -> RunningFanOut:
    """Open the fan-out of `stage` over `value`.

    Raises
    ------
    PlanError
        `value` is nothing that can be fanned out, or can't be cut as asked for.
    """
    width = None if stage.width == "*" else int(stage.width)
    is_streamed = is_stream(value)
    is_fixed = width or options.chunk_size or options.default_size
    caches = not (is_fixed or strategy.crosses_processes)
    whole = None if is_streamed else as_dataset(value, options.storage_options, caches_rows=caches)
    if width is not None or whole is None:
        _refuse_bisect(stage)
    if is_streamed:
        return _stream(stage, job, value, options)
    if whole:
        tolerates = _tolerates(stage)
        if not tolerates:
            whole.refuse_unreadable()
        # What is written is whole rows, whatever reducers look at.
        dataset = whole if job.writer else narrow(whole, job.chains, job.reducers)
        if not dataset.sources:
            options.enter(job, dataset, "no new input")
            return _open_chunks(job, (), (), "there is no new input")
        if width is not None:
            options.enter(job, dataset, width)
            # Numbered siblings are as many functions, one for each piece.
            tolerates = tolerates and not stage.members
            return _divide(stage, job, dataset, width, strategy, tolerates=tolerates)
        plan = dict(options.plans).get(stage.name)
        if plan is not None:
            options.enter(job, dataset, "plan")
            return _repeat(job, (dataset, whole), plan)
        size = options.chunk_size or dataset.chunk_size or options.default_size
        entered = options.enter(job, dataset, size)
        return _cut(job, dataset, size, strategy, entered, tolerates=tolerates)
    options.enter(job, None, width)
    pieces, count = _value_pieces(stage, value, width)
    return RunningFanOut(
        job,
        list_items(pieces, count),
        total_items=len(pieces),
        listed_rows=add_counts(map(count, pieces)),
        learner=Learner(Size(1, f"one of {len(pieces)} items")),
    )


def plan_items(stage: FanOutStage, value: Any, reducers: Sequence[Any]) -> Iterator[Item]:
    """Yield the items of `stage` over `value`, cut once and for all.

    Raises
    ------
    PlanError
        As `open_fan_out`.
    """
    width = None if stage.width == "*" else int(stage.width)
    if is_stream(value):
        raise PlanError(
            "an iterator is read during the run, so it has no graph; use run_flow, or a list"
        )
    if whole := as_dataset(value):
        dataset = narrow(whole, stage.chains, reducers)
        return chunk_items(dataset.plan() if width is None else dataset.divide(width))
    return list_items(*_value_pieces(stage, value, width))


def find_item(
    stage: FanOutStage,
    value: Any,
    ranges: Sequence[str],
    key: str,
    storage_options: Mapping[str, Any] | None = None,
) -> Item:
    """Return the item of `stage` over `value` at `ranges`, or with the key `key`.

    Raises
    ------
    PlanError
        There is none.
    """
    dataset = None if is_stream(value) else as_dataset(value, storage_options)
    if dataset is not None and stage.width == "*":
        if dataset.reader.is_in_memory:
            # A table in memory is in another file each time.
            path = dataset.sources[0].path
            ranges = [f"{path}:{text_range.rpartition(':')[2]}" for text_range in ranges]
        return next(chunk_items([dataset.pick(ranges)]))
    for item in plan_items(stage, value if dataset is None else dataset, ()):
        if item.key == key:
            return item
    raise PlanError(f"{stage.name}: item {key!r} no longer exists")


def _tolerates(stage: FanOutStage) -> bool:
    """Return whether what can't be read costs its chunk alone, not the run."""
    readers = [chain[0].task.policy for chain in stage.chains if chain] or [stage.policy]
    return all(policy.on_error != "fail" for policy in readers)


def _refuse_bisect(stage: FanOutStage) -> None:
    for task in stage.tasks:
        if task.policy.on_error == "bisect":
            raise PlanError(
                f"on_error bisect of {task.name} requires chunks of files or tables and [*]; items "
                "of a list or stream, and a fixed number of pieces, are never halved: use skip, or "
                "a fallback"
            )


def _stream(stage: FanOutStage, job: Job, value: Any, options: PieceOptions) -> RunningFanOut:
    """Open a fan-out with an item for each frame, taken from the iterator as workers need it."""
    settings: dict[str, Any] = {
        "chunk_size": options.chunk_size,
        "plan": dict(options.plans).get(stage.name),
        "width": None if stage.width == "*" else stage.width,
    }
    for name, setting in settings.items():
        if setting is not None:
            raise PlanError(
                f"{name}={setting}: each frame of an iterator is a chunk; to choose the chunks, "
                "give a list, a table or files"
            )
    options.enter(job, None, "stream")
    items = stream_items(iter_blocks(value))
    learner = Learner(Size(1, "each frame of the iterator"))
    return RunningFanOut(job, items, learner=learner)


def _value_pieces(
    stage: FanOutStage, value: Any, width: int | None
) -> tuple[Sequence[Any], Callable[[Any], int | None]]:
    """Return the data of each item of a `value` that is not a dataset, and what counts its rows.

    A list is divided into `width` slices (None: one item each); any other value goes whole to each
    numbered sibling.

    Raises
    ------
    PlanError
        The value can't be divided, and there are no numbered siblings.
    """
    if isinstance(value, list | tuple | range):
        if width is not None:
            return divide_list(value, width), count_all
        # Who gave the list may change it.
        return list(value) if isinstance(value, list) else value, count_planned
    if stage.members:
        return [value] * len(stage.members), count_planned
    raise PlanError(
        f"it fans out over {type(value).__name__}, which can't be divided: give a Dataset, a path, "
        "a DataFrame, an Arrow table, or a list"
    )


def as_dataset(
    value: Any, storage_options: Mapping[str, Any] | None = None, *, caches_rows: bool = False
) -> Dataset | None:
    """Return `value` as a dataset, opened where it is none; None: it is a list or the like.

    `storage_options` are used where it is a URL; for `caches_rows` see `open_source`.
    """
    if isinstance(value, Dataset):
        return value
    is_table = hasattr(value, "columns") and hasattr(value, "shape")
    if not (isinstance(value, str | os.PathLike) or is_table):
        return None
    stores = dict(storage_options or {}) if not is_table and "://" in os.fsdecode(value) else None
    return open_source(value, {"storage_options": stores}, caches_rows=caches_rows)


def narrow(dataset: Dataset, chains: Sequence[Any], reducers: Sequence[Any]) -> Dataset:
    """Return `dataset` with the columns alone that reducers use, where no function is between."""
    if any(chains) or not reducers:
        return dataset
    names = list(dataset.schema.names)
    levels = [column.name for column in dataset.reader.index]  # chunks have them anyway
    needed: set[str] = set()
    for reducer in reducers:
        reducer.check([*levels, *names])
        columns = reducer.columns()
        if columns is None:
            return dataset
        needed |= set(columns)
    narrow = dataset.select([name for name in names if name in needed])
    encodes = getattr(reducers[0], "encodes", None)
    return narrow if encodes is None or len(reducers) > 1 else narrow.encode(encodes())


def _cut(
    job: Job,
    dataset: Dataset,
    size: ChunkSize | None,
    strategy: Strategy,
    entered: Entered | None,
    *,
    tolerates: bool,
) -> RunningFanOut:
    extent = dataset.extent

    def cut(next_size: Callable[[], ChunkSize]) -> Iterator[Chunk]:
        if entered is None or not entered.cuts:
            return dataset.cut(next_size, size, strategy.memory_nbytes, tolerates=tolerates)
        from taskinity_data.chunks.cut_again import repeat_cuts

        return repeat_cuts(
            dataset,
            entered.cuts,
            entered.name_file,
            next_size,
            size,
            strategy.memory_nbytes,
            tolerates=tolerates,
        )

    fixed = None if size is None else Size(size.target, "as requested")
    if size is None and job.runs_kernels:
        fixed = small_size([part.nbytes for part in dataset.extents], strategy.memory_nbytes)
        size = fixed and ChunkSize(fixed.target_nbytes)

    def next_target() -> ChunkSize:
        if size is not None:
            return size
        target = fan_out.next_target()
        return ChunkSize(target.target_nbytes, whole_nbytes=target.whole_nbytes)

    memory_nbytes = strategy.memory_nbytes
    learner = Learner(fixed) if fixed else dataset.learner(strategy.workers, memory_nbytes)
    fan_out = RunningFanOut(
        job,
        cut(next_target),
        extents=dataset.extents,
        total_nbytes=extent.nbytes,
        total_rows=extent.rows,
        learner=learner,
        first_parts=strategy.first_parts,
        adapts=size is None,
        splits=True,
    )
    if size is None and entered is not None and entered.cuts:
        # If all chunks are already cut, no size is ever requested.
        fan_out.sizes.append((0, Size(learner.first.target_nbytes, "as in the earlier run")))
    return fan_out


def _divide(
    stage: FanOutStage,
    job: Job,
    dataset: Dataset,
    width: int,
    strategy: Strategy,
    *,
    tolerates: bool,
) -> RunningFanOut:
    """Open a fan-out of a fixed `width`: as many chunks of about the same size.

    If it `tolerates` unreadable files, these become chunks that fail.

    Raises
    ------
    PlanError
        A chunk is expected not to fit in the memory of a worker.
    """
    chunks = dataset.divide(width, tolerates=tolerates)
    largest = max((chunk.nbytes for chunk in chunks if chunk.failure is None), default=0)
    needs = int(largest * dataset.expansion)
    memory = strategy.memory_nbytes
    if memory is not None and needs > memory:
        raise PlanError(
            f"a piece of 1/{width} of the data is expected to take {needs / 2**30:.1f} GiB, a "
            f"worker has {memory / 2**30:.1f} GiB. Write {stage.name}[*] to choose sizes "
            "automatically"
        )
    reason = f"1/{width} of the data, as the flow specifies"
    return _open_chunks(job, chunks, dataset.extents, reason, splits=False)


def _repeat(job: Job, datasets: Sequence[Dataset], plan: ChunkPlan) -> RunningFanOut:
    """Open the cuts of `plan`, which must be whole and of one of `datasets`."""
    sources = datasets[0].sources
    if sources != tuple(extent.file for extent in plan.extents):
        raise PlanError("plan= is of other files, or they have changed; plan again")
    made_by = {chunk.reader.identity() for chunk in plan}
    for dataset in datasets:
        if made_by <= {dataset.reader.identity()}:
            check_tiling(plan.extents, plan.chunks)
            reason = f"as in the plan given ({plan.reason})"
            return _open_chunks(job, plan.chunks, dataset.extents, reason)
    raise PlanError("plan= was made with other reader options, columns or schema")


def _open_chunks(
    job: Job,
    chunks: Sequence[Chunk],
    extents: Sequence[Piece],
    reason: str,
    *,
    splits: bool = True,
) -> RunningFanOut:
    nbytes = sum(chunk.nbytes for chunk in chunks)
    return RunningFanOut(
        job,
        chunks,
        extents=extents,
        total_nbytes=nbytes,
        total_rows=add_counts(chunk.rows for chunk in chunks),
        total_items=len(chunks),
        learner=Learner(Size(max(1, nbytes // max(1, len(chunks))), reason)),
        splits=splits,
    )
