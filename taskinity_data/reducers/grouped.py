"""Compute a group-by chunk by chunk, equal to pandas' own over all rows."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from taskinity_data.data_kinds import describe_kind, kind_of
from taskinity_data.errors import ReduceError, hides_frames
from taskinity_data.reducers.base import RowReducer
from taskinity_data.reducers.column_values import Answer
from taskinity_data.reducers.groups.aggregates import HOWS, aggregate_of, answer_dtype
from taskinity_data.reducers.groups.group_states import measure_groups, merge_groups, start_groups
from taskinity_data.reducers.groups.grouping import order_groups
from taskinity_data.reducers.inputs import (
    as_dtype,
    encode_keys,
    to_arrow,
    to_columns,
)
from taskinity_data.reducers.row_labels import as_table
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["GroupBy", "group_by"]


@dataclass(frozen=True, repr=False)
class GroupBy(RowReducer):
    """See `group_by`."""

    by: tuple[Any, ...]
    aggregates: tuple[tuple[str, Any, str], ...]

    name: ClassVar[str] = "group_by"

    def columns(self) -> tuple[str, ...]:
        """Return the keys, then the aggregated columns, each once."""
        return tuple(dict.fromkeys([*self.by, *(column for _, column, _ in self.aggregates)]))

    def encodes(self) -> tuple[Any, ...]:
        """Return the columns that may be read as codes: keys that are not aggregated too."""
        aggregated = {column for _, column, _ in self.aggregates}
        return tuple(key for key in self.by if key not in aggregated)

    @property
    def _pairs(self) -> list[tuple[Any, str]]:
        return list(dict.fromkeys((column, how) for _, column, how in self.aggregates))

    def partial(self, data: Any) -> dict[str, Any] | None:
        """Return the groups of a frame or table; None if it has neither rows nor columns."""
        data = as_table(data, "group_by()")
        encoded = encode_keys(data, self.encodes())
        names = [column for column in self.columns() if column not in encoded]
        if kind_of(data) == "polars":
            data = to_arrow(data, names)
        columns = to_columns(data, names, "group_by()")
        return None if columns is None else start_groups(columns, self.by, self._pairs, encoded)

    def combine(self, partials: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
        """Merge the groups."""
        present = [partial for partial in partials if partial is not None]
        return merge_groups(present, [how for _, how in self._pairs]) if present else None

    def finish(self, partial: dict[str, Any] | None) -> pd.DataFrame:
        """Return the answer; without any chunk a frame without rows whose columns are objects."""
        if partial is None:
            index: Any = pd.Index([], dtype=object, name=self.by[0])
            if len(self.by) > 1:
                index = pd.MultiIndex.from_arrays([[]] * len(self.by), names=self.by)
            return pd.DataFrame(columns=[new for new, _, _ in self.aggregates], index=index)
        keys, states = partial["keys"], partial["states"]
        n_groups = len(keys)
        if n_groups:
            keys = _with_pandas_dtypes(keys, partial["empty_keys"])
        order, index = order_groups(keys if n_groups else partial["empty_keys"])
        del keys
        answers = {}
        for number, (column, how) in enumerate(self._pairs):
            dtype = answer_dtype(partial["empty"][column], how)
            label = f"group_by(): {how} of column {column!r} in a group"
            values = aggregate_of(how).finish(states[number], Answer(n_groups, dtype, label))
            answers[column, how] = values.take(order).set_axis(index)
        columns = {new: answers[column, how] for new, column, how in self.aggregates}
        # Two names of one pair must not share their memory.
        is_shared = len(columns) > len(answers)
        return pd.DataFrame(columns, index=index, copy=is_shared)

    def measure(self, partial: dict[str, Any] | None) -> int:
        """Return about how many bytes a partial takes."""
        return 0 if partial is None else measure_groups(partial)

    def __repr__(self) -> str:
        aggregates = [f"{new}=({column!r}, {how!r})" for new, column, how in self.aggregates]
        return f"group_by({', '.join([*map(repr, self.by), *aggregates])})"


def _with_pandas_dtypes(keys: pd.DataFrame, empty: pd.DataFrame) -> pd.DataFrame:
    """Return `keys` with exact integers with nulls as floats, as in pandas."""
    dtypes = empty.dtypes
    positions = [i for i in range(keys.shape[1]) if keys.dtypes.iloc[i] != dtypes.iloc[i]]
    positions = [i for i in positions if dtypes.iloc[i] == "float64"]
    if positions:
        keys = keys.copy(deep=False)
        for position in positions:
            column: Any = keys.iloc[:, position]
            label = f"group_by(): a key of column {column.name!r}"
            keys.isetitem(position, as_dtype(column, dtypes.iloc[position], label).array)
    return keys


@hides_frames
def group_by(*by: Any, **aggregates: tuple[Any, str]) -> GroupBy:
    """Group all rows by columns and aggregate each group.

    The answer equals ``frame.groupby([*by], dropna=True, observed=True).agg(**aggregates)`` over
    all rows: the keys are its index, sorted; names, dtypes and nulls are as in pandas.

    A Series labelled by the chunk's own rows, or by labels that have a name or are not integers, is
    a frame of one column; any other is refused, see `sum`.

    Parameters
    ----------
    *by : str
        The key columns, one by one or as one list. Rows with a null among their keys belong to no
        group. Levels of the index with such a name will do.
    **aggregates : (column, how)
        ``new=(column, how)``, where `how` is ``"sum"``, ``"count"``, ``"mean"``, ``"min"``,
        ``"max"``, ``"var"``, ``"std"`` (ddof 1), ``"first"``, ``"last"``, ``"nunique"`` or
        ``"approx_distinct"`` (HyperLogLog, standard error 1.6 %).

    Returns
    -------
    Reducer

    Raises
    ------
    ReduceError
        No key, no aggregate, an unknown `how`. Later: a column that can't be aggregated in this
        way, and a sum of integers that 64 bits can't hold, where pandas would wrap around.

    Notes
    -----
    Sums of integers are exact; the error of those of floats is below 1e-12 * sum|x|, for any number
    of chunks. Variances are computed from deviations, not from squares. ``"min"`` of zeros and keys
    that are zero are 0.0, never -0.0.

    The answer is one DataFrame and must fit in memory. Beside it a run holds a few chunks' partials
    (a few numbers a group and aggregate; ``"nunique"`` every different value of each group,
    ``"approx_distinct"`` at most 36 KiB a group) and those that wait to be combined: 128 MiB, or a
    few times what is combined so far.

    Examples
    --------
    >>> import pandas as pd
    >>> late = group_by("carrier", mean=("delay", "mean"), flights=("delay", "count"))
    >>> chunks = [pd.DataFrame({"carrier": ["UA", "AA"], "delay": [1.0, 2.0]}),
    ...           pd.DataFrame({"carrier": ["UA", "UA"], "delay": [3.0, None]})]
    >>> late.finish(late.combine([late.partial(chunk) for chunk in chunks]))
             mean  flights
    carrier
    AA        2.0        1
    UA        2.0        2
    """
    if len(by) == 1 and isinstance(by[0], list):
        by = tuple(by[0])
    if not by:
        raise ReduceError('group_by() needs a key: group_by("carrier", n=("delay", "count"))')
    for key in by:
        if isinstance(key, (list, tuple)):
            listed = ", ".join(map(repr, key))
            raise ReduceError(f"group_by(): pass keys separately: group_by({listed}, ...)")
        if not isinstance(key, Hashable):
            raise ReduceError(
                f"group_by(): a key is a column's name, not {describe_kind(key)}; pass aggregates "
                'as new=(column, how): n=("delay", "count")'
            )
    if len(set(by)) < len(by):
        raise ReduceError(f"group_by(): a key is repeated: {', '.join(map(repr, by))}")
    if not aggregates:
        raise ReduceError(
            'group_by() needs what to compute, as new=(column, how): n=("delay", "count")'
        )
    checked = []
    for new, pair in aggregates.items():
        if not isinstance(pair, tuple) or len(pair) != len(("column", "how")):
            raise ReduceError(
                f'group_by(): {new}={pair!r} is not a pair: write {new}=("COLUMN", "sum")'
            )
        column, how = pair
        if not isinstance(how, str) or how not in HOWS:
            hint = suggest(str(how), HOWS)
            if how in ("median", "quantile"):
                hint = " Of all rows: td.approx_quantiles(column, 0.5)."
            raise ReduceError(
                f"group_by(): {new}={pair!r}: unknown aggregate {how!r}.{hint} Choose from: "
                f"{', '.join(HOWS)}"
            )
        checked.append((new, column, how))
    return GroupBy(tuple(by), tuple(checked))
