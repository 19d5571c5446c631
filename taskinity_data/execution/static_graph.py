"""A bound flow as one static ``dask.delayed`` graph, for any Dask scheduler to run or draw.

Its nodes do what the driver's batches do, in the same tree, so that both give the same answer to
the last bit for the same cuts. A static graph can't retry or resize.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from itertools import count
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.errors import BindError, FlowFailed, PlanError
from taskinity_data.execution.jobs import (
    call_job,
    chunk_job,
    is_taken,
    policies,
    reducers_of,
    resolve,
)
from taskinity_data.execution.open_fan_out import plan_items
from taskinity_data.execution.retry_rules import Action, decide
from taskinity_data.execution.worker.job import Item
from taskinity_data.execution.worker.run_item import run_item
from taskinity_data.execution.worker.shipping import pack_value, unpack_value
from taskinity_data.flow.stages import (
    Call,
    FanOutStage,
    Reduce,
    Stage,
    Upstream,
    list_sources,
    stages,
    with_defaults,
)
from taskinity_data.formats.reader import refuse_quarantine
from taskinity_data.outcome import Status
from taskinity_data.policy import Policy
from taskinity_data.reducers.tree import ABSENT, combine_present, tree_levels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.execution.worker.job import Job
    from taskinity_data.flow.flow import Flow

__all__ = ["build_delayed", "call_now"]


def build_delayed(flow: Flow, inputs: Mapping[str, Any]) -> Any:
    """Return the value of `flow` over `inputs` as a `dask.delayed.Delayed`.

    Raises
    ------
    BindError
        The flow is not bound, or its inputs are not these.
    PlanError
        A fan-out's width depends on what another fan-out brings: only a run can know it.

    Notes
    -----
    What feeds a fan-out is called here, while the graph is built. A failed chunk fails the graph,
    unless its policy skips it or gives a fallback; there are no retries.
    """
    if not flow.is_bound:
        raise BindError(f"flow {flow.name}: bind its tasks first, flow.bind(tasks)")
    return _Builder(stages(flow, tuple(inputs)), with_defaults(flow, inputs)).build(flow.last)


def call_now(stage: Call, values: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
    """Return the result of a task that runs once, called in this process, without retries.

    Raises
    ------
    FlowFailed
        It failed, and has no fallback; the message holds the user's own frames.
    """
    job = call_job(stage, values, inputs)
    return _run(job, Item(key=stage.name), {stage.name: stage.task.policy})[1]


class _Builder:
    """Builds the nodes of one graph; `values` are known results, `nodes` those to come."""

    def __init__(self, steps: Sequence[Stage], inputs: Mapping[str, Any]) -> None:
        self._steps = steps
        self._inputs = inputs
        self._values: dict[str, Any] = {}
        self._nodes: dict[str, Any] = {}
        self._parts: dict[str, list[Any]] = {}
        self._numbers = count()
        self._token = blake2b(repr(sorted(map(str, inputs))).encode(), digest_size=4)

    def build(self, last: str) -> Any:
        """Return the node of the task `last`."""
        eager = self._find_eager()
        for stage in self._steps:
            if isinstance(stage, FanOutStage):
                self._fan_out(stage)
            elif isinstance(stage, Reduce):
                self._reduce(stage)
            elif stage.name in eager:
                self._call_now(stage)
            else:
                self._call(stage)
        if last in self._values:
            return self._delay(last, _give, self._values[last])
        return self._nodes[last]

    def _find_eager(self) -> set[str]:
        """Return what must be called while the graph is built: what decides a fan-out's width."""
        by_name = {stage.name: stage for stage in self._steps if not isinstance(stage, FanOutStage)}
        fan_outs = [stage for stage in self._steps if isinstance(stage, FanOutStage)]
        names = {fan_out.name for fan_out in fan_outs}
        eager: set[str] = set()
        todo = [(fan_out.name, fan_out.over) for fan_out in fan_outs]
        while todo:
            fan_out, source = todo.pop()
            if not isinstance(source, Upstream) or source.task in eager:
                continue
            stage = by_name.get(source.task)
            if source.task in names or stage is None or isinstance(stage, Reduce):
                raise PlanError(
                    f"{fan_out}: the number of tasks depends on the result of {source.task}, which "
                    "only a run computes: use td.run_flow"
                )
            eager.add(source.task)
            todo += [(fan_out, argument) for argument in list_sources(stage)]
        return eager

    def _delay(self, task: str, function: Any, *arguments: Any) -> Any:
        from dask import delayed

        number = f"{next(self._numbers)}\0{task}"
        key = blake2b(number.encode(), digest_size=16, salt=self._token.digest()).hexdigest()
        return delayed(function, pure=False, traverse=True)(
            *arguments, dask_key_name=f"{task}-{key}"
        )

    def _call_now(self, stage: Call) -> None:
        self._values[stage.name] = call_now(stage, self._values, self._inputs)

    def _call(self, stage: Call) -> None:
        packed = pack_value((stage, dict(self._inputs)))
        needed = self._needed(stage)
        self._nodes[stage.name] = self._delay(stage.name, _call_node, packed, needed)

    def _needed(self, stage: Stage) -> dict[str, Any]:
        """Return the upstream values and nodes of which `stage` takes arguments."""
        needed = {}
        for source in list_sources(stage):
            if isinstance(source, Upstream):
                name = source.task
                needed[name] = self._values[name] if name in self._values else self._nodes[name]
        return needed

    def _fan_out(self, stage: FanOutStage) -> None:
        reducers = [reduction.task.function for reduction in reducers_of(stage.name, self._steps)]
        keeps = is_taken(stage.name, self._steps) or not reducers
        over = resolve(stage.over, self._values, self._inputs)
        items = list(plan_items(stage, over, reducers))
        for item in items[:1]:
            if type(item.data) is Chunk:
                refuse_quarantine(item.data.reader, "a static graph has no place for them")
        bare = stage._replace(over=Upstream(""))
        packed = pack_value((bare, dict(self._inputs), reducers, keeps))
        needed = self._needed(stage)
        self._parts[stage.name] = [
            self._delay(
                stage.name, _chunk_node, packed, _PackedItem(pack_value(item), item), needed
            )
            for item in items
        ]
        if keeps:
            self._nodes[stage.name] = self._delay(stage.name, _list_node, self._parts[stage.name])

    def _reduce(self, stage: Reduce) -> None:
        number = reducers_of(stage.over, self._steps).index(stage)
        packed = pack_value(stage.task.function)
        level = [
            self._delay(stage.name, _partial_node, part, number) for part in self._parts[stage.over]
        ]
        for groups in tree_levels(len(level)):
            level = [
                self._delay(stage.name, _combine_node, packed, level[start:stop])
                for start, stop in groups
            ]
        self._nodes[stage.name] = self._delay(stage.name, _finish_node, packed, level)


class _PackedItem:
    """An item as bytes, which Dask does not look into.

    In this process temporary files that it reads stay as long as it does.
    """

    def __init__(self, blob: bytes, item: Item | None = None) -> None:
        self.blob, self._item = blob, item

    def __reduce__(self) -> tuple[Any, ...]:
        return _PackedItem, (self.blob,)


def _give(value: Any) -> Any:
    return value


def _call_node(packed: bytes, values: Mapping[str, Any]) -> Any:
    stage, inputs = _unpack(packed)
    return call_now(stage, values, inputs)


def _chunk_node(packed: bytes, item: _PackedItem, values: Mapping[str, Any]) -> Any:
    stage, inputs, reducers, keeps = _unpack(packed)
    job = chunk_job(stage, values, inputs, reducers, keeps)
    return _run(job, unpack_value(item.blob), policies([stage]))


def _list_node(parts: Sequence[Any]) -> list[Any]:
    return [result for partials, result in parts if partials is not ABSENT]


def _partial_node(part: Any, number: int) -> Any:
    partials, _ = part
    return partials if partials is ABSENT else partials[number]


def _combine_node(packed: bytes, siblings: Sequence[Any]) -> Any:
    return combine_present(_unpack(packed).combine, siblings)


def _finish_node(packed: bytes, root: Sequence[Any]) -> Any:
    partial = root[0] if root else ABSENT
    return _unpack(packed).finish(None if partial is ABSENT else partial)


@lru_cache(maxsize=64)
def _unpack(packed: bytes) -> Any:
    return unpack_value(packed)


def _run(job: Job, item: Item, policies: Mapping[str, Policy]) -> tuple[Any, Any]:
    """Return the (partials, result) of `item`; raise where its policy has nothing else to do."""
    outcome = run_item(job, item)
    if outcome.status is Status.COMPLETED:
        value: tuple[Any, Any] = outcome.value
        return value
    failure = outcome.failure
    assert failure is not None
    policy = replace(policies.get(outcome.task, Policy()), retries=0)
    action, _ = decide(policy, failure, item.attempt, 0.0, item.fallback is not None)
    if action is Action.SKIP:
        return ABSENT, None
    if action is Action.FALLBACK:
        return _run(job, replace(item, fallback=outcome.task), policies)
    failed = FlowFailed(f"{outcome.task} failed: {failure}\n{failure.traceback}")
    raise failed from failure.error
