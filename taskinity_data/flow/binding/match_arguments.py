"""What fills the parameters of one function at its place in a flow, by name.

Pure: it looks at names, never at values. The rules:

1. The first parameter of a chunk-wise function is its chunk. It comes from the upstream of that
   name, else from the one upstream that no other parameter takes; without any upstream from the
   input of that name, else from the one input that nobody asks for by name.
2. Any other parameter is filled by the flow input of its name, or by the direct upstream of its
   name (``data_preparation``, ``data_preparation_result``); by both is an error.
3. One upstream that is left goes to the one parameter without a default that is left; where none
   is, to the only parameter (or the only one that can be passed by position).
4. A function without parameters only waits for its upstreams; any other takes all their results.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskinity_data.flow.naming import to_snake
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.flow.binding.signatures import Parameter

__all__ = [
    "Constant",
    "Fill",
    "FlowInputs",
    "Input",
    "Source",
    "Upstream",
    "check_positions",
    "fill_parameters",
]


@dataclass(frozen=True, slots=True)
class Upstream:
    """The result of the stage called `task`; of a fan-out: the list of its results, in order."""

    task: str


@dataclass(frozen=True, slots=True)
class Input:
    """What the caller of the flow hands over under `name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that is part of the flow itself."""

    value: Any


Source = Upstream | Input | Constant


class FlowInputs:
    """The flow's inputs: `names` that are given, None while not known; `needed` for by name."""

    def __init__(self, names: frozenset[str] | None, needed: frozenset[str]) -> None:
        self.names, self.needed = names, needed

    def __contains__(self, name: str) -> bool:
        return self.names is not None and name in self.names

    def tell(self, name: str, others: Sequence[str] = ()) -> str:
        """List the inputs, and suggest one or one of `others`, or how to give the input `name`."""
        way = f"inputs={{{name!r}: …}} (on the command line --input {name}=…)"
        close = suggest(name, [*others, *(self.names or ())])
        if not self.names:
            return f"no input is given: pass {way}.{close}"
        return f"given: {', '.join(sorted(self.names))}.{close or f' Pass it as {way}.'}"


@dataclass
class Fill:
    """What fills one function's parameters, and the task that runs instead where it fails.

    `over` fills the chunk's parameter: what is fanned out (or reduced), None for a function that
    runs once. `arguments` fill the others, those in `positional` by position. `required` are inputs
    that must be given, where none are known yet; `problems` what does not fit.
    """

    over: Source | None = None
    arguments: dict[str, Source] = field(default_factory=dict)
    positional: tuple[str, ...] = ()
    kind: str = "pandas"
    fallback: tuple[Any, Fill] | None = None
    required: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def sources(self) -> list[Source]:
        """Return all that it takes, its fallback's too."""
        values = [*self.arguments.values(), *([] if self.over is None else [self.over])]
        return values if self.fallback is None else values + self.fallback[1].sources()


def fill_parameters(
    parameters: Sequence[Parameter],
    upstreams: Sequence[str],
    inputs_: FlowInputs,
    chunk: Parameter | None = None,
    *,
    takes_all: bool = True,
) -> Fill:
    """Return the sources of `chunk` and of `parameters`, the other parameters.

    Parameters
    ----------
    parameters : sequence of Parameter
    upstreams : sequence of str
        The names of the places with an edge to this one.
    given : FlowInputs
    chunk : Parameter, optional
        The first parameter, where the function is chunk-wise or a reducer.
    takes_all : bool
        Whether a result that nothing takes is a mistake; a fallback may do without.
    """
    fill = Fill()
    for parameter in parameters:
        source = _match(parameter, upstreams, inputs_, fill)
        if source is not None:
            fill.arguments[parameter.name] = source
    left = _find_left(upstreams, fill)
    if chunk is not None:
        named = _match_upstream(chunk, upstreams)
        if named is None and len(left) == 1:
            named = left[0]
        if named is not None:
            fill.over = Upstream(named)
        elif upstreams:
            fill.problems.append(_explain_no_chunk(chunk, left))
        else:
            _fill_chunk_from_input(chunk, inputs_, fill)
        left = [] if fill.over is None else _find_left(upstreams, fill)
    if left and (parameters or chunk is not None):
        _pair(parameters, left, inputs_, fill, chunk=chunk, takes_all=takes_all)
    _require(parameters, upstreams, inputs_, fill)
    return fill


def check_positions(parameters: Sequence[Parameter], fill: Fill, *, is_chunk_wise: bool) -> None:
    """Set which arguments of `fill` must be passed by position, and add the problems of others."""
    by_position = [parameter.name for parameter in parameters if parameter.is_positional]
    passed = [name for name in by_position if name in fill.arguments]
    if is_chunk_wise and passed:
        fill.problems.append(f"parameter {passed[0]!r} can't be passed by its name: drop the '/'")
    elif passed != by_position[: len(passed)]:
        fill.problems.append(
            f"{passed[-1]!r} can't be passed by position while {by_position[0]!r} is not"
        )
    fill.positional = tuple(passed)


def _match_upstream(parameter: Parameter, upstreams: Sequence[str]) -> str | None:
    """Return the upstream that `parameter` names."""
    for suffix in ("", "_result"):
        for name in upstreams:
            if to_snake(name) + suffix == parameter.name:
                return name
    return None


def _match(
    parameter: Parameter, upstreams: Sequence[str], inputs_: FlowInputs, fill: Fill
) -> Source | None:
    upstream = _match_upstream(parameter, upstreams)
    if upstream is None:
        return Input(parameter.name) if parameter.name in inputs_ else None
    if parameter.name in inputs_:
        fill.problems.append(
            f"parameter {parameter.name!r} matches both the input of that name and task "
            f"{upstream}: rename the input"
        )
    return Upstream(upstream)


def _find_left(upstreams: Sequence[str], fill: Fill) -> list[str]:
    """Return the upstreams that no parameter uses yet."""
    used = [fill.over, *fill.arguments.values()]
    return [name for name in upstreams if Upstream(name) not in used]


def _explain_no_chunk(chunk: Parameter, left: list[str]) -> str:
    if not left:
        return f"nothing is left for its chunk {chunk.name!r}: other parameters take all results"
    return (
        f"its chunks could come from {' or '.join(left)}: call the first parameter "
        f"{to_snake(left[0])!r}, or take the others by their names"
    )


def _fill_chunk_from_input(chunk: Parameter, inputs_: FlowInputs, fill: Fill) -> None:
    if inputs_.names is None:
        fill.required.append(chunk.name)
        fill.over = Input(chunk.name)
        return
    loose = [name for name in inputs_.names if name not in inputs_.needed]
    if chunk.name in inputs_:
        fill.over = Input(chunk.name)
    elif len(loose) == 1:
        fill.over = Input(loose[0])
    else:
        fill.problems.append(
            f"nothing fills its chunk {chunk.name!r}; {inputs_.tell(chunk.name)}"
            f"{suggest(chunk.name, inputs_.names)}"
        )


def _pair(
    parameters: Sequence[Parameter],
    left: list[str],
    inputs_: FlowInputs,
    fill: Fill,
    *,
    chunk: Parameter | None,
    takes_all: bool,
) -> None:
    """Assign the remaining upstream to the remaining parameter (rules 3 and 4)."""
    free = [parameter for parameter in parameters if parameter.name not in fill.arguments]
    needy = [parameter for parameter in free if not parameter.is_optional]
    if len(left) == 1:
        # While the inputs are not known, the first parameter is the best guess.
        if len(needy) == 1 or (needy and inputs_.names is None):
            fill.arguments[needy[0].name] = Upstream(left[0])
            return
        by_position = [parameter for parameter in parameters if not parameter.is_keyword] or list(
            parameters
        )
        if not needy and len(by_position) == 1 and by_position[0] in free:
            fill.arguments[by_position[0].name] = Upstream(left[0])
            return
    if not takes_all:
        return
    for name in left:
        only = parameters[0].name if len(parameters) == len(left) == 1 else ""
        if chunk is None and isinstance(fill.arguments.get(only), Input):
            fill.problems.append(
                f"parameter {only!r} matches both the input of that name and the only upstream "
                f"{name}: rename one, or add a parameter {to_snake(name)!r}"
            )
        else:
            hint = suggest(to_snake(name), [parameter.name for parameter in free])
            fill.problems.append(
                f"no parameter takes the result of {name}: add one called {to_snake(name)!r}.{hint}"
            )


def _require(
    parameters: Sequence[Parameter], upstreams: Sequence[str], inputs_: FlowInputs, fill: Fill
) -> None:
    """Report the parameters without a value."""
    for parameter in parameters:
        if parameter.name in fill.arguments or parameter.is_optional:
            continue
        if inputs_.names is None:
            fill.required.append(parameter.name)
            fill.arguments[parameter.name] = Input(parameter.name)
            continue
        names = [to_snake(name) for name in upstreams]
        after = f"its upstreams are {', '.join(names)}; " if names else ""
        fill.problems.append(
            f"no value for parameter {parameter.name!r}; {after}"
            f"{inputs_.tell(parameter.name, names)}"
        )
