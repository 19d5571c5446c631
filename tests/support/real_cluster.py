"""A scheduler and workers that are processes of their own, for tests."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading

from distributed import Client

# Dask's memory manager drops copies of what a worker does not need for the moment, at times of its
# own; how often things are sent can be counted without it.
KEEPS_COPIES = "DASK_DISTRIBUTED__SCHEDULER__ACTIVE_MEMORY_MANAGER__START"

# Only what hangs waits so long, however busy the machine is.
WAIT_S = 120
# What is killed meanwhile.
STUCK_S = 20
STEP_S = 0.01


def end(child):
    """End a process of Dask; a worker that was stopped for a while may hang in its event loop."""
    child.terminate()
    try:
        child.wait(STUCK_S)
    except subprocess.TimeoutExpired:
        child.kill()


@contextlib.contextmanager
def start_cluster(folder, *, workers=2, nanny=True, words=(), security=None, **environment):
    """A client of a scheduler and its workers, all of them processes in another folder.

    `words` go to the command of each, `environment` into it.
    """
    away = folder / "away"
    away.mkdir()
    file = folder / "scheduler.json"
    with contextlib.ExitStack() as stack:

        def start(*told, **more):
            log = stack.enter_context((folder / "log.txt").open("a"))
            child = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", *map(str, told)],
                    cwd=away,
                    env={**os.environ, KEEPS_COPIES: "false", **environment, **more},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
            stack.callback(end, child)

        local = ("--host", "127.0.0.1", "--no-dashboard", *words)
        start("scheduler", *local, "--port", 0, "--scheduler-file", file)
        numbers = itertools.count()

        def start_worker(**more):
            kind = () if nanny else ("--no-nanny",)
            start(
                *("worker", *local, "--scheduler-file", file, "--nthreads", 1, *kind),
                *("--local-directory", folder / f"worker{next(numbers)}"),
                **more,
            )

        for _ in range(workers):
            start_worker()
        client = stack.enter_context(
            Client(
                scheduler_file=str(file), set_as_default=False, timeout=WAIT_S, security=security
            )
        )
        if workers:
            client.wait_for_workers(workers, timeout=WAIT_S)
        client.file, client.start_worker = file, start_worker
        yield client


def start_worker(client, **environment):
    """Start one more worker of the cluster behind `client`, with `environment`."""
    client.start_worker(**environment)


def wait_until(is_so):
    for _ in range(int(WAIT_S / STEP_S)):
        if is_so():
            return
        threading.Event().wait(STEP_S)
    raise TimeoutError
