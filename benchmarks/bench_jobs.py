"""The jobs of `make bench`: a function for each way of doing each, in its library's best idiom.

The definitions are frozen, so that tables of different days compare. A function gets the path of
the input, where the job has one, and returns the answer: a frame of any kind, or one value. Where
it runs on a cluster, that (two Dask workers of one thread) is up and is the current client's.

Libraries are imported within the functions, so that each process loads what it measures. (No
postponed annotations here: chunk functions are annotated with names that only they import.)
"""

import io
import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

WORKERS = 2

QUARTER = datetime(1998, 9, 2)  # noqa: DTZ001 - the column has no zone
YEAR = (datetime(1994, 1, 1), datetime(1995, 1, 1))  # noqa: DTZ001


@dataclass(frozen=True)
class Way:
    """One way of doing a job."""

    run: Callable[..., Any]
    libraries: tuple[str, ...] = ()
    """What is imported before the clock starts."""
    on_cluster: bool = False
    is_ours: bool = False


@dataclass(frozen=True)
class Job:
    """What is done, with which input, and how."""

    title: str
    data: str | None
    ways: dict[str, Way] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    """Columns by which rows of answers are sorted before they are compared."""
    samples_memory: bool = False
    tolerance: float = 1e-9
    """How far numbers of answers may be apart, as a share: more where they are approximate."""
    is_cold: bool = False
    """The time is that of the whole process."""


JOBS: dict[str, Job] = {}


def job(name: str, *args: Any, **options: Any) -> None:
    JOBS[name] = Job(*args, **options)


def way(job_name: str, name: str, *libraries: str, **options: Any) -> Callable[[Any], Any]:
    def register(function: Any) -> Any:
        JOBS[job_name].ways[name] = Way(function, libraries, **options)
        return function

    return register


OURS = ("pandas", "pyarrow.parquet", "taskinity_data.run.api")
OURS_ON_DASK = (*OURS, "distributed")
DASK = ("pandas", "distributed", "dask.dataframe")


def byte_ranges(path: Path, nbytes: int) -> list[tuple[str, int, int]]:
    """Ranges of whole lines of some `nbytes`; no field holds a line end."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        ends = [0]
        while ends[-1] < size:
            file.seek(min(size, ends[-1] + nbytes))
            file.readline()
            ends.append(file.tell())
    return [(str(path), start, stop) for start, stop in itertools.pairwise(ends)]


def read_range(part: tuple[str, int, int]) -> io.BytesIO:
    path, start, stop = part
    with open(path, "rb", buffering=0) as file:
        file.seek(start)
        return io.BytesIO(file.read(stop - start))


# W1: 50 million rows of text by station -----------------------------------------------------------

job("W1", "CSV, 50 M rows: min, mean, max by station", "measurements", keys=("station",))
STATIONS = ["station", "temp"]
W1_HOW = {"low": ("temp", "min"), "mean": ("temp", "mean"), "high": ("temp", "max")}


@way("W1", "taskinity_data", *OURS, is_ours=True)
def w1(path: Path, **options: Any) -> Any:
    import taskinity_data as td

    reduce = td.group_by("station", **W1_HOW)
    return td.process(path, reduce=reduce, sep=";", names=STATIONS, progress=False, **options).value


@way("W1", "taskinity_data, cluster", *OURS_ON_DASK, is_ours=True, on_cluster=True)
def w1_cluster(path: Path) -> Any:
    return w1(path)


@way("W1", "Polars", "polars")
def w1_polars(path: Path) -> Any:
    import polars as pl

    frame = pl.scan_csv(path, separator=";", has_header=False, new_columns=STATIONS)
    temp = pl.col("temp")
    how = {"low": temp.min(), "mean": temp.mean(), "high": temp.max()}
    return frame.group_by("station").agg(**how).collect(engine="streaming")


@way("W1", "DuckDB", "duckdb")
def w1_duckdb(path: Path) -> Any:
    import duckdb

    return duckdb.sql(
        f"""select station, min(temp) low, avg(temp) mean, max(temp) high
        from read_csv('{path}', delim=';', header=false,
                      columns={{'station': 'varchar', 'temp': 'double'}}) group by station"""
    ).df()


def w1_part(part: tuple[str, int, int]) -> Any:
    import pandas as pd

    frame = pd.read_csv(read_range(part), sep=";", names=STATIONS)
    return frame.groupby("station")["temp"].agg(["min", "sum", "count", "max"])


@way("W1", "multiprocessing, pandas", "pandas", "multiprocessing.pool")
def w1_loop(path: Path) -> Any:
    import multiprocessing

    import pandas as pd

    with multiprocessing.Pool(WORKERS) as pool:
        parts = list(pool.imap_unordered(w1_part, byte_ranges(path, 16 << 20)))
    how = {"min": "min", "sum": "sum", "count": "sum", "max": "max"}
    total = pd.concat(parts).groupby(level=0).agg(how)
    mean = total["sum"] / total["count"]
    return pd.DataFrame({"low": total["min"], "mean": mean, "high": total["max"]}).reset_index()


@way("W1", "dask.dataframe", *DASK, on_cluster=True)
def w1_dask(path: Path) -> Any:
    import dask.dataframe as dd

    frame = dd.read_csv(str(path), sep=";", names=STATIONS, header=None)
    how = {"temp": ["min", "mean", "max"]}
    answer = frame.groupby("station").agg(how).compute()["temp"].reset_index()
    return answer.rename(columns={"min": "low", "max": "high"})


# W2: TPC-H Q1 -------------------------------------------------------------------------------------

job(
    "W2",
    "TPC-H Q1 from Parquet, 30 M rows, 115 row groups",
    "lineitem",
    keys=("l_returnflag", "l_linestatus"),
    samples_memory=True,
)
Q1_KEYS = ["l_returnflag", "l_linestatus"]
Q1_VALUES = ["l_quantity", "l_extendedprice", "l_discount", "l_tax"]
Q1_COLUMNS = [*Q1_KEYS, *Q1_VALUES, "l_shipdate"]
Q1_HOW = {
    "sum_qty": ("l_quantity", "sum"),
    "sum_base_price": ("l_extendedprice", "sum"),
    "sum_disc_price": ("disc_price", "sum"),
    "sum_charge": ("charge", "sum"),
    "avg_qty": ("l_quantity", "mean"),
    "avg_price": ("l_extendedprice", "mean"),
    "avg_disc": ("l_discount", "mean"),
    "count_order": ("l_quantity", "count"),
}


def w2(path: Any, function: Any, **options: Any) -> Any:
    import taskinity_data as td

    reduce = td.group_by(*Q1_KEYS, **Q1_HOW)
    return td.process(
        path, function, reduce=reduce, columns=Q1_COLUMNS, progress=False, **options
    ).value


def make_q1_arrow() -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    def add_prices(chunk: pa.Table) -> pa.Table:
        kept = chunk.filter(pc.less_equal(chunk["l_shipdate"], pa.scalar(QUARTER, "timestamp[ms]")))
        discounted = pc.multiply(kept["l_extendedprice"], pc.subtract(1.0, kept["l_discount"]))
        charge = pc.multiply(discounted, pc.add(1.0, kept["l_tax"]))
        return kept.append_column("disc_price", discounted).append_column("charge", charge)

    return add_prices


@way("W2", "taskinity_data, Arrow", *OURS, is_ours=True)
def w2_arrow(path: Path) -> Any:
    return w2(path, make_q1_arrow())


@way("W2", "taskinity_data, polars", *OURS, "polars", is_ours=True)
def w2_polars_function(path: Path) -> Any:
    import polars as pl

    def add_prices(chunk: pl.DataFrame) -> pl.DataFrame:
        discounted = pl.col("l_extendedprice") * (1 - pl.col("l_discount"))
        return chunk.filter(pl.col("l_shipdate") <= QUARTER).with_columns(
            disc_price=discounted, charge=discounted * (1 + pl.col("l_tax"))
        )

    return w2(path, add_prices)


@way("W2", "taskinity_data, Arrow, cluster", *OURS_ON_DASK, is_ours=True, on_cluster=True)
def w2_cluster(path: Path) -> Any:
    return w2(path, make_q1_arrow())


@way("W2", "Polars", "polars")
def w2_polars(path: Path) -> Any:
    import polars as pl

    discounted = pl.col("l_extendedprice") * (1 - pl.col("l_discount"))
    return (
        pl.scan_parquet(path)
        .filter(pl.col("l_shipdate") <= QUARTER)
        .group_by(*Q1_KEYS)
        .agg(
            sum_qty=pl.col("l_quantity").sum(),
            sum_base_price=pl.col("l_extendedprice").sum(),
            sum_disc_price=discounted.sum(),
            sum_charge=(discounted * (1 + pl.col("l_tax"))).sum(),
            avg_qty=pl.col("l_quantity").mean(),
            avg_price=pl.col("l_extendedprice").mean(),
            avg_disc=pl.col("l_discount").mean(),
            count_order=pl.len(),
        )
        .collect(engine="streaming")
    )


@way("W2", "DuckDB", "duckdb")
def w2_duckdb(path: Path) -> Any:
    import duckdb

    return duckdb.sql(
        f"""select l_returnflag, l_linestatus, sum(l_quantity) sum_qty,
        sum(l_extendedprice) sum_base_price,
        sum(l_extendedprice * (1 - l_discount)) sum_disc_price,
        sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)) sum_charge,
        avg(l_quantity) avg_qty, avg(l_extendedprice) avg_price, avg(l_discount) avg_disc,
        count(*) count_order
        from '{path}' where l_shipdate <= '{QUARTER}' group by all"""
    ).df()


@way("W2", "dask.dataframe", *DASK, on_cluster=True)
def w2_dask(path: Path) -> Any:
    import dask.dataframe as dd

    frame = dd.read_parquet(path, columns=Q1_COLUMNS, split_row_groups=True)
    frame = frame[frame["l_shipdate"] <= QUARTER]
    discounted = frame["l_extendedprice"] * (1 - frame["l_discount"])
    frame = frame.assign(disc_price=discounted, charge=discounted * (1 + frame["l_tax"]))
    groups = frame.groupby(Q1_KEYS)
    sums = ["l_quantity", "l_extendedprice", "disc_price", "charge", "l_discount"]
    how = {**dict.fromkeys(sums, "sum"), "l_tax": "count"}
    answer = groups.agg(how).compute().reset_index()
    count = answer.pop("l_tax")
    return answer.assign(
        avg_qty=answer["l_quantity"] / count,
        avg_price=answer["l_extendedprice"] / count,
        avg_disc=answer.pop("l_discount") / count,
        count_order=count,
    ).rename(
        columns={
            "l_quantity": "sum_qty",
            "l_extendedprice": "sum_base_price",
            "disc_price": "sum_disc_price",
            "charge": "sum_charge",
        }
    )


# W3: TPC-H Q6 -------------------------------------------------------------------------------------

job("W3", "TPC-H Q6 from Parquet (filters, a sum)", "lineitem")
Q6_FILTERS = [
    ("l_shipdate", ">=", YEAR[0]),
    ("l_shipdate", "<", YEAR[1]),
    ("l_discount", ">=", 0.05),
    ("l_discount", "<=", 0.07),
    ("l_quantity", "<", 24),
]
Q6_VALUES = ["l_extendedprice", "l_discount"]


def revenue(chunk: Any) -> Any:
    return chunk["l_extendedprice"] * chunk["l_discount"]


@way("W3", "taskinity_data", *OURS, is_ours=True)
def w3(path: Path, **options: Any) -> Any:
    import taskinity_data as td

    return td.process(
        path, revenue, reduce=td.sum(), columns=Q6_VALUES, filters=Q6_FILTERS, progress=False,
        **options,
    ).value  # fmt: skip


@way("W3", "taskinity_data, cluster", *OURS_ON_DASK, is_ours=True, on_cluster=True)
def w3_cluster(path: Path) -> Any:
    return w3(path)


@way("W3", "Polars", "polars")
def w3_polars(path: Path) -> Any:
    import polars as pl

    ship, discount = pl.col("l_shipdate"), pl.col("l_discount")
    frame = pl.scan_parquet(path).filter(
        ship >= YEAR[0], ship < YEAR[1], discount >= 0.05, discount <= 0.07,
        pl.col("l_quantity") < 24,
    )  # fmt: skip
    product = (pl.col("l_extendedprice") * discount).sum()
    return frame.select(product).collect(engine="streaming").item()


@way("W3", "DuckDB", "duckdb")
def w3_duckdb(path: Path) -> Any:
    import duckdb

    return duckdb.sql(
        f"""select sum(l_extendedprice * l_discount) from '{path}'
        where l_shipdate >= '{YEAR[0]}' and l_shipdate < '{YEAR[1]}'
        and l_discount >= 0.05::double and l_discount <= 0.07::double and l_quantity < 24"""
    ).fetchall()[0][0]


@way("W3", "dask.dataframe", *DASK, on_cluster=True)
def w3_dask(path: Path) -> Any:
    import dask.dataframe as dd

    columns = [*Q6_VALUES, "l_shipdate", "l_quantity"]
    frame = dd.read_parquet(path, columns=columns, filters=Q6_FILTERS, split_row_groups=True)
    return (frame["l_extendedprice"] * frame["l_discount"]).sum().compute()


# W4: a Python function a row ----------------------------------------------------------------------

job("W4", "a Python function a row (26 µs), CSV, 674 k rows", "flights", keys=("carrier",))
ROUNDS = 430


def rate(number: int) -> int:
    """Compute in plain Python, some 26 µs, which holds the interpreter's lock."""
    for _ in range(ROUNDS):
        number = (number * 1_103_515_245 + 12_345) & 0x7FFFFFFF
    return number


def rate_rows(chunk: Any) -> Any:
    rates = [rate(number) for number in chunk["flight"].tolist()]
    return chunk[["carrier"]].assign(rate=rates)


@way("W4", "taskinity_data", *OURS, is_ours=True)
def w4(path: Path, **options: Any) -> Any:
    import taskinity_data as td

    reduce = td.group_by("carrier", total=("rate", "sum"))
    return td.process(path, rate_rows, reduce=reduce, progress=False, **options).value


@way("W4", "taskinity_data, processes", *OURS_ON_DASK, is_ours=True)
def w4_processes(path: Path) -> Any:
    return w4(path, scheduler="processes", workers=WORKERS)


@way("W4", "taskinity_data, cluster", *OURS_ON_DASK, is_ours=True, on_cluster=True)
def w4_cluster(path: Path) -> Any:
    return w4(path)


@way("W4", "pandas", "pandas")
def w4_pandas(path: Path) -> Any:
    import pandas as pd

    frame = rate_rows(pd.read_csv(path))
    return frame.groupby("carrier", as_index=False).agg(total=("rate", "sum"))


def w4_part(part: tuple[str, int, int], names: list[str]) -> Any:
    import pandas as pd

    frame = pd.read_csv(read_range(part), names=names, header=0 if part[1] == 0 else None)
    return rate_rows(frame).groupby("carrier")["rate"].sum()


def w4_parts(path: Path) -> Iterator[tuple[tuple[str, int, int], list[str]]]:
    with path.open() as file:
        names = file.readline().strip().split(",")
    for part in byte_ranges(path, 2 << 20):
        yield part, names


def w4_total(parts: list[Any]) -> Any:
    import pandas as pd

    return pd.concat(parts).groupby(level=0).sum().rename("total").reset_index()


@way("W4", "multiprocessing, pandas", "pandas", "multiprocessing.pool")
def w4_loop(path: Path) -> Any:
    import multiprocessing

    with multiprocessing.Pool(WORKERS) as pool:
        return w4_total(pool.starmap(w4_part, w4_parts(path), chunksize=1))


@way("W4", "joblib", "pandas", "joblib")
def w4_joblib(path: Path) -> Any:
    import joblib

    call = joblib.delayed(w4_part)
    return w4_total(joblib.Parallel(WORKERS)(call(*part) for part in w4_parts(path)))


@way("W4", "dask.dataframe", *DASK, on_cluster=True)
def w4_dask(path: Path) -> Any:
    import dask.dataframe as dd

    frame = dd.read_csv(str(path), blocksize="2MiB").map_partitions(rate_rows)
    return frame.groupby("carrier")["rate"].sum().rename("total").compute().reset_index()


# W5: items that do nothing ------------------------------------------------------------------------

ITEMS = 100_000
job("W5", "100,000 items that do nothing", None)
FLOW = """
flow Nothing:
    MakeItems -> DoNothing[*] -> CountItems
"""


def make_items() -> list[int]:
    return list(range(ITEMS))


def do_nothing(item: int) -> int:
    return item


def count_items(items: list[int]) -> int:
    return len(items)


def w5(**options: Any) -> Any:
    import taskinity_data as td

    flow = td.parse_flow(FLOW).bind([make_items, do_nothing, count_items])
    return td.run_flow(flow, progress=False, workers=WORKERS, **options).value


@way("W5", "taskinity_data, threads", *OURS, is_ours=True)
def w5_threads() -> Any:
    return w5(scheduler="threads")


@way("W5", "taskinity_data, processes", *OURS_ON_DASK, is_ours=True)
def w5_processes() -> Any:
    return w5(scheduler="processes")


@way("W5", "taskinity_data, cluster", *OURS_ON_DASK, is_ours=True, on_cluster=True)
def w5_cluster() -> Any:
    return w5()


@way("W5", "thread pool", "concurrent.futures.thread")
def w5_thread_pool() -> Any:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(WORKERS) as pool:
        return count_items(list(pool.map(do_nothing, make_items())))


@way("W5", "process pool", "concurrent.futures.process")
def w5_process_pool() -> Any:
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(WORKERS) as pool:
        return count_items(list(pool.map(do_nothing, make_items())))


def do_batch(items: list[int]) -> list[int]:
    return [do_nothing(item) for item in items]


@way("W5", "Client.map, batches of 32", "distributed", on_cluster=True)
def w5_dask() -> Any:
    from distributed import Client

    client = Client.current()
    items = make_items()
    batches = [items[start : start + 32] for start in range(0, len(items), 32)]
    done = client.gather(client.map(do_batch, batches))
    return count_items(list(itertools.chain.from_iterable(done)))


# W7: a small file from a cold process -------------------------------------------------------------

job("W7", "1 MB CSV from a cold process", "small", keys=("carrier",), is_cold=True)


@way("W7", "taskinity_data", is_ours=True)
def w7(path: Path) -> Any:
    import taskinity_data as td

    reduce = td.group_by("carrier", mean=("dep_delay", "mean"))
    return td.process(path, reduce=reduce, progress=False).value


@way("W7", "pandas")
def w7_pandas(path: Path) -> Any:
    import pandas as pd

    frame = pd.read_csv(path)
    return frame.groupby("carrier", as_index=False).agg(mean=("dep_delay", "mean"))


@way("W7", "Polars")
def w7_polars(path: Path) -> Any:
    import polars as pl

    return pl.scan_csv(path).group_by("carrier").agg(mean=pl.col("dep_delay").mean()).collect()


# W8: a function that waits ------------------------------------------------------------------------

RECORDS = 10_000
job("W8", "a function that waits 1 ms a record, 10,000 records, 4 workers", None)


def wait(chunk: Any) -> int:
    for _ in range(len(chunk)):
        time.sleep(0.001)
    return len(chunk)


def records() -> Any:
    import pandas as pd

    return pd.DataFrame({"value": range(RECORDS)})


@way("W8", "taskinity_data, threads", *OURS, is_ours=True)
def w8() -> Any:
    import taskinity_data as td

    run = td.process(
        records(), wait, reduce=td.sum(), scheduler="threads", workers=4, progress=False
    )
    return run.value


@way("W8", "one after another", "pandas")
def w8_one() -> Any:
    return wait(records())


@way("W8", "thread pool", "pandas", "concurrent.futures.thread")
def w8_pool() -> Any:
    from concurrent.futures import ThreadPoolExecutor

    frame = records()
    parts = [frame[start : start + 100] for start in range(0, len(frame), 100)]
    with ThreadPoolExecutor(4) as pool:
        return sum(pool.map(wait, parts))
