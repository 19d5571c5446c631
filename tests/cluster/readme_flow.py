"""The flow of the README on a month or two of flights, with calls that wait for the test."""

from __future__ import annotations

import importlib.util
import os
import threading
import uuid
from concurrent.futures import Future
from pathlib import Path

import pandas as pd
import psutil
from documents import FILE, ROOT
from managers.site import STEP_S, WAIT_S, wait_until

import taskinity_data as td

FLIGHTS = str(ROOT / "datasets" / "flights_csv" / "*.csv")
CHUNK_SIZE = "2_000 rows"


class Calls:
    """What the calls of a chunk function leave in a folder: files that name their processes.

    The first `free` calls go through, all others are held until `release()`.
    """

    def __init__(self, folder, free):
        self.folder, self.free = folder, free
        folder.mkdir()

    def release(self):
        (self.folder / "go").touch()

    @property
    def count(self):
        return len(list(self.folder.glob("begun-*")))

    def pids(self, kind="begun"):
        return {int(path.name.split("-")[1]) for path in self.folder.glob(f"{kind}-*")}

    def held_pids(self):
        return sorted(filter(psutil.pid_exists, self.pids("held")))

    def wait_for_pids(self, count):
        wait_until(lambda: len(self.pids()) >= count, f"{count} workers that have had a chunk")

    def around(self, function, fails=False):
        """Return `function`, each call of which is noted, and held or, if it `fails`, raises."""
        folder, free = self.folder, self.free

        def is_released():
            return (folder / "go").exists()

        def process_chunk(chunk):
            number = len(list(folder.glob("begun-*")))
            (folder / f"begun-{os.getpid()}-{uuid.uuid4().hex}").touch()
            if number >= free and not is_released():
                if fails:
                    raise ValueError("a failure of the test")
                (folder / f"held-{os.getpid()}").touch()
                _wait(is_released)
            return function(chunk)

        return process_chunk


def _wait(is_over):
    """Wait until `is_over()`, or until this worker is to end."""
    from distributed import get_worker

    worker = get_worker()
    for _ in range(int(WAIT_S / STEP_S)):
        if is_over() or worker.status.name != "running":
            return
        threading.Event().wait(STEP_S)
    raise TimeoutError


def disturb(act):
    """Start `act` beside the run, and return its future."""
    acting = Future()

    def run():
        try:
            acting.set_result(act())
        except BaseException as error:
            acting.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return acting


class ReadmeFlow:
    """The README's text and functions, and what they must return."""

    def __init__(self, folder):
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        files = {match["name"]: match["text"] for match in FILE.finditer(readme)}
        (folder / "my_tasks.py").write_text(files["my_tasks.py"])
        spec = importlib.util.spec_from_file_location("my_tasks", folder / "my_tasks.py")
        self.tasks = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.tasks)
        self.flow = td.parse_flow(files["delays.flow"])
        self.paths = sorted(Path(FLIGHTS).parent.glob("*.csv"))
        threads = self.run("threads", folder)
        self.value, self.rows = threads.value, _read_output(folder)
        self.chunks = len(threads.plan)
        whole = pd.concat(map(pd.read_csv, self.paths))
        # Minutes are whole numbers, whose sums are exact.
        sums = whole.groupby("carrier")["dep_delay"].agg(["sum", "count"])
        pd.testing.assert_series_equal(self.value, sums["sum"] / sums["count"], check_names=False)
        assert self.rows["count"].sum() == sums["count"].sum()
        self.count = len(whole)

    def run(self, scheduler, folder, calls=None, *, fails=False, **options):
        """Run the flow with an output and the journal of the run in `folder`."""
        tasks = {name: getattr(self.tasks, name) for name in ("data_preparation", "process_chunk")}
        if calls is not None:
            tasks["process_chunk"] = calls.around(tasks["process_chunk"], fails)
        tasks["aggregate_results"] = self.tasks.aggregate_results
        return td.run_flow(
            self.flow.bind(tasks), data=FLIGHTS, scheduler=scheduler, chunk_size=CHUNK_SIZE,
            output=str(folder / "output"), run_dir=folder / "runs", progress=False,
            wait_for_workers="5 min", **options,
        )  # fmt: skip

    def check(self, run, folder):
        """Check value, output and ledger of a run: the same to the last bit, every row once."""
        assert run.status == "COMPLETED"
        pd.testing.assert_series_equal(run.value, self.value, check_exact=True)
        pd.testing.assert_frame_equal(_read_output(folder), self.rows, check_exact=True)
        assert run.ledger.at["processed", "rows"] == self.count
        assert len(run.failures) == 0


def _read_output(folder):
    parts = sorted((folder / "output").glob("*.parquet"))
    return pd.concat(map(pd.read_parquet, parts))
