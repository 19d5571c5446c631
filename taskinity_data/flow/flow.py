"""The flow that users handle: its graph, with what can be made of it; and that of `td.process`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from taskinity_data.errors import BindError
from taskinity_data.flow.binding.bind import bind
from taskinity_data.flow.model import FlowGraph, Task, find_last
from taskinity_data.flow.stages import FanOutStage, Stage, required_inputs, stages

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from types import ModuleType

    from taskinity_data.policy import Policy

__all__ = ["Flow", "pass_rows", "short_flow"]


class Flow(FlowGraph):
    """What to do, as a value: tasks, and which of them follow which.

    Two flows are equal where names, descriptions, tasks (with policies and functions) and edges
    are, in the same order.

    Attributes
    ----------
    name : str
    description : str or None
    tasks : tuple of Task
        In the order of the text.
    edges : tuple of (str, str)
        From a task's name to the name of one that follows it.
    inputs : tuple of FlowInput, or None
        What a flow written in Python declares. None: its functions' parameters decide.
    output : str or None
        The task whose result is the flow's value, where that is not the last one.

    Raises
    ------
    FlowError
        The graph can't be run; the message lists all that is wrong.
    """

    __slots__ = ()

    is_flow: ClassVar[bool] = True

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Raise `BindError`, which says how a flow is run."""
        inputs = "".join(f", {name}=..." for name, *_ in self.inputs or ())
        raise BindError(
            f"{self.name} is a flow, not a function: run it with td.run_flow(flow{inputs})"
        )

    @property
    def last(self) -> str:
        """Whose result is the flow's value: `output`, else the last task in `order`.

        Where that is one of numbered siblings, all of them, under the name without the number.
        """
        return find_last(self)

    @property
    def required_inputs(self) -> tuple[str, ...]:
        """The inputs without which the flow can't run, in the order in which they are needed.

        Raises
        ------
        BindError
            The flow is not bound, or its functions do not fit together.
        """
        return required_inputs(self)

    def bind(self, tasks: ModuleType | Mapping[str, Any] | list[Any] | tuple[Any, ...]) -> Flow:
        """Return the same flow with a function, or a reducer, for every task.

        Parameters
        ----------
        tasks : module, dict or list
            A module: its functions are found by name, others are left alone. A dict: by key. A
            list: by the functions' own names, or by the `name` of their ``@td.task``. A task
            called ``ProcessChunk`` binds ``process_chunk``. Tasks that have a function already
            keep it where none is handed over.

        Raises
        ------
        BindError
            Tasks without a function, functions without a task, what can't be called, and
            parameters that nothing can fill: all of it in one message.
        """
        return bind(self, tasks)

    def to_text(self) -> str:
        """Return the flow in the flow language: ``parse_flow(flow.to_text()) == flow`` where
        unbound.

        What only Python can say (functions, fallbacks that are functions, validators) stands in
        comments, and comes back by binding.
        """
        from taskinity_data.flow.language.writer import to_text

        return to_text(self)

    def to_mermaid(self) -> str:
        """Return the flow as Mermaid text."""
        from taskinity_data.flow.diagram.draw import to_mermaid

        return to_mermaid(self)

    def to_svg(self) -> str:
        """Return the flow as an SVG picture."""
        from taskinity_data.flow.diagram.draw import to_svg

        return to_svg(self)

    def to_ascii(self) -> str:
        """Return the flow as a picture made of text."""
        from taskinity_data.flow.diagram.draw import to_ascii

        return to_ascii(self)

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">{self.to_svg()}</div>'

    def to_delayed(self, **inputs: Any) -> Any:
        """Return the bound flow as one static ``dask.delayed`` graph over `inputs`.

        Raises
        ------
        BindError
            The flow is not bound, or inputs are missing or not asked for.
        PlanError
            A width that only a run can know: use ``run_flow``.
        """
        from taskinity_data.execution.static_graph import build_delayed

        return build_delayed(self, inputs)


def short_flow(
    function: Callable[..., Any] | None,
    reduce: Any,
    policy: Policy,
    name: str = "ProcessChunk",
    description: str | None = None,
    inputs: Collection[str] = (),
) -> tuple[Flow, tuple[Stage, ...]]:
    """Return the flow DataPreparation -> `name`[*] -> AggregateResults, and its stages.

    Parameters
    ----------
    function : callable or None
        chunk -> anything; None: the rows themselves are reduced.
    reduce : Reducer or callable
    inputs : names
        What else fills parameters of the functions.

    Returns
    -------
    flow, stages
        Without DataPreparation's stage: its value is given.

    Raises
    ------
    BindError
        A parameter that nothing fills.
    """
    flow = Flow(
        "Process",
        tasks=(
            Task("DataPreparation", function=_source),
            Task(name, description, "*", policy, pass_rows if function is None else function),
            Task("AggregateResults", function=reduce),
        ),
        edges=(("DataPreparation", name), (name, "AggregateResults")),
    ).bind({})
    # Reducers take the rows from the reader, unless an option is a matter of the step between.
    reads_only = function is None and getattr(reduce, "is_reducer", False) and not policy.needs_step
    steps = tuple(
        stage._replace(chains=((),), policy=policy)
        if reads_only and isinstance(stage, FanOutStage)
        else stage
        for stage in stages(flow, tuple(inputs))
        if stage.name != "DataPreparation"
    )
    return flow, steps


def pass_rows(chunk: Any) -> Any:
    """Return the chunk itself: the function of a task without one."""
    return chunk


def _source(source: Any = None) -> Any:  # a default, since only `replay` calls it
    return source
