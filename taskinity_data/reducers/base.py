"""Define the reducer protocol, and the reducers of whole results: collect, concat, count, reducer.

A reducer turns each chunk into a partial on the worker (`partial`), combines partials in chunk
order (`combine`) and turns the last one into the answer (`finish`). `tree` decides which partials
are combined.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, runtime_checkable

from taskinity_data.data_kinds import describe_kind, kind_of
from taskinity_data.errors import BindError, ReduceError, hides_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["Finishes", "Reducer", "check_reduce", "collect", "concat", "count", "reducer"]


Answer_co = TypeVar("Answer_co", covariant=True)

_BUILT_IN = (
    "approx_distinct", "approx_quantiles", "collect", "concat", "count", "describe", "group_by",
    "histogram", "max", "mean", "min", "sum", "top_k",
)  # fmt: skip


def check_reduce(reduce: Any) -> None:
    """Raise `BindError` if `reduce` is neither a reducer nor a function of a list."""
    if getattr(reduce, "is_reducer", False):
        return
    if not callable(reduce):
        from difflib import get_close_matches  # only after an error, as in `wording.suggest`

        hint = '; write e.g. reduce=td.sum(), or td.group_by("column", ...)'
        if isinstance(reduce, str):
            close = [reduce] if reduce in _BUILT_IN else get_close_matches(reduce, _BUILT_IN, n=1)
            hint = f"; write reduce=td.{close[0]}(...)" if close else hint
        raise BindError(f"reduce={reduce!r} is neither a reducer nor a function of a list{hint}")
    if str(getattr(reduce, "__module__", "")).startswith("taskinity_data.reducers"):
        name = reduce.__name__.rstrip("_")
        raise BindError(f"reduce=td.{name}: that makes reducers; call it, reduce=td.{name}(...)")


class Finishes(Protocol[Answer_co]):
    """What a reducer returns, for type checkers."""

    def finish(self, partial: Any) -> Answer_co:
        """Return the answer."""


@runtime_checkable
class Reducer(Protocol):
    """A rule that reduces chunk results to one answer. Frozen, picklable, stateless.

    The answer must not depend on how chunks are grouped:
    ``combine([a, combine([b, c])])`` means the same as ``combine([a, b, c])``; a single partial may
    go to `finish` without any `combine`. `combine` must not change the partials that it gets.
    A reducer whose partials can outgrow memory may have a method ``measure(partial)`` that returns
    their bytes, see `tree.OrderedTree`. One whose partials are no plain data has ``dump(partial)``
    and ``load(stored)``, as `reducer` takes them.

    Attributes
    ----------
    is_reducer : bool
        Always True; distinguishes a reducer from a plain function.
    name : str
        For messages.
    wants : {"pandas", "arrow"}
        The best type of chunks for it, if there is no chunk function.
    releases_gil : bool
        Whether `partial` mostly runs without the GIL, so that threads run in parallel.
    reads_series : bool, optional
        Whether `partial` gets a Series that is rows of its chunk as `row_labels.SeriesRows`, and
        reads any other by `row_labels.read_result`. Default: it gets each Series unchanged.
    compares_columns : bool, optional
        Whether a notice says which results have other columns than the first one. Default: False.
    """

    @property
    def is_reducer(self) -> bool: ...
    @property
    def name(self) -> str: ...
    @property
    def wants(self) -> str: ...
    @property
    def releases_gil(self) -> bool: ...

    def columns(self) -> tuple[str, ...] | None:
        """Return the columns that it needs; None: all; ``()``: only the number of rows."""

    def check(self, names: Iterable[str]) -> None:
        """Raise `PlanError` if it needs a column that is not among `names`."""

    def partial(self, data: Any) -> Any:
        """Return the partial of one chunk, or of a chunk function's result."""

    def combine(self, partials: Sequence[Any]) -> Any:
        """Combine several partials, at least one, given in chunk order, to one."""

    def finish(self, partial: Any | None) -> Any:
        """Return the answer; None means that there were no chunks."""


class WholeChunks:
    """Base of reducers of whole chunks, or of the columns that `columns` names."""

    is_reducer: ClassVar[bool] = True
    wants: ClassVar[str] = "pandas"
    releases_gil: ClassVar[bool] = True

    if TYPE_CHECKING:

        @property
        def name(self) -> str: ...

    def columns(self) -> tuple[str, ...] | None:
        """Return None: all columns."""
        return None

    def check(self, names: Iterable[str]) -> None:
        """Raise `PlanError` if a column that it needs is not among `names`."""
        if columns := self.columns():
            from taskinity_data.reducers.inputs import check_columns  # it needs pandas

            check_columns(columns, names, f"{self.name}()")

    def __repr__(self) -> str:
        return f"{self.name}()"


class RowReducer(WholeChunks):
    """Base of reducers of rows, which need no pandas frame."""

    wants: ClassVar[str] = "arrow"
    reads_series: ClassVar[bool] = True


@dataclass(frozen=True, repr=False)
class Collect(WholeChunks):
    """See `collect`."""

    name: ClassVar[str] = "collect"

    def partial(self, data: Any) -> list[Any]:
        """Return a list of one result."""
        return [data]

    def combine(self, partials: Sequence[list[Any]]) -> list[Any]:
        """Concatenate the lists."""
        return [result for partial in partials for result in partial]

    def finish(self, partial: list[Any] | None) -> list[Any]:
        """Return the list, empty if there were no chunks."""
        return [] if partial is None else partial


def collect() -> Collect:
    """Collect the results of all chunks in a list, in chunk order.

    Returns
    -------
    Reducer

    Notes
    -----
    All results are held in memory at once.

    Examples
    --------
    >>> collect().finish(collect().combine([[1], [2]]))
    [1, 2]
    """
    return Collect()


@dataclass(frozen=True, repr=False)
class Concat(WholeChunks):
    """See `concat`."""

    name: ClassVar[str] = "concat"
    compares_columns: ClassVar[bool] = True

    def partial(self, data: Any) -> list[Any]:
        """Return a list of one frame or table, empty for None; raise `ReduceError` for anything
        else.
        """
        if data is None:
            return []
        if kind_of(data) is None:
            raise ReduceError(
                f"concat() concatenates frames and tables, but a chunk returned "
                f"{describe_kind(data)}; use collect() for a list of anything"
            )
        return [data]

    def combine(self, partials: Sequence[list[Any]]) -> list[Any]:
        """Concatenate the lists; the data are copied once, at the end."""
        return [frame for partial in partials for frame in partial]

    def finish(self, partial: list[Any] | None) -> Any:
        """Return the frame or table; an empty DataFrame if there were no chunks."""
        import pandas as pd

        if not partial:
            return pd.DataFrame()
        kinds = {kind_of(frame) for frame in partial}
        if len(kinds) > 1:
            names = sorted(map(str, kinds))
            raise ReduceError(f"concat(): chunks returned different types: {names}")
        try:
            if kinds == {"arrow"}:
                import pyarrow as pa

                return pa.concat_tables(partial, promote_options="permissive")
            if kinds == {"polars"}:
                import polars as pl

                return pl.concat(partial, how="diagonal_relaxed")
            return pd.concat(partial, ignore_index=True)
        except MemoryError:
            raise
        except Exception as error:
            raise ReduceError(
                f"concat(): chunks' results do not fit together: {error}; give each column its own "
                "name, and one type in every chunk, or use collect()"
            ) from error


def concat() -> Concat:
    """Concatenate the chunks' frames, as ``pandas.concat(frames, ignore_index=True)``.

    Arrow tables become one Arrow table, polars frames one polars frame, Series one Series.

    Returns
    -------
    Reducer

    Notes
    -----
    All rows are held in memory; they are copied once, at the end. As in pandas, empty frames count
    for the dtypes.
    """
    return Concat()


@dataclass(frozen=True, repr=False)
class Count(RowReducer):
    """See `count`."""

    name: ClassVar[str] = "count"

    def columns(self) -> tuple[str, ...] | None:
        """Return ``()``: any column will do."""
        return ()

    def partial(self, data: Any) -> int:
        """Return the number of rows or items, 1 for a number."""
        from taskinity_data.reducers.row_labels import read_result  # it needs pandas

        if data is None:
            return 0
        data = read_result(data, "count()")
        if kind_of(data) == "arrow":
            return int(data.num_rows)
        if isinstance(data, (str, bytes, numbers.Number)) or not hasattr(data, "__len__"):
            return 1
        return len(data)

    def combine(self, partials: Sequence[int]) -> int:
        """Return the sum."""
        return sum(partials)

    def finish(self, partial: int | None) -> int:
        """Return the count, 0 if there were no chunks."""
        return 0 if partial is None else partial


def count() -> Count:
    """Count rows.

    The answer is one int: the rows of frames and tables, the items of Series, arrays and lists. A
    number or text that a chunk function returned counts as 1, None as 0. A Series labelled by
    integers without a name that are not the chunk's own is refused, see `sum`. (For the number of
    non-null values of a column, use `describe`, or ``"count"`` of `group_by`.)

    Returns
    -------
    Reducer
    """
    return Count()


@dataclass(frozen=True, repr=False)
class UserReducer(WholeChunks):
    """See `reducer`. A partial is in a tuple of one, so that None is a partial like any other."""

    combine_function: Callable[[list[Any]], Any]
    partial_function: Callable[[Any], Any] | None = None
    finish_function: Callable[[Any], Any] | None = None
    dump_function: Callable[[Any], Any] | None = None
    load_function: Callable[[Any], Any] | None = None

    releases_gil: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The name of the function that combines."""
        return getattr(self.combine_function, "__name__", type(self.combine_function).__name__)

    def partial(self, data: Any) -> tuple[Any]:
        """Apply the user's function to the chunk's result; without one, return the result."""
        return (data if self.partial_function is None else self.partial_function(data),)

    def combine(self, partials: Sequence[tuple[Any]]) -> tuple[Any]:
        """Apply the user's function to the list of partials."""
        return (self.combine_function([value for (value,) in partials]),)

    def finish(self, partial: tuple[Any] | None) -> Any:
        """Apply the user's function to the last partial; return None if there were no chunks."""
        if partial is None:
            return None
        (value,) = partial
        return value if self.finish_function is None else self.finish_function(value)

    def dump(self, partial: tuple[Any]) -> Any:
        """Return the partial as plain data, to be stored."""
        (value,) = partial
        return value if self.dump_function is None else self.dump_function(value)

    def load(self, stored: Any) -> tuple[Any]:
        """Return the partial that `dump` stored."""
        return (stored if self.load_function is None else self.load_function(stored),)

    def __repr__(self) -> str:
        parts = [self.name]
        for word in ("partial", "finish", "dump", "load"):
            function = getattr(self, f"{word}_function")
            if function is not None:
                parts.append(f"{word}={getattr(function, '__name__', repr(function))}")
        return f"reducer({', '.join(parts)})"


@hides_frames
def reducer(
    combine: Callable[[list[Any]], Any],
    partial: Callable[[Any], Any] | None = None,
    finish: Callable[[Any], Any] | None = None,
    dump: Callable[[Any], Any] | None = None,
    load: Callable[[Any], Any] | None = None,
) -> UserReducer:
    """Create a reducer from functions.

    Parameters
    ----------
    combine : callable
        Gets a **list** of at least two partials, in chunk order, and returns one of the same type.
        It is called on a few partials at a time, also on its own results; the builtins `sum` and
        `max`, or `pandas.concat`, will do. It must not change its arguments. It is not called if
        there is a single chunk.
    partial : callable, optional
        Chunk (or the chunk function's result) to partial, on the worker. Default: no change.
    finish : callable, optional
        Last partial to answer. Default: no change. Without any chunk the answer is None.
    dump, load : callable, optional
        Partial to plain data (numbers, texts, bytes, dates, lists, tuples, sets, dicts, NumPy
        arrays, Series, frames, tables) and back, for partials that are to be stored and are not
        plain data themselves.

    Returns
    -------
    Reducer

    Raises
    ------
    ReduceError
        An argument is not callable, or only one of `dump` and `load` is given.

    Examples
    --------
    >>> total = reducer(sum, partial=len)
    >>> total.finish(total.combine([total.partial([1, 2]), total.partial([3])]))
    3
    """
    functions: dict[str, Any] = {
        "combine": combine,
        "partial": partial,
        "finish": finish,
        "dump": dump,
        "load": load,
    }
    for word, function in functions.items():
        if not callable(function) and (function is not None or word == "combine"):
            raise ReduceError(f"reducer({word}={function!r}): must be a function")
    if (dump is None) != (load is None):
        raise ReduceError("reducer(): give both dump and load, or neither; one of them is missing")
    return UserReducer(combine, partial, finish, dump, load)
