"""A flow is a value that can't be wrong."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskinity_data.errors import BindError, FlowError
from taskinity_data.flow.diagram import draw as diagram
from taskinity_data.flow.flow import Flow
from taskinity_data.flow.language.parser import parse_flow
from taskinity_data.flow.model import Task, find_cycle, sort_names
from taskinity_data.policy import Policy

A, B, C = Task("A"), Task("B"), Task("C")
AB = ("A", "B")


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        (lambda: Flow("no name", tasks=(A,)), "not a name for a flow"),
        (lambda: Flow("F"), "at least one task"),
        (lambda: Flow("F", tasks=(A, A)), "two tasks are called A"),
        (lambda: Flow("F", tasks=(Task("AbC"), Task("ab_c"))), "both bind a function ab_c"),
        (lambda: Flow("F", tasks=(A, B), edges=(("A", "Bb"),)), "no task 'Bb'"),
        (lambda: Flow("F", tasks=(A, B), edges=(("A", "A"),)), "can't follow itself"),
        (lambda: Flow("F", tasks=(A, B), edges=(AB, AB)), "is repeated"),
        (lambda: Flow("F", tasks=(A, B), edges=(AB, ("B", "A"))), "A -> B -> A"),
        (lambda: Flow("F", tasks=(A, B, C), edges=(AB,)), "task C has no edge"),
        (lambda: Flow("F", tasks=(A,), output="B"), "no task 'B' to give the value"),
        (lambda: Flow("F", tasks=(Task("A", policy=Policy(on_error="B")),)), "on_error names 'B'"),
        (lambda: Flow("F", tasks=(Task("A", policy=Policy(on_error="A")),)), "its own fallback"),
        (
            lambda: Flow(
                "F",
                tasks=(
                    Task("A", policy=Policy(on_error="B")),
                    Task("B", policy=Policy(on_error="C")),
                    C,
                ),
            ),
            "has a fallback itself",
        ),
        (lambda: Task("2nd"), "letters, digits"),
        (lambda: Task("A", width=0), "width 0"),
        (lambda: Task("A", width=True), "width True"),
        (lambda: Task("A", width=1_000_001), "1,000,000"),
        (lambda: Task("A", width="8"), "width '8'"),  # type: ignore[arg-type] # the point
    ],
)
def test_a_flow_that_can_not_be_is_refused(flow: Any, said: str) -> None:
    with pytest.raises(FlowError, match=said):
        flow()


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(FlowError) as caught:
        Flow("F", tasks=(A, B), edges=(("A", "A"), ("A", "X"), ("B", "Y")))
    assert str(caught.value).count("\n- ") == 3


def test_a_flow_does_not_change() -> None:
    flow = Flow("F", tasks=(A, B), edges=(AB,))
    with pytest.raises(dataclasses.FrozenInstanceError):
        flow.name = "G"  # type: ignore[misc] # the point of the test
    assert flow == Flow("F", tasks=(A, B), edges=(AB,))
    assert flow != Flow("F", tasks=(B, A), edges=(AB,))
    assert flow != dataclasses.replace(flow, description="")
    assert len({flow, Flow("F", tasks=(A, B), edges=(AB,))}) == 1


def test_a_flow_pickles() -> None:
    flow = parse_flow("flow F:\n task A[*]:\n  resources: GPU=1\n A -> B").bind(
        {"a": len, "b": print}
    )
    assert pickle.loads(pickle.dumps(flow)) == flow


def test_a_flow_shows_itself_on_one_line() -> None:
    names = [f"T{number}x" for number in range(12)]
    flow = parse_flow("flow F:\n" + " -> ".join(names))
    assert repr(flow).startswith("Flow(F: T0x, T1x")
    assert "… 4 more; 11 edges, unbound" in repr(flow)
    assert repr(Task("A", width=3, policy=Policy(retries=2))) == "Task('A[3]', retries=2)"


def test_a_task_is_found_by_name_or_a_close_one_suggested() -> None:
    flow = parse_flow("flow F:\n Prepare -> Process")
    assert flow.task("Process").name == "Process"
    with pytest.raises(FlowError, match="Did you mean 'Process'"):
        flow.task("Proces")
    assert flow.upstreams("Process") == ("Prepare",)


def test_the_last_task_gives_the_value() -> None:
    assert parse_flow("flow F:\n A -> B\n C -> D\n B -> D").last == "D"
    assert parse_flow("flow F:\n A -> B\n A -> C").last == "C"
    assert Flow("F", tasks=(A, B), edges=(AB,), output="A").last == "A"


def test_numbered_siblings_at_the_end_give_the_value_together() -> None:
    assert parse_flow("flow F:\n A -> [Part1, Part2]").last == "Part"


def test_a_flow_draws_itself() -> None:
    flow = parse_flow("flow F:\n A -> B[*]")
    assert flow.to_mermaid() == diagram.to_mermaid(flow)
    assert flow.to_ascii() == diagram.to_ascii(flow)
    assert flow.to_svg() == diagram.to_svg(flow)
    # A wide one scrolls in a page of its own.
    assert flow._repr_html_() == f'<div style="overflow-x:auto">{flow.to_svg()}</div>'


def test_a_flow_becomes_a_dask_graph() -> None:
    flow = parse_flow("flow F:\n A -> B").bind({"a": lambda x: x + 1, "b": lambda a: 2 * a})
    assert flow.to_delayed(x=3).compute(scheduler="synchronous") == 8
    with pytest.raises(BindError, match="no value for parameter 'x'"):
        flow.to_delayed()


def test_parsing_and_drawing_load_no_pandas() -> None:
    script = (
        "import sys\n"
        "from taskinity_data.flow.language.parser import parse_flow\n"
        "from taskinity_data.flow import decorators, files, stages\n"
        "flow = parse_flow('flow F:\\n A -> B[*]')\n"
        "flow.to_mermaid()\n"
        "flow.bind({'a': len, 'b': len}).to_text()\n"
        "print(sorted({'pandas', 'pyarrow', 'numpy', 'dask', 'distributed'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), unique=True))
def test_an_order_exists_exactly_where_there_is_no_circle(pairs: list[tuple[int, int]]) -> None:
    names = [f"n{number}" for number in range(7)]
    edges = [(names[a], names[b]) for a, b in pairs]
    ordered = sort_names(names, edges)
    circle = find_cycle(names, edges)
    assert (len(ordered) == len(names)) == (not circle)
    if circle:
        assert circle[0] == circle[-1]
        assert set(pairwise(circle)) <= set(edges)
    place = {name: index for index, name in enumerate(ordered)}
    assert all(place[a] < place[b] for a, b in edges if a in place and b in place)
