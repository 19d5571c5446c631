"""What a reducer is, and those that know nothing of columns: collect, concat, count, one's own.

A reducer turns each chunk into a partial on the worker (`partial`), brings partials together in
chunk order (`combine`) and turns the last one into the answer (`finish`). It knows nothing of who
calls it, or in which groups: see `tree`.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from taskinity_data.data_kinds import describe_kind, kind_of
from taskinity_data.errors import ReduceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "Reducer",
    "collect",
    "concat",
    "count",
    "reducer",
]


@runtime_checkable
class Reducer(Protocol):
    """How chunk results become one answer. Frozen, picklable, stateless.

    The answer must not depend on how chunks are grouped:
    ``combine([a, combine([b, c])])`` means the same as ``combine([a, b, c])``; a single partial may
    go to `finish` without any `combine`. `combine` must not change the partials that it gets.
    Partials that can outgrow memory may have a `Holder`, see `holding`.

    Attributes
    ----------
    is_reducer : bool
        Always True; tells a reducer from a plain function.
    name : str
        For messages.
    wants : {"pandas", "arrow"}
        As what chunks are best read where no chunk function stands between.
    releases_gil : bool
        Whether `partial` spends its time without Python's lock, so that threads pay.
    reads_series : bool, optional
        Whether `partial` gets a Series that is rows of its chunk as `row_labels.Rows`, and reads
        any other by `row_labels.read_result`. Default: it gets each as it came.
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
        """The columns that it looks at; None: all; ``()``: only the number of rows counts."""

    def check(self, names: Iterable[str]) -> None:
        """Raise `PlanError` where it needs a column that is not among `names`."""

    def partial(self, data: Any) -> Any:
        """What is kept of one chunk, or of what a chunk function returned."""

    def combine(self, partials: Sequence[Any]) -> Any:
        """One partial of several, at least one, given in chunk order."""

    def finish(self, partial: Any | None) -> Any:
        """The answer; None means that there were no chunks."""


class WholeChunks:
    """What reducers share that look at no column by name."""

    is_reducer: ClassVar[bool] = True
    wants: ClassVar[str] = "pandas"
    releases_gil: ClassVar[bool] = False

    def columns(self) -> tuple[str, ...] | None:
        """None: all of them."""
        return None

    def check(self, names: Iterable[str]) -> None:
        """No column can be missing."""


@dataclass(frozen=True, repr=False)
class Collect(WholeChunks):
    """See `collect`."""

    name: ClassVar[str] = "collect"

    def partial(self, data: Any) -> list[Any]:
        """A list of one."""
        return [data]

    def combine(self, partials: Sequence[list[Any]]) -> list[Any]:
        """One list."""
        return [result for partial in partials for result in partial]

    def finish(self, partial: list[Any] | None) -> list[Any]:
        """The list, empty where there were no chunks."""
        return [] if partial is None else partial

    def __repr__(self) -> str:
        return "collect()"


def collect() -> Collect:
    """Keep every chunk's result: the answer is their list, in chunk order.

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

    def partial(self, data: Any) -> list[Any]:
        """A list of one frame or table, of none for None; `ReduceError` for anything else."""
        if data is None:
            return []
        if kind_of(data) is None:
            raise ReduceError(
                f"concat() puts frames and tables one after another, but a chunk gave "
                f"{describe_kind(data)}; use collect() for a list of anything"
            )
        return [data]

    def combine(self, partials: Sequence[list[Any]]) -> list[Any]:
        """One list: the copy is made once, at the end."""
        return [frame for partial in partials for frame in partial]

    def finish(self, partial: list[Any] | None) -> Any:
        """The frame or table; an empty DataFrame where there were no chunks."""
        import pandas as pd

        if not partial:
            return pd.DataFrame()
        kinds = {kind_of(frame) for frame in partial}
        if len(kinds) > 1:
            raise ReduceError(f"concat(): chunks gave different kinds: {sorted(map(str, kinds))}")
        kind = kinds.pop()
        if kind == "arrow":
            import pyarrow as pa

            return pa.concat_tables(partial, promote_options="permissive")
        if kind == "polars":
            import polars as pl

            return pl.concat(partial, how="vertical_relaxed")
        return pd.concat(partial, ignore_index=True)

    def __repr__(self) -> str:
        return "concat()"


def concat() -> Concat:
    """Put the chunks' frames one after another, as ``pandas.concat(frames, ignore_index=True)``.

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
class Count(WholeChunks):
    """See `count`."""

    name: ClassVar[str] = "count"
    wants: ClassVar[str] = "arrow"
    releases_gil: ClassVar[bool] = True
    reads_series: ClassVar[bool] = True

    def columns(self) -> tuple[str, ...] | None:
        """``()``: any column will do."""
        return ()

    def partial(self, data: Any) -> int:
        """Rows, items, or 1 for a number."""
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
        """Their sum."""
        return sum(partials)

    def finish(self, partial: int | None) -> int:
        """The number, 0 where there were no chunks."""
        return 0 if partial is None else partial

    def __repr__(self) -> str:
        return "count()"


def count() -> Count:
    """Count rows.

    The answer is one int: the rows of frames and tables, the items of Series, arrays and lists. A
    number or text that a chunk function returned counts as one, None as nothing. A Series labelled
    by integers without a name that are not the chunk's own is refused, see `sum`. (Counts of values
    a column, without nulls, are `group_by`'s ``"count"`` or `describe`.)

    Returns
    -------
    Reducer
    """
    return Count()


@dataclass(frozen=True, repr=False)
class UserReducer(WholeChunks):
    """See `reducer`. A partial is held in a tuple of one, so that None is a partial like others."""

    combine_function: Callable[[list[Any]], Any]
    partial_function: Callable[[Any], Any] | None = None
    finish_function: Callable[[Any], Any] | None = None
    dump_function: Callable[[Any], Any] | None = None
    load_function: Callable[[Any], Any] | None = None

    @property
    def name(self) -> str:
        """The name of the function that combines."""
        return getattr(self.combine_function, "__name__", type(self.combine_function).__name__)

    def partial(self, data: Any) -> tuple[Any]:
        """What the user's function makes of it, or the chunk's result itself."""
        return (data if self.partial_function is None else self.partial_function(data),)

    def combine(self, partials: Sequence[tuple[Any]]) -> tuple[Any]:
        """What the user's function makes of their list."""
        return (self.combine_function([value for (value,) in partials]),)

    def finish(self, partial: tuple[Any] | None) -> Any:
        """What the user's function makes of the last partial; None where there were no chunks."""
        if partial is None:
            return None
        (value,) = partial
        return value if self.finish_function is None else self.finish_function(value)

    def dump(self, partial: tuple[Any]) -> Any:
        """The partial as plain data, to be stored."""
        (value,) = partial
        return value if self.dump_function is None else self.dump_function(value)

    def load(self, stored: Any) -> tuple[Any]:
        """The partial that `dump` stored."""
        return (stored if self.load_function is None else self.load_function(stored),)

    def __repr__(self) -> str:
        parts = [self.name]
        for word in ("partial", "finish", "dump", "load"):
            function = getattr(self, f"{word}_function")
            if function is not None:
                parts.append(f"{word}={getattr(function, '__name__', repr(function))}")
        return f"reducer({', '.join(parts)})"


def reducer(
    combine: Callable[[list[Any]], Any],
    partial: Callable[[Any], Any] | None = None,
    finish: Callable[[Any], Any] | None = None,
    dump: Callable[[Any], Any] | None = None,
    load: Callable[[Any], Any] | None = None,
) -> UserReducer:
    """Make a reducer of one's own functions.

    Parameters
    ----------
    combine : callable
        Gets a **list** of at least two partials, in chunk order, and returns one of the same kind.
        It is called on groups of a few at a time, also on its own results; builtin `sum`, `max` or
        `pandas.concat` will do. It must not change what it gets. Where there is a single chunk it
        is not called.
    partial : callable, optional
        Chunk (or the chunk function's result) to partial, on the worker. Default: the thing itself.
    finish : callable, optional
        Last partial to answer. Default: the partial itself. Without any chunk the answer is None.
    dump, load : callable, optional
        Partial to plain data (bytes, numbers, texts, lists, dicts, arrays) and back, for partials
        that are to be stored and are not plain data themselves.

    Returns
    -------
    Reducer

    Raises
    ------
    ReduceError
        Something given is not callable, or only one of `dump` and `load` is given.

    Examples
    --------
    >>> total = reducer(sum, partial=len)
    >>> total.finish(total.combine([total.partial([1, 2]), total.partial([3])]))
    3
    """
    given: dict[str, Any] = {
        "combine": combine,
        "partial": partial,
        "finish": finish,
        "dump": dump,
        "load": load,
    }
    for word, function in given.items():
        if not callable(function) and (function is not None or word == "combine"):
            raise ReduceError(f"reducer({word}={function!r}): a function is needed")
    if (dump is None) != (load is None):
        raise ReduceError("reducer(): dump and load come together; one of them is missing")
    return UserReducer(combine, partial, finish, dump, load)
