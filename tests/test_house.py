"""The documents that say where things are name files and folders that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "taskinity_data"
DOCUMENTS = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "design" / "house.md"]
MOST_FILES = 16


def named_paths(text):
    """Paths in backticks: files with a suffix, and folders with a slash at the end."""
    return [
        path
        for path in re.findall(r"`([\w.-]+(?:/[\w.-]+)*/?)`", text)
        if re.search(r"\.(py|jinja|md|toml)$|/$", path)
    ]


def drawn_folders(text):
    """Folders of the tree, each as a path below the package."""
    tree = re.search(r"```\n(taskinity_data/.*?)```", text, re.DOTALL)
    above = []
    for line in tree[1].splitlines()[1:] if tree else ():
        indent, name = re.match(r"([│├└─ ]*)([\w/]+)/ ", line).groups()
        above[len(indent) // 4 - 1 :] = [name]
        yield "/".join(above)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_that_a_document_names_exists(document):
    paths = named_paths(document.read_text(encoding="utf-8"))
    assert paths
    for path in paths:
        homes = [ROOT / path, PACKAGE / path, document.parent / path]
        assert any(home.exists() for home in homes), f"{document.name} names {path}"


def test_the_tree_shows_every_folder_down_to_the_second_level():
    drawn = set(drawn_folders((ROOT / "docs" / "design" / "house.md").read_text(encoding="utf-8")))
    there = {str(path.parent.relative_to(PACKAGE)) for path in PACKAGE.rglob("__init__.py")} - {"."}
    assert drawn == {path for path in there if path.count("/") < 2}


def test_no_folder_has_more_files_than_a_reader_takes_in():
    for folder in {path.parent for path in PACKAGE.rglob("*.py")}:
        files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= MOST_FILES, f"{folder.relative_to(PACKAGE)}: {sorted(files)}"
