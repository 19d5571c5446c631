"""Ordinary pandas functions over data that is too large for one frame.

    import taskinity_data as td

    run = td.process("flights/*.csv", reduce=td.group_by("carrier", mean=("dep_delay", "mean")))
    run.value

Nothing is imported before a name is used, so that this costs next to nothing. Errors are in
`td.errors`, settings in `td.settings`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from taskinity_data.version import __version__

if TYPE_CHECKING:
    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.chunks.open_dataset import Dataset, open_dataset
    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.events import Observer
    from taskinity_data.flow.decorators import flow, task
    from taskinity_data.flow.files import list_flows, load_flow, save_flow
    from taskinity_data.flow.language.parser import parse_dsl, parse_flow
    from taskinity_data.flow.model import Flow
    from taskinity_data.policy import value
    from taskinity_data.reducers import (
        approx_distinct,
        approx_quantiles,
        collect,
        concat,
        count,
        describe,
        group_by,
        histogram,
        max,  # noqa: A004 - td.max, as pandas has it
        mean,
        min,  # noqa: A004 - td.min
        reducer,
        sum,  # noqa: A004 - td.sum
        top_k,
    )
    from taskinity_data.run.api import (
        Run,
        process,
        run_flow,
        run_flow_from_dsl,
        run_parallel_flow_from_dsl,
    )
    from taskinity_data.run.history import PastRun, list_runs, load_run, replay

__all__ = [
    "Chunk",
    "ChunkPlan",
    "Dataset",
    "Flow",
    "Observer",
    "PastRun",
    "Run",
    "__version__",
    "approx_distinct",
    "approx_quantiles",
    "collect",
    "concat",
    "count",
    "describe",
    "errors",
    "flow",
    "group_by",
    "histogram",
    "list_flows",
    "list_runs",
    "load_flow",
    "load_run",
    "max",
    "mean",
    "min",
    "open_dataset",
    "parse_dsl",
    "parse_flow",
    "process",
    "reducer",
    "replay",
    "run_flow",
    "run_flow_from_dsl",
    "run_parallel_flow_from_dsl",
    "save_flow",
    "settings",
    "sum",
    "task",
    "testing",
    "top_k",
    "value",
]

_MODULES = ("errors", "flow", "settings", "testing")
_HOMES = {
    "Chunk": "chunks.chunk",
    "ChunkPlan": "chunks.plan",
    "Dataset": "chunks.open_dataset",
    "Flow": "flow.model",
    "Observer": "events",
    "PastRun": "run.history",
    "Run": "run.api",
    "approx_distinct": "reducers",
    "approx_quantiles": "reducers",
    "collect": "reducers",
    "concat": "reducers",
    "count": "reducers",
    "describe": "reducers",
    "group_by": "reducers",
    "histogram": "reducers",
    "list_flows": "flow.files",
    "list_runs": "run.history",
    "load_flow": "flow.files",
    "load_run": "run.history",
    "max": "reducers",
    "mean": "reducers",
    "min": "reducers",
    "open_dataset": "chunks.open_dataset",
    "parse_dsl": "flow.language.parser",
    "parse_flow": "flow.language.parser",
    "process": "run.api",
    "reducer": "reducers",
    "replay": "run.history",
    "run_flow": "run.api",
    "run_flow_from_dsl": "run.api",
    "run_parallel_flow_from_dsl": "run.api",
    "save_flow": "flow.files",
    "sum": "reducers",
    "task": "flow.decorators",
    "top_k": "reducers",
    "value": "policy",
}


def __getattr__(name: str) -> Any:
    # The package flow/ is also the decorator: see its __init__.
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        from taskinity_data.wording import suggest

        raise AttributeError(f"taskinity_data has no {name!r}.{suggest(name, __all__)}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
