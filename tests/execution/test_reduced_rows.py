"""Reducers that take the rows from the reader, with no function between."""

import pandas as pd
import pytest

import taskinity_data as td

FLOW = "flow F:\n    DataPreparation -> AggregateResults"
QUIET = {"scheduler": "synchronous", "progress": False}


@pytest.fixture
def paths(tmp_path):
    """Two files, of which the second has a row that is not an integer."""
    found = [str(tmp_path / name) for name in ("good.csv", "bad.csv")]
    pd.DataFrame({"a": [1, 2, 3]}).to_csv(found[0], index=False)
    pd.DataFrame({"a": [4, 5, "x"]}).to_csv(found[1], index=False)
    return found


def bind(paths, text=FLOW):
    def data_preparation():
        return td.open_dataset(paths, dtype={"a": "int64"})

    return td.parse_flow(text).bind(
        {"data_preparation": data_preparation, "aggregate_results": td.count()}
    )


def test_a_read_error_under_a_reducer_of_the_rows_fails_the_run_with_its_facts(paths):
    with pytest.raises(td.errors.FlowFailed, match="'x' is not a valid int64") as caught:
        td.run_flow(bind(paths), chunk_size="6 B", **QUIET)
    run = caught.value.run
    assert run.status == "FAILED"
    assert list(run.failures["path"]) == [paths[1]]
    assert set(run.failures["task"]) == set(run.plans) == {"AggregateResults[*]"}


def test_the_plans_of_a_run_can_be_given_to_the_next(paths):
    run = td.run_flow(bind(paths[:1]), chunk_size="2 B", **QUIET)
    again = td.run_flow(bind(paths[:1]), plan=run.plans, **QUIET)
    assert again.value == run.value == 3
    assert list(again.outcomes["key"][1:-1]) == list(run.outcomes["key"][1:-1])


@pytest.mark.parametrize(("on_error", "rows"), [("skip", 3), ("bisect", 5)])
def test_a_failure_means_what_was_asked_for_where_no_function_is_given(paths, on_error, rows):
    run = td.process(
        paths, reduce=td.count(), dtype={"a": "int64"}, chunk_size="6 B", on_error=on_error,
        **QUIET,
    )  # fmt: skip
    assert (run.status, run.value) == ("PARTIAL", rows)


def test_reading_is_tried_again_where_no_function_is_given(paths):
    with pytest.raises(td.errors.FlowFailed) as caught:
        td.process(
            paths, reduce=td.count(), dtype={"a": "int64"}, chunk_size="6 B",
            retries=2, retry_delay=0, retry_on=(ValueError,), **QUIET,
        )  # fmt: skip
    assert list(caught.value.run.failures["attempts"]) == [3]


def test_a_validator_is_called_where_no_function_is_given(paths):
    def refuse(frame):
        raise ValueError("not these rows")

    with pytest.raises(td.errors.FlowFailed, match="not these rows"):
        td.process(paths[:1], reduce=td.count(), validate_input=refuse, **QUIET)


def test_a_fallback_value_stands_in_for_rows_that_cannot_be_read(paths):
    run = td.process(
        paths, reduce=td.count(), dtype={"a": "int64"}, chunk_size="6 B",
        on_error=td.value(pd.DataFrame({"a": [0]})), **QUIET,
    )  # fmt: skip
    assert run.status == "PARTIAL"
    assert run.ledger.loc["fallback", "bytes"] > 0
