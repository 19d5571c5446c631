"""The managers by name, and what each needs on this machine."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass

from managers.gateway import open_gateway
from managers.mpi import open_mpi
from managers.plain import open_plain, open_tls
from managers.slurm import open_slurm
from managers.ssh import open_ssh

__all__ = ["MANAGERS", "WITHOUT_CLUSTERS"]


@dataclass(frozen=True)
class Manager:
    """`open(site, workers)` yields a cluster; `programs` and `modules` are what it needs."""

    title: str
    open: object
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()

    def describe_missing(self):
        """Return what is missing here, empty if nothing is."""
        # Debian has servers where not every user's PATH leads.
        path = "/usr/local/sbin:/usr/sbin:/sbin"
        missing = [
            name
            for name in self.programs
            if not (shutil.which(name) or shutil.which(name, path=path))
        ]
        missing += [name for name in self.modules if importlib.util.find_spec(name) is None]
        return ", ".join(missing)


MANAGERS = {
    "slurm": Manager(
        "SLURM", open_slurm, ("slurmctld", "slurmd", "munged", "sbatch"), ("dask_jobqueue",)
    ),
    "ssh": Manager("SSH", open_ssh, ("sshd", "ssh", "ssh-keygen"), ("asyncssh",)),
    "gateway": Manager("Gateway", open_gateway, (), ("dask_gateway", "dask_gateway_server")),
    "mpi": Manager("MPI", open_mpi, ("mpirun",), ("dask_mpi", "mpi4py")),
    "plain": Manager("command line", open_plain),
    "tls": Manager("command line, TLS", open_tls),
}

WITHOUT_CLUSTERS = {
    "pbs": Manager("PBS", None, (), ("dask_jobqueue",)),
    "kubernetes": Manager("Kubernetes", None, (), ("dask_kubernetes",)),
}
"""Those of which the cookbook's scripts and manifests alone are tested."""
