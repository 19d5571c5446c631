"""Makes the pictures of docs/pictures from real runs: in a terminal, a notebook, and a browser.

python docs/screenshots.py [terminal] [notebook] [reports] [flow] [dashboard]

It needs Debian's Chromium (see tests/support/browser.py) and Pillow, and takes some two minutes.
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
from urllib.request import urlopen

import nbformat
import pandas as pd
from distributed import Client, LocalCluster
from PIL import Image
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

import taskinity_data as td
from taskinity_data.events import DASHBOARD_PAGE
from taskinity_data.report.palette import TONES

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
    """All pictures, or those that are named, and how large they are."""
    PICTURES.mkdir(exist_ok=True)
    makers = {
        "terminal": shoot_terminal, "notebook": shoot_notebook, "reports": shoot_reports,
        "flow": shoot_flow, "dashboard": shoot_dashboard,
    }  # fmt: skip
    with Browser() as browser, tempfile.TemporaryDirectory() as name:
        for maker in sys.argv[1:] or makers:
            makers[maker](browser, Path(name))
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
    theme = TerminalTheme((22, 24, 29), (216, 222, 233), [*map(rgb_of, ANSI)], None)
    return console.export_html(theme=theme, inline_styles=True, code_format="{code}").rstrip()


ANSI = ("idle", "bad", "good", "attention", "running", "again", "running", "idle")
"""Tones for black, red, green, yellow, blue, magenta, cyan and white of a terminal."""


def rgb_of(tone):
    """The red, green and blue of a tone on a dark page."""
    return tuple(bytes.fromhex(TONES[tone].dark_ink[1:]))


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

FLOW = td.load_flow(ROOT / "examples" / "flight_delays.flow")

EIGHT = """flow Punctuality:
    LoadFlights -> Clean[*] -> [ByCarrier, ByMonth]
    [ByCarrier, LoadAirlines] -> Name
    [Name, ByMonth] -> Draw -> Publish
    task Publish:
        on_error: skip
"""


def late(chunk):
    """The flights that left late."""
    return chunk[chunk["dep_delay"] > 15]


def check(chunk):
    """Fails on 30 chunks of 2,000 or so, in two ways."""
    if (chunk["dep_delay"] > 700).any():
        raise ValueError(f"departure {int(chunk['dep_delay'].max()) // 60} hours late")
    if (chunk["air_time"] > 685).any():
        raise KeyError("gate")
    return chunk


def shoot_reports(browser, folder):
    """Reports: of 10 chunks; of 2,000 with 30 failures; of 8 tasks; and on a phone."""
    kept = {"progress": False, "run_dir": folder / "runs", "scheduler": "threads", "workers": 2}
    delays = td.group_by("carrier", late=("dep_delay", "count"), mean=("dep_delay", "mean"))
    ten = td.process(FLIGHTS, late, reduce=delays, chunk_size="35_000 rows", **kept)
    many = td.process(
        FLIGHTS, check, reduce=td.group_by("carrier", flights=("dep_delay", "count")),
        chunk_size="168 rows", on_error="skip", retries=1, retry_delay=0.01,
        retry_on=ValueError, **kept,
    )  # fmt: skip
    pages = {
        "report": (ten, None, 1_000, 1_150),
        "report-failures": (many, None, 1_000, 1_040),
        "report-tasks": (run_eight(kept | {"workers": 4}), "flow", 1_000, 1_100),
        "report-phone": (many, None, 390, 1_040),
    }
    for name, (run, section, width, height) in pages.items():
        page = browser.open(run.report(folder / f"{name}.html").as_uri())
        page.call("Emulation.setScrollbarsHidden", hidden=True)
        page.show(width=width, height=height)
        if section:
            page.evaluate(f"document.getElementById('{section}').scrollIntoView()")
        save(page, name, width, height)


def run_eight(options):
    """A flow of eight tasks, of which the last fails and is skipped."""

    def publish(draw):
        assert draw
        raise PermissionError(13, "Permission denied", "public/punctuality.html")

    def wait(seconds, value):
        time.sleep(seconds)
        return value

    flow = td.parse_flow(EIGHT).bind(
        {
            "load_flights": lambda: td.open_dataset(FLIGHTS),
            "load_airlines": lambda: wait(0.6, pd.Series({"UA": "United", "AA": "American"})),
            "clean": lambda chunk: wait(0.2, chunk[["carrier", "month", "dep_delay"]].dropna()),
            "by_carrier": lambda clean: pd.concat(clean).groupby("carrier")["dep_delay"].mean(),
            "by_month": lambda clean: pd.concat(clean).groupby("month")["dep_delay"].mean(),
            "name": lambda by_carrier, load_airlines: by_carrier.rename(load_airlines),
            "draw": lambda name, by_month: wait(0.4, len(name) + len(by_month)),
            "publish": publish,
        }
    )
    return td.run_flow(flow, chunk_size="30_000 rows", **options)


def shoot_flow(browser, folder):
    """The flow of the example, as SVG."""
    shoot(browser, folder, "flow", FLOW.to_svg(), width=340)


def shoot_dashboard(browser, folder):
    """The page on Dask's dashboard: at 1 %, half-way, half-way and dark, at the end."""
    gate = folder / "gate"

    def check_slowly(chunk):
        first = chunk.iloc[0]
        end = time.monotonic() + 5  # chunks before it may come back with it
        while (first["month"], first["day"]) > (1, 4) and not gate.exists():
            time.sleep(0.05)
            if time.monotonic() > end:
                break
        time.sleep(0.1)
        return check(chunk)

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        options = {
            "scheduler": client, "chunk_size": "1_500 rows", "on_error": "skip", "retries": 1,
            "retry_delay": 0.5, "reduce": td.group_by("carrier", flights=("dep_delay", "count")),
            "progress": False,
        }  # fmt: skip
        thread = threading.Thread(target=td.process, args=(FLIGHTS, check_slowly), kwargs=options)
        thread.start()
        # Dask's menu has the page once it is there: the run that is shown has brought it.
        while "taskinity" not in urlopen(client.dashboard_link).read().decode():  # noqa: S310
            time.sleep(0.2)
        page = browser.open(client.dashboard_link.replace("/status", DASHBOARD_PAGE))
        page.show(width=1_200, height=940)
        for name, percent, is_dark in (
            ("dashboard-start", 1, False), ("dashboard", 50, False), ("dashboard-dark", 55, True),
            ("dashboard-end", 100, False),
        ):  # fmt: skip
            page.show(width=1_200, height=940, is_dark=is_dark)
            while thread.is_alive() and page.evaluate(PERCENT) < percent:
                time.sleep(0.2)
            if percent == 100:
                thread.join()
            time.sleep(1.5)  # until the page has drawn it
            save(page, name, 1_200, 940, is_dark=is_dark)
            gate.touch()


PERCENT = """(() => {
    const walk = node => {
        for (const child of node.children || []) {
            const text = child.id == "taskinity-head" ? child.innerText : walk(child);
            const found = text || (child.shadowRoot ? walk(child.shadowRoot) : "");
            if (found) return found;
        }
        return "";
    };
    return Number((walk(document.body).match(/(\\d+) %/) || [0, 0])[1]);
})()"""


def shoot(browser, folder, name, body, width, most=2_000):
    """A page with `body`, as high as it is, but for `most` pixels."""
    path = folder / f"{name}.html"
    path.write_text(f"{PAGE}{body}", encoding="utf-8")
    page = browser.open(path.as_uri())
    page.call("Emulation.setScrollbarsHidden", hidden=True)
    page.show(width=width, height=100)
    high = min(page.evaluate("document.scrollingElement.scrollHeight"), most)
    save(page, name, width, high)


def save(page, name, width, height, *, is_dark=False):
    """What is seen of a page, as PNG of few colours."""
    page.call("Emulation.setScrollbarsHidden", hidden=True)
    page.show(width=width, height=height, is_dark=is_dark)
    temporary = f"{re.escape(tempfile.gettempdir())}/tmp[a-z0-9_]+/"
    private = [(f"{ROOT}/", ""), (temporary, ""), (rf"\b{socket.gethostname()}:(?=\d)", "machine:")]
    page.evaluate(f"({SCRUB})({json.dumps(private)})")
    path = PICTURES / f"{name}.png"
    page.screenshot(path, is_whole=False)
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
