"""Tables that are hard to keep, and the ways to write them, for the corpora of table formats.

It knows nothing of how they are read again.
"""

from __future__ import annotations

import datetime as dt
import decimal

import numpy as np
import pyarrow as pa
import pyarrow.orc as po
import pyarrow.parquet as pq

ROWS = 12
_BEYOND = 2**53 + 1


def _column(type_, *values):
    """`values` again and again, and a null at the end of each round."""
    return pa.array([([*values, None] * ROWS)[place] for place in range(ROWS)], type_)


def _at(*parts):
    return dt.datetime(*parts, tzinfo=dt.UTC).replace(tzinfo=None)


NUMBERS = {
    f"{kind}{bits}": _column(
        getattr(pa, f"{kind}{bits}")(),
        *((0, 2**bits - 1) if kind == "uint" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 0)),
    )
    for kind in ("int", "uint")
    for bits in (8, 16, 32, 64)
}
FULL_NUMBERS = {
    "beyond": pa.array([_BEYOND + place for place in range(ROWS)], pa.int64()),
    "unsigned": pa.array([2**64 - 1 - place for place in range(ROWS)], pa.uint64()),
    "yes": pa.array([place % 2 == 0 for place in range(ROWS)]),
    "late": pa.array([*range(ROWS - 1), None], pa.int32()),
    "late yes": pa.array([*([True] * (ROWS - 1)), None], pa.bool_()),
}
FLOATS = {
    "f64": _column(pa.float64(), 0.1, float("nan"), float("inf"), -0.0, 5e-324),
    "f32": _column(pa.float32(), 0.1, float("nan"), float("-inf"), -0.0),
    "f16": _column(pa.float16(), np.float16(0.1), np.float16(65504)),
}
DECIMALS = {
    "d5": _column(pa.decimal128(5, 2), decimal.Decimal("-999.99"), decimal.Decimal("0.10")),
    "d38": _column(
        pa.decimal128(38, 10), decimal.Decimal("1234567890123456789012345678.1234567891")
    ),
    "d76": _column(pa.decimal256(76, 3), decimal.Decimal("9" * 73 + ".999")),
    "d9": _column(pa.decimal32(9, 4), decimal.Decimal("12345.6789")),
    "d18": _column(pa.decimal64(18, 0), decimal.Decimal(-123456789012345678)),
}
TIMES = {
    **{
        f"{unit} {zone}": _column(
            pa.timestamp(unit, zone), _at(1970, 1, 1), _at(2026, 3, 29, 1, 30)
        )
        for unit in ("s", "ms", "us", "ns")
        for zone in (None, "UTC", "Europe/Warsaw", "+05:30")
    },
    "far": _column(pa.timestamp("us"), _at(1, 1, 1), _at(9999, 12, 31, 23, 59, 59, 999999)),
    "date32": _column(pa.date32(), dt.date(1, 1, 1), dt.date(9999, 12, 31)),
    "date64": _column(pa.date64(), dt.date(1970, 1, 1), dt.date(2026, 2, 28)),
    "time32": _column(pa.time32("ms"), dt.time(23, 59, 59, 999000)),
    "time64": _column(pa.time64("us"), dt.time(0, 0, 0, 1)),
}
SPANS = {
    unit: _column(pa.duration(unit), dt.timedelta(days=1), dt.timedelta(seconds=-1))
    for unit in ("s", "ms", "us", "ns")
}
TEXTS = {
    "string": _column(pa.string(), "", "zażółć", "a\nb\0c", "\U0001f642" * 5),
    "large": _column(pa.large_string(), "x" * 300, ""),
    "binary": _column(pa.binary(), b"", b"\0\xff"),
    "large binary": _column(pa.large_binary(), b"ab", b"\xff" * 20),
    "fixed": _column(pa.binary(3), b"abc", b"\0\0\0"),
    "same": _column(pa.string(), "only one"),
    "null": pa.nulls(ROWS),
}
VIEWS = {
    "view": _column(pa.string_view(), "short", "longer than twelve bytes"),
    "bytes view": _column(pa.binary_view(), b"short", b"longer than twelve bytes"),
}
CATEGORIES = {
    "c": _column(pa.string(), "x", "y", "z").dictionary_encode(),
    "ordered": pa.DictionaryArray.from_arrays(
        _column(pa.int8(), 2, 0), ["a", "b", "c"], ordered=True
    ),
    "late": pa.array([*(["x"] * (ROWS - 1)), "new"]).dictionary_encode(),
}
NUMBERED = {"n": _column(pa.int64(), 7, 5).dictionary_encode()}
_PAIR = pa.struct([("p", pa.int32()), ("q", pa.string())])
LISTS = {
    "l": _column(pa.list_(pa.string()), ["x", None], [], ["yy"]),
    "large": _column(pa.large_list(pa.float64()), [0.5], [], [float("nan"), None]),
    "fixed": _column(pa.list_(pa.int16(), 2), [1, 2], [3, 4]),
    "deep": _column(pa.list_(pa.list_(pa.int64())), [[1, None], []], [None], []),
    "dates": _column(pa.list_(pa.date32()), [dt.date(2020, 1, 1), None]),
    "stamps": _column(pa.list_(pa.timestamp("ms", "UTC")), [_at(2020, 1, 1), None], []),
}
STRUCTS = {
    "s": _column(_PAIR, {"p": 1, "q": "x"}, {"p": None, "q": None}),
    "in list": _column(pa.list_(_PAIR), [{"p": 1, "q": "x"}, None], []),
    "with list": _column(pa.struct([("l", pa.list_(pa.int64()))]), {"l": [1, None]}, {"l": None}),
    "map": _column(pa.map_(pa.string(), pa.int64()), [("k", 1), ("j", None)], []),
    "map of structs": _column(pa.map_(pa.int32(), _PAIR), [(1, {"p": 1, "q": "x"})]),
}
BIG_NESTED = {
    "id": pa.array(range(ROWS)),
    "ids": pa.array([[_BEYOND + place, place] for place in range(ROWS)], pa.list_(pa.int64())),
}
BIG_NESTED_NULLS = {
    "id": pa.array(range(ROWS)),
    "ids": _column(pa.list_(pa.int64()), [_BEYOND, None], [_BEYOND]),
    "of": _column(pa.struct([("n", pa.uint64())]), {"n": 2**64 - 1}, {"n": None}),
}
EXTENSIONS = {
    "uuid": pa.ExtensionArray.from_storage(pa.uuid(), _column(pa.binary(16), b"x" * 16)),
    "json": pa.ExtensionArray.from_storage(pa.json_(), _column(pa.string(), '{"a": 1}')),
    "bool8": pa.ExtensionArray.from_storage(pa.bool8(), _column(pa.int8(), 1, 0)),
    "full": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1] * (ROWS // 2), pa.int8())),
}
HOSTILE_NAMES = (
    *("", " ", "a.b", "a", "a,b", "a\nb", "\t", '"', "'", "../up", "x=1", "100%", "\u0105\u015b"),
    *("\U0001f642", "index", "__index_level_0__", "None", "0", "n" * 255, "\x1b[31mred", "A", "-"),
)

TABLES = {
    "numbers": pa.table(NUMBERS),
    "full numbers": pa.table(FULL_NUMBERS),
    "floats": pa.table(FLOATS),
    "decimals": pa.table(DECIMALS),
    "times": pa.table(TIMES),
    "spans": pa.table(SPANS),
    "texts": pa.table(TEXTS),
    "views": pa.table(VIEWS),
    "categories": pa.table(CATEGORIES),
    "numbered": pa.table(NUMBERED),
    "lists": pa.table(LISTS),
    "structs": pa.table(STRUCTS),
    "big nested": pa.table(BIG_NESTED),
    "big nested nulls": pa.table(BIG_NESTED_NULLS),
    "extensions": pa.table(EXTENSIONS),
    "hostile names": pa.table({name: pa.array(range(ROWS)) for name in HOSTILE_NAMES}),
    "names in structs": pa.table(
        {"a.b": range(ROWS), "a": [{"b": place, "b.c": "x"} for place in range(ROWS)]}
    ),
    "one name twice": pa.table([list(range(ROWS)), list(range(ROWS))], names=["a", "a"]),
    "no rows": pa.table({"a": pa.array([], pa.int64()), "s": pa.array([], pa.string())}),
    "no columns": pa.table({"a": list(range(ROWS))}).select([]),
    "wide": pa.table({f"c{place}": pa.array([place] * 2) for place in range(150)}),
    "not null": pa.table(
        [pa.array(range(ROWS)), pa.array(["x"] * ROWS)],
        schema=pa.schema([pa.field("a", pa.int64(), False), pa.field("s", pa.string(), False)]),
    ),
}

PARQUET = {
    "plain": {"use_dictionary": False, "compression": "none"},
    "rows alone": {"row_group_size": 1},
    "five rows": {"row_group_size": 5, "compression": "zstd"},
    "gzip": {"compression": "gzip"},
    "brotli": {"compression": "brotli"},
    "lz4": {"compression": "lz4", "row_group_size": 7},
    "pages of version 2": {"data_page_version": "2.0", "data_page_size": 1, "compression": "zstd"},
    "small pages": {"data_page_size": 1, "dictionary_pagesize_limit": 8, "write_batch_size": 2},
    "version 1": {"version": "1.0", "row_group_size": 9},
    "no statistics": {"write_statistics": False, "row_group_size": 5},
    "page index": {"write_page_index": True, "data_page_size": 16, "row_group_size": 10},
    "checksums": {"write_page_checksum": True},
    "without Arrow's schema": {"store_schema": False, "row_group_size": 10},
    "old times": {"use_deprecated_int96_timestamps": True, "row_group_size": 10},
    "spark": {"flavor": "spark"},
    "decimals as numbers": {"store_decimal_as_integer": True},
    "old lists": {"use_compliant_nested_type": False, "row_group_size": 5},
}
"""Ways to write Parquet, as options of `pyarrow.parquet.write_table`."""

ALWAYS = ("plain", "rows alone", "five rows")
"""Those in which each table is written; the others take `EVERY_WAY`."""

EVERY_WAY = ("numbers", "times", "texts", "lists", "structs", "categories", "decimals")

IPC = {
    "one batch": {},
    "rows alone": {"batch_rows": 1},
    "five rows": {"batch_rows": 5, "compression": "zstd"},
    "lz4": {"batch_rows": 9, "compression": "lz4"},
    "stream": {"is_stream": True, "batch_rows": 5},
    "compressed stream": {"is_stream": True, "batch_rows": 1, "compression": "zstd"},
    "old format": {"batch_rows": 7, "metadata_version": pa.ipc.MetadataVersion.V4},
}

ORC = {
    "one stripe": {"compression": "uncompressed"},
    "rows alone": {"stripe_size": 1, "batch_size": 1},
    "five rows": {"stripe_size": 1, "batch_size": 5, "compression": "zstd"},
    "zlib": {"stripe_size": 1, "batch_size": 9, "compression": "zlib"},
    "snappy": {"row_index_stride": 10_000, "compression": "snappy", "bloom_filter_columns": [0]},
    "dictionaries": {"dictionary_key_size_threshold": 1.0, "compression": "lz4"},
    "version 0.11": {"file_version": "0.11"},
}


def write_parquet(table, path, way):
    pq.write_table(table, path, **PARQUET[way])


def write_ipc(table, path, way):
    options = dict(IPC[way])
    is_stream, batch_rows = options.pop("is_stream", False), options.pop("batch_rows", None)
    new = pa.ipc.new_stream if is_stream else pa.ipc.new_file
    with new(path, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=batch_rows)


def of_orc(table):
    """The columns of `table` that pyarrow writes as ORC."""
    places = [place for place, one in enumerate(table.schema) if _is_of_orc(one.type)]
    return table.select(places)


def is_of_orc(name):
    """Whether pyarrow writes some of the table as ORC; it dies of one without columns."""
    return of_orc(TABLES[name]).num_columns > 0


def _is_of_orc(type_):
    if isinstance(type_, pa.BaseExtensionType):
        return False
    parts = [type_.field(place).type for place in range(type_.num_fields)]
    if parts:
        return all(map(_is_of_orc, parts)) and not str(type_).startswith("fixed_size_list")
    words = ("uint", "halffloat", "decimal256", "decimal32", "decimal64", "time32", "time64")
    words += ("date64", "duration", "null", "view", "dictionary")
    return not any(word in str(type_) for word in words)


def write_orc(table, path, way):
    po.write_table(table, path, **ORC[way])
