"""A group-by that spills gives what it gives in memory, to the last bit."""

import datetime as dt
import os
import subprocess
import sys
import tempfile
import tracemalloc
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_series_equal
from properties import examples

import taskinity_data as td
from taskinity_data.errors import FlowFailed, ReduceError
from taskinity_data.reducers.base import reducer
from taskinity_data.reducers.grouped import group_by
from taskinity_data.reducers.spilling import group_holder
from taskinity_data.reducers.spilling.holding import Plainly, hold
from taskinity_data.reducers.spilling.key_hash import hash_keys
from taskinity_data.reducers.spilling.plain_columns import NotPlain, plain_arrays, rebuild_column
from taskinity_data.reducers.spilling.scratch import SpillFile
from taskinity_data.reducers.tree import OrderedTree

pytestmark = pytest.mark.thorough

PLENTY = 1 << 40


@pytest.fixture
def budget(monkeypatch):
    """Sets the budget; says how many blocks were stored since."""
    stored = []
    write_block = group_holder.write_block

    def count(*args):
        block = write_block(*args)
        stored.append(block is not None)
        return block

    monkeypatch.setattr(group_holder, "write_block", count)

    # Fewer, larger steps than in earnest, where they are 32 MiB.
    monkeypatch.setattr(group_holder, "_STEPS", 2)

    def set_budget(nbytes):
        monkeypatch.setattr(group_holder, "BUDGET_NBYTES", nbytes)
        stored.clear()
        return stored

    return set_budget


def _reduce(reducer_, chunks, nbytes, split_every=3, arrival=None):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_holder, "BUDGET_NBYTES", nbytes)
        holder = hold(reducer_)
    tree = OrderedTree(holder.combine, split_every)
    try:
        for position in range(len(chunks)) if arrival is None else arrival:
            tree.add((position,), holder.take(reducer_.partial(chunks[position])))
        tree.close(len(chunks))
        return holder.finish(tree.result())
    finally:
        holder.close()


def _make(rng, n):
    def holes(values, missing):
        return np.where(rng.random(n) < 0.3, missing, values)

    seconds = rng.integers(0, 8, n)
    return pd.DataFrame(
        {
            "text": pd.Series(
                rng.choice(["b", "a", "é", "", "a much longer text", None], n), dtype="str"
            ),
            "number": rng.integers(-4, 4, n),
            "half": holes(rng.integers(-2, 3, n) / 2 * rng.choice([-1.0, 1.0], n), np.nan),
            "bool": rng.random(n) < 0.5,
            "Int64": pd.array(holes(rng.integers(-9, 9, n), None), dtype="Int64"),
            "arrow": pd.array(holes(rng.integers(-9, 9, n), None), dtype=pd.ArrowDtype(pa.int64())),
            "string": pd.Series(rng.choice(["x", "y", None], n), dtype="string"),
            "time": pd.Series(pd.to_datetime(seconds, unit="s")).where(rng.random(n) < 0.7),
            "zoned": pd.Series(pd.to_datetime(seconds, unit="s", utc=True)).dt.tz_convert(
                "Asia/Tokyo"
            ),
            "span": pd.to_timedelta(seconds, unit="s"),
            "category": pd.Categorical(rng.choice(["u", "v", None], n), categories=["w", "v", "u"]),
            "date": pd.Series([dt.date(2013, 1, 1 + int(d)) for d in seconds], dtype=object),
            "object": pd.Series(rng.choice(["p", "q", None], n), dtype=object),
            "x": holes(rng.normal(size=n) * 10.0 ** rng.integers(-9, 9, n), np.nan),
            "i": rng.integers(-(2**62), 2**62, n) // 64,
        }
    )


NUMBERS = ["sum", "count", "mean", "min", "max", "var", "std", "first", "last", "nunique"]
AGGREGATES = {
    **{f"x_{how}": ("x", how) for how in [*NUMBERS, "approx_distinct"]},
    **{f"i_{how}": ("i", how) for how in ("sum", "mean", "min")},
    **{f"text_{how}": ("text", how) for how in ("min", "sum", "nunique", "last")},
    **{f"{name}_last": (name, "last") for name in ("category", "date", "zoned", "Int64", "object")},
    "arrow_max": ("arrow", "max"),
    "span_sum": ("span", "sum"),
    "time_mean": ("time", "mean"),
}
KEYS = [
    "text",
    "number",
    "half",
    "bool",
    "Int64",
    "arrow",
    "string",
    "time",
    "zoned",
    "span",
    "category",
    "date",
    "object",
    ("text", "half"),
    ("category", "half", "date"),
]


@pytest.mark.parametrize("by", KEYS, ids=str)
def test_spilled_answers_are_those_held_in_memory(by, budget, cut, rng):
    by = (by,) if isinstance(by, str) else by
    frame = _make(rng, 50)
    aggregates = {new: pair for new, pair in AGGREGATES.items() if pair[0] not in by}
    chunks = cut(frame, [1, 1, 9, 16, 24, 49])
    stored = budget(PLENTY)
    want = _reduce(group_by(*by, **aggregates), chunks, PLENTY)
    assert not stored
    got = _reduce(group_by(*by, **aggregates), chunks, 5_000)
    assert len(stored) > 3
    assert all(stored)
    assert_frame_equal(got, want, check_exact=True)
    exact = {new: pair for new, pair in aggregates.items() if pair[1] in ("count", "last")}
    whole = frame.groupby(list(by) if len(by) > 1 else by[0], observed=True).agg(**exact)
    assert_frame_equal(got[list(exact)], whole)


@examples(10)
@given(data=st.data(), seed=st.integers(0, 10**6), n=st.integers(0, 30))
def test_any_cuts_budgets_and_order_of_arrival_give_the_same_bits(data, seed, n, cut):
    frame = _make(np.random.default_rng(seed), n)
    by = data.draw(st.lists(st.sampled_from(["text", "number", "half"]), min_size=1, unique=True))
    reducer_ = group_by(*by, a=("x", "sum"), b=("x", "std"), c=("x", "min"), d=("string", "max"))
    chunks = cut(frame, data.draw(st.lists(st.integers(0, n), max_size=8)))
    arrival = data.draw(st.permutations(range(len(chunks))))
    want = _reduce(reducer_, chunks, PLENTY)
    for nbytes in (0, data.draw(st.integers(1, 20_000))):
        got = _reduce(reducer_, chunks, nbytes, arrival=arrival)
        assert_frame_equal(got, want, check_exact=True)


MIXED = {
    "integers, floats": [[1, 2, 3, 2**53], [2.0, 0.5, 2.0**53, -0.0], [0, 1, 2, 3]],
    "widths": [np.array([1, 2], "int8"), np.array([2, 3], "uint64"), np.array([3, -1], "int64")],
    "bools, integers": [[True, False], [0, 1], [2, 3]],
    "nullable": [pd.array([1, None], "Int64"), pd.array([1.0, 2.5], "Float64"), [1, 2]],
    "units": [
        pd.to_datetime(["2020-01-01"]).as_unit("s"),
        pd.to_datetime(["2020-01-01"]).as_unit("ns"),
    ],
    "zones": [
        pd.to_datetime(["2020-01-01T12:00"], utc=True),
        pd.to_datetime(["2020-01-01T12:00"], utc=True).tz_convert("Asia/Tokyo"),
    ],
    "categories": [
        pd.Categorical(["a", "b"]),
        pd.Categorical(["b", "c"]),
        pd.Series(["c", "a"], dtype=object),
    ],
    "texts": [
        pd.Series(["a", "b"], dtype="str"),
        pd.Series(["b", "a"], dtype=object),
        pd.Series(["b"], dtype="string"),
    ],
    "texts, numbers": [
        pd.Series(["a", "b"], dtype="str"),
        [1, 2],
        pd.Series(["b", 1, 2.0], dtype=object),
    ],
    "decimals": [pd.Series([Decimal("1.0"), Decimal(2)]), pd.Series([Decimal("1.00"), Decimal(3)])],
    "bytes": [pd.Series([b"a", b"\xff"]), pd.Series([b"\xff", b""])],
    "half surrogates": [
        pd.Series(["\ud800", "b"], dtype=object),
        pd.Series(["b", "\ud800"], dtype=object),
    ],
    "nulls alone": [pd.Series([None, None], dtype=object), [1, 2], pd.Series([np.nan, 1.0])],
}


@pytest.mark.parametrize("kind", MIXED)
def test_chunks_of_different_dtypes_agree_spilled_or_not(kind):
    """As keys and as values; where objects stay in memory, that too gives the same."""
    chunks = [pd.DataFrame({"k": keys, "v": range(len(keys))}) for keys in MIXED[kind] * 3]
    reducer_ = group_by("k", n=("v", "sum"), first=("k", "first"), kinds=("k", "nunique"))
    try:
        want = _reduce(reducer_, chunks, PLENTY)
    except (TypeError, UnicodeEncodeError) as error:  # pandas can't list such keys either
        with pytest.raises(type(error)):
            _reduce(reducer_, chunks, 0)
    else:
        assert_frame_equal(_reduce(reducer_, chunks, 0), want, check_exact=True)
    chunks = [frame.rename(columns={"k": "v", "v": "k"}) for frame in chunks]
    reducer_ = group_by("k", last=("v", "last"), kinds=("v", "nunique"))
    want = _reduce(reducer_, chunks, PLENTY)
    assert_frame_equal(_reduce(reducer_, chunks, 0), want, check_exact=True)


@pytest.mark.thorough
def test_memory_stays_near_the_budget_and_the_answer(rng):
    n_groups, n_chunks = 60_000, 20
    keys = [rng.integers(0, n_groups, 20_000) for _ in range(n_chunks)]
    reducer_ = group_by("k", **{how: ("v", how) for how in ("sum", "mean", "min", "max", "var")})

    chunks = [pd.DataFrame({"k": column, "v": column * 0.5}) for column in keys]
    want = _reduce(reducer_, chunks, PLENTY, split_every=16)
    tracemalloc.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_holder, "BUDGET_NBYTES", 8_000_000)
        holder = hold(reducer_)
    tree = OrderedTree(holder.combine)
    for position, chunk in enumerate(chunks):
        tree.add((position,), holder.take(reducer_.partial(chunk)))
    tree.close(n_chunks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert_frame_equal(holder.finish(tree.result()), want, check_exact=True)
    holder.close()
    # 16 partials are 34 MB, and the tree would hold 15 of them and three of 8 MB.
    assert peak < 25_000_000


def test_equal_keys_hash_alike_whatever_their_dtype():
    same = [
        [
            pd.Series([1, 0, 2**53]),
            pd.Series([1.0, -0.0, 2.0**53]),
            pd.Series([1, 0, 2**53], dtype="uint64"),
            pd.array([1, 0, 2**53], "Int64"),
            pd.array([1, 0, 2**53], pd.ArrowDtype(pa.float64())),
            pd.Categorical([1, 0, 2**53]),
        ],
        [
            pd.Series([True, False]),
            pd.Series([1, 0], dtype="int8"),
            pd.array([True, False], "boolean"),
        ],
        [
            pd.Series(["a", "é" * 9, ""], dtype=dtype)
            for dtype in ("str", "string", object, "category")
        ],
        [
            pd.to_datetime(["2020-06-01T10:00", "1800-01-01T00:00"]).as_unit(unit)
            for unit in ("s", "ms", "ns")
        ],
        [
            pd.to_datetime(["2020-06-01T10:00"], utc=True),
            pd.to_datetime(["2020-06-01T10:00"], utc=True).tz_convert("Europe/Paris"),
        ],
    ]
    for columns in same:
        hashes = [hash_keys(pd.DataFrame({"k": column})).tolist() for column in columns]
        assert all(one == hashes[0] for one in hashes), columns[0]
        assert len(set(hashes[0])) == len(hashes[0])


def test_hashes_are_the_same_in_every_process_and_version():
    frame = pd.DataFrame({"a": [1, 2], "b": pd.Series(["x", "some text of length"], dtype="str")})
    assert hash_keys(frame).tolist() == [8_465_040_562_674_981_870, 5_029_484_696_396_060_665]


def test_a_hash_regards_every_byte_of_a_text(rng):
    texts = ["".join(rng.choice(list("ab"), 40)) for _ in range(3_000)]
    frame = pd.DataFrame({"k": pd.Series(sorted(set(texts)), dtype="str")})
    assert len(set(hash_keys(frame).tolist())) == len(frame)
    shares = np.bincount((hash_keys(frame) >> np.uint64(60)).astype(int), minlength=16) / len(frame)
    assert shares.max() < 0.09


COLUMNS = {
    name: _make(np.random.default_rng(3), 40)[name] for name in _make(np.random.default_rng(3), 1)
}
COLUMNS |= {
    "bytes": pd.Series([b"", b"\x00x", b"long" * 9]),
    "python": pd.Series(["a", None, ""], dtype=pd.StringDtype("python")),
    "float32": pd.Series([np.nan, -0.0, np.inf], dtype="float32"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_come_back_from_a_file_as_they_were(name):
    column = COLUMNS[name]
    if not isinstance(column.dtype, np.dtype | pd.StringDtype) or column.dtype == object:
        column = column.dropna()
    column = column.reset_index(drop=True)
    for part in (column, column.iloc[::-1].reset_index(drop=True), column.iloc[:0]):
        plain = plain_arrays(part)
        with SpillFile() as scratch:
            scratch.write(np.arange(3, dtype=np.uint8))
            ats = [scratch.write(np.ascontiguousarray(array)) for array in plain.arrays]
            read = [
                scratch.read(array.dtype, at, len(array))
                for array, at in zip(plain.arrays, ats, strict=True)
            ]
        again = rebuild_column(column.iloc[:0], plain.form, read)
        assert_series_equal(again, part, check_exact=True, check_names=False)


def test_what_has_no_exact_form_is_said(rng):
    for values in ([Decimal(1)], ["a", 1], [None], [pd.Timestamp(0)]):
        with pytest.raises(NotPlain):
            plain_arrays(pd.Series(values, dtype=object))
    with pytest.raises(NotPlain):
        plain_arrays(pd.array([1, None], "Int64").to_numpy(dtype=object))


def test_other_reducers_hold_their_partials_as_they_are():
    holder = hold(reducer(sum))
    assert isinstance(holder, Plainly)
    part = holder.take((3,))
    assert holder.finish(holder.combine([part, (4,)])) == 7
    holder.close()


# -- in a run ----------------------------------------------------------------------------------


def _open_spills():
    """Descriptors of this process to files without a name."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.endswith(" (deleted)") and target.startswith(tempfile.gettempdir()):
            found.append(target)
    return found


@pytest.fixture
def numbers(tmp_path, rng):
    path = tmp_path / "numbers.csv"
    frame = pd.DataFrame({"k": rng.integers(0, 2_000, 10_000), "v": rng.normal(size=10_000)})
    frame.to_csv(path, index=False)
    return str(path)


LATE = {how: ("v", how) for how in ("sum", "mean", "std", "max")}


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    directory = tmp_path / "tmp"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_a_run_that_spills_gives_the_same_bits_on_every_scheduler(
    scheduler, numbers, budget, temporary
):
    reducer_ = group_by("k", **LATE)
    options = {"chunk_size": "500 rows", "progress": False, "workers": 2}
    budget(PLENTY)
    want = td.process(numbers, reduce=reducer_, scheduler="synchronous", **options).value
    stored = budget(150_000)
    got = td.process(numbers, reduce=reducer_, scheduler=scheduler, **options).value
    assert len(stored) > 20
    assert_frame_equal(got, want, check_exact=True)
    assert not _open_spills()
    assert not list(temporary.iterdir())


def test_the_static_graph_gives_the_bits_of_a_run_that_spills(numbers, budget):
    dataset = td.open_dataset(numbers, chunk_size="500 rows")
    flow = td.parse_flow("flow F:\n    Open -> Part[*] -> Groups").bind(
        {
            "open": lambda data: data,
            "part": lambda chunk: chunk[chunk.v != 5],
            "groups": group_by("k", **LATE),
        }
    )
    want = flow.to_delayed(data=dataset).compute(scheduler="synchronous")
    stored = budget(150_000)
    got = td.run_flow(flow, data=dataset, scheduler="threads", progress=False).value
    assert len(stored) > 20
    assert_frame_equal(got, want, check_exact=True)


def test_a_full_disk_stops_the_run_and_leaves_nothing(numbers, budget, temporary, monkeypatch):
    budget(150_000)
    write = SpillFile.write
    room = [100_000]

    class Full:
        def __init__(self, file):
            self._file = file

        def __getattr__(self, name):
            return getattr(self._file, name)

        def write(self, data):
            room[0] -= len(data)
            if room[0] < 0:
                raise OSError(28, "No space left on device")
            return self._file.write(data)

    def limited(scratch, array):
        if not isinstance(scratch._file, Full):
            scratch._file = Full(scratch._file)
        return write(scratch, array)

    monkeypatch.setattr(SpillFile, "write", limited)
    with pytest.raises(FlowFailed, match=r"No space left on device.*TMPDIR") as caught:
        td.process(
            numbers,
            reduce=group_by("k", **LATE),
            chunk_size="500 rows",
            progress=False,
            scheduler="threads",
        )
    assert str(temporary) in str(caught.value)
    assert not _open_spills()
    assert not list(temporary.iterdir())


def test_no_place_for_temporary_files_is_said(monkeypatch):
    def refuse(**_):
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(ReduceError, match="can't be made"):
        SpillFile()


def test_a_killed_process_leaves_no_file(tmp_path):
    script = """
import os, signal, numpy as np, pandas as pd
from taskinity_data.reducers.spilling import group_holder
from taskinity_data.reducers.grouped import group_by
group_holder.BUDGET_NBYTES = 0
reducer = group_by("k", n=("v", "sum"))
held = reducer.hold().take(reducer.partial(pd.DataFrame({"k": range(999), "v": 1.0})))
assert held.stored is not None
print(len(os.listdir(os.environ["TMPDIR"])), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout.strip()) == (-9, b"0")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", ["sum", "mean"])
def test_numbers_that_are_integers_in_some_chunks_and_floats_in_others(how, budget, rng):
    # Few groups a range of buckets, so that some hold groups of one kind alone.
    whole = rng.permutation(200)
    chunks = [
        pd.DataFrame({"k": keys, "x": keys << 33 if number % 3 else keys / 4})
        for number, keys in enumerate(np.array_split(np.concatenate([whole, whole[:40]]), 9))
    ]
    reducer_ = group_by("k", x=("x", how))
    want = _reduce(reducer_, chunks, PLENTY)
    joined = pd.concat(chunks).groupby("k").agg(x=("x", how))
    assert_frame_equal(want, joined)
    for nbytes in (1, 300, 3_000):
        stored = budget(nbytes)
        assert_frame_equal(_reduce(reducer_, chunks, nbytes), want, check_exact=True)
        assert any(stored)
