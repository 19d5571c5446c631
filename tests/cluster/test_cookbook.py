"""The scripts of the cookbook's page, each on its manager."""

from __future__ import annotations

import json
import os
import stat
import sys
import textwrap
from importlib import metadata

import jsonschema
import pandas as pd
import pytest
import yaml
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
    environment = {"PATH": PATH, **environment}
    child = site.start(*words, log="printed.txt", **environment)
    wait_until(lambda: child.poll() is not None, words)
    printed = (site.folder / "printed.txt").read_text()
    assert child.returncode == 0, printed
    return printed


PBS = {
    "qsub": """\
#!/bin/sh
# The job's number is that of its process group; the script goes once this command has ended.
cp "$1" "$0.$$.job"
setsid bash "$0.$$.job" > "$0.$$.log" 2>&1 &
echo "$!.here"
""",
    "qdel": """\
#!/bin/sh
kill -- "-$1" 2> /dev/null || true
""",
}
"""PBS' commands, which run jobs at once and here."""


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


def test_pbs(site, need, expected):
    need("pbs")
    programs = site.folder / "programs"
    programs.mkdir()
    for name, text in PBS.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    path = os.pathsep.join([str(programs), PATH])
    assert expected in run_to_end(site, "python", "flights_pbs.py", PATH=path)
    assert len(list(programs.glob("*.job"))) > 0


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


def read_schema(kind):
    """The operator's schema of a kind of objects, with no fields but those that it names."""
    (path,) = [
        path
        for path in metadata.files("dask-kubernetes")
        if str(path).endswith(f"dask-kubernetes-operator/crds/{kind.lower()}.yaml")
    ]
    (version,) = yaml.safe_load(path.read_text())["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
    close(schema)
    return schema


def close(schema):
    """Let `schema`, and those within it, refuse other fields than theirs."""
    if isinstance(schema, list):
        for part in schema:
            close(part)
    elif isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            schema.setdefault("additionalProperties", False)
        for part in schema.values():
            close(part)


def test_kubernetes(site, need, expected):
    need("kubernetes")
    job, scaler = yaml.safe_load_all((site.away / "flights.yaml").read_text())
    for manifest in (job, scaler):
        jsonschema.validate(manifest, read_schema(manifest["kind"]))
    assert scaler["spec"]["cluster"] == job["metadata"]["name"]

    def command(spec):
        (container,) = spec["spec"]["containers"]
        return [word.replace("$(DASK_WORKER_NAME)", "flights-1") for word in container["command"]]

    cluster = job["spec"]["cluster"]["spec"]
    file = site.folder / "scheduler.json"
    where = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file)
    site.start(*command(cluster["scheduler"]), *where, PATH=PATH)
    wait_until(lambda: file.exists() and file.read_text(), "the scheduler file")
    address = {"DASK_SCHEDULER_ADDRESS": json.loads(file.read_text())["address"]}
    site.start(*command(cluster["worker"]), "--no-dashboard", PATH=PATH, **address)
    assert expected in run_to_end(site, *command(job["spec"]["job"]), **address)


def test_a_manifest_with_a_field_that_the_operator_does_not_know_is_refused(need):
    need("kubernetes")
    sizes = {"minimum": 1, "maximum": 2, "maxinum": 2}
    scaler = {"kind": "DaskAutoscaler", "spec": {"cluster": "flights", **sizes}}
    with pytest.raises(jsonschema.ValidationError, match="maxinum"):
        jsonschema.validate(scaler, read_schema("DaskAutoscaler"))
