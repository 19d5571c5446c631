"""The place that a test gives to a manager: a folder, hosts, an environment, and its processes."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import threading
from dataclasses import dataclass, field

import dask
import distributed  # noqa: F401 - settings that are set before its own are there would take these along
import psutil

MARK = "CLUSTER_TEST_FOLDER"
"""A variable of every process of a cluster, by which those that are left are found."""

# Only what hangs waits so long, however busy the machine is.
WAIT_S = 300
# What does not end after SIGTERM is killed.
STUCK_S = 20
STEP_S = 0.05


def wait_until(is_so, what):
    """Wait until `is_so()` is true, and return what it returns."""
    for _ in range(int(WAIT_S / STEP_S)):
        if result := is_so():
            return result
        threading.Event().wait(STEP_S)
    raise TimeoutError(f"{what}: not after {WAIT_S} s")


@dataclass
class Cluster:
    """A cluster that a manager has started.

    `scheduler` goes to the run. `add_worker()` starts one more worker. `adapt(minimum, maximum)`
    exists where the manager can. `end_job(pids)` ends the job of one of these workers, and returns
    which; None where none of them may go.
    """

    scheduler: object
    add_worker: object
    adapt: object = None
    end_job: object = None


@dataclass
class Site:
    """Where a manager starts a cluster; everything in it ends with the `with` block.

    `hosts` are machines of their own for the workers, None where all run on loopback.
    `lifetime_s` ends each worker after so many seconds, `settings` are Dask's.
    """

    folder: object
    hosts: object = None
    lifetime_s: int | None = None
    settings: dict = field(default_factory=dict)

    def __post_init__(self):
        self._stack = contextlib.ExitStack()
        self.address = self.hosts.address if self.hosts else "127.0.0.1"
        self.away = self.folder / "away"

    def __enter__(self):
        self.folder.mkdir(parents=True)
        self.away.mkdir()
        self._stack.__enter__()
        # Schedulers in this process take it from here, others from their environment.
        self._stack.enter_context(dask.config.set(self.settings))
        return self

    def __exit__(self, *raised):
        self._stack.__exit__(*raised)
        left = end_marked(self.folder)
        assert not left, f"left behind: {left}"

    @property
    def environment(self):
        """What each process of the cluster has in its environment."""
        settings = {
            "DASK_" + name.upper().replace(".", "__").replace("-", "_"): str(value)
            for name, value in self.settings.items()
        }
        return {MARK: str(self.folder), **settings}

    @property
    def on_host(self):
        """What a worker's command begins with, where each is to run on the next host."""
        return [str(self.hosts.script)] if self.hosts else []

    @property
    def python(self):
        """The command of Python, in a shell, with the environment."""
        words = ["env", *(f"{name}={value}" for name, value in self.environment.items())]
        return shlex.join([*words, sys.executable])

    def start(self, *words, log="log.txt", marked=True, **environment):
        """Start a process in another folder, and end it with the site."""
        marks = self.environment if marked else {}
        with (self.folder / log).open("a") as out:
            child = subprocess.Popen(
                list(map(str, words)),
                cwd=self.away,
                env={**os.environ, **marks, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._stack.callback(end, child)
        return child

    def start_dask(self, *words, on_host=(), **environment):
        return self.start(*on_host, sys.executable, "-m", "dask", *words, **environment)

    def end_job(self, pids):
        """Kill all processes of the job that the first of `pids` belongs to; return that one."""
        end_tree(pids[0], self.folder)
        return pids[0]

    def run(self, *words, cwd=None, **environment):
        """Run a command to its end, and return what it prints."""
        ended = subprocess.run(
            list(map(str, words)),
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, f"{words}: {ended.stdout}{ended.stderr}"
        return ended.stdout


def end(child):
    """End a process that was started here."""
    child.terminate()
    try:
        child.wait(STUCK_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def find_marked(folder):
    """The processes of a cluster, by what is in their environment."""
    return [process for process in psutil.process_iter() if _is_marked(process, folder)]


def _is_marked(process, folder):
    try:
        return process.environ().get(MARK) == str(folder)
    except (psutil.Error, OSError):
        return False


def end_marked(folder):
    """Wait for all of a cluster's processes to end; kill and return those that do not."""
    marked = find_marked(folder)
    _, left = psutil.wait_procs(marked, STUCK_S)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return [process.info if hasattr(process, "info") else str(process) for process in left]


def end_tree(pid, folder):
    """Kill the job that `pid` belongs to: its first process of this cluster, and all below."""
    job = psutil.Process(pid)
    while (above := job.parent()) is not None and _is_marked(above, folder):
        job = above
    processes = [*job.children(recursive=True), job]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
