"""What fills the parameters of all functions of a flow, and all that does not fit.

Pure: it looks at signatures and names, never at values. Which source fills which parameter of one
function is `match_arguments`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.errors import BindError
from taskinity_data.flow.binding.match_arguments import (
    Constant,
    Filling,
    FlowInputs,
    Input,
    Source,
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
from taskinity_data.policy import ON_ERROR
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskinity_data.flow.model import FlowGraph, Task

__all__ = ["Fill", "Wiring", "wire"]

_REDUCED = (Parameter("data"),)
"""A reducer has no parameters of its own: it takes one thing, whatever that is called."""


class Fill(NamedTuple):
    """What fills one function's parameters, and what runs instead where it fails.

    `over` is what is fanned out (or reduced); None for a function that runs once.
    """

    over: Source | None
    arguments: dict[str, Source]
    positional: tuple[str, ...] = ()
    kind: str = "pandas"
    fallback: tuple[Task, Fill] | None = None

    def sources(self) -> list[Source]:
        """Return all that it takes, its fallback's too."""
        values = [*self.arguments.values(), *([] if self.over is None else [self.over])]
        return values if self.fallback is None else values + self.fallback[1].sources()


class Wiring:
    """The fills of all tasks by name, the inputs that they need, and what does not fit."""

    def __init__(self, nodes: tuple[FlowNode, ...]) -> None:
        self.nodes = nodes
        self.fills: dict[str, Fill] = {}
        self.required: dict[str, None] = {}
        self.problems: list[str] = []


def wire(flow: FlowGraph, inputs: Collection[str] | None) -> Wiring:
    """Return the sources of all functions' parameters in a run of `flow` with `inputs`.

    Parameters
    ----------
    inputs : names, or None
        The inputs that are given. None: not known yet; then what no upstream fills is required.
    """
    return _Wirer(flow, None if inputs is None else frozenset(inputs)).wire()


class _Wirer:
    """Goes through the places of a flow, and notes the fills and the problems of each."""

    def __init__(self, flow: FlowGraph, inputs: frozenset[str] | None) -> None:
        self.flow = flow
        self.inputs = inputs
        self.result = Wiring(find_nodes(flow))
        self.fan_outs = {node.name for node in self.result.nodes if node.is_fan_out}
        self.names_of_tasks = {task.name for node in self.result.nodes for task in node.tasks}
        self.functions = {task.name: task.function for task in flow.tasks if task.function}
        for task in flow.tasks:
            if callable(task.policy.on_error):
                self.functions[_fallback_of(task)] = task.policy.on_error
        self.parameters = self._read_all()
        needed = [
            parameter.name
            for each in self.parameters.values()
            for parameter in each
            if each is not _REDUCED
        ]
        self.known_inputs = FlowInputs(inputs, frozenset(needed))

    def _read_all(self) -> dict[str, tuple[Parameter, ...]]:
        """Return the parameters of all functions, if they can be known."""
        parameters = {}
        for label, function in self.functions.items():
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
        self.result.problems += [f"task {label}: {problem}" for problem in problems]

    def wire(self) -> Wiring:
        for node in self.result.nodes:
            for task in node.tasks:
                if task.name in self.parameters:
                    self._wire_task(node, task)
            fills = [self.result.fills.get(task.name) for task in node.tasks]
            overs = [fill.over for fill in fills if fill is not None and fill.over is not None]
            if any(over != overs[0] for over in overs):
                names = " and ".join(dict.fromkeys(str(over) for over in overs))
                self._note(node.tasks[0].name, [f"its siblings must divide one thing, not {names}"])
        if self.flow.inputs is None:
            self._check_extra()
        else:
            self._check_declared(
                {declared.name: declared.is_required for declared in self.flow.inputs}
            )
        return self.result

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
            fallback = self._find_fallback(node, task)
            self.result.fills[task.name] = fill._replace(fallback=fallback)

    def _fill(self, node: FlowNode, label: str, explicit: Task | None = None) -> Fill | None:
        """Return the sources, by name, of the function called `label` at `node`."""
        function = self.functions[label]
        parameters = list(self.parameters[label])
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
            result = _take_given(explicit, parameters)
        else:
            result = fill_parameters(
                parameters,
                node.upstreams,
                self.known_inputs,
                chunk,
                takes_all=label in self.names_of_tasks,
            )
        self.result.required |= dict.fromkeys(result.required)
        return self._finish(label, parameters, result, chunk)

    def _finish(
        self, label: str, parameters: list[Parameter], result: Filling, chunk: Parameter | None
    ) -> Fill:
        function = self.functions[label]
        positional = check_positions(parameters, result, is_chunk_wise=chunk is not None)
        kind = "pandas"
        if chunk is not None and chunk.is_keyword:
            result.problems.append(
                f"its chunk is passed by position, but {chunk.name!r} takes it by name only"
            )
        is_item = isinstance(result.over, Upstream) and result.over.task in self.fan_outs
        if chunk is not None and not is_reducer(function) and not is_item:
            try:
                kind = find_kind(function, chunk)
            except BindError as error:
                result.problems.append(str(error))
        self._note(label, result.problems)
        return Fill(result.over, result.arguments, positional, kind)

    def _take_explicit(self, node: FlowNode, task: Task) -> Fill:
        """Return the sources that were given in Python, checked against the current function."""
        parameters = list(self.parameters[task.name])
        if is_reducer(task.function):
            return self._finish(task.name, [], _take_given(task, []), None)
        chunk = parameters.pop(0) if node.is_fan_out and parameters else None
        result = _take_given(task, parameters)
        names = [parameter.name for parameter in parameters]
        result.problems = [
            f"the function has no parameter {name!r}.{suggest(name, names)}"
            for name in task.arguments or {}
            if name not in (*names, task.chunk_parameter)
        ] + result.problems
        return self._finish(task.name, parameters, result, chunk)

    def _find_fallback(self, node: FlowNode, task: Task) -> tuple[Task, Fill] | None:
        on_error = task.policy.on_error
        if isinstance(on_error, str) and on_error not in ON_ERROR:
            label, other = on_error, self.flow.task(on_error)
        elif callable(on_error):
            label, other = _fallback_of(task), type(task)(task.name, function=on_error)
        else:
            return None
        if label not in self.parameters:
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
            for fill in self.result.fills.values()
            for source in fill.sources()
            if isinstance(source, Input)
        }
        # What another mistake kept from being taken is not extra.
        used |= {name for name in self.known_inputs.needed if self.result.problems}
        self.result.problems += [
            f"no function takes the input {name!r}"
            + (
                ": the parameter of that name is a chunk"
                if name in self.known_inputs.needed
                else f".{suggest(name, self.known_inputs.needed)}"
            )
            for name in sorted((self.inputs or frozenset()) - used)
        ]

    def _check_declared(self, declared: dict[str, bool]) -> None:
        """Report missing and extra inputs of a flow that declares its inputs; add the defaults."""
        needed = [name for name, is_required in declared.items() if is_required]
        if self.inputs is None:
            self.result.required |= dict.fromkeys(needed)
            return
        self.result.problems += [
            f"the input {name!r} is missing; {self.known_inputs.tell(name)}"
            for name in needed
            if name not in self.inputs
        ]
        self.result.problems += [
            f"the flow has no input {name!r}.{suggest(name, declared)}"
            for name in sorted(self.inputs - set(declared))
        ]
        defaults = {
            flow_input.name: Constant(flow_input.default)
            for flow_input in self.flow.inputs or ()
            if flow_input.name not in self.inputs and not flow_input.is_required
        }
        for name, fill in self.result.fills.items():
            self.result.fills[name] = _fill_defaults(fill, defaults)


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


def _take_given(task: Task, parameters: list[Parameter]) -> Filling:
    """Return the sources that `task` was given in Python, for it or for its fallback."""
    arguments = task.arguments or {}
    over = arguments.get(task.chunk_parameter) if task.chunk_parameter else None
    names = [parameter.name for parameter in parameters if parameter.name in arguments]
    result = Filling(over, {name: arguments[name] for name in names})
    result.problems = [
        f"no value for parameter {parameter.name!r}"
        for parameter in parameters
        if parameter.name not in arguments and not parameter.is_optional
    ]
    return result


def _fill_defaults(fill: Fill, defaults: dict[str, Constant]) -> Fill:
    """Return `fill` with the defaults of inputs that are not given."""

    def resolve(source: Any) -> Any:
        return defaults.get(source.name, source) if isinstance(source, Input) else source

    return fill._replace(
        over=resolve(fill.over),
        arguments={name: resolve(source) for name, source in fill.arguments.items()},
        fallback=fill.fallback and (fill.fallback[0], _fill_defaults(fill.fallback[1], defaults)),
    )
