"""A result too large to travel is its chunk's failure, with its size and what to do."""

from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.errors import FlowFailed, TooLargeToSend
from taskinity_data.execution.worker.shipping import pack_outcome, unpack_outcomes
from taskinity_data.machine import limit_results, memory_limit
from taskinity_data.outcome import Attempt, Outcome, Status

FRAME = pd.DataFrame({"n": range(40)})
MEMORY = 30 << 20
"""A worker's, of which a third may travel: 10 MiB."""


def wide(chunk):
    """12 MiB for the chunk that has row 20, little for the others."""
    return pd.DataFrame({"x": np.zeros(3 << 19 if (chunk.n == 20).any() else 1)})


def text(chunk):
    return "x" * (12 << 20 if (chunk.n == 20).any() else 1)


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(1) as made:
        yield made


def go(function, scheduler, **options):
    base = {"reduce": td.concat(), "chunk_size": "10 rows", "memory": MEMORY}
    return td.process(FRAME, function, scheduler=scheduler, **(base | options))


def test_the_limit_is_a_third_of_the_least_memory():
    here = memory_limit()
    assert limit_results(None) == here // 3
    assert limit_results(300 << 20) == 100 << 20
    assert limit_results(here * 2) == here // 3
    assert limit_results(1) == 8 << 20


@pytest.mark.parametrize("function", [wide, text])
def test_it_fails_its_chunk_alone_and_names_size_and_remedy(pool, function):
    reduce = td.concat() if function is wide else td.collect()
    with pytest.raises(FlowFailed) as caught:
        go(function, pool, reduce=reduce, retries=3, retry_delay=0)
    told = str(caught.value)
    assert "12.6 MB) is too large to be sent" in told
    assert "10.5 MB may travel" in told
    for remedy in ("output=", "reduce=", "chunk_size="):
        assert remedy in told
    run = go(function, pool, reduce=reduce, on_error="skip", max_failures=1)
    (row,) = run.failures.to_dict("records")
    assert row["attempts"] == 1
    assert (run.outcomes.status == "COMPLETED").sum() >= 3


def test_written_or_reduced_where_it_is_made_it_need_not_travel(pool, tmp_path):
    run = go(wide, pool, reduce=None, output=tmp_path / "out")
    assert run.output.rows == (3 << 19) + 3
    assert go(wide, pool, reduce=td.count()).value == (3 << 19) + 3


def test_in_this_process_nothing_travels():
    assert len(go(wide, "threads").value) == (3 << 19) + 3
    assert len(go(wide, "synchronous").value) == (3 << 19) + 3


def wider(chunk):
    return np.zeros(14 << 20)


def test_from_a_child_process_it_is_refused_as_well():
    options = {"memory": 300 << 20, "timeout": 60, "workers": 1, "chunk_size": "40 rows"}
    with pytest.raises(FlowFailed, match=r"ndarray, 117.4 MB\) is too large to be sent"):
        go(wider, "threads", reduce=td.collect(), **options)


def test_what_can_be_measured_is_not_packed(monkeypatch):
    frame = pd.DataFrame({"x": np.zeros(1 << 10)})
    outcome = Outcome("A", "k", Status.COMPLETED, (Attempt(1, 0.0, 0.0, "w"),), value=((), frame))
    assert unpack_outcomes([pack_outcome(outcome, 1 << 14)])[0].status is Status.COMPLETED
    # What stands around the values counts once it is packed.
    assert isinstance(
        unpack_outcomes([pack_outcome(outcome, 1 << 13)])[0].failure.error, TooLargeToSend
    )
    monkeypatch.setattr(pd.DataFrame, "__reduce_ex__", lambda *_: pytest.fail("packed"))
    again = unpack_outcomes([pack_outcome(outcome, 1 << 12)])[0]
    assert again.status is Status.FAILED
    assert (again.failure.error.nbytes, again.failure.error.max_nbytes) == (1 << 13, 1 << 12)
