"""What functions change around them is named, and put back on workers."""

from __future__ import annotations

import logging
import os

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.execution.worker.batches import ChildPool, run_items
from taskinity_data.execution.worker.job import Guard, Item, Job, Step
from taskinity_data.execution.worker.surroundings import Surroundings

FRAME = pd.DataFrame({"n": range(40)})


@pytest.fixture
def put_back(monkeypatch):
    """What a test changes of this very process."""
    monkeypatch.setenv("FAULTS_SECRET", "before")
    monkeypatch.chdir(os.getcwd())


def stray(chunk):
    os.environ["FAULTS_SECRET"] = "s3cr3t"
    os.environ["FAULTS_NEW"] = "1"
    os.chdir("/")
    return len(chunk)


def test_on_threads_changes_of_the_process_are_noticed_and_named(put_back, caplog):
    with caplog.at_level(logging.WARNING):
        run = td.process(FRAME, stray, chunk_size="10 rows", scheduler="threads", workers=1)
    os.environ.pop("FAULTS_NEW")
    folder, environ = sorted(run.notices, reverse=True)
    assert folder.startswith("ProcessChunk changed the working directory to '/', first in ")
    assert "changed the environment: 'FAULTS_NEW', 'FAULTS_SECRET', first in " in environ
    assert "s3cr3t" not in str(run) + caplog.text
    assert "changed the working directory" in str(run)
    assert caplog.text.count("changed the working directory") == 1
    assert run.value == [10] * 4


def test_on_workers_they_are_put_back():
    job = Job("P", ((Step("P", stray), Step("Q", lambda n: (os.getcwd(), dict(os.environ)))),))
    tell = Job("P", ((Step("P", lambda x: (os.getcwd(), "FAULTS_NEW" in os.environ)),),))
    nursery = ChildPool()
    try:
        items = [Item("k", [1], guard=Guard())]
        (first,) = run_items(job, items, nursery)
        (second,) = run_items(tell, items, nursery)
    finally:
        nursery.close()
    assert first.value[1][0] == "/"
    assert first.attempts[0].notices[0] == "changed the working directory to '/'"
    assert second.values[0][1] == (os.getcwd(), False)


def test_surroundings_are_put_back_as_they_were(monkeypatch, tmp_path):
    monkeypatch.setenv("FAULTS_SECRET", "before")
    monkeypatch.chdir(tmp_path)
    before = Surroundings()
    assert before.changes() == ()
    monkeypatch.delenv("FAULTS_SECRET")
    monkeypatch.setenv("FAULTS_NEW", "1")
    (tmp_path / "sub").mkdir()
    os.chdir("sub")
    assert len(before.changes()) == 2
    before.restore()
    assert before.changes() == ()
    assert os.environ["FAULTS_SECRET"] == "before"
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    assert before.changes() == ("changed the working directory to one that is gone",)
    before.restore()
    assert before.changes() == ()
