"""What a function promises of its input or output, checked where it runs."""

from __future__ import annotations

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data import errors
from taskinity_data.execution.worker.contracts import check_contract

FRAME = pd.DataFrame({"n": [3, -1, 5, -7], "t": ["a", "b", None, "d"]})


class SchemaErrors(Exception):
    """As pandera's: what failed is a table."""

    def __init__(self, cases):
        super().__init__("many words")
        self.failure_cases = pd.DataFrame(cases)


class Schema:
    """As a pandera schema: validates at once, or gathers where asked to."""

    name = "Delays"

    def validate(self, data, lazy=False):
        assert lazy
        bad = [
            {"column": "n", "check": "greater_than(0)", "failure_case": int(n), "index": row}
            for row, n in enumerate(data.n)
            if n <= 0
        ]
        if bad:
            raise SchemaErrors(bad)
        return data


class Plain:
    """Anything with a `.validate` of one argument."""

    def validate(self, data):
        if len(data) > 3:
            raise ValueError("too long")


def test_a_function_says_yes_no_or_for_each_row():
    for check in (lambda frame: None, lambda frame: True, lambda frame: frame.n < 9, None):
        check_contract(check, FRAME, "the input")

    def is_short(frame):
        return len(frame) < 3

    with pytest.raises(errors.SchemaError, match="the input did not pass is_short"):
        check_contract(is_short, FRAME, "the input")

    def is_positive(frame):
        return frame.n > 0

    with pytest.raises(errors.SchemaError, match="is_positive in 2 rows: 1, 3") as caught:
        check_contract(is_positive, FRAME, "the input")
    assert caught.value.row == 1
    with pytest.raises(
        errors.SchemaError, match=r"is_positive in 40 rows: 0, 1, 2, 3, 4 and 35 more"
    ):
        check_contract(is_positive, pd.DataFrame({"n": [-1] * 40}), "the input")


def test_what_a_check_raises_goes_on_as_it_is():
    def check(frame):
        assert "late" in frame, "no column late"

    with pytest.raises(AssertionError, match="no column late"):
        check_contract(check, FRAME, "the input")
    with pytest.raises(ValueError, match="too long"):
        check_contract(Plain(), FRAME, "the input")
    check_contract(Plain(), FRAME.head(2), "the input")


def test_a_schema_names_row_column_value_and_check():
    with pytest.raises(errors.SchemaError) as caught:
        check_contract(Schema(), FRAME, "the result of Clean")
    assert str(caught.value) == (
        "the result of Clean does not conform to Delays: row 1, column n: -1 fails "
        "greater_than(0); row 3, column n: -7 fails greater_than(0)"
    )
    assert (caught.value.row, caught.value.column, caught.value.value) == (1, "n", -1)


@pytest.mark.parametrize("which", ["validate_input", "validate_output"])
def test_a_contract_is_checked_for_each_chunk_and_bisect_leaves_out_the_rows(which):
    run = td.process(
        FRAME, lambda chunk: chunk, reduce=td.concat(), scheduler="threads", on_error="bisect",
        chunk_size="3 rows", **{which: Schema()},
    )  # fmt: skip
    assert list(run.value.n) == [3, 5]
    failures = run.failures.sort_values("start")
    assert list(failures.start) == [1, 3]
    assert "row 0, column n: -7 fails greater_than(0)" in failures.error.iloc[1]
