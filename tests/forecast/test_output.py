"""How large answers get: estimates against draws and lists of which all is known."""

import numpy as np
import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.forecast.output import (
    answer_nbytes,
    estimate_concatenated,
    estimate_growth,
    estimate_merged,
)

SIZES = [4_000, 1_000, 2_000] * 4
TOTAL = 2_000_000


def seen(reducer, frame):
    """What `estimate_merged` gives for slices of `frame`, eight bytes a row, and the whole."""
    at = np.linspace(0, len(frame) - max(SIZES), len(SIZES)).astype(int)
    slices = [frame.iloc[start : start + size] for start, size in zip(at, SIZES, strict=True)]
    partials = [reducer.partial(one) for one in slices]
    grown = estimate_merged(reducer, partials, SIZES, TOTAL)
    return grown, answer_nbytes(reducer.partial(frame))


@pytest.mark.parametrize("keys", [50, 5_000, 50_000, 500_000])
def test_the_number_of_keys_that_are_drawn_at_random_is_in_the_range(keys):
    drawn = np.random.default_rng(0).integers(0, keys, TOTAL)
    grown, whole = seen(td.group_by("key", n=("key", "count")), pd.DataFrame({"key": drawn}))
    assert grown.low / 1.25 <= whole <= grown.high * 1.25
    if keys == 50:  # all of them are in each slice
        assert grown.high == grown.low


def test_keys_that_go_on_for_ever_are_not_said_to_be_known():
    frame = pd.DataFrame({"key": np.arange(TOTAL) // 3})
    grown, whole = seen(td.group_by("key", n=("key", "count")), frame)
    assert grown.low <= whole * 1.25
    assert grown.high * 1.25 >= whole


def test_what_stays_the_same_stays_the_same():
    assert estimate_growth([(1, 100.0), (8, 100.0)], 1e9)[:2] == (100.0, 100.0)


def test_of_a_single_slice_nothing_is_known():
    assert estimate_growth([(10, 100.0)] * 2, 1000)[:2] == (100.0, 10_000.0)
    assert estimate_growth([(10, 100.0)] * 2, 10)[:2] == (100.0, 100.0)


def test_results_of_one_size_are_counted_by_the_chunk():
    table = np.zeros(1000)
    grown = estimate_concatenated([[table]] * 6, [400, 100, 200] * 2, 40_000, 10)
    assert grown.low == pytest.approx(10 * 8000, rel=0.01)


def test_rows_that_are_kept_are_counted_by_the_byte():
    results = [[np.zeros(size)] for size in (400, 100, 200)]
    grown = estimate_concatenated(results, [4000, 1000, 2000], 40_000, 10)
    assert grown.low == pytest.approx(4_000 * 8, rel=0.01)


def test_a_list_of_plain_values_is_counted_as_one_list():
    results = [[n] for n in range(12)]
    grown = estimate_concatenated(results, SIZES, sum(SIZES) * 10, 120)
    assert grown.low == pytest.approx(answer_nbytes(list(range(120))), rel=0.25)
