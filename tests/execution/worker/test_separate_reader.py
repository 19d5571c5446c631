"""A chunk is read in a process of its own: what its reader does there, it does to that alone."""

import pandas as pd
import psutil
import pytest

import taskinity_data as td
from taskinity_data.chunks.chunk import Chunk
from taskinity_data.execution.worker import separate_reader

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


@pytest.fixture
def open_reader():
    """Opens a reader, whose child ends with the test."""
    readers = []

    def start(**limits):
        readers.append(separate_reader.SeparateReader(**limits))
        return readers[-1]

    yield start
    for reader in readers:
        reader.close()


def test_its_rows_are_those_that_reading_here_gives(chunk, open_reader):
    assert open_reader().read(chunk).equals(chunk.read("arrow"))


@pytest.mark.parametrize("suffix", ["orc", "arrow"])
def test_other_files_without_a_raw_form_are_read_too(tmp_path, suffix, open_reader):
    path = tmp_path / f"data.{suffix}"
    FRAME.to_orc(path) if suffix == "orc" else FRAME.to_feather(path)
    (whole,) = td.open_dataset(path).plan(chunk_size="1000 rows")
    assert open_reader().read(whole).equals(whole.read("arrow"))


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("dies", "died, signal 11"),
        ("leaves", "died, exit code 0"),
        ("raises", "ValueError: it does not parse"),
    ],
)
def test_what_ends_it_is_said(broken, chunk, how, reason, open_reader):
    reader = open_reader()
    with pytest.raises(td.errors.TaskinityDataError, match=reason):
        reader.read(broken(how))
    assert reader.read(chunk).num_rows == 100


def test_one_that_hangs_is_ended_with_what_it_started(broken, open_reader):
    with pytest.raises(td.errors.TaskinityDataError, match="longer than its timeout of 3 s"):
        open_reader(max_s=3).read(broken("hangs"))
    found = [one.info["cmdline"] or [] for one in psutil.process_iter(["cmdline"])]
    assert ["sleep", "611.5"] not in found


def test_one_that_grows_is_ended(broken, open_reader):
    with pytest.raises(td.errors.TaskinityDataError, match=r"took more memory.*of 512.0 MiB"):
        open_reader(max_memory_nbytes=512 << 20).read(broken("grows"))


def test_all_together_have_a_time_too(chunk, broken, open_reader):
    reader = open_reader(max_s=2, max_run_s=1.5)
    with pytest.raises(td.errors.TaskinityDataError, match=r"longer than its timeout of 1\.5 s"):
        reader.read(broken("hangs"))
    with pytest.raises(TimeoutError, match="used up by other chunks"):
        reader.read(chunk)


def test_a_reader_that_can_not_be_sent_is_said(chunk, open_reader):
    class Here:
        unit = "rows"

    with pytest.raises(Exception, match="Here"):
        open_reader().read(Chunk(Here(), chunk.pieces))
