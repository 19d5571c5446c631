"""A fallback that stood in is seen: in the summary, in the outcomes and in a run that was kept."""

import pandas as pd
import pytest

import taskinity_data as td

QUIET = {"scheduler": "synchronous", "progress": False}


def refuse(chunk):
    if chunk["a"].iloc[0] % 4 == 0:
        raise ValueError("no fours")
    return len(chunk)


@pytest.fixture
def path(tmp_path):
    pd.DataFrame({"a": range(12)}).to_csv(tmp_path / "a.csv", index=False)
    return str(tmp_path / "a.csv")


def run_with_fallbacks(path, **options):
    chunks = {"chunk_size": "2 rows", "on_error": td.value(-1)}
    return td.process(path, refuse, **QUIET, **{**chunks, **options})


def test_the_outcomes_tell_which_results_are_those_of_a_fallback(path):
    run = run_with_fallbacks(path)
    assert run.value == [-1, 2, -1, 2, -1, 2]
    chunks = run.outcomes.dropna(subset="path").sort_values("start")
    assert list(chunks["is_fallback"]) == [True, False, True, False, True, False]
    assert set(chunks["status"]) == {"COMPLETED"}


def test_the_summary_tells_how_often_a_fallback_stood_in_and_for_what(path):
    run = run_with_fallbacks(path)
    text = run.explain()
    line = "refuse: ValueError: no fours (3 results; its fallback was used)"
    assert f"\nFallbacks\n  {line}\n" in f"{text}\n"
    assert f"\nFallback {line}\n" in str(run)
    assert "Overcome" not in text


def test_an_error_that_a_retry_made_good_is_not_called_a_fallback(path):
    tried = []

    def fail_once(chunk):
        tried.append(1)
        if len(tried) == 1:
            raise OSError("busy")
        return len(chunk)

    run = td.process(path, fail_once, retries=1, retry_delay=0, on_error=td.value(-1), **QUIET)
    assert not run.outcomes["is_fallback"].any()
    assert "Fallbacks" not in run.explain()
    assert "OSError: busy (1 attempt; a later attempt succeeded)" in run.explain()


def test_what_failed_in_one_fan_out_is_not_called_replaced_in_another(path):
    def skipped(chunk):
        if chunk["a"].iloc[0] == 0:
            raise OSError("skipped")
        return len(chunk)

    text = (
        "flow F:\n data -> Skipped[*] -> Both\n data -> Refuse[*] -> Both\n"
        " task Skipped[*]:\n  on_error: skip\n task Refuse[*]:\n  on_error: Zero\n task Zero:\n"
    )
    flow = td.parse_flow(text).bind(
        {
            "data": td.open_dataset,
            "skipped": skipped,
            "refuse": refuse,
            "zero": lambda chunk: 0,
            "both": lambda skipped, refuse: (skipped, refuse),
        }
    )
    explained = td.run_flow(flow, source=path, chunk_size="2 rows", **QUIET).explain()
    assert "\n  Refuse: ValueError: no fours (3 results; its fallback was used)" in explained
    assert "Skipped: OSError: skipped (skipped, 1 attempt)" in explained
    assert "Overcome" not in explained
    assert explained.count("OSError: skipped") == 2


def test_a_task_that_runs_once_tells_of_its_fallback():
    def fetch():
        raise OSError("no answer")

    def cached():
        return 3

    flow = td.parse_flow(
        "flow F:\n    task Fetch:\n        on_error: Cached\n    task Cached:\n    Fetch -> Use"
    )
    run = td.run_flow(
        flow.bind({"fetch": fetch, "cached": cached, "use": lambda fetch: fetch + 1}), **QUIET
    )
    assert run.value == 4
    assert list(run.outcomes.loc[run.outcomes["is_fallback"], "task"]) == ["Fetch"]
    assert "Fetch: OSError: no answer (1 result; its fallback was used)" in str(run)


def test_a_run_that_was_kept_tells_of_its_fallbacks(path, tmp_path):
    run = run_with_fallbacks(path, run_dir=tmp_path / "runs")
    kept = td.load_run(run.run_id, run_dir=tmp_path / "runs")
    assert kept.outcomes["is_fallback"].sum() == 3
