"""The flow language: what it means, and where each mistake is told."""

from __future__ import annotations

import pytest

from taskinity_data.errors import FlowSyntaxError
from taskinity_data.flow.flow import Flow
from taskinity_data.flow.language.parser import parse_dsl, parse_flow
from taskinity_data.policy import Policy

FLIGHTS = """\
flow FlightDelays:
    description: "Mean delay of each carrier"

    task DataPreparation:
        description: "Split the files into chunks"

    task ProcessChunk[*]:            # one task a chunk; [8] for exactly eight
        description: "Delays of one chunk"
        retries: 3
        retry_delay: 1s
        timeout: 30s
        on_error: skip               # fail | skip | bisect | NameOfAFallbackTask

    task AggregateResults:
        description: "Bring the chunks together"

    DataPreparation -> ProcessChunk[*] -> AggregateResults
"""


def problems_of(text: str) -> tuple[tuple[int, int, str], ...]:
    with pytest.raises(FlowSyntaxError) as caught:
        parse_flow(text)
    assert (caught.value.line, caught.value.column) == caught.value.problems[0][:2]
    return caught.value.problems


def test_the_published_example_reads_as_it_says() -> None:
    flow = parse_flow(FLIGHTS)
    assert (flow.name, flow.description) == ("FlightDelays", "Mean delay of each carrier")
    assert [str(task) for task in flow.tasks] == [
        "DataPreparation",
        "ProcessChunk[*]",
        "AggregateResults",
    ]
    assert flow.edges == (
        ("DataPreparation", "ProcessChunk"),
        ("ProcessChunk", "AggregateResults"),
    )
    chunk = flow.task("ProcessChunk")
    assert chunk.policy == Policy(retries=3, retry_delay_s=1.0, timeout_s=30.0, on_error="skip")
    assert chunk.stated == {"retries", "retry_delay", "timeout", "on_error"}
    assert chunk.description == "Delays of one chunk"


def test_the_text_of_taskinity_gives_six_tasks_and_eight_edges(demo_text) -> None:
    flow = parse_flow(demo_text)
    assert len(flow.tasks) == 6
    assert len(flow.edges) == 8
    assert flow.task("ProcessChunk3").description == "Process third chunk of data"
    assert parse_flow(flow.to_text()) == flow


def test_parse_dsl_is_parse_flow() -> None:
    assert parse_dsl is parse_flow


def test_lists_and_chains_give_every_edge_in_order() -> None:
    assert parse_flow("flow F:\n A -> [B, C] -> [D, E]\n E -> G").edges == (
        ("A", "B"), ("A", "C"), ("B", "D"), ("B", "E"), ("C", "D"), ("C", "E"), ("E", "G"),
    )  # fmt: skip


def test_a_width_may_stand_in_an_edge_or_a_list() -> None:
    flow = parse_flow("flow F:\n task B:\n A -> [B[*], C[3]] -> D")
    assert [str(task) for task in flow.tasks] == ["B[*]", "A", "C[3]", "D"]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_endings_and_a_byte_order_mark_change_nothing(ending: str, mark: str) -> None:
    assert parse_flow(mark + FLIGHTS.replace("\n", ending)) == parse_flow(FLIGHTS)


def test_indentation_and_blank_lines_change_nothing() -> None:
    flush = "\n\n".join(line.strip() for line in FLIGHTS.splitlines())
    tabs = FLIGHTS.replace("    ", "\t")
    assert parse_flow(flush) == parse_flow(tabs) == parse_flow(FLIGHTS)


def test_a_description_belongs_to_the_block_it_stands_in() -> None:
    flow = parse_flow('flow F:\n task A:\n  description: "a"\n A -> B\n description: "f"')
    assert (flow.description, flow.task("A").description) == ("f", "a")


def test_a_hash_in_a_text_is_no_comment() -> None:
    text = 'flow F: # c\n task A: # d "e"\n  description: "no # \\" comment" # comment "\n'
    assert parse_flow(text).task("A").description == 'no # " comment'


def test_single_quotes_and_escapes_are_understood() -> None:
    text = r"""flow F:
    task A:
        description: 'it\'s "\u0041\U0001f600\n\t\\"'
"""
    assert parse_flow(text).task("A").description == 'it\'s "A\U0001f600\n\t\\"'


def test_keywords_may_be_names_of_tasks() -> None:
    flow = parse_flow("flow flow:\n task -> flow\n flow -> description\n task[*] -> description")
    assert [str(task) for task in flow.tasks] == ["task[*]", "flow", "description"]


def test_a_fallback_needs_no_edge() -> None:
    flow = parse_flow("flow F:\n task A:\n  on_error: Careful\n task Careful:\n A -> B")
    assert flow.task("A").fallback == "Careful"
    assert flow.fallbacks == {"Careful"}
    assert flow.last == "B"


def test_the_only_task_needs_no_edge() -> None:
    assert parse_flow("flow F:\n task A[*]:").edges == ()


def test_resources_are_amounts_by_name() -> None:
    flow = parse_flow("flow F:\n task A:\n  resources: GPU=1, MEMORY=2.5")
    assert flow.task("A").policy.resources == {"GPU": 1.0, "MEMORY": 2.5}


MISTAKES = {
    "empty text": ("", 1, 1, "empty"),
    "blank text": (" \n\t\n", 1, 1, "empty"),
    "only a comment": ("# nothing", 1, 1, "expected 'flow Name:'"),
    "no header": ("task A:\n  retries: 1\n", 1, 1, "expected 'flow Name:'"),
    "edge before the header": ("  A -> B\nflow F:\n A -> C", 1, 3, "expected 'flow Name:'"),
    "no task": ("flow F:\n", 1, 1, "no task"),
    "two flows": ("flow F:\n A -> B\nflow G:\n A -> B", 3, 1, "one flow a file"),
    "flow without a name": ("flow :\n A -> B", 1, 6, "a name for the flow"),
    "flow without a colon": ("flow F\n A -> B", 1, 7, "':' after 'flow F'"),
    "flow name with a dash": ("flow a-b:\n A -> B", 1, 7, "':'"),
    "task without a colon": ("flow F:\n task A\n A -> B", 2, 8, "':' after 'task A'"),
    "task without a name": ("flow F:\n task\n A -> B", 2, 6, "a name for the task"),
    "name with a digit first": ("flow F:\n task 2nd:\n A -> B", 2, 7, "not a name"),
    "text after a header": ("flow F:\n task A: retries: 3\n A -> B", 2, 10, "nothing after"),
    "unknown word": ("flow F:\n tsk A:\n A -> B", 2, 2, "Did you mean 'task'?"),
    "unknown key": ("flow F:\n task A:\n  retires: 3", 3, 3, "Did you mean 'retries'?"),
    "key with a dash": ("flow F:\n task A:\n  retry-delay: 3", 3, 3, "not a statement"),
    "forgotten task": ("flow F:\n Clean:\n A -> B", 2, 2, "'task Clean:'"),
    "policy of a flow": ("flow F:\n retries: 3\n A -> B", 2, 2, "belongs to a task"),
    "duplicate key": ("flow F:\n task A:\n  retries: 1\n  retries: 1", 4, 3, "line 3"),
    "duplicate flow key": ('flow F:\n description: "a"\n description: "b"\n A -> B', 3, 2, "is r"),
    "duplicate task": ("flow F:\n task A:\n task A:\n A -> B", 3, 7, "first in line 2"),
    "names of one function": ("flow F:\n AbC -> ab_c", 2, 9, "ab_c"),
    "duplicate edge": ("flow F:\n A -> B\n A -> B", 3, 7, "first in line 2"),
    "duplicate in a list": ("flow F:\n A -> [B, B]", 2, 11, "in this line"),
    "self edge": ("flow F:\n A -> A", 2, 7, "follow itself"),
    "cycle": ("flow F:\n A -> B\n B -> C\n C -> A", 4, 7, "A -> B -> C -> A"),
    "chained cycle": ("flow F:\n A -> B -> C -> B", 2, 17, "B -> C -> B"),
    "edge to nowhere": ("flow F:\n A -> B ->", 2, 11, "a task after '->'"),
    "edge to a comment": ("flow F:\n A -> # B", 2, 6, "a task after '->'"),
    "edge from nowhere": ("flow F:\n -> B", 2, 2, "a task before '->'"),
    "double arrow": ("flow F:\n A -> -> B", 2, 7, "a task after '->'"),
    "long arrow": ("flow F:\n A --> B", 2, 4, "written '->'"),
    "fat arrow": ("flow F:\n A => B", 2, 4, "written '->'"),
    "unicode arrow": ("flow F:\n A → B", 2, 4, "written '->'"),
    "no arrow": ("flow F:\n A B\n A -> B", 2, 2, "not a statement"),
    "lone name": ("flow F:\n A\n A -> B", 2, 3, "expected '->'"),
    "unclosed list": ("flow F:\n A -> [B, C", 2, 7, "never closed"),
    "unclosed list before an arrow": ("flow F:\n [A, B -> C", 2, 2, "never closed"),
    "empty list": ("flow F:\n A -> []", 2, 8, "a task in the list"),
    "comma at the end": ("flow F:\n A -> [B, ]", 2, 11, "a task after ','"),
    "no comma": ("flow F:\n A -> [B C]", 2, 10, "',' or ']'"),
    "list in a list": ("flow F:\n A -> [[B]]", 2, 8, "a task in the list"),
    "width zero": ("flow F:\n A -> B[0]", 2, 9, "expected a width"),
    "width of letters": ("flow F:\n task B[x]:\n A -> B", 2, 9, "not 'x'"),
    "width below zero": ("flow F:\n A -> B[-1]", 2, 9, "not '-1'"),
    "width with a fraction": ("flow F:\n A -> B[1.5]", 2, 10, "']'"),
    "width too large": ("flow F:\n A -> B[1000001]", 2, 9, "1,000,000"),
    "width of many digits": (f"flow F:\n A -> B[{'9' * 5000}]", 2, 9, "expected a width"),
    "empty width": ("flow F:\n A -> B[]", 2, 9, "expected a width"),
    "unclosed width": ("flow F:\n task B[*:\n A -> B", 2, 10, "']'"),
    "two widths": ("flow F:\n task B[*]:\n A -> B[4]", 3, 7, "B[*] in line 2"),
    "two widths in edges": ("flow F:\n A -> B[3] -> C\n B[4] -> D", 3, 2, "another width"),
    "inline code": ("flow F:\n task A:\n  code: x = 1", 3, 3, "holds no code"),
    "bare description": ("flow F:\n task A:\n  description: hi", 3, 16, "a quoted string"),
    "missing description": ("flow F:\n task A:\n  description:", 3, 15, "a quoted string"),
    "unclosed quote": ('flow F:\n task A:\n  description: "hi', 3, 16, "never closed"),
    "escaped last quote": ('flow F:\n task A:\n  description: "hi\\"', 3, 16, "never closed"),
    "text behind a text": ('flow F:\n task A:\n  description: "a" "b"', 3, 19, "nothing after"),
    "bad escape": ('flow F:\n task A:\n  description: "C:\\data"', 3, 19, "escape"),
    "escape too large": ('flow F:\n task A:\n  description: "\\U00110000"', 3, 17, "escape"),
    "retries of letters": ("flow F:\n task A:\n  retries: many", 3, 12, "whole number"),
    "retries below zero": ("flow F:\n task A:\n  retries: -1", 3, 12, "whole number"),
    "retries with a fraction": ("flow F:\n task A:\n  retries: 1.5", 3, 12, "whole number"),
    "quoted retries": ('flow F:\n task A:\n  retries: "3"', 3, 12, "without quotes"),
    "no value": ("flow F:\n task A:\n  retries:", 3, 11, "expected a value"),
    "bad duration": ("flow F:\n task A:\n  retry_delay: soon", 3, 16, "a duration"),
    "negative duration": ("flow F:\n task A:\n  max_delay: -1s", 3, 14, "a duration"),
    "unit nobody knows": ("flow F:\n task A:\n  timeout: 3 weeks", 3, 12, "a duration"),
    "endless duration": (f"flow F:\n task A:\n  timeout: {'9' * 400}s", 3, 12, "a duration"),
    "no time at all": ("flow F:\n task A:\n  timeout: 0s", 3, 12, "above 0"),
    "unknown fallback": ("flow F:\n task A:\n  on_error: skp", 3, 13, "Did you mean 'skip'?"),
    "fallback of itself": ("flow F:\n task A:\n  on_error: A", 3, 13, "its own fallback"),
    "fallback that is no name": ("flow F:\n task A:\n  on_error: a b", 3, 13, "fail, skip"),
    "fallback with a fallback": (
        "flow F:\n task A:\n  on_error: B\n task B:\n  on_error: C\n task C:\n A -> D",
        3, 13, "itself",
    ),
    "bad resources": ("flow F:\n task A:\n  resources: GPU", 3, 14, "GPU=1"),
    "resource twice": ("flow F:\n task A:\n  resources: A=1, A=2", 3, 14, "GPU=1"),
    "resource of nothing": ("flow F:\n task A:\n  resources: A=0", 3, 14, "GPU=1"),
    "task without an edge": ("flow F:\n task A:\n task B:\n B -> C", 2, 7, "no edge"),
    "typo leaves a task alone": (
        "flow F:\n task Process:\n A -> Porcess -> B", 2, 7, "Did you mean 'Porcess'?",
    ),
    "NUL": ("flow F:\n A -> \0B", 2, 7, "NUL"),
    "form feed": ("flow F:\n A -> B\n\x0c?", 3, 2, "not a statement"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place(name: str) -> None:
    text, line, column, said = MISTAKES[name]
    problems = problems_of(text)
    assert len(problems) == 1, problems
    assert problems[0][:2] == (line, column)
    assert said in problems[0][2]


@pytest.mark.parametrize("given", [b"flow F:\n A -> B", None, 3, ["flow F:"]])
def test_what_is_no_text_is_refused(given: object) -> None:
    with pytest.raises(FlowSyntaxError, match=type(given).__name__) as caught:
        parse_flow(given)  # type: ignore[arg-type] # the point of the test
    assert (caught.value.line, caught.value.column) == (1, 1)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_text() -> None:
    text = (
        "flow F:\n task A[0]:\n  retires: 3\n task B:\n  timeout: x\n  code: |\n"
        "      import os\n\n      A -> os\n  retries: y\n B -> B\n B ->\n"
    )
    assert [problem[:2] for problem in problems_of(text)] == [
        (2, 9), (3, 3), (5, 12), (6, 3), (10, 12), (11, 7), (12, 6),
    ]  # fmt: skip


def test_a_broken_header_does_not_blame_the_block_above() -> None:
    text = "flow F:\n task A:\n  retries: 1\n task B[:\n  retries: 2\n A -> C"
    assert [problem[:2] for problem in problems_of(text)] == [(4, 9)]


def test_the_message_shows_the_line_and_a_caret_under_the_mistake() -> None:
    with pytest.raises(FlowSyntaxError) as caught:
        parse_flow("flow F:\n\ttask A:\n\t\tretires: 3\n")
    assert "line 3, column 3: unknown key 'retires'" in str(caught.value)
    assert "\n    \t\tretires: 3\n    \t\t^^^^^^^" in str(caught.value)


def test_a_long_line_is_shown_around_the_mistake() -> None:
    line = "A -> " + " -> ".join(f"Task{number}" for number in range(200)) + " -> !"
    with pytest.raises(FlowSyntaxError) as caught:
        parse_flow(f"flow F:\n{line}")
    shown, caret = str(caught.value).splitlines()[-2:]
    assert len(shown) < 120
    assert shown[caret.index("^")] == "!"


def test_a_thousand_mistakes_do_not_flood_the_message() -> None:
    text = "flow F:\n" + "?\n" * 1000
    with pytest.raises(FlowSyntaxError, match="and 980 more") as caught:
        parse_flow(text)
    assert len(caught.value.problems) == 1000


def test_nothing_in_the_text_is_evaluated() -> None:
    with pytest.raises(FlowSyntaxError):
        parse_flow("flow F:\n task A:\n  retries: __import__('os').getpid()")


def test_a_long_chain_is_read_without_recursion() -> None:
    flow = parse_flow("flow F:\n" + " -> ".join(f"T{number}x" for number in range(3000)))
    assert isinstance(flow, Flow)
    assert len(flow.edges) == 2999
