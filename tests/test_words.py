"""Names and texts use the words of the field: `words.txt` lists those that they don't."""

import ast
import io
import re
import tokenize
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "taskinity_data"
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(PACKAGE.rglob("*.jinja")),
]

# Classes of one name that are one thing in two forms.
TWO_FORMS: set[str] = set()


class Word(NamedTuple):
    word: str
    instead: str
    where: frozenset[str]


def read_words():
    lines = (ROOT / "tests" / "words.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line and not line.startswith("#"):
            word, instead, where = (part.strip() for part in line.split("|"))
            yield Word(word, instead, frozenset(where.split(", ")))


WORDS = list(read_words())
IN_NAMES = {
    kind: {w.word: w for w in WORDS if kind in w.where} for kind in ("name", "part", "prefix")
}
NO_VERBS = {w.word for w in WORDS if "docstring" in w.where}
IN_TEXT = {" ".join(w.word.split()): w for w in WORDS if "text" in w.where}
TEXT = re.compile(
    r"\b(?:" + "|".join(r"\s+".join(phrase.split()) for phrase in IN_TEXT) + r")\b", re.IGNORECASE
)


def defined_names(tree):
    """Names that a module defines, with their lines. Names of other libraries are theirs."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                yield name, node.lineno
            case ast.arg(arg=name):
                yield name, node.lineno
            case ast.alias(asname=str(name)):
                yield name, node.lineno
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield name, node.lineno
            case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                yield name, node.lineno


def texts(source, tree):
    """Comments, docstrings and messages, with their lines; a key of a file is one word."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            words = [part.value for part in node.values if isinstance(part, ast.Constant)]
            yield " … ".join(words), node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value, node.lineno
    comment, first, last = "", 0, 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != last + 1:
                yield comment, first
                comment, first = "", token.start[0]
            comment, last = f"{comment} {token.string.lstrip('#')}", token.start[0]
    yield comment, first


def first_words(tree):
    """The first words of functions' docstrings, with their lines; a property's says what it is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            is_property = any("property" in ast.unparse(one) for one in node.decorator_list)
            if not is_property and (docstring := ast.get_docstring(node)):
                yield docstring.split()[0].rstrip(",.;:"), node.body[0].lineno


def refused_in_name(name):
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).strip("_").lower().split("_")
    if len(parts) == 1:
        yield from (IN_NAMES["name"][part] for part in parts if part in IN_NAMES["name"])
    elif parts[0] in IN_NAMES["prefix"]:
        yield IN_NAMES["prefix"][parts[0]]
    yield from (IN_NAMES["part"][part] for part in parts if part in IN_NAMES["part"])


def refused_in_text(text):
    yield from (IN_TEXT[" ".join(match[0].lower().split())] for match in TEXT.finditer(text))


def refused_in_module(path):
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    file = path.relative_to(ROOT)
    for name, line in [(path.stem, 1), *defined_names(tree)]:
        for word in refused_in_name(name):
            yield f"{file}:{line}: the name {name}: not {word.word}, but {word.instead}"
    for text, line in texts(source, tree):
        for word in refused_in_text(text):
            yield f"{file}:{line}: not {word.word!r}, but {word.instead}"
    for word, line in first_words(tree):
        if word in NO_VERBS or not word.isalpha():
            yield f"{file}:{line}: a docstring begins with {word}, not with a verb"


def refused_in_document(path):
    text = path.read_text(encoding="utf-8")
    prose = re.sub(
        r"```.*?```|`[^`\n]*`", lambda code: re.sub(r"[^\n]", "·", code[0]), text, flags=re.DOTALL
    )
    for match in TEXT.finditer(prose):
        word = IN_TEXT[" ".join(match[0].lower().split())]
        line = prose.count("\n", 0, match.start()) + 1
        yield f"{path.relative_to(ROOT)}:{line}: not {word.word!r}, but {word.instead}"


def refused_in(paths):
    for path in paths:
        yield from refused_in_module(path) if path.suffix == ".py" else refused_in_document(path)


def test_names_and_texts_use_the_words_of_the_field():
    paths = [*sorted(PACKAGE.rglob("*.py")), *DOCUMENTS]
    assert paths
    refused = list(refused_in(paths))
    assert not refused, "\n".join(refused)


def test_no_class_name_stands_for_two_things():
    homes = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    twice = {name: places for name, places in homes.items() if len(places) > 1}
    assert set(twice) == TWO_FORMS, twice


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        ("MOST_ROWS = 3", {"most"}),
        ("def f(least_s): ...", {"least"}),
        ("class MostOf: ...", {"most"}),
        ("for one in rows: pass", {"one"}),
        ("one_of = file.tell()", set()),
        ("def tell_rows(): ...", {"tell"}),
        ("almost = at_most_once = 1", {"most"}),
        ("raise ValueError('this many letters '\n 'long')", {"letters long"}),
        ("raise ValueError(f'{x} is\\nasked')", {"is asked"}),
        ("# It knows\n# nothing of it", {"knows nothing of"}),
        ("x = {'told': 1}", set()),
    ],
)
def test_the_check_finds_words_in_names_and_in_texts(source, refused, tmp_path):
    tree = ast.parse(source)
    words = {w.word for name, _ in defined_names(tree) for w in refused_in_name(name)}
    words |= {w.word for text, _ in texts(source, tree) for w in refused_in_text(text)}
    assert words == refused
