"""Diagrams as others draw and read them: Mermaid's own parser from npm, and Chromium."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import tarfile
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from browser import Browser

from taskinity_data.flow.diagram.layout import Gaps, NodeSize, lay_out
from taskinity_data.flow.flow import Flow
from taskinity_data.flow.language.parser import parse_flow
from taskinity_data.flow.model import Task
from taskinity_data.policy import Policy

pytestmark = pytest.mark.thorough

MERMAID = "12.3.0"
DIGEST = "4113TdXeLAsMruJ79OpFL5O8+LTFXhQqZ260rF3tgUmiNAtRm4Uume04I+65PRN6yZ69J4f8rVYWW8zRk65UYw=="

HOSTILE = (
    "<script>alert(1)</script>", '"quoted" & <b>bold</b>', "&lt;&amp;]]>", "\"'`--%>",
    '"]; click n0 href "javascript:alert(1)"', "%%{init: {'securityLevel': 'loose'}}%%", "end",
    "a; b", "1. a list", "- x", "*a* _b_", "#35; {x} [y] (z) |a| \\n", "ü 漢字 🚀 \u202eabc",
    "A --> B",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def mermaid(browser, pytestconfig, tmp_path_factory):
    """A page that knows Mermaid, whose bundle npm brings once; a call of JavaScript as a value."""
    script = pytestconfig.cache.mkdir(f"mermaid-{MERMAID}") / "mermaid.min.js"
    if not script.exists():
        fetch_mermaid(script)
    page_file = tmp_path_factory.mktemp("mermaid") / "page.html"
    page_file.write_text(
        f'<!doctype html><meta charset="utf-8"><script src="{script.as_uri()}"></script>'
        "<script>mermaid.initialize({startOnLoad: false})</script>"
    )
    page = browser.open(page_file.as_uri())

    def ask(function, argument):
        said = page.call(
            "Runtime.evaluate",
            expression=f"({function})({json.dumps(argument)})",
            returnByValue=True,
            awaitPromise=True,
        )
        assert "exceptionDetails" not in said, said
        return said["result"]["value"]

    return ask


def fetch_mermaid(script):
    npm = shutil.which("npm")
    if npm is None:
        apt = shutil.which("apt-get")
        if apt is None or os.geteuid() != 0:
            raise RuntimeError("the tests of Mermaid need npm: apt-get install npm")
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", "npm"]):
            subprocess.run([apt, "-qq", *command], check=True, env=quiet, stdout=subprocess.DEVNULL)
        npm = shutil.which("npm")
    with tempfile.TemporaryDirectory() as folder:
        pack = [npm, "pack", "--silent", f"mermaid@{MERMAID}"]
        subprocess.run(pack, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        packed = Path(folder) / f"mermaid-{MERMAID}.tgz"
        assert base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode() == DIGEST
        with tarfile.open(packed) as archive:
            archive.extract("package/dist/mermaid.min.js", folder, filter="data")
        staged = script.with_suffix(".part")
        shutil.copyfile(Path(folder) / "package" / "dist" / "mermaid.min.js", staged)
        staged.replace(script)


# --- Mermaid --------------------------------------------------------------------------------------

PARSE = """async texts => {
    const told = [];
    for (const text of texts) {
        try { told.push((await mermaid.parse(text)).diagramType) }
        catch (error) { told.push(String(error)) }
    }
    return told
}"""

DRAW = """async texts => {
    const told = [];
    for (const text of texts) {
        document.body.innerHTML = (await mermaid.render("drawn", text)).svg;
        const read = name => [...document.querySelectorAll(name)];
        told.push({
            labels: read(".nodeLabel").map(node => node.innerText),
            edges: read("path.flowchart-link").length,
            others: read("svg :is(script, a, b, img, strong, em)").map(one => one.outerHTML),
        })
    }
    return told
}"""


def with_description(text):
    tasks = (Task("A", text, width=2, policy=Policy(retries=1)), Task("end", text))
    return Flow("F", text, tasks, (("A", "end"),))


def test_mermaids_parser_takes_any_description(mermaid):
    letters = random.Random(7)
    alphabet = "ab1 \"'`<>&;:%#{}[]()|\\/-=.*_~@^$!?,\nü漢🚀"
    texts = ["".join(letters.choices(alphabet, k=letters.randint(1, 60))) for _ in range(300)]
    drawn = [with_description(text).to_mermaid() for text in [*HOSTILE, *texts]]
    assert [told for told in mermaid(PARSE, drawn) if told != "flowchart-v2"] == []
    # It would tell: this is the oracle at work.
    assert "Error" in mermaid(PARSE, ['flowchart TD\n    n0["a" b"]'])[0]


def test_mermaid_draws_each_hostile_text_as_that_text_and_nothing_else(mermaid):
    drawn = mermaid(DRAW, [with_description(text).to_mermaid() for text in HOSTILE])
    for text, told in zip(HOSTILE, drawn, strict=True):
        seen = " ".join(text.replace("\u202e", " ").split())
        labels = [" ".join(label.replace("\u2060", "").split()) for label in told["labels"]]
        assert labels == [f"A ×2 {seen} 1 retry", f"end {seen}"]
        assert (told["edges"], told["others"]) == (1, [])


def test_mermaid_draws_the_tasks_and_edges_of_a_flow_that_is_full(mermaid):
    flow = parse_flow(FULL)
    (told,) = mermaid(DRAW, [flow.to_mermaid()])
    names = [label.split("\n")[0] for label in told["labels"]]
    assert names == ["Fetch", "Weather", "Clean [*]", "Join", "Chunk ×3", "Report", "Lenient"]
    assert told["edges"] == 6


# --- SVG in Chromium ------------------------------------------------------------------------------

FULL = """
flow Full:
    description: "All that a drawing shows"
    task Fetch:
        description: "What a service says, when it says something: a description of several lines"
        retries: 3
        timeout: 2.5s
    task Clean[*]:
        description: "Rows that make sense"
        retries: 1
        on_error: Lenient
    task Lenient:
        description: "Rows that nearly do"
    task Join:
        on_error: skip
    [Fetch, Weather] -> Clean[*] -> Join -> [Chunk1, Chunk2, Chunk3] -> Report
    Weather -> Report
"""

MEASURE = """() => {
    const svg = document.querySelector("svg.taskinity-flow");
    const box = one => { const r = one.getBoundingClientRect();
                         return [r.left, r.top, r.right, r.bottom] };
    const least = Math.min(...[...svg.querySelectorAll("text")].map(one =>
        parseFloat(getComputedStyle(one).fontSize) * one.getScreenCTM().a));
    return {
        least,
        width: document.scrollingElement.scrollWidth,
        groups: [...svg.querySelectorAll("g > g")].map(group => ({
            rects: [...group.querySelectorAll("rect")].map(box),
            texts: [...group.querySelectorAll("text")].map(box),
        })),
    }
}"""


def shown(browser, flow, path, width=1100):
    path.write_text(
        f'<!doctype html><meta charset="utf-8"><body>{flow._repr_html_()}', encoding="utf-8"
    )
    page = browser.open(path.as_uri())
    page.show(width=width)
    assert page.messages == []
    return page.evaluate(f"({MEASURE})()")


def test_every_text_of_a_drawing_stands_inside_its_box_in_a_browser(browser, tmp_path):
    seen = shown(browser, parse_flow(FULL), tmp_path / "full.html")
    assert len(seen["groups"]) == 7
    for group in seen["groups"]:
        left, top, right, bottom = group["rects"][-1]  # the front sheet
        for x1, y1, x2, y2 in group["texts"]:
            assert left < x1 < x2 < right
            assert top < y1 < y2 < bottom


def words(count):
    """Names that number no siblings."""
    return ["".join(chr(97 + int(digit)) for digit in f"{n:04}") for n in range(count)]


def usual_flows():
    names, shuffled = words(200), random.Random(1)
    tree = [(names[(n - 1) // 3], names[n]) for n in range(1, 200)]
    meeting = [(names[n], names[(n - 1) // 2]) for n in range(199, 0, -1)]
    chains, wide = [], []
    for first in range(0, 198, 9):
        steps = ["start", *names[first : first + 9], "finish"]
        chains += pairwise(steps)
    for first in range(0, 160, 9):
        *sources, join, a, b, c, told = names[first : first + 9]
        wide += [("catalogue", one) for one in sources] + [(one, join) for one in sources]
        wide += [(join, one) for one in (a, b, c)] + [(one, told) for one in (a, b, c)]
        wide += [(told, "summary")]
    skips = [*pairwise(names)]
    skips += [(names[n], names[n + 5]) for n in range(0, 190, 5)]
    edges = {"tree": tree, "meeting": meeting, "chains": chains, "wide": wide, "skips": skips}
    for name, found in list(edges.items()):
        edges[f"{name}, told in any order"] = shuffled.sample(found, len(found))
    return edges


@pytest.mark.parametrize("name", usual_flows())
def test_the_lines_of_a_usual_flow_of_200_tasks_never_cross(name):
    edges = usual_flows()[name]
    sizes = dict.fromkeys((one for edge in edges for one in edge), NodeSize(100, 34))
    assert len(sizes) >= 160
    layout = lay_out(sizes, edges, Gaps(28, 44, 16))
    lines = [(layout.boxes[link.source], layout.boxes[link.target]) for link in layout.links]
    by_layer = {}
    for source, target in lines:
        by_layer.setdefault(source.y, []).append((source.middle, target.middle))
    for ends in by_layer.values():
        for number, (a, b) in enumerate(ends):
            assert not [1 for c, d in ends[number + 1 :] if (a - c) * (b - d) < 0]


@pytest.mark.parametrize("name", ["tree", "chains"])
def test_a_drawing_of_200_tasks_can_be_read_and_scrolls_in_a_part_of_its_own(
    browser, tmp_path, name
):
    edges = usual_flows()[name]
    tasks = tuple(Task(one, "what it does") for one in dict.fromkeys(sum(edges, ())))
    seen = shown(browser, Flow("Large", None, tasks, tuple(edges)), tmp_path / "large.html")
    assert len(seen["groups"]) == len(tasks) >= 199
    assert seen["least"] >= 8.9  # pixels of the smallest text
    assert seen["width"] <= 1100


def test_policies_are_shown_small_where_there_are_any():
    svg = parse_flow(FULL).to_svg()
    told = re.findall(r'<text class="policy"[^>]*>([^<]*)</text>', svg)
    assert told == ["3 retries · timeout 2.5 s", "1 retry · or Lenient", "skip"]
    assert "│ 1 retry · or Lenient  │" in parse_flow(FULL).to_ascii()
