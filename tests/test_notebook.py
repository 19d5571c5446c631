"""A flow in a real notebook: functions that stand in cells, on this machine's processes."""

from __future__ import annotations

import nbformat
import pandas as pd
from nbclient import NotebookClient

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
