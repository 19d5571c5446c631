import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import taskinity_data as td
from taskinity_data.reducers.sketches.hyperloglog import (
    estimate_distinct,
    find_registers,
    hash_values,
    merge_registers,
    rank_hashes,
)


def estimate(hashes, precision):
    keys, ranks = merge_registers(*rank_hashes(hashes, precision))
    return int(estimate_distinct(keys, ranks, 1, precision)[0])


@pytest.mark.parametrize("n", [0, 1, 1_000, 100_000])
def test_the_registers_of_one_group_are_those_of_sorting_all_hashes(n):
    hashes = hash_values(pd.Series(np.arange(n)))
    for found, wanted in zip(
        find_registers(hashes, 14), merge_registers(*rank_hashes(hashes, 14)), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == wanted.dtype


@pytest.mark.parametrize("precision", [12, 14])
@pytest.mark.parametrize("n", [0, 1, 2, 50, 3_000, 12_000, 40_000, 1_000_000])
def test_estimates_stay_within_three_standard_errors(precision, n):
    hashes = hash_values(pd.Series(np.arange(n)))
    allowed = max(3 * 1.04 / np.sqrt(1 << precision) * n, 1)
    assert abs(estimate(hashes, precision) - n) <= allowed


def test_there_is_no_bias_over_many_sets():
    rng = np.random.default_rng(1)
    for n in (2_000, 10_000, 20_000):
        errors = [
            estimate(hash_values(pd.Series(rng.integers(0, 2**62, n))), 12) / n - 1
            for _ in range(40)
        ]
        assert abs(np.mean(errors)) < 3 * 0.0163 / np.sqrt(40)
        assert np.std(errors) < 1.5 * 0.0163


def test_ranks_count_the_zeros_that_follow_the_register():
    hashes = np.array([0, 1, 1 << 51, (1 << 52) - 1, 1 << 50], dtype=np.uint64)
    registers, ranks = rank_hashes(hashes, 12)
    assert registers.tolist() == [0] * 5
    assert ranks.tolist() == [53, 52, 1, 1, 2]
    assert rank_hashes(np.array([2**64 - 1], dtype=np.uint64), 12)[0].tolist() == [4095]


def test_equal_numbers_hash_alike_whatever_their_type():
    one = {
        int(hash_values(pd.Series([1], dtype=dtype))[0])
        for dtype in ("int64", "int8", "uint64", "float64", "float32", "Int64", "int64[pyarrow]")
    }
    assert len(one) == 1
    assert one == {int(hash_values(pd.Series([1], dtype="category"))[0])}
    assert one == {int(hash_values(pd.Series([True], dtype="category"))[0])}
    zeros = hash_values(pd.Series([0.0, -0.0]))
    assert zeros[0] == zeros[1]


TIMES = pd.Series(pd.to_datetime([-2, 0, 1], unit="s"))


@pytest.mark.parametrize("kind", ["datetime64", "timedelta64"])
def test_equal_times_hash_alike_whatever_their_unit(kind):
    times = TIMES if kind == "datetime64" else TIMES - TIMES[1]
    arrow = pa.timestamp if kind == "datetime64" else pa.duration
    dtypes = [f"{kind}[{unit}]" for unit in ("s", "ms", "us", "ns")]
    dtypes += [pd.ArrowDtype(arrow(unit)) for unit in ("s", "ns")]
    hashes = {tuple(hash_values(times.astype(dtype)).tolist()) for dtype in dtypes}
    assert len(hashes) == 1
    finer = times.astype(f"{kind}[ns]") + pd.Timedelta(1, "ns")
    assert len({*hashes.pop(), *hash_values(finer).tolist()}) == 6


def test_times_of_another_unit_are_counted_once(reduce):
    frames = [TIMES.astype(f"datetime64[{unit}]").to_frame("t") for unit in ("s", "ns")]
    assert reduce(td.approx_distinct("t"), frames) == 3
    frames = [frame.assign(k=1) for frame in frames]
    got = reduce(td.group_by("k", n=("t", "approx_distinct"), m=("t", "nunique")), frames)
    assert got.iloc[0].tolist() == [3, 3]


def test_long_integers_that_one_float_stands_for_stay_different():
    values = pd.Series([2**60, 2**60 + 1, 2**53, 2**53 + 1])
    assert len(set(hash_values(values).tolist())) == 4


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(["a", "b", "é"], dtype="str"),
        pd.Series(["a", "b", "é"], dtype="string"),
        pd.Series(["a", "b", "é"], dtype=object),
        pd.Series(["a", "b", "é"], dtype="category"),
        pd.Series(pd.to_datetime([1, 2, 3], utc=True)),
        pd.Series(pd.to_timedelta([1, 2, 3])),
        pd.Series([18262, 18263], dtype="int32[pyarrow]").astype(pd.ArrowDtype(pa.date32())),
        pd.Series([True, False, True]).iloc[:2],
    ],
    ids=lambda values: str(values.dtype),
)
def test_every_kind_of_column_can_be_hashed(values):
    assert len(set(hash_values(values).tolist())) == len(values)


def test_hashes_do_not_depend_on_the_process():
    code = (
        "import pandas as pd; from taskinity_data.reducers.sketches.hyperloglog import hash_values;"
        "print(hash_values(pd.Series(['a', 'é'])).tolist(), hash_values(pd.Series([1.5])).tolist())"
    )
    shown = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1")
    }
    assert len(shown) == 1
