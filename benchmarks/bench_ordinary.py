"""Twenty ordinary jobs, each in the idiom of a good user of each library; as in `bench_jobs.py`."""

import tempfile
import time
from pathlib import Path
from typing import Any

from bench_jobs import DASK, OURS, WORKERS, job, way

AIRLINES = Path(__file__).resolve().parent.parent / "datasets" / "airlines.csv"


def process(path: Any, function: Any = None, **options: Any) -> Any:
    import taskinity_data as td

    return td.process(path, function, progress=False, **options)


def one_row(frame: Any) -> dict[str, float]:
    """The only row of a frame of Polars or pandas, by its columns' names."""
    if hasattr(frame, "to_pandas"):
        frame = frame.to_pandas()
    return frame.iloc[0].to_dict()


# Text ---------------------------------------------------------------------------------------------

job("wide", "a sum of each of 200 columns of a CSV", "wide")


@way("wide", "taskinity_data", *OURS, is_ours=True)
def wide(path: Path) -> Any:
    import taskinity_data as td

    return process(path, reduce=td.sum()).value.to_dict()


@way("wide", "pandas", "pandas")
def wide_pandas(path: Path) -> Any:
    import pandas as pd

    return pd.read_csv(path).sum().to_dict()


@way("wide", "Polars", "polars", "pandas")
def wide_polars(path: Path) -> Any:
    import polars as pl

    return one_row(pl.scan_csv(path).sum().collect(engine="streaming"))


@way("wide", "DuckDB", "duckdb", "pandas")
def wide_duckdb(path: Path) -> Any:
    import duckdb

    found = one_row(duckdb.sql(f"select sum(columns(*)) from '{path}'").df())
    return {name.removeprefix("sum(").removesuffix(")"): value for name, value in found.items()}


@way("wide", "dask.dataframe", *DASK)
def wide_dask(path: Path) -> Any:
    import dask.dataframe as dd

    return dd.read_csv(str(path)).sum().compute().to_dict()


job("count", "how many rows a CSV of 5 M has", "narrow")


@way("count", "taskinity_data", *OURS, is_ours=True)
def count(path: Path) -> Any:
    import taskinity_data as td

    return process(path, reduce=td.count(), sep=";", header=None).value


@way("count", "pandas", "pandas")
def count_pandas(path: Path) -> Any:
    import pandas as pd

    return len(pd.read_csv(path, sep=";", header=None, usecols=[0]))


@way("count", "Polars", "polars")
def count_polars(path: Path) -> Any:
    import polars as pl

    frame = pl.scan_csv(path, separator=";", has_header=False)
    return frame.select(pl.len()).collect(engine="streaming").item()


@way("count", "DuckDB", "duckdb")
def count_duckdb(path: Path) -> Any:
    import duckdb

    query = f"select count(*) from read_csv('{path}', delim=';', header=false)"
    return duckdb.sql(query).fetchall()[0][0]


job("sparse", "the mean of each of 20 columns, nine tenths empty", "sparse")


@way("sparse", "taskinity_data", *OURS, is_ours=True)
def sparse(path: Path) -> Any:
    import taskinity_data as td

    return process(path, reduce=td.mean()).value.to_dict()


@way("sparse", "pandas", "pandas")
def sparse_pandas(path: Path) -> Any:
    import pandas as pd

    return pd.read_csv(path).mean().to_dict()


@way("sparse", "Polars", "polars", "pandas")
def sparse_polars(path: Path) -> Any:
    import polars as pl

    return one_row(pl.scan_csv(path, infer_schema_length=10_000).mean().collect(engine="streaming"))


@way("sparse", "DuckDB", "duckdb", "pandas")
def sparse_duckdb(path: Path) -> Any:
    import duckdb

    means = ", ".join(f"avg(c{number}) c{number}" for number in range(20))
    return one_row(duckdb.sql(f"select {means} from '{path}'").df())


job("decimal comma", "a sum by key of numbers with a decimal comma", "comma", keys=("key",))


@way("decimal comma", "taskinity_data", *OURS, is_ours=True)
def comma(path: Path) -> Any:
    import taskinity_data as td

    return process(path, reduce=td.group_by("key", x=("x", "sum")), sep=";", decimal=",").value


@way("decimal comma", "pandas", "pandas")
def comma_pandas(path: Path) -> Any:
    import pandas as pd

    frame = pd.read_csv(path, sep=";", decimal=",")
    return frame.groupby("key", as_index=False).agg(x=("x", "sum"))


@way("decimal comma", "Polars", "polars", "pandas")
def comma_polars(path: Path) -> Any:
    import polars as pl

    frame = pl.scan_csv(path, separator=";", decimal_comma=True)
    return frame.group_by("key").agg(pl.col("x").sum()).collect(engine="streaming")


@way("decimal comma", "DuckDB", "duckdb", "pandas")
def comma_duckdb(path: Path) -> Any:
    import duckdb

    return duckdb.sql(
        f"""select key, sum(x) x from read_csv('{path}', delim=';', decimal_separator=',')
        group by key"""
    ).df()


job("quoted line ends", "a sum by key beside texts with line ends", "quoted", keys=("key",))


@way("quoted line ends", "taskinity_data", *OURS, is_ours=True)
def quoted(path: Path) -> Any:
    import taskinity_data as td

    return process(path, reduce=td.group_by("key", x=("x", "sum"))).value


@way("quoted line ends", "pandas", "pandas")
def quoted_pandas(path: Path) -> Any:
    import pandas as pd

    return pd.read_csv(path).groupby("key", as_index=False).agg(x=("x", "sum"))


@way("quoted line ends", "Polars", "polars", "pandas")
def quoted_polars(path: Path) -> Any:
    import polars as pl

    return pl.scan_csv(path).group_by("key").agg(pl.col("x").sum()).collect(engine="streaming")


@way("quoted line ends", "DuckDB", "duckdb", "pandas")
def quoted_duckdb(path: Path) -> Any:
    import duckdb

    return duckdb.sql(f"select key, sum(x) x from '{path}' group by key").df()


job("small files", "a sum by key over 2,000 CSV files of 200 rows", "small_files", keys=("key",))


@way("small files", "taskinity_data", *OURS, is_ours=True)
def small_files(path: Path) -> Any:
    import taskinity_data as td

    return process(f"{path}/*.csv", reduce=td.group_by("key", x=("x", "sum"))).value


@way("small files", "pandas", "pandas")
def small_files_pandas(path: Path) -> Any:
    import pandas as pd

    frame = pd.concat(pd.read_csv(file) for file in sorted(path.glob("*.csv")))
    return frame.groupby("key", as_index=False).agg(x=("x", "sum"))


@way("small files", "Polars", "polars", "pandas")
def small_files_polars(path: Path) -> Any:
    import polars as pl

    frame = pl.scan_csv(f"{path}/*.csv")
    return frame.group_by("key").agg(pl.col("x").sum()).collect(engine="streaming")


@way("small files", "DuckDB", "duckdb", "pandas")
def small_files_duckdb(path: Path) -> Any:
    import duckdb

    return duckdb.sql(f"select key, sum(x) x from '{path}/*.csv' group by key").df()


@way("small files", "dask.dataframe", *DASK)
def small_files_dask(path: Path) -> Any:
    import dask.dataframe as dd

    frame = dd.read_csv(f"{path}/*.csv")
    return frame.groupby("key")["x"].sum().compute().reset_index()


job("gzip", "a mean by key over eight gzip files, 4 M rows", "gzipped", keys=("key",))


@way("gzip", "taskinity_data", *OURS, is_ours=True)
def gzipped(path: Path) -> Any:
    import taskinity_data as td

    return process(f"{path}/*.csv.gz", reduce=td.group_by("key", x=("x", "mean"))).value


@way("gzip", "pandas", "pandas")
def gzipped_pandas(path: Path) -> Any:
    import pandas as pd

    parts = [
        pd.read_csv(file).groupby("key")["x"].agg(["sum", "count"])
        for file in sorted(path.glob("*.csv.gz"))
    ]
    total = pd.concat(parts).groupby(level=0).sum()
    return (total["sum"] / total["count"]).rename("x").reset_index()


@way("gzip", "Polars", "polars", "pandas")
def gzipped_polars(path: Path) -> Any:
    import polars as pl

    frame = pl.scan_csv(f"{path}/*.csv.gz")
    return frame.group_by("key").agg(pl.col("x").mean()).collect(engine="streaming")


@way("gzip", "DuckDB", "duckdb", "pandas")
def gzipped_duckdb(path: Path) -> Any:
    import duckdb

    return duckdb.sql(f"select key, avg(x) x from '{path}/*.csv.gz' group by key").df()


job("JSON Lines", "a mean by key of 500,000 JSON lines", "records", keys=("key",))


@way("JSON Lines", "taskinity_data", *OURS, is_ours=True)
def json_lines(path: Path) -> Any:
    import taskinity_data as td

    return process(path, reduce=td.group_by("key", x=("x", "mean"))).value


@way("JSON Lines", "pandas", "pandas")
def json_lines_pandas(path: Path) -> Any:
    import pandas as pd

    return pd.read_json(path, lines=True).groupby("key", as_index=False).agg(x=("x", "mean"))


@way("JSON Lines", "Polars", "polars", "pandas")
def json_lines_polars(path: Path) -> Any:
    import polars as pl

    return pl.scan_ndjson(path).group_by("key").agg(pl.col("x").mean()).collect(engine="streaming")


@way("JSON Lines", "DuckDB", "duckdb", "pandas")
def json_lines_duckdb(path: Path) -> Any:
    import duckdb

    query = (
        f"select key, avg(x) x from read_json('{path}', format='newline_delimited') group by key"
    )
    return duckdb.sql(query).df()


job("write Parquet", "a CSV of 5 M rows to Parquet", "narrow")


def rows_written(folder: str) -> int:
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(file).num_rows for file in Path(folder).glob("**/*.parquet"))


@way("write Parquet", "taskinity_data", *OURS, is_ours=True)
def write(path: Path) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        process(path, output=f"{folder}/out", sep=";", names=["station", "temp"])
        return rows_written(folder)


@way("write Parquet", "pandas", "pandas", "pyarrow.parquet")
def write_pandas(path: Path) -> Any:
    import pandas as pd

    with tempfile.TemporaryDirectory() as folder:
        pieces = pd.read_csv(path, sep=";", names=["station", "temp"], chunksize=1_000_000)
        for number, frame in enumerate(pieces):
            frame.to_parquet(f"{folder}/{number}.parquet", index=False)
        return rows_written(folder)


@way("write Parquet", "Polars", "polars", "pyarrow.parquet")
def write_polars(path: Path) -> Any:
    import polars as pl

    with tempfile.TemporaryDirectory() as folder:
        frame = pl.scan_csv(path, separator=";", has_header=False, new_columns=["station", "temp"])
        frame.sink_parquet(f"{folder}/out.parquet")
        return rows_written(folder)


@way("write Parquet", "DuckDB", "duckdb", "pyarrow.parquet")
def write_duckdb(path: Path) -> Any:
    import duckdb

    with tempfile.TemporaryDirectory() as folder:
        duckdb.execute(
            f"""copy (select * from read_csv('{path}', delim=';', header=false))
            to '{folder}/out.parquet'"""
        )
        return rows_written(folder)


@way("write Parquet", "dask.dataframe", *DASK)
def write_dask(path: Path) -> Any:
    import dask.dataframe as dd

    with tempfile.TemporaryDirectory() as folder:
        frame = dd.read_csv(str(path), sep=";", names=["station", "temp"], header=None)
        frame.to_parquet(f"{folder}/out")
        return rows_written(folder)


# Parquet ------------------------------------------------------------------------------------------

job("million groups", "a mean by a million keys, 4 M rows", "groups", keys=("key",))


@way("million groups", "taskinity_data", *OURS, is_ours=True)
def million(path: Path) -> Any:
    import taskinity_data as td

    return process(path, reduce=td.group_by("key", x=("x", "mean"))).value


@way("million groups", "pandas", "pandas", "pyarrow.parquet")
def million_pandas(path: Path) -> Any:
    import pandas as pd

    return pd.read_parquet(path).groupby("key", as_index=False).agg(x=("x", "mean"))


@way("million groups", "Polars", "polars", "pandas")
def million_polars(path: Path) -> Any:
    import polars as pl

    return pl.scan_parquet(path).group_by("key").agg(pl.col("x").mean()).collect(engine="streaming")


@way("million groups", "DuckDB", "duckdb", "pandas")
def million_duckdb(path: Path) -> Any:
    import duckdb

    return duckdb.sql(f"select key, avg(x) x from '{path}' group by key").df()


@way("million groups", "dask.dataframe", *DASK)
def million_dask(path: Path) -> Any:
    import dask.dataframe as dd

    frame = dd.read_parquet(path, split_row_groups=True)
    return frame.groupby("key")["x"].mean(split_out=4).compute().reset_index()


job("hive", "a sum by key of two of twelve months", "hive", keys=("key",))


@way("hive", "taskinity_data", *OURS, is_ours=True)
def hive(path: Path) -> Any:
    import taskinity_data as td

    reduce = td.group_by("key", x=("x", "sum"))
    return process(path, reduce=reduce, filters=[("month", "in", [2, 3])]).value


@way("hive", "pandas", "pandas", "pyarrow.parquet")
def hive_pandas(path: Path) -> Any:
    import pandas as pd

    frame = pd.read_parquet(path, filters=[("month", "in", [2, 3])])
    return frame.groupby("key", as_index=False).agg(x=("x", "sum"))


@way("hive", "Polars", "polars", "pandas")
def hive_polars(path: Path) -> Any:
    import polars as pl

    frame = pl.scan_parquet(path, hive_partitioning=True).filter(pl.col("month").is_in([2, 3]))
    return frame.group_by("key").agg(pl.col("x").sum()).collect(engine="streaming")


@way("hive", "DuckDB", "duckdb", "pandas")
def hive_duckdb(path: Path) -> Any:
    import duckdb

    query = f"""select key, sum(x) x from read_parquet('{path}/*/*.parquet', hive_partitioning=true)
        where month in (2, 3) group by key"""
    return duckdb.sql(query).df()


job(
    "filter", "three columns and the rows that pass a filter", "lines", keys=("l_orderkey", "l_tax")
)
FILTER = [("l_quantity", "==", 50.0), ("l_shipmode", "==", "AIR")]
KEPT = ["l_orderkey", "l_extendedprice", "l_tax"]


@way("filter", "taskinity_data", *OURS, is_ours=True)
def kept(path: Path) -> Any:
    import taskinity_data as td

    return process(path, reduce=td.concat(), columns=KEPT, filters=FILTER).value


@way("filter", "pandas", "pandas", "pyarrow.parquet")
def kept_pandas(path: Path) -> Any:
    import pandas as pd

    return pd.read_parquet(path, columns=KEPT, filters=FILTER)


@way("filter", "Polars", "polars", "pandas")
def kept_polars(path: Path) -> Any:
    import polars as pl

    frame = pl.scan_parquet(path)
    frame = frame.filter(pl.col("l_quantity") == 50, pl.col("l_shipmode") == "AIR")
    return frame.select(KEPT).collect(engine="streaming")


@way("filter", "DuckDB", "duckdb", "pandas")
def kept_duckdb(path: Path) -> Any:
    import duckdb

    query = f"""select {", ".join(KEPT)} from '{path}'
        where l_quantity = 50 and l_shipmode = 'AIR'"""
    return duckdb.sql(query).df()


job("top 10", "the ten highest prices of 6 M rows", "lines", keys=("l_extendedprice",))


@way("top 10", "taskinity_data", *OURS, is_ours=True)
def top(path: Path) -> Any:
    import taskinity_data as td

    columns = ["l_extendedprice"]
    return process(path, reduce=td.top_k(10, "l_extendedprice"), columns=columns).value


@way("top 10", "pandas", "pandas", "pyarrow.parquet")
def top_pandas(path: Path) -> Any:
    import pandas as pd

    return pd.read_parquet(path, columns=["l_extendedprice"]).nlargest(10, "l_extendedprice")


@way("top 10", "Polars", "polars", "pandas")
def top_polars(path: Path) -> Any:
    import polars as pl

    frame = pl.scan_parquet(path).select("l_extendedprice")
    return frame.top_k(10, by="l_extendedprice").collect(engine="streaming")


@way("top 10", "DuckDB", "duckdb", "pandas")
def top_duckdb(path: Path) -> Any:
    import duckdb

    query = f"select l_extendedprice from '{path}' order by l_extendedprice desc limit 10"
    return duckdb.sql(query).df()


job("describe", "count, mean, std, min, max of four columns", "lines", tolerance=1e-6)
NUMBERS = ["l_quantity", "l_extendedprice", "l_discount", "l_tax"]
STATISTICS = ["count", "mean", "std", "min", "max"]


def flat(described: Any) -> dict[str, float]:
    return {
        f"{column} {row}": float(described.loc[row, column])
        for column in NUMBERS
        for row in STATISTICS
    }


@way("describe", "taskinity_data", *OURS, is_ours=True)
def described(path: Path) -> Any:
    import taskinity_data as td

    return flat(process(path, reduce=td.describe(), columns=NUMBERS).value)


@way("describe", "pandas", "pandas", "pyarrow.parquet")
def described_pandas(path: Path) -> Any:
    import pandas as pd

    return flat(pd.read_parquet(path, columns=NUMBERS).describe())


@way("describe", "Polars", "polars", "pandas")
def described_polars(path: Path) -> Any:
    import polars as pl

    found = pl.scan_parquet(path).select(NUMBERS).describe().to_pandas()
    return flat(found.set_index("statistic"))


@way("describe", "DuckDB", "duckdb", "pandas")
def described_duckdb(path: Path) -> Any:
    import duckdb

    wanted = ["column_name", "count", "avg", "std", "min", "max"]
    found = duckdb.sql(f"summarize select {', '.join(NUMBERS)} from '{path}'").df()[wanted]
    return flat(found.rename(columns={"avg": "mean"}).set_index("column_name").T)


job("distinct", "about how many parts there are", "lines", tolerance=0.1)


@way("distinct", "taskinity_data", *OURS, is_ours=True)
def distinct(path: Path) -> Any:
    import taskinity_data as td

    reduce = td.approx_distinct("l_partkey")
    return float(process(path, reduce=reduce, columns=["l_partkey"]).value)


@way("distinct", "pandas", "pandas", "pyarrow.parquet")
def distinct_pandas(path: Path) -> Any:
    import pandas as pd

    return float(pd.read_parquet(path, columns=["l_partkey"])["l_partkey"].nunique())


@way("distinct", "Polars", "polars")
def distinct_polars(path: Path) -> Any:
    import polars as pl

    frame = pl.scan_parquet(path).select(pl.col("l_partkey").approx_n_unique())
    return float(frame.collect(engine="streaming").item())


@way("distinct", "DuckDB", "duckdb")
def distinct_duckdb(path: Path) -> Any:
    import duckdb

    query = f"select approx_count_distinct(l_partkey) from '{path}'"
    return float(duckdb.sql(query).fetchall()[0][0])


job("median", "about the median price", "lines", tolerance=0.01)


@way("median", "taskinity_data", *OURS, is_ours=True)
def median(path: Path) -> Any:
    import taskinity_data as td

    reduce = td.approx_quantiles("l_extendedprice", 0.5)
    found = process(path, reduce=reduce, columns=["l_extendedprice"]).value
    return float(found if isinstance(found, float) else next(iter(found)))


@way("median", "pandas", "pandas", "pyarrow.parquet")
def median_pandas(path: Path) -> Any:
    import pandas as pd

    return pd.read_parquet(path, columns=["l_extendedprice"])["l_extendedprice"].median()


@way("median", "Polars", "polars")
def median_polars(path: Path) -> Any:
    import polars as pl

    frame = pl.scan_parquet(path).select(pl.col("l_extendedprice").median())
    return frame.collect(engine="streaming").item()


@way("median", "DuckDB", "duckdb")
def median_duckdb(path: Path) -> Any:
    import duckdb

    query = f"select approx_quantile(l_extendedprice, 0.5) from '{path}'"
    return duckdb.sql(query).fetchall()[0][0]


# Functions ----------------------------------------------------------------------------------------

job("join", "flights by the names of their airlines", "flights", keys=("name",))


@way("join", "taskinity_data", *OURS, is_ours=True)
def join(path: Path) -> Any:
    import pandas as pd

    import taskinity_data as td

    airlines = pd.read_csv(AIRLINES)

    def add_name(chunk: pd.DataFrame) -> pd.DataFrame:
        return chunk[["carrier", "distance"]].merge(airlines, on="carrier")

    return process(path, add_name, reduce=td.group_by("name", x=("distance", "sum"))).value


@way("join", "pandas", "pandas")
def join_pandas(path: Path) -> Any:
    import pandas as pd

    frame = pd.read_csv(path)[["carrier", "distance"]].merge(pd.read_csv(AIRLINES), on="carrier")
    return frame.groupby("name", as_index=False).agg(x=("distance", "sum"))


@way("join", "Polars", "polars", "pandas")
def join_polars(path: Path) -> Any:
    import polars as pl

    frame = pl.scan_csv(path, infer_schema_length=10_000).select("carrier", "distance")
    frame = frame.join(pl.scan_csv(AIRLINES), on="carrier").group_by("name")
    return frame.agg(x=pl.col("distance").sum()).collect(engine="streaming")


@way("join", "DuckDB", "duckdb", "pandas")
def join_duckdb(path: Path) -> Any:
    import duckdb

    return duckdb.sql(
        f"""select name, sum(distance)::bigint x from '{path}' join '{AIRLINES}' using (carrier)
        group by name"""
    ).df()


@way("join", "dask.dataframe", *DASK)
def join_dask(path: Path) -> Any:
    import dask.dataframe as dd
    import pandas as pd

    frame = dd.read_csv(str(path), usecols=["carrier", "distance"])
    frame = frame.merge(pd.read_csv(AIRLINES), on="carrier")
    return frame.groupby("name")["distance"].sum().rename("x").compute().reset_index()


job(
    "pandas a chunk", "a pandas function a chunk, its Series added up", "flights", keys=("carrier",)
)


def late(chunk: Any) -> Any:
    return chunk[chunk["dep_delay"] > 15].groupby("carrier")["distance"].sum()


@way("pandas a chunk", "taskinity_data", *OURS, is_ours=True)
def pandas_chunk(path: Path) -> Any:
    import taskinity_data as td

    return process(path, late, reduce=td.sum()).value.reset_index()


@way("pandas a chunk", "pandas", "pandas")
def pandas_chunk_pandas(path: Path) -> Any:
    import pandas as pd

    return late(pd.read_csv(path)).reset_index()


@way("pandas a chunk", "dask.dataframe", *DASK)
def pandas_chunk_dask(path: Path) -> Any:
    import dask.dataframe as dd

    parts = dd.read_csv(str(path)).map_partitions(late, meta=("distance", "float64"))
    return parts.compute().groupby(level=0).sum().reset_index()


job("skew", "Python a row; one of 201 files has 60 % of the rows", "skewed")


def steps(number: int) -> int:
    for _ in range(number):
        number = (number * 1_103_515_245 + 12_345) & 0x7FFFFFFF
    return number


def steps_of_rows(chunk: Any) -> int:
    return sum(steps(number) for number in chunk["n"].tolist())


def steps_of_file(path: str) -> int:
    import pandas as pd

    return steps_of_rows(pd.read_csv(path))


@way("skew", "taskinity_data", *OURS, is_ours=True)
def skew(path: Path) -> Any:
    import taskinity_data as td

    return process(f"{path}/*.csv", steps_of_rows, reduce=td.sum()).value


@way("skew", "pandas", "pandas")
def skew_pandas(path: Path) -> Any:
    return sum(steps_of_file(str(file)) for file in sorted(path.glob("*.csv")))


@way("skew", "multiprocessing, pandas", "pandas", "multiprocessing.pool")
def skew_loop(path: Path) -> Any:
    import multiprocessing

    with multiprocessing.Pool(WORKERS) as pool:
        files = sorted(str(file) for file in path.glob("*.csv"))
        return sum(pool.imap_unordered(steps_of_file, files))


job("waiting", "200 items that wait 20 ms, 4 workers", None)
WAITING = """
flow Waiting:
    Items -> Wait[*] -> Count
"""


def items() -> list[int]:
    return list(range(200))


def wait(item: int) -> int:
    time.sleep(0.02)
    return item


def count_waits(waits: list[int]) -> int:
    return len(waits)


@way("waiting", "taskinity_data", *OURS, is_ours=True)
def waiting() -> Any:
    import taskinity_data as td

    flow = td.parse_flow(WAITING).bind({"items": items, "wait": wait, "count": count_waits})
    return td.run_flow(flow, workers=4, progress=False).value


@way("waiting", "thread pool", "concurrent.futures.thread")
def waiting_pool() -> Any:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        return count_waits(list(pool.map(wait, items())))
