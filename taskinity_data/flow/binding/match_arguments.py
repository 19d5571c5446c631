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

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskinity_data.flow.naming import to_snake
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.flow.binding.signatures import Parameter

__all__ = [
    "Constant",
    "Filling",
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
    """A value that stands in the flow itself."""

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
        return f"the inputs are {', '.join(sorted(self.names))}.{close or f' Pass it as {way}.'}"


class Filling:
    """What fills the parameters, as far as it went, and what does not fit.

    `over` fills the chunk's parameter, `arguments` the others; `required` are inputs that must be
    given, where none are known yet.
    """

    def __init__(
        self, over: Source | None = None, arguments: dict[str, Source] | None = None
    ) -> None:
        self.over = over
        self.arguments = arguments or {}
        self.required: list[str] = []
        self.problems: list[str] = []


def fill_parameters(
    parameters: Sequence[Parameter],
    upstreams: Sequence[str],
    inputs_: FlowInputs,
    chunk: Parameter | None = None,
    *,
    takes_all: bool = True,
) -> Filling:
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
    result = Filling()
    for parameter in parameters:
        source = _match(parameter, upstreams, inputs_, result)
        if source is not None:
            result.arguments[parameter.name] = source
    left = _find_left(upstreams, result)
    if chunk is not None:
        named = _match_upstream(chunk, upstreams)
        if named is None and len(left) == 1:
            named = left[0]
        if named is not None:
            result.over = Upstream(named)
        elif upstreams:
            result.problems.append(_explain_no_chunk(chunk, left))
        else:
            _fill_chunk_from_input(chunk, inputs_, result)
        left = [] if result.over is None else _find_left(upstreams, result)
    if left and (parameters or chunk is not None):
        _pair(parameters, left, inputs_, result, chunk=chunk, takes_all=takes_all)
    _require(parameters, upstreams, inputs_, result)
    return result


def check_positions(
    parameters: Sequence[Parameter], result: Filling, *, is_chunk_wise: bool
) -> tuple[str, ...]:
    """Return the parameters in `result` that must be passed by position; add the problems of
    others.
    """
    by_position = [parameter.name for parameter in parameters if parameter.is_positional]
    passed = [name for name in by_position if name in result.arguments]
    if is_chunk_wise and passed:
        result.problems.append(f"parameter {passed[0]!r} can't be passed by its name: drop the '/'")
    elif passed != by_position[: len(passed)]:
        result.problems.append(
            f"{passed[-1]!r} can't be passed by position while {by_position[0]!r} is not"
        )
    return tuple(passed)


def _match_upstream(parameter: Parameter, upstreams: Sequence[str]) -> str | None:
    """Return the upstream that `parameter` names."""
    for suffix in ("", "_result"):
        for name in upstreams:
            if to_snake(name) + suffix == parameter.name:
                return name
    return None


def _match(
    parameter: Parameter, upstreams: Sequence[str], inputs_: FlowInputs, result: Filling
) -> Source | None:
    upstream = _match_upstream(parameter, upstreams)
    if upstream is None:
        return Input(parameter.name) if parameter.name in inputs_ else None
    if parameter.name in inputs_:
        result.problems.append(
            f"two things fill parameter {parameter.name!r}, the input of that name and task "
            f"{upstream}: rename the input"
        )
    return Upstream(upstream)


def _find_left(upstreams: Sequence[str], result: Filling) -> list[str]:
    """Return the upstreams that no parameter uses yet."""
    used = [result.over, *result.arguments.values()]
    return [name for name in upstreams if Upstream(name) not in used]


def _explain_no_chunk(chunk: Parameter, left: list[str]) -> str:
    if not left:
        return f"nothing is left for its chunk {chunk.name!r}: other parameters take all results"
    return (
        f"its chunks could come from {' or '.join(left)}: call the first parameter "
        f"{to_snake(left[0])!r}, or take the others by their names"
    )


def _fill_chunk_from_input(chunk: Parameter, inputs_: FlowInputs, result: Filling) -> None:
    if inputs_.names is None:
        result.required.append(chunk.name)
        result.over = Input(chunk.name)
        return
    loose = [name for name in inputs_.names if name not in inputs_.needed]
    if chunk.name in inputs_:
        result.over = Input(chunk.name)
    elif len(loose) == 1:
        result.over = Input(loose[0])
    else:
        result.problems.append(
            f"nothing fills its chunk {chunk.name!r}; {inputs_.tell(chunk.name)}"
            f"{suggest(chunk.name, inputs_.names)}"
        )


def _pair(
    parameters: Sequence[Parameter],
    left: list[str],
    inputs_: FlowInputs,
    result: Filling,
    *,
    chunk: Parameter | None,
    takes_all: bool,
) -> None:
    """Assign the remaining upstream to the remaining parameter (rules 3 and 4)."""
    free = [parameter for parameter in parameters if parameter.name not in result.arguments]
    needy = [parameter for parameter in free if not parameter.is_optional]
    if len(left) == 1:
        # While the inputs are not known, the first parameter is the best guess.
        if len(needy) == 1 or (needy and inputs_.names is None):
            result.arguments[needy[0].name] = Upstream(left[0])
            return
        by_position = [parameter for parameter in parameters if not parameter.is_keyword] or list(
            parameters
        )
        if not needy and len(by_position) == 1 and by_position[0] in free:
            result.arguments[by_position[0].name] = Upstream(left[0])
            return
    if not takes_all:
        return
    for name in left:
        only = parameters[0].name if len(parameters) == len(left) == 1 else ""
        if chunk is None and isinstance(result.arguments.get(only), Input):
            result.problems.append(
                f"two things fill parameter {only!r}, the input of that name and the only upstream "
                f"{name}: rename one, or add a parameter {to_snake(name)!r}"
            )
        else:
            hint = suggest(to_snake(name), [parameter.name for parameter in free])
            result.problems.append(
                f"no parameter takes the result of {name}: add one called {to_snake(name)!r}.{hint}"
            )


def _require(
    parameters: Sequence[Parameter], upstreams: Sequence[str], inputs_: FlowInputs, result: Filling
) -> None:
    """Report the parameters without a value."""
    for parameter in parameters:
        if parameter.name in result.arguments or parameter.is_optional:
            continue
        if inputs_.names is None:
            result.required.append(parameter.name)
            result.arguments[parameter.name] = Input(parameter.name)
            continue
        names = [to_snake(name) for name in upstreams]
        after = f"its upstreams are {', '.join(names)}; " if names else ""
        result.problems.append(
            f"no value for parameter {parameter.name!r}; {after}"
            f"{inputs_.tell(parameter.name, names)}"
        )
