"""`dask scheduler` and `dask worker` from the command line, plain and over TLS."""

from __future__ import annotations

import contextlib

import dask
import trustme

from managers.site import Cluster, wait_until


@contextlib.contextmanager
def open_plain(site, workers, words=(), worker_words=()):
    """Yield a cluster that is known by its scheduler file alone."""
    file = site.folder / "scheduler.json"
    site.start_dask(
        *("scheduler", "--host", site.address, "--port", 0, "--no-dashboard"),
        *("--scheduler-file", file, *words),
    )

    def add_worker():
        lifetime = ("--lifetime", f"{site.lifetime_s}s", "--lifetime-restart")
        site.start_dask(
            *("worker", "--scheduler-file", file, "--no-dashboard", "--nthreads", 1),
            *("--local-directory", site.folder / "workers", *words, *worker_words),
            *(() if site.hosts else ("--host", site.address)),
            *(lifetime if site.lifetime_s else ()),
            on_host=site.on_host,
        )

    for _ in range(workers):
        add_worker()
    wait_until(file.exists, "the scheduler file")
    yield Cluster(str(file), add_worker, end_job=site.end_job)


@contextlib.contextmanager
def open_tls(site, workers):
    """Yield a cluster whose certificates are in Dask's own settings here, and on its commands."""
    authority = trustme.CA()
    ca, cert = site.folder / "ca.pem", site.folder / "cert.pem"
    authority.cert_pem.write_to_path(ca)
    chain = authority.issue_cert("localhost", site.address).private_key_and_cert_chain_pem
    chain.write_to_path(cert)
    words = ("--tls-ca-file", ca, "--tls-cert", cert, "--tls-key", cert, "--protocol", "tls")
    settings = {
        "distributed.comm.tls.ca-file": str(ca),
        "distributed.comm.tls.client.cert": str(cert),
        "distributed.comm.tls.client.key": str(cert),
        "distributed.comm.require-encryption": True,
    }
    with dask.config.set(settings), open_plain(site, workers, words) as cluster:
        yield cluster
