import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskinity_data.errors import ReduceError
from taskinity_data.reducers.groups.sums import (
    Moments,
    add_floats,
    add_integers,
    add_moments,
    fit_integers,
    floats_of_integers,
    sum_floats,
    sum_integers,
    sum_moments,
)

ALLOWED = 1e-12


def total_of(values, chunk_rows):
    values = np.asarray(values, dtype=np.float64)
    total = (np.zeros(1), np.zeros(1))
    for start in range(0, len(values), chunk_rows):
        part = values[start : start + chunk_rows]
        total = add_floats(total, sum_floats(part, np.zeros(len(part), dtype=np.intp), 1))
    return float(total[0][0] + total[1][0])


def error_share(values, chunk_rows):
    exact = math.fsum(values)
    return abs(total_of(values, chunk_rows) - exact) / math.fsum(map(abs, values))


def adversarial():
    rng = np.random.default_rng(3)
    tenths = np.full(1_000_000, 0.1)
    alternating = np.tile([1e16, 1.0, -1e16, 1e-16], 50_000)
    wide = rng.normal(size=200_000) * 10.0 ** rng.integers(-150, 150, 200_000)
    cancelling = np.concatenate([wide, -wide[::-1], [1e-300]])
    growing = np.concatenate([[1e8], np.full(300_000, 1e-8)])
    return {
        "tenths": tenths,
        "alternating": alternating,
        "wide": wide,
        "cancelling": cancelling,
        "growing": growing,
    }


@pytest.mark.parametrize("name", list(adversarial()))
@pytest.mark.parametrize("chunk_rows", [10**9, 4_096, 997])
def test_sums_of_floats_stay_within_the_promise(name, chunk_rows):
    assert error_share(adversarial()[name], chunk_rows) < ALLOWED


def test_a_hundred_thousand_chunks_of_one_row_stay_within_the_promise():
    values = np.tile([0.1, 1e9, -1e9, 1e-7], 25_000)
    naive = 0.0
    for value in values:
        naive += value
    total = (np.zeros(1), np.zeros(1))
    zeros = np.zeros(1)
    for value in values:
        total = add_floats(total, (np.array([value]), zeros))
    scale = math.fsum(np.abs(values))
    assert abs(total[0][0] + total[1][0] - math.fsum(values)) / scale < ALLOWED
    assert abs(total[0][0] + total[1][0] - math.fsum(values)) < abs(naive - math.fsum(values))


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.floats(-1e300, 1e300, allow_subnormal=True)), max_size=60
    )
)
def test_each_group_has_its_own_precise_sum(rows):
    codes = np.array([code for code, _ in rows], dtype=np.intp)
    values = np.array([value for _, value in rows], dtype=np.float64)
    high, low = sum_floats(values, codes, 4)
    for group in range(4):
        mine = values[codes == group].tolist()
        exact = sum(map(Fraction, mine), Fraction(0))
        scale = sum((abs(Fraction(value)) for value in mine), Fraction(0))
        got = Fraction(float(high[group])) + Fraction(float(low[group]))
        assert abs(got - exact) <= scale * Fraction(ALLOWED)


SHAPES = {
    "few groups": (300_000, lambda rng, n: rng.integers(0, 6, n)),
    "many small groups": (300_000, lambda rng, n: rng.integers(0, 100_000, n)),
    "many groups and two large": (300_000, lambda rng, n: rng.zipf(1.3, n) % 100_000),
    "one large group": (300_000, lambda rng, n: np.where(rng.random(n) < 0.9, 7, 99_999)),
}


@pytest.mark.parametrize("name", list(SHAPES))
def test_groups_of_any_size_stay_within_the_promise_of_math_fsum(name):
    rng = np.random.default_rng(5)
    n_rows, make = SHAPES[name]
    codes = make(rng, n_rows)
    n_groups = int(codes.max()) + 1
    values = np.where(rng.random(n_rows) < 0.5, 0.1, rng.normal(size=n_rows) * 1e6)
    high, low = sum_floats(values, codes, n_groups)
    rows_of_groups = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    for group, rows in enumerate(rows_of_groups):
        mine = values[rows]
        allowed = ALLOWED * math.fsum(np.abs(mine))
        assert abs(high[group] + low[group] - math.fsum(mine)) <= allowed


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ([np.inf, 1.0], np.inf),
        ([-np.inf, 1.0], -np.inf),
        ([np.inf, -np.inf], np.nan),
        ([np.nan, 1.0], np.nan),
        ([1e308, 1e308], np.inf),
        ([5e-324, 5e-324], 1e-323),
        ([-0.0], 0.0),
    ],
)
@pytest.mark.parametrize("chunk_rows", [1, 2])
def test_infinities_nan_and_the_ends_of_the_range(values, want, chunk_rows):
    got = total_of(values, chunk_rows)
    assert got == want or (math.isnan(got) and math.isnan(want))


def test_an_infinity_stays_through_later_chunks():
    assert total_of([np.inf, 1.0, 2.0, 3.0], 1) == np.inf


INTEGERS = {
    dtype: st.integers(np.iinfo(dtype).min, np.iinfo(dtype).max)
    for dtype in ("int8", "uint8", "int32", "int64", "uint64")
}


@pytest.mark.parametrize("dtype", list(INTEGERS))
@given(data=st.data())
def test_sums_of_integers_are_exact_and_never_wrap(dtype, data):
    chunks = data.draw(st.lists(st.lists(INTEGERS[dtype], max_size=8), min_size=1, max_size=4))
    total = (np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    for chunk in chunks:
        codes = np.zeros(len(chunk), dtype=np.intp)
        total = add_integers(total, sum_integers(np.array(chunk, dtype=dtype), codes, 1))
    exact = sum(sum(chunk) for chunk in chunks)
    assert (int(total[0][0]) << 32) + int(total[1][0]) == exact
    as_floats = floats_of_integers(total)
    assert as_floats[0][0] == float(exact)
    wide = np.dtype("uint64" if dtype.startswith("u") else "int64")
    if np.iinfo(wide).min <= exact <= np.iinfo(wide).max:
        assert int(fit_integers(total, wide, "s")[0]) == exact
    else:
        with pytest.raises(ReduceError, match=f"s is {exact}, which does not fit {wide}"):
            fit_integers(total, wide, "s")


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32", "uint8"])
@pytest.mark.parametrize("end", ["min", "max"])
def test_the_ends_of_a_type_fit_and_one_more_does_not(dtype, end):
    edge = int(getattr(np.iinfo(dtype), end))
    for value, fits in [(edge, True), (edge + (1 if end == "max" else -1), False)]:
        pair = np.array([value >> 32], dtype=np.int64), np.array([value & 0xFFFFFFFF])
        if fits:
            assert int(fit_integers(pair, np.dtype(dtype), "s")[0]) == value
        else:
            with pytest.raises(ReduceError):
                fit_integers(pair, np.dtype(dtype), "s")


@pytest.mark.parametrize("offset", [0.0, 1e9, -1e12])
@pytest.mark.parametrize("chunk_rows", [1, 7, 1000])
def test_variances_keep_their_digits_under_a_large_offset(offset, chunk_rows):
    values = np.random.default_rng(2).normal(size=2_000) + offset
    total = Moments(*np.zeros((4, 1)))
    for start in range(0, len(values), chunk_rows):
        part = values[start : start + chunk_rows]
        total = add_moments(total, sum_moments(part, np.zeros(len(part), dtype=np.intp), 1))
    exact_mean = sum(map(Fraction, values)) / len(values)
    exact = float(sum((Fraction(v) - exact_mean) ** 2 for v in values) / (len(values) - 1))
    assert total.squares[0] / (total.n[0] - 1) == pytest.approx(exact, rel=1e-12)
    assert total.mean[0] == pytest.approx(float(exact_mean), rel=1e-15)
