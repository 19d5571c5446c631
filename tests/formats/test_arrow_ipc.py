"""Arrow IPC: the reader contract on files and streams, against pyarrow over the whole."""

import datetime as dt
import decimal
import os
import sys
import warnings
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import strategies as st
from properties import mostly_thorough
from pyarrow import feather
from reader_contract import Case, ReaderContract, assert_same, chunks, join

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, ReadError, SchemaError
from taskinity_data.formats.arrow_ipc import IpcAccess
from taskinity_data.sources.file import Piece, SourceFile
from taskinity_data.sources.fingerprint import Fingerprint

VALUES = {
    "int64": (pa.int64(), st.integers(-5, 5)),
    "uint8": (pa.uint8(), st.integers(0, 255)),
    "bool": (pa.bool_(), st.booleans()),
    "float": (pa.float64(), st.floats(width=32)),
    "text": (pa.string(), st.text("ab,\u017c\n", max_size=3)),
    "large": (pa.large_string(), st.sampled_from(["", "x", "yy"])),
    "view": (pa.string_view(), st.sampled_from(["short", "longer than twelve bytes"])),
    "decimal": (pa.decimal128(5, 2), st.decimals(-99, 99, places=2)),
    "zoned": (pa.timestamp("us", "Europe/Warsaw"), st.integers(0, 2_000_000_000_000_000)),
    "date": (pa.date32(), st.dates(dt.date(1990, 1, 1), dt.date(2030, 1, 1))),
    "list": (pa.list_(pa.string()), st.lists(st.sampled_from("ab"), max_size=2)),
    "struct": (
        pa.struct([("p", pa.string()), ("q", pa.date32())]),
        st.fixed_dictionaries({"p": st.sampled_from("ab"), "q": st.just(dt.date(2020, 1, 1))}),
    ),
    "null": (pa.null(), st.none()),
}


@st.composite
def batches(draw, kinds, is_nullable):
    """Record batches of one schema, the dictionaries of which differ."""
    parts = []
    for rows in draw(st.lists(st.integers(0, 12), max_size=5)):
        columns = {}
        for kind in kinds:
            type_, values = VALUES.get(kind, (pa.string(), st.sampled_from("wxyz")))
            values = st.one_of(st.none(), values) if kind in is_nullable else values
            column = pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), type_)
            columns[kind] = column.dictionary_encode() if kind == "category" else column
        parts.append(pa.record_batch(columns))
    return parts


def write_batches(path, schema, parts, *, is_stream, compression=None, deltas=False):
    options = pa.ipc.IpcWriteOptions(
        compression=compression, emit_dictionary_deltas=deltas, unify_dictionaries=not is_stream
    )
    new = pa.ipc.new_stream if is_stream else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as sink, new(sink, schema, options=options) as writer:
        if is_stream:
            for part in parts:
                writer.write_batch(part)
        else:
            writer.write_table(pa.Table.from_batches(parts, schema))
    return str(path)


def read_whole(path):
    with pa.OSFile(str(path)) as file:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        return (pa.ipc.open_file if is_file else pa.ipc.open_stream)(file).read_all()


@st.composite
def cases(draw):
    kinds = draw(
        st.lists(
            st.sampled_from([*sorted(VALUES), "category"]), min_size=1, max_size=5, unique=True
        )
    )
    is_nullable = draw(st.sets(st.sampled_from(kinds)))
    files = draw(st.lists(batches(kinds, is_nullable), min_size=1, max_size=3))
    is_stream = draw(st.booleans())
    compression = draw(st.sampled_from([None, "lz4", "zstd"]))
    options = {}
    # Arrow can't take rows out of views.
    if "int64" in kinds and "view" not in kinds and draw(st.booleans()):
        options["filters"] = [("int64", draw(st.sampled_from(["<", ">=", "!="])), 2)]
    if draw(st.booleans()):
        options["columns"] = draw(st.permutations(kinds))
    category = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema([(kind, VALUES.get(kind, (category,))[0]) for kind in kinds])

    def write(directory):
        return [
            write_batches(
                os.path.join(directory, f"{place}.arrow"),
                schema,
                parts,
                is_stream=is_stream,
                compression=compression,
            )
            for place, parts in enumerate(files)
        ]

    def whole(paths):
        table = pa.concat_tables([read_whole(path) for path in paths])
        frame = table.to_pandas()
        if "filters" in options:
            place, (_, op, value) = table["int64"], options["filters"][0]
            compare = {"<": pa.compute.less, ">=": pa.compute.greater_equal}
            mask = compare.get(op, pa.compute.not_equal)(place, value)
            filtered = table.filter(mask).to_pandas()
            if "category" in kinds:
                # Arrow forgets the values of batches of which no row is left.
                filtered["category"] = filtered["category"].cat.set_categories(
                    frame["category"].cat.categories
                )
            frame = filtered
        return frame[list(options.get("columns", kinds))]

    return Case(write, whole, options)


class TestIpc(ReaderContract):
    cases = cases()


def read_all(dataset, grain_nbytes=20):
    return join([chunk.read() for chunk in chunks(dataset, grain_nbytes)])


def write_table(path, table, *, is_stream=False, batch_rows=None, **options):
    new = pa.ipc.new_stream if is_stream else pa.ipc.new_file
    options = pa.ipc.IpcWriteOptions(**options)
    with pa.OSFile(str(path), "wb") as sink, new(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=batch_rows)
    return str(path)


FRAME = pd.DataFrame(
    {
        "a": np.arange(100),
        "b": [f"s{place % 7}" for place in range(100)],
        "c": pd.array([None if place == 70 else place for place in range(100)], dtype="Int64"),
        "when": pd.date_range("2013-01-01", periods=100, tz="America/New_York"),
        "span": pd.to_timedelta(np.arange(100), unit="s"),
        "price": [decimal.Decimal("1.50")] * 100,
        "kind": pd.Categorical(["x", "y"] * 50, categories=["z", "y", "x"], ordered=True),
        "month": pd.period_range("2020-01", periods=100, freq="M"),
    }
)


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_what_pandas_wrote_comes_back(tmp_path, compression):
    path = str(tmp_path / "a.feather")
    FRAME.to_feather(path, compression=compression, chunksize=30)
    dataset = open_dataset(path)
    assert (dataset.rows, dataset.format) == (100, "arrow")
    for chunk in chunks(dataset, 500):
        assert chunk.read().dtypes.equals(FRAME.dtypes)
    assert_same(read_all(dataset), pd.read_feather(path))
    assert_same(read_all(open_dataset(path, columns=["b", "a"])), pd.read_feather(path)[["b", "a"]])


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_what_polars_wrote_comes_back(tmp_path, compression):
    frame = pl.DataFrame(
        {"a": range(50), "t": [f"text {n}, longer than a view holds" for n in range(50)]}
    ).with_columns(c=pl.col("t").cast(pl.Categorical))
    frame.write_ipc(tmp_path / "a.arrow", compression=compression)
    frame.write_ipc_stream(tmp_path / "b.arrows", compression=compression)
    for path in (tmp_path / "a.arrow", tmp_path / "b.arrows"):
        read = [chunk.read("polars") for chunk in chunks(open_dataset(path), 100)]
        assert len(read) > 1
        assert pl.concat(read).equals(frame)
        assert_same(read_all(open_dataset(path)), read_whole(path).to_pandas())


def test_indices_of_pandas_are_columns_where_they_have_names(tmp_path):
    frame = FRAME[["a", "b"]]
    named = write_table(tmp_path / "named.arrow", pa.Table.from_pandas(frame.set_index("b")))
    assert_same(read_all(open_dataset(named)), frame)
    unnamed = pa.Table.from_pandas(frame[frame.a.isin([5, 7, 50])])
    path = write_table(tmp_path / "unnamed.arrow", unnamed)
    assert list(read_all(open_dataset(path)).columns) == ["a", "b"]
    asked = open_dataset(path, columns=["__index_level_0__"])
    assert read_all(asked)["__index_level_0__"].tolist() == [5, 7, 50]


def encoded(*texts):
    return [pa.record_batch({"c": pa.array(list(text)).dictionary_encode()}) for text in texts]


@pytest.mark.parametrize("deltas", [False, True])
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_each_batch_of_a_stream_is_read_by_its_own_dictionary(tmp_path, deltas, compression):
    parts = encoded("xy", "xyz", "x", "wv", "wvu", "wvux")
    path = tmp_path / "a.arrows"
    write_batches(
        path, parts[0].schema, parts, is_stream=True, deltas=deltas, compression=compression
    )
    whole = read_whole(path)
    assert whole["c"].to_pylist() == list("xyxyzxwvwvuwvux")
    dataset = open_dataset(path)
    for size in (1, 3, 8, 1000):
        read = [chunk.read() for chunk in chunks(dataset, size)]
        assert all(list(frame.c.cat.categories) == list("xyzwvu") for frame in read)
        assert_same(join(read), whole.to_pandas())
    last = Piece(dataset.sources[0], 13, 15, 2, 2)
    assert Chunk(dataset.reader, (last,)).read().c.tolist() == ["u", "x"]


def test_a_file_whose_dictionary_grows_is_read_whole(tmp_path):
    path = tmp_path / "a.arrow"
    write_growing(path, encoded("xy", "xyz", "xyzw"))
    assert_same(read_all(open_dataset(path), 1), read_whole(path).to_pandas())


def test_dictionaries_within_lists_are_those_of_their_batch(tmp_path):
    type_ = pa.list_(pa.dictionary(pa.int8(), pa.string()))
    parts = [pa.record_batch({"c": pa.array([[one], [one, "z"]], type_)}) for one in "xyx"]
    path = tmp_path / "a.arrows"
    write_batches(path, parts[0].schema, parts, is_stream=True)
    read = [chunk.read("arrow")["c"].to_pylist() for chunk in chunks(open_dataset(path), 1)]
    rows = [row for part in read for row in part]
    assert rows == [["x"], ["x", "z"], ["y"], ["y", "z"], ["x"], ["x", "z"]]


def test_types_beyond_pandas_come_back_as_arrow(tmp_path):
    rows = 40
    encoded_runs = pa.compute.run_end_encode(pa.array([1] * 30 + [None] * 10))
    tags = pa.array([0, 1] * 20, pa.int8())
    offsets = pa.array([place // 2 for place in range(rows)], pa.int32())
    values = [pa.array(range(rows)), pa.array(["x"] * rows)]
    table = pa.table(
        {
            "runs": encoded_runs,
            "sparse": pa.UnionArray.from_sparse(tags, values),
            "dense": pa.UnionArray.from_dense(tags, offsets, values),
            "views": pa.array([[1], []] * 20, pa.list_view(pa.int64())),
            "fixed": pa.array([[1, 2]] * rows, pa.list_(pa.int16(), 2)),
            "map": pa.array([[("k", 1)], []] * 20, pa.map_(pa.string(), pa.int64())),
            "uuid": pa.ExtensionArray.from_storage(
                pa.uuid(), pa.array([b"x" * 16] * rows, pa.binary(16))
            ),
            "bytes": pa.array([b"ab"] * rows, pa.binary(2)),
            "half": pa.array(np.arange(rows, dtype="f2")),
        }
    )
    for is_stream in (False, True):
        path = write_table(tmp_path / "a.arrow", table, is_stream=is_stream, batch_rows=9)
        dataset = open_dataset(path)
        assert dataset.schema == table.schema
        read = [chunk.read("arrow") for chunk in chunks(dataset, 100)]
        assert len(read) > 3
        assert pa.concat_tables(read).to_pylist() == table.to_pylist()
        with pytest.raises(ReadError, match=r"converted to pandas: .*union.*columns="):
            dataset.head()


def test_an_extension_over_integers_is_float_everywhere_where_it_holds_a_null(tmp_path):
    storage = pa.array([1, 0, None, 1], pa.int8())
    table = pa.table({"yes": pa.ExtensionArray.from_storage(pa.bool8(), storage), "n": storage})
    path = write_table(tmp_path / "a.arrow", table, batch_rows=1)
    assert_same(read_all(open_dataset(path), 1), table.to_pandas())
    assert [str(chunk.read().yes.dtype) for chunk in chunks(open_dataset(path), 1)] == [
        str(table.to_pandas().yes.dtype)
    ] * len(chunks(open_dataset(path), 1))


def test_bytes_are_those_of_the_selected_columns_in_memory(tmp_path):
    table = pa.table({"a": np.zeros(1000), "s": ["text"] * 1000, "v": ["view"] * 1000})
    table = table.set_column(2, "v", table["v"].cast(pa.string_view()))
    for options in ({}, {"compression": "zstd"}):
        path = write_table(tmp_path / "a.arrow", table, batch_rows=100, **options)
        assert open_dataset(path, columns=["a"]).nbytes == 8000
        assert open_dataset(path, columns=["v"]).nbytes == 16_000
        # Of each batch 400 bytes of text, which fill seven blocks of 64, and 101 offsets.
        assert open_dataset(path, columns=["s"]).nbytes == 10 * (7 * 64 + 101 * 4)
    assert open_dataset(path, columns=["a"]).head(2).a.tolist() == [0, 0]


def test_unions_of_the_old_format_are_read(tmp_path):
    tags = pa.array([0, 1] * 20, pa.int8())
    union = pa.UnionArray.from_sparse(tags, [pa.array(range(40)), pa.array(["x"] * 40)])
    table = pa.table({"u": union, "b": [None, "text"] * 20})
    path = tmp_path / "a.arrow"
    write_table(path, table, metadata_version=pa.ipc.MetadataVersion.V4, use_legacy_format=True)
    dataset = open_dataset(path)
    read = [chunk.read("arrow") for chunk in chunks(dataset, 100)]
    assert pa.concat_tables(read).to_pylist() == table.to_pylist()
    assert dataset.nbytes > 40 * 9


@pytest.mark.parametrize("is_stream", [False, True])
def test_files_without_batches_rows_or_columns(tmp_path, is_stream):
    schema = pa.schema({"a": pa.int64(), "c": pa.dictionary(pa.int8(), pa.string())})
    path = tmp_path / "a.arrow"
    for table in (schema.empty_table(), pa.table({"a": [], "c": []}, schema=schema)):
        write_table(path, table, is_stream=is_stream)
        dataset = open_dataset(path)
        assert dataset.rows == 0
        assert dataset.head().dtypes.equals(table.to_pandas().dtypes)
    write_batches(path, pa.schema([]), [], is_stream=is_stream)
    assert open_dataset(path).rows == 0
    assert open_dataset(path).head().shape == (0, 0)
    nothing = pa.table({"x": [1, 2, 3]}).select([])
    write_table(path, nothing, is_stream=is_stream)
    assert open_dataset(path).rows == 3
    assert len(read_all(open_dataset(path), 1)) == 3


def test_columns_are_matched_by_name_over_files_and_streams(tmp_path):
    first = pa.table({"a": [1, 2], "b": ["x", None]})
    second = pa.table({"b": ["y", "z"], "a": pa.array([3, None], pa.int32())})
    third = pa.table({"b": pa.nulls(1), "a": [5]})
    paths = [
        write_table(tmp_path / "0.arrow", first),
        write_table(tmp_path / "1.arrows", second, is_stream=True),
        write_table(tmp_path / "2.arrow", third),
    ]
    for paths_ in (paths, [*reversed(paths)]):
        tables = dict(zip(paths, (first, second, third), strict=True))
        expected = pa.concat_tables(
            [tables[path].select(["a", "b"]) for path in paths_], promote_options="permissive"
        )
        assert_same(read_all(open_dataset(paths_, columns=["a", "b"]), 1), expected.to_pandas())


def test_files_that_differ_are_refused_and_a_schema_brings_them_together(tmp_path):
    paths = [
        write_table(tmp_path / "0.arrow", pa.table({"a": [1], "speed": [1.5]})),
        write_table(tmp_path / "1.arrow", pa.table({"a": ["x"], "spead": [2.5]})),
    ]
    with pytest.raises(PlanError, match=r"1\.arrow: has no column 'speed'.*'spead'"):
        open_dataset(paths)
    with pytest.raises(PlanError, match=r"1\.arrow: column 'a' is string, but int64"):
        open_dataset(paths, columns=["a"])
    schema = pa.schema({"a": pa.string(), "speed": pa.float64(), "n": pa.int64()})
    frame = read_all(open_dataset(paths, schema=schema))
    assert frame.a.tolist() == ["1", "x"]
    assert frame.speed.isna().tolist() == [False, True]
    assert frame.n.isna().all()
    assert open_dataset(paths, schema=schema, columns=["n"]).rows == 2
    narrow = open_dataset(paths[1], schema={"a": "int64"})
    with pytest.raises(SchemaError, match="column 'a' is string"):
        narrow.head()


def test_a_schema_may_ask_for_categories_and_for_wider_numbers(tmp_path):
    table = pa.table({"s": ["x", "y", "x", None], "n": pa.array([1, 2, 3, 4], pa.int8())})
    path = write_table(tmp_path / "a.arrow", table, batch_rows=1)
    schema = {"s": pa.dictionary(pa.int32(), pa.string()), "n": "float64"}
    for chunk in chunks(open_dataset(path, schema=schema), 1):
        assert list(chunk.read().s.cat.categories) == ["x", "y"]
        assert chunk.read().n.dtype == "float64"
    empty = write_table(tmp_path / "empty.arrow", table.slice(0, 0))
    assert open_dataset(empty, schema=schema).head().s.cat.categories.empty


def test_more_categories_than_an_index_holds_get_a_wider_one(tmp_path):
    paths = []
    for place in range(2):
        values = [f"{place}-{n}" for n in range(100)]
        column = pa.array(values).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string()))
        paths.append(write_table(tmp_path / f"{place}.arrow", pa.table({"c": column})))
    whole = pa.concat_tables([read_whole(path) for path in paths])
    frame = read_all(open_dataset(paths), 50)
    assert frame.c.tolist() == whole["c"].to_pylist()
    assert len(frame.c.cat.categories) == 200


def test_categories_that_pandas_has_not_are_refused(tmp_path):
    values = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["x", None]))
    path = write_table(tmp_path / "a.arrow", pa.table({"c": values}))
    with pytest.raises(PlanError, match="column 'c': its categories include a null"):
        open_dataset(path)
    assert open_dataset(path, schema={"c": "string"}).head().c.isna().tolist() == [False, True]
    lists = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array([["x"], ["y"]]))
    path = write_table(tmp_path / "b.arrow", pa.table({"c": lists}))
    with pytest.raises(PlanError, match=r"categories of list<.*columns="):
        open_dataset(path)


def test_nulls_count_only_where_rows_pass(tmp_path):
    numbers = [None if n == 70 else n for n in range(100)]
    table = pa.table({"n": numbers, "m": list(range(100)), "yes": [n != 50 for n in range(100)]})
    path = write_table(tmp_path / "a.arrow", table, batch_rows=10)
    for limit, dtype in ((70, "int64"), (71, "float64")):
        dataset = open_dataset(path, filters=[("m", "<", limit)])
        assert {str(chunk.read().n.dtype) for chunk in chunks(dataset, 100)} == {dtype}
        assert dataset.rows is None
    assert str(read_all(open_dataset(path, filters=[("n", ">", 5)])).n.dtype) == "int64"


def test_a_compressed_batch_is_read_by_ranges_in_any_order(tmp_path):
    table = pa.table({"a": range(1000), "s": [f"t{n}" for n in range(1000)]})
    path = write_table(tmp_path / "a.arrow", table, compression="zstd")
    found = chunks(open_dataset(path), 1000)
    assert len(found) > 5
    for order in (found, found[::-1], found[3:] + found[:3]):
        frames = sorted([chunk.read() for chunk in order], key=lambda frame: frame.a[0])
        assert_same(join(frames), table.to_pandas())


def test_a_table_does_not_change_with_the_file_that_it_came_from(tmp_path):
    table = pa.table({"a": np.arange(1000), "s": ["text"] * 1000})
    path = write_table(tmp_path / "a.arrow", table)
    read = chunks(open_dataset(path), 1 << 40)[0].read("arrow")
    with open(path, "r+b") as file:
        file.write(b"\0" * os.path.getsize(path))
    assert read.equals(table)


def test_hive_directories_have_their_keys_as_columns(tmp_path):
    for key in "xy":
        (tmp_path / f"k={key}").mkdir()
        write_table(tmp_path / f"k={key}" / "a.arrow", pa.table({"a": [1, 2]}), batch_rows=1)
    frame = read_all(open_dataset(tmp_path, filters=[("k", "==", "y")]), 1)
    assert frame.a.tolist() == [1, 2]
    assert frame.k.tolist() == ["y", "y"]


def test_feather_of_the_first_version_is_refused_with_the_line_that_converts_it(tmp_path):
    path = str(tmp_path / "a.feather")
    with pytest.warns(DeprecationWarning, match="Feather V1"):
        feather.write_feather(pa.table({"a": [1]}), path, version=1)
    with pytest.raises(PlanError, match="version 1, which") as caught:
        open_dataset(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(str(caught.value).split("convert it: ")[1], {})
    assert open_dataset(path + ".arrow").head().a.tolist() == [1]


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = write_table(tmp_path / "a.arrow", pa.table([[1], [2]], names=["a", "a"]))
    with pytest.raises(PlanError, match=r"a\.arrow: there are several columns 'a'"):
        open_dataset(path)


def test_a_file_that_can_not_be_opened_is_refused(tmp_path):
    path = write_table(tmp_path / "a.arrow", pa.table({"a": [1]}))
    file = SourceFile(path, Fingerprint.of(path))
    Path(path).unlink()
    with pytest.raises(PlanError, match=r"a\.arrow: the Arrow data can't be read: .*No such file"):
        IpcAccess().open_layout(file)


TABLE = pa.table(
    {
        "a": [1, None, 3] * 20,
        "s": ["x", None, "yy"] * 20,
        "c": pa.array(["u", "v", None] * 20).dictionary_encode(),
        "l": [["x"], [], None] * 20,
    }
)


def read_or_refuse(path):
    """The rows of all chunks, None where they are refused."""
    try:
        dataset = open_dataset(path)
        parts = [chunk.read("arrow") for chunk in chunks(dataset, 300)]
        [chunk.read("pandas") for chunk in chunks(dataset, 300)]
    except (PlanError, ReadError) as error:
        if path not in str(error):
            raise
        return None
    return pa.concat_tables(parts)


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_file_cut_anywhere_is_refused(tmp_path, is_stream):
    path = write_table(tmp_path / "a.arrow", TABLE, is_stream=is_stream, batch_rows=25)
    data = Path(path).read_bytes()
    ends = [*range(8, len(data), 17), *range(len(data) - 40, len(data))]
    for end in ends:
        Path(path).write_bytes(data[:end])
        assert read_or_refuse(path) is None, end


@pytest.mark.parametrize("is_stream", mostly_thorough([False, True], 1))
def test_a_damaged_file_is_refused_or_keeps_its_rows(tmp_path, is_stream):
    random = Random(1)
    for compression in (None, "zstd"):
        path = write_table(
            tmp_path / "a.arrow",
            TABLE,
            is_stream=is_stream,
            batch_rows=25,
            compression=compression,
        )
        data = Path(path).read_bytes()
        refused = 0
        for _ in range(150):
            damaged = bytearray(data)
            place = random.randrange(8, len(data))
            damaged[place] ^= 1 << random.randrange(8)
            Path(path).write_bytes(damaged)
            read = read_or_refuse(path)
            refused += read is None
            assert read is None or read.num_rows == TABLE.num_rows
        assert refused > 30


def test_offsets_and_codes_that_point_elsewhere_are_refused(tmp_path):
    table = pa.table({"s": ["abc"] * 30})
    path = write_table(tmp_path / "a.arrow", table)
    data = Path(path).read_bytes()
    offsets = np.arange(0, 90, 3, dtype="<i4")
    wrong = offsets.copy()
    wrong[10] = 1 << 30
    Path(path).write_bytes(data.replace(offsets.tobytes(), wrong.tobytes()))
    with pytest.raises(ReadError, match=r"a\.arrow: rows from 0 on can't be read") as caught:
        open_dataset(path).head()
    assert (caught.value.path, caught.value.start) == (path, 0)
    codes = pa.array([0, 1] * 20, pa.int32())
    column = pa.DictionaryArray.from_arrays(codes, ["x", "y"])
    write_table(path, pa.table({"c": column}))
    data = Path(path).read_bytes()
    wrong = np.array([0, 1] * 20, "<i4")
    wrong[30] = 99
    Path(path).write_bytes(data.replace(codes.buffers()[1].to_pybytes()[:160], wrong.tobytes()))
    with pytest.raises(ReadError, match="can't be read"):
        read_all(open_dataset(path))


def test_a_stream_that_is_followed_by_another_is_refused(tmp_path):
    path = write_table(tmp_path / "a.arrows", TABLE, is_stream=True)
    data = Path(path).read_bytes()
    Path(path).write_bytes(data + data)
    with pytest.raises(PlanError, match=r"the stream ends at byte .*split them"):
        open_dataset(path)
    Path(path).write_bytes(data[:-8])
    with pytest.raises(PlanError, match="the end-of-stream marker is missing"):
        open_dataset(path)
    Path(path).write_bytes(data[:-8] + data)
    with pytest.raises(PlanError, match="the Arrow data can't be read"):
        open_dataset(path)


def test_malformed_footers_are_refused(tmp_path):
    path = write_table(tmp_path / "a.arrow", pa.table({"name": [1, 2]}))
    data = Path(path).read_bytes()
    footer_nbytes = int.from_bytes(data[-10:-6], "little")
    start = len(data) - 10 - footer_nbytes
    for changed in (
        data[:-10] + b"\0" * 4 + data[-6:],
        data[:start] + b"\xff" * 4 + data[start + 4 :],
        data[:start] + b"\xf0\0\0\0" + data[start + 4 :],
        data[:-6] + b"ARROW2",
    ):
        Path(path).write_bytes(changed)
        with pytest.raises(PlanError, match=r"a\.arrow: the Arrow data can't be read"):
            open_dataset(path)


def write_growing(path, parts):
    """A file whose batches `parts` have dictionaries that grow."""
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with (
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, parts[0].schema, options=options) as writer,
    ):
        for part in parts:
            writer.write_batch(part)
    assert writer.stats.num_dictionary_deltas == len(parts) - 1


def test_a_filter_may_need_a_category_that_is_not_selected(tmp_path):
    table = pa.table({"a": [1, 2, 3], "c": pa.array(["x", "y", "x"]).dictionary_encode()})
    path = write_table(tmp_path / "a.arrow", table)
    dataset = open_dataset(path, columns=["a"], filters=[("c", "==", "x")])
    assert dataset.head().a.tolist() == [1, 3]


def test_polars_that_is_not_installed_is_asked_for(tmp_path, monkeypatch):
    path = write_table(tmp_path / "a.arrow", pa.table({"a": [1]}))
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(PlanError, match="pip install polars"):
        chunks(open_dataset(path), 100)[0].read("polars")
