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
    from taskinity_data import errors, settings, testing
    from taskinity_data.aggregation import (
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
    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.chunks.dataset import Dataset, open_dataset
    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.events import Observer
    from taskinity_data.flow.decorators import flow, task
    from taskinity_data.flow.files import list_flows, load_flow, save_flow
    from taskinity_data.flow.model import Flow
    from taskinity_data.flow.parser import parse_dsl, parse_flow
    from taskinity_data.from_dsl import run_flow_from_dsl, run_parallel_flow_from_dsl
    from taskinity_data.history import PastRun, list_runs, load_run, replay
    from taskinity_data.policy import value
    from taskinity_data.run import Run, process, run_flow

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
    "Dataset": "chunks.dataset",
    "Flow": "flow.model",
    "Observer": "events",
    "PastRun": "history",
    "Run": "run",
    "approx_distinct": "aggregation",
    "approx_quantiles": "aggregation",
    "collect": "aggregation",
    "concat": "aggregation",
    "count": "aggregation",
    "describe": "aggregation",
    "group_by": "aggregation",
    "histogram": "aggregation",
    "list_flows": "flow.files",
    "list_runs": "history",
    "load_flow": "flow.files",
    "load_run": "history",
    "max": "aggregation",
    "mean": "aggregation",
    "min": "aggregation",
    "open_dataset": "chunks.dataset",
    "parse_dsl": "flow.parser",
    "parse_flow": "flow.parser",
    "process": "run",
    "reducer": "aggregation",
    "replay": "history",
    "run_flow": "run",
    "run_flow_from_dsl": "from_dsl",
    "run_parallel_flow_from_dsl": "from_dsl",
    "save_flow": "flow.files",
    "sum": "aggregation",
    "task": "flow.decorators",
    "top_k": "aggregation",
    "value": "policy",
}


def __getattr__(name: str) -> Any:
    # The package flow/ is also the decorator: see its __init__.
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        from taskinity_data.errors import suggest

        raise AttributeError(f"taskinity_data has no {name!r}.{suggest(name, __all__)}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
