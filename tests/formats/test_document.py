"""What docs/formats.md says of each format is what is read of its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.orc as po
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.formats.registry import FORMATS

HERE, THERE = "local files", "stores"
DOCS = Path(__file__).parent.parent.parent / "docs" / "formats.md"
ROWS = 160_000
GROUP = ROWS // 8


def make_table():
    random = np.random.default_rng(5)
    return pa.table(
        {"n": np.arange(ROWS), **{name: random.normal(size=ROWS) for name in ("x", "y", "z")}}
    )


def write_lines(table, path, *, is_array):
    lines = [json.dumps(row) for row in table.to_pylist()]
    Path(path).write_text("[" + ",\n".join(lines) + "]" if is_array else "\n".join(lines))


def write_arrow(table, path):
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=GROUP)


WRITE = {
    "csv": lambda table, path: table.to_pandas().to_csv(path, index=False),
    "jsonl": lambda table, path: write_lines(table, path, is_array=False),
    "json": lambda table, path: write_lines(table, path, is_array=True),
    "parquet": lambda table, path: pq.write_table(table, path, row_group_size=GROUP),
    "arrow": write_arrow,
    "orc": lambda table, path: po.write_table(table, path, batch_size=GROUP, stripe_size=1 << 17),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("claims")
    table = make_table()
    for format_, write in WRITE.items():
        # Text is longer, and its reading slower: a part of it shows the same.
        is_text = format_ in ("csv", "jsonl", "json")
        write(table.slice(0, ROWS // 5) if is_text else table, str(directory / f"a.{format_}"))
    return directory


class CountedFileSystem(MemoryFileSystem):
    """Memory that counts what is asked of it."""

    protocol = "counted"
    store = {}  # noqa: RUF012 - as in the class above it
    pseudo_dirs = [""]  # noqa: RUF012 - as in the class above it
    nbytes = 0

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("counted://", "memory://"))

    def cat_ranges(self, paths, starts, ends, max_gap=None, on_error="return", **options):
        CountedFileSystem.nbytes += sum(
            end - start for start, end in zip(starts, ends, strict=True)
        )
        return super().cat_ranges(paths, starts, ends, max_gap, on_error, **options)


@pytest.fixture(scope="module")
def counted(files):
    fsspec.register_implementation("counted", CountedFileSystem, clobber=True)
    system = fsspec.filesystem("counted")
    for path in files.iterdir():
        system.pipe(f"/{path.name}", path.read_bytes())
    return system


def count_there(function):
    """What `function` gives, and how many bytes it asked of the store."""
    CountedFileSystem.nbytes = 0
    result = function()
    return result, CountedFileSystem.nbytes


def count_here(function):
    """What `function` gives, and how many bytes this process read by system calls meanwhile."""
    before = _read_nbytes()
    result = function()
    return result, _read_nbytes() - before


def _read_nbytes():
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])


def read_all(dataset):
    for chunk in dataset.plan(chunk_size=f"{GROUP} rows"):
        chunk.read("arrow")


class Claims(NamedTuple):
    """A row of the table."""

    planned: bool
    cut: bool
    columns: bool
    filters: bool


def read_claims():
    """The rows of the table by the format's name and by where its files lie."""
    names = {one.title: name for name, one in FORMATS.items()}
    found = {}
    for line in DOCS.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in names:
            assert set(cells[2:6]) <= {"yes", "no"}
            found[names[cells[0]], cells[1]] = Claims(*(cell == "yes" for cell in cells[2:6]))
    return found


CLAIMS = read_claims()


def test_every_format_is_in_the_document():
    # Arrays are converted to lines here, wherever they lie.
    places = {name: (HERE,) if name == "json" else (HERE, THERE) for name in FORMATS}
    assert list(CLAIMS) == [(name, place) for name in FORMATS for place in places[name]]


@pytest.mark.parametrize("format_", [one for one in WRITE if one != "json"])
def test_claims_of_stores_are_true(files, counted, format_):
    whole = (files / f"a.{format_}").stat().st_size
    check(f"counted://a.{format_}", whole, CLAIMS[format_, THERE], count_there)


@pytest.mark.parametrize("format_", [one for one in WRITE if one != "arrow"])
def test_claims_of_files_here_are_true(files, format_):
    path = files / f"a.{format_}"
    check(str(path), path.stat().st_size, CLAIMS[format_, HERE], count_here)


def check(source, whole, told, count):
    dataset, opened = count(lambda: open_dataset(source))
    plan, planned = count(lambda: dataset.plan(chunk_size=whole // 8))
    assert (opened + planned < whole / 3) == told.planned
    _, part = count(lambda: plan[2].read())
    assert len(plan) > 3
    assert (part < whole / 2) == told.cut

    def share(**options):
        some = open_dataset(source, **options)
        return count(lambda: read_all(some))[1] / count(lambda: read_all(dataset))[1]

    assert (share(columns=["y"]) < 0.6) == told.columns
    bound = (dataset.rows or ROWS // 5) * 7 // 8
    assert (share(filters=[("n", ">=", bound)]) < 0.6) == told.filters


def test_arrow_files_here_are_mapped_not_read(files):
    path = files / "a.arrow"
    _, nbytes = count_here(lambda: read_all(open_dataset(path)))
    # What is left are the blocks by which changes in place are found.
    assert nbytes < path.stat().st_size / 50
