"""Functions find their tasks, and all that does not fit is told before anything runs."""

from __future__ import annotations

import functools
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from taskinity_data.errors import BindError
from taskinity_data.flow.decorators import task
from taskinity_data.flow.language.parser import parse_flow
from taskinity_data.flow.naming import is_name, split_number, to_camel, to_snake
from taskinity_data.flow.stages import stages

if TYPE_CHECKING:
    from taskinity_data.flow.flow import Flow

THREE = parse_flow("flow Three:\n DataPreparation -> ProcessChunk[*] -> AggregateResults")
SIBLINGS = parse_flow(
    "flow Four:\n DataPreparation -> [ProcessChunk1, ProcessChunk2, ProcessChunk3]"
    " -> AggregateResults"
)


@dataclass(frozen=True)
class Total:
    """Looks like a reducer."""

    is_reducer = True


def data_preparation(data: Any) -> Any: ...
def process_chunk(chunk: Any) -> Any: ...
def aggregate_results(results: Any) -> Any: ...


FUNCTIONS = [data_preparation, process_chunk, aggregate_results]


def problems_of(flow: Flow, tasks: Any, inputs: Any = None) -> tuple[str, ...]:
    with pytest.raises(BindError) as caught:
        stages(flow.bind(tasks), inputs or ())
    return caught.value.problems


def bind_three(**functions: Any) -> Flow:
    return THREE.bind(
        {"data_preparation": data_preparation, "process_chunk": process_chunk,
         "aggregate_results": aggregate_results, **functions}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("camel", "snake"),
    [
        ("ProcessChunk", "process_chunk"),
        ("ProcessChunk12", "process_chunk12"),
        ("ParseCSVFile", "parse_csv_file"),
        ("HTTPServer", "http_server"),
        ("CSV2Parquet", "csv2_parquet"),
        ("TopK", "top_k"),
        ("ABTest", "ab_test"),
        ("A", "a"),
        ("process_chunk", "process_chunk"),
        ("Process_Chunk", "process_chunk"),
        ("PrzetwórzŹdźbło", "przetwórz_źdźbło"),
        ("_Hidden", "_hidden"),
    ],
)
def test_names_of_tasks_and_functions_correspond(camel: str, snake: str) -> None:
    assert to_snake(camel) == snake
    assert to_snake(snake) == snake
    assert to_snake(to_camel(snake)) == snake.lstrip("_")


def test_numbers_at_the_end_are_split_off() -> None:
    assert split_number("Part10") == ("Part", 10)
    assert split_number("Part01") is None
    assert split_number("7") is None


def test_names_are_normalized_identifiers() -> None:
    assert is_name("Größe")
    assert not is_name("\ufb01le")  # the ligature, which Python would read as "file"


@pytest.mark.parametrize(
    "tasks",
    [
        FUNCTIONS,
        tuple(FUNCTIONS),
        {function.__name__: function for function in FUNCTIONS},
        {"DataPreparation": data_preparation, "ProcessChunk": process_chunk,
         "AggregateResults": aggregate_results},
    ],
)  # fmt: skip
def test_lists_and_dicts_bind_by_name(tasks: Any) -> None:
    bound = THREE.bind(tasks)
    assert [one.function for one in bound.tasks] == FUNCTIONS
    assert bound.is_bound
    assert not THREE.is_bound
    assert bound != THREE
    assert bound == THREE.bind(FUNCTIONS)
    assert bound.required_inputs == ("data",)


def test_a_module_binds_by_attribute_and_leaves_others_alone() -> None:
    module = types.ModuleType("mine")
    vars(module).update({f.__name__: f for f in FUNCTIONS}, helper=print, limit=3)
    assert THREE.bind(module).is_bound


def test_a_module_with_a_slip_suggests_the_name() -> None:
    module = types.ModuleType("mine")
    vars(module).update(data_preparation=data_preparation, proces_chunk=process_chunk,
                        aggregate_results=aggregate_results)  # fmt: skip
    (problem,) = problems_of(THREE, module)
    assert "task ProcessChunk has no function" in problem
    assert "Did you mean 'proces_chunk'?" in problem


def test_a_module_with_a_value_in_the_place_of_a_function() -> None:
    module = types.ModuleType("mine")
    vars(module).update({f.__name__: f for f in FUNCTIONS}, process_chunk=3)
    (problem,) = problems_of(THREE, module)
    assert "3 is not callable" in problem


def test_a_function_is_preferred_to_a_class_of_the_same_name() -> None:
    module = types.ModuleType("mine")
    vars(module).update(
        {f.__name__: f for f in FUNCTIONS}, ProcessChunk=type("ProcessChunk", (), {})
    )
    assert THREE.bind(module).task("ProcessChunk").function is process_chunk


def test_a_marked_function_goes_by_the_name_of_its_mark() -> None:
    marked = task(name="ProcessChunk", retries=4, description="Counts")(len)
    bound = THREE.bind([data_preparation, marked, aggregate_results])
    chunk = bound.task("ProcessChunk")
    assert chunk.function is marked
    assert chunk.policy.retries == 4
    assert chunk.description == "Counts"


def test_what_the_text_states_wins_over_the_mark() -> None:
    flow = parse_flow('flow F:\n task A:\n  retries: 0\n  description: "text"')
    bound = flow.bind([task(retries=5, timeout=3, description="mark", name="A")(lambda: 1)])
    policy = bound.task("A").policy
    assert (policy.retries, policy.timeout_s, bound.task("A").description) == (0, 3.0, "text")


def test_all_problems_are_told_at_once() -> None:
    def agregate_results(results: Any) -> Any: ...

    problems = problems_of(
        THREE, {"data_preparation": 5, "agregate_results": agregate_results, 3: len}
    )
    assert len(problems) == 5
    said = "\n".join(problems)
    assert "5 is not callable" in said
    assert "task ProcessChunk has no function: expected one called process_chunk." in said
    assert "one called aggregate_results. Did you mean 'agregate_results'?" in said
    assert (
        "'agregate_results' matches no task of the flow. Did you mean 'aggregate_results'?" in said
    )
    assert "3 is not a name for a task" in said


@pytest.mark.parametrize("tasks", [None, "mine", process_chunk, 3])
def test_tasks_of_another_kind_are_refused(tasks: Any) -> None:
    assert "a module, a dict by name or a list" in problems_of(THREE, tasks)[0]


def test_nameless_functions_in_a_list_ask_for_a_dict() -> None:
    problems = problems_of(THREE, [data_preparation, lambda chunk: chunk, Total(), 7])
    assert any("item 2 of the list is a lambda" in problem for problem in problems)
    assert any("item 3 of the list is a reducer" in problem for problem in problems)
    assert any("item 4 of the list: 7 is not callable" in problem for problem in problems)


def test_two_functions_for_one_task_are_refused() -> None:
    problems = problems_of(THREE, {**dict.fromkeys(["ProcessChunk"], len), "process_chunk": sum})
    assert "two functions are handed over for process_chunk" in problems


def test_partials_callable_objects_and_methods_are_functions() -> None:
    class AggregateResults:
        def __call__(self, results: Any) -> Any: ...

    class Reader:
        def data_preparation(self, data: Any) -> Any: ...

    def process_chunk(factor: int, chunk: Any, offset: int = 0) -> Any: ...

    partial = functools.partial(process_chunk, 3)
    bound = THREE.bind([Reader().data_preparation, partial, AggregateResults()])
    first, second, third = stages(bound, {"data", "offset"})
    assert set(first.arguments) == {"data"}
    assert set(second.steps[0].arguments) == {"offset"}
    assert set(third.arguments) == {"results"}


def test_builtins_with_and_without_a_signature_take_one_thing_by_position() -> None:
    for builtin in (len, max, sum, sorted, dict):
        last = stages(bind_three(aggregate_results=builtin), {"data"})[-1]
        assert len(last.positional) == 1
        assert list(last.arguments) == list(last.positional)


def test_a_function_of_any_arguments_takes_its_chunk_by_position() -> None:
    bound = bind_three(
        process_chunk=lambda *parts, **_: parts, aggregate_results=lambda *all_: all_
    )
    _, fan_out, last = stages(bound, {"data"})
    assert fan_out.steps[0].task.function("piece") == ("piece",)
    assert last.task.function([1]) == ([1],)


async def wait(chunk: Any) -> Any: ...
def yield_all(chunk: Any) -> Any:
    yield chunk


async def yield_later(chunk: Any) -> Any:
    yield chunk


class Waiter:
    async def __call__(self, chunk: Any) -> Any: ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (wait, "async"),
        (yield_later, "async"),
        (Waiter(), "async"),
        (functools.partial(wait), "async"),
        (yield_all, "generator"),
        (None, "not callable"),
        (lambda: 1, "no parameter to take its chunk"),
        (lambda *, chunk: 1, "by name only"),
        (lambda chunk, data, /: 1, "drop the '/'"),
        (lambda chunk, extra: 1, "no value for parameter 'extra'"),
    ],
)
def test_what_can_not_be_a_chunk_function_is_refused(function: Any, said: str) -> None:
    tasks = {"data_preparation": data_preparation, "process_chunk": function,
             "aggregate_results": aggregate_results}  # fmt: skip
    (problem,) = problems_of(THREE, tasks, {"data"})
    assert problem.startswith("task ProcessChunk: ")
    assert said in problem


def test_results_are_not_dropped_by_a_function_of_any_keywords() -> None:
    tasks = {"data_preparation": data_preparation, "process_chunk": process_chunk,
             "aggregate_results": lambda **results: results}  # fmt: skip
    (problem,) = problems_of(THREE, tasks, {"data"})
    assert problem.startswith("task AggregateResults: it takes **results alone")


def test_a_missing_input_is_told_with_close_names() -> None:
    problems = problems_of(THREE, FUNCTIONS, {"dat"})
    assert problems == (
        ("task DataPreparation: no value for parameter 'data'; given: dat. Did you mean 'dat'?"),
        "no function takes the input 'dat'. Did you mean 'data'?",
    )


def test_an_extra_input_is_an_error() -> None:
    (problem,) = problems_of(THREE, FUNCTIONS, {"data", "limit"})
    assert problem == "no function takes the input 'limit'."


def test_an_input_called_like_a_chunk_is_not_the_chunk() -> None:
    (problem,) = problems_of(THREE, FUNCTIONS, {"data", "chunk"})
    assert problem == "no function takes the input 'chunk': the parameter of that name is a chunk"


def test_an_input_and_an_upstream_can_not_fill_the_same_parameter() -> None:
    flow = parse_flow("flow F:\n [Left, Right] -> Join")
    tasks = {"left": lambda: 1, "right": lambda: 2, "join": lambda left, right: 3}
    (problem,) = problems_of(flow, tasks, {"left"})
    assert "parameter 'left' matches both" in problem


def test_an_input_does_not_push_the_only_upstream_aside() -> None:
    tasks = [data_preparation, process_chunk]
    aggregate = {f.__name__: f for f in tasks} | {"aggregate_results": lambda data: data}
    (problem,) = problems_of(THREE, aggregate, {"data"})
    assert "parameter 'data' matches both" in problem
    assert "ProcessChunk" in problem


def test_a_result_that_no_parameter_takes_is_an_error() -> None:
    flow = parse_flow("flow F:\n [Left, Right] -> Join")
    tasks = {"left": lambda: 1, "right": lambda: 2, "join": lambda left, rigth=None, other=1: 3}
    flow.bind(tasks | {"join": lambda: 3})
    (problem,) = problems_of(flow, tasks | {"join": lambda left: 3})
    assert "no parameter takes the result of Right: add one called 'right'." in problem
    (problem,) = problems_of(flow, tasks)
    assert "Did you mean 'rigth'?" in problem


def test_chunks_that_could_come_from_two_upstreams_are_an_error() -> None:
    flow = parse_flow("flow F:\n [Left, Right] -> Join[*]")
    tasks = {"left": lambda: 1, "right": lambda: 2, "join": lambda chunk: 3}
    (problem,) = problems_of(flow, tasks)
    assert "could come from Left or Right" in problem


def test_siblings_bind_one_function_or_each_its_own() -> None:
    shared = SIBLINGS.bind(FUNCTIONS)
    assert {shared.task(f"ProcessChunk{n}").function for n in (1, 2, 3)} == {process_chunk}
    own = {f"process_chunk{n}": (lambda chunk, n=n: n) for n in (1, 2, 3)}
    rest = {"data_preparation": data_preparation, "aggregate_results": aggregate_results}
    bound = SIBLINGS.bind(rest | own)
    assert [bound.task(f"ProcessChunk{n}").function for n in (1, 2, 3)] == list(own.values())


def test_siblings_with_a_mix_of_both_are_an_error() -> None:
    tasks = {f.__name__: f for f in FUNCTIONS} | {"process_chunk2": process_chunk}
    (problem,) = problems_of(SIBLINGS, tasks)
    assert "bind either process_chunk or process_chunk1 to process_chunk3, not both" in problem


def test_siblings_without_any_function_are_one_problem() -> None:
    problems = problems_of(SIBLINGS, [data_preparation, aggregate_results])
    assert problems == (
        (
            "tasks ProcessChunk1 to ProcessChunk3 have no function: expected process_chunk for "
            "all, or process_chunk1 to process_chunk3."
        ),
    )


def test_siblings_with_some_functions_name_the_others() -> None:
    tasks = {"data_preparation": data_preparation, "aggregate_results": aggregate_results,
             "process_chunk1": process_chunk}  # fmt: skip
    problems = problems_of(SIBLINGS, tasks)
    assert [problem.split(":")[0] for problem in problems] == [
        "task ProcessChunk2 has no function",
        "task ProcessChunk3 has no function",
    ]


def test_siblings_must_divide_the_same_thing() -> None:
    flow = parse_flow("flow F:\n [A, B] -> [Part1, Part2]")
    tasks = {"a": lambda: 1, "b": lambda: 2, "part1": lambda a, b: 1, "part2": lambda b, a: 2}
    (problem,) = problems_of(flow, tasks)
    assert "must divide one thing" in problem


def test_a_reducer_can_not_be_a_fan_out_or_have_two_upstreams() -> None:
    (problem,) = problems_of(THREE, dict.fromkeys(["data_preparation", "process_chunk",
                                                   "aggregate_results"], Total()))  # fmt: skip
    assert "can't be a fan-out" in problem
    flow = parse_flow("flow F:\n [A[*], B[*]] -> C")
    (problem,) = problems_of(flow, {"a": process_chunk, "b": process_chunk, "c": Total()})
    assert "a reducer takes one result, not those of A and B" in problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("flow F:\n task A:\n  on_error: bisect", "bisect halves chunks"),
        ("flow F:\n task B:\n  on_error: skip\n A[*] -> B", "a reducer's on_error is fail"),
    ],
)
def test_policies_that_can_not_be_meant_are_refused(text: str, said: str) -> None:
    flow = parse_flow(text)
    given = {"a": process_chunk, "b": Total()}
    tasks = {key: given[key] for key in given if key.upper() in {one.name for one in flow.tasks}}
    (problem,) = problems_of(flow, tasks)
    assert said in problem


def test_a_fallback_is_checked_like_the_task_it_stands_in_for() -> None:
    flow = parse_flow("flow F:\n task A[*]:\n  on_error: Careful\n task Careful:\n A -> B")
    tasks = {"a": process_chunk, "b": aggregate_results}
    assert "task Careful has no function" in problems_of(flow, tasks)[0]
    (problem,) = problems_of(flow, tasks | {"careful": lambda: 1})
    assert problem == "task Careful: it has no parameter to take its chunk"
    (problem,) = problems_of(flow, tasks | {"careful": Total()})
    assert "its fallback is a reducer" in problem
    marked = task(name="A", on_error=lambda: 1)(process_chunk)
    flow = parse_flow("flow F:\n A[*] -> B")
    (problem,) = problems_of(flow, {"A": marked, "b": aggregate_results})
    assert problem == "task A (its fallback): it has no parameter to take its chunk"


def test_an_unbound_flow_has_no_stages_and_no_required_inputs() -> None:
    with pytest.raises(BindError, match="bind the flow first"):
        stages(THREE, ())
    with pytest.raises(BindError, match="bind the flow first"):
        _ = THREE.required_inputs


def test_binding_again_replaces_some_functions_and_keeps_the_rest() -> None:
    bound = THREE.bind(FUNCTIONS)
    again = bound.bind({"process_chunk": len})
    assert again.task("ProcessChunk").function is len
    assert again.task("DataPreparation").function is data_preparation
    assert bound.bind({}) == bound


def test_a_chunk_is_left_nothing_where_other_parameters_take_all() -> None:
    flow = parse_flow("flow F:\n A -> B[*]")
    (problem,) = problems_of(flow, {"a": lambda: 1, "b": lambda chunk, a: 1})
    assert "nothing is left for its chunk 'chunk'" in problem


def test_a_gap_among_parameters_by_position_is_an_error() -> None:
    flow = parse_flow("flow F:\n task A:")
    bound = flow.bind({"a": lambda x=1, y=2, /: 1})
    assert stages(bound, {"x", "y"})[0].positional == ("x", "y")
    with pytest.raises(BindError, match="'y' can't be passed by position while 'x' is not"):
        stages(bound, {"y"})


def test_a_signature_that_lies_is_told() -> None:
    def strange(x: Any) -> Any: ...

    strange.__signature__ = "(x)"  # type: ignore[attr-defined] # the point of the test
    (problem,) = problems_of(parse_flow("flow F:\n task A:"), {"a": strange})
    assert "its signature can't be read" in problem


def test_annotations_of_callable_objects_and_generics_are_read() -> None:
    class Process:
        def __call__(self, chunk: pl.DataFrame) -> Any: ...  # noqa: F821 - only a text here

    def items(chunk: Any) -> Any: ...

    items.__annotations__["chunk"] = list[int]
    flow = parse_flow("flow F:\n task Process[*]:")
    assert stages(flow.bind([Process()]), {"x"})[0].steps[0].kind == "polars"
    assert stages(flow.bind({"process": items}), {"x"})[0].steps[0].kind == "pandas"


def test_everything_is_checked_before_anything_is_called() -> None:
    called = []
    bound = bind_three(data_preparation=lambda data: called.append(data))
    stages(bound, {"data"})
    with pytest.raises(BindError):
        stages(bound, {"other"})
    assert called == []
