"""Scenarios of misbehaviour, each over seeds, held to four rules: exact, accounted, said, clean."""

from __future__ import annotations

from collections import Counter

import pytest
from faults_kit import CHUNK, CHUNKS, FRAME, Round, check_rules, run_round

import taskinity_data as td
from taskinity_data import errors
from taskinity_data.outcome import RunStatus

pytestmark = pytest.mark.thorough

HERE = {
    "raise": 2, "flaky": 2, "odd": 1, "unsendable": 1, "exit": 1, "interrupt": 1, "large": 2,
    "change_input": 2,
}  # fmt: skip
"""What threads bear: errors of all kinds."""


@pytest.mark.rounds(3, 100)
def test_errors_of_all_kinds_in_threads(seed, tmp_path):
    case = Round.of(tmp_path / "round", seed, HERE)
    run = run_round(case, retries=1, retry_delay=0, retry_on=OSError)
    check_rules(case, run)
    times = Counter(n for _, first, last in case.ran() for n in range(first, last + 1))
    assert all(times[n] == 1 for n in range(len(FRAME)) if n // CHUNK not in case.faults)


@pytest.mark.rounds(2, 75)
def test_bad_rows_are_halved_out(seed, tmp_path):
    case = Round.of(tmp_path / "round", seed, {"flaky": 1, "large": 1}, bad_rows=3)
    run = run_round(case, retries=1, retry_delay=0, retry_on=OSError, on_error="bisect")
    check_rules(case, run)
    assert sorted(run.failures.start) == sorted(case.bad_rows)
    # The record has what is tried, in parts of at most four rows once one chunk was too large.
    assert len(case.ran()) <= CHUNKS * 4 + 3 * 2 * 4


@pytest.mark.rounds(1, 8)
def test_hangs_and_deaths_under_a_timeout_in_threads(seed, tmp_path):
    kinds = {"hang": 1, "hang_in_c": 1, "crash": 1, "die": 1, "be_killed": 1, "raise": 1, "odd": 1}
    case = Round.of(tmp_path / "round", seed, kinds)
    check_rules(case, run_round(case, timeout="2s"))


@pytest.mark.rounds(1, 8)
def test_deaths_of_workers_cost_their_own_chunk(seed, tmp_path):
    kinds = {"crash": 1, "die": 1, "kill_other": 1, "raise": 1, "interrupt": 1, "large": 1}
    case = Round.of(tmp_path / "round", seed, kinds)
    run = run_round(case, scheduler="processes", workers=2)
    check_rules(case, run)
    ended = run.outcomes[run.outcomes.task == "ProcessChunk"]
    # A death that is not its own is not an attempt of a chunk.
    assert set(ended.attempts) == {1}


@pytest.mark.rounds(1, 6)
def test_all_workers_killed_three_times_and_others_one_by_one(seed, tmp_path):
    case = Round.of(tmp_path / "round", seed, {"kill_all": 3, "kill_other": 3})
    run = run_round(case, scheduler="processes", workers=2, on_error="fail")
    check_rules(case, run)
    assert run.status is RunStatus.COMPLETED


@pytest.mark.rounds(1, 20)
def test_one_failure_stops_a_run_that_allows_none_and_accounts_for_the_rest(seed, tmp_path):
    case = Round.of(tmp_path / "round", seed, {"raise": 1})
    with pytest.raises(errors.FlowFailed, match=r"chunk \d+ is bad") as caught:
        run_round(case, on_error="fail")
    rows = caught.value.run.ledger["rows"]
    assert rows["planned"] == len(FRAME) == rows.drop("planned").sum()
    assert rows["failed"] == CHUNK


@pytest.mark.rounds(1, 20)
def test_a_fallback_stands_in_for_each_kind(seed, tmp_path):
    kinds = {"raise": 2, "odd": 1, "unsendable": 1, "exit": 1}
    case = Round.of(tmp_path / "round", seed, kinds)
    run = run_round(case, on_error=lambda chunk: chunk)
    assert list(run.value.n) == list(FRAME.n)
    assert run.ledger.at["fallback", "rows"] == CHUNK * sum(kinds.values())
    assert run.status is RunStatus.PARTIAL


def test_the_pool_is_whole_again_after_deaths(tmp_path):
    case = Round.of(tmp_path / "round", 1, {"be_killed": 2})
    watch: list[int] = []

    class Watch:
        def on_event(self, event):
            if isinstance(event, td.events.SchedulerChanged):
                watch.append(event.workers)

    run = run_round(case, scheduler="processes", workers=2, observers=[Watch()])
    check_rules(case, run)
    assert watch == [2]
    assert run.workers == 2
