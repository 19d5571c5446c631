"""A flow written out and read back is the same flow; a second grammar agrees with the parser."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import lark
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.lark import from_lark

from taskinity_data.errors import FlowSyntaxError
from taskinity_data.flow.flow import Flow
from taskinity_data.flow.language.parser import parse_flow
from taskinity_data.flow.language.writer import quote, unquote
from taskinity_data.flow.model import Task
from taskinity_data.flow.naming import is_name, to_snake
from taskinity_data.policy import Policy, value

NAMES = st.one_of(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True),
    st.sampled_from(["flow", "task", "description", "code", "Größe", "数据", "fail"]),
).filter(is_name)
DURATIONS = st.floats(0, 1e30, allow_nan=False) | st.sampled_from([0.0, 0.1, 1e-9, 5e-324])
AMOUNTS = st.floats(0, 1e9, exclude_min=True) | st.integers(1, 10**12)
POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "retries": st.integers(0, 99),
        "retry_delay_s": DURATIONS,
        "max_delay_s": DURATIONS,
        "timeout_s": DURATIONS.filter(bool),
        "on_error": st.sampled_from(["fail", "skip", "bisect"]),
        "resources": st.dictionaries(NAMES, AMOUNTS, min_size=1, max_size=3),
    },
)
WIDTHS = st.none() | st.just("*") | st.integers(1, 1_000_000)
TEXTS = (
    st.none() | st.text(max_size=30) | st.text("\"'\\\n\r\t#\x00\x85\u2028\ud800 a", max_size=12)
)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    names = draw(st.lists(NAMES, min_size=1, max_size=7, unique_by=to_snake))
    ranks = draw(st.permutations(range(len(names))))
    possible = [
        (names[one], names[other])
        for one in range(len(names))
        for other in range(len(names))
        if ranks[one] < ranks[other]
    ]
    edges = draw(st.lists(st.sampled_from(possible), unique=True)) if possible else []
    linked = {name for edge in edges for name in edge} or set(names[:1])
    fallback = next((name for name in names if name not in linked), None)
    kept = [name for name in names if name in linked or name == fallback]
    tasks = []
    for name in kept:
        given = draw(POLICIES)
        if name == kept[0] and fallback is not None and name != fallback:
            if fallback in ("fail", "skip", "bisect"):
                kept = [one for one in kept if one != fallback]
            else:
                given["on_error"] = fallback
        tasks.append(
            Task(
                name,
                draw(TEXTS),
                draw(WIDTHS),
                Policy(**given),
                stated=frozenset(key.removesuffix("_s") for key in given),
            )
        )
    if fallback is not None and (kept[0] == fallback or fallback not in kept):
        tasks = [task for task in tasks if task.name != fallback]
    return Flow(draw(NAMES), draw(TEXTS), tuple(tasks), tuple(edges))


@given(flows())
def test_a_flow_written_and_read_is_the_same(flow: Flow) -> None:
    text = flow.to_text()
    assert parse_flow(text) == flow
    assert text.isprintable() or set(text) - {"\n"} <= {c for c in text if c.isprintable()}


@given(st.text())
def test_a_quoted_text_comes_back(text: str) -> None:
    quoted = quote(text)
    assert quoted.isprintable()
    assert unquote(quoted[1:-1]) == text


def test_a_default_that_was_written_stays_written() -> None:
    text = "flow F:\n\n    task A:\n        retries: 0\n"
    assert parse_flow(text).to_text() == text
    assert parse_flow(text) != parse_flow("flow F:\n task A:")


def test_what_only_python_can_say_stands_in_a_comment() -> None:
    policy = Policy(retries=2, on_error=value(None), retry_on=(OSError,))
    flow = Flow("F", tasks=(Task("A", policy=policy),))
    again = parse_flow(flow.to_text())
    assert again.task("A").policy == Policy(retries=2)
    assert "# on_error, as set in Python: Value(value=None)" in flow.to_text()


def test_edges_that_follow_on_each_other_are_written_as_a_chain() -> None:
    flow = parse_flow("flow F:\n A -> B[*]\n B -> C\n A -> C")
    assert flow.to_text().endswith("\n    A -> B[*] -> C\n    A -> C\n")


# -- the documented grammar ------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTED = lark.Lark((ROOT / "docs/reference/flow.lark").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "path", [*sorted((ROOT / "examples").glob("*.flow")), ROOT / "tests" / "parallel_demo.flow"]
)
def test_the_documented_grammar_has_the_flows_of_the_examples(path: Path) -> None:
    assert DOCUMENTED.parse(path.read_text(encoding="utf-8"))


# -- an independent grammar -----------------------------------------------------------------------

GRAMMAR = r"""
start: HEADER _NEXT statement+
HEADER: "flow F:"
_NEXT: "\n" | "\n    " | "  # note\n\t" | "\n  \n"
statement: block | edge _NEXT
block: "task " NAME [WIDTH] ":" _NEXT (key _NEXT)*
key: RETRIES | TIMEOUT | ON_ERROR | DESCRIPTION
RETRIES: "retries: " ("0" | "7")
TIMEOUT: "timeout: " ("3s" | "250ms" | "2 m" | "1.5h")
ON_ERROR: "on_error: " ("fail" | "skip" | "bisect")
DESCRIPTION: "description: " ("\"a # b\"" | "'c -> d'" | "\"\\\"\"")
edge: group (_ARROW group)+
_ARROW: " -> " | "->"
group: item | "[" item (_COMMA item)* "]"
_COMMA: ", " | ","
item: NAME [WIDTH]
NAME: "A" | "B" | "C" | "Dd"
WIDTH: "[*]" | "[3]"
"""
ORACLE = lark.Lark(GRAMMAR, parser="lalr", keep_all_tokens=True, maybe_placeholders=False)


class Meaning(lark.visitors.Interpreter[Any, None]):
    """What the tree of a text means: widths, keys and edges; and whether it can't be a flow."""

    def __init__(self) -> None:
        self.widths: dict[str, str | None] = {}
        self.headers: list[str] = []
        self.keys: list[tuple[str, str]] = []
        self.edges: list[tuple[str, str]] = []
        self.is_wrong = False

    def mention(self, parts: list[Any]) -> str:
        name = next(str(part) for part in parts if part.type == "NAME")
        width = next((str(part) for part in parts if part.type == "WIDTH"), None)
        before = self.widths.setdefault(name, width)
        if before is None:
            self.widths[name] = width
        self.is_wrong |= None not in (before, width) and before != width
        return name

    def block(self, tree: Any) -> None:
        name = self.mention([one for one in tree.children if isinstance(one, lark.Token)])
        self.is_wrong |= name in self.headers
        self.headers.append(name)
        for key in tree.find_data("key"):
            entry = (name, str(key.children[0]).partition(":")[0])
            self.is_wrong |= entry in self.keys
            self.keys.append(entry)

    def edge(self, tree: Any) -> None:
        groups = [
            [self.mention(item.children) for item in group.children if isinstance(item, lark.Tree)]
            for group in tree.children
            if isinstance(group, lark.Tree)
        ]
        self.edges += [
            (before, after)
            for befores, afters in pairwise(groups)
            for before in befores
            for after in afters
        ]

    def is_flow(self) -> bool:
        linked = {name for edge in self.edges for name in edge}
        alone = set(self.widths) - linked if len(self.widths) > 1 else set()
        waiting = set(self.edges)
        # Take sources away until nothing changes: what is left waits for itself.
        while free := {a for a, _ in waiting} - {b for _, b in waiting}:
            waiting = {edge for edge in waiting if edge[0] not in free}
        return not (self.is_wrong or alone or waiting or len(set(self.edges)) != len(self.edges))


@given(from_lark(ORACLE))
def test_a_second_grammar_agrees(text: str) -> None:
    meaning = Meaning()
    meaning.visit(ORACLE.parse(text))
    assert DOCUMENTED.parse(text)
    if not meaning.is_flow():
        with pytest.raises(FlowSyntaxError):
            parse_flow(text)
        return
    flow = parse_flow(text)
    widths = {task.name: task.width for task in flow.tasks}
    shown = {None: None, "[*]": "*", "[3]": 3}
    assert widths == {name: shown[width] for name, width in meaning.widths.items()}
    assert set(flow.edges) == set(meaning.edges)
    stated = [(task.name, key) for task in flow.tasks for key in task.stated]
    described = [(task.name, "description") for task in flow.tasks if task.description is not None]
    assert sorted(stated + described) == sorted(meaning.keys)


@given(flows(), st.data())
def test_a_damaged_text_is_a_flow_or_a_clear_error(flow: Flow, data: st.DataObject) -> None:
    text = flow.to_text()
    at = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(at, min(len(text), at + 6)))
    damaged = text[:at] + data.draw(st.text('ab[]*:->,"\\#\n 0', max_size=3)) + text[stop:]
    try:
        parse_flow(damaged)
    except FlowSyntaxError as error:
        lines = re.split(r"\r\n|\n|\r", damaged)
        for line, column, message in error.problems:
            assert message
            assert 1 <= column <= len(lines[line - 1]) + 1
