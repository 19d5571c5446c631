"""Into what answer: reducers, and the tree that combines their partials.

Nothing is imported before a name is used: the tree needs neither pandas nor numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskinity_data.reducers.base import Reducer, collect, concat, count, reducer
    from taskinity_data.reducers.columns import approx_distinct, approx_quantiles, histogram, top_k
    from taskinity_data.reducers.description import describe
    from taskinity_data.reducers.grouped import group_by
    from taskinity_data.reducers.totals import max_ as max  # noqa: A004 - as pandas has it
    from taskinity_data.reducers.totals import mean
    from taskinity_data.reducers.totals import min_ as min  # noqa: A004 - as pandas has it
    from taskinity_data.reducers.totals import sum_ as sum  # noqa: A004 - as pandas has it

__all__ = [
    "Reducer",
    "approx_distinct",
    "approx_quantiles",
    "collect",
    "concat",
    "count",
    "describe",
    "group_by",
    "histogram",
    "max",
    "mean",
    "min",
    "reducer",
    "sum",
    "top_k",
]

_HOMES = {
    "Reducer": "base.Reducer",
    "approx_distinct": "columns.approx_distinct",
    "approx_quantiles": "columns.approx_quantiles",
    "collect": "base.collect",
    "concat": "base.concat",
    "count": "base.count",
    "describe": "description.describe",
    "group_by": "grouped.group_by",
    "histogram": "columns.histogram",
    "max": "totals.max_",
    "mean": "totals.mean",
    "min": "totals.min_",
    "reducer": "base.reducer",
    "sum": "totals.sum_",
    "top_k": "columns.top_k",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, inner = _HOMES[name].partition(".")
    return getattr(import_module(f"{__name__}.{module}"), inner)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
