"""What sizes of chunks are learned from: recorded times, none measured here."""

from __future__ import annotations

import pandas as pd

import taskinity_data as td
from taskinity_data.chunks.sizing import Learner, Size
from taskinity_data.execution.fan_out import RunningFanOut
from taskinity_data.execution.worker.job import Job, chunk_items
from taskinity_data.outcome import Attempt, Outcome, Status


def _next_size(**took):
    """The next chunk's bytes, once the first has ended and took so long."""
    plan = td.open_dataset(pd.DataFrame({"n": range(4_000)})).plan(chunk_size="40 rows")
    fan_out = RunningFanOut(
        Job("P", ((),)),
        chunk_items(plan),
        total_nbytes=plan.nbytes,
        total_items=100,
        learner=Learner(Size(320, "the first size")),
        adapts=True,
    )
    (item,) = fan_out.take_batch(2)
    attempt = Attempt(1, 0.0, worker="w", **took)
    outcome = Outcome("P", item.key, Status.COMPLETED, (attempt,), value=((), None))
    fan_out.end(item, outcome, shares_process=False)
    return fan_out.next_target().target_nbytes


def test_sizes_follow_what_chunks_take_and_not_what_other_programs_take_meanwhile():
    alone = _next_size(duration_s=2.0, cpu_s=1.9)
    assert _next_size(duration_s=20.0, cpu_s=1.9, queued_s=18.0) == alone
    assert _next_size(duration_s=20.0, cpu_s=1.9) < alone  # it waited for something else
    assert _next_size(duration_s=2.0, cpu_s=0.1) == alone


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
