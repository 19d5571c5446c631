"""The log of a run: a line for each event, inert, and no file for what is not worth one."""

import logging
import os
import re
from pathlib import Path

import pytest

from taskinity_data import events
from taskinity_data.outcome import Attempt, Failure, LogLine, Outcome, RunStatus, Status
from taskinity_data.report.log_file import RunLog, format_line

HOSTILE = "x\n2026-08-01T10:00:00.000Z ERROR r ended: FAILED\r\x1b[2J\u202e\x85\u2028\udcff"
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) r .+")


@pytest.fixture
def said():
    return []


@pytest.fixture
def log(tmp_path, said):
    one = RunLog("r", tmp_path / "logs", logging.DEBUG, say=said.append)
    yield one
    one.close()


def lines_of(log):
    log.close()
    text = log.path.read_bytes().decode()
    assert text.endswith("\n")
    found = text.split("\n")[:-1]
    assert all(LINE.fullmatch(line) for line in found)
    return [line.split(" ", 1)[1] for line in found]


def ended(status=Status.COMPLETED, logs=(), failure=None, cut=0, **facts):
    attempt = Attempt(1, 100.0, 0.25, "host:1/t", failure=failure, logs=logs, logs_cut=cut)
    return Outcome("Work", "0123456789ab", status, (attempt,), rows=10, **facts)


def test_there_is_a_line_for_each_event(log):
    for event in (
        events.RunStarted("r", 99.5, "Delays", ("Prepare", "Work")),
        events.SchedulerChanged("r", 99.5, "threads", 2, "asked for", "http://here"),
        events.TaskStarted("r", 99.5, "Work"),
        events.FanOutGrew("r", 99.5, "Work", 1, 10, None, is_final=False),
        events.FanOutGrew("r", 99.5, "Work", 2, 2_000_000, None, is_final=True),
        events.FanOutGrew("r", 99.5, "Work", 2, 2_000_000, None, is_final=True),
        events.ChunkSubmitted("r", 99.5, "Work", "0123456789ab", 5, "/a.csv", "bytes 0 to 5"),
        events.ChunkFinished("r", 100.25, "Work", ended()),
        events.SizeChanged("r", 101.0, "Work", 1000, "chunks took 1 s"),
        events.Notice("r", 101.0, "the working directory was changed"),
        events.TaskFinished("r", 101.0, "Work"),
        events.RunFinished("r", 101.0625, RunStatus.PARTIAL),
    ):
        log.on_event(event)
    assert lines_of(log) == [
        "INFO r flow Delays begins: Prepare, Work",
        "INFO r runs on threads, 2 workers: asked for, dashboard http://here",
        "INFO r Work begins",
        "INFO r Work 2 chunks, 2.0 MB in all",
        "DEBUG r Work/01234567 handed out /a.csv [bytes 0 to 5]",
        "INFO r Work/01234567 completed in 250 ms on host:1/t, 10 rows",
        "INFO r Work chunks of 1.0 kB: chunks took 1 s",
        "WARNING r the working directory was changed",
        "INFO r Work ended",
        "INFO r ended: PARTIAL",
    ]
    times = [line.split(" ")[0] for line in log.path.read_text().splitlines()]
    assert (times[0], times[-1]) == ("1970-01-01T00:01:39.500Z", "1970-01-01T00:01:41.062Z")


def test_why_a_run_ended_is_told(log):
    log.on_event(events.RunFinished("r", 1.0, RunStatus.FAILED, "2 of 9 chunks failed\nat most 1"))
    assert lines_of(log) == [r"ERROR r ended: FAILED, 2 of 9 chunks failed\nat most 1"]


def test_what_failed_is_told_with_place_and_frames_and_tries_as_they_come(log):
    failure = Failure("ValueError", "bad", 'File "my.py", line 7, in work\nValueError: bad')
    log.on_event(events.ChunkSubmitted("r", 1.0, "Work", "0123456789ab", 5, "/a.csv", "bytes 0"))
    first = ended(Status.FAILED, failure=failure)
    where = "/a.csv", "bytes 0"
    log.on_event(events.ChunkRetried("r", 1.0, "Work", first.key, "in 1 s", first, 0, *where))
    log.on_event(
        events.ChunkRetried("r", 1.0, "Work", first.key, "its worker died", None, 0, *where)
    )
    log.on_event(events.ChunkFinished("r", 1.0, "Work", first, *where))
    log.on_event(events.ChunkFinished("r", 1.0, "Work", ended(is_fallback=True)))
    log.on_event(events.TaskFinished("r", 1.0, "Add", first))
    frames = r'File "my.py", line 7, in work\nValueError: bad'
    assert lines_of(log)[1:] == [
        "WARNING r Work/01234567 tried again in 1 s, /a.csv [bytes 0]: ValueError: bad",
        "WARNING r Work/01234567 tried again its worker died, /a.csv [bytes 0]",
        "ERROR r Work/01234567 failed after 1 attempt, 250 ms on host:1/t, /a.csv [bytes 0]: "
        + frames,
        "WARNING r Work/01234567 completed by its fallback in 250 ms on host:1/t, 10 rows",
        f"ERROR r Add failed in 250 ms: {frames}",
    ]


def test_what_functions_logged_stands_before_the_end_of_their_chunk(log):
    said = (LogLine(100.1, logging.INFO, "my", "half way"), LogLine(100.2, 10, "my", "done"))
    log.on_event(events.ChunkFinished("r", 100.5, "Work", ended(logs=said, cut=7)))
    log.take(
        LogLine(101.0, logging.WARNING, "taskinity_data.execution.run_account", "columns differ")
    )
    assert lines_of(log) == [
        "INFO r Work/01234567 my: half way",
        "DEBUG r Work/01234567 my: done",
        "WARNING r Work/01234567 7 more lines of attempt 1 were dropped",
        "INFO r Work/01234567 completed in 250 ms on host:1/t, 10 rows",
        "WARNING r taskinity_data.execution.run_account: columns differ",
    ]


def test_hostile_texts_forge_no_line_and_steer_no_terminal(log):
    failure = Failure(HOSTILE, HOSTILE, HOSTILE)
    log.on_event(events.RunStarted("r", 1.0, HOSTILE, (HOSTILE,)))
    log.on_event(events.Notice("r", 1.0, HOSTILE))
    log.on_event(events.ChunkSubmitted("r", 1.0, HOSTILE, "0123456789ab", 1, HOSTILE, HOSTILE))
    line = LogLine(1.0, logging.ERROR, HOSTILE, HOSTILE)
    last = ended(Status.FAILED, (line,), failure)
    log.on_event(events.ChunkRetried("r", 1.0, HOSTILE, last.key, HOSTILE, last))
    log.on_event(events.ChunkFinished("r", 1.0, HOSTILE, last))
    found = lines_of(log)
    # One of each event, and what was logged with two of them.
    assert len(found) == 7
    assert all(line.isprintable() for line in found)


def test_lines_below_the_level_are_left_out(tmp_path, said):
    log = RunLog("r", tmp_path, logging.WARNING, say=said.append)
    log.on_event(events.TaskStarted("r", 1.0, "Work"))
    log.take(LogLine(1.0, logging.INFO, "my", "low"))
    log.on_event(events.Notice("r", 1.0, "high"))
    assert lines_of(log) == ["WARNING r high"]


def test_a_small_run_leaves_nothing_and_one_that_is_kept_all_of_it(tmp_path, said):
    log = RunLog("r", tmp_path / "logs", logging.INFO, waits_s=3600.0, say=said.append)
    log.on_event(events.TaskStarted("r", 1.0, "Work"))
    log.close()
    assert (log.path, os.listdir(tmp_path)) == (None, [])
    log = RunLog("r", tmp_path / "logs", logging.INFO, waits_s=3600.0, say=said.append)
    log.on_event(events.TaskStarted("r", 1.0, "Work"))
    log.keep()
    log.on_event(events.TaskFinished("r", 1.0, "Work"))
    assert lines_of(log) == ["INFO r Work begins", "INFO r Work ended"]


def test_what_waits_is_bounded_and_what_is_left_out_is_said(tmp_path, said, monkeypatch):
    monkeypatch.setattr("taskinity_data.report.log_file.MAX_WAITING", 2)
    log = RunLog("r", tmp_path, logging.INFO, waits_s=3600.0, say=said.append)
    for _ in range(5):
        log.on_event(events.TaskStarted("r", 1.0, "Work"))
    log.keep()
    assert lines_of(log)[2] == "WARNING r 3 lines before this one were dropped"


def test_a_run_that_goes_on_writes_on(tmp_path, said):
    for _ in range(2):
        log = RunLog("r", tmp_path, logging.INFO, say=said.append)
        log.on_event(events.TaskStarted("r", 1.0, "Work"))
        log.close()
    assert len(lines_of(log)) == 2
    assert (tmp_path / "r.log").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("in_the_way", ["logs is a file", "the log is a link"])
def test_a_log_that_cannot_be_written_is_said_once_and_costs_nothing(tmp_path, said, in_the_way):
    other = tmp_path / "others.txt"
    other.write_text("theirs")
    if in_the_way == "logs is a file":
        (tmp_path / "logs").write_text("")
    else:
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs" / "r.log").symlink_to(other)
    log = RunLog("r", tmp_path / "logs", logging.INFO, say=said.append)
    for _ in range(3):
        log.on_event(events.TaskStarted("r", 1.0, "Work"))
    log.close()
    assert log.path is None
    assert len(said) == 1
    assert "has no log in" in said[0]
    assert "TASKINITY_LOG_DIR" in said[0]
    assert other.read_text() == "theirs"


def test_a_disk_that_is_full_ends_the_log_and_not_the_run(log, said):
    log.on_event(events.TaskStarted("r", 1.0, "Work"))
    log._file.close()
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        log._file = full
        for _ in range(3):
            log.on_event(events.Notice("r", 1.0, "something"))
    assert len(said) == 1
    assert f"continues without {log.path}: No space left" in said[0]


def test_events_go_to_logging_where_somebody_has_set_it_up(log, caplog):
    with caplog.at_level(logging.INFO, "taskinity_data"):
        log.on_event(events.ChunkFinished("r", 1.0, "Work", ended()))
        log.on_event(events.Notice("r", 1.0, HOSTILE))
    first, second = caplog.records
    assert first.name == "taskinity_data.events"
    assert first.getMessage().startswith("Work/01234567 completed in 250 ms")
    assert (first.run_id, first.task, first.key) == ("r", "Work", "0123456789ab")
    assert "\x1b" not in second.getMessage()


def test_a_line_that_is_too_long_is_cut():
    line = format_line("t", logging.INFO, "r", "", "x" * 100_000)
    assert len(line) < 8_100
    assert line.endswith("x…\n")
