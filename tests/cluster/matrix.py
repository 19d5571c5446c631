"""Run all tests of clusters, and write their table into docs/reliability.md.

    python tests/cluster/matrix.py [options of pytest]

`-k slurm` runs, and writes, those cells alone: the others keep what is there.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from importlib import metadata
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
DOCUMENT = FOLDER.parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- tests/cluster/matrix.py writes this table -->", "<!-- end of the table -->"

MANAGERS = {
    "slurm": "SLURM",
    "ssh": "SSH",
    "gateway": "Gateway",
    "mpi": "MPI",
    "plain": "command line",
    "tls": "command line, TLS",
}
DISTURBANCES = {
    "scaled": "two workers",
    "from_no_worker": "no worker at the start",
    "growing": "a second worker joins",
    "job_ended": "a job is killed",
    "lifetime": "`--lifetime` of 15 s",
    "time_limit": "the manager's time limit",
    "link_cut": "a host's link is cut",
    "resumed_elsewhere": "resumed on the next manager",
}
WORDS = {"passed": "same bits", "skipped": "not run", "failed": "**failed**"}


def run_tests(options):
    """Return the outcome of each test that ran, by disturbance and manager."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "worksteal", str(FOLDER)]
        ended = subprocess.run([*command, f"--junitxml={report}", *options], check=False)
        cases = list(ET.parse(report).iter("testcase"))
    return ended.returncode, {
        _split(case.get("name")): next(
            (child.tag for child in case if child.tag in ("skipped", "failure", "error")), "passed"
        )
        .replace("failure", "failed")
        .replace("error", "failed")
        for case in cases
    }


def _split(name):
    test, _, manager = name.removeprefix("test_").rstrip("]").partition("[")
    return test, manager or "slurm"


def read_table(text):
    """Return the cells that the document has, by disturbance and manager."""
    titles = {title: name for name, title in DISTURBANCES.items()}
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {
        (titles[title], manager): cell
        for title, *cells in rows
        if title in titles
        for manager, cell in zip(MANAGERS, cells, strict=True)
    }


def make_table(cells):
    yield "| | " + " | ".join(MANAGERS.values()) + " |"
    yield "| --- " * (len(MANAGERS) + 1) + "|"
    for disturbance, title in DISTURBANCES.items():
        row = [
            "–"  # it has none
            if disturbance == "time_limit" and manager != "slurm"
            else cells.get((disturbance, manager), "not run")
            for manager in MANAGERS
        ]
        yield f"| {title} | " + " | ".join(row) + " |"


def main():
    document = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = document.partition(BEGIN)
    table, _, after = rest.partition(END)
    code, outcomes = run_tests(sys.argv[1:])
    cells = read_table(table) if "-k" in sys.argv else {}
    cells |= {key: WORDS[outcome] for key, outcome in outcomes.items() if key[0] in DISTURBANCES}
    versions = ", ".join(
        f"{name} {metadata.version(name)}"
        for name in ("distributed", "dask-jobqueue", "dask-gateway", "dask-mpi", "asyncssh")
    )
    written = "\n".join(make_table(cells))
    day = dt.datetime.now(dt.UTC).strftime("%B %Y")
    written += f"\n\n{day}, {os.cpu_count()} cores, {versions}.\n"
    DOCUMENT.write_text(f"{before}{BEGIN}\n{written}{END}{after}", encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
