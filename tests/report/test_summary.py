"""What a person reads of a run that has ended."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from taskinity_data.report.answer import describe_value
from taskinity_data.report.explain import explain
from taskinity_data.report.summary import summarise, summary_html
from taskinity_data.user_code import shorten_traceback

PLACES = ["planned", "processed", "fallback", "quarantined", "skipped", "failed", "not_run"]


def chunk(nbytes, key="", pieces=()):
    return SimpleNamespace(nbytes=nbytes, key=key, pieces=pieces)


def make_run(**changes):
    """A run of six chunks, of which the fourth failed."""
    outcomes = pd.DataFrame(
        {
            "task": "ProcessChunk",
            "key": [f"k{number}" for number in range(6)],
            "path": "/data/a.csv",
            "start": pd.array([number * 1000 for number in range(6)], "Int64"),
            "stop": pd.array([number * 1000 + 1000 for number in range(6)], "Int64"),
            "status": ["COMPLETED"] * 3 + ["FAILED"] + ["COMPLETED"] * 2,
            "attempts": [1, 1, 1, 3, 1, 1],
            "worker": "w1",
            "duration_s": [0.1, 0.9, 0.2, 0.3, 0.4, 0.5],
            "error": [None] * 3 + ["ValueError: <b>bad</b> cell"] + [None] * 2,
            "is_fallback": False,
        }
    )
    frames = '  File "my_tasks.py", line 7, in process_chunk\n    int(cell)\nValueError: bad'
    ledger = pd.DataFrame(
        {"bytes": [6000, 5000, 0, 0, 0, 1000, 0, 0], "rows": [600, 480, 0, 0, 0, 100, 0, 20]},
        index=[*PLACES, "filtered"],
        dtype="Int64",
    )
    facts = {
        "value": pd.DataFrame({"carrier": ["AA", "UA"], "late": [3, 4]}),
        "status": "PARTIAL",
        "run_id": "r1",
        "flow": SimpleNamespace(name="Delays"),
        "notices": (),
        "outcomes": outcomes,
        "attempts": outcomes[["task", "key", "error"]],
        "failures": outcomes.iloc[[3]].assign(traceback=frames),
        "ledger": ledger,
        "plans": {"ProcessChunk": [chunk(1000)] * 6},
        "sizes": {
            "ProcessChunk": [(0, 1000, "1 kB: first size"), (4, 2000, "2 kB: chunks took 0.1 s")]
        },
        "output": None,
        "quarantine": None,
        "bad_lines": pd.DataFrame(),
        "next_steps": (),
        "bound": "",
        "advice": "",
        "labels": {},
        "directory": None,
        "scheduler": "threads",
        "scheduler_reason": "built-in reducers alone",
        "workers": 2,
        "timings": {
            "total": 2.2, "start_workers": 0.0, "plan": 0.1, "combine": 0.05, "wait": 2.0,
            "read": 0.6, "function": 1.8, "partial": 0.0,
        },
    }  # fmt: skip
    return SimpleNamespace(**(facts | changes))


def test_the_first_line_says_what_came_of_it_who_ran_it_and_for_how_long():
    first = summarise(make_run()).splitlines()[0]
    assert first == "Delays: PARTIAL in 2.2 s (threads, 2 workers; run r1)"


def test_the_answer_is_shown_with_its_shape():
    text = summarise(make_run())
    assert "DataFrame, 2 rows × 2 columns" in text
    assert "AA     3" in text


def test_what_was_written_is_told_with_its_place_and_size():
    told = explain(make_run(output=("out/late", 12, 26_581, 3_000_000)))
    assert "Output\n  12 files, 26,581 rows, 3.0 MB in out/late" in told
    assert "Output" not in explain(make_run())


def test_the_ledger_names_what_there_was_and_nothing_else():
    text = explain(make_run())
    assert "bytes: 6,000 planned = 5,000 processed + 1,000 failed\n" in text
    assert "rows: 600 planned = 480 processed + 100 failed + 20 filtered out" in text
    assert "quarantined" not in text


def test_rows_that_were_not_known_are_not_called_zero():
    ledger = make_run().ledger
    ledger.loc["planned", "rows"] = pd.NA
    ledger.loc["not_run", "rows"] = pd.NA
    known = "rows: 480 processed + 100 failed + 20 filtered out, of an unknown number\n"
    assert known in explain(make_run(ledger=ledger))


def test_time_is_split_by_driver_and_workers():
    text = explain(make_run())
    assert "in this process: planning 100 ms, combining 50 ms, waiting for workers" in text
    assert "2.0 s; 2.2 s in total" in text
    assert "on the workers: reading 600 ms, the function 1.8 s; 2.4 s in total" in text
    assert "threads: built-in reducers alone" in text


def test_what_bounded_it_is_said_with_where_the_time_went():
    assert "\n  Reading took 90 %.\n" in explain(make_run(bound="Reading took 90 %."))


def test_tasks_that_run_once_stand_apart_from_what_chunks_cost():
    timings = make_run().timings | {"total": 4.2, "single": 3.0}
    text = explain(make_run(timings=timings))
    assert "on the workers: reading 600 ms, the function 1.8 s; 2.4 s in total" in text
    assert "tasks that run once: 3.0 s" in text
    assert "run once" not in explain(make_run())


def test_every_change_of_size_comes_with_its_reason():
    text = explain(make_run())
    assert "ProcessChunk: 6 chunks of 1.0 kB\n" in text
    assert "from chunk 0: 1 kB: first size" in text
    assert "from chunk 4: 2 kB: chunks took 0.1 s" in text


def test_many_changes_of_size_stay_on_the_screen():
    sizes = {"ProcessChunk": [(number, 1000, f"why{number}") for number in range(50)]}
    text = explain(make_run(sizes=sizes))
    assert "why0" in text
    assert "why49" in text
    assert "why20" not in text
    assert "46 changes between" in text


def test_sizes_that_differ_are_told_as_a_range():
    text = explain(make_run(plans={"ProcessChunk": [chunk(1000), chunk(2000)]}))
    assert "ProcessChunk: 2 chunks of 1.0 kB to 2.0 kB\n" in text


def test_a_chunk_of_several_files_is_placed_by_its_first_piece():
    pieces = [
        SimpleNamespace(path="/data/a.csv", start=3000, stop=3500),
        SimpleNamespace(path="/data/b.csv", start=10, stop=510),
    ]
    text = explain(make_run(plans={"ProcessChunk": [chunk(1000, "k3", pieces)]}))
    assert "/data/a.csv [3,000 to 3,500] and 1 more piece, key k3" in text


def test_a_failed_chunk_has_error_place_frames_and_what_to_do_next():
    text = explain(make_run())
    assert "ProcessChunk: ValueError: <b>bad</b> cell (failed, 3 attempts)" in text
    assert "/data/a.csv [3,000 to 4,000], key k3" in text
    assert 'File "my_tasks.py", line 7, in process_chunk' in text


def test_the_last_thing_is_what_to_type_next():
    steps = ("what did not complete: taskinity-data redrive r1", "all: taskinity-data report r1")
    text = summarise(make_run(next_steps=steps))
    assert text.splitlines()[-2:] == [f"Next     {steps[0]}", f"         {steps[1]}"]
    assert "taskinity-data redrive r1" in summary_html(make_run(next_steps=steps))
    assert "Next     print(run.explain()) shows more" in summarise(done())


def test_where_failures_are_kept_is_said():
    text = explain(make_run(quarantine="/runs/r1/quarantine"))
    assert "Quarantined rows\n  in /runs/r1/quarantine: " in text


def test_a_failed_run_has_no_answer_and_its_frames_only_once():
    assert "Answer" not in summarise(make_run(status="INTERRUPTED", value=None))
    assert "None" not in summary_html(make_run(status="INTERRUPTED", value=None))
    failed = make_run(status="FAILED", value=None)
    assert "in process_chunk" in summarise(failed)
    assert "first in /data/a.csv [3,000 to 4,000]" in summarise(failed)
    text = summarise(failed, is_explained=True)
    assert "Answer" not in text
    assert "Failed  " not in text


def test_several_failures_are_counted_under_the_error_that_was_shown():
    failures = pd.concat([make_run().failures] * 40)
    failed = make_run(status="FAILED", value=None, failures=failures)
    text = summarise(failed, is_explained=True)
    assert "Failed   ProcessChunk: ValueError: <b>bad</b> cell (40 failed)" in text
    assert "in process_chunk" not in text


def test_failures_are_grouped_by_error_with_their_number_and_one_traceback():
    failures = pd.concat(
        [make_run().failures.assign(error="KeyError: 'x'")] + [make_run().failures] * 40
    )
    text = summarise(make_run(failures=failures))
    assert "Failed   ProcessChunk: ValueError: <b>bad</b> cell (40 failed)" in text
    assert "ProcessChunk: KeyError: 'x' (1 failed)" in text
    assert text.count("in process_chunk") == 1
    many = pd.concat([make_run().failures.assign(error=f"Error {x}") for x in "abcdefghi"])
    assert "and 6 other errors" in summarise(make_run(failures=many))


def test_errors_that_differ_in_numbers_alone_are_one_group():
    failures = [make_run().failures.assign(error=f"ValueError: id {n} is bad") for n in range(9)]
    text = summarise(make_run(failures=pd.concat(failures)))
    assert "ProcessChunk: ValueError: id 0 is bad (9 failed, with other numbers)" in text
    assert "other error" not in text


def test_of_a_short_or_failed_run_nothing_is_judged_by_its_times():
    timings = make_run().timings
    for changes in ({"timings": timings | {"total": 1.9}}, {"status": "FAILED"}):
        text = explain(make_run(bound="Reading took 90 %.", **changes))
        assert "as fast as" not in text
        assert "Reading took 90 %" not in text


def test_explain_lists_the_first_failures_and_counts_the_others():
    failures = pd.concat([make_run().failures] * 40)
    text = explain(make_run(failures=failures))
    assert text.count("3 attempts") == 10
    assert text.count("line 7, in process_chunk") == 1
    assert "and 30 more: run.failures" in text
    deep = make_run().failures.assign(traceback="frame\n" * 50)
    assert explain(make_run(failures=deep)).count("frame") == 12


def test_a_run_without_chunks_or_failures_has_no_empty_sections():
    run = make_run()
    empty = {"outcomes": run.outcomes.iloc[:0], "failures": run.failures.iloc[:0]}
    empty |= {"plans": {}, "sizes": {}, "ledger": run.ledger * 0}
    text = explain(make_run(**empty))
    assert [line for line in text.splitlines() if line and not line.startswith(" ")][1:] == ["Time"]
    titles = [line[:8].strip() for line in summarise(make_run(**empty)).splitlines()[1:]]
    assert [title for title in titles if title] == ["Answer", "Next"]


def done(**changes):
    """The same, with all that a run that went well can have to say."""
    whole = make_run()
    ledger = whole.ledger * 0
    ledger.loc[["planned", "processed"]] = [[6_000_000, 600], [6_000_000, 600]]
    facts = {
        "status": "COMPLETED",
        "failures": whole.failures.iloc[:0],
        "ledger": ledger,
        "value": pd.DataFrame({"n": range(99)}, index=pd.Index(range(99), name="carrier")),
        "notices": ("one\nand a line", "two"),
        "bound": "Reading took 90 % of the work.",
        "advice": "Read less.",
        "output": ("out", 1, 2, 3),
    }
    return make_run(**(facts | changes))


def test_a_run_that_went_well_takes_twelve_lines_at_most():
    lines = summarise(done()).splitlines()
    assert len(lines) <= 12
    assert lines[0] == "Delays: COMPLETED in 2.2 s (threads, 2 workers; run r1)"
    assert lines[1] == "Answer   DataFrame, 99 rows × 1 column"
    assert lines[-6:] == [
        "Output   1 file, 2 rows, 3 B in out",
        "Rows     600, all processed (6.0 MB)",
        "Note     one and a line (and 1 more)",
        "Time     Reading took 90 % of the work.",
        "Advice   Read less.",
        "Next     print(run.explain()) shows more, run.report() writes a page",
    ]
    short = make_run().timings | {"total": 0.4}
    assert "Advice" not in summarise(done(timings=short))


def test_a_run_that_failed_takes_twenty_lines_at_most():
    frames = "".join(
        f'  File "my_tasks.py", line {n}, in f{n}\n    g()\n    ^^^\n' for n in range(40)
    )
    failures = pd.concat([make_run().failures.assign(error=f"E{n}" * 500) for n in range(9)])
    failures = failures.assign(traceback=f"Traceback\n{frames}ValueError: no\n")
    steps = ("a: b", "c: d", "e: f")
    facts = {"failures": failures, "next_steps": steps, "quarantine": "q", "notices": ("n",) * 9}
    for status in ("PARTIAL", "FAILED", "INTERRUPTED"):
        text = summarise(make_run(status=status, output=("out", 1, 2, 3), bound="b", **facts))
        assert len(text.splitlines()) <= 20
        assert "line 39, in f39" in text


def test_a_run_is_shown_under_the_name_of_the_users_function():
    labels = {"Delays": "late", "ProcessChunk": "late"}
    assert summarise(make_run(labels=labels)).startswith("late: PARTIAL")
    assert "Failed   late: ValueError" in summarise(make_run(labels=labels))
    assert "ProcessChunk" not in summarise(make_run(labels=labels)) + explain(
        make_run(labels=labels)
    )


def test_a_terminal_shows_the_status_and_failures_in_colour():
    text = summarise(make_run(), is_coloured=True)
    assert text.startswith("Delays: \x1b[1;33mPARTIAL\x1b[0m in 2.2 s")
    assert "\x1b[31mFailed\x1b[0m   ProcessChunk" in text
    assert "\x1b" not in summarise(make_run())
    assert "\x1b[1;32mCOMPLETED" in summarise(done(), is_coloured=True)


def test_of_a_traceback_the_users_own_frames_are_shown():
    text = (
        "Traceback (most recent call last):\n"
        '  File "/x/site-packages/pandas/base.py", line 1, in get_loc\n    return engine\n'
        "KeyError: 'x'\n\nThe above exception was the direct cause of the following exception:\n\n"
        "Traceback (most recent call last):\n"
        '  File "/me/my_tasks.py", line 7, in late\n    chunk["x"]\n    ~~~~~^^^^^\n'
        '  File "/x/site-packages/pandas/frame.py", line 4, in __getitem__\n    loc\n'
        "KeyError: 'x'\n"
    )
    assert shorten_traceback(text) == (
        '  File "/me/my_tasks.py", line 7, in late\n    chunk["x"]\n    ~~~~~^^^^^\nKeyError: \'x\''
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (3, "3"),
        (np.int64(3), "3"),
        ([1, 2], "list of 2: [1, 2]"),
        ({"a": 1}, "dict of 1: {'a': 1}"),
        (pd.Series([1.5], name="x"), "Series, 1 row\n0    1.5"),
        (pd.DataFrame({"a": []}), "DataFrame, 0 rows × 1 column"),
    ],
)
def test_an_answer_of_any_kind_is_described(value, text):
    assert describe_value(value) == text


def test_a_large_answer_is_shown_by_its_beginning():
    assert describe_value(pd.DataFrame({"a": range(1000)})).endswith("… 980 more rows")
    assert describe_value(list(range(1000))).endswith("19] and 980 more")
    assert len(describe_value("x" * 10_000)) < 2_100


def test_html_holds_errors_and_values_as_text():
    html = summary_html(make_run(value="<script>alert(1)</script>"))
    assert "<script>" not in html
    assert "<b>bad</b>" not in html
    assert "&lt;b&gt;bad&lt;/b&gt; cell" in html


def test_html_shows_a_series_as_a_table_and_keeps_monospace():
    html = summary_html(make_run(value=pd.Series([1.5], name="x")))
    assert '<table border="1" class="dataframe">' in html
    assert '<pre style="font-family:monospace' in html


def test_html_shows_a_frame_as_a_notebook_does():
    assert '<table border="1" class="dataframe">' in summary_html(make_run())


def test_errors_that_another_attempt_made_good_are_told_with_their_number():
    made = make_run()
    done = made.outcomes[made.outcomes.status == "COMPLETED"].key.iloc[0]
    errors = ["OSError: busy"] * 4 + ["ValueError: a", "ValueError: b", "ValueError: c", None]
    tries = pd.DataFrame({"task": "ProcessChunk", "key": done, "error": errors})
    text = explain(make_run(attempts=tries))
    assert (
        "Overcome\n  ProcessChunk: OSError: busy (4 attempts; a later attempt succeeded)\n" in text
    )
    assert "  and 1 other error: run.attempts\n" in text
    assert "Overcome" not in explain(make_run())


def test_a_run_in_progress_has_run_for_a_time():
    assert summarise(make_run(status="RUNNING")).startswith("Delays: RUNNING for 2.2 s (")
