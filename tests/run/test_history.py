"""What is listed and removed of earlier runs, and what is never touched."""

import json
import os
import time
from pathlib import Path

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.checkpoints.journal import Journal
from taskinity_data.errors import SettingsError
from taskinity_data.file_lock import FileLock
from taskinity_data.run.history import clean_runs


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A folder with one run that has ended well."""
    monkeypatch.chdir(tmp_path)
    td.process(
        pd.DataFrame({"a": range(4)}), len, run_dir="runs", scheduler="synchronous", progress=False
    )
    return tmp_path / "runs"


def only(runs):
    (place,) = (one for one in runs.iterdir() if one.is_dir())
    return place


def change(place, **facts):
    path = place / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_what_others_keep_there_is_neither_listed_nor_removed(runs, tmp_path):
    foreign = runs / "profile"
    foreign.mkdir()
    for name in ("lock", "run.json", "precious"):
        (foreign / name).write_text("{}")
    elsewhere = tmp_path / "elsewhere"
    only_run = next(one for one in runs.iterdir() if (one / "run.json").exists() and one != foreign)
    only_run.rename(elsewhere)
    (runs / elsewhere.name).symlink_to(elsewhere)
    assert td.list_runs(runs).empty
    assert clean_runs(runs, older_than_s=0) == []
    assert (foreign / "precious").exists()
    assert (elsewhere / "run.json").exists()


@pytest.mark.parametrize(
    "facts",
    [
        {"started_s": None}, {"started_s": "now"}, {"started_s": 1e300}, {"ended_s": [1]},
        {"chunks": "many"}, {"chunks": 1 << 80}, {"flow": 5, "output": {"a": 1}}, {"status": None},
        {"flow": 5, "labels": 5},
    ],
)  # fmt: skip
def test_a_summary_that_makes_no_sense_costs_only_what_it_tells(runs, facts):
    change(only(runs), **facts)
    (listed,) = td.list_runs(runs).to_dict("records")
    assert listed["run_id"] == only(runs).name
    names = {"started_s": "started", "ended_s": "duration_s"}
    shown = [
        name
        for name in facts
        if name not in ("status", "labels") and pd.notna(listed[names.get(name, name)])
    ]
    assert shown == []


def test_a_run_that_tells_no_time_is_as_old_as_its_directory(runs):
    place = only(runs)
    change(place, status="FAILED", started_s=None)
    assert clean_runs(runs, older_than_s=60) == []
    os.utime(place, (time.time() - 120,) * 2)
    assert [one[0] for one in clean_runs(runs, older_than_s=60)] == [place.name]
    assert not place.exists()


def test_a_run_that_goes_on_is_left_alone_by_all(runs):
    place = only(runs)
    lock = FileLock(place / "lock")
    assert list(td.list_runs(runs)["status"]) == ["RUNNING"]
    assert clean_runs(runs, older_than_s=0) == []
    lock.close()
    assert [one[0] for one in clean_runs(runs)] == [place.name]


def test_a_journal_that_names_any_directory_does_not_have_it_removed(runs, tmp_path):
    precious, parts = (
        tmp_path / "precious",
        tmp_path / ".out.writing" / "run-0123456789ab" / "parts",
    )
    for one in (precious, parts):
        one.mkdir(parents=True)
        (one / "file").touch()
    place = only(runs)
    journal = Journal(place, place.name)
    journal.add("H", {"run_id": place.name})
    for one in (precious, parts):
        journal.add("O", str(one))
    journal.close()
    assert len(clean_runs(runs)) == 1
    assert (precious / "file").exists()
    assert not parts.exists()


def test_each_summary_is_read_once_for_a_listing(runs, monkeypatch):
    place = only(runs)
    for number in range(5):
        copy = runs / f"copy{number}"
        copy.mkdir()
        (copy / "lock").touch()
        (copy / "run.json").write_text(
            json.dumps(json.loads((place / "run.json").read_text()) | {"run_id": copy.name})
        )
    read = []
    real = Path.read_text

    def read_text(self, *given, **options):
        read.append(self)
        return real(self, *given, **options)

    monkeypatch.setattr(Path, "read_text", read_text)
    assert len(td.list_runs(runs)) == 6
    assert sorted(read) == sorted(runs.glob("*/run.json"))
    read.clear()
    assert td.load_run(place.name, runs).run_id == place.name
    assert read == [place / "run.json"]


def test_what_is_no_directory_here_is_refused_by_all_that_look_into_one():
    for look in (td.list_runs, clean_runs, lambda where: td.load_run("any", where)):
        with pytest.raises(SettingsError, match="not a local directory"):
            look("s3://bucket/runs")
