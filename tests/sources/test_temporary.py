"""Private directories: gone with what they were made for; those of dead processes with the next."""

import gc
import gzip
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.errors import WriteError
from taskinity_data.sources.temporary import OwnDirectory


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_goes_with_its_last_reference_or_when_it_is_closed(place):
    closed, kept = OwnDirectory("workers"), OwnDirectory("memory")
    Path(kept.path, "deep").mkdir()
    assert len(os.listdir(place)) == 2
    assert os.stat(kept.path).st_mode & 0o077 == 0
    closed.close()
    closed.close()
    assert [str(path) for path in place.iterdir()] == [kept.path]
    del kept
    gc.collect()
    assert os.listdir(place) == []


@pytest.mark.parametrize("kind", ["workers", "memory"])
def test_what_a_killed_process_left_goes_with_the_next_and_nothing_else(place, kind):
    script = f"""
import os, tempfile
tempfile.tempdir = {str(place)!r}
import taskinity_data as td
from taskinity_data.errors import WriteError
from taskinity_data.sources.temporary import OwnDirectory
kept = OwnDirectory({kind!r})
open(os.path.join(kept.path, "data"), "w").close()
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    (left,) = place.iterdir()
    assert (left / "data").exists()
    others = [place / "taskinity-demo", place / f"taskinity-{kind}-another.host-1-abc"]
    for other in others:
        other.mkdir()
    mine = OwnDirectory("memory")
    assert sorted(place.iterdir()) == sorted([*others, Path(mine.path)])


def test_a_missing_place_is_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a\n1\n"))
    for source in (pd.DataFrame({"a": [1]}), str(tmp_path / "a.csv.gz")):
        with pytest.raises(WriteError, match=f"{tmp_path}/none/.*; set TMPDIR"):
            td.open_dataset(source)
