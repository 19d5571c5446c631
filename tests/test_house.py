"""The documents that say where things are name files and folders that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "taskinity_data"
DOCUMENTS = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "design" / "house.md"]
MAX_FILES, MAX_LINES, MAX_BODY_LINES = 16, 400, 50


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


def changes(text):
    """The rows of the table of changes and what to open."""
    return text[text.index("| change | open |") :].partition("\n\n")[0].splitlines()


def test_both_documents_say_the_same_of_each_usual_change():
    contributing, house = (changes(path.read_text(encoding="utf-8")) for path in DOCUMENTS)
    assert contributing == house
    assert len(house) == 2 + 10


def test_the_tree_shows_every_folder_down_to_the_second_level():
    drawn = set(drawn_folders((ROOT / "docs" / "design" / "house.md").read_text(encoding="utf-8")))
    there = {str(path.parent.relative_to(PACKAGE)) for path in PACKAGE.rglob("__init__.py")} - {"."}
    assert drawn == {path for path in there if path.count("/") < 2}


def test_no_data_lies_beside_the_package():
    strays = [path.name for path in ROOT.iterdir() if path.suffix in {".csv", ".parquet"}]
    assert strays == []


def test_no_folder_has_more_files_than_a_reader_takes_in():
    for folder in {path.parent for path in PACKAGE.rglob("*.py")}:
        files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= MAX_FILES, (
            f"{folder.relative_to(PACKAGE)} has {len(files)} files, {MAX_FILES} at most: give "
            f"those that belong together a folder of their own: {sorted(files)}"
        )


def test_no_module_is_longer_than_a_reader_holds_in_mind():
    lines = {path: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {str(path): count for path, count in lines.items() if count > MAX_LINES} == {}


def body_lines(function):
    """The lines of a function without its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return function.end_lineno - body[0].lineno + 1 if body else 0


def test_functions_fit_on_a_screen():
    long = {
        f"{path.relative_to(PACKAGE)}: {function.name}"
        for path in PACKAGE.rglob("*.py")
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef) and body_lines(function) > MAX_BODY_LINES
    }
    assert long == set()


def test_private_names_of_other_libraries_are_few_and_listed():
    text = (ROOT / "docs/design/house.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `[\w.]+(\._\w+)` \| `([\w/]+\.py)` \|", text, re.MULTILINE)
    used = [
        (name, str(path.relative_to(PACKAGE)))
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if "# noqa: SLF001" in line
        for name in set(re.findall(r"(?<=[\w)])\._[a-z]\w+", line.split("#")[0]))
        if not is_defined_there(path, name[1:])
    ]
    assert sorted(used) == sorted(listed)
    assert len(used) <= 5


def is_defined_there(path, name):
    """Whether a class of the module itself has the attribute."""
    return f"self.{name} = " in path.read_text(encoding="utf-8")
