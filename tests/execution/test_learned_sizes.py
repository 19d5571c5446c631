"""What sizes of chunks are learned from: recorded times, none measured here."""

from __future__ import annotations

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.chunks.sizing import Learner, Observation, Size
from taskinity_data.execution.fan_out import RunningFanOut
from taskinity_data.execution.item_costs import ItemCosts
from taskinity_data.execution.worker.job import Item, Job
from taskinity_data.outcome import Attempt, Outcome, Status


def _end_chunks(*took):
    """A fan-out of 100 chunks of which the first have ended, and took what is given for each."""
    plan = td.open_dataset(pd.DataFrame({"n": range(4_000)})).plan(chunk_size="40 rows")
    fan_out = RunningFanOut(
        Job("P", ((),)),
        plan,
        total_nbytes=plan.nbytes,
        total_items=100,
        learner=Learner(Size(320, "the first size")),
        adapts=True,
    )
    batches = [fan_out.take_batch(2) for _ in took]
    for (item,), facts in zip(batches, took, strict=True):
        attempt = Attempt(1, 0.0, worker="w", **facts)
        outcome = Outcome("P", item.key, Status.COMPLETED, (attempt,), value=((), None))
        fan_out.end(item, outcome, shares_process=False)
    return fan_out


def _next_size(**took):
    """The next chunk's bytes, once the first has ended and took so long."""
    return _end_chunks(took).next_target().target_nbytes


def test_what_is_left_is_estimated_by_the_last_chunks_where_they_cost_more():
    def left_s(*durations_s):
        fan_out = _end_chunks(*({"duration_s": each, "cpu_s": each} for each in durations_s))
        return fan_out.estimate_remaining_s(1, 0.0)

    even = left_s(*[1.0] * 8)
    assert even == pytest.approx(92.0)
    assert left_s(*[0.5] * 4, *[2.0] * 4) == pytest.approx(2 * even)
    assert left_s(*[2.0] * 4, *[0.5] * 4) == pytest.approx(1.25 * even)


def test_sizes_follow_what_chunks_take_and_not_what_other_programs_take_meanwhile():
    alone = _next_size(duration_s=2.0, cpu_s=1.9)
    assert _next_size(duration_s=20.0, cpu_s=1.9, queued_s=18.0) == alone
    assert _next_size(duration_s=20.0, cpu_s=1.9) < alone  # it waited for something else
    assert _next_size(duration_s=2.0, cpu_s=0.1) == alone


@pytest.mark.parametrize(("parts", "mebibytes"), [(1, 8), (4, 2), (16, 1)])
def test_until_a_chunk_has_ended_the_first_size_may_be_cut_in_parts(parts, mebibytes):
    costs = ItemCosts(Learner(Size(8 << 20, "first size")), parts)
    size = costs.next_size(0, 1 << 34, 2, 0)
    assert size.target_nbytes == mebibytes << 20
    assert "first size" in size.reason
    outcome = Outcome("P", "key", Status.COMPLETED, (Attempt(1, 0.0, 0.1, "w"),), value=((), None))
    costs.end(Item("key", counted_rows=1), outcome, shares_process=False)
    learner = Learner(Size(8 << 20, "first size")).observe(Observation(1, 0.1))
    assert costs.next_size(1, 1 << 34, 2, 0) == learner.next_size(1 << 34, 2, 0)


@pytest.mark.parametrize("scheduler", [None, "threads"])
def test_threads_that_processes_may_replace_begin_with_smaller_chunks(tmp_path, scheduler):
    path = tmp_path / "numbers.csv"
    path.write_text("n\n" + 2_000_000 * "123456789\n")
    run = td.process(path, len, reduce=sum, workers=2, scheduler=scheduler)
    assert run.value == 2_000_000
    reason = run.sizes["ProcessChunk"][0][2]
    assert ("a part of the first size" in reason) is (scheduler is None)


def test_a_small_first_size_has_no_parts():
    costs = ItemCosts(Learner(Size(320, "first size")), 4)
    assert costs.next_size(0, 1 << 34, 2, 0).target_nbytes == 320


def test_larger_chunks_behind_a_small_one_make_no_larger_batch():
    plan = td.open_dataset(pd.DataFrame({"n": range(4_000)})).plan(chunk_size="40 rows")
    halves = plan[1].split()
    chunks = [plan[0], halves[0], *plan[2:]]
    fan_out = RunningFanOut(
        Job("P", ((),)),
        chunks,
        total_nbytes=plan.nbytes,
        learner=Learner(Size(320, "as requested")),
    )
    ((first,),) = fan_out.take_batches(1, 2)
    attempt = Attempt(1, 0.0, duration_s=0.01, worker="w")
    outcome = Outcome("P", first.key, Status.COMPLETED, (attempt,), value=((), None))
    fan_out.end(first, outcome, shares_process=False)
    # 30 ms of work are six of the half ones, but three of the others.
    assert [item.nbytes for item in fan_out.take_batch(2)] == [160, 320, 320, 320]


def test_small_data_of_built_in_reducers_alone_are_one_chunk(tmp_path):
    path = tmp_path / "small.csv"
    path.write_text("key,value\n" + "a,1\nb,2\n" * 40_000)

    def count_chunks(function=None, **options):
        run = td.process(path, function, reduce=td.count(), progress=False, workers=2, **options)
        assert run.value == 80_000
        return len(run.plan)

    assert count_chunks() == 1
    # A function may take long for a few records, and what is in memory may be many times the text.
    assert count_chunks(lambda chunk: chunk) > 1
    assert count_chunks(memory="16MiB") > 1


def test_many_small_files_are_no_one_chunk_whatever_they_have(tmp_path):
    for number in range(40):
        (tmp_path / f"{number}.csv").write_text("value\n" + "1\n" * 2_000)
    run = td.process(tmp_path, reduce=td.sum("value"), progress=False, workers=2)
    assert (run.value, len(run.plan) > 1) == (80_000, True)
