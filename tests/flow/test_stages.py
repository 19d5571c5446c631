"""What a bound flow does, stage by stage, for every shape of graph."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from taskinity_data.errors import BindError
from taskinity_data.flow.language.parser import parse_flow
from taskinity_data.flow.stages import (
    Call,
    Constant,
    FanOutStage,
    Input,
    Reduce,
    Stage,
    Upstream,
    required_inputs,
    stages,
)

if TYPE_CHECKING:
    from taskinity_data.flow.flow import Flow


class Total:
    is_reducer = True


def one(x: Any) -> Any: ...
def nothing() -> Any: ...


def stage(text: str, inputs: Any = (), **tasks: Any) -> tuple[Stage, ...]:
    return stages(parse_flow(f"flow F:\n{text}").bind(tasks), inputs)


def names(found: tuple[Stage, ...]) -> list[tuple[str, str]]:
    return [(type(one).__name__, one.name) for one in found]


def chain(fan_out: Stage) -> list[str]:
    assert isinstance(fan_out, FanOutStage)
    return [step.task.name for step in fan_out.steps]


def test_the_three_step_flow() -> None:
    prepare, process, aggregate = stage(
        "Prepare -> Process[*] -> Aggregate", {"data"}, prepare=lambda data: 1, process=one,
        aggregate=Total(),
    )  # fmt: skip
    assert isinstance(prepare, Call)
    assert isinstance(process, FanOutStage)
    assert isinstance(aggregate, Reduce)
    assert prepare.arguments == {"data": Input("data")}
    assert (process.over, process.width, process.after) == (Upstream("Prepare"), "*", ("Prepare",))
    assert (aggregate.over, aggregate.after) == ("Process", ("Process",))


def test_a_plain_aggregate_gets_the_list_and_its_other_inputs() -> None:
    *_, last = stage(
        "Prepare -> Process[*] -> Aggregate", {"limit"}, prepare=nothing, process=one,
        aggregate=lambda limit, results, scale=1: 1,
    )  # fmt: skip
    assert isinstance(last, Call)
    assert last.arguments == {"limit": Input("limit"), "results": Upstream("Process")}


def test_numbered_siblings_are_one_fan_out_with_a_chain_each() -> None:
    text = "Prepare -> [Part1, Part2, Part3] -> Join"
    _, parts, join = stage(text, prepare=nothing, part=one, join=one)
    assert isinstance(parts, FanOutStage)
    assert (parts.name, parts.width, parts.members) == ("Part", 3, ("Part1", "Part2", "Part3"))
    assert [parts.chain(index)[0].task.name for index in range(3)] == list(parts.members)
    assert isinstance(join, Call)
    assert join.arguments == {"x": Upstream("Part")}


def test_siblings_feed_a_parameter_of_their_common_name() -> None:
    text = "Prepare -> [Part1, Part2] -> Join\n Other -> Join"
    *_, join = stage(
        text, prepare=nothing, part=one, other=nothing, join=lambda other, part_result: 1
    )
    assert join.arguments == {"other": Upstream("Other"), "part_result": Upstream("Part")}


@pytest.mark.parametrize(
    "text",
    [
        "Prepare -> Report2 -> Join",
        "Prepare -> [Report2, Report3] -> Join",
        "Prepare -> [Report1, Report3] -> Join",
        "Prepare -> Report1 -> Join\n Prepare -> Report2",
        "[Report1, Report2] -> Join",
        "Prepare -> [Report1, Report2] -> Join\n Prepare -> Report -> Join",
        "Prepare -> [Report1, Report2[*]] -> Join",
    ],
)
def test_what_only_looks_like_siblings_stays_plain_tasks(text: str) -> None:
    flow = parse_flow(f"flow F:\n{text}")
    tasks = {task.name: (lambda *any_: 1) for task in flow.tasks}
    tasks["Join"] = nothing
    flow = flow.bind(tasks)
    assert all(not stage.members for stage in stages(flow) if isinstance(stage, FanOutStage))


def test_chunk_wise_tasks_in_a_row_run_as_one_chain() -> None:
    found = stage(
        "Prepare -> A[*] -> B[*] -> C[*] -> Join", prepare=nothing, a=one, b=one, c=one, join=one
    )
    assert names(found) == [("Call", "Prepare"), ("FanOutStage", "C"), ("Call", "Join")]
    assert chain(found[1]) == ["A", "B", "C"]


def test_a_chain_waits_for_the_small_inputs_of_all_its_steps() -> None:
    found = stage(
        "Prepare -> A[*] -> B[*] -> Join\n Weights -> B", {"k"}, prepare=nothing, a=one,
        b=lambda chunk, weights, k: 1, weights=nothing, join=one,
    )  # fmt: skip
    assert names(found) == [
        ("Call", "Prepare"), ("Call", "Weights"), ("FanOutStage", "B"), ("Call", "Join"),
    ]  # fmt: skip
    fan_out = found[2]
    assert isinstance(fan_out, FanOutStage)
    assert set(fan_out.after) == {"Prepare", "Weights"}
    assert fan_out.steps[1].arguments == {"weights": Upstream("Weights"), "k": Input("k")}


def test_a_fan_out_that_others_need_too_is_not_hidden_in_a_chain() -> None:
    found = stage(
        "Prepare -> A[*] -> B[*] -> Join\n A -> Count",
        prepare=nothing,
        a=one,
        b=one,
        join=one,
        count=one,
    )
    assert names(found) == [
        ("Call", "Prepare"), ("FanOutStage", "A"), ("FanOutStage", "B"), ("Call", "Join"),
        ("Call", "Count"),
    ]  # fmt: skip
    assert isinstance(found[2], FanOutStage)
    assert (found[2].over, found[2].width) == (Upstream("A"), "*")


def test_equal_widths_in_a_row_run_as_one_chain_item_by_item() -> None:
    found = stage("P -> A[4] -> B[4] -> C[*] -> J", p=nothing, a=one, b=one, c=one, j=one)
    assert chain(found[1]) == ["A", "B", "C"]
    assert found[1].width == 4
    found = stage("P -> A[4] -> B[4] -> J\n A -> K", p=nothing, a=one, b=one, j=one, k=one)
    assert [s.width for s in found if isinstance(s, FanOutStage)] == [4, "*"]


def test_another_fixed_width_slices_the_list_of_results() -> None:
    found = stage("P -> A[*] -> B[4] -> J", p=nothing, a=one, b=one, j=one)
    assert names(found)[1:3] == [("FanOutStage", "A"), ("FanOutStage", "B")]
    assert (found[2].over, found[2].width) == (Upstream("A"), 4)


def test_a_chunk_wise_task_can_follow_siblings() -> None:
    found = stage("P -> [A1, A2] -> B[*] -> J", p=nothing, a=one, b=one, j=one)
    assert isinstance(found[1], FanOutStage)
    assert [[s.task.name for s in chain_] for chain_ in found[1].chains] == [
        ["A1", "B"],
        ["A2", "B"],
    ]
    assert found[1].members == ("A1", "A2")


def test_a_fan_out_over_what_an_upstream_computed_at_run_time() -> None:
    found = stage(
        "A[*] -> Join -> B[*] -> Last", {"chunk"}, a=lambda chunk: 1, join=one, b=one, last=Total()
    )
    assert names(found) == [
        ("FanOutStage", "A"),
        ("Call", "Join"),
        ("FanOutStage", "B"),
        ("Reduce", "Last"),
    ]
    assert found[2].over == Upstream("Join")


def test_a_fan_out_feeds_several_aggregates() -> None:
    found = stage("P -> A[*] -> [X, Y, Z]", p=nothing, a=one, x=Total(), y=one, z=Total())
    assert names(found)[2:] == [("Reduce", "X"), ("Call", "Y"), ("Reduce", "Z")]
    assert {s.over for s in found[2:] if isinstance(s, Reduce)} == {"A"}


def test_a_fan_out_without_an_aggregate_is_the_last_stage() -> None:
    assert names(stage("P -> A[*]", p=nothing, a=one)) == [("Call", "P"), ("FanOutStage", "A")]


def test_a_join_of_two_fan_outs_is_a_call_with_both_lists() -> None:
    found = stage("P -> [A[*], B[*]] -> J", p=nothing, a=one, b=one, j=lambda a, b: 1)
    assert isinstance(found[-1], Call)
    assert found[-1].arguments == {"a": Upstream("A"), "b": Upstream("B")}
    assert set(found[-1].after) == {"A", "B"}


def test_another_fan_outs_results_as_a_small_input() -> None:
    found = stage("P -> A[*] -> B[*]\n P -> B", p=lambda: 1, a=one, b=lambda p, a: 1)
    assert names(found) == [("Call", "P"), ("FanOutStage", "A"), ("FanOutStage", "B")]
    assert found[2].over == Upstream("P")
    assert found[2].steps[0].arguments == {"a": Upstream("A")}


def test_several_sources_and_side_by_side_tasks_keep_the_order_of_the_text() -> None:
    found = stage(
        "Z -> Join\n A -> Join\n Join -> [Y, B]",
        z=nothing,
        a=nothing,
        join=lambda z, a: 1,
        y=one,
        b=one,
    )
    assert [s.name for s in found] == ["Z", "A", "Join", "Y", "B"]


@pytest.mark.parametrize("given", ["chunk", "data"])
def test_a_flow_may_begin_with_a_fan_out_over_its_one_input(given: str) -> None:
    found = stage("A[*] -> J", {given, "k"}, a=lambda chunk, k: 1, j=one)
    assert isinstance(found[0], FanOutStage)
    assert found[0].over == Input(given)


def test_a_fan_out_over_one_of_two_unknown_inputs_is_an_error() -> None:
    with pytest.raises(BindError, match="nothing fills its chunk 'chunk'"):
        stage("A[*] -> J", {"one", "other"}, a=lambda chunk: 1, j=one)


def test_a_reducer_of_the_rows_themselves_gets_a_fan_out_without_steps() -> None:
    found = stage("P -> [X, Y]", p=nothing, x=Total(), y=Total())
    assert names(found) == [
        ("Call", "P"),
        ("FanOutStage", "X[*]"),
        ("Reduce", "X"),
        ("Reduce", "Y"),
    ]
    assert isinstance(found[1], FanOutStage)
    assert (found[1].chains, found[1].over, found[1].tasks) == (((),), Upstream("P"), ())
    assert [s.over for s in found[2:]] == ["X[*]", "X[*]"]


def test_a_lone_reducer_takes_the_one_input() -> None:
    found = stage("task A:", {"rows"}, a=Total())
    assert found[0].over == Input("rows")
    with pytest.raises(BindError, match="nothing fills its chunk 'data'; no input is given"):
        stage("task A:", (), a=Total())


def test_a_function_without_parameters_only_waits() -> None:
    found = stage("A -> B", a=nothing, b=nothing)
    assert (found[1].arguments, found[1].after) == ({}, ("A",))


def test_defaults_are_filled_only_by_what_is_there() -> None:
    (call,) = stage("task A:", {"k"}, a=lambda k=1, other=2: 1)
    assert call.arguments == {"k": Input("k")}


def test_a_parameter_with_a_default_takes_the_only_upstream() -> None:
    assert stage("A -> B", a=nothing, b=lambda x=None: 1)[1].arguments == {"x": Upstream("A")}


def test_only_direct_upstreams_fill_parameters() -> None:
    with pytest.raises(BindError, match="no value for parameter 'a'"):
        stage("A -> B -> C", a=nothing, b=one, c=lambda b, a: 1)


def test_an_exact_name_wins_over_a_result_name() -> None:
    found = stage(
        "[Foo, FooResult] -> J", foo=nothing, foo_result=nothing, j=lambda foo, foo_result: 1
    )
    assert found[2].arguments == {"foo": Upstream("Foo"), "foo_result": Upstream("FooResult")}


def test_fallbacks_travel_with_what_fills_them() -> None:
    text = (
        "task A[*]:\n on_error: Careful\n task B:\n on_error: Simple\n task Careful:\n task "
        "Simple:\nP -> A -> B"
    )
    found = stage(
        text, {"k"}, p=nothing, a=lambda chunk, k: 1, b=one, careful=lambda piece, k=2: 2,
        simple=lambda: 3,
    )  # fmt: skip
    step = found[1].steps[0]
    assert step.fallback is not None
    assert (step.fallback.task.name, step.fallback.arguments) == ("Careful", {"k": Input("k")})
    assert isinstance(found[2], Call)
    assert found[2].fallback is not None
    assert (found[2].fallback.task.name, found[2].fallback.arguments) == ("Simple", {})
    assert [s.name for s in found] == ["P", "A", "B"]


def test_required_inputs_are_those_without_which_it_can_not_run() -> None:
    flow = parse_flow("flow F:\n P -> A[*] -> J").bind(
        {"p": lambda source, limit=3: 1, "a": lambda chunk, weights: 1, "j": lambda a, scale: 1}
    )
    assert required_inputs(flow) == flow.required_inputs == ("source", "weights", "scale")
    stages(flow, flow.required_inputs)


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        ("pd.DataFrame", "pandas"),
        ("pandas.DataFrame", "pandas"),
        ("DataFrame", "pandas"),
        ("pa.Table", "arrow"),
        ("pyarrow.Table", "arrow"),
        ("pl.DataFrame", "polars"),
        ("polars.DataFrame", "polars"),
        ("td.Chunk", "chunk"),
        ("Chunk", "chunk"),
        ("'pl.DataFrame'", "polars"),
        ("dict", "pandas"),
        ("dict[str, pl.DataFrame]", "pandas"),
        ("Unknown", "pandas"),
    ],
)
def test_a_text_annotation_says_what_a_chunk_is_read_as(annotation: str, kind: str) -> None:
    def process(chunk: Any) -> Any: ...

    process.__annotations__["chunk"] = annotation
    found = stage("A[*] -> J", {"chunk"}, a=process, j=one)
    assert found[0].steps[0].kind == kind


def test_an_annotation_is_read_through_the_functions_own_names() -> None:
    scope: dict[str, Any] = {}
    exec(
        "from __future__ import annotations\nimport pandas as pl\nimport pyarrow as arrow\n"
        "from pyarrow import Table as DataFrame\n"
        "def f(chunk: pl.DataFrame): ...\ndef g(chunk: arrow.Table): ...\n"
        "def h(chunk: DataFrame): ...\n",
        scope,
    )
    for name, kind in (("f", "pandas"), ("g", "arrow"), ("h", "arrow")):
        assert stage("task A[*]:", {"chunk"}, a=scope[name])[0].steps[0].kind == kind


def test_a_class_as_annotation_says_what_a_chunk_is_read_as() -> None:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from taskinity_data.chunks.chunk import Chunk

    kinds = {
        pd.DataFrame: "pandas",
        pa.Table: "arrow",
        pl.DataFrame: "polars",
        Chunk: "chunk",
        int: "pandas",
    }
    for annotation, kind in kinds.items():

        def process(chunk: Any) -> Any: ...

        process.__annotations__["chunk"] = annotation
        assert stage("task A[*]:", {"chunk"}, a=process)[0].steps[0].kind == kind


@pytest.mark.parametrize(
    "annotation", ["pl.LazyFrame", "pd.Series", "pa.RecordBatch", "dask.dataframe.DataFrame"]
)
def test_a_chunk_can_not_be_read_as_any_table(annotation: str) -> None:
    def process(chunk: Any) -> Any: ...

    process.__annotations__["chunk"] = annotation
    with pytest.raises(BindError, match="can't be read as"):
        stage("task A[*]:", {"chunk"}, a=process)
    found = stage("A[*] -> B[*]", {"x"}, a=one, b=process)
    assert chain(found[0]) == ["A", "B"]


def test_stages_pickle() -> None:
    found = stage("P -> A[*] -> J", p=nothing, a=one, j=one)
    assert pickle.loads(pickle.dumps(found)) == found


@st.composite
def graphs(draw: st.DrawFn) -> Flow:
    size = draw(st.integers(1, 7))
    labels = [f"T{index}x" for index in range(size)]
    possible = [(a, b) for i, a in enumerate(labels) for b in labels[i + 1 :]]
    edges = draw(st.lists(st.sampled_from(possible), unique=True)) if possible else []
    linked = {label for edge in edges for label in edge} or set(labels[:1])
    widths = {label: draw(st.sampled_from(["", "[*]", "[3]"])) for label in labels}
    lines = [f"task {label}{widths[label]}:" for label in labels if label in linked]
    flow = parse_flow("\n".join(["flow F:", *lines, *(f"{a} -> {b}" for a, b in edges)]))
    tasks: dict[str, Any] = {}
    for task in flow.tasks:
        ups = [name.lower() for name in flow.upstreams(task.name)] or ["data"]
        scope: dict[str, Any] = {}
        exec(f"def run({', '.join(ups)}): ...", scope)
        tasks[task.name] = scope["run"]
    return flow.bind(tasks)


@examples(150)
@given(graphs())
def test_every_task_runs_once_and_after_all_that_it_takes(flow: Flow) -> None:
    seen: set[str] = set()
    ran: list[str] = []
    for found in stages(flow, {"data"}):
        sources = [*found.arguments.values()] if not isinstance(found, FanOutStage) else [
            found.over, *(s for step in found.steps for s in step.arguments.values())
        ]  # fmt: skip
        for source in sources:
            assert not isinstance(source, Constant)
            assert not isinstance(source, Upstream) or source.task in seen
        assert set(found.after) <= seen
        ran += (
            [task.name for task in found.tasks] if isinstance(found, FanOutStage) else [found.name]
        )
        seen.add(found.name)
    assert sorted(ran) == sorted(task.name for task in flow.tasks)
