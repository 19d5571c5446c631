"""Functions that misbehave on purpose, a record of what really ran, and the four rules of a run.

What goes wrong follows from a seed alone; what is to happen once leaves a mark in the round's
folder, so that a second try of the same chunk behaves.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import pandas as pd
import psutil

import taskinity_data as td
from taskinity_data.outcome import RunStatus

if TYPE_CHECKING:
    from pathlib import Path

ROWS, CHUNK = 240, 12
CHUNKS = ROWS // CHUNK

FRAME = pd.DataFrame({"n": range(ROWS), "v": [n * 37 % 101 for n in range(ROWS)]})


class OddError(Exception):
    """Can't be made from its own args."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Unsendable(Exception):
    """Can't be pickled."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


@dataclass
class Round:
    """One round: which chunks misbehave in which way, in a folder of its own."""

    folder: Path
    seed: int
    faults: dict[int, str] = field(default_factory=dict)
    bad_rows: frozenset[int] = frozenset()
    driver: int = field(default_factory=os.getpid)

    @classmethod
    def of(cls, folder: Path, seed: int, kinds: dict[str, int], bad_rows: int = 0) -> Round:
        """A round in which so many chunks of each kind misbehave."""
        random = Random(seed)
        wanted = [kind for kind, count in kinds.items() for _ in range(count)]
        chunks = random.sample(range(CHUNKS), len(wanted))
        rows = frozenset(random.sample(range(ROWS), bad_rows))
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, seed, dict(zip(chunks, wanted, strict=True)), rows)

    def source(self) -> str:
        """The data as a file."""
        path = self.folder / "data.parquet"
        if not path.exists():
            FRAME.to_parquet(path)
        return str(path)

    def first(self, name: str) -> bool:
        """Whether this is the first time that `name` comes up, in any process."""
        try:
            os.close(os.open(self.folder / f"mark-{name}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def work(self, chunk: pd.DataFrame) -> pd.DataFrame:
        """The chunk function: records that it ran, misbehaves where it has to, gives the rows."""
        first, last = int(chunk.n.min()), int(chunk.n.max())
        number = first // CHUNK
        line = f"{number} {first} {last} {os.getpid()}\n".encode()
        record = os.open(self.folder / "record", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(record, line)
        os.close(record)
        bad = [n for n in self.bad_rows if first <= n <= last]
        if bad:
            raise ValueError(f"a bad row: {min(bad)}")
        kind = self.faults.get(number)
        if kind is not None:
            return getattr(self, f"do_{kind}")(chunk, number)
        return chunk

    def do_raise(self, chunk: pd.DataFrame, number: int) -> pd.DataFrame:
        raise ValueError(f"chunk {number} is bad")

    def do_flaky(self, chunk: pd.DataFrame, number: int) -> pd.DataFrame:
        if self.first(f"flaky-{number}"):
            raise OSError("not now")
        return chunk

    def do_odd(self, chunk: pd.DataFrame, number: int) -> pd.DataFrame:
        raise OddError(number, 2)

    def do_unsendable(self, chunk: pd.DataFrame, number: int) -> pd.DataFrame:
        raise Unsendable("with a lock")

    def do_exit(self, chunk: pd.DataFrame, number: int) -> pd.DataFrame:
        raise SystemExit(7)

    def do_interrupt(self, chunk: pd.DataFrame, number: int) -> pd.DataFrame:
        raise KeyboardInterrupt

    def do_large(self, chunk: pd.DataFrame, number: int) -> pd.DataFrame:
        if len(chunk) > CHUNK // 3:
            raise MemoryError("too large")
        return chunk

    def do_change_input(self, chunk: pd.DataFrame, number: int) -> pd.DataFrame:
        same = chunk.copy()
        chunk.loc[:, "v"] = -1
        chunk["more"] = 1
        return same

    def do_hang(self, chunk: pd.DataFrame, number: int) -> pd.DataFrame:
        while True:
            pass

    def do_hang_in_c(self, chunk: pd.DataFrame, number: int) -> pd.DataFrame:
        ctypes.PyDLL(None).sleep(600)
        raise AssertionError

    def do_crash(self, chunk: pd.DataFrame, number: int) -> pd.DataFrame:
        ctypes.string_at(0)
        raise AssertionError

    def do_die(self, chunk: pd.DataFrame, number: int) -> pd.DataFrame:
        os._exit(9)

    def do_be_killed(self, chunk: pd.DataFrame, number: int) -> pd.DataFrame:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)
        raise AssertionError

    def do_kill_all(self, chunk: pd.DataFrame, number: int) -> pd.DataFrame:
        """Kill all workers of the run, once; this process last."""
        if self.first(f"all-{number}"):
            for worker in workers_of(self.driver):
                if worker.pid != os.getpid():
                    worker.kill()
            self.do_be_killed(chunk, number)
        return chunk

    def do_kill_other(self, chunk: pd.DataFrame, number: int) -> pd.DataFrame:
        """Kill one other worker, once."""
        if self.first(f"other-{number}"):
            for worker in workers_of(self.driver):
                if worker.pid != os.getpid():
                    worker.kill()
                    break
        return chunk

    # -- what is to be --------------------------------------------------------------------------

    def expect(self, lost: tuple[str, ...]) -> pd.DataFrame:
        """The rows of an undisturbed run without those of the chunks that `lost` costs."""
        gone = {number for number, kind in self.faults.items() if kind in lost}
        kept = ~(FRAME.n // CHUNK).isin(gone) & ~FRAME.n.isin(self.bad_rows)
        return FRAME[kept].reset_index(drop=True)

    def ran(self) -> list[tuple[int, int, int]]:
        """What really ran: chunk, first and last row, in the order in which it began."""
        lines = (self.folder / "record").read_text().splitlines()
        return [(int(a), int(b), int(c)) for a, b, c, _ in map(str.split, lines)]


def workers_of(driver: int) -> list[psutil.Process]:
    """The worker processes that the process `driver` has started."""
    found = []
    for child in psutil.Process(driver).children():
        try:
            if "child_main" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


LOSING = (
    "raise", "odd", "unsendable", "exit", "interrupt", "hang", "hang_in_c", "crash", "die",
    "be_killed",
)  # fmt: skip
"""The kinds that cost their chunk; all others cost nothing in the end."""

SAID = {
    "raise": "ValueError: chunk {} is bad",
    "odd": "OddError: {} and 2",
    "unsendable": "Unsendable: with a lock",
    "exit": "SystemExit: 7",
    "interrupt": "KeyboardInterrupt",
    "hang": "took longer than its timeout",
    "hang_in_c": "took longer than its timeout",
    "crash": "worker process died, signal 11",
    "die": "worker process died, exit code 9",
    "be_killed": "worker process died, signal 9",
}


def run_round(case: Round, **options: Any) -> Any:
    """`case`, run with concatenation as its reducer."""
    options = {"scheduler": "threads", "workers": 2, "on_error": "skip"} | options
    return td.process(
        case.source(), case.work, reduce=td.concat(), chunk_size=f"{CHUNK} rows", **options
    )


def check_rules(case: Round, run: Any, losing: tuple[str, ...] = LOSING) -> None:
    """Exact, accounted, said; `clean` is a fixture."""
    expected = case.expect(losing)
    pd.testing.assert_frame_equal(run.value.reset_index(drop=True), expected)

    rows, nbytes = run.ledger["rows"], run.ledger["bytes"]
    for account in (rows, nbytes):
        assert account["planned"] == account.drop("planned").sum()
        assert account["not_run"] == 0
    assert rows["planned"] == ROWS
    assert rows["processed"] == len(expected)
    if case.bad_rows:
        assert rows["quarantined"] == len(
            [n for n in case.bad_rows if case.faults.get(n // CHUNK) not in losing]
        ) or rows["quarantined"] == len(case.bad_rows)
    else:
        assert rows["skipped"] == ROWS - len(expected)
    begun = {n for _, first, last in case.ran() for n in range(first, last + 1)}
    assert begun == set(range(ROWS))

    lost = {number: kind for number, kind in case.faults.items() if kind in losing}
    told = {int(row["start"]) // CHUNK: row["error"] for row in run.failures.to_dict("records")}
    if not case.bad_rows:
        assert set(told) == set(lost)
    for number, kind in lost.items():
        if not case.bad_rows:
            assert SAID[kind].format(number) in told[number]
    assert run.status is (RunStatus.PARTIAL if lost or case.bad_rows else RunStatus.COMPLETED)
