"""Runs that stop, are killed and go on while files and code change: the answer is a fresh run's."""

from __future__ import annotations

import os
import shutil
import tempfile
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

import taskinity_data as td
from taskinity_data.checkpoints.journal import list_segments
from taskinity_data.checkpoints.values import encode
from taskinity_data.errors import FlowFailed
from taskinity_data.outcome import RunStatus
from taskinity_data.run.history import reopen

pytestmark = pytest.mark.thorough

FLOW = """\
flow Sums:
    task Scale[*]:
        on_error: skip
    Read -> Scale[*] -> Total
"""
CHUNK, ROWS = 20, 50

World = types.ModuleType("world")
"""What the function below sees of the outside: no module of the user, so no part of its code."""


class Stopped(BaseException):
    """The driver ends, there and then."""


class Stop:
    """Ends the driver after so many chunks, by a Ctrl-C or by something that nobody expects."""

    def __init__(self, after, softly):
        self.left, self.error = after, KeyboardInterrupt if softly else Stopped

    def on_event(self, event):
        if isinstance(event, td.events.ChunkFinished):
            self.left -= 1
            if self.left < 0:
                raise self.error


def make_scale(factor):
    def scale(chunk):
        World.calls.append(int(chunk.n.iloc[0]))
        if chunk.n.isin(World.poison).any():
            raise ValueError("poisoned")
        return chunk.assign(x=chunk.x * factor, y=chunk.y * factor)

    return scale


def read(folder):
    return td.open_dataset(f"{folder}/*.csv")


TOTAL = td.group_by("k", rows=("n", "count"), x=("x", "sum"), y=("y", "sum"), std=("y", "std"))


class Runs(RuleBasedStateMachine):
    """One run, for as long as it lasts, and the world around it."""

    def __init__(self):
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="runs"))
        self.data = self.home / "data"
        self.data.mkdir()
        self.names = iter(range(1000))
        self.written = iter(range(1_000_000))
        self.factor, self.run_id = 1, None
        World.poison, World.calls = set(), []
        for _ in range(2):
            self.add_file()

    def teardown(self):
        shutil.rmtree(self.home)

    # -- the world -----------------------------------------------------------------------------

    def write(self, path, rows):
        """Never with the size and time of what stood there."""
        rows.to_csv(path, index=False)
        at = path.stat().st_mtime_ns + 1_000_000 * next(self.written)
        os.utime(path, ns=(at, at))

    @rule()
    def add_file(self):
        number = next(self.names)
        n = np.arange(number * ROWS, (number + 1) * ROWS)
        rows = pd.DataFrame(
            {"n": n, "k": np.where(n % 3 == 0, "a", "b"), "x": n * 7 % 31, "y": np.sqrt(n) / 3}
        )
        self.write(self.data / f"{number:04}.csv", rows)

    @precondition(lambda self: len(list(self.data.iterdir())) > 1)
    @rule(which=st.integers(0, 99))
    def remove_file(self, which):
        files = sorted(self.data.iterdir())
        files[which % len(files)].unlink()

    @rule(which=st.integers(0, 99), row=st.integers(0, ROWS - 1), x=st.integers(0, 9))
    def change_file(self, which, row, x):
        files = sorted(self.data.iterdir())
        path = files[which % len(files)]
        rows = pd.read_csv(path)
        rows.loc[row, "x"] = x
        self.write(path, rows)

    @rule(factor=st.integers(1, 3))
    def change_code(self, factor):
        self.factor = factor

    @rule(poison=st.sets(st.integers(0, 4 * ROWS), max_size=2))
    def poison(self, poison):
        World.poison = poison

    # -- the run -------------------------------------------------------------------------------

    def tasks(self):
        return {"read": read, "scale": make_scale(self.factor), "total": TOTAL}

    def options(self, run_dir):
        return {"scheduler": "synchronous", "chunk_size": f"{CHUNK} rows", "run_dir": run_dir}

    def go(self, dies_after=None, dies_softly=False, is_redrive=False):
        """The run, begun or gone on with; None where it was stopped."""
        World.calls = []
        observers = [] if dies_after is None else [Stop(dies_after, dies_softly)]
        if is_redrive:
            flow, inputs, *_ = reopen(self.run_id, {}, self.home / "runs")
        else:
            flow, inputs = td.parse_flow(FLOW), {"folder": str(self.data)}
        resume = {} if self.run_id is None else {"resume": self.run_id}
        try:
            run = td.run_flow(
                flow.bind(self.tasks()),
                inputs=inputs,
                observers=observers,
                **self.options(self.home / "runs"),
                **resume,
            )
        except (Stopped, KeyboardInterrupt):
            run = None
        except FlowFailed:
            # All fails alike, or nothing is left: no answer is not a wrong one.
            if not World.poison:
                raise
            run = None
        if self.run_id is None:
            (self.run_id,) = td.list_runs(self.home / "runs").run_id
        return run

    def kept(self):
        return list_segments(self.home / "runs" / self.run_id)

    @rule(dies_after=st.integers(0, 12), dies_softly=st.booleans())
    def stop(self, dies_after, dies_softly):
        run = self.go(dies_after, dies_softly)
        if run is not None:
            self.judge(run)

    @precondition(lambda self: self.run_id is not None)
    @rule(share=st.floats(0.3, 1, exclude_max=True))
    def lose_the_end_of_the_journal(self, share):
        """A driver that was killed while it wrote: what came last is there in part."""
        last = self.kept()[-1]
        if len(self.kept()) == 1:
            share = max(share, 0.5)  # the head of all is written before anything runs
        os.truncate(last, int(last.stat().st_size * share))

    @rule()
    def resume(self):
        run = self.go()
        if run is not None:
            self.judge(run)

    @precondition(lambda self: self.run_id is not None)
    @rule()
    def redrive(self):
        run = self.go(is_redrive=True)
        if run is not None:
            self.judge(run)

    @rule()
    def resume_twice(self):
        """The second has nothing to do, for what ended well."""
        first = self.go()
        if first is None:
            return
        again = self.go()
        if again is None:
            return
        lost = int(first.ledger.at["skipped", "rows"])
        assert len(World.calls) * CHUNK <= lost + CHUNK * len(first.failures)
        self.judge(again)

    def judge(self, run):
        """By pandas over all rows, and by a run of its own with the same cuts."""
        rows = pd.concat([pd.read_csv(path) for path in sorted(self.data.iterdir())])
        account = run.ledger["rows"]
        assert account["planned"] == len(rows) == account.drop("planned").sum()
        assert account["processed"] + account["skipped"] == len(rows)
        assert (run.status is RunStatus.PARTIAL) == (account["skipped"] > 0)
        assert len(run.failures) == 0 or World.poison
        if run.status is not RunStatus.COMPLETED:
            assert run.value.rows.sum() == account["processed"]
            return
        by = rows.groupby("k")
        assert run.value.rows.to_dict() == by.n.count().to_dict()
        assert run.value.x.to_dict() == (by.x.sum() * self.factor).to_dict()
        poison, World.poison = World.poison, set()
        fresh = td.run_flow(
            td.parse_flow(FLOW).bind(self.tasks()),
            inputs={"folder": str(self.data)},
            plan=run.plan,
            scheduler="synchronous",
        )
        World.poison = poison
        assert b"".join(encode(run.value)) == b"".join(encode(fresh.value))


ROUNDS = float(os.environ.get("FAULT_ROUNDS", "0"))

TestRuns = Runs.TestCase
TestRuns.settings = settings(
    max_examples=round(50 * ROUNDS) if ROUNDS else 8,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # Shrinking takes minutes here; the steps that failed are told all the same.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
