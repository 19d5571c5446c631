"""What a script and a notebook show of an error: the caller's frames, the message, none of ours."""

import subprocess
import sys
import traceback

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

import taskinity_data as td
from taskinity_data.user_code import shorten_traceback

FRAME = "frame = pd.DataFrame({'dep_delay': range(4)})"
CALLS = {
    "a failing lambda": "td.process(frame, lambda chunk: 1 // 0, progress=False)",
    "a wrong path": "td.process('no/such/*.csv', len)",
    "a wrong option": "td.process(frame, len, wrokers=2)",
    "a misspelled column": "td.process(frame, lambda chunk: chunk['dep_dela'], progress=False)",
    "a column of groups": (
        "td.process(frame, lambda chunk: chunk.groupby('dep_delay')[['dep_dela']], progress=False)"
    ),
    "a column of a reducer": "td.process(frame, reduce=td.group_by('carier', n=('x', 'sum')))",
    "a file of a dataset": "td.open_dataset('no_such.csv')",
    "an aggregate": "td.group_by('carrier', n=('x', 'median'))",
}
MESSAGES = {
    "a failing lambda": "<lambda> failed: ZeroDivisionError",
    "a wrong path": "no/such/*.csv",
    "a wrong option": "Did you mean 'workers'?",
    "a misspelled column": "Did you mean 'dep_delay'?",
    "a column of groups": "Did you mean 'dep_delay'?",
    "a column of a reducer": "'carier'",
    "a file of a dataset": "no_such.csv",
    "an aggregate": "unknown aggregate 'median'. Of all rows: td.approx_quantiles",
}


@pytest.mark.parametrize("name", CALLS)
def test_a_script_shows_the_callers_frame_and_the_message(name):
    code = compile(f"{FRAME}\n{CALLS[name]}", "my_script.py", "exec")
    with pytest.raises(td.errors.TaskinityDataError) as caught:
        exec(code, {"td": td, "pd": pd})
    # Without the frame of this test.
    shown = "".join(
        traceback.format_exception(caught.type, caught.value, caught.value.__traceback__.tb_next)
    )
    assert MESSAGES[name] in shown
    assert 'File "my_script.py", line 2' in shown
    assert "taskinity_data/" not in shown
    assert "pandas/" not in shown
    assert len(shown.splitlines()) <= 15


@pytest.mark.parametrize("name", CALLS)
def test_a_notebook_shows_the_callers_frame_and_the_message(name, capsys):
    shell = InteractiveShell.instance()
    try:
        shell.colors = "NoColor" if "NoColor" in str(type(shell).colors) else shell.colors
        cell = f"import pandas as pd, taskinity_data as td\n{FRAME}\n# why\n{CALLS[name]}\n# more"
        shell.run_cell(cell)
    finally:
        InteractiveShell.clear_instance()
    shown = capsys.readouterr().out
    assert MESSAGES[name] in shown
    assert "taskinity_data/" not in shown
    assert len(shown.splitlines()) <= 15


def test_development_mode_keeps_the_frames_of_the_package():
    code = "import taskinity_data as td\ntd.open_dataset('no_such.csv')"
    for option, has_frames in (("-Xdev", True), ("-Xutf8", False)):
        done = subprocess.run(
            [sys.executable, option, "-Wignore", "-c", code],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ("open_dataset.py" in done.stderr) == has_frames


def test_any_other_error_keeps_its_frames(monkeypatch):
    def fail(*args, **kwargs):
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr("taskinity_data.run.api.run_session", fail)
    with pytest.raises(ZeroDivisionError) as caught:
        td.process(pd.DataFrame({"a": [1]}), len)
    assert "in process" in "".join(traceback.format_exception(caught.value))


def test_where_no_frame_is_the_users_the_end_of_the_traceback_is_shown():
    text = "Traceback (most recent call last):\n" + "".join(
        f'  File "/x/site-packages/a.py", line {n}, in f\n    g()\n' for n in range(9)
    )
    assert shorten_traceback(text + "ValueError: no\n", 3).splitlines() == [
        '  File "/x/site-packages/a.py", line 8, in f',
        "    g()",
        "ValueError: no",
    ]


def test_a_chain_of_errors_without_a_frame_of_the_user_is_its_last_one():
    chain = "OSError: disk\n\nThe above exception was the direct cause of the following exception:"
    assert shorten_traceback(f"{chain}\n\nReadError: part 1\n") == "ReadError: part 1"


def test_a_misspelled_public_name_is_suggested_once():
    with pytest.raises(AttributeError) as caught:
        td.proces  # noqa: B018
    shown = traceback.format_exception_only(caught.value)[-1]
    assert shown.count("Did you mean") == 1
