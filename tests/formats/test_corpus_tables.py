"""Parquet, Arrow IPC and ORC, made by many hands, chunk by chunk against the whole: none is wrong.

What is refused is listed in `table_refusals.json` with the reason that the user is given.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import duckdb
import made_tables as made
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from tables_oracle import judge, same_values

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import ReadError
from taskinity_data.formats.frame_tables import find_rounded

HERE = Path(__file__).parent
COMMITTED = sorted((HERE.parent / "corpus" / "tables").glob("*.parquet"))
OF_PYARROW = Path(pa.__file__).parent / "tests" / "data"
FLIGHTS = HERE.parent.parent / "datasets"
REFUSALS = json.loads((HERE / "table_refusals.json").read_text())
BEYOND = 2**53 + 1
BOTH = "refused, as the whole is"


def check(path, format_, name):
    verdict = judge(str(path), format_)
    reason = REFUSALS.get(format_, {}).get(name)
    if reason is None:
        assert verdict == "exact"
    elif reason == BOTH:
        assert verdict == BOTH
    else:
        assert verdict.startswith("refused: ")
        assert reason in verdict


@pytest.mark.parametrize("name", made.TABLES)
def test_parquet_in_many_ways(tmp_path, name):
    for way in made.PARQUET if name in made.EVERY_WAY else made.ALWAYS:
        path = str(tmp_path / "a.parquet")
        made.write_parquet(made.TABLES[name], path, way)
        check(path, "parquet", name)


@pytest.mark.thorough
@pytest.mark.parametrize("name", made.TABLES)
def test_arrow_ipc_in_many_ways(tmp_path, name):
    for way in made.IPC:
        path = str(tmp_path / "a.arrow")
        made.write_ipc(made.TABLES[name], path, way)
        check(path, "arrow", name)


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in made.TABLES if made.is_of_orc(name)])
def test_orc_in_many_ways(tmp_path, name):
    for way in made.ORC:
        path = str(tmp_path / "a.orc")
        made.write_orc(made.of_orc(made.TABLES[name]), path, way)
        check(path, "orc", name)


def test_every_refusal_is_of_a_table_that_is_there():
    assert all(set(names) <= set(made.TABLES) for names in REFUSALS.values())


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_parquet_of_other_projects(path):
    assert judge(str(path), "parquet") == "exact"


@pytest.mark.parametrize(
    ("pattern", "format_"),
    [("parquet/*.parquet", "parquet"), ("orc/*.orc", "orc"), ("feather/*.feather", "arrow")],
)
def test_what_pyarrow_ships_for_its_own_tests(pattern, format_):
    found = sorted(OF_PYARROW.glob(pattern))
    assert found
    assert {path.name: judge(str(path), format_) for path in found} == {
        path.name: "exact" for path in found
    }


def test_the_flights_and_their_weather():
    for path in (FLIGHTS / "weather.parquet", FLIGHTS / "flights" / "2013-01.parquet"):
        assert judge(str(path), "parquet", 9_999) == "exact"


FRAME = pl.DataFrame(
    {
        "i": [1, None, 2**62],
        "u": pl.Series([1, None, 2**64 - 1], dtype=pl.UInt64),
        "f": [0.5, None, float("nan")],
        "s": ["x", None, "longer than twelve bytes, in a view"],
        "c": pl.Series(["x", None, "y"], dtype=pl.Categorical),
        "e": pl.Series(["b", None, "a"], dtype=pl.Enum(["a", "b", "unused"])),
        "l": [[1, 2], [], None],
        "a": pl.Series([[1, 2], [3, 4], None], dtype=pl.Array(pl.Int16, 2)),
        "st": [{"p": 1, "q": "x"}, None, {"p": None, "q": None}],
        "d": pl.Series([None, "1.50", "-2.25"]).cast(pl.Decimal(10, 2)),
        "b": [b"\0", None, b""],
        "n": [None, None, None],
    }
).with_columns(
    when=pl.Series([0, None, 1_790_000_000_000_000]).cast(pl.Datetime("us", "Europe/Warsaw")),
    day=pl.Series([0, None, 20_000]).cast(pl.Date),
    time=pl.Series([0, None, 86_399_999_999_000]).cast(pl.Time),
    span=pl.Series([0, None, -5]).cast(pl.Duration("ms")),
)


@pytest.mark.parametrize("compression", ["uncompressed", "snappy", "gzip", "lz4", "zstd"])
def test_parquet_of_polars(tmp_path, compression):
    path = tmp_path / "a.parquet"
    frame = pl.concat([FRAME] * 4)
    frame.write_parquet(path, compression=compression, row_group_size=5, data_page_size=64)
    assert judge(str(path), "parquet") == "exact"
    read = [chunk.read("polars") for chunk in open_dataset(path).plan(chunk_size="2 rows")]
    assert repr(pl.concat(read).drop("l", "a").rows()) == repr(frame.drop("l", "a").rows())
    for name in ("l", "a"):
        assert pl.concat(read)[name].to_list() == frame[name].to_list()


@pytest.mark.pinned  # older ones write one batch alone
@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_arrow_ipc_of_polars(tmp_path, compression):
    path = tmp_path / "a.arrow"
    for level in (pl.CompatLevel.oldest(), pl.CompatLevel.newest()):
        FRAME.write_ipc(path, compression=compression, compat_level=level, record_batch_size=2)
        assert judge(str(path), "arrow") == "exact"
        FRAME.write_ipc_stream(path, compression=compression, compat_level=level)
        assert judge(str(path), "arrow") == "exact"


DUCKDB = f"""select
    range as i, range::utinyint as u, range::hugeint as huge, range / 7 as f, range::float as f32,
    case when range % 3 = 0 then null else 'text ' || range end as s,
    case when range % 4 = 0 then null else range end as few,
    (range % 3)::varchar::enum('0', '1', '2') as e, range % 2 = 0 as yes,
    range::decimal(18, 3) as d, range::decimal(38, 5) as long_d,
    timestamp '2026-03-29 00:30:00' + interval (range) minute as stamp,
    timestamptz '2026-03-29 00:30:00+00' + interval (range) minute as zoned,
    date '0001-01-01' + range::integer as day, time '23:59:59.999999' as clock,
    [range, null] as l, {{'p': range, 'q': [range::varchar]}} as st, map {{'k': range}} as m,
    'ab'::blob as b, '{uuid.UUID(int=7)}'::uuid as id, null as nothing
    from range(50)"""


@pytest.mark.parametrize("options", ["", ", parquet_version v2", ", compression zstd"])
def test_parquet_of_duckdb(tmp_path, options):
    path = tmp_path / "a.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"copy ({DUCKDB}) to '{path}' (format parquet, row_group_size 7{options})"
        )
        assert judge(str(path), "parquet") == "exact"
        names = ["i", "u", "huge", "f", "s", "few", "e", "yes", "stamp", "day", "l", "nothing"]
        dataset = open_dataset(path, columns=names)
        read = [chunk.read("arrow") for chunk in dataset.plan(chunk_size="3 rows")]
        found = connection.execute(f"select {', '.join(names)} from '{path}'").fetchall()
        assert [tuple(row.values()) for row in pa.concat_tables(read).to_pylist()] == found


@pytest.mark.parametrize("type_", [pa.decimal256(50), pa.timestamp("us", tz="+05:30")])
def test_types_that_polars_lacks_are_read_as_arrow_and_refused_as_polars(tmp_path, type_):
    table = pa.table({"a": pa.array([1, None]).cast(type_)})
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    [chunk] = open_dataset(tmp_path / "a.parquet").plan()
    assert chunk.read("arrow") == table
    with pytest.raises(ReadError, match=r'converted to polars: .*read chunks as "arrow"'):
        chunk.read("polars")


def test_nested_integers_that_pandas_would_round_are_read_as_arrow_and_polars(tmp_path):
    table = made.TABLES["big nested nulls"]
    path = str(tmp_path / "a.parquet")
    made.write_parquet(table, path, "five rows")
    for rows in (1, 5, 100):
        plan = open_dataset(path).plan(chunk_size=f"{rows} rows")
        tables = [chunk.read("arrow") for chunk in plan]
        assert pa.concat_tables(tables).to_pylist() == table.to_pylist()
        assert pl.concat([chunk.read("polars") for chunk in plan])["ids"].to_list() == (
            table["ids"].to_pylist()
        )
    assert open_dataset(path, columns=["id"]).head(2).id.tolist() == [0, 1]
    with pytest.raises(
        ReadError, match=r"a\.parquet: column 'ids' .*pandas would round the integers"
    ):
        open_dataset(path).head()


@pytest.mark.parametrize(
    ("type_", "values", "is_rounded"),
    [
        (pa.list_(pa.int64()), [[BEYOND, None]], True),
        (pa.list_(pa.int64()), [[BEYOND], [None]], True),
        (pa.list_(pa.int64()), [[BEYOND], None, []], False),
        (pa.list_(pa.int64()), [[2**53, None]], False),
        (pa.list_(pa.int32()), [[1, None]], False),
        (pa.list_(pa.int64(), 2), [[BEYOND, 1], None], True),
        (pa.list_view(pa.int64()), [[BEYOND], [None]], True),
        (pa.map_(pa.string(), pa.int64()), [[("k", BEYOND), ("j", None)]], True),
        (pa.map_(pa.int64(), pa.int64()), [[(BEYOND, 1)]], False),
        (pa.struct([("n", pa.int64())]), [{"n": BEYOND}, {"n": None}], True),
        (pa.struct([("n", pa.int64())]), [{"n": BEYOND}, {"n": 1}], False),
        (pa.list_(pa.struct([("n", pa.uint64())])), [[{"n": 2**64 - 1}, {"n": None}]], True),
    ],
)
def test_what_pandas_would_round_is_found(type_, values, is_rounded):
    table = pa.table({"a": pa.array(values, type_)})
    assert (find_rounded(table) == "a") == is_rounded
    if not is_rounded:
        assert same_values(list(table.to_pandas().a), values)
