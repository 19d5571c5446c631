"""MPI jobs of dask-mpi."""

from __future__ import annotations

import contextlib
import json
import os
import sys

import psutil

from managers.site import Cluster, end_tree, wait_until

# For a test it may be root; nothing of it listens elsewhere than on loopback.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_oob_tcp_if_include": "lo",
    "OMPI_MCA_btl_tcp_if_include": "lo",
    "OMPI_MCA_btl": "self,vader,tcp",
}


@contextlib.contextmanager
def open_mpi(site, workers):
    """Yield the scheduler file of a job of a scheduler and one worker, and a job for each more."""
    file = site.folder / "scheduler.json"
    options = {} if site.hosts else {"host": site.address}
    if site.lifetime_s:
        options |= {"lifetime": f"{site.lifetime_s}s", "lifetime_restart": True}

    def start_job(ranks, *words, on_host=()):
        return site.start(
            *(*on_host, "mpirun", "--oversubscribe", "-n", ranks),
            *(os.path.join(sys.prefix, "bin", "dask-mpi"), "--scheduler-file", file),
            *("--nthreads", 1, "--no-dashboard", "--local-directory", site.folder / "workers"),
            *("--worker-options", json.dumps(options), *words),
            **ENVIRONMENT,
        )

    def add_worker():
        start_job(
            1, "--no-scheduler", "--name", f"more{len(os.listdir('/proc'))}", on_host=site.on_host
        )

    if workers == 0 or site.hosts:
        # A job has one worker at least.
        site.start_dask(
            *("scheduler", "--host", site.address, "--port", 0, "--no-dashboard"),
            *("--scheduler-file", file),
        )
        first = None
    else:
        first = start_job(2)
        workers -= 1
    wait_until(file.exists, "the scheduler file")
    for _ in range(workers):
        add_worker()

    def end_job(pids):
        kept = [] if first is None else psutil.Process(first.pid).children(recursive=True)
        for pid in set(pids) - {process.pid for process in kept}:
            end_tree(pid, site.folder)
            return pid
        return None

    yield Cluster(str(file), add_worker, end_job=end_job)
