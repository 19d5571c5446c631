"""Parquet: the reader contract on files that Hypothesis makes, against pandas over the whole."""

import datetime as dt
import decimal
import os
import sys
import threading

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reader_contract import EXAMPLES, Case, ReaderContract, assert_same, chunks, join

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.chunks.plan import check_tiling
from taskinity_data.errors import PlanError, ReadError, SchemaError
from taskinity_data.formats.parquet import footer as footers

VALUES = {
    "int64": (pa.int64(), st.integers(-5, 5)),
    "uint8": (pa.uint8(), st.integers(0, 255)),
    "bool": (pa.bool_(), st.booleans()),
    "float": (pa.float64(), st.floats(width=32)),
    "text": (pa.string(), st.text("ab,\u017c\n", max_size=3)),
    "category": (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["x", "y", "z"])),
    "decimal": (pa.decimal128(5, 2), st.decimals(-99, 99, places=2)),
    "zoned": (
        pa.timestamp("us", "Europe/Warsaw"),
        st.integers(0, 2_000_000_000_000_000),
    ),
    "date": (pa.date32(), st.dates(dt.date(1990, 1, 1), dt.date(2030, 1, 1))),
    "list": (pa.list_(pa.string()), st.lists(st.sampled_from("ab"), max_size=2)),
    "struct": (
        pa.struct([("p", pa.int64()), ("q", pa.string())]),
        st.fixed_dictionaries({"p": st.integers(0, 3), "q": st.sampled_from("ab")}),
    ),
    "null": (pa.null(), st.none()),
}


@st.composite
def tables(draw, kinds, *, is_nullable):
    rows = draw(st.integers(0, 40))
    columns = {}
    for kind in kinds:
        type_, values = VALUES[kind]
        values = st.one_of(st.none(), values) if kind in is_nullable else values
        columns[kind] = pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), type_)
    return pa.table(columns)


@st.composite
def cases(draw):
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=5, unique=True))
    is_nullable = draw(st.sets(st.sampled_from(kinds)))
    parts = draw(st.lists(tables(kinds, is_nullable=is_nullable), min_size=1, max_size=3))
    group_rows = draw(st.integers(1, 50))
    with_statistics = draw(st.booleans())
    options = {}
    if "int64" in kinds and draw(st.booleans()):
        options["filters"] = [("int64", draw(st.sampled_from(["<", ">=", "!="])), 2)]
    if draw(st.booleans()):
        options["columns"] = draw(st.permutations(kinds))

    def write(directory):
        paths = [os.path.join(directory, f"{place}.parquet") for place in range(len(parts))]
        for path, table in zip(paths, parts, strict=True):
            pq.write_table(table, path, row_group_size=group_rows, write_statistics=with_statistics)
        return paths

    return Case(write, lambda paths: pd.read_parquet(paths, **options), options)


class TestParquet(ReaderContract):
    cases = cases()


def write(path, table, **options):
    if isinstance(table, pd.DataFrame):
        table.to_parquet(path, **options)
    else:
        pq.write_table(table, path, **options)
    return str(path)


def read_all(dataset, grain_nbytes=100):
    return join([chunk.read() for chunk in chunks(dataset, grain_nbytes)])


FRAME = pd.DataFrame(
    {
        "a": np.arange(100),
        "b": [f"s{place % 7}" for place in range(100)],
        "c": pd.array([None if place == 70 else place for place in range(100)], dtype="Int64"),
        "when": pd.date_range("2013-01-01", periods=100, tz="America/New_York"),
        "span": pd.to_timedelta(np.arange(100), unit="s"),
        "price": [decimal.Decimal("1.50")] * 100,
        "kind": pd.Categorical(["x", "y"] * 50, categories=["z", "y", "x"], ordered=True),
        "f32": np.arange(100, dtype="f4"),
        "dotted.name": np.arange(100),
    }
)


def test_dtypes_that_pandas_wrote_come_back(tmp_path):
    path = write(tmp_path / "a.parquet", FRAME, row_group_size=30)
    for chunk in chunks(open_dataset(path), 500):
        assert chunk.read().dtypes.equals(FRAME.dtypes)
    assert_same(read_all(open_dataset(path), 500), pd.read_parquet(path))


def test_attributes_of_the_frame_come_back(tmp_path):
    frame = FRAME[["a"]].copy()
    frame.attrs = {"station": "JFK"}
    path = write(tmp_path / "a.parquet", frame)
    assert chunks(open_dataset(path), 100)[3].read().attrs == {"station": "JFK"}


def test_a_named_index_is_a_column_and_an_unnamed_one_is_dropped(tmp_path):
    named = write(tmp_path / "named.parquet", FRAME[["a", "b"]].set_index("b"))
    assert_same(read_all(open_dataset(named)), pd.read_parquet(named).reset_index()[["a", "b"]])
    unnamed = write(tmp_path / "unnamed.parquet", FRAME[["a", "b"]][FRAME.a.isin([5, 7, 50])])
    assert_same(read_all(open_dataset(unnamed)), pd.read_parquet(unnamed).reset_index(drop=True))
    asked = open_dataset(unnamed, columns=["__index_level_0__"])
    assert read_all(asked)["__index_level_0__"].tolist() == [5, 7, 50]


def test_a_column_has_the_dtype_of_the_whole_where_nulls_stand_in_one_row_group_alone(tmp_path):
    numbers = [None if place == 70 else place for place in range(100)]
    table = pa.table({"n": numbers, "yes": [None if n is None else True for n in numbers]})
    path = write(tmp_path / "a.parquet", table, row_group_size=10)
    dataset = open_dataset(path)
    assert {str(chunk.read().n.dtype) for chunk in chunks(dataset, 10)} == {"float64"}
    assert {str(chunk.read().yes.dtype) for chunk in chunks(dataset, 10)} == {"object"}


@pytest.mark.parametrize("limit", [3, 80])
def test_nulls_that_a_filter_drops_do_not_make_floats(tmp_path, limit):
    table = pa.table({"n": [None if n == 70 else n for n in range(100)], "m": list(range(100))})
    path = write(tmp_path / "a.parquet", table, row_group_size=100)
    filters = [("m", "<", limit)]
    got = read_all(open_dataset(path, filters=filters))
    assert_same(got, pd.read_parquet(path, filters=filters))


def test_categories_are_those_of_the_whole_where_row_groups_have_their_own(tmp_path):
    path = str(tmp_path / "a.parquet")
    parts = [
        pa.table({"c": pa.array(list(text)).dictionary_encode()}) for text in ("xy", "yw", "v")
    ]
    with pq.ParquetWriter(path, parts[0].schema) as writer:
        for part in parts:
            writer.write_table(part)
    whole = pd.read_parquet(path)
    for chunk in chunks(open_dataset(path), 1):
        assert list(chunk.read().c.cat.categories) == list(whole.c.cat.categories)
    assert_same(read_all(open_dataset(path), 1), whole)


def test_more_categories_than_one_byte_holds_over_files(tmp_path):
    paths = []
    for place in range(3):
        values = [f"{place}-{number}" for number in range(100)]
        column = pa.array(values).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string()))
        paths.append(write(tmp_path / f"{place}.parquet", pa.table({"c": column})))
    got = read_all(open_dataset(paths))
    assert got.c.tolist() == [f"{place}-{number}" for place in range(3) for number in range(100)]
    assert len(got.c.cat.categories) == 300


def test_row_groups_that_statistics_rule_out_are_never_read(tmp_path, monkeypatch):
    path = write(tmp_path / "a.parquet", FRAME[["a", "b"]], row_group_size=10)
    dataset = open_dataset(path, filters=[("a", ">=", 45), ("a", "<", 60)])
    read = []
    read_groups, read_rows = footers.read_groups, footers.read_rows
    monkeypatch.setattr(
        "taskinity_data.formats.parquet.reader.read_groups",
        lambda footer, groups, names: read.extend(groups) or read_groups(footer, groups, names),
    )
    monkeypatch.setattr(
        "taskinity_data.formats.parquet.reader.read_rows",
        lambda footer, group, *rest: read.append(group) or read_rows(footer, group, *rest),
    )
    plan = dataset.plan(chunk_size="15 rows")
    assert join([chunk.read() for chunk in plan]).a.tolist() == list(range(45, 60))
    assert set(read) == {4, 5}
    assert plan.rows == 100
    check_tiling(plan.extents, plan.chunks)
    assert dataset.nbytes < open_dataset(path).nbytes / 4
    assert dataset.rows is None


def test_rows_that_a_filter_drops_are_counted(tmp_path):
    path = write(tmp_path / "a.parquet", FRAME[["a", "b"]], row_group_size=10)
    dataset = open_dataset(path, filters=[("b", "==", "s3")], columns=["a"])
    results = [chunk.load("arrow") for chunk in chunks(dataset, 60)]
    assert sum(result.rows for result in results) == (FRAME.b == "s3").sum()
    assert sum(result.rows + result.filtered for result in results) == 100
    assert results[0].data.schema.names == ["a"]


def test_an_expression_filters_too(tmp_path):
    path = write(tmp_path / "a.parquet", FRAME[["a", "b"]], row_group_size=10)
    expression = (pc.field("a") > 90) | (pc.field("b") == "s1")
    expected = pd.read_parquet(path, filters=expression)
    assert_same(read_all(open_dataset(path, filters=expression)), expected)


def test_no_columns_still_have_rows(tmp_path):
    path = write(tmp_path / "a.parquet", FRAME, row_group_size=30)
    for options in ({}, {"filters": [("a", "<", 42)]}):
        dataset = open_dataset(path, columns=[], **options)
        rows = [len(chunk.read()) for chunk in dataset.plan(chunk_size="7 rows")]
        assert sum(rows) == len(pd.read_parquet(path, columns=[], **options))


@pytest.mark.parametrize("rows", [0, 1])
def test_files_without_rows_row_groups_or_columns(tmp_path, rows):
    empty = write(tmp_path / "empty.parquet", FRAME.iloc[:0])
    plan = open_dataset(empty).plan()
    assert len(plan) == 1
    assert_same(plan[0].read(), pd.read_parquet(empty))
    bare = write(tmp_path / "bare.parquet", pa.table({"x": pa.nulls(rows)}).select([]))
    plan = open_dataset(bare).plan()
    assert [len(chunk.read()) for chunk in plan] == [len(pd.read_parquet(bare))]


def test_hive_keys_are_categories_as_in_pandas(tmp_path):
    for year, carrier in [(2013, "UA"), (2012, "AA"), (2013, "B6")]:
        directory = tmp_path / "data" / f"year={year}" / f"carrier={carrier}"
        directory.mkdir(parents=True)
        write(directory / "part.parquet", FRAME[["a"]].iloc[:5])
    (tmp_path / "data" / "_SUCCESS").touch()
    source = str(tmp_path / "data")
    whole = pd.read_parquet(source)
    got = read_all(open_dataset(source), 10)
    assert got.astype(str).equals(whole.astype(str))
    assert got.dtypes.year.categories.dtype == whole.dtypes.year.categories.dtype
    assert_same(got, whole)
    for filters in ([("year", "==", 2013)], [("carrier", "in", ["AA"]), ("a", ">", 2)]):
        expected = pd.read_parquet(source, filters=filters)
        dataset = open_dataset(source, filters=filters)
        assert read_all(dataset, 10).astype(str).equals(expected.astype(str))
    assert open_dataset(source, filters=[("year", "==", 1999)]).nbytes == 0
    assert_same(read_all(open_dataset(source, columns=["year", "a"]))[["a"]], whole[["a"]])


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ([("key", "in", ["x", "z"])], ["2012 x", "2013 x"]),
        ([("key", "!=", "x"), ("year", "<", 2013)], ["2012 y"]),
        ([[("key", "not in", ["x"])], [("year", "==", 2012)]], ["2012 x", "2012 y", "2013 null"]),
        (pc.is_null(pc.field("key")), ["2013 null"]),
        (pc.scalar(True), ["2012 x", "2012 y", "2013 null", "2013 x"]),
        (pc.scalar(False), []),
    ],
    ids=str,
)
def test_filters_by_hive_keys_alone_keep_whole_files(filters, passes, tmp_path):
    for name in ("2012 x", "2012 y", "2013 null", "2013 x"):
        year, key = name.replace("null", "__HIVE_DEFAULT_PARTITION__").split()
        directory = tmp_path / f"year={year}" / f"key={key}"
        directory.mkdir(parents=True)
        write(directory / "part.parquet", FRAME.iloc[:30].assign(b=name))
    whole = open_dataset(tmp_path, filters=filters)
    b_only = open_dataset(tmp_path, filters=filters, columns=["b"])
    for dataset in (whole, b_only):
        assert read_all(dataset, 10).b.tolist() == np.repeat(passes, 30).tolist()
    assert sum(len(chunk.read()) for chunk in b_only.select([]).plan()) == 30 * len(passes)


def test_files_match_by_name_in_the_order_of_the_first(tmp_path):
    one = write(tmp_path / "1.parquet", FRAME[["a", "b"]])
    two = write(tmp_path / "2.parquet", FRAME[["b", "a"]])
    assert_same(read_all(open_dataset([one, two])), pd.read_parquet([one, two]))


def test_a_file_with_a_missing_or_extra_column_is_refused_by_name(tmp_path):
    one = write(tmp_path / "1.parquet", FRAME[["a", "b"]])
    two = write(tmp_path / "2.parquet", FRAME[["a"]].rename(columns={"a": "aa"}).assign(a=1))
    with pytest.raises(PlanError, match=r"2\.parquet: has no column 'b'"):
        open_dataset([one, two])
    with pytest.raises(PlanError, match=r"1\.parquet: has no column 'aa'"):
        open_dataset([two, one])
    three = write(tmp_path / "3.parquet", FRAME[["a", "b", "f32"]])
    with pytest.raises(PlanError, match=r"3\.parquet: has an extra column 'f32'"):
        open_dataset([one, three])


def test_missing_and_extra_columns_can_be_asked_for(tmp_path):
    one = write(tmp_path / "1.parquet", FRAME[["a", "b"]])
    two = write(tmp_path / "2.parquet", FRAME[["a", "f32"]])
    assert_same(
        read_all(open_dataset([one, two], columns=["a"])),
        pd.read_parquet([one, two], columns=["a"]),
    )
    schema = pa.schema([("a", pa.int64()), ("b", pa.string())])
    got = read_all(open_dataset([one, two], schema=schema))
    assert got.b.isna().tolist() == [False] * 100 + [True] * 100


def test_a_narrower_type_in_a_later_file_is_widened_as_pandas_does(tmp_path):
    one = write(tmp_path / "1.parquet", pa.table({"n": pa.array([1], pa.int64())}))
    two = write(tmp_path / "2.parquet", pa.table({"n": pa.array([2], pa.int16())}))
    assert_same(read_all(open_dataset([one, two])), pd.read_parquet([one, two]))
    with pytest.raises(
        PlanError, match=r"1\.parquet: column 'n' is int64, but int16.*schema=\{'n': \.\.\.\}"
    ):
        open_dataset([two, one])
    got = read_all(open_dataset([two, one], schema={"n": "int64"}))
    assert got.n.tolist() == [2, 1]


def test_a_value_that_does_not_fit_the_schema_given_stops_its_chunk(tmp_path):
    path = write(tmp_path / "a.parquet", pa.table({"n": [1, 300]}), row_group_size=1)
    found = chunks(open_dataset(path, schema={"n": "int8"}), 1)
    assert found[0].read().n.tolist() == [1]
    with pytest.raises(SchemaError, match="'n' is int64 in this file and does not fit int8"):
        found[1].read()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": ["aa"]}, "no column 'aa'.*Did you mean 'a'"),
        ({"columns": ["a", "a"]}, "'a' is listed twice"),
        ({"columns": "a"}, "give a list of names"),
        ({"filters": [("aa", ">", 1)]}, "no column 'aa'"),
        ({"schema": 3}, "give None, 'scan'"),
        ({"schema": {"a": "integer"}}, "'integer' for column 'a' is not an Arrow type"),
        ({"schema": {"aa": "int64"}}, "no column 'aa'"),
        ({"sep": ";"}, "sep=';' is not an option for Parquet"),
    ],
)
def test_a_wrong_option_is_named(tmp_path, options, words):
    path = write(tmp_path / "a.parquet", FRAME[["a", "b"]])
    with pytest.raises(PlanError, match=words):
        open_dataset(path, **options)


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = write(tmp_path / "a.parquet", pa.table([[1], [2]], names=["a", "a"]))
    with pytest.raises(PlanError, match="several columns 'a'"):
        open_dataset(path)


def test_a_corrupt_footer_is_refused_with_its_file(tmp_path):
    path = write(tmp_path / "a.parquet", FRAME)
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[-60:-8] = b"\xff" * 52
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(PlanError, match=r"a\.parquet: the Parquet footer can't be read"):
        open_dataset(path)


def test_a_corrupt_page_is_a_read_error_with_file_and_row(tmp_path):
    path = write(tmp_path / "a.parquet", pa.table({"s": ["x" * 50] * 100}), row_group_size=50,
                 compression="zstd", use_dictionary=False)  # fmt: skip
    metadata = pq.read_metadata(path)
    offset = metadata.row_group(1).column(0).data_page_offset
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[offset : offset + 40] = b"\xff" * 40
    (tmp_path / "a.parquet").write_bytes(data)
    found = open_dataset(path).plan(chunk_size="50 rows")
    assert len(found[0].read()) == 50
    with pytest.raises(ReadError, match="rows from 50 on can't be read") as caught:
        found[1].read()
    assert (caught.value.path, caught.value.start) == (path, 50)


def test_small_row_groups_and_files_go_together_and_large_ones_are_split(tmp_path):
    paths = [
        write(tmp_path / f"{place}.parquet", FRAME[["a"]], row_group_size=10) for place in range(4)
    ]
    one = open_dataset(paths).plan(chunk_size="1GB")
    assert len(one) == 1
    assert len(one[0].pieces) == 4
    assert_same(one[0].read(), pd.read_parquet(paths))
    large = write(tmp_path / "large.parquet", FRAME[["a"]], row_group_size=100)
    assert len(open_dataset(large).plan(chunk_size=100)) > 5


def test_ranges_read_in_order_decode_a_row_group_once(tmp_path, monkeypatch):
    path = write(tmp_path / "a.parquet", pa.table({"n": np.arange(50_000)}))
    opened = []
    cursor = footers._GroupCursor
    monkeypatch.setattr(
        footers, "_GroupCursor", lambda *given: opened.append(given) or cursor(*given)
    )
    plan = open_dataset(path).plan(chunk_size="1_000 rows")
    assert join([chunk.read() for chunk in plan]).n.tolist() == list(range(50_000))
    assert len(opened) == 1
    assert join([chunk.read() for chunk in reversed(plan.chunks)]).n.iloc[0] == 49_000
    assert len(opened) > 40


def test_threads_read_ranges_of_one_file_at_the_same_time(tmp_path):
    path = write(tmp_path / "a.parquet", pa.table({"n": np.arange(40_000)}))
    plan = open_dataset(path).plan(chunk_size="500 rows")
    results = {}

    def read(offset):
        for chunk in plan.chunks[offset::4]:
            results[chunk.index] = chunk.read("arrow")["n"].to_pylist()

    threads = [threading.Thread(target=read, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read_in_order = [value for place in range(len(plan)) for value in results[place]]
    assert read_in_order == list(range(40_000))


@EXAMPLES
@given(st.integers(0, 12), st.integers(1, 40), st.sampled_from(["<", "==", ">", "not in"]))
def test_answers_are_those_of_duckdb(tmp_path_factory, bound, group_rows, op):
    path = str(tmp_path_factory.mktemp("duck") / "a.parquet")
    frame = pd.DataFrame({"n": np.arange(60) % 13, "v": np.arange(60)})
    pq.write_table(pa.Table.from_pandas(frame), path, row_group_size=group_rows)
    value = [bound] if op == "not in" else bound
    dataset = open_dataset(path, filters=[("n", op, value)], columns=["v"])
    sql = f"n {'=' if op == '==' else op} {f'({bound})' if op == 'not in' else bound}"
    with duckdb.connect() as connection:
        expected = connection.execute(f"select v from '{path}' where {sql}").fetchall()
    assert read_all(dataset, 50).v.tolist() == [row[0] for row in expected]


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (pa.float64(), pa.float32()),
        (pa.uint32(), pa.uint8()),
        (pa.large_string(), pa.string()),
        (pa.string(), pa.large_string()),
        (pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.string())),
        (pa.int64(), pa.null()),
    ],
)
def test_types_that_the_first_file_holds_without_loss(tmp_path, first, later):
    value = "x" if "string" in str(first) else 1
    paths = []
    for place, type_ in enumerate((first, later)):
        column = pa.array([None if pa.types.is_null(type_) else value], type_)
        table = pa.table({"v": column, "n": pa.array([place])})
        paths.append(write(tmp_path / f"{place}.parquet", table))
    got = read_all(open_dataset(paths))
    assert got.n.tolist() == [0, 1]
    assert_same(got, pd.read_parquet(paths))


@pytest.mark.parametrize(
    ("first", "later"),
    [(pa.int64(), pa.string()), (pa.int8(), pa.int64()), (pa.int64(), pa.uint8())],
)
def test_types_that_it_does_not_are_refused(tmp_path, first, later):
    for place, type_ in enumerate((first, later)):
        write(tmp_path / f"{place}.parquet", pa.table({"v": pa.array([1]).cast(type_)}))
    with pytest.raises(PlanError, match=r"1\.parquet: column 'v' is"):
        open_dataset(str(tmp_path / "*.parquet"))


def test_a_column_that_is_null_throughout_the_first_file_takes_a_later_type(tmp_path):
    one = write(tmp_path / "1.parquet", pa.table({"v": pa.nulls(2)}))
    two = write(tmp_path / "2.parquet", pa.table({"v": [1, 2]}))
    got = read_all(open_dataset([one, two]))
    assert got.v.dtype == "float64"
    assert got.v.isna().tolist() == [True, True, False, False]


@pytest.mark.parametrize("kind", ["int64", "bool", "date", "text"])
def test_nulls_of_a_later_file_are_kept_where_the_first_has_none_by_its_schema(kind, tmp_path):
    values = {"int64": [1], "bool": [True], "date": [dt.date(2020, 1, 1)], "text": ["a"]}[kind]
    type_ = VALUES[kind][0]
    strict = pa.table({"v": values}, schema=pa.schema([pa.field("v", type_, nullable=False)]))
    one = write(tmp_path / "1.parquet", strict)
    two = write(tmp_path / "2.parquet", pa.table({"v": pa.array([None, *values], type_)}))
    assert_same(read_all(open_dataset([one, two]), 1), pd.read_parquet(tmp_path))
    with pytest.raises(SchemaError, match=r"2\.parquet: column 'v' has a null"):
        read_all(open_dataset([one, two], schema=strict.schema))


def test_a_filter_that_arrow_cant_compare_with_statistics_is_refused_by_file(tmp_path):
    path = write(tmp_path / "1.parquet", pa.table({"v": pa.array([7, 2**64 - 1], pa.uint64())}))
    with pytest.raises(PlanError, match=r"1\.parquet: the statistics can't be compared"):
        read_all(open_dataset(path, filters=[("v", "in", [7])]))


def test_a_schema_makes_categories_and_fills_what_a_file_lacks(tmp_path):
    category = pa.dictionary(pa.int8(), pa.string())
    one = write(tmp_path / "1.parquet", pa.table({"c": ["x", "y"], "n": [1, 2]}))
    two = write(tmp_path / "2.parquet", pa.table({"n": [3]}))
    dataset = open_dataset([one, two], schema=pa.schema([("n", pa.int64()), ("c", category)]))
    got = read_all(dataset, 1)
    assert got.c.astype(object).fillna("-").tolist() == ["x", "y", "-"]
    assert list(got.c.cat.categories) == ["x", "y"]
    narrowed = open_dataset(one, schema={"n": np.dtype("float32")})
    assert read_all(narrowed).n.dtype == "float32"


def test_polars_that_is_missing_is_told_with_its_install(tmp_path, monkeypatch):
    path = write(tmp_path / "a.parquet", FRAME[["a"]])
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(PlanError, match="pip install polars"):
        open_dataset(path).plan()[0].read("polars")
