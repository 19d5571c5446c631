"""The scripts of the cookbook's page, each on its manager."""

from __future__ import annotations

import os
import stat
import sys
import textwrap

import pandas as pd
import pytest
from documents import FILE, ROOT
from managers.gateway import start_gateway
from managers.mpi import ENVIRONMENT
from managers.site import Site, wait_until
from managers.slurm import start_slurm
from managers.ssh import start_servers

pytestmark = pytest.mark.thorough

PAGE = ROOT / "docs" / "cookbook" / "cluster-managers.md"


@pytest.fixture
def site(tmp_path):
    """A site with the page's files in its folder, and the data that they read."""
    with Site(tmp_path / "site") as opened:
        (opened.away / "data").symlink_to(ROOT / "datasets" / "flights_csv")
        for match in FILE.finditer(PAGE.read_text(encoding="utf-8")):
            text = match["text"].replace("eth0", "lo")
            (opened.away / match["name"]).write_text(text)
        yield opened


@pytest.fixture(scope="module")
def expected():
    paths = sorted((ROOT / "datasets" / "flights_csv").glob("*.csv"))
    late = pd.concat(map(pd.read_csv, paths))["dep_delay"] > 15
    return f"{late.sum()} COMPLETED"


PATH = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])


def run_to_end(site, *words, **environment):
    """Run a command in the folder of the files, and return the last line that it prints."""
    child = site.start(*words, log="printed.txt", PATH=PATH, **environment)
    wait_until(lambda: child.poll() is not None, words)
    printed = (site.folder / "printed.txt").read_text()
    assert child.returncode == 0, printed
    return printed


def test_slurm(site, need, expected):
    need("slurm")
    with start_slurm(site):
        # SLURM starts a job with the environment of its submission.
        site.run(
            "sbatch", "--export=ALL", "flights.sh", cwd=site.away, PATH=PATH, **site.environment
        )
        log = site.away / "flights.log"
        wait_until(lambda: not site.run("squeue", "--noheader").strip(), "the end of all jobs")
    assert expected in log.read_text()


def test_ssh(site, need, expected):
    need("ssh")
    port = start_servers(site)
    settings = site.folder / "home" / ".ssh"
    settings.mkdir(parents=True)
    key = (site.folder / "ssh" / "host.pub").read_text()
    (settings / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}")
    (settings / "config").write_text(
        textwrap.dedent(f"""\
            Host head node1 node2
                HostName 127.0.0.1
                Port {port}
                IdentityFile {site.folder}/ssh/user
        """)
    )
    printed = run_to_end(site, "python", "flights_ssh.py", HOME=str(settings.parent))
    assert expected in printed


def test_gateway(site, need, expected):
    need("gateway")
    address, proxy_address = start_gateway(site)
    printed = run_to_end(
        site, "python", "flights_gateway.py",
        DASK_GATEWAY__ADDRESS=address, DASK_GATEWAY__PROXY_ADDRESS=proxy_address,
    )  # fmt: skip
    assert expected in printed


def test_mpi(site, need, expected):
    need("mpi")
    words = ("mpirun", "--oversubscribe", "-n", "4", "python", "flights_mpi.py")
    assert expected in run_to_end(site, *words, **ENVIRONMENT)


def test_command_line(site, expected):
    script = site.away / "flights_dask.sh"
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    assert expected in run_to_end(site, script)
