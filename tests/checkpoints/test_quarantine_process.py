"""A chunk is read in a process of its own: what its reader does there, it does to that alone."""

import io

import pandas as pd
import psutil
import pytest

import taskinity_data as td
from taskinity_data.checkpoints.quarantine_process import SeparateReader
from taskinity_data.chunks.chunk import Chunk

FRAME = pd.DataFrame({"a": range(1000), "b": [f"text {n}" for n in range(1000)]})

READERS = """
import os, signal, time
from taskinity_data.formats import reader


class Reader(reader.Reader):
    unit = "rows"

    def __init__(self, how):
        self.how = how

    def identity(self):
        return self.how

    def read(self, pieces, as_):
        if self.how == "dies":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.how == "leaves":
            os._exit(0)
        if self.how == "hangs":
            os.system("sleep 611.5")
        if self.how == "grows":
            held = []
            while True:
                held.append(bytearray(os.urandom(1 << 20)) * 16)
        raise ValueError("it does not parse\\x1b[2J")
"""


@pytest.fixture
def chunk(tmp_path):
    """The middle of a Parquet file."""
    FRAME.to_parquet(tmp_path / "data.parquet", row_group_size=100)
    dataset = td.open_dataset(tmp_path / "data.parquet", columns=["b", "a"])
    return list(dataset.plan(chunk_size="100 rows"))[3]


@pytest.fixture
def broken(chunk, tmp_path, monkeypatch):
    """Makes the chunk one whose reader does what it is told."""
    (tmp_path / "broken_readers.py").write_text(READERS)
    monkeypatch.syspath_prepend(tmp_path)
    import broken_readers

    return lambda how: Chunk(broken_readers.Reader(how), chunk.pieces)


def test_its_rows_are_those_that_reading_here_gives(chunk):
    rows = SeparateReader().read(chunk)
    assert (rows.suffix, rows.count, rows.why_not) == (".arrow", 100, None)
    pd.testing.assert_frame_equal(pd.read_feather(io.BytesIO(rows.data)), chunk.read())


@pytest.mark.parametrize("suffix", ["orc", "arrow"])
def test_other_files_without_a_raw_form_are_read_too(tmp_path, suffix):
    path = tmp_path / f"data.{suffix}"
    FRAME.to_orc(path) if suffix == "orc" else FRAME.to_feather(path)
    (whole,) = td.open_dataset(path).plan(chunk_size="1000 rows")
    rows = SeparateReader().read(whole)
    pd.testing.assert_frame_equal(pd.read_feather(io.BytesIO(rows.data)), whole.read())


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("dies", "it died (signal 11)"),
        ("leaves", "ArrowInvalid"),
        ("raises", "ValueError: it does not parse"),
    ],
)
def test_what_ends_it_is_said(broken, how, told):
    rows = SeparateReader().read(broken(how))
    assert (rows.suffix, rows.count) == ("", None)
    assert told in rows.why_not
    assert rows.why_not.startswith("they were read in a process of their own")


def test_one_that_hangs_is_ended_with_what_it_started(broken):
    rows = SeparateReader(max_s=3).read(broken("hangs"))
    assert rows.why_not.endswith("reading them took longer than 3 s")
    found = [one.info["cmdline"] or [] for one in psutil.process_iter(["cmdline"])]
    assert ["sleep", "611.5"] not in found


def test_one_that_grows_is_ended(broken):
    rows = SeparateReader(max_memory_nbytes=512 << 20).read(broken("grows"))
    assert rows.why_not.endswith("reading them took more than 512 MiB")


def test_all_together_have_a_time_too(chunk, broken):
    reader = SeparateReader(max_s=2, max_run_s=1.5)
    assert reader.read(broken("hangs")).why_not.endswith("longer than 1.5 s")
    assert "used up by other chunks" in reader.read(chunk).why_not


def test_a_reader_that_can_not_be_sent_is_said(chunk):
    class Here:
        unit = "rows"

    assert "Here" in SeparateReader().read(Chunk(Here(), chunk.pieces)).why_not
