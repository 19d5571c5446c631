"""What is shown while a run goes, and where nothing is shown."""

import io
import logging
import re
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from taskinity_data.cli.logging_setup import logging_as_set
from taskinity_data.events import (
    ChunkFinished,
    ChunkRetried,
    ChunkSubmitted,
    FanOutGrew,
    Observer,
    RunFinished,
    RunStarted,
    SchedulerChanged,
    TaskFinished,
    TaskStarted,
)
from taskinity_data.outcome import Attempt, Outcome, RunStatus, Status
from taskinity_data.report.progress import (
    NotebookProgress,
    PlainProgress,
    TerminalProgress,
    progress_for,
)
from taskinity_data.report.run_state import Tally


class Terminal(io.StringIO):
    def isatty(self):
        return True


def outcome(task, status=Status.COMPLETED, **facts):
    return Outcome(task, "k", status, (Attempt(1, 0.0, 0.1, "w"),), **facts)


def half_of_a_run():
    """Ten chunks of 10 MB and 100,000 rows, 0.5 s each; five have ended, one of them failed."""
    yield RunStarted("r", 0.0, "Delays", ("Prepare", "Work", "Reduce"))
    yield SchedulerChanged("r", 0.0, "threads", 2, "it pays")
    yield TaskStarted("r", 0.0, "Prepare")
    yield TaskFinished("r", 0.0, "Prepare", outcome("Prepare"))
    yield TaskStarted("r", 0.0, "Work")
    for number in range(5):
        at_s = number * 0.5
        yield FanOutGrew("r", at_s, "Work", 10, 100_000_000, None, number >= 3)
        status = Status.FAILED if number == 2 else Status.COMPLETED
        ended = outcome("Work", status, rows=100_000, nbytes=10_000_000)
        yield ChunkFinished("r", at_s + 0.5, "Work", ended)


def whole_run():
    yield from half_of_a_run()
    for number in range(5, 10):
        ended = outcome("Work", rows=100_000, nbytes=10_000_000)
        yield ChunkFinished("r", number * 0.5 + 0.5, "Work", ended)
    yield TaskFinished("r", 5.0, "Work")
    yield TaskStarted("r", 5.0, "Reduce")
    yield TaskFinished("r", 5.2, "Reduce", outcome("Reduce"))
    yield RunFinished("r", 5.2, RunStatus.PARTIAL)


def texts(task):
    return [text for _, text in task.fields()]


def told(events):
    tally = Tally()
    for event in events:
        tally.add(event)
    return tally


def seen(stream):
    """What stands in the terminal at the end: the last frame, without control sequences."""
    last = re.split(r"\x1b\[2K(?!.*\x1b\[2K)", stream.getvalue(), flags=re.DOTALL)[-1]
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", last)


def test_a_fan_out_is_told_by_chunks_failures_rates_and_time_left():
    facts = texts(told(half_of_a_run()).tasks["Work"])
    # 50 MB of 100 in 2.5 s, 400,000 rows of chunks that have a result.
    assert facts == ["2.5 s", "2.5 s left", "160 k rows/s", "1 failed", "5/10 chunks"]


def test_no_total_of_chunks_is_shown_before_all_are_cut_and_no_time_left_before_five_ended():
    events = list(half_of_a_run())[:7]
    assert texts(told(events).tasks["Work"]) == ["500 ms", "200 k rows/s", "1 chunk"]
    assert told(events).tasks["Work"].share == pytest.approx(0.1)


def test_a_fan_out_over_a_list_is_measured_by_its_items():
    grown = FanOutGrew("r", 0.0, "Work", 4, 0, None, is_final=True)
    ended = ChunkFinished("r", 1.0, "Work", outcome("Work"))
    assert told([grown, ended]).tasks["Work"].share == 0.25


def test_the_terminal_shows_tasks_bars_and_facts():
    stream = Terminal()
    bars = TerminalProgress(stream, width=100)
    for event in whole_run():
        bars.on_event(event)
    lines = [line.rstrip() for line in seen(stream).splitlines() if line.strip()]
    assert lines[0] == "Prepare done 0 ms"
    assert re.fullmatch(
        r"Work ━{25} 100%  5.0 s · 180 k rows/s · 1 failed · 10/10 chunks", lines[1]
    )
    assert lines[2] == "Reduce done 200 ms"


def test_the_terminal_names_who_works_while_it_goes():
    stream = Terminal()
    bars = TerminalProgress(stream, width=100)
    for event in half_of_a_run():
        bars.on_event(event)
    text = seen(stream)
    bars.close()
    assert "threads, 2 workers" in text
    assert "50%" in text


def test_forty_columns_are_enough():
    stream = Terminal()
    bars = TerminalProgress(stream, width=40)
    for event in half_of_a_run():
        bars.on_event(event)
    text = seen(stream)
    bars.close()
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= 40
    # Nothing wraps: fields drop out, failures never.
    assert "Work ━━━━━  50%  2.5 s left · 1 failed" in lines
    assert "threads, 2 workers" in lines


def test_no_color_is_honoured(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    bars = TerminalProgress(stream, width=80)
    for event in whole_run():
        bars.on_event(event)
    colours = re.findall(r"\x1b\[([0-9;]*)m", stream.getvalue())
    assert not [code for code in colours if re.search(r"\b(3[0-9]|4[0-9]|9[0-7]|10[0-7])\b", code)]


def test_the_cursor_comes_back_and_no_thread_stays():
    before = threading.active_count()
    stream = Terminal()
    bars = TerminalProgress(stream, width=80)
    for event in whole_run():
        bars.on_event(event)
    text = stream.getvalue()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert threading.active_count() == before


def slow_run():
    """The same, each second taken for four."""
    for event in whole_run():
        yield replace(event, at_s=event.at_s * 4)


def test_what_is_no_terminal_gets_a_plain_line_every_few_seconds():
    stream = io.StringIO()
    (plain,) = progress_for(None, stream)
    for event in slow_run():
        plain.on_event(event)
    lines = stream.getvalue().replace("; threads, 2 workers", " ←").splitlines()
    assert lines == [
        "Delays after 6.0 s: Work 30%, 33.3 k rows/s, 1 failed, 3 chunks ←",
        "Delays after 12.0 s: Work 60%, 8.0 s left, 41.7 k rows/s, 1 failed, 6/10 chunks ←",
        "Delays after 18.0 s: Work 90%, 2.0 s left, 44.4 k rows/s, 1 failed, 9/10 chunks ←",
        "Delays after 20.8 s: Work 100%, 20.0 s, 45 k rows/s, 1 failed, 10/10 chunks; PARTIAL",
    ]


def test_what_is_no_terminal_gets_nothing_of_a_short_run_unless_it_is_asked_for():
    stream, asked = io.StringIO(), io.StringIO()
    short = list(half_of_a_run())
    (quiet,) = progress_for(None, stream)
    for event in short:
        quiet.on_event(event)
    (plain,) = progress_for(True, asked)
    for event in [*short, RunFinished("r", 2.5, RunStatus.INTERRUPTED)]:
        plain.on_event(event)
    assert stream.getvalue() == ""
    (line,) = asked.getvalue().splitlines()
    assert line.startswith("Delays after 2.5 s: Work 50%, 160 k rows/s, 1 failed, 5/10 chunks")
    assert line.endswith("; INTERRUPTED")


def test_a_single_task_is_told_where_nothing_is_fanned_out():
    stream = io.StringIO()
    (plain,) = progress_for(None, stream)
    plain.on_event(RunStarted("r", 0.0, "Delays", ("A\x1b[31m\nforged",)))
    plain.on_event(TaskStarted("r", 0.0, "A\x1b[31m\nforged"))
    plain.on_event(SchedulerChanged("r", 7.0, "threads", 1, "asked for"))
    assert stream.getvalue() == "Delays after 7.0 s: A\\x1b[31m forged running; threads, 1 worker\n"


def test_memory_and_what_is_tried_again_are_told():
    tally = told(half_of_a_run())
    tally.add(ChunkRetried("r", 2.5, "Work", "k", "in 1 s"))
    attempt = Attempt(1, 0.0, 0.1, "w", peak_nbytes=180_000_000)
    held = Outcome("Work", "k", Status.COMPLETED, (attempt,))
    tally.add(ChunkFinished("r", 2.5, "Work", held))
    assert "1 retried" in texts(tally.tasks["Work"])
    assert tally.describe_workers() == "threads, 2 workers · 180.0 MB at most"


def wave(workers, chunks, seconds, ended, *, is_final=True):
    """`ended` of `chunks` chunks of 1 MB have ended, each after `seconds`, at `workers` a time."""
    yield RunStarted("r", 0.0, "Waves", ("Work",))
    yield SchedulerChanged("r", 0.0, "processes", workers, "asked for")
    yield TaskStarted("r", 0.0, "Work")
    yield FanOutGrew("r", 0.0, "Work", chunks, chunks * 1_000_000, None, is_final)
    for number in range(chunks):
        if number < min(chunks, ended + 2 * workers):
            yield ChunkSubmitted("r", 0.0, "Work", str(number), 1_000_000)
    for number in range(ended):
        attempt = Attempt(1, 0.0, seconds, "w")
        one = Outcome("Work", str(number), Status.COMPLETED, (attempt,), nbytes=1_000_000)
        yield ChunkFinished("r", seconds * (number // workers + 1), "Work", one)


@pytest.mark.parametrize(
    ("ended", "left_s"),
    [
        (4, None),  # not known before five have ended
        (5, 20.0),  # the first of four: the other three are as far
        (8, 20.0),
        (12, 10.0),
        (15, None),  # the last one ends now too
    ],
)
def test_the_time_left_counts_what_is_under_way(ended, left_s):
    task = told(wave(4, 16, 10.0, ended)).tasks["Work"]
    if left_s is None:
        assert (task.left_s or 0.0) < 1e-6
    else:
        assert task.left_s == pytest.approx(left_s, abs=0.1)


def test_few_chunks_keep_few_workers_busy():
    # Nine chunks on four workers: the last one takes as long as a round of four.
    assert told(wave(4, 9, 10.0, 8)).tasks["Work"].left_s == pytest.approx(10.0)


def test_the_time_left_passes_while_nothing_ends():
    tally = told(wave(4, 12, 10.0, 8))
    tally.pulse(26.0)
    assert tally.tasks["Work"].left_s == pytest.approx(4.0)
    tally.pulse(35.0)
    assert tally.tasks["Work"].left_s is None


def test_what_an_earlier_try_has_done_tells_nothing_of_rates():
    attempt = Attempt(1, 0.0, 10.0, "w")
    events = [
        TaskStarted("r", 100.0, "Work"),
        FanOutGrew("r", 100.0, "Work", 100, 100_000_000, None, is_final=True),
    ]
    for number in range(95):
        one = Outcome("Work", str(number), Status.COMPLETED, (attempt,), nbytes=1_000_000)
        is_old = number < 90
        at_s = 100.0 if is_old else 110.0 + 10.0 * (number - 90)
        events.append(ChunkFinished("r", at_s, "Work", replace(one, is_recalled=is_old)))
    task = told(events).tasks["Work"]
    assert texts(task) == ["50.0 s", "50.0 s left", "100.0 kB/s", "90 reused", "95/100 chunks"]


def test_nothing_is_left_of_a_run_that_was_stopped():
    tally = told([*half_of_a_run(), TaskStarted("r", 2.5, "Beside")])
    tally.add(RunFinished("r", 2.5, RunStatus.FAILED))
    work, beside = tally.tasks["Work"], tally.tasks["Beside"]
    assert texts(work) == ["2.5 s", "160 k rows/s", "1 failed", "5/10 chunks"]
    assert texts(beside) == ["stopped"]
    assert (work.tone, beside.tone) == ("bad", "bad")


def test_skipped_chunks_are_told_apart_from_failed_ones():
    events = [ChunkFinished("r", 1.0, "Work", outcome("Work", Status.SKIPPED))]
    assert texts(told(events).tasks["Work"]) == ["0 ms", "1 skipped", "1 chunk"]


def test_a_source_of_unknown_length_has_no_bar_and_no_share():
    stream = Terminal()
    bars = TerminalProgress(stream, width=80)
    bars.on_event(FanOutGrew("r", 0.0, "Work", None, 0, None, is_final=False))
    bars.on_event(ChunkFinished("r", 1.0, "Work", outcome("Work")))
    text = seen(stream)
    bars.close()
    assert "1 chunk" in text
    assert "%" not in text


def test_time_goes_on_where_nothing_happens():
    stream = io.StringIO()
    (plain,) = progress_for(None, stream)
    plain.on_event(RunStarted("r", 0.0, "Delays", ("Prepare",)))
    plain.on_event(TaskStarted("r", 0.0, "Prepare"))
    for at_s in range(13):
        plain.on_tick(float(at_s))
    assert stream.getvalue() == (
        "Delays after 5.0 s: Prepare running 5.0 s\nDelays after 10.0 s: Prepare running 10.0 s\n"
    )


def test_the_bars_of_a_terminal_and_of_a_notebook_follow_the_clock():
    stream, display = Terminal(), Display()
    for bars in (TerminalProgress(stream, width=80), NotebookProgress(display)):
        bars.on_event(TaskStarted("r", 0.0, "Prepare"))
        bars.on_tick(7.0)
    assert "Prepare running 7.0 s" in seen(stream)
    assert "running 7.0 s" in display.shown[-1]


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    (found,) = progress_for(None, Terminal())
    assert isinstance(found, PlainProgress)


def test_more_tasks_than_the_terminal_has_lines_are_folded_to_those_that_run(monkeypatch):
    monkeypatch.setenv("LINES", "24")
    stream = Terminal()
    bars = TerminalProgress(stream, width=80)
    for number in range(40):
        name = f"Task{number}"
        bars.on_event(TaskStarted("r", float(number), name))
        if number < 38:
            bars.on_event(TaskFinished("r", float(number), name, outcome(name)))
    text = seen(stream)
    bars.close()
    assert len(text.splitlines()) <= 24
    assert "tasks done" in text
    for name in ("Task38 running", "Task39 running"):
        assert name in text


def test_the_link_to_the_dashboard_is_shown_while_the_run_goes():
    link = "http://127.0.0.1:8787/status"
    stream, display = Terminal(), Display()
    changed = SchedulerChanged("r", 0.0, "processes", 2, "asked for", link)
    terminal, notebook = TerminalProgress(stream, width=80), NotebookProgress(display)
    for bars in (terminal, notebook):
        bars.on_event(changed)
    assert f"dashboard {link}" in seen(stream)
    assert f'<a href="{link}"' in display.shown[-1]
    for bars in (terminal, notebook):
        bars.on_event(RunFinished("r", 1.0, RunStatus.COMPLETED))
    assert link not in display.shown[-1]
    display = Display()
    hostile = replace(changed, dashboard_link="javascript:alert(1)")
    NotebookProgress(display).on_event(hostile)
    assert "href" not in display.shown[-1]


def test_lines_that_are_logged_do_not_tear_the_bars(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    bars = TerminalProgress(stream, width=60)
    log = logging.getLogger("taskinity_data.torn")
    with logging_as_set():
        for number, event in enumerate(half_of_a_run()):
            bars.on_event(event)
            log.warning("line %d", number)
    bars.close()
    text = stream.getvalue()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n")
    lines = [line.strip() for line in plain.splitlines()]
    assert [f"Note: line {number}" in lines for number in range(1, 15)] == [True] * 14


def test_standard_output_is_left_alone(capsys):
    bars = TerminalProgress(Terminal(), width=80)
    events = list(whole_run())
    for event in events[:8]:
        bars.on_event(event)
    sys.stdout.write("the user's own line\n")
    for event in events[8:]:
        bars.on_event(event)
    assert capsys.readouterr().out == "the user's own line\n"


@pytest.mark.parametrize(
    ("progress", "stream", "count"),
    [
        (None, io.StringIO(), 1),
        (False, io.StringIO(), 0),
        (None, Terminal(), 1),
        (False, Terminal(), 0),
        (True, io.StringIO(), 1),
    ],
)
def test_progress_is_shown_on_a_terminal_or_where_asked_for(progress, stream, count):
    found = progress_for(progress, stream)
    assert len(found) == count
    assert all(isinstance(one, Observer) for one in found)


class Display:
    """IPython's `display` as far as it is needed, keeping what a saved notebook would hold."""

    def __init__(self):
        self.shown = []

    def __call__(self, thing, display_id):
        assert display_id is True
        self.shown.append(thing._repr_html_())
        return self

    def update(self, thing):
        self.shown.append(thing._repr_html_())


def test_a_notebook_keeps_the_last_state_in_one_output():
    display = Display()
    bars = NotebookProgress(display)
    for event in whole_run():
        bars.on_event(event)
    last = display.shown[-1]
    assert "PARTIAL" in last
    assert '<progress max="1" value="1.000" style="accent-color:#c9860a">' in last
    assert "100% · 5.0 s · 180 k rows/s · 1 failed · 10/10 chunks" in last


def test_a_notebook_is_not_flooded():
    display = Display()
    bars = NotebookProgress(display)
    for number in range(10_000):
        bars.on_event(ChunkFinished("r", number / 10_000, "Work", outcome("Work")))
    assert len(display.shown) <= 5


def test_names_are_escaped_in_a_notebook():
    display = Display()
    NotebookProgress(display).on_event(RunStarted("r", 0.0, "<script>", ()))
    assert "&lt;script&gt;" in display.shown[0]


def test_a_notebook_is_told_from_a_terminal_by_its_shell(monkeypatch):
    class ZMQInteractiveShell:
        pass

    shell = SimpleNamespace(get_ipython=ZMQInteractiveShell)
    shell.display = SimpleNamespace(display=Display())
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", shell.display)
    assert isinstance(progress_for()[0], NotebookProgress)


def test_a_fan_out_is_planned_before_its_chunks_are_known():
    stream = Terminal()
    flow = SimpleNamespace(tasks=[SimpleNamespace(name="Work", width="*")])
    bars = TerminalProgress(stream, width=80, tally=Tally.of(flow, {}))
    bars.on_event(RunStarted("r", 0.0, "Delays", ("Work",)))
    assert "Delays planning" in seen(stream)
    bars.on_event(TaskStarted("r", 1.0, "Work"))
    bars.on_tick(3.5)
    assert "Work planning 2.5 s" in seen(stream)
    bars.on_event(FanOutGrew("r", 4.0, "Work", 10, 100, None, is_final=False))
    bars.on_tick(4.5)
    assert "0%" in seen(stream)
    bars.close()


def test_a_bar_is_blue_while_it_runs_and_green_or_amber_at_the_end():
    assert told(half_of_a_run()).tasks["Work"].tone == "running"
    assert told(whole_run()).tasks["Work"].tone == "attention"
    assert told(whole_run()).tasks["Reduce"].tone == "good"


def test_a_run_of_process_is_shown_under_the_name_of_its_function_and_nothing_else():
    labels = {"Process": "late", "ProcessChunk": "late", "AggregateResults": "group_by"}
    flow = SimpleNamespace(tasks=[SimpleNamespace(name="ProcessChunk", width="*")])
    stream = Terminal()
    bars = TerminalProgress(stream, width=80, tally=Tally.of(flow, labels))
    for event in (
        RunStarted("r", 0.0, "Process", ()),
        TaskStarted("r", 0.0, "ProcessChunk"),
        FanOutGrew("r", 0.0, "ProcessChunk", 1, 100, None, is_final=True),
        ChunkFinished("r", 1.0, "ProcessChunk", outcome("ProcessChunk", nbytes=100)),
        TaskFinished("r", 1.0, "ProcessChunk"),
        TaskStarted("r", 1.0, "AggregateResults"),
    ):
        bars.on_event(event)
    bars.on_tick(1.2)
    assert seen(stream).split()[0] == "late"
    assert "ProcessChunk" not in stream.getvalue()
    assert "group_by" not in stream.getvalue()
    bars.on_tick(4.0)
    assert "group_by running 3.0 s" in seen(stream)
    bars.close()
