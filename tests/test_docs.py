"""What the documents point at exists, and what they advise is what the tools say."""

import re
import runpy
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "examples" / "README.md",
    ROOT / "benchmarks" / "README.md", ROOT / "datasets" / "README.md",
]  # fmt: skip
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors_of(path):
    """The names that headings have as targets of links, as forges make them."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    shown = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in shown}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_document_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors_of(target), link


def test_the_table_of_the_readme_is_that_of_the_results():
    script = runpy.run_path(str(ROOT / "benchmarks" / "readme_table.py"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = script["make_table"](script["RESULTS"].read_text(encoding="utf-8"))
    assert script["TABLE"].search(text)[0] == table, "run benchmarks/readme_table.py"
    results = script["RESULTS"].read_text(encoding="utf-8")
    first = re.search(r"## W1.*?taskinity_data \| ([\d.]+)", results, re.DOTALL)[1]
    assert f"| {first} |" in table


def test_the_guide_says_what_makes_which_function_faster():
    path = ROOT / "docs" / "guide" / "slow-or-too-large.md"
    section = path.read_text(encoding="utf-8")
    rows = {row.split("|")[1].strip(): row for row in section.splitlines() if row.startswith("|")}
    assert 'scheduler="processes"' in rows["computes in Python"]
    assert "more do not help" in rows["computes in Python"]
    assert 'scheduler="threads"' in rows["computes in pandas or Arrow"]
    waits = rows["waits for a disk or a service"]
    assert "more `workers` than cores" in waits
    assert re.search(r'chunk_size="\d+ rows"', waits)


def test_the_pictures_of_the_documents_are_small_and_each_is_shown():
    text = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    sizes = [path.stat().st_size for path in (ROOT / "docs" / "pictures").iterdir()]
    for path in (ROOT / "docs" / "pictures").iterdir():
        assert f"docs/pictures/{path.name})" in text
        assert path.read_bytes().startswith(b"\x89PNG")
    assert max(sizes) < 150_000
    assert sum(sizes) < 1_000_000
