"""Makes the pictures of docs/pictures from real runs: in a terminal, a notebook, and a browser.

python docs/screenshots.py

It needs Debian's Chromium (see tests/support/browser.py), and takes about a minute.
"""

import json
import os
import pty
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
from html import escape
from pathlib import Path

import nbformat
from distributed import Client, LocalCluster
from rich.console import Console
from rich.text import Text

import taskinity_data as td

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
FLIGHTS = ROOT / "datasets" / "flights"
COLUMNS = 100

sys.path.insert(0, str(ROOT / "tests" / "support"))
from browser import Browser  # noqa: E402 - it lies with the tests

PAGE = """<!doctype html><meta charset="utf-8"><style>
body{margin:0;padding:20px;font:14px/1.45 system-ui,sans-serif;color:#1b2430;background:#fff}
pre{font:12.5px/1.4 ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;margin:0}
pre.shell{background:#16181d;color:#d8dee9;padding:16px;border-radius:8px}
.in{background:#f5f7fa;border:1px solid #dde3ea;padding:8px 12px;margin:14px 0 8px}
.out{padding:0 12px} table{border-collapse:collapse} td,th{padding:2px 8px;text-align:left}
</style><body>"""

# What rich sends to redraw its bars: up some lines, clear one, hide or show the cursor.
MOVE = re.compile(r"\x1b\[(\d*)A|\x1b\[2K|\x1b\[\?25[lh]|\r\n?|\n|(?:\x1b\[[\d;]*m|[^\x1b\r\n])+")


# Texts of the page without paths and the host of this machine, in shadow trees too.
SCRUB = """rules => {
    const walk = node => {
        if (node.shadowRoot) walk(node.shadowRoot);
        for (const child of node.childNodes) {
            if (child.nodeType == Node.TEXT_NODE)
                for (const [from, to] of rules)
                    child.data = child.data.replace(new RegExp(from, "g"), to);
            walk(child);
        }
    };
    walk(document.body);
}"""


def main():
    """All pictures, and how large they are."""
    PICTURES.mkdir(exist_ok=True)
    with Browser() as browser, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shoot_terminal(browser, folder)
        shoot_notebook(browser, folder)
        shoot_report(browser, folder)
        shoot_flow(browser, folder)
        shoot_dashboard(browser)
    for path in sorted(PICTURES.glob("*.png")):
        print(f"{path.name}: {path.stat().st_size / 1_000:.0f} kB")


# --- a terminal -----------------------------------------------------------------------------------


def shoot_terminal(browser, folder):
    """A run of the command line: its bars half-way, and what it says at the end."""
    command = [
        "taskinity-data", "run", "examples/flight_delays.py", "--input", "data=datasets/flights",
        "--chunk-size", "3_000 rows",
    ]  # fmt: skip
    said = read_terminal(command, folder)
    frames = [text for text in said if re.search(r"ProcessChunk.*\b[456]\d%", text)]
    half = frames[0] if frames else said[len(said) // 2]
    texts = [f"$ {shlex.join(command)}\n{half}", "", said[-1]]
    html = "\n".join(to_html(text) for text in texts)
    shoot(browser, folder, "terminal", f'<pre class="shell">{html}</pre>', width=COLUMNS * 8 + 72)


def read_terminal(command, folder):
    """What the screen of a terminal shows after each piece that `command` writes to it."""
    for link in ("examples", "datasets"):
        (folder / link).symlink_to(ROOT / link)
    ours, its = pty.openpty()
    bin_folder = Path(sys.executable).parent
    environment = {
        **os.environ, "COLUMNS": str(COLUMNS), "LINES": "50", "TERM": "xterm-256color",
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    program = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=its, stdout=its, stderr=its
    )
    os.close(its)
    lines, row, screens = [""], 0, []
    while True:
        try:
            piece = os.read(ours, 65_536).decode("utf-8", "replace")
        except OSError:  # the other end has gone: all was read
            break
        for found in MOVE.finditer(piece):
            row = draw(found, lines, row)
        screens.append("\n".join(lines).rstrip())
    os.close(ours)
    assert program.wait() == 0, screens[-1]
    return screens


def draw(found, lines, row):
    """One move of the cursor, or one text, on `lines`; the row that the cursor is in then."""
    text = found[0]
    if text.startswith("\x1b[") and text.endswith("A"):
        return max(0, row - int(found[1] or 1))
    if text == "\x1b[2K":
        lines[row] = ""
    elif text.startswith(("\r", "\n")):
        row += text.count("\n")
        lines += [""] * (row + 1 - len(lines))
    elif not text.startswith("\x1b[?"):
        lines[row] += text
    return row


def to_html(text):
    """A terminal's text, colours included, as HTML."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(Text.from_ansi(text), soft_wrap=True)
    return console.export_html(inline_styles=True, code_format="{code}").rstrip()


# --- a notebook -----------------------------------------------------------------------------------


def shoot_notebook(browser, folder):
    """The first cells of a stored notebook, as Jupyter shows them."""
    notebook = nbformat.read(ROOT / "notebooks" / "02_your_own_flow.ipynb", as_version=4)
    parts = []
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in (code[0], code[3]):
        parts.append(f'<pre class="in">{escape(cell.source)}</pre>')
        for output in cell.outputs:
            data = output.get("data", {"text/plain": output.get("text", "")})
            html = data.get("text/html") or f"<pre>{escape(data['text/plain'])}</pre>"
            parts.append(f'<div class="out">{html}</div>')
    shoot(browser, folder, "notebook", "".join(parts), width=860, most=1_250)


# --- pages ----------------------------------------------------------------------------------------


def late(chunk):
    """Fails on one row of the 336,776."""
    if (chunk["dep_delay"] > 1_200).any():
        raise ValueError("more than twenty hours late")
    return chunk[chunk["dep_delay"] > 15]


def late_slowly(chunk):
    """As `late`, so that the run can be looked at."""
    time.sleep(0.2)
    return late(chunk)


FLOW = td.load_flow(ROOT / "examples" / "flight_delays.flow")


def run_flow(function, **options):
    """Run the flow of the example, with `function` for its chunks."""
    functions = {
        "data_preparation": td.open_dataset,
        "process_chunk": td.task(function, on_error="skip"),
        "aggregate_results": td.group_by("carrier", flights=("dep_delay", "count")),
    }
    return td.run_flow(FLOW.bind(functions), inputs={"source": FLIGHTS}, progress=False, **options)


def shoot_report(browser, folder):
    """A part of the report of a run: the flow with its times, the workers over time."""
    run = run_flow(late, workers=2, chunk_size="8_000 rows", scheduler="threads")
    page = browser.open(run.report(folder / "report.html").as_uri())
    page.call("Emulation.setScrollbarsHidden", hidden=True)
    page.show(width=1_000, height=800)
    page.evaluate(
        "[...document.querySelectorAll('h2')].find(one => one.innerText == 'Flow').scrollIntoView()"
    )
    save(page, "report", 1_000, 800)


def shoot_flow(browser, folder):
    """The flow of the example, as SVG."""
    shoot(browser, folder, "flow", FLOW.to_svg(), width=340)


def shoot_dashboard(browser):
    """The page on Dask's dashboard, when half of the chunks have ended."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        options = {"scheduler": client, "chunk_size": "2_500 rows"}
        thread = threading.Thread(target=run_flow, args=(late_slowly,), kwargs=options)
        thread.start()
        while not (page := find_page(browser, client)) and thread.is_alive():
            time.sleep(0.5)
        page.show(width=1_200, height=960)
        time.sleep(8)
        save(page, "dashboard", 1_200, 960)
        thread.join()


def find_page(browser, client):
    """Our page, once it is there: the run that is shown has brought it."""
    page = browser.open(client.dashboard_link.replace("/status", "/taskinity"))
    return page if page.evaluate("document.title") and "404" not in page.evaluate(
        "document.body.innerText"
    ) else None  # fmt: skip


def shoot(browser, folder, name, body, width, most=2_000):
    """A page with `body`, as high as it is, but for `most` pixels."""
    path = folder / f"{name}.html"
    path.write_text(f"{PAGE}{body}", encoding="utf-8")
    page = browser.open(path.as_uri())
    page.call("Emulation.setScrollbarsHidden", hidden=True)
    page.show(width=width, height=100)
    high = min(page.evaluate("document.scrollingElement.scrollHeight"), most)
    save(page, name, width, high)


def save(page, name, width, height):
    """What is seen of a page, as PNG."""
    page.call("Emulation.setScrollbarsHidden", hidden=True)
    page.show(width=width, height=height)
    temporary = f"{re.escape(tempfile.gettempdir())}/tmp[a-z0-9_]+/"
    private = [(f"{ROOT}/", ""), (temporary, ""), (rf"\b{socket.gethostname()}:(?=\d)", "machine:")]
    page.evaluate(f"({SCRUB})({json.dumps(private)})")
    page.screenshot(PICTURES / f"{name}.png", is_whole=False)


if __name__ == "__main__":
    main()
