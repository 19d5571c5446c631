"""ORC: the reader contract on files that Hypothesis makes, against pandas over the whole."""

import datetime as dt
import os
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.orc as po
import pytest
from hypothesis import strategies as st
from reader_contract import Case, ReaderContract, assert_same, chunks, join

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, ReadError
from taskinity_data.formats.orc.reader import OrcAccess
from taskinity_data.formats.orc.tail import read_tail
from taskinity_data.sources.file import SourceFile
from taskinity_data.sources.fingerprint import Fingerprint

VALUES = {
    "int64": (pa.int64(), st.integers(-5, 5)),
    "int8": (pa.int8(), st.integers(-5, 5)),
    "bool": (pa.bool_(), st.booleans()),
    "float": (pa.float64(), st.floats(width=32)),
    "text": (pa.string(), st.text("ab,\u017c\n", max_size=3)),
    "binary": (pa.binary(), st.binary(max_size=3)),
    "decimal": (pa.decimal128(5, 2), st.decimals(-99, 99, places=2)),
    "zoned": (pa.timestamp("us", "UTC"), st.integers(0, 2_000_000_000_000_000)),
    "stamp": (pa.timestamp("ns"), st.integers(0, 2_000_000_000_000_000_000)),
    "date": (pa.date32(), st.dates(dt.date(1990, 1, 1), dt.date(2030, 1, 1))),
    "list": (pa.list_(pa.string()), st.lists(st.sampled_from("ab"), max_size=2)),
    "struct": (
        pa.struct([("p", pa.string()), ("q", pa.date32())]),
        st.fixed_dictionaries({"p": st.sampled_from("ab"), "q": st.just(dt.date(2020, 1, 1))}),
    ),
}


@st.composite
def tables(draw, kinds, is_nullable):
    rows = draw(st.integers(0, 30))
    columns = {}
    for kind in kinds:
        type_, values = VALUES[kind]
        values = st.one_of(st.none(), values) if kind in is_nullable else values
        columns[kind] = pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), type_)
    return pa.table(columns)


def write(path, table, stripe_rows=None):
    """`table` in a file, in stripes of `stripe_rows`, which the writer counts by batches."""
    options = {} if stripe_rows is None else {"stripe_size": 1, "batch_size": stripe_rows}
    po.write_table(table, str(path), **options)
    return str(path)


@st.composite
def cases(draw):
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=5, unique=True))
    is_nullable = draw(st.sets(st.sampled_from(kinds)))
    parts = draw(st.lists(tables(kinds, is_nullable), min_size=1, max_size=3))
    stripe_rows = draw(st.one_of(st.none(), st.integers(1, 20)))
    options = {}
    if "int64" in kinds and draw(st.booleans()):
        options["filters"] = [("int64", draw(st.sampled_from(["<", ">=", "!="])), 2)]
    if draw(st.booleans()):
        options["columns"] = draw(st.permutations(kinds))

    def write_all(directory):
        paths = [os.path.join(directory, f"{place}.orc") for place in range(len(parts))]
        return [write(path, part, stripe_rows) for path, part in zip(paths, parts, strict=True)]

    def read_whole(paths):
        table = pa.concat_tables([po.read_table(path) for path in paths])
        if "filters" in options:
            (_, op, value) = options["filters"][0]
            compare = {"<": pa.compute.less, ">=": pa.compute.greater_equal}
            table = table.filter(compare.get(op, pa.compute.not_equal)(table["int64"], value))
        whole = table.to_pandas()
        if len(paths) == 1 and not options:
            pd.testing.assert_frame_equal(whole, pd.read_orc(paths[0]))
        return whole[options.get("columns", kinds)]

    return Case(write_all, read_whole, options)


class TestOrc(ReaderContract):
    cases = cases()


def test_stripes_are_as_many_as_these_tests_take_them_to_be(tmp_path):
    path = write(tmp_path / "a.orc", pa.table({"a": range(100), "s": ["x"] * 100}), 10)
    assert po.ORCFile(path).nstripes == 10


def read_all(dataset, grain_nbytes=100):
    return join([chunk.read() for chunk in chunks(dataset, grain_nbytes)])


TABLE = pa.table({"a": [1, None, 3] * 20, "s": ["x", None, "yy"] * 20, "f": [0.5] * 60})


@pytest.mark.parametrize("compression", ["uncompressed", "zlib", "snappy", "lz4", "zstd"])
def test_rows_nulls_and_bytes_are_told_by_the_tail_alone(tmp_path, compression):
    path = str(tmp_path / "a.orc")
    po.write_table(TABLE, path, compression=compression, stripe_size=1, batch_size=25)
    layout = OrcAccess().open_layout(SourceFile(path, Fingerprint.of(path)))
    assert layout.rows == 60
    if compression == "uncompressed":
        assert np.diff(layout.starts).tolist() == [25, 25, 10]
    assert OrcAccess().null_counts(layout, TABLE.schema.names) == {
        name: TABLE[name].null_count for name in TABLE.schema.names
    }
    assert open_dataset(path, columns=["f"]).nbytes == 8 * 60
    assert open_dataset(path, columns=["s"]).nbytes == pytest.approx(4 * 40 + 20 + 40, abs=3)
    frame = read_all(open_dataset(path))
    assert_same(frame, pd.read_orc(path))
    assert_same(read_all(open_dataset(path, columns=["s", "a"])), pd.read_orc(path)[["s", "a"]])


def test_a_stripe_is_read_by_ranges_in_any_order(tmp_path):
    table = pa.table({"a": range(1000), "s": [f"t{n}" for n in range(1000)]})
    path = write(tmp_path / "a.orc", table, 400)
    found = chunks(open_dataset(path), 1000)
    assert len(found) > 5
    for order in (found, found[::-1], found[3:] + found[:3]):
        frames = sorted([chunk.read() for chunk in order], key=lambda frame: frame.a[0])
        assert_same(join(frames), table.to_pandas())


def test_names_with_dots_are_no_ways_into_structs(tmp_path):
    table = pa.table({"a": [{"b": 1}] * 3, "a.b": [7, 8, 9], "c": [1, 2, 3]})
    path = write(tmp_path / "a.orc", table)
    assert read_all(open_dataset(path, columns=["a.b"]))["a.b"].tolist() == [7, 8, 9]
    assert read_all(open_dataset(path, columns=["c", "a"])).a.tolist() == [{"b": 1}] * 3


def test_empty_files_and_files_of_other_types_are_brought_together_by_name(tmp_path):
    paths = [
        write(
            tmp_path / "0.orc", pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], "str")})
        ),
        write(tmp_path / "1.orc", pa.table({"b": ["x", "y"], "a": pa.array([1, 2], pa.int32())})),
    ]
    frame = read_all(open_dataset(paths))
    assert_same(frame, pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
    categories = {"b": pa.dictionary(pa.int32(), pa.string())}
    frame = read_all(open_dataset(paths, schema=categories))
    assert list(frame.b.cat.categories) == ["x", "y"]
    with pytest.raises(PlanError, match=r"0\.orc: column 'a' is int64, but int32"):
        open_dataset(paths[::-1])


def test_nulls_count_only_where_rows_pass(tmp_path):
    table = pa.table({"n": [None if n == 70 else n for n in range(100)], "m": range(100)})
    path = write(tmp_path / "a.orc", table, 10)
    for limit, dtype in ((70, "int64"), (71, "float64")):
        dataset = open_dataset(path, filters=[("m", "<", limit)])
        assert {str(chunk.read().n.dtype) for chunk in chunks(dataset, 100)} == {dtype}


def test_a_damaged_file_is_refused_or_keeps_its_rows(tmp_path):
    random = Random(1)
    table = TABLE.select(["a", "s"])
    path = write(tmp_path / "a.orc", table, 25)
    data = Path(path).read_bytes()
    refused = []
    damaged = [data[:end] for end in range(8, len(data), 23)]
    for _ in range(150):
        one = bytearray(data)
        one[random.randrange(8, len(data))] ^= 1 << random.randrange(8)
        damaged.append(bytes(one))
    for one in damaged:
        Path(path).write_bytes(one)
        try:
            rows = sum(len(chunk.read()) for chunk in chunks(open_dataset(path), 100))
            refused.append(False)
        except (PlanError, ReadError) as error:
            if path not in str(error):
                raise
            refused.append(True)
        else:
            assert rows == table.num_rows
    assert all(refused[:-(150)])
    assert sum(refused) > 60


def field(number, value):
    """One field of a protocol buffer, of less than 128 bytes."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


STRIPE = field(3, field(5, 3))
TYPES = field(4, field(1, 12) + field(2, 1)) + field(4, field(1, 4))


def tail(*footer):
    return field(2, b"".join(footer))


def test_a_tail_without_statistics_tells_no_nulls():
    schema = pa.schema({"a": pa.int64()})
    assert read_tail(tail(STRIPE, TYPES, field(6, 3)), schema) == ([3], {}, [24])
    packed = field(4, field(1, 12) + field(2, b"\x01")) + field(4, field(1, 4))
    statistics = field(7, field(1, 3)) + field(7, field(1, 2))
    odd = bytes([9 << 3 | 1]) + bytes(8) + bytes([10 << 3 | 5]) + bytes(4)
    told = read_tail(tail(STRIPE, packed, field(6, 3), statistics, odd), schema)
    assert told == ([3], {"a": 1}, [24])


@pytest.mark.parametrize(
    "data",
    [
        tail(),
        tail(STRIPE, TYPES, field(6, 9)),
        tail(STRIPE, TYPES, field(6, 3), field(7, b"")),
        tail(STRIPE, TYPES, field(6, 3), field(7, b""), field(7, field(1, 9))),
        b"\x80",
        b"\x03",
    ],
)
def test_a_malformed_tail_is_refused(data):
    with pytest.raises((ValueError, LookupError)):
        read_tail(data, pa.schema({"a": pa.int64()}))


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = write(tmp_path / "a.orc", pa.table([[1], [2]], names=["a", "a"]))
    with pytest.raises(PlanError, match=r"a\.orc: there are several columns 'a'"):
        open_dataset(path)
