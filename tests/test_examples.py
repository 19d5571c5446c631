"""The examples and notebooks run as they stand, from any folder, and what they show is true."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

import taskinity_data as td

ROOT = Path(__file__).resolve().parents[1]
FLIGHTS = ROOT / "datasets" / "flights"


@pytest.fixture(scope="module")
def late():
    flights = pd.concat(
        [pd.read_parquet(path, columns=["carrier", "dep_delay"]) for path in FLIGHTS.iterdir()]
    )
    return flights[flights.dep_delay > 15].groupby("carrier").dep_delay.agg(["count", "mean"])


def test_flight_delays_is_right(late):
    flow = runpy.run_path(str(ROOT / "examples" / "flight_delays.py"))["flow"]
    run = td.run_flow(flow, data=FLIGHTS, scheduler="threads", workers=2)
    assert run.value.flights.tolist() == late["count"].tolist()
    assert run.value.mean_delay.tolist() == pytest.approx(late["mean"].tolist(), rel=1e-13)
    assert run.ledger.at["processed", "rows"] == 336_776


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_flight_delays_runs_by_its_command_line_from_another_folder(scheduler, tmp_path):
    command = [sys.executable, str(ROOT / "examples" / "flight_delays.py")]
    done = subprocess.run(
        [*command, "--workers", "2", "--scheduler", scheduler],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "336,776 planned = 336,776 processed" in done.stdout
    assert scheduler in done.stdout
    # The run alone, which can be listed and cleaned.
    assert [one.name for one in tmp_path.iterdir()] == [".taskinity"]


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.name)
def test_a_notebook_runs_from_top_to_bottom_and_is_stored_with_its_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in code)
    answer = code[-1].outputs[-1]["data"]["text/plain"]
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    assert code[-1].outputs[-1]["data"]["text/plain"] == answer
