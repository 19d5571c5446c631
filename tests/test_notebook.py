"""Flows in real notebooks: functions that stand in cells, and the notebooks stored here."""

from __future__ import annotations

import re
import runpy
import socket
import tempfile
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.thorough

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
STORED = sorted(NOTEBOOKS.glob("*.ipynb"))
FLIGHTS = NOTEBOOKS.parent / "datasets" / "flights"

FLOW = '''
import taskinity_data as td

flow = td.parse_flow("""
flow Delays:
    DataPreparation -> ProcessChunk[*] -> AggregateResults
""")

OFFSET = 1

def data_preparation(data):
    return td.open_dataset(data, chunk_size="500 rows")

def process_chunk(chunk):
    return int(chunk.n.sum()) + OFFSET

def aggregate_results(results):
    return sum(results), len(results)
'''

RUN = """
bound = flow.bind([data_preparation, process_chunk, aggregate_results])
run = td.run_flow(bound, scheduler="processes", workers=2, data=PATH)
run.value
"""


def run_notebook(cells, tmp_path):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(text) for text in cells]
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    return notebook.cells


def output_of(cell):
    return next(o for o in cell.outputs if o.output_type == "execute_result").data["text/plain"]


def test_functions_of_cells_run_on_processes_and_a_changed_one_is_the_new_one(tmp_path):
    frame = pd.DataFrame({"n": range(2000)})
    frame.to_csv(tmp_path / "n.csv", index=False)
    path = str(tmp_path / "n.csv")
    cells = run_notebook(
        [
            FLOW,
            RUN.replace("PATH", repr(path)),
            "def process_chunk(chunk):\n    return -int(chunk.n.sum())",
            RUN.replace("PATH", repr(path)),
            "run",
            "flow",
            "run.plan",
        ],
        tmp_path,
    )
    total = int(frame.n.sum())
    assert output_of(cells[1]) == str((total + 4, 4))
    assert output_of(cells[3]) == str((-total, 4))
    for cell in cells[4:]:
        shown = next(o for o in cell.outputs if o.output_type == "execute_result").data
        assert "<" in shown["text/html"]
    assert "COMPLETED" in "".join(
        str(o.data.get("text/html", "")) for o in cells[4].outputs if "data" in o
    )


# --- notebooks/ -----------------------------------------------------------------------------------


def texts_of(notebook):
    """What each code cell says as plain text: what it prints, then its value; no warnings."""
    said = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            outputs = [
                one
                for one in cell.outputs
                if one.output_type != "display_data" and one.get("name") != "stderr"
            ]
            said.append("".join(one.get("text") or one.data["text/plain"] for one in outputs))
    return said


@pytest.fixture(scope="module")
def ran():
    """Runs a stored notebook from top to bottom as `notebooks/run.py` does, once."""
    run_notebook = runpy.run_path(str(NOTEBOOKS / "run.py"))["run_notebook"]
    known = {}

    def run(name):
        if name not in known:
            known[name] = texts_of(nbformat.reads(run_notebook(NOTEBOOKS / name), as_version=4))
        return known[name]

    return run


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.name)
def test_a_notebook_runs_from_top_to_bottom_to_the_answers_that_are_stored(path, ran):
    stored = texts_of(nbformat.read(path, as_version=4))
    timed = re.compile(r"\d (ns|µs|ms|s)\b|Run\(|tcp:|kept in|were reused")
    same = [(a, b) for a, b in zip(ran(path.name), stored, strict=True) if not timed.search(b)]
    assert len(same) >= len(stored) - 3
    for now, then in same:
        assert now == then
    assert stored[-1]


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.name)
def test_a_notebook_is_stored_with_outputs_and_without_the_machine_that_it_ran_on(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert sum(bool(cell.outputs) for cell in code) >= len(code) / 2
    text = path.read_text(encoding="utf-8")
    for private in (str(NOTEBOOKS.parent), tempfile.gettempdir(), f"{socket.gethostname()}:"):
        assert private not in text
    assert not re.search(r"/home/|/root/|/Users/|Traceback|\\u001b", text)


def test_what_the_notebooks_go_on_from_and_what_their_changed_functions_give_is_right(ran):
    flights = pd.concat(
        [pd.read_parquet(one, columns=["carrier", "dep_delay"]) for one in FLIGHTS.iterdir()]
    )
    names = pd.read_csv(FLIGHTS.parent / "airlines.csv").set_index("carrier")["name"]
    means = flights[flights.dep_delay > 0].groupby("carrier")["dep_delay"].mean()
    in_processes = next(text for text in ran("02_your_own_flow.ipynb") if "SkyWest" in text)
    for name, mean in means.rename(names).nlargest(5).round(1).items():
        assert re.search(rf"{name} +{mean}\n", in_processes)
    assert f"COMPLETED {flights.dep_delay.sum():,.0f}" in "".join(ran("03_when_chunks_fail.ipynb"))
    on_a_cluster = "".join(ran("05_out_to_a_cluster.ipynb"))
    assert f"{(flights.dep_delay > 15).sum():,} flights were late" in on_a_cluster
    assert f"{(flights.dep_delay > 60).sum():,} of them by more than an hour" in on_a_cluster
