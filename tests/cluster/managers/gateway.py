"""Dask Gateway with its backend of local processes."""

from __future__ import annotations

import contextlib
import sys
import urllib.request

from managers.site import Cluster, wait_until
from managers.slurm import free_ports

CONFIGURATION = """\
from dask_gateway_server.backends.local import UnsafeLocalBackend

class Backend(UnsafeLocalBackend):
    default_host = "{address}"

    def get_worker_command(self, *words, **more):
        return [*super().get_worker_command(*words, **more), "--dashboard-address", "127.0.0.1:0"]

c.DaskGateway.backend_class = Backend
c.DaskGateway.address = "127.0.0.1:{private_port}"
c.Proxy.address = "127.0.0.1:{port}"
c.Proxy.tcp_address = "127.0.0.1:{tcp_port}"
c.Proxy.api_token = "0" * 64
c.Backend.clusters_directory = "{folder}"
c.Backend.check_timeouts_period = 1.0
c.Backend.cluster_heartbeat_period = 1
c.ClusterConfig.scheduler_cmd = ["{python}", "-m", "distributed.cli.dask_scheduler"]
c.ClusterConfig.worker_cmd = {worker_command}
c.ClusterConfig.environment = {environment}
c.ClusterConfig.worker_cores = 1
c.ClusterConfig.worker_memory = "1 G"
c.ClusterConfig.adaptive_period = 0.5
"""


def start_gateway(site):
    """Start a gateway, and return its addresses for HTTP and for clients of clusters."""
    folder = site.folder / "gateway"
    folder.mkdir()
    private_port, port, tcp_port = free_ports(3)
    environment = dict(site.environment)
    if site.lifetime_s:
        environment["DASK_DISTRIBUTED__WORKER__LIFETIME__DURATION"] = f"{site.lifetime_s}s"
    worker_command = [*site.on_host, sys.executable, "-m", "distributed.cli.dask_worker"]
    configuration = folder / "configuration.py"
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder,
            address=site.address,
            private_port=private_port,
            port=port,
            tcp_port=tcp_port,
            python=sys.executable,
            worker_command=worker_command,
            environment=environment,
        )
    )
    site.start(sys.executable, "-m", "dask_gateway_server", "-f", configuration, marked=False)
    address = f"http://127.0.0.1:{port}"
    wait_until(lambda: _answers(address), "Dask Gateway")
    return address, f"gateway://127.0.0.1:{tcp_port}"


@contextlib.contextmanager
def open_gateway(site, workers):
    """Yield a `GatewayCluster` of a server of our own."""
    from dask_gateway import Gateway

    # It closes again what `with` has closed, and fails.
    Gateway.__del__ = lambda _: None
    with Gateway(*start_gateway(site)) as gateway, gateway.new_cluster() as cluster:
        cluster.scale(workers)
        count = [workers]

        def add_worker():
            count[0] += 1
            cluster.scale(count[0])

        yield Cluster(cluster, add_worker, adapt=cluster.adapt, end_job=site.end_job)


def _answers(address):
    try:
        with urllib.request.urlopen(f"{address}/api/health") as response:
            return response.status == 200
    except OSError:  # it does not listen yet, or its proxy has no route
        return False
