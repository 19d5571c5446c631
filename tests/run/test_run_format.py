"""A run directory of another format is refused for resuming, and can still be read."""

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.errors import FlowFailed, ResumeError
from taskinity_data.version import RUN_FORMAT, versions_here


def half(chunk):
    if chunk["a"].iloc[0] >= 50:
        raise ValueError("not these")
    return int(chunk["a"].sum())


def go(**options):
    frame = pd.DataFrame({"a": range(100)})
    given = {"chunk_size": "10 rows", "scheduler": "synchronous", "run_dir": "runs"}
    return td.process(frame, half, reduce=td.sum(), **given, **options)


def test_a_run_directory_of_another_format_is_read_but_not_resumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = {name: text for name, text in versions_here().items() if name != "run format"}
    with monkeypatch.context() as patch:
        patch.setattr("taskinity_data.run.describe_run.versions_here", lambda: before)
        with pytest.raises(FlowFailed) as failed:
            go()
    run_id = failed.value.run.run_id
    with pytest.raises(ResumeError, match=f"run format 1 then, {RUN_FORMAT} now"):
        go(resume=run_id)
    assert td.load_run(run_id, run_dir="runs").run_id == run_id
