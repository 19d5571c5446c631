"""Check the laws of reducers and of chunk functions on small pieces, in this process."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any, NamedTuple

import cloudpickle
import numpy as np
import pandas as pd

from taskinity_data.checks.compare import differ
from taskinity_data.checks.pieces import convert, count_rows, join, show, small_cuts
from taskinity_data.data_kinds import describe_kind, kind_of
from taskinity_data.flow.binding.signatures import find_kind, read_parameters
from taskinity_data.reducers.row_labels import as_item, is_numbering, make_partial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from taskinity_data.reducers.base import Reducer

__all__ = [
    "Broken",
    "as_rows",
    "check_chunkwise",
    "check_reducer",
    "find_broken",
    "find_dependence",
]

Chunks = list[Any]


class Broken(NamedTuple):
    """A law that does not hold, the difference, and the chunks that show it."""

    law: str
    difference: str
    chunks: Chunks

    def __str__(self) -> str:
        return f"{self.law}.\n{self.difference}\nThe chunks:\n{show(self.chunks)}"


def _never() -> bool:
    return False


def check_reducer(reducer: Reducer, frames: Sequence[Any]) -> None:
    """Check on real chunks that a reducer's answer does not depend on how chunks are grouped.

    Parameters
    ----------
    reducer : Reducer
        One of the library's, or of `td.reducer`.
    frames : sequence
        A few chunks, or results of a chunk function: frames, Arrow tables, Series, lists or arrays
        (what can be sliced and put together again). A Series labelled by integers without a name
        is rows, any other labelled numbers. A few hundred rows are enough; they should hold what
        is unusual in the data: nulls, equal keys in several chunks, negative numbers.

    Raises
    ------
    AssertionError
        A law does not hold. The message names it, with the first chunks found for which it
        does not, and both answers. The laws: the reducer and its partials pickle; there is an
        answer for no chunks at all; a single partial may go to `finish` without `combine`;
        `combine` is associative and leaves its partials as they were; rows may be cut anywhere,
        also into chunks without rows.
    ValueError
        There is nothing in `frames`, or they can't be sliced and put together, or it is one frame.

    Notes
    -----
    Answers are compared with their dtypes, nulls and order of rows; floats up to rounding (1e-9 of
    the largest in their column). A reducer whose answer depends on the chunks, as that of
    `td.collect` does, fails. Takes some hundred times as long as reducing `frames` once.

    Examples
    --------
    >>> import taskinity_data as td
    >>> td.testing.check_reducer(td.reducer(sum, partial=len), [["a", "b", "c"], ["d"]])
    >>> mean = td.reducer(lambda means: sum(means) / len(means), partial=lambda x: sum(x) / len(x))
    >>> td.testing.check_reducer(mean, [[1, 2, 6]])
    Traceback (most recent call last):
    AssertionError: reducer(<lambda>, partial=<lambda>): ...
    """
    if kind_of(frames) is not None:
        raise ValueError(f"give a list of chunks: [{type(frames).__name__}, …], not one alone")
    whole = join(list(frames))
    try:
        again: Any = pickle.loads(cloudpickle.dumps(reducer))  # noqa: S301 - made here
    except Exception as error:
        raise AssertionError(
            f"{reducer!r} can't be pickled, and so can't be sent to workers: {error}"
        ) from error
    try:
        reducer.finish(None)
    except Exception as error:
        raise AssertionError(
            f"{reducer!r}: finish(None), the answer for no chunks at all, raised {error!r}"
        ) from error
    broken = find_broken(again, [*small_cuts(whole), list(frames)])
    if broken is not None:
        raise AssertionError(f"{reducer!r}: {broken}")


def find_broken(
    reducer: Reducer, cuts: Iterable[Chunks], is_over: Callable[[], bool] = _never
) -> Broken | None:
    """Return the first law of `reducer` that does not hold for one of `cuts`; None if all hold.

    Stops as soon as `is_over` returns True.
    """
    for chunks in cuts:
        violation = None if is_over() else _break_laws(reducer, chunks)
        if violation is None:
            continue
        law, difference = violation
        return Broken(law, difference, chunks)
    return None


def _break_laws(reducer: Reducer, chunks: Chunks) -> tuple[str, str] | None:
    """Return the first law that `chunks` break, and the difference; None if all hold."""
    try:
        whole = reducer.finish(make_partial(reducer, as_item(join(chunks))))
    except Exception as error:  # noqa: BLE001 - reported to its author
        return "one chunk alone can't be reduced", f"It raised {type(error).__name__}: {error}"
    law = "some chunks can't be reduced"
    try:
        partials = [make_partial(reducer, as_item(chunk)) for chunk in chunks]
        partials = [pickle.loads(cloudpickle.dumps(partial)) for partial in partials]  # noqa: S301
        before = copy.deepcopy(partials)
        flat = reducer.combine(partials)
        law = "combine changes the partials that it gets"
        copied = copy.deepcopy(flat)
        for old, new in zip(before, partials, strict=True):
            difference = differ(reducer.finish(old), reducer.finish(copy.deepcopy(new)))
            if difference:
                return law, difference
        law = "combine is not associative"
        expected = reducer.finish(copied)
        for cut in sorted({1, len(partials) - 1} - {0, len(partials)}):
            fresh = copy.deepcopy(partials)
            nested = [reducer.combine(fresh[:cut]), reducer.combine(fresh[cut:])]
            difference = differ(expected, reducer.finish(reducer.combine(nested)))
            if difference:
                return law, f"combine([combine(first {cut}), combine(the others)]): {difference}"
        law = "the answer depends on where rows are cut into chunks"
        difference = differ(whole, expected)
    except Exception as error:  # noqa: BLE001 - reported to its author
        return law, f"It raised {type(error).__name__}: {error}"
    return (law, f"In one chunk and in {len(chunks)}: {difference}") if difference else None


def check_chunkwise(function: Callable[[Any], Any], frame: Any) -> None:
    """Check that a function may be run chunk by chunk: that the cuts don't change its rows.

    Rolling windows, differences to the row before, ranks, shares of a total and the removal of
    duplicates look beyond their chunk; run chunk by chunk they give other rows, and no error.

    Parameters
    ----------
    function : callable
        A chunk function; its first parameter's annotation is the type of its chunks, as in a run.
    frame : DataFrame, Arrow table or polars frame
        Rows like those of the data, some tens to some thousands, with what is unusual in them:
        equal keys far from each other, nulls, no order.

    Raises
    ------
    AssertionError
        The function's rows of all chunks, one after another, are not its rows of the whole frame.
        The message names the first row that differs, the cuts, and the chunks.
    TypeError
        The function returns no rows (a number, a dict): its results are for a reducer, see
        `check_reducer`.

    Notes
    -----
    Rows are compared with their columns, dtypes, nulls and order; floats up to rounding. An index
    of integers without a name is ignored, since a chunk's rows are numbered from 0. An error that
    the function raises for the whole frame is raised as it is.

    Examples
    --------
    >>> import pandas as pd
    >>> import taskinity_data as td
    >>> frame = pd.DataFrame({"x": [3, 1, 2]})
    >>> td.testing.check_chunkwise(lambda chunk: chunk[chunk.x > 1], frame)
    >>> td.testing.check_chunkwise(lambda chunk: chunk.cumsum(), frame)
    Traceback (most recent call last):
    AssertionError: <lambda>: its rows depend on where chunks are cut...
    """
    parameters = read_parameters(function)
    kind = find_kind(function, parameters[0]) if parameters else "pandas"
    name = getattr(function, "__name__", repr(function))
    if kind == "chunk":
        raise TypeError(f"{name} reads its chunk itself; check the function of its rows")

    def call(piece: Any) -> Any:
        return as_rows(function(convert(piece, kind)), name)

    dependence = find_dependence(call, small_cuts(frame, with_empty=False))
    if dependence is not None:
        raise AssertionError(f"{name}: {dependence}")


def find_dependence(
    call: Callable[[Any], Any], cuts: Iterable[Chunks], is_over: Callable[[], bool] = _never
) -> str | None:
    """Describe how the rows that `call` returns depend on the cuts; None if they don't.

    Parameters
    ----------
    call : callable
        A chunk function: takes and returns a table of rows.
    cuts : iterable of chunks
        The same rows, cut into chunks in different ways; the first difference is described.
    is_over : callable
        Returns True once no time is left; then the search stops.

    Raises
    ------
    TypeError
        The results of `call` can't be compared.
    """

    def find(chunks: Chunks) -> str | None:
        if is_over():
            return None
        whole = call(join(chunks))
        try:
            parts = [call(chunk) for chunk in chunks]
            return differ(whole, join(parts))
        except TypeError:
            raise
        except Exception as error:  # noqa: BLE001 - reported to its author
            return f"a chunk raised {error!r}"

    for chunks in cuts:
        difference = find(chunks)
        if difference:
            return (
                "its rows depend on where chunks are cut. Of the first "
                f"{sum(map(count_rows, chunks))} rows, in one chunk and cut before row "
                f"{_cuts_of(chunks)}: {difference}\nThe chunks:\n{show(chunks)}"
            )
    return None


def _cuts_of(chunks: Chunks) -> str:
    return " and ".join(map(str, np.cumsum([count_rows(chunk) for chunk in chunks])[:-1].tolist()))


def as_rows(result: Any, name: str) -> Any:
    """Return a function's result as rows whose numbering does not count."""
    kind = kind_of(result)
    if kind in ("pandas", "series"):
        index = result.index
        if is_numbering(index):
            return result.reset_index(drop=True)
        frame = result.to_frame() if kind == "series" else result
        labels = {
            f"index level {level}": index.get_level_values(level) for level in range(index.nlevels)
        }
        return pd.concat([pd.DataFrame(labels), frame.reset_index(drop=True)], axis=1)
    if kind is None and not isinstance(result, (list, tuple, np.ndarray)):
        raise TypeError(
            f"{name} returned {describe_kind(result)}, which has no rows to compare; use "
            "check_reducer for results that a reducer combines"
        )
    return result
