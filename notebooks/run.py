"""Runs the notebooks from top to bottom, and stores them with their outputs.

python notebooks/run.py [NAME.ipynb ...]
"""

import re
import socket
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent


def run_notebook(path):
    """The notebook of `path` as text, with the outputs of a kernel of its own."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(HERE)}},
    )
    return without_this_machine(nbformat.writes(client.execute()))


def without_this_machine(text):
    """`text` with paths as in a checkout, and neither temporary folders nor the host's name."""
    text = text.replace(f"{HERE.parent}/", "")
    text = re.sub(rf"{re.escape(tempfile.gettempdir())}/tmp\w+/", "", text)
    return re.sub(rf"\b{re.escape(socket.gethostname())}:(?=\d)", "machine:", text)


def main():
    for path in [HERE / name for name in sys.argv[1:]] or sorted(HERE.glob("*.ipynb")):
        path.write_text(run_notebook(path) + "\n", encoding="utf-8")
        print(path.name)


if __name__ == "__main__":
    main()
