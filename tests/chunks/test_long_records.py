"""Records that no worker can hold: said before they are read, by whoever cuts."""

import bz2
import gzip
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import FlowFailed, PlanError
from taskinity_data.formats.csv import head as csv_head

NBYTES = 3_000_000
ROW = {
    "csv": (b"1,abc\n", b'1,"', b'"\n'),
    "jsonl": (b'{"a":1,"b":"abc"}\n', b'{"a":1,"b":"', b'"}\n'),
}
OPENERS = {"": open, ".gz": gzip.open, ".bz2": bz2.open}


def write(path, nbytes, before=50_000, behind=1_000):
    """A file with one long record; where that begins."""
    form = path.name.split(".")[1]
    row, begin, end = ROW[form]
    head = b"a,b\n" if form == "csv" else b""
    with OPENERS["".join(path.suffixes[1:])](path, "wb") as file:
        file.write(head + row * before + begin)
        for _ in range(nbytes // 1_000_000):
            file.write(b"x" * 1_000_000)
        file.write(end + row * behind)
    return len(head) + before * len(row)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.jsonl.gz", "a.jsonl.bz2"])
def test_a_record_that_no_worker_can_hold_is_refused_with_its_place(tmp_path, name):
    place = write(tmp_path / name, NBYTES)
    dataset = open_dataset(tmp_path / name)
    with pytest.raises(PlanError, match=r"begins within [0-9,]+ bytes of byte .*memory=") as caught:
        dataset.plan(workers=2, memory="8MiB")
    assert caught.value.path == str(tmp_path / name)
    assert place - 300_000 <= caught.value.start <= place
    with pytest.raises((PlanError, FlowFailed), match="a worker may use 8,388,608 bytes"):
        td.process(
            tmp_path / name, reduce=td.count(), memory="8MiB", workers=1, scheduler="threads"
        )


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_long_record_that_fits_is_read(tmp_path, name):
    write(tmp_path / name, NBYTES)
    chunks = open_dataset(tmp_path / name, chunk_size=100_000).plan(workers=2, memory="64MiB")
    read = pd.read_csv if name == "a.csv" else lambda path: pd.read_json(path, lines=True)
    found = pd.concat([chunk.read() for chunk in chunks], ignore_index=True)
    pd.testing.assert_frame_equal(found, read(tmp_path / name))


def test_small_records_are_never_too_long(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"a,b\n" + b"1,abc\n" * 20_000)
    plan = open_dataset(tmp_path / "a.csv").plan(workers=2, memory="4KiB")
    assert sum(chunk.rows for chunk in plan) == 20_000


def test_a_first_row_that_is_too_long_is_refused(tmp_path, monkeypatch):
    write(tmp_path / "a.csv", NBYTES, before=0)
    assert open_dataset(tmp_path / "a.csv").schema.names == ["a", "b"]
    monkeypatch.setattr(csv_head, "share_memory", lambda _: 8 * 2_000_000)
    with pytest.raises(PlanError, match="header and first row have more than 2,000,000 bytes"):
        open_dataset(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl.gz"])
def test_to_refuse_a_record_takes_little_memory(tmp_path, name):
    write(tmp_path / name, 100_000_000)
    code = (
        "import resource, sys\n"
        "import pyarrow.json, taskinity_data as td\n"
        "from taskinity_data.errors import PlanError\n"
        "td.open_dataset(sys.argv[2]).plan()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    td.open_dataset(sys.argv[1]).plan(memory='64MiB')\n"
        "except PlanError:\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    write(tmp_path / f"small{name}", 0)
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / name), str(tmp_path / f"small{name}")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(td.__file__).parents[1],
    )
    assert int(ended.stdout) < 64_000
