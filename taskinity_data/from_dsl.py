"""Running a flow's text in one call, for those who know it so.

It knows nothing of how a flow is run.
"""

from __future__ import annotations

from inspect import currentframe
from types import ModuleType
from typing import Any

from taskinity_data.errors import BindError
from taskinity_data.flow.marks import mark_of
from taskinity_data.flow.parser import parse_flow
from taskinity_data.run import run_flow

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
    needed = flow.required_inputs
    if isinstance(input_data, dict) and (set(input_data) & set(needed) or not needed):
        inputs = dict(input_data)
    elif input_data is None:
        inputs = {}
    elif len(needed) == 1:
        inputs = {needed[0]: input_data}
    else:
        raise BindError(
            f"flow {flow.name} needs the inputs {', '.join(needed) or 'none'}: give input_data as "
            "a dict of them"
        )
    return run_flow(flow, workers=max_workers, inputs=inputs).results


run_parallel_flow_from_dsl = run_flow_from_dsl
