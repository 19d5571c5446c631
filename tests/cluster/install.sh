#!/usr/bin/env bash
# Install the managers of clusters that tests/cluster runs: tests/cluster/install.sh PYTHON
#
# SLURM, an SSH server, Open MPI and iproute2 from Debian or Ubuntu, and packages into the environment of PYTHON.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${1:?the Python of an environment}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

has_all() { for program; do command -v "$program" >/dev/null || return; done; }

if ! has_all slurmctld slurmd munged sshd ssh mpirun ip tc; then
    as_root apt-get update -qq
    # Debian would start services, for which tests have no use.
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends \
        slurm-wlm munge openssh-server openssh-client openmpi-bin iproute2 >/dev/null
fi
"$python" -m pip install -qq --disable-pip-version-check -c constraints.txt -r tests/cluster/requirements.txt
# Its schemas alone are read.
"$python" -m pip install -qq --disable-pip-version-check --no-deps dask-kubernetes==2026.3.0
