"""What a flow would do: its stages, and the chunks of its fan-outs.

It calls those of the flow's functions that tell what is fanned out, and says which; where it is to
forecast, a few slices are tried, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.chunks.dataset import Dataset
    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.cli.output import JsonAnswer
    from taskinity_data.flow.flow import Flow
    from taskinity_data.flow.stages import FanOutStage, Source, Stage
    from taskinity_data.forecast.forecast import Forecast

__all__ = ["choose_sizes", "describe_forecast", "describe_plan", "preview"]


def preview(
    flow: Flow,
    inputs: Mapping[str, Any],
    options: Mapping[str, Any],
    answer: JsonAnswer,
    *,
    is_printed: bool,
    is_estimated: bool = False,
    with_chunks: bool = False,
) -> None:
    """Add stages and their plans to `answer`, and print them if `is_printed`.

    The tasks that feed fan-outs are called, each once; no chunk is, unless `is_estimated`: then
    each fan-out is tried on a few slices.

    Raises
    ------
    BindError
        Inputs are missing or unknown.
    FlowFailed
        A task that feeds a fan-out fails.
    PlanError
        What is fanned out can't be planned.
    """
    from taskinity_data.flow.stages import FanOutStage, stages, with_defaults
    from taskinity_data.run.options import RunOptions
    from taskinity_data.run.output_options import expect_rules, share_options

    written, inputs, shared = share_options(flow, RunOptions(**options), inputs)
    notices: list[str] = []
    rules = expect_rules(written)
    options = {**options, "storage_options": shared, "rules": rules, "notices": notices}
    steps = stages(flow, tuple(inputs))
    feeds = Feeds(steps, with_defaults(flow, inputs))
    answer["flow"] = flow.name
    answer["stages"] = []
    fan_outs = [stage.name for stage in steps if isinstance(stage, FanOutStage)]
    for number, stage in enumerate(steps, 1):
        text = _tell(stage, fan_outs)
        entry: dict[str, Any] = {"name": stage.name, "text": text}
        answer["stages"].append(entry)
        if is_printed:
            click.echo(f"{number}. {text}")
        if isinstance(stage, FanOutStage):
            chosen = options | {"is_estimated": is_estimated, "with_chunks": with_chunks}
            lines = _fill(entry, stage, feeds, chosen)
            if is_printed:
                lines = "\n".join(lines).splitlines()
                click.echo("\n".join(f"   {line}" for line in lines))


def _fill(
    entry: dict[str, Any], stage: FanOutStage, feeds: Feeds, options: Mapping[str, Any]
) -> list[str]:
    """Add what is known of a fan-out to its `entry`, and return it as lines."""
    n_called = len(feeds.called)
    entry |= {"plan": None, "called": []}
    tried = ["No forecast: only datasets that [*] cuts are tried."]
    tried = tried if options["is_estimated"] else []
    waits_for = feeds.find_wait(stage.over)
    if waits_for is not None:
        return [f"Its chunks are known once {waits_for} has run.", *tried]
    plan, sentence = _look(stage, feeds.get(stage.over), options)
    lines = [sentence]
    if plan is not None:
        entry["plan"] = describe_plan(plan, with_chunks=options["with_chunks"])
        if options["with_chunks"]:
            lines.append(plan.to_frame().to_string())
        if options["is_estimated"] and stage.width == "*":
            forecast = _estimate(stage, feeds, plan, options)
            entry["forecast"] = describe_forecast(forecast)
            tried = [repr(forecast)]
    lines += [*options["notices"], *tried]
    entry["called"] = feeds.called[n_called:]
    return lines + ([f"Called for that: {', '.join(entry['called'])}"] if entry["called"] else [])


class Feeds:
    """The values that a fan-out needs, made by calling the tasks that they come from.

    Attributes
    ----------
    inputs : mapping
        Of the flow.
    steps : sequence of Stage
    values : dict
        The results of the tasks that were called.
    called : list of str
        Their names.
    """

    def __init__(self, steps: Sequence[Stage], inputs: Mapping[str, Any]) -> None:
        self.inputs = inputs
        self.steps = steps
        self.values: dict[str, Any] = {}
        self.called: list[str] = []
        self._by_name = {stage.name: stage for stage in steps}

    def find_wait(self, source: Source) -> str | None:
        """Return the task behind `source` where it waits for a fan-out to run; None elsewhere."""
        from taskinity_data.flow.stages import Call, Upstream, list_sources

        if not isinstance(source, Upstream):
            return None
        stage = self._by_name.get(source.task)
        if not isinstance(stage, Call):
            return source.task
        return source.task if any(map(self.find_wait, list_sources(stage))) else None

    def get(self, source: Source) -> Any:
        """Return the value of `source`, which does not need a fan-out."""
        from taskinity_data.execution.jobs import resolve
        from taskinity_data.execution.static_graph import call_now
        from taskinity_data.flow.stages import Call, Upstream, list_sources

        if isinstance(source, Upstream) and source.task not in self.values:
            stage = self._by_name[source.task]
            assert isinstance(stage, Call)
            for argument in list_sources(stage):
                self.get(argument)
            self.values[source.task] = call_now(stage, self.values, self.inputs)
            self.called.append(source.task)
        return resolve(source, self.values, self.inputs)


def _estimate(
    stage: FanOutStage, feeds: Feeds, plan: ChunkPlan, options: Mapping[str, Any]
) -> Forecast:
    from taskinity_data.errors import PlanError
    from taskinity_data.flow.stages import list_sources
    from taskinity_data.forecast.estimate import estimate_job, make_job

    for source in list_sources(stage):
        waits_for = feeds.find_wait(source)
        if waits_for is not None:
            raise PlanError(
                f"{stage.name} needs the result of {waits_for}, which only a run computes"
            )
        feeds.get(source)
    chosen = {name: options[name] for name in ("workers", "memory") if name in options}
    job = make_job(stage, feeds.steps, feeds.values, feeds.inputs)
    policies = [step.task.policy for chain in stage.chains for step in chain]
    may_fail = any(policy.retries or policy.on_error != "fail" for policy in policies)
    return estimate_job(plan, job, may_fail=may_fail, **chosen)


def choose_sizes(dataset: Dataset, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``dataset.plan`` in a run with `options`: these, the dataset's,
    settings.

    Raises
    ------
    SettingsError
        A setting is invalid.
    """
    from taskinity_data.settings import load_settings

    settings = load_settings()
    size = options.get("chunk_size", "auto")
    if size == "auto":
        size = settings.chunk_size if dataset.chunk_size is None else None
    return {
        "workers": options.get("workers", settings.max_workers),
        "memory": options.get("memory"),
        "chunk_size": size,
    }


def describe_forecast(forecast: Forecast) -> dict[str, Any]:
    """Return a forecast as plain data: seconds and bytes, each range as [low, high]."""
    return {
        "seconds": list(forecast.seconds),
        "memory_nbytes": list(forecast.memory_nbytes),
        "output_nbytes": list(forecast.output_nbytes),
        "output_is": "answer" if forecast.is_answer else "results of chunks",
        "chunk_nbytes": forecast.chunk_nbytes,
        "chunk_reason": forecast.chunk_reason,
        "workers": forecast.workers,
        "scheduler": forecast.scheduler,
        "work_s": forecast.work._asdict(),
        "bottleneck": forecast.bottleneck,
        "tried": forecast.tried,
        "unsure": list(forecast.doubts),
    }


def describe_plan(plan: ChunkPlan, *, with_chunks: bool = False) -> dict[str, Any]:
    """Return a plan as plain data, with the ranges of chunks if `with_chunks`."""
    answer: dict[str, Any] = {
        "chunks": len(plan),
        "files": len(plan.files),
        "nbytes": plan.nbytes,
        "rows": plan.rows,
        "target_nbytes": plan.target_nbytes,
        "reason": plan.reason,
    }
    if with_chunks:
        answer["chunk_list"] = plan.to_frame().rename_axis("index")
    return answer


def _tell(stage: Stage, fan_outs: Sequence[str]) -> str:
    from taskinity_data.flow.stages import Call, FanOutStage, Upstream

    if isinstance(stage, Call):
        lists = [name for name in fan_outs if Upstream(name) in stage.arguments.values()]
        does = f"gets the list of results of {' and '.join(lists)}" if lists else "runs once"
        return f"{stage.name}: {does}"
    if isinstance(stage, FanOutStage):
        over = _name_of(stage.over)
        if stage.members:
            # One after another is what a chain's tasks are, and not the siblings.
            names = f"{stage.name} ({stage.members[0]} to {stage.members[-1]})"
        else:
            names = " then ".join(task.name for task in stage.tasks) or "the rows themselves"
        if stage.width == "*":
            return f"{names}: once a chunk or item of {over}, side by side"
        return f"{names}: {stage.width} times, each over one of {stage.width} slices of {over}"
    return f"{stage.name}: combines the partials of {stage.over}, in chunk order"


def _name_of(source: Source) -> str:
    from taskinity_data.flow.stages import Input, Upstream

    if isinstance(source, Upstream):
        return f"what {source.task} returns"
    return f"input {source.name}" if isinstance(source, Input) else "a constant"


def _look(
    stage: FanOutStage, value: Any, options: Mapping[str, Any]
) -> tuple[ChunkPlan | None, str]:
    """Return the plan of a fan-out over `value`, if it is cut before the run, and a sentence about
    it.

    Raises
    ------
    PlanError
        It can't be fanned out.
    """
    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.execution.open_fan_out import as_dataset, plan_items
    from taskinity_data.formats.stream import is_stream
    from taskinity_data.run.output_options import choose_files

    if is_stream(value):
        return None, "A chunk is each frame that it gives, taken while the flow runs."
    dataset = as_dataset(value, options.get("storage_options"))
    if dataset is not None:
        dataset = choose_files(dataset, options["rules"], options["notices"].append)
        if not dataset.sources:
            return None, "No chunk: no input is new."
    if dataset is None:
        count = sum(1 for _ in plan_items(stage, value, ()))
        return None, f"{count:,} item{'' if count == 1 else 's'}"
    if stage.width != "*":
        reason = f"exactly {stage.width} slices, as the flow asks for"
        extents = dataset.extents
        plan = ChunkPlan(dataset.divide(stage.width), extents, None, reason, is_given=True)
        return plan, repr(plan)
    plan = dataset.plan(**choose_sizes(dataset, options))
    return plan, repr(plan)
