"""Running a flow's text in one call, for those who know it so.

It knows nothing of how a flow is run.
"""

from __future__ import annotations

from inspect import currentframe
from types import ModuleType
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import BindError, suggest
from taskinity_data.flow.marks import mark_of
from taskinity_data.flow.parser import parse_flow
from taskinity_data.run import run_flow

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["run_flow_from_dsl", "run_parallel_flow_from_dsl"]


def run_flow_from_dsl(
    text: str,
    input_data: Any = None,
    tasks: Any = None,
    max_workers: int | None = None,
) -> dict[str, Any]:
    """Run a flow's text, and give every task's result by name.

    Parameters
    ----------
    text : str
        In the flow language.
    input_data : optional
        A dict of the flow's inputs, or the one input that it needs.
    tasks : module, dict or list, optional
        The functions; default: those marked ``@td.task`` in the caller's module.
    max_workers : int, optional

    Returns
    -------
    dict
    """
    if tasks is None:
        frame = currentframe()
        caller = frame.f_back if frame is not None else None
        names = caller.f_globals if caller is not None else {}
        # As a module, because there functions that match no task are left alone.
        tasks = ModuleType(str(names.get("__name__", "__main__")))
        vars(tasks).update({key: one for key, one in names.items() if mark_of(one) is not None})
    flow = parse_flow(text).bind(tasks)
    inputs = _name_inputs(flow.name, flow.required_inputs, input_data)
    return run_flow(flow, workers=max_workers, inputs=inputs).results


run_parallel_flow_from_dsl = run_flow_from_dsl


def _name_inputs(flow: str, needed: Sequence[str], given: Any) -> dict[str, Any]:
    """`given` by the names of the inputs that the flow needs."""
    if given is None and not needed:
        return {}
    if isinstance(given, dict) and (set(given) & set(needed) or not needed):
        return dict(given)
    # A dict may be the one input itself, as it is there; one with a slip in its key is not.
    slip = suggest(needed[0], map(str, given)) if needed and isinstance(given, dict) else ""
    if given is not None and len(needed) == 1 and not slip:
        return {needed[0]: given}
    if not needed:
        raise BindError(f"flow {flow} needs no input: leave input_data out")
    wanted = ", ".join(f"{name!r}: ..." for name in needed)
    keys = f", not {', '.join(map(repr, given))}" if isinstance(given, dict) else ""
    raise BindError(f"flow {flow} needs {', '.join(needed)}{keys}: input_data={{{wanted}}}")
