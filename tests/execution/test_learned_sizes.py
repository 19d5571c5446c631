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
