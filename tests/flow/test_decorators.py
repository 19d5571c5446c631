"""Functions become tasks without changing, and a function's body becomes a flow."""

from __future__ import annotations

import functools
import importlib
import inspect
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from taskinity_data.errors import BindError, FlowError, SettingsError
from taskinity_data.flow.binding.signatures import mark_of
from taskinity_data.flow.decorators import flow, task
from taskinity_data.flow.flow import Flow
from taskinity_data.flow.keywords import KEYWORDS
from taskinity_data.flow.language.parser import parse_flow
from taskinity_data.flow.model import FlowInput
from taskinity_data.flow.recording import Handle
from taskinity_data.flow.stages import Call, Constant, FanOutStage, Input, Reduce, Upstream, stages
from taskinity_data.policy import Policy, value

if TYPE_CHECKING:
    from pathlib import Path


class Total:
    is_reducer = True


@task
def process_chunk(chunk: Any, weight: int = 1) -> Any:
    """Weigh one chunk.

    More.
    """
    return [chunk, weight]


@task(retries=2, timeout="30s", on_error="skip", description="Adds up")
def add_up(results: list[Any], scale: int = 1) -> int:
    return len(results) * scale


@task
def prepare(source: Any) -> Any:
    return source


# -- @task ----------------------------------------------------------------------------------------


def test_a_task_is_called_as_before() -> None:
    assert process_chunk(3, weight=4) == [3, 4]
    assert add_up([1, 2], scale=3) == 6


def test_a_task_looks_like_its_function() -> None:
    assert process_chunk.__name__ == "process_chunk"
    assert process_chunk.__doc__ is not None
    assert list(inspect.signature(process_chunk).parameters) == ["chunk", "weight"]
    assert inspect.isfunction(process_chunk)


def test_a_task_carries_policy_and_description() -> None:
    mark = mark_of(add_up)
    assert mark is not None
    assert mark.policy == Policy(retries=2, timeout_s=30.0, on_error="skip")
    assert mark.description == "Adds up"
    bare = mark_of(process_chunk)
    assert bare is not None
    assert (bare.name, bare.description, bare.policy) == (None, "Weigh one chunk.", Policy())


def test_a_task_pickles_by_module_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tasks_to_pickle.py").write_text(
        "from taskinity_data.flow.decorators import task\n"
        "@task(retries=1)\ndef double(x):\n    return 2 * x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    double = importlib.import_module("tasks_to_pickle").double
    dumped = pickle.dumps(double)
    assert pickle.loads(dumped) is double
    assert b"tasks_to_pickle" in dumped
    assert len(dumped) < 100
    sys.modules.pop("tasks_to_pickle")


def test_a_task_defined_in_main_travels_to_another_process_with_its_map() -> None:
    script = (
        "import cloudpickle, sys\n"
        "from taskinity_data.flow.decorators import flow, task\n"
        "@task(retries=1)\n"
        "def double(x):\n    return 2 * x\n"
        "half = task(lambda x: x / 2, name='Half')\n"
        "@flow\n"
        "def both(data):\n    return half(double.map(data))\n"
        "sys.stdout.buffer.write(cloudpickle.dumps((double, half, both)))\n"
    )
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    double, half, both = pickle.loads(run.stdout)
    assert (double(4), half(4)) == (8, 2)
    assert [str(one) for one in both.tasks] == ["Double[*]", "Half"]
    assert both.task("Double").function(1) == 2
    assert callable(double.map)


def test_lambdas_static_methods_and_partials_are_marked() -> None:
    class Tasks:
        @task
        @staticmethod
        def over(x: int) -> int:
            return x + 1

        @staticmethod
        @task(name="Under")
        def under(x: int) -> int:
            return x - 1

    assert (Tasks.over(1), Tasks().over(1), Tasks.under(1)) == (2, 2, 0)
    assert mark_of(Tasks.over) is not None
    assert mark_of(Tasks.under) is not None
    partial = task(functools.partial(max, 3))
    assert partial(5) == 5
    assert task(lambda x: x, name="Same")(7) == 7


def test_the_name_may_come_first() -> None:
    mark = mark_of(task("Clean")(lambda x: x))
    assert mark is not None
    assert mark.name == "Clean"
    with pytest.raises(SettingsError, match="passed twice"):
        task("Clean", name="Other")


def test_an_unknown_keyword_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="retires"):
        task(retires=3)  # type: ignore[call-overload] # the point of the test


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "two words"}, "is not a valid task name"),
        ({"retries": -1}, "whole number"),
        ({"retries": 1.5}, "whole number"),
        ({"retries": True}, "whole number"),
        ({"retry_delay": "soon"}, "retry_delay: 'soon' is not a duration"),
        ({"max_delay": -1}, "max_delay"),
        ({"timeout": 0}, "timeout: no task ends within 0 s"),
        ({"timeout": float("inf")}, "timeout"),
        ({"retry_on": "OSError"}, "retry_on: 'OSError' is not a class"),
        ({"give_up_on": (ValueError, 3)}, "give_up_on: 3 is not a class"),
        ({"on_error": "skp"}, "Did you mean 'skip'"),
        ({"on_error": 0}, "td.value"),
        ({"validate_input": 3}, "validate_input"),
        ({"resources": ["GPU"]}, "resources"),
        ({"resources": {"GPU": 0}}, "resources: 'GPU': 0"),
    ],
)
def test_a_value_that_can_not_be_meant_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        task(**options)


def test_values_of_all_kinds_reach_the_policy() -> None:
    class Contract:
        def validate(self, frame: Any) -> Any: ...

    contract = Contract()
    mark = mark_of(
        task(
            retries=1, retry_delay=2, max_delay="5m", retry_on=OSError, give_up_on=[KeyError],
            timeout="250ms", on_error=value(0), validate_input=len, validate_output=contract,
            resources={"GPU": 1},
        )(len)
    )  # fmt: skip
    assert mark is not None
    assert mark.policy == Policy(
        retries=1, retry_delay_s=2.0, max_delay_s=300.0, retry_on=(OSError,),
        give_up_on=(KeyError,), timeout_s=0.25, on_error=value(0), validate_input=len,
        validate_output=contract, resources={"GPU": 1},
    )  # fmt: skip


def test_what_can_not_be_a_task_is_refused_where_it_is_decorated() -> None:
    with pytest.raises(BindError, match="generator"):

        @task
        def steps() -> Any:
            yield 1

    with pytest.raises(BindError, match="async"):

        @task
        async def later() -> None: ...

    with pytest.raises(BindError, match="3 is not callable"):
        task(3)


def test_task_has_the_keywords_of_the_one_table() -> None:
    known = inspect.signature(task).parameters
    assert set(known) == {"function", "name", "description", *KEYWORDS}
    policy = Policy()
    for name, keyword in KEYWORDS.items():
        default = known[name].default
        value = keyword.check(name, default) if keyword.check else default
        assert value == getattr(policy, keyword.field), name


# -- @flow ----------------------------------------------------------------------------------------


def test_a_body_becomes_a_flow() -> None:
    @flow
    def flight_delays(data: Any, weight: int = 2) -> Any:
        """Mean delay.

        More.
        """
        return add_up(process_chunk.map(prepare(data), weight=weight))

    assert isinstance(flight_delays, Flow)
    assert (flight_delays.name, flight_delays.description) == ("FlightDelays", "Mean delay.")
    assert [str(one) for one in flight_delays.tasks] == ["Prepare", "ProcessChunk[*]", "AddUp"]
    assert flight_delays.edges == (("Prepare", "ProcessChunk"), ("ProcessChunk", "AddUp"))
    assert flight_delays.inputs == (FlowInput("data"), FlowInput("weight", False, 2))
    assert flight_delays.required_inputs == ("data",)
    assert flight_delays.is_bound
    assert flight_delays.last == "AddUp"
    assert flight_delays.task("AddUp").policy.retries == 2
    call, fan_out, last = stages(flight_delays, {"data"})
    assert isinstance(call, Call)
    assert isinstance(fan_out, FanOutStage)
    assert isinstance(last, Call)
    assert call.arguments == {"source": Input("data")}
    assert fan_out.over == Upstream("Prepare")
    assert fan_out.steps[0].arguments == {"weight": Constant(2)}
    assert last.arguments == {"results": Upstream("ProcessChunk")}
    _, fan_out, _ = stages(flight_delays, {"data", "weight"})
    assert fan_out.steps[0].arguments == {"weight": Input("weight")}


def test_name_and_description_may_be_given() -> None:
    @flow(name="Other", description="Text")
    def mine(data: Any) -> None:
        prepare(data)

    assert (mine.name, mine.description) == ("Other", "Text")


def test_the_text_of_a_python_flow_is_the_same_flow_unbound() -> None:
    @flow
    def delays(data: Any) -> Any:
        return add_up(process_chunk.map(prepare(data)))

    text = parse_flow(delays.to_text())
    assert [str(one) for one in text.tasks] == [str(one) for one in delays.tasks]
    assert text.edges == delays.edges
    bound = text.bind([prepare, process_chunk, add_up])
    assert [(s.name, type(s)) for s in stages(bound, {"source"})] == [
        (s.name, type(s)) for s in stages(delays, {"data"})
    ]
    assert [one.policy for one in bound.tasks] == [one.policy for one in delays.tasks]


def test_conditions_on_plain_values_and_loops_are_free() -> None:
    wide = True

    @flow
    def mine(data: Any) -> Any:
        last = prepare(data)
        for _ in range(2):
            last = process_chunk.map(last) if wide else process_chunk(last)
        return add_up(last, 3)

    assert [str(one) for one in mine.tasks] == [
        "Prepare", "ProcessChunk[*]", "ProcessChunk_2[*]", "AddUp",
    ]  # fmt: skip
    assert stages(mine, {"data"})[-1].arguments["scale"] == Constant(3)


def test_lists_and_paths_may_be_fanned_out_as_they_are() -> None:
    @flow
    def mine() -> Any:
        return add_up(process_chunk.map([1, 2, 3]))

    assert stages(mine)[0].over == Constant([1, 2, 3])


def test_a_reducer_is_called_as_a_task() -> None:
    total = Total()
    aggregate = task(total, name="AggregateResults")

    @flow
    def mine(data: Any) -> Any:
        return aggregate(process_chunk.map(data))

    assert mine.task("AggregateResults").function is total
    _, reduce = stages(mine, {"data"})
    assert isinstance(reduce, Reduce)
    assert reduce.over == "ProcessChunk"
    with pytest.raises(FlowError, match="outside the body of a flow"):
        aggregate([1])
    bound = parse_flow("flow F:\n A[*] -> AggregateResults").bind([aggregate, task(len, name="A")])
    assert bound.task("AggregateResults").function is total
    unnamed = task(Total())

    @flow
    def rows(data: Any) -> Any:
        return unnamed(data)

    assert [s.name for s in stages(rows, {"data"})] == ["Total[*]", "Total"]


def test_side_by_side_tasks_need_no_edge_in_python() -> None:
    @flow
    def mine(left: Any, right: Any) -> None:
        prepare(left)
        process_chunk(right)

    assert mine.edges == ()
    assert len(stages(mine, {"left", "right"})) == 2


def test_what_the_body_returns_is_the_flows_value() -> None:
    @flow
    def mine(data: Any) -> Any:
        first = prepare(data)
        add_up(process_chunk.map(first))
        return first

    assert mine.last == "Prepare"


def test_a_result_that_is_the_value_is_not_hidden_in_a_chain() -> None:
    @flow
    def mine(data: Any) -> Any:
        first = process_chunk.map(data)
        process_chunk.map(first)
        return first

    assert [s.name for s in stages(mine, {"data"})] == ["ProcessChunk", "ProcessChunk_2"]


MISUSES: dict[str, Any] = {
    "bool": bool,
    "iteration": list,
    "len": len,
    "index": lambda one: one[0],
    "attribute": lambda one: one.columns,
    "call": lambda one: one(),
    "sum": lambda one: one + 1,
    "comparison": lambda one: one > 3,
    "equality": lambda one: one == 3,
    "membership": lambda one: 3 in one,
    "text": "{}".format,
    "str": str,
    "int": int,
    "unpacking": lambda one: [*one],
    "path": open,
}


@pytest.mark.parametrize("name", MISUSES)
def test_a_handle_misused_is_a_clear_error(name: str) -> None:
    def body(data: Any) -> Any:
        MISUSES[name](prepare(data))

    with pytest.raises(FlowError, match=r"result of task Prepare.*does not exist yet.*@td.task"):
        flow(body)
    with pytest.raises(FlowError, match="the input 'data'"):
        flow(lambda data: MISUSES[name](data))


def test_a_handle_can_be_shown_and_kept_in_a_set() -> None:
    def body(data: Any) -> Any:
        assert repr(data) == "<the input 'data'>"
        assert len({data, prepare(data)}) == 2
        assert isinstance(data, Handle)
        return prepare(data)

    assert flow(name="X")(body).name == "X"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (lambda data: process_chunk(), "nothing fills 'chunk'"),
        (lambda data: process_chunk(data, wieght=3), "Did you mean 'weight'"),
        (lambda data: process_chunk(data, 1, 2), "3 arguments for 2 parameters"),
        (lambda data: process_chunk(data, chunk=1), "passed twice"),
        (lambda data: process_chunk.map(), "nothing fills 'chunk'"),
        (lambda data: task(lambda: 1, name="None_").map(), "to fan out over"),
        (lambda data: add_up([data, data]), "holds results within a list"),
        (lambda data: add_up({"a": data}), "holds results within a dict"),
        (lambda data: task(lambda x: x)(data), "a lambda needs a name"),
        (lambda data: 3, "its body returns int"),
        (lambda data: (prepare(data), 1), "its body returns tuple"),
        (lambda data: data, "its body returns Handle"),
        (lambda data: None, "at least one task"),
    ],
)
def test_a_body_that_can_not_be_a_flow_is_a_clear_error(body: Any, said: str) -> None:
    with pytest.raises(FlowError, match=said):
        flow(body)


def test_a_handle_of_another_flow_is_refused() -> None:
    kept: list[Any] = []

    @flow(name="First")
    def first(data: Any) -> Any:
        kept.append(data)
        return prepare(data)

    with pytest.raises(FlowError, match="another flow's body"):
        flow(lambda data: prepare(kept[0]))


def test_map_outside_of_a_body_says_so() -> None:
    with pytest.raises(FlowError, match="in the body of a function"):
        process_chunk.map([1])


def test_parameters_of_a_flow_need_names() -> None:
    with pytest.raises(FlowError, match="'data' can't be passed by keyword"):
        flow(lambda *data: None)
    with pytest.raises(FlowError, match="not for int"):
        flow(3)  # type: ignore[call-overload] # the point of the test


def test_a_body_that_fails_leaves_no_recording_behind() -> None:
    with pytest.raises(ZeroDivisionError):
        flow(lambda data: 1 / 0)
    assert process_chunk(1) == [1, 1]


def test_inputs_of_a_python_flow_are_checked() -> None:
    @flow
    def mine(data: Any, weight: int = 1) -> Any:
        return add_up(process_chunk.map(data, weight=weight))

    with pytest.raises(BindError) as caught:
        stages(mine, {"dat"})
    assert caught.value.problems == (
        "the input 'data' is missing; given: dat. Did you mean 'dat'?",
        "the flow has no input 'dat'. Did you mean 'data'?",
    )


def test_functions_of_a_python_flow_can_be_replaced() -> None:
    @flow
    def mine(data: Any) -> Any:
        return add_up(process_chunk.map(data, weight=3))

    stub = mine.bind({"process_chunk": lambda chunk, weight: 0})
    assert stages(stub, {"data"})[0].steps[0].task.function(1, weight=2) == 0
    with pytest.raises(BindError, match="the function has no parameter 'weight'"):
        mine.bind({"process_chunk": lambda chunk: 0})


def test_a_fallback_function_gets_the_arguments_that_it_names() -> None:
    careful = task(on_error=lambda piece, weight: 1, name="Careful")(lambda chunk, weight, k=1: 1)

    @flow
    def mine(data: Any) -> Any:
        return add_up(careful.map(data, weight=3, k=2))

    step = stages(mine, {"data"})[0].steps[0]
    assert step.fallback is not None
    assert step.fallback.arguments == {"weight": Constant(3)}


def test_a_flow_that_is_called_says_how_it_is_run() -> None:
    @flow
    def whole(data: Any) -> Any:
        return process_chunk.map(data)

    with pytest.raises(BindError, match=r"run it with td\.run_flow\(flow, data=\.\.\.\)"):
        whole([1])
    with pytest.raises(BindError, match=r"item 1 of the list: Flow.* is not callable"):
        whole.bind([whole])
    with pytest.raises(FlowError, match="@flow is for functions, not for Flow"):
        flow(whole)
