"""SLURM on this machine alone, with clusters of dask-jobqueue."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import sys
from unittest import mock

import psutil

from managers.site import Cluster, wait_until

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=5
MinJobAge=10
InactiveLimit=0
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=8000
PartitionName=test Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(count):
    """Ports on loopback that nobody has now."""
    ports = []
    while len(ports) < count:
        # Below those that the system gives to whoever connects.
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            ports.append(port)
    return ports


@contextlib.contextmanager
def start_slurm(site):
    """Start munge and SLURM, and yield with its commands in this process led to it."""
    host = socket.gethostname().partition(".")[0]
    folder = site.folder / "slurm"
    folder.mkdir(mode=0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    controller_port, node_port = free_ports(2)
    text = CONFIGURATION.format(
        host=host, folder=folder, controller_port=controller_port, node_port=node_port
    )
    configuration = folder / "slurm.conf"
    configuration.write_text(text)
    site.start(
        *("munged", "--foreground", "--force", f"--key-file={key}"),
        f"--socket={folder}/munge.socket",
        f"--pid-file={folder}/munge.pid",
        f"--log-file={folder}/munge.log",
        f"--seed-file={folder}/munge.seed",
        marked=False,
    )
    wait_until((folder / "munge.socket").exists, "munge")
    for daemon in ("slurmctld", "slurmd"):
        site.start(daemon, "-D", "-f", configuration, marked=False)
    with mock.patch.dict(os.environ, {"SLURM_CONF": str(configuration)}):
        wait_until(lambda: _list_nodes(site).startswith("idle"), "SLURM's node")
        yield


def _list_nodes(site):
    try:
        return site.run("sinfo", "--noheader", "--format=%T")
    except AssertionError:  # its controller does not answer yet
        return ""


@contextlib.contextmanager
def open_slurm(site, workers, walltime="00:30:00"):
    """Yield a `SLURMCluster` of jobs of one worker each."""
    from dask_jobqueue import SLURMCluster

    python = " ".join([*site.on_host, sys.executable])
    lifetime = ["--lifetime", f"{site.lifetime_s}s"] if site.lifetime_s else []
    where = [] if site.hosts else ["--host", site.address]
    with (
        start_slurm(site),
        SLURMCluster(
            cores=1,
            processes=1,
            memory="700MB",
            walltime=walltime,
            python=python,
            local_directory=str(site.folder / "workers"),
            log_directory=str(site.folder / "jobs"),
            job_script_prologue=[f"export {k}={v}" for k, v in site.environment.items()],
            worker_extra_args=[*where, *lifetime],
            scheduler_options={"host": site.address, "dashboard_address": None},
        ) as cluster,
    ):
        cluster.scale(workers)

        def end_job(pids):
            job = psutil.Process(pids[0]).environ()["SLURM_JOB_ID"]
            site.run("scancel", job)
            return pids[0]

        yield Cluster(
            cluster,
            add_worker=lambda: cluster.scale(len(cluster.worker_spec) + 1),
            adapt=cluster.adapt,
            end_job=end_job,
        )
        cluster.close()
        wait_until(lambda: not site.run("squeue", "--noheader").strip(), "SLURM's jobs")
