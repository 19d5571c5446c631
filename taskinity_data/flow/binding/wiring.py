"""What fills the parameters of all functions of a flow, and all that does not fit.

Pure: it looks at signatures and names, never at values. Which source fills which parameter of one
function is `match_arguments`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskinity_data.errors import BindError
from taskinity_data.flow.binding.match_arguments import (
    Constant,
    Fill,
    FlowInputs,
    Input,
    Upstream,
    check_positions,
    fill_parameters,
)
from taskinity_data.flow.binding.signatures import (
    Parameter,
    find_kind,
    is_reducer,
    read_parameters,
    refuse_function,
)
from taskinity_data.flow.model import FlowNode, find_nodes
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from taskinity_data.flow.model import FlowGraph, FlowInput, Task

__all__ = ["Wiring"]

_REDUCED = (Parameter("data"),)
"""A reducer has no parameters of its own: it takes one thing, whatever that is called."""


class Wiring:
    """The fills of all tasks by name, the inputs that they need, and what does not fit.

    Parameters
    ----------
    flow : FlowGraph
    inputs : names, or None
        The inputs that are given. None: not known yet; then what no upstream fills is required.
    """

    def __init__(self, flow: FlowGraph, inputs: Collection[str] | None) -> None:
        self.nodes = find_nodes(flow)
        self.fills: dict[str, Fill] = {}
        self.required: dict[str, None] = {}
        self.problems: list[str] = []
        self._flow = flow
        self._inputs = None if inputs is None else frozenset(inputs)
        self._fan_outs = {node.name for node in self.nodes if node.is_fan_out}
        self._names_of_tasks = {task.name for node in self.nodes for task in node.tasks}
        self._functions = {task.name: task.function for task in flow.tasks if task.function}
        for task in flow.tasks:
            if callable(task.policy.on_error):
                self._functions[_fallback_of(task)] = task.policy.on_error
        self._parameters = self._read_all()
        needed = [
            parameter.name
            for each in self._parameters.values()
            for parameter in each
            if each is not _REDUCED
        ]
        self._known_inputs = FlowInputs(self._inputs, frozenset(needed))
        for node in self.nodes:
            self._wire_node(node)
        if flow.inputs is None:
            self._check_extra()
        else:
            self._check_declared(flow.inputs)

    def _read_all(self) -> dict[str, tuple[Parameter, ...]]:
        """Return the parameters of all functions, if they can be known."""
        parameters = {}
        for label, function in self._functions.items():
            refused = refuse_function(function)
            try:
                if refused is None:
                    reduces = is_reducer(function)
                    parameters[label] = _REDUCED if reduces else read_parameters(function)
            except BindError as error:
                refused = str(error)
            if refused is not None:
                self._note(label, [refused])
        return parameters

    def _note(self, label: str, problems: list[str]) -> None:
        self.problems += [f"task {label}: {problem}" for problem in problems]

    def _wire_node(self, node: FlowNode) -> None:
        for task in node.tasks:
            if task.name in self._parameters:
                self._wire_task(node, task)
        fills = [self.fills.get(task.name) for task in node.tasks]
        overs = [fill.over for fill in fills if fill is not None and fill.over is not None]
        if any(over != overs[0] for over in overs):
            names = " and ".join(dict.fromkeys(str(over) for over in overs))
            self._note(node.tasks[0].name, [f"its siblings must divide one thing, not {names}"])

    def _wire_task(self, node: FlowNode, task: Task) -> None:
        refused = _refuse_policy(node, task)
        if refused is not None:
            self._note(task.name, [refused])
        if is_reducer(task.function) and node.is_fan_out:
            return
        fill = (
            self._fill(node, task.name)
            if task.arguments is None
            else self._take_explicit(node, task)
        )
        if fill is not None:
            fill.fallback = self._find_fallback(node, task)
            self.fills[task.name] = fill

    def _fill(self, node: FlowNode, label: str, explicit: Task | None = None) -> Fill | None:
        """Return the sources, by name, of the function called `label` at `node`."""
        function = self._functions[label]
        parameters = list(self._parameters[label])
        has_chunk = node.is_fan_out or is_reducer(function)
        if has_chunk and not parameters:
            self._note(label, ["it has no parameter to take its chunk"])
            return None
        if is_reducer(function) and len(node.upstreams) > 1:
            names = " and ".join(node.upstreams)
            self._note(label, [f"a reducer takes one result, not those of {names}"])
            return None
        chunk = parameters.pop(0) if has_chunk else None
        if explicit is not None and explicit.arguments is not None:
            fill = _take_given(explicit, parameters)
        else:
            fill = fill_parameters(
                parameters,
                node.upstreams,
                self._known_inputs,
                chunk,
                takes_all=label in self._names_of_tasks,
            )
        self.required |= dict.fromkeys(fill.required)
        return self._finish(label, parameters, fill, chunk)

    def _finish(
        self, label: str, parameters: list[Parameter], fill: Fill, chunk: Parameter | None
    ) -> Fill:
        function = self._functions[label]
        check_positions(parameters, fill, is_chunk_wise=chunk is not None)
        if chunk is not None and chunk.is_keyword:
            fill.problems.append(
                f"its chunk is passed by position, but {chunk.name!r} takes it by name only"
            )
        is_item = isinstance(fill.over, Upstream) and fill.over.task in self._fan_outs
        if chunk is not None and not is_reducer(function) and not is_item:
            try:
                fill.kind = find_kind(function, chunk)
            except BindError as error:
                fill.problems.append(str(error))
        self._note(label, fill.problems)
        return fill

    def _take_explicit(self, node: FlowNode, task: Task) -> Fill:
        """Return the sources that were given in Python, checked against the current function."""
        parameters = list(self._parameters[task.name])
        if is_reducer(task.function):
            return self._finish(task.name, [], _take_given(task, []), None)
        chunk = parameters.pop(0) if node.is_fan_out and parameters else None
        fill = _take_given(task, parameters)
        names = [parameter.name for parameter in parameters]
        fill.problems = [
            f"the function has no parameter {name!r}.{suggest(name, names)}"
            for name in task.arguments or {}
            if name not in (*names, task.chunk_parameter)
        ] + fill.problems
        return self._finish(task.name, parameters, fill, chunk)

    def _find_fallback(self, node: FlowNode, task: Task) -> tuple[Task, Fill] | None:
        on_error = task.policy.on_error
        if task.fallback is not None:
            label, other = task.fallback, self._flow.task(task.fallback)
        elif callable(on_error):
            label, other = _fallback_of(task), type(task)(task.name, function=on_error)
        else:
            return None
        if label not in self._parameters:
            return None
        if is_reducer(other.function):
            self._note(task.name, ["its fallback is a reducer, which takes no chunk"])
            return None
        fill = self._fill(node, label, explicit=task)
        return None if fill is None else (other, fill)

    def _check_extra(self) -> None:
        """Report the inputs that no function takes."""
        used = {
            source.name
            for fill in self.fills.values()
            for source in fill.sources()
            if isinstance(source, Input)
        }
        # What another mistake kept from being taken is not extra.
        used |= {name for name in self._known_inputs.needed if self.problems}
        self.problems += [
            f"no function takes the input {name!r}"
            + (
                ": the parameter of that name is a chunk"
                if name in self._known_inputs.needed
                else f".{suggest(name, self._known_inputs.needed)}"
            )
            for name in sorted((self._inputs or frozenset()) - used)
        ]

    def _check_declared(self, declared: Sequence[FlowInput]) -> None:
        """Report missing and extra inputs of a flow that declares its inputs; add the defaults."""
        names = [each.name for each in declared]
        needed = [each.name for each in declared if each.is_required]
        if self._inputs is None:
            self.required |= dict.fromkeys(needed)
            return
        self.problems += [
            f"the input {name!r} is missing; {self._known_inputs.tell(name)}"
            for name in needed
            if name not in self._inputs
        ]
        self.problems += [
            f"the flow has no input {name!r}.{suggest(name, names)}"
            for name in sorted(self._inputs.difference(names))
        ]
        defaults = {
            each.name: Constant(each.default)
            for each in declared
            if each.name not in self._inputs and not each.is_required
        }
        for fill in self.fills.values():
            _fill_defaults(fill, defaults)


def _fallback_of(task: Task) -> str:
    return f"{task.name} (its fallback)"


def _refuse_policy(node: FlowNode, task: Task) -> str | None:
    if is_reducer(task.function):
        if node.is_fan_out:
            return "a reducer takes all results, so it can't be a fan-out itself"
        if task.policy.on_error != "fail":
            return "a reducer's on_error is fail: there is no chunk to skip or to replace"
    elif task.policy.on_error == "bisect" and not node.is_fan_out:
        return "on_error: bisect halves chunks, and this task gets none"
    return None


def _take_given(task: Task, parameters: list[Parameter]) -> Fill:
    """Return the sources that `task` was given in Python, for it or for its fallback."""
    arguments = task.arguments or {}
    over = arguments.get(task.chunk_parameter) if task.chunk_parameter else None
    names = [parameter.name for parameter in parameters if parameter.name in arguments]
    fill = Fill(over, {name: arguments[name] for name in names})
    fill.problems = [
        f"no value for parameter {parameter.name!r}"
        for parameter in parameters
        if parameter.name not in arguments and not parameter.is_optional
    ]
    return fill


def _fill_defaults(fill: Fill, defaults: dict[str, Constant]) -> None:
    """Let the defaults of inputs that are not given take their place in `fill`."""

    def resolve(source: Any) -> Any:
        return defaults.get(source.name, source) if isinstance(source, Input) else source

    fill.over = resolve(fill.over)
    fill.arguments = {name: resolve(source) for name, source in fill.arguments.items()}
    if fill.fallback is not None:
        _fill_defaults(fill.fallback[1], defaults)
