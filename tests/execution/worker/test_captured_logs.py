"""What code logs while it runs is heard by who asks, and by nobody else otherwise than before."""

import io
import logging
import threading
from contextlib import contextmanager

import pytest

from taskinity_data.execution.worker.captured_logs import (
    CapturedLogs,
    PassedOn,
    capture_logs,
    lower_level,
)

LOG = logging.getLogger("a_users.module")


@pytest.fixture(autouse=True)
def _as_it_was():
    factory = logging.getLogRecordFactory()
    yield
    assert logging.getLogRecordFactory() is factory


@contextmanager
def bare():
    """`logging` as nobody has set it up; pytest does, anew for each phase of a test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    root.setLevel(logging.WARNING)
    try:
        yield root
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def texts(heard):
    return [line.text for line in heard.lines]


def test_lines_are_heard_from_their_level_on_with_name_level_and_time():
    heard = CapturedLogs(logging.WARNING)
    with capture_logs(heard):
        LOG.info("too low")
        LOG.warning("%s of %d", "one", 2)
    LOG.warning("too late")
    (line,) = heard.lines
    assert (line.text, line.name, line.level) == ("one of 2", "a_users.module", logging.WARNING)
    assert line.at_s > 0


def test_each_thread_is_heard_for_itself():
    both = threading.Barrier(2)
    heard = {name: CapturedLogs(logging.WARNING) for name in "ab"}

    def say(name):
        with capture_logs(heard[name]):
            both.wait(10)
            for _ in range(50):
                LOG.warning(name)
            both.wait(10)

    threads = [threading.Thread(target=say, args=(name,)) for name in "ab"]
    for one in threads:
        one.start()
    LOG.warning("nobody's")
    for one in threads:
        one.join()
    assert {name: set(texts(one)) for name, one in heard.items()} == {"a": {"a"}, "b": {"b"}}


def test_the_inner_one_hears_and_then_the_outer_one_again():
    said = []
    inner = CapturedLogs(logging.WARNING)
    with capture_logs(PassedOn(logging.WARNING, lambda line: said.append(line.text))):
        LOG.warning("before")
        with capture_logs(inner):
            LOG.warning("within")
        LOG.warning("after")
    assert said == ["before", "after"]
    assert texts(inner) == ["within"]


def test_lines_and_letters_are_bounded_and_what_is_left_out_is_counted():
    heard = CapturedLogs(logging.WARNING, max_lines=3)
    letters = CapturedLogs(logging.WARNING, max_characters=10_000)
    for one in (heard, letters):
        with capture_logs(one):
            for _ in range(5):
                LOG.warning("x" * 10_000)
    assert (len(heard.lines), heard.cut) == (3, 2)
    assert heard.lines[0].text.startswith("x" * 2_000)
    assert len(heard.lines[0].text) <= 4_000
    assert (len(letters.lines), letters.cut) == (3, 2)


def test_an_exception_is_told_with_its_frames():
    heard = CapturedLogs(logging.ERROR)
    with capture_logs(heard):
        try:
            raise ValueError("bad cell")
        except ValueError:
            LOG.exception("gone wrong")
    assert texts(heard)[0].startswith("gone wrong\nTraceback")
    assert texts(heard)[0].endswith("ValueError: bad cell")


class Breaks:
    def __str__(self):
        LOG.warning("logged by a __str__")
        raise RuntimeError("no text")


def test_what_cannot_be_put_together_costs_nothing():
    heard = CapturedLogs(logging.WARNING)
    with bare() as root, capture_logs(heard):
        root.addHandler(logging.NullHandler())
        LOG.warning("%d items", "seven")
        LOG.warning("this: %s", Breaks())
    assert texts(heard) == [
        "%d items (TypeError while it was put together)",
        "this: %s (RuntimeError while it was put together)",
    ]


def test_warnings_are_printed_as_before_and_nothing_else(capsys):
    with bare(), lower_level(logging.DEBUG), capture_logs(CapturedLogs(logging.DEBUG)):
        LOG.info("heard alone")
        LOG.warning("printed by Python itself")
    assert capsys.readouterr().err == "printed by Python itself\n"


def test_who_sets_logging_up_meanwhile_finds_it_as_it_was():
    stream = io.StringIO()
    with bare() as root:
        with lower_level(logging.INFO), capture_logs(CapturedLogs(logging.INFO)):
            logging.basicConfig(stream=stream, format="%(message)s", level=logging.ERROR)
            LOG.warning("below the level that was set")
            LOG.error("at it")
        assert root.level == logging.ERROR
    assert stream.getvalue() == "at it\n"


def test_levels_are_lowered_only_where_nobody_set_logging_up():
    heard = CapturedLogs(logging.INFO)
    with bare() as root:
        with lower_level(logging.INFO), capture_logs(heard):
            LOG.info("made")
        assert root.level == logging.WARNING
        root.addHandler(logging.NullHandler())
        with lower_level(logging.INFO), capture_logs(heard):
            LOG.info("not made, because the level is somebody's")
    assert texts(heard) == ["made"]


def test_a_factory_put_on_top_meanwhile_stays_and_hears_once():
    before = logging.getLogRecordFactory()
    first, second = CapturedLogs(logging.WARNING), CapturedLogs(logging.WARNING)
    try:
        with capture_logs(first):
            ours = logging.getLogRecordFactory()
            logging.setLogRecordFactory(lambda *args, **kwargs: ours(*args, **kwargs))
            LOG.warning("one")
        on_top = logging.getLogRecordFactory()
        with capture_logs(second):
            LOG.warning("two")
        assert logging.getLogRecordFactory() is on_top
        LOG.warning("three")
    finally:
        logging.setLogRecordFactory(before)
    assert (texts(first), texts(second)) == (["one"], ["two"])


def test_where_nothing_is_asked_for_nothing_is_changed():
    factory = logging.getLogRecordFactory()
    with bare() as root, lower_level(None), capture_logs(CapturedLogs(None)):
        assert logging.getLogRecordFactory() is factory
        assert root.level == logging.WARNING
