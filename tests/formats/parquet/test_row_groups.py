"""Row groups are what chunks of a size that is not given consist of."""

from itertools import accumulate

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import taskinity_data as td
from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.sizing import Learner, Observation, first_size
from taskinity_data.formats.parquet import footer


def write(path, sizes, columns=1):
    """A file with row groups of so many rows of random numbers; the rows at which they begin."""
    values = np.random.default_rng(3)
    schema = pa.schema([(f"x{number}", pa.float64()) for number in range(columns)])
    with pq.ParquetWriter(path, schema) as writer:
        for rows in sizes:
            arrays = [pa.array(values.random(rows)) for _ in range(columns)]
            writer.write_table(pa.table(arrays, schema=schema), row_group_size=rows)
    return [0, *accumulate(sizes)]


def bounds(chunks):
    return {row for chunk in chunks for row in (chunk.start, chunk.stop)}


def check_rows(chunks, path, columns=None):
    frames = pd.concat([chunk.read() for chunk in chunks], ignore_index=True)
    pd.testing.assert_frame_equal(frames, pd.read_parquet(path, columns=columns))


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_chunks_of_a_plan_are_whole_row_groups(tmp_path, workers):
    path = tmp_path / "a.parquet"
    starts = write(path, [30_000, 50_000, 40_000, 45_000, 60_000, 7_000, 35_000, 50_000])
    plan = td.open_dataset(path).plan(workers=workers)
    assert bounds(plan) <= set(starts)
    assert len(plan) > 2 * (workers > 1)
    check_rows(plan, path)


def test_small_row_groups_go_together(tmp_path):
    path = tmp_path / "a.parquet"
    starts = write(path, [500] * 400)
    plan = td.open_dataset(path).plan(workers=2)
    assert bounds(plan) <= set(starts)
    assert 2 <= len(plan) <= 20
    check_rows(plan, path)


def test_chunks_of_a_run_are_whole_row_groups_to_the_end(tmp_path):
    path = tmp_path / "a.parquet"
    starts = write(path, [40_000] * 12)
    run = td.process(path, scheduler="synchronous", reduce=td.sum(), run_dir=tmp_path / "runs")
    chunks = run.outcomes[run.outcomes["path"].notna()]
    assert {*chunks["start"], *chunks["stop"]} <= set(starts)
    assert run.value["x0"] == pytest.approx(pd.read_parquet(path)["x0"].sum())


def test_each_row_group_is_decoded_once(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    write(path, [40_000] * 6)
    decoded = []
    read = footer.read_groups
    monkeypatch.setattr(
        "taskinity_data.formats.parquet.reader.read_groups",
        lambda file, groups, names: decoded.extend(groups) or read(file, groups, names),
    )
    monkeypatch.delattr("taskinity_data.formats.parquet.footer._GroupCursor")
    td.process(path, scheduler="synchronous", reduce=td.sum(), run_dir=tmp_path / "runs")
    assert sorted(decoded) == list(range(6))


def test_a_row_group_above_a_workers_share_is_cut_so_that_no_worker_waits(tmp_path):
    path = tmp_path / "a.parquet"
    write(path, [400_000])
    dataset = td.open_dataset(path)
    assert len(dataset.plan(workers=1)) == 1
    plan = dataset.plan(workers=4)
    assert len(plan) >= 4
    check_rows(plan, path)


def test_a_row_group_that_does_not_fit_in_a_workers_memory_is_cut(tmp_path):
    path = tmp_path / "a.parquet"
    write(path, [50_000] * 8)
    plan = td.open_dataset(path).plan(workers=2, memory="1MiB")
    assert all(chunk.nbytes <= (1 << 20) / 4 for chunk in plan)
    check_rows(plan, path)


@pytest.mark.parametrize("size", ["7_000 rows", 100_000])
def test_a_size_that_is_given_cuts_row_groups(tmp_path, size):
    path = tmp_path / "a.parquet"
    starts = write(path, [50_000] * 3)
    plan = td.open_dataset(path, chunk_size=size).plan(workers=2)
    assert not bounds(plan) <= set(starts)
    assert all(chunk.rows == 7_000 or chunk.nbytes <= 100_000 for chunk in plan.chunks[:-1])
    check_rows(plan, path)


def test_a_short_last_row_group_is_balanced_without_a_cut(tmp_path):
    path = tmp_path / "a.parquet"
    starts = write(path, [*[40_000] * 8, 100])
    plan = td.open_dataset(path).plan(workers=2)
    assert bounds(plan) <= set(starts)
    check_rows(plan, path)


def test_a_chunk_of_a_row_group_still_splits_by_rows(tmp_path):
    path = tmp_path / "a.parquet"
    write(path, [50_000] * 4)
    (first, *_) = td.open_dataset(path).plan(workers=2)
    halves = first.split()
    assert [half.rows for half in halves] == [first.rows // 2, first.rows - first.rows // 2]
    joined = pd.concat([half.read() for half in halves], ignore_index=True)
    pd.testing.assert_frame_equal(joined, Chunk(first.reader, first.pieces).read())


def test_stripes_of_orc_are_whole_too(tmp_path):
    path = tmp_path / "a.orc"
    table = pa.table({"x": np.random.default_rng(5).random(400_000)})
    pa.orc.write_table(table, path, stripe_size=300_000, compression="uncompressed")
    stripes = pa.orc.ORCFile(path)
    rows = [stripes.read_stripe(number).num_rows for number in range(stripes.nstripes)]
    plan = td.open_dataset(path).plan(workers=2)
    assert len(rows) > 4
    assert bounds(plan) <= {0, *accumulate(rows)}


@given(
    group=st.integers(1, 1 << 30),
    groups=st.integers(2, 1000),
    workers=st.integers(1, 64),
    done=st.lists(st.floats(1e-4, 10.0), max_size=20),
    left=st.floats(0.0, 1.0),
)
def test_a_learned_size_is_a_whole_group_or_more_where_every_worker_gets_some(
    group, groups, workers, done, left
):
    total = group * groups
    first = first_size(total, workers, None, 1.0, None, group)
    learner = Learner(first, None, 1.0, total_nbytes=total, group_nbytes=group)
    for seconds in done:
        learner = learner.observe(Observation(group, seconds))
    size = learner.next_size(int(total * left), workers, 0)
    assert size.whole_nbytes == total // workers
    assert size.target_nbytes >= (group if group <= total // workers else 1)


def test_a_learned_size_is_less_than_a_group_where_memory_demands():
    first = first_size(1000 << 20, 2, 1 << 30, 1.0, None, 100 << 20)
    learner = Learner(first, 1 << 30, 1.0, total_nbytes=1000 << 20, group_nbytes=100 << 20)
    assert learner.next_size(900 << 20, 2, 0).target_nbytes >= 100 << 20
    full = learner.observe(Observation(100 << 20, 1.0, 2 << 30))
    full = full.observe(Observation(50 << 20, 0.5, 1 << 30))
    assert full.next_size(900 << 20, 2, 0).target_nbytes < 50 << 20
    assert full.next_size(900 << 20, 2, 0).whole_nbytes < 100 << 20


def test_where_no_row_passes_the_other_columns_are_not_decoded(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame({"key": np.arange(400_000) % 100_000, "x": np.arange(400_000.0)})
    frame.loc[250_000, "key"] = 31_415_926 % 100_000
    frame["key"] = frame["key"] * 2  # an odd key is within the statistics, and nowhere
    frame.to_parquet(path, row_group_size=100_000)
    read, decoded = footer.read_groups, []
    monkeypatch.setattr(
        "taskinity_data.formats.parquet.reader.read_groups",
        lambda file, groups, names: decoded.append(names) or read(file, groups, names),
    )
    for key, times in ((15, 0), (199_998, 4), (31_852, 4)):
        decoded.clear()
        filters = [("key", "==", key)]
        dataset = td.open_dataset(path, columns=["x"], filters=filters)
        chunks = [chunk.read() for chunk in dataset.plan(workers=1)]
        expected = pd.read_parquet(path, columns=["x"], filters=filters)
        pd.testing.assert_frame_equal(pd.concat(chunks, ignore_index=True), expected)
        assert decoded.count(["key"]) == 4
        assert decoded.count(["x"]) == times


@pytest.mark.parametrize(
    "filters",
    [
        [("n", ">", 3)],
        [("n", "not in", [1, 2])],
        [("text", "in", ["a", None])],
        [[("n", "<", 2), ("x", ">", 0.5)], [("text", "==", "b")]],
        [("flag", "==", True)],
    ],
)
@pytest.mark.parametrize("columns", [None, ["x"], ["text", "n"]])
def test_filtered_chunks_are_the_rows_that_pandas_reads(tmp_path, filters, columns):
    path = tmp_path / "a.parquet"
    values = np.random.default_rng(7)
    rows = 4_000
    frame = pd.DataFrame({
        "n": pd.array(values.integers(0, 6, rows), "Int64"),
        "x": values.random(rows),
        "text": values.choice(["a", "b", None], rows),
        "flag": values.choice([True, False, None], rows),
    })  # fmt: skip
    frame.loc[frame.index % 7 == 0, "n"] = pd.NA
    frame.to_parquet(path, row_group_size=500)
    expected = pd.read_parquet(path, columns=columns, filters=filters)
    for size in ("auto", "333 rows"):
        plan = td.open_dataset(path, columns=columns, filters=filters, chunk_size=size).plan()
        chunks = pd.concat([chunk.read() for chunk in plan], ignore_index=True)
        pd.testing.assert_frame_equal(chunks, expected.reset_index(drop=True))
        no_columns = td.open_dataset(path, columns=[], filters=filters).plan()
        assert sum(len(chunk.read()) for chunk in no_columns) == len(expected)


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string()])
def test_texts_that_are_stored_as_codes_are_read_as_texts(tmp_path, type_):
    path = tmp_path / "a.parquet"
    values = np.random.default_rng(9)
    rows = 30_000
    table = pa.table({
        "few": pa.array(values.choice(["a", "bc", "", None, "é" * 300], rows), type_),
        "flags": pa.array(values.choice(["N", "A", None], rows), type_),
        "empty": pa.array(values.choice(["", None], rows), type_),
        "many": pa.array([f"text {number}" for number in range(rows)], type_),
        "nulls": pa.nulls(rows, type_),
        "mixed": pa.array(["x"] * (rows // 2) + [f"y{n}" for n in range(rows // 2)], type_),
    })  # fmt: skip
    pq.write_table(table, path, row_group_size=7_000)
    coded = footer.read_footer(td.open_dataset(path).sources[0]).find_coded([0], table.schema.names)
    assert set(coded) >= {"few", "mixed", "flags", "empty"}
    assert "many" not in coded
    dataset = td.open_dataset(path)
    for size in ("auto", "7_000 rows", "999 rows"):
        parts = [chunk.read("arrow") for chunk in dataset.plan(workers=2, chunk_size=size)]
        assert pa.concat_tables(parts).combine_chunks() == table.combine_chunks()
        check_rows(dataset.plan(workers=2, chunk_size=size), path)


def test_codes_of_long_texts_are_decoded_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(footer, "_MAX_OFFSET", 1000)
    texts = pa.array(["a" * 400, None, "b"] * 50).dictionary_encode()
    decoded = footer._decode(pa.chunked_array([texts]), pa.string())
    assert decoded.num_chunks == 75
    assert decoded.to_pylist() == texts.to_pylist()
