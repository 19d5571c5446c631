"""An SSH server on a high port, with clusters of Dask's `SSHCluster`."""

from __future__ import annotations

import contextlib
import getpass
import shutil
import socket
from pathlib import Path

from managers.site import Cluster, wait_until
from managers.slurm import free_ports

CONFIGURATION = """\
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
"""


def start_servers(site):
    """Start a server on each host, and return their port."""
    folder = site.folder / "ssh"
    folder.mkdir()
    for name in ("host", "user"):
        site.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name)
    (folder / "config").write_text(CONFIGURATION.format(folder=folder))
    (port,) = free_ports(1)
    Path("/run/sshd").mkdir(exist_ok=True)  # where it locks its unprivileged half in
    places = [((), site.address)]
    if site.hosts:
        places += [(host.enter, host.address) for host in site.hosts.all]
    for enter, address in places:
        site.start(
            *(*enter, shutil.which("sshd"), "-D", "-e", "-f", folder / "config"),
            *("-o", f"ListenAddress={address}:{port}"),
            marked=False,
        )
        if not enter:
            wait_until(lambda: _answers(site.address, port), "the SSH server")
    return port


def _answers(address, port):
    with contextlib.suppress(OSError), socket.create_connection((address, port)):
        return True
    return False


@contextlib.contextmanager
def open_ssh(site, workers):
    """Yield an `SSHCluster` with one worker on each host."""
    from distributed import SSHCluster

    port = start_servers(site)
    key = site.folder / "ssh" / "user"
    hosts = [host.address for host in site.hosts.all] if site.hosts else [site.address] * workers
    for host in hosts:
        wait_until(lambda host=host: _answers(host, port), "the SSH server")
    local = {} if site.hosts else {"host": site.address}
    lifetime = {"lifetime": f"{site.lifetime_s}s", "lifetime_restart": True}
    folder = str(site.folder / "workers")
    with SSHCluster(
        [site.address, *hosts[:workers]],
        connect_options={
            "port": port,
            "username": getpass.getuser(),
            "client_keys": [str(key)],
            "known_hosts": None,
        },
        remote_python=site.python,
        scheduler_options={"host": site.address, "dashboard_address": None},
        worker_options={
            "nthreads": 1,
            "local_directory": folder,
            **local,
            **(lifetime if site.lifetime_s else {}),
        },
    ) as cluster:

        def add_worker():
            """Start one more by hand: an SSHCluster can't."""
            command = f"{site.python} -m dask worker {cluster.scheduler_address} --no-dashboard"
            command += f" --host {site.address} --nthreads 1 --local-directory {folder}"
            site.start(
                *("ssh", "-tt", "-F", "none", "-i", key, "-p", port),
                *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
                *(f"{getpass.getuser()}@{site.address}", command),
                marked=False,
            )

        yield Cluster(cluster, add_worker, end_job=site.end_job)
