"""Functions that change, print or leave behind what they should not: contained, and named."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pandas as pd
import psutil
import pytest

import taskinity_data as td
from taskinity_data.execution.worker.batches import ChildPool, run_items
from taskinity_data.execution.worker.job import Guard, Item, Job, Step

FRAME = pd.DataFrame({"n": range(40)})


def test_columns_that_drift_are_found_at_the_first_chunk():
    def widen(chunk):
        return chunk.assign(extra=1) if chunk.n.min() >= 20 else chunk

    run = td.process(
        FRAME, widen, reduce=td.concat(), chunk_size="10 rows", scheduler="threads", workers=1
    )
    (notice,) = run.notices
    assert notice.startswith("ProcessChunk: a result has other columns than the first one")
    assert "(more: 'extra')" in notice
    assert "[rows 20 to 30] (2 times)" in notice
    assert len(run.value) == 40


def test_a_frame_of_a_stream_that_a_function_changes_is_whole_again_for_the_next_try():
    tries = []

    def change(chunk):
        tries.append(int(chunk.n.sum()))
        chunk.loc[:, "n"] = 0
        if len(tries) == 1:
            raise OSError("not now")
        return len(chunk)

    given = FRAME.copy()
    run = td.process(iter([given]), change, scheduler="threads", retries=1, retry_delay=0)
    assert run.value == [40]
    assert tries == [780, 780]
    pd.testing.assert_frame_equal(given, FRAME)


def test_an_input_frame_in_memory_is_never_changed():
    def change(chunk):
        chunk.loc[:, "n"] = 0
        return len(chunk)

    given = FRAME.copy()
    td.process(given, change, scheduler="threads", chunk_size="10 rows")
    pd.testing.assert_frame_equal(given, FRAME)


@pytest.mark.thorough
def test_processes_that_a_function_leaves_behind_end_with_the_run(tmp_path):
    def leave(chunk):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (tmp_path / f"{child.pid}").touch()
        child.returncode = 0  # so that nobody asks after it
        return child.pid

    run = td.process(FRAME, leave, chunk_size="20 rows", scheduler="processes", workers=1)
    for pid in run.value:
        if psutil.pid_exists(pid):
            gone, _ = psutil.wait_procs([psutil.Process(pid)], timeout=120)
            assert gone or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_json_stays_one_object_whatever_a_function_prints(tmp_path):
    FRAME.to_csv(tmp_path / "data.csv", index=False)
    (tmp_path / "tasks.py").write_text(
        "import os\n"
        "def data_preparation():\n"
        f"    return {str(tmp_path / 'data.csv')!r}\n"
        "def process_chunk(chunk):\n"
        "    for _ in range(100):\n"
        "        print('x' * (1 << 20))\n"
        "    os.write(1, b'\\xff\\x00{}')\n"
        "    return len(chunk)\n"
        "def aggregate_results(parts):\n"
        "    return sum(parts)\n"
    )
    (tmp_path / "a.flow").write_text(
        "flow F:\n  DataPreparation -> ProcessChunk[*] -> AggregateResults\n"
    )
    command = [
        sys.executable, "-m", "taskinity_data", "run", "a.flow", "--tasks", "tasks.py", "--json",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
        timeout=120,
    )  # fmt: skip
    assert json.loads(done.stdout)["status"] == "COMPLETED"


def test_a_result_that_cannot_travel_is_its_chunks_failure_alone():
    nursery = ChildPool()
    try:
        job = Job("P", ((Step("P", lambda x: threading.Lock() if x else x),),))
        items = [Item(f"k{x}", x, guard=Guard()) for x in (0, 1, 0)]
        statuses = [outcome.status for outcome in run_items(job, items, nursery)]
    finally:
        nursery.close()
    assert statuses == ["COMPLETED", "FAILED", "COMPLETED"]
