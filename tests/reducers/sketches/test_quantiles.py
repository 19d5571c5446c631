import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from taskinity_data.reducers.sketches.quantiles import (
    MAX_VALUES,
    merge_summaries,
    quantiles_of,
    summarize,
)
from taskinity_data.reducers.tree import OrderedTree

Q = np.linspace(0, 1, 201)


@pytest.mark.parametrize("n_distinct", [1, 50, 3_000, 6_000])
def test_few_values_in_many_rows_are_counted_as_by_numpy(n_distinct):
    # The first rows may show few values and the rest many.
    values = np.resize(np.arange(n_distinct) - 25.0, 100_000)
    values[:9_000] = 0.0
    values[1:9_000:2] = -0.0
    summary = summarize(values)
    assert summary.rows.sum() == len(values)
    assert (np.diff(summary.values) > 0).all()
    if n_distinct <= MAX_VALUES:
        uniques, counts = np.unique(values, return_counts=True)
        np.testing.assert_array_equal(summary.values, uniques)
        np.testing.assert_array_equal(summary.rows, counts)
    assert rank_error(summary, values) <= summary.rank_error


def rank_error(summary, values):
    """The largest distance in rows between where an answer stands and where it should."""
    values = np.sort(values)
    answers = quantiles_of(summary, Q)
    low = np.searchsorted(values, answers, side="left")
    high = np.searchsorted(values, answers, side="right")
    wanted = Q * (len(values) - 1)
    return np.maximum(np.maximum(low - 1 - wanted, wanted - high), 0).max()


def through_tree(parts, split_every=8):
    tree = OrderedTree(merge_summaries, split_every)
    for place, part in enumerate(parts):
        tree.add((place,), summarize(part))
    tree.close(len(parts))
    return tree.result()


SHAPES = {
    "normal": lambda rng, n: rng.normal(size=n),
    "sorted": lambda rng, n: np.arange(n, dtype=float),
    "falling": lambda rng, n: -np.arange(n, dtype=float),
    "skewed": lambda rng, n: np.exp(rng.normal(size=n) * 5),
    "steps": lambda rng, n: np.round(rng.normal(size=n), 1),
    "two towns": lambda rng, n: np.where(rng.random(n) < 0.99, 0.0, rng.normal(size=n)),
}


@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("chunk_rows", [300_000, 5_000, 613])
def test_answers_stay_within_the_error_that_the_summary_states(shape, chunk_rows, rng):
    values = SHAPES[shape](rng, 300_000)
    parts = [values[i : i + chunk_rows] for i in range(0, len(values), chunk_rows)]
    summary = through_tree(parts)
    assert summary.rows.sum() == len(values)
    assert len(summary.values) <= MAX_VALUES
    assert (summary.values[0], summary.values[-1]) == (values.min(), values.max())
    assert rank_error(summary, values) <= summary.rank_error + 1
    assert summary.rank_error <= 7 / MAX_VALUES * len(values)


def test_up_to_the_limit_of_different_values_nothing_is_lost(rng):
    values = rng.integers(0, MAX_VALUES, 100_000).astype(float)
    summary = through_tree(np.array_split(values, 30))
    assert summary.rank_error == 0
    assert quantiles_of(summary, Q).tolist() == pytest.approx(np.quantile(values, Q).tolist())


@examples(50)
@given(parts=st.lists(st.lists(st.floats(allow_nan=False), max_size=9), min_size=1, max_size=6))
def test_small_summaries_equal_numpy(parts):
    summary = merge_summaries([summarize(np.array(part, dtype=float)) for part in parts])
    values = np.array([value for part in parts for value in part], dtype=float)
    got = quantiles_of(summary, np.array([0.0, 1.0]))
    if len(values):
        assert got.tolist() == [values.min(), values.max()]
    else:
        assert np.isnan(got).all()


def test_infinities_do_not_turn_their_neighbours_into_nan():
    summary = summarize(np.array([-np.inf, -np.inf, 0.0, np.inf, np.inf]))
    got = quantiles_of(summary, np.array([0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9]))
    assert got.tolist() == [-np.inf, -np.inf, -np.inf, 0.0, np.inf, np.inf, np.inf]
