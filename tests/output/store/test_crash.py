"""A store that fails, or a process that dies, at every single call: old or new, never neither."""

import io
import logging
import threading

import pandas as pd
import pyarrow.parquet as pq
import pytest
from killing import Killed, Trouble
from store_frames import frame

import taskinity_data as td
from taskinity_data.errors import SourceNotFound, TaskinityDataError
from taskinity_data.output.manifest import Manifest
from taskinity_data.output.sink import open_sink
from taskinity_data.output.store import lock as store_lock

pytestmark = pytest.mark.thorough

URL = "failing://bucket/out"
MANIFEST = "/bucket/out/_manifest.json"
OLD, NEW = frame(0, 4), frame(100, 4)
BOTH = pd.concat([OLD, NEW], ignore_index=True)
CASES = {"error": (None, NEW), "overwrite": (OLD, NEW), "append": (OLD, BOTH)}
CHANGES = ("put", "remove")


def write(target, whole, if_exists):
    """Two chunks, of which the first has no type for `text`; one was written before, in vain."""
    with open_sink(target, if_exists=if_exists) as sink:
        chunks = [whole[:2].assign(text=None), whole[2:]]
        sink.writer.write("k0", 0, chunks[0])
        sink.commit([sink.writer.write(f"k{i}", i, one) for i, one in enumerate(chunks)])


def rows(store):
    """What stands there, None where nothing does."""
    try:
        files = td.open_dataset(URL).files
    except SourceNotFound:
        return None
    found = []
    for file in files:
        data = store[file.removeprefix("failing:/")].getvalue()
        found += pq.read_table(io.BytesIO(data), columns=["number"])["number"].to_pylist()
    return found


def numbers(whole):
    return None if whole is None else whole["number"].tolist()


@pytest.mark.parametrize(
    "how", ["once", "once, answer lost", "for good", "killed", "killed, answer lost"]
)
@pytest.mark.parametrize("case", CASES)
def test_old_or_new_whichever_call_fails(failing, monkeypatch, caplog, case, how):
    old, new = map(numbers, CASES[case])
    caplog.set_level(logging.CRITICAL)
    found, last, trouble = [], 0, None
    while trouble is None or trouble.has_struck:
        failing.store.clear()
        if old is not None:
            write(URL, OLD, "error")
        trouble = failing.trouble = Trouble(last, how)
        raised = None
        with monkeypatch.context() as patch:
            if "killed" in how:  # by the next run this process is another one
                patch.setattr(store_lock, "_started_at", lambda process: "before")
            try:
                write(URL, NEW, case)
            except (TaskinityDataError, OSError, Killed) as error:
                raised = error
        failing.trouble = None
        now = rows(failing.store)
        text = failing.store.get(MANIFEST)
        assert now in (old, new), f"call {last + 1}, {trouble.calls[last:][:1]}"
        if raised is None:
            assert now == new
        elif now == new and not isinstance(raised, Killed):
            assert "unless the store received the manifest" in str(raised)
        monkeypatch.setattr(store_lock, "LEASE_S", -1.0)  # where its marker could not be removed
        open_sink(URL, if_exists="append").abort()
        monkeypatch.setattr(store_lock, "LEASE_S", 120.0)
        left = sorted(name.removeprefix("/bucket/out/") for name in failing.store)
        if now is None:
            assert left == []
        else:
            assert failing.store[MANIFEST] is text
            manifest = Manifest.from_json(text.getvalue())
            assert left == sorted(["_manifest.json", *(part.path for part in manifest.parts)])
        found.append(now)
        last += 1
    assert last > 15
    assert found[0] == old
    assert found[-1] == new
    # Once it is new it stays so: the commit is one call.
    assert found[found.index(new) :] == [new] * (len(found) - found.index(new))
    assert not [one for one in threading.enumerate() if one.name.startswith("marker-")]
