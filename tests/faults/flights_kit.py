"""A year of flights from the command line, with all that can go wrong going wrong at once.

Which flights are bad follows from a seed. The function knows a bad flight by what stands in its
row, and misbehaves on the chunk that has it; DuckDB says from the files what is to come out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import duckdb
import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

MONTHS = sorted((Path(__file__).parents[2] / "datasets" / "flights").glob("*.parquet"))
KEY = "(((month * 32 + day) * 2400 + sched_dep_time) * 10000 + flight)"
"""Names a flight together with its carrier and origin; only flights whose number is theirs alone
are made bad."""
TIMEOUT_S = 4
STEP_S = 0.02
KILL_EVERY_S, CALLS_BETWEEN = 2.0, 5
GIVE_UP_S = 600

FLOW = f"""\
flow Flights:
    task ProcessChunk[*]:
        timeout: {TIMEOUT_S}s
        on_error: skip
    DataPreparation -> ProcessChunk[*] -> AggregateResults
"""

TASKS = """\
import ctypes
import mmap
import os

import taskinity_data as td

AT_ONCE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE

FOLDER = {folder!r}
BAD = {bad!r}


def data_preparation(data):
    return td.open_dataset(data)


def process_chunk(chunk):
    keys = ((chunk.month * 32 + chunk.day) * 2400 + chunk.sched_dep_time) * 10000 + chunk.flight
    record = os.open(os.path.join(FOLDER, "record"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(record, f"{{keys.iloc[0]}} {{keys.iloc[-1]}} {{len(chunk)}}\\n".encode())
    os.close(record)
    found = sorted({{BAD[str(key)] for key in keys if str(key) in BAD}})
    for kind in found:
        if kind == "raise":
            raise ValueError("a bad flight")
        if kind == "crash":
            ctypes.string_at(0)
        if kind == "hang":
            while True:
                pass
        if kind == "hog":
            held = []
            while len(held) < 64:
                held.append(mmap.mmap(-1, 64 << 20, flags=AT_ONCE))
            raise AssertionError("4 GiB are there")
    return chunk.assign(late=(chunk.dep_delay > 0).astype("int64"))


aggregate_results = td.group_by(
    "carrier", flights=("flight", "count"), late=("late", "sum"), miles=("distance", "sum")
)
"""


@dataclass
class Flights:
    """One such run.

    Parameters
    ----------
    folder : Path
        Everything that it writes goes there.
    seed : int
    months : int
        So many files of the year's twelve.
    rows : int
        A chunk's; each row group's 10,000 are a multiple of it.
    """

    folder: Path
    seed: int
    months: int = 12
    rows: int = 500
    bad: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """Key of a flight: what its chunk does, its file, its row there."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.files = [str(path) for path in MONTHS[: self.months]]
        self.table = (
            f"(SELECT *, {KEY} AS name, file_row_number AS row "
            f"FROM read_parquet({self.files!r}, filename=true, file_row_number=true))"
        )
        counts = self._ask(f"SELECT filename, count(*) FROM {self.table} GROUP BY 1 ORDER BY 1")
        self.counts = [count for _, count in counts]
        self.total_rows = sum(self.counts)
        self.chunks = -(-self.total_rows // self.rows)
        kinds = ["raise"] * max(1, self.chunks // 100) + ["crash", "hog", "hang"]
        random = Random(self.seed)
        rows = self._ask(
            f"SELECT name, filename, row FROM {self.table} "
            f"QUALIFY count(*) OVER (PARTITION BY name) = 1 ORDER BY filename, row"
        )
        taken: set[int] = set()
        while kinds:
            name, path, row = random.choice(rows)
            number = self.place(path, row) // self.rows
            first = number * self.rows - self.place(path, 0)
            lies_in_one = 0 <= first <= self.counts[self.files.index(path)] - self.rows
            if number not in taken and lies_in_one:
                taken.add(number)
                self.bad[str(name)] = (kinds.pop(), path, row)
        (self.folder / "flights.flow").write_text(FLOW)
        bad = {name: kind for name, (kind, _, _) in self.bad.items()}
        (self.folder / "tasks.py").write_text(TASKS.format(folder=str(self.folder), bad=bad))

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect() as connection:
            return connection.execute(query).fetchall()

    # -- what is to be --------------------------------------------------------------------------

    def place(self, path: str, row: int) -> int:
        """The number of that row among all."""
        names = [Path(one).name for one in self.files]
        return sum(self.counts[: names.index(Path(path).name)]) + row

    @property
    def bad_places(self) -> dict[int, str]:
        """The number of each bad row among all, and what its chunk does."""
        return {self.place(path, row): kind for kind, path, row in self.bad.values()}

    def expect(self, lost: list[tuple[int, int]]) -> dict[str, tuple[int, int, int]]:
        """Of each carrier the flights, those that were late, the miles, without the rows `lost`."""
        gone = " OR ".join(f"(place >= {first} AND place < {stop})" for first, stop in lost)
        offsets = " ".join(f"WHEN '{path}' THEN {self.place(path, 0)}" for path in self.files)
        rows = self._ask(
            "SELECT carrier, count(*), count_if(dep_delay > 0), sum(distance)::BIGINT "
            f"FROM (SELECT *, row + CASE filename {offsets} END AS place FROM {self.table}) "
            f"WHERE NOT ({gone}) GROUP BY 1"
        )
        return {row[0]: row[1:] for row in rows}

    # -- running it -----------------------------------------------------------------------------

    def command(self, *more: str) -> list[str]:
        return [
            sys.executable, "-m", "taskinity_data", "run", str(self.folder / "flights.flow"),
            "--tasks", str(self.folder / "tasks.py"), "--input", f"data={self.source}",
            "--chunk-size", f"{self.rows} rows", *more,
        ]  # fmt: skip

    @property
    def source(self) -> str:
        """The months of this run, in a folder of their own."""
        there = self.folder / "data"
        if not there.exists():
            there.mkdir()
            for path in self.files:
                (there / Path(path).name).symlink_to(path)
        return f"{there}/*.parquet"

    @property
    def mark(self) -> str:
        """Stands in the environment of all processes that come of this run."""
        return f"{self.folder}-{self.seed}"

    def start(self, number: int, *more: str) -> subprocess.Popen[bytes]:
        """The driver, for the time with that `number`."""
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        out, err = (self.folder / f"{name}-{number}" for name in ("out", "err"))
        with out.open("wb") as stdout, err.open("wb") as stderr:
            return subprocess.Popen(
                self.command(*more, *(("--resume",) if number else ())),
                cwd=self.folder,
                env={**os.environ, "TMPDIR": str(scratch), "FLIGHTS_RUN": self.mark},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )

    def ran(self) -> int:
        """How many chunks have begun, whole and for the first time."""
        try:
            lines = (self.folder / "record").read_text().splitlines()
        except FileNotFoundError:
            return 0
        return len(set(lines))

    def calls(self) -> int:
        """How often the function has begun."""
        record = self.folder / "record"
        return record.read_bytes().count(b"\n") if record.exists() else 0

    def run(
        self, kills: int, *more: str, workers: Any, deaths: int = 10_000
    ) -> tuple[int, str, str]:
        """Exit code and texts of the last driver; those before it are killed on the way.

        `workers` gives the processes of which one is killed every two seconds, for a driver's pid;
        at most so many `deaths` a driver.
        """
        random = Random(self.seed)
        for number in range(kills + 1):
            upto = None if number == kills else self.chunks * (number + 1) // (kills + 1)
            driver = self.start(number, *more)
            with self.killing(random, lambda pid=driver.pid: workers(pid), deaths):
                until = time.monotonic() + GIVE_UP_S
                while driver.poll() is None and (upto is None or self.ran() < upto):
                    assert time.monotonic() < until, "it hangs"
                    time.sleep(STEP_S)
            if upto is not None:
                assert driver.poll() is None, self.text("err", number)
                driver.kill()
            driver.wait()
        return driver.returncode, self.text("out", kills), self.text("err", kills)

    @contextmanager
    def killing(self, random: Random, find: Any, deaths: int) -> Iterator[None]:
        """A worker, taken at random among those that `find` gives, is killed every two seconds.

        Between two of these the function begins a few times, however slow the machine: otherwise
        nothing would be tried but how workers start.
        """
        over = threading.Event()

        def kill() -> None:
            before, left = self.calls(), deaths
            while left and not over.wait(KILL_EVERY_S):
                if self.calls() < before + CALLS_BETWEEN or not (there := find()):
                    continue
                with suppress(psutil.Error):
                    random.choice(there).kill()
                    before, left = self.calls(), left - 1

        thread = threading.Thread(target=kill, name="killer")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def text(self, name: str, number: int) -> str:
        return (self.folder / f"{name}-{number}").read_text()

    def left(self) -> list[str]:
        """Processes of this run that are still there."""
        found = []
        for process in psutil.process_iter():
            try:
                is_ours = process.environ().get("FLIGHTS_RUN") == self.mark
            except psutil.Error:
                continue
            if is_ours and (command := _command(process)):
                found.append(command)
        return found


def workers_below(pid: int) -> list[psutil.Process]:
    """The worker processes that were started by `pid`, or by what it started."""
    return [one for one in _below(pid) if "spawn_main" in _command(one)]


def busy_workers_below(pid: int) -> list[psutil.Process]:
    """Those that have begun to work: each has a child then, for there is a timeout."""
    return [
        one
        for one in workers_below(pid)
        if any("child_main" in _command(child) for child in _below(one.pid))
    ]


def children_below(pid: int) -> list[psutil.Process]:
    """The child processes in which the driver `pid` runs chunks."""
    return [one for one in _below(pid) if "child_main" in _command(one)]


def _below(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def a_cluster(folder: Path, mark: str, workers: int, memory: str) -> Iterator[tuple[str, Any]]:
    """A `dask scheduler` and a `dask worker` with that many processes; its address, its workers."""
    folder.mkdir()
    file = folder / "scheduler.json"
    with ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("a"))

        def start(*words: Any) -> subprocess.Popen[bytes]:
            child = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", *map(str, words)],
                    cwd=folder,
                    env={**os.environ, "FLIGHTS_RUN": mark},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
            stack.callback(child.terminate)
            return child

        local = ("--host", "127.0.0.1", "--no-dashboard")
        start("scheduler", *local, "--port", 0, "--scheduler-file", file)
        pool = start(
            *("worker", *local, "--scheduler-file", file, "--nthreads", 1, "--nworkers", workers),
            *("--memory-limit", memory, "--local-directory", folder / "workers"),
        )
        until = time.monotonic() + 30
        while not (file.exists() and len(workers_below(pool.pid)) >= workers):
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(STEP_S)
        yield json.loads(file.read_text())["address"], lambda _: busy_workers_below(pool.pid)
