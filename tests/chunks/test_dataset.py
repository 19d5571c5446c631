"""What `open_dataset` gives back: head, sizes, plans, grains in order, Dask, pictures."""

import os
import pickle
import threading
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.chunks.plan import check_tiling
from taskinity_data.errors import PlanError, ReadError
from taskinity_data.sources.read import read_ahead

FRAME = pd.DataFrame({"a": np.arange(1000), "b": [f"s{n % 7}" for n in range(1000)]})


@pytest.fixture
def csv(tmp_path):
    FRAME.to_csv(tmp_path / "flights.csv", index=False)
    return str(tmp_path / "flights.csv")


@pytest.fixture
def parquet(tmp_path):
    FRAME.to_parquet(tmp_path / "flights.parquet", row_group_size=100)
    return str(tmp_path / "flights.parquet")


@pytest.fixture(params=["csv", "parquet", "memory"])
def source(request):
    return FRAME if request.param == "memory" else request.getfixturevalue(request.param)


def join(chunks):
    return pd.concat([chunk.read() for chunk in chunks], ignore_index=True)


def test_head_is_the_first_rows(source):
    dataset = open_dataset(source)
    for n in (0, 1, 5, 150, 5000):
        pd.testing.assert_frame_equal(dataset.head(n), FRAME.head(n))


def test_head_looks_on_behind_rows_that_a_filter_drops(source):
    dataset = open_dataset(source, filters=[("a", ">", 900)])
    assert dataset.head(3).a.tolist() == [901, 902, 903]
    assert open_dataset(source, filters=[("a", ">", 9000)]).head().empty


def test_facts_of_a_dataset(source):
    dataset = open_dataset(source, columns=["b"])
    assert len(dataset.files) == 1
    assert all(isinstance(path, str) for path in dataset.files)
    assert dataset.schema.names == ["b"]
    assert dataset.nbytes == sum(chunk.nbytes for chunk in dataset.plan())
    assert dataset.rows in (None, 1000)
    assert open_dataset(source, filters=[("a", ">", 9)]).rows is None


def test_bytes_are_those_of_the_selected_columns(parquet):
    metadata = pq.read_metadata(parquet)
    expected = sum(
        metadata.row_group(group).column(1).total_uncompressed_size for group in range(10)
    )
    assert open_dataset(parquet, columns=["b"]).nbytes == expected


def test_a_dataset_pickles_and_reads_the_same(source):
    dataset = open_dataset(source)
    again = pickle.loads(pickle.dumps(dataset))
    pd.testing.assert_frame_equal(join(again.plan(chunk_size=2000)), FRAME)


def test_a_dataset_is_opened_as_itself(source):
    dataset = open_dataset(source)
    assert open_dataset(dataset) is dataset
    assert open_dataset(dataset, columns=["b"]).schema.names == ["b"]
    assert open_dataset(dataset, chunk_size="10 rows").plan()[0].rows == 10
    with pytest.raises(PlanError, match=r"filters=.*has no effect on a Dataset"):
        open_dataset(dataset, filters=[("a", ">", 1)])


def test_select_names_a_column_that_is_not_there(source):
    with pytest.raises(PlanError, match=r"no column 'aa'.*Did you mean 'a'"):
        open_dataset(source).select(["aa"])


def test_a_plan_of_any_size_reads_the_whole(source):
    dataset = open_dataset(source, chunk_size=3000)
    for size in (None, "auto", 1 << 30, "64KiB", "333 rows", "1 rows"):
        plan = dataset.plan(workers=2, memory="1GiB", chunk_size=size)
        check_tiling(plan.extents, plan.chunks)
        if len(plan) < 100:
            pd.testing.assert_frame_equal(join(plan), FRAME)
    assert len(plan) == 1000
    assert dataset.plan().target_nbytes == 3000
    assert "as requested" in dataset.plan().reason


def test_an_automatic_size_says_why_and_is_the_same_each_time(source):
    dataset = open_dataset(source)
    one, two = (dataset.plan(workers=2, memory="100kB") for _ in range(2))
    assert one == two
    assert "first size" in one.reason
    assert len(dataset.plan(workers=4, memory="10kB")) > len(dataset.plan(workers=1, memory="4GB"))


def test_expansion_is_measured(tmp_path):
    frame = pd.DataFrame({"n": [1] * 5000})
    frame.to_csv(tmp_path / "a.csv", index=False)
    nbytes = os.path.getsize(tmp_path / "a.csv") - 2
    expected = frame.memory_usage(deep=True).sum() / nbytes
    assert open_dataset(tmp_path / "a.csv").expansion == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("has_text", [False, True])
def test_expansion_of_numbers_is_told_by_footers_and_of_texts_measured(
    tmp_path, monkeypatch, has_text
):
    table = pa.table(
        {
            "n": pa.array([1, None] * 3_000, pa.int32()),
            "small": pa.array([1, 2] * 3_000, pa.int8()),
            "x": [0.5, None] * 3_000,
            "is": [True, False] * 3_000,
            "at": pa.array([1, None] * 3_000, pa.timestamp("ms")),
            **({"word": ["some words", None] * 3_000} if has_text else {}),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1_000)
    dataset = open_dataset(tmp_path / "a.parquet")
    expected = dataset.head(6_000).memory_usage(deep=True).sum() / dataset.nbytes
    read = type(dataset.reader).read
    reads = []
    monkeypatch.setattr(
        type(dataset.reader), "read", lambda *given: reads.append(1) or read(*given)
    )
    # The rest is what each piece's own index takes.
    assert dataset.expansion == pytest.approx(expected, rel=0.05)
    assert bool(reads) == has_text


def test_a_first_piece_that_cannot_be_read_does_not_stop_the_plan(tmp_path):
    rows = ["a,b", "0,0", "1,2,3", *(["4,5"] * 200_000)]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    dataset = open_dataset(tmp_path / "a.csv", schema={"a": "int64", "b": "int64"})
    plan = dataset.plan(workers=2)
    with pytest.raises(ReadError):
        plan[0].read()
    assert len(plan[1].read()) > 1000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 0}, "workers=0"),
        ({"workers": 1.5}, "workers=1.5"),
        ({"workers": True}, "workers=True"),
        ({"memory": "2 GiBs"}, "memory: '2 GiBs'"),
        ({"memory": 0}, "memory: 0"),
        ({"chunk_size": 0}, "chunk_size=0"),
        ({"chunk_size": "64 MiBs"}, "chunk_size='64 MiBs'"),
    ],
)
def test_sizes_and_counts_that_cannot_be_are_refused(csv, options, words):
    with pytest.raises(PlanError, match=words):
        open_dataset(csv).plan(**options)


def test_a_wrong_size_is_refused_before_the_source_is_looked_at():
    with pytest.raises(PlanError, match="chunk_size=0"):
        open_dataset("/no/such/file.csv", chunk_size=0)


def test_storage_options_are_refused(csv):
    with pytest.raises(PlanError, match="storage_options"):
        open_dataset(csv, storage_options={"key": "x"})
    open_dataset(csv, storage_options={})


@pytest.mark.parametrize("width", [1, 3, 7])
def test_a_fixed_width_divides_about_evenly(source, width):
    parts = open_dataset(source).divide(width)
    sizes = [part.nbytes for part in parts]
    assert len(parts) == width
    assert max(sizes) < 1.5 * min(sizes)
    pd.testing.assert_frame_equal(join(parts), FRAME)


@pytest.mark.parametrize("width", [0, -1, 1.0, True, "4"])
def test_a_width_that_cannot_be_is_refused(csv, width):
    with pytest.raises(PlanError, match="width="):
        open_dataset(csv).divide(width)


def test_a_header_alone_is_an_empty_answer_with_its_columns(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n")
    dataset = open_dataset(tmp_path / "a.csv")
    plan = dataset.plan()
    check_tiling(plan.extents, plan.chunks)
    assert [list(chunk.read().columns) for chunk in plan] == [["a", "b"]]
    assert dataset.head().empty
    assert [len(part.read()) for part in dataset.divide(3)] == [0, 0, 0]


def test_many_files_are_one_after_another(tmp_path):
    for place in range(12):
        FRAME.iloc[place * 80 : place * 80 + 80].to_csv(tmp_path / f"{place:02}.csv", index=False)
    dataset = open_dataset(str(tmp_path / "*.csv"))
    pd.testing.assert_frame_equal(join(dataset.plan(chunk_size=1000)), FRAME.iloc[:960])
    starts = [piece.path for piece in dataset.iter_grains(100)]
    assert starts == sorted(starts)


def test_dask_leaves_what_is_no_text_as_it_is(tmp_path):
    frame = pd.DataFrame(
        {
            "price": [Decimal("1.5"), Decimal("2.25"), None],
            "raw": [b"x", b"\xff", None],
            "day": [date(2020, 1, 1), date(2021, 1, 1), None],
            "many": [[1, 2], [], None],
            "inner": [{"a": 1}, {"a": None}, None],
            "text": ["a", "", None],
        }
    )
    frame.to_parquet(tmp_path / "a.parquet")
    whole = pd.read_parquet(tmp_path / "a.parquet")
    found = open_dataset(tmp_path / "a.parquet", chunk_size="2 rows").to_dask()
    assert found.dtypes.to_dict() == whole.dtypes.to_dict()
    computed = found.compute(scheduler="synchronous").reset_index(drop=True)
    pd.testing.assert_frame_equal(computed, whole)
    assert [type(one) for one in computed.iloc[0]] == [type(one) for one in whole.iloc[0]]


def test_dask_has_a_partition_for_each_chunk(source):
    dataset = open_dataset(source, chunk_size="250 rows")
    frame = dataset.to_dask()
    assert frame.npartitions == 4
    assert frame.dtypes.equals(FRAME.dtypes)
    computed = frame.compute(scheduler="synchronous").reset_index(drop=True)
    pd.testing.assert_frame_equal(computed, FRAME)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_range_that_cuts_a_record_is_refused(tmp_path, name):
    text = 'a,b\n1,10\n2,"20\n00"\n3,30\n'
    if name == "a.jsonl":
        text = '{"a":1}\n{"a":2222}\n{"a":3}\n'
    path = tmp_path / name
    path.write_bytes(text.encode())
    dataset = open_dataset(path)
    chunks = list(dataset.plan(chunk_size=1))
    cuts = {chunk.start for chunk in chunks} | {chunks[-1].stop}
    whole = join(chunks)
    for start in range(chunks[0].start, len(text) + 1):
        for stop in range(start + 1, len(text) + 1):
            if {start, stop} <= cuts:
                rows = dataset.pick([f"{path}:{start}-{stop}"]).read()
                assert rows.a.tolist() in [
                    whole.a.tolist()[i:j] for i in range(3) for j in range(i + 1, 4)
                ]
            else:
                with pytest.raises(PlanError, match="is in the middle of a record, which is at"):
                    dataset.pick([f"{path}:{start}-{stop}"])


def test_the_text_of_a_dataset_tells_files_bytes_rows_and_columns(parquet):
    lines = repr(open_dataset(parquet)).splitlines()
    assert lines[0] == "Dataset of parquet files"
    assert lines[1] == f"  files    1  {parquet}"
    assert lines[3] == "  rows     1,000"
    assert lines[4].startswith("  columns  2  a: int64, b: ")


def test_the_html_of_a_dataset_escapes_names(tmp_path):
    pq.write_table(pa.table({"<b>": [1]}), tmp_path / "a.parquet")
    html = open_dataset(tmp_path / "a.parquet")._repr_html_()
    assert "<b>:" not in html
    assert "&lt;b&gt;" in html


def test_reading_ahead_keeps_the_order():
    found = read_ahead(range(10), lambda n: [n] * n, threads=3, depth=2)
    assert list(found) == [n for n in range(10) for _ in range(n)]


def test_reading_ahead_raises_in_place():
    def produce(n):
        yield n
        if n == 2:
            raise KeyError("two")

    found = read_ahead(range(4), produce, threads=2, depth=2)
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="two"):
        next(found)


@pytest.mark.parametrize("nbytes", [1, 100_000, 10**9])
def test_small_sources_that_are_read_in_groups_yield_the_same(nbytes):
    def produce(n):
        if n == 70:
            raise KeyError("seventy")
        yield from [n] * (n % 3)

    found = read_ahead(range(100), produce, threads=2, depth=2, nbytes_of=lambda _: nbytes)
    expected = [n for n in range(70) for _ in range(n % 3)]
    assert [next(found) for _ in expected] == expected
    with pytest.raises(KeyError, match="seventy"):
        next(found)


def test_closing_ends_the_threads_and_what_they_read():
    closed = []

    def produce(n):
        try:
            while True:
                yield n
        finally:
            closed.append(n)

    before = threading.active_count()
    found = read_ahead(range(4), produce, threads=2, depth=3)
    assert next(found) == 0
    found.close()
    assert threading.active_count() == before
    assert set(closed) <= {0, 1}


def test_reading_ahead_is_bounded():
    made = []

    def produce(n):
        for place in range(1000):
            made.append((n, place))
            yield place

    found = read_ahead(range(3), produce, threads=2, depth=5)
    next(found)
    found.close()
    assert len(made) <= 2 * 7


@pytest.fixture
def hive(tmp_path):
    """Three CSV files in directories with keys, and what they hold together."""
    parts = []
    for place, (year, carrier) in enumerate([(2012, "AA"), (2013, "B6"), (2013, "UA")]):
        directory = tmp_path / "data" / f"year={year}" / f"carrier={carrier}"
        directory.mkdir(parents=True)
        part = FRAME.iloc[place * 100 : place * 100 + 100]
        part.to_csv(directory / "part.csv", index=False)
        parts.append(part.assign(year=year, carrier=carrier))
    whole = pd.concat(parts, ignore_index=True)
    categories = {"year": pd.CategoricalDtype(pd.Index([2012, 2013], dtype="int32"))}
    return str(tmp_path / "data"), whole.astype({**categories, "carrier": "category"})


@pytest.mark.parametrize(
    ("filters", "query"),
    [
        (None, "a >= 0"),
        ([("year", "==", 2013)], "year == 2013"),
        ([("year", "==", 2013), ("a", "<", 250)], "year == 2013 and a < 250"),
        ([("a", "<", 50)], "a < 50"),
        ([("carrier", "in", ["ZZ"])], "a < 0"),
    ],
)
def test_hive_keys_of_csv_are_categories_and_filter(hive, filters, query):
    source, whole = hive
    expected = whole.query(query).reset_index(drop=True)
    dataset = open_dataset(source, filters=filters)
    for size in (500, "1GB", "70 rows"):
        plan = pickle.loads(pickle.dumps(dataset.plan(chunk_size=size)))
        results = [chunk.load() for chunk in plan]
        full = [result.data for result in results if result.rows]
        got = pd.concat(full, ignore_index=True) if full else results[0].data
        pd.testing.assert_frame_equal(got, expected, check_dtype=bool(full))
        assert sum(one.rows + one.filtered for one in results) == 100 * len(dataset.files)
        assert sum(chunk.read("arrow").num_rows for chunk in plan) == len(expected)
        assert sum(len(chunk.read("polars")) for chunk in plan) == len(expected)


WRITERS = {
    "a.parquet": lambda frame, path: frame.to_parquet(path),
    "a.csv": lambda frame, path: frame.to_csv(path, index=False),
    "a.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "a.jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "a.arrow": lambda frame, path: frame.to_feather(path),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    ("filters", "query", "files"),
    [
        ([("year", "==", 2013)], "year == 2013", 3),
        ([("year", "in", [2013]), ("month", "==", 2), ("a", "<", 5)], "month == 2 and a < 5", 2),
        ([[("year", "==", 2013), ("month", "==", 1)], [("year", "<", 2013)]], None, 3),
        (ds.field("year") == 2013, "year == 2013", 3),
    ],
)
def test_files_that_the_keys_rule_out_are_not_opened(tmp_path, name, filters, query, files):
    parts = []
    for year in (2012, 2013, 2014):
        for month in (1, 2):
            place = tmp_path / f"year={year}" / f"month={month}"
            place.mkdir(parents=True)
            if year == 2014:
                (place / name).write_bytes(b"\0 no such thing\n" * 9)
                continue
            WRITERS[name](FRAME, place / name)
            parts.append(FRAME.assign(year=year, month=month))
    whole = pd.concat(parts)
    expected = (
        whole[(whole.year == 2012) | (whole.month == 1)]
        if query is None
        else whole[whole.year == 2013].query(query)
    )
    dataset = open_dataset(str(tmp_path), filters=filters)
    # The first is opened for its columns, though its rows may be ruled out.
    assert len(dataset.files) == files
    got = pd.concat([chunk.read() for chunk in dataset.plan(chunk_size="1 kB")])
    assert got.a.tolist() == expected.a.tolist()
    assert got.year.astype(int).tolist() == expected.year.tolist()
    assert got.year.cat.categories.tolist() == [2012, 2013, 2014]
    with pytest.raises((PlanError, ReadError)):
        join(open_dataset(str(tmp_path)).plan())


def test_hive_keys_of_csv_are_selected_in_order(hive):
    source, whole = hive
    dataset = open_dataset(source, columns=["carrier", "a"], filters=[("year", "==", 2013)])
    expected = whole[whole.year == 2013][["carrier", "a"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(join(dataset.plan(chunk_size="1GB")), expected)
    assert join(dataset.select(["carrier"]).plan()).columns.tolist() == ["carrier"]
    keys = {chunk.key for one in (dataset, dataset.select(["a"])) for chunk in one.plan()}
    assert len(keys) == 2 * len(dataset.plan())


@pytest.mark.parametrize("size", ["1GB", "70 rows"])
def test_rows_of_csv_with_hive_keys_are_counted_without_columns(hive, size):
    source, whole = hive
    for filters, rows in [(None, len(whole)), ([("a", ">=", 50)], len(whole.query("a >= 50")))]:
        plan = open_dataset(source, filters=filters).select([]).plan(chunk_size=size)
        assert sum(chunk.read("arrow").num_rows for chunk in plan) == rows


@pytest.mark.parametrize("dtype_backend", ["numpy_nullable", "pyarrow"])
def test_reducers_get_nullable_columns_of_csv_with_hive_keys_as_pandas_has_them(
    tmp_path, dtype_backend
):
    for key, text in [("p", "b,i\nTrue,1\n,\n"), ("q", "b,i\nTrue,3\nFalse,\n")]:
        (tmp_path / f"key={key}").mkdir()
        (tmp_path / f"key={key}" / "part.csv").write_text(text)
    dataset = open_dataset(tmp_path, dtype_backend=dtype_backend)
    (chunk,) = dataset.plan()
    given = chunk.load("native").data
    pd.testing.assert_frame_equal(given, chunk.read())
    assert given["b"].sum() == 2


def test_a_hive_key_that_is_a_column_too_is_refused(tmp_path):
    (tmp_path / "a=1").mkdir()
    FRAME.to_csv(tmp_path / "a=1" / "x.csv", index=False)
    with pytest.raises(PlanError, match="'a' is a column and a hive key"):
        open_dataset(tmp_path)
    FRAME.to_parquet(tmp_path / "a=1" / "x.parquet")
    with pytest.raises(PlanError, match="'a' is a column and a hive key"):
        open_dataset(str(tmp_path / "a=*" / "*.parquet"))
