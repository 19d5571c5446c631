"""Sound reducers and chunk functions pass the checks, broken ones are caught and told."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from built_in_reducers import BUILT_IN

import taskinity_data as td
from taskinity_data.testing import check_chunkwise, check_reducer


@pytest.fixture
def frame():
    rng = np.random.default_rng(5)
    n = 40
    return pd.DataFrame(
        {
            "k": pd.Series(rng.choice(["a", "b", "c", None], n), dtype="str"),
            "x": np.where(rng.random(n) < 0.2, np.nan, rng.normal(50, 20, n)),
            "n": rng.integers(-9, 9, n),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 90, n), unit="D"),
        }
    )


SOUND = [
    *(reducer for reducer in BUILT_IN.values() if reducer.name != "collect"),
    td.group_by("k", a=("x", "mean"), b=("n", "sum"), c=("day", "max"), d=("x", "std")),
    td.group_by("k", "n", a=("x", "first"), b=("x", "nunique")),
    td.reducer(lambda parts: pd.concat(parts).groupby(level=0).sum(),
               partial=lambda chunk: chunk.groupby("k")[["n"]].sum()),
    td.reducer(sum, partial=len),
    td.reducer(max, partial=lambda chunk: chunk.n.max() if len(chunk) else -99),
]  # fmt: skip


@pytest.mark.parametrize("reducer", SOUND, ids=repr)
def test_sound_reducers_pass(reducer, frame):
    numbers = frame.drop(columns=["day"]) if reducer.name in ("sum", "mean") else frame
    check_reducer(reducer, [numbers[:20], numbers[20:].reset_index(drop=True)])


def _add_in_place(parts):
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


def _share(chunk):
    return float(chunk.n.mean()) if len(chunk) else 0.0


class Unpicklable:
    def __reduce__(self):
        raise TypeError("not this one")

    def __call__(self, chunk):
        return len(chunk)


class NoNothing:
    """A reducer of one's own that has no answer where there are no chunks."""

    is_reducer, name, wants, releases_gil = True, "no_nothing", "pandas", False

    def columns(self):
        return None

    def check(self, names):
        pass

    def partial(self, data):
        return len(data)

    def combine(self, partials):
        return sum(partials)

    def finish(self, partial):
        return partial + 0


CUTS, NESTED = "where rows are cut", "not associative"
BROKEN = {
    "means of means": (td.reducer(lambda p: sum(p) / len(p), partial=_share), f"{NESTED}|{CUTS}"),
    "differences": (td.reducer(lambda p: p[0] - sum(p[1:]), partial=len), f"{NESTED}|{CUTS}"),
    "the first alone": (td.reducer(lambda p: p[0], partial=len), CUTS),
    "the last alone": (td.reducer(lambda p: p[-1], partial=len), CUTS),
    "how many parts": (td.reducer(len, partial=len), f"{NESTED}|{CUTS}"),
    "in place": (td.reducer(_add_in_place, partial=lambda c: np.array([len(c)])), "changes the"),
    "empty chunks": (td.reducer(sum, partial=lambda c: c.n.iloc[0] * 0), "raised IndexError"),
    "two arguments": (td.reducer(lambda a, b: a + b, partial=len), "some chunks can't be reduced"),
    "no chunks": (NoNothing(), r"finish\(None\)"),
    "collect": (td.collect(), CUTS),
    "medians": (td.reducer(lambda p: float(np.median(p)), partial=_share), f"{NESTED}|{CUTS}"),
    "dtypes": (td.reducer(lambda p: sum(p) * 1.0, partial=len), "int here, float there"),
    "filled nulls": (td.reducer(sum, partial=lambda c: c.x.fillna(c.x.mean()).sum()), CUTS),
    "unique of a chunk": (td.reducer(sum, partial=lambda c: c.k.nunique()), CUTS),
    "order": (td.reducer(lambda p: pd.concat(p[::-1]), partial=lambda c: c[["n"]]), CUTS),
    "generators": (td.reducer(sum, partial=lambda c: (x for x in c.n)), "some chunks|one chunk"),
    "can't be sent": (td.reducer(sum, partial=Unpicklable()), "can't be pickled"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_reducers_are_caught(name, frame):
    reducer, law = BROKEN[name]
    with pytest.raises(AssertionError, match=law):
        check_reducer(reducer, [frame])


def test_the_chunks_of_the_smallest_cut_are_shown(frame):
    wrong = td.reducer(sum, partial=lambda c: int((c.n > -100).any()))
    with pytest.raises(AssertionError) as caught:
        check_reducer(wrong, [frame])
    chunks = str(caught.value).partition("The chunks:")[2]
    assert len(re.findall(r"^\d+ ", chunks, flags=re.MULTILINE)) == 2  # one row each
    assert "1 here, 2 there" in str(caught.value)


def test_reducers_of_lists_arrays_and_tables(frame):
    check_reducer(td.reducer(sum, partial=sum), [[1, 2], [3]])
    check_reducer(td.reducer(sum, partial=len), [np.arange(5)])
    check_reducer(td.group_by("k", n=("n", "sum")), [pa.Table.from_pandas(frame)])
    check_reducer(td.concat(), [pl.from_pandas(frame)])
    with pytest.raises(ValueError, match="no chunks to check"):
        check_reducer(td.count(), [])
    for alone in (frame, frame["n"], pa.table({"k": [1]})):
        with pytest.raises(ValueError, match="give a list of chunks"):
            check_reducer(td.sum(), alone)
    with pytest.raises(ValueError, match="can't be cut"):
        check_reducer(td.count(), [{1}, {2}])


# -- chunk functions ---------------------------------------------------------------------------


def _arrow(table: pa.Table):
    return table.filter(pa.compute.greater(table["n"], 0))


def _polars(table: pl.DataFrame):
    return table.with_columns(pl.col("n") * 2)


def _in_place(chunk):
    chunk["double"] = chunk.n * 2
    return chunk


CHUNKWISE = {
    "the same": lambda chunk: chunk,
    "rows": lambda chunk: chunk[chunk.x > 40],
    "none": lambda chunk: chunk[chunk.x > 1e9],
    "columns": lambda chunk: chunk.assign(y=chunk.x * 2, z=chunk.k.str.upper()),
    "dates": lambda chunk: chunk.assign(month=chunk.day.dt.month),
    "series": lambda chunk: chunk.x.abs(),
    "array": lambda chunk: chunk.n.to_numpy() ** 2,
    "list": lambda chunk: chunk.k.tolist(),
    "index": lambda chunk: chunk.set_index("k")[["n"]],
    "explode": lambda chunk: chunk.loc[chunk.index.repeat(2)],
    "arrow": _arrow,
    "polars": _polars,
    "in place": _in_place,
}


@pytest.mark.parametrize("name", CHUNKWISE)
def test_functions_of_rows_pass(name, frame):
    before = frame.copy()
    check_chunkwise(CHUNKWISE[name], frame)
    pd.testing.assert_frame_equal(frame, before)


def _gaps(table: pl.DataFrame):
    return table.with_columns(pl.col("n").diff())


LOOKS_BEYOND = {
    "rolling": lambda chunk: chunk.n.rolling(3, min_periods=1).sum(),
    "diff": lambda chunk: chunk.n.diff(),
    "shift": lambda chunk: chunk.assign(before=chunk.n.shift(fill_value=0)),
    "cumulated": lambda chunk: chunk.n.cumsum(),
    "rank": lambda chunk: chunk.n.rank(),
    "duplicates": lambda chunk: chunk.drop_duplicates("k"),
    "share": lambda chunk: chunk.n / chunk.n.abs().sum(),
    "sorted": lambda chunk: chunk.sort_values("n", kind="stable"),
    "filled forward": lambda chunk: chunk.k.ffill(),
    "filled by the mean": lambda chunk: chunk.x.fillna(chunk.x.mean()),
    "groups": lambda chunk: chunk.groupby("k").n.sum(),
    "head": lambda chunk: chunk.head(2),
    "position": lambda chunk: chunk.reset_index(names="row"),
    "dtype": lambda chunk: chunk.n.astype(float) if len(chunk) % 2 else chunk.n,
    "codes": lambda chunk: chunk.k.astype("category").cat.codes,
    "pivot": lambda chunk: pd.crosstab(chunk.n, chunk.k.fillna("none")),
    "raises": lambda chunk: chunk.n / (1 if len(chunk) > 3 else [].pop()),
    "polars": _gaps,
}


@pytest.mark.parametrize("name", LOOKS_BEYOND)
def test_functions_that_look_beyond_their_chunk_are_caught(name, frame):
    if name == "raises":  # raises for the whole of the smallest frames too: that is told as it is
        with pytest.raises(IndexError):
            check_chunkwise(LOOKS_BEYOND[name], frame)
        return
    with pytest.raises(AssertionError, match="depend on where chunks are cut"):
        check_chunkwise(LOOKS_BEYOND[name], frame)


def test_the_first_row_that_differs_is_named():
    with pytest.raises(AssertionError, match=r"cut before row 1: row 1: .*3.* here, .*2.* there"):
        check_chunkwise(lambda chunk: chunk.n.cumsum(), pd.DataFrame({"n": [1, 2, 3, 4]}))


def test_rounding_is_no_difference(frame):
    check_chunkwise(lambda chunk: chunk.x + len(chunk) * 1e-12, frame)
    with pytest.raises(AssertionError):
        check_chunkwise(lambda chunk: chunk.x + len(chunk) * 1e-3, frame)


def test_results_without_rows_and_chunks_read_by_the_function_are_refused(frame):
    def reads(chunk: td.Chunk):
        return chunk.read()

    with pytest.raises(TypeError, match="no rows to compare"):
        check_chunkwise(len, frame)
    with pytest.raises(TypeError, match="reads its chunk itself"):
        check_chunkwise(reads, frame)
