"""Errors and log lines of many megabytes: they are cut before anything keeps or shows them."""

import linecache
import logging

import pandas as pd
import pytest

import taskinity_data as td

pytestmark = pytest.mark.thorough

MIB = 1 << 20
LOG = logging.getLogger("user")


def raise_line():
    raise ValueError("begins " + "x" * 8 * MIB + " ends")


def raise_lines():
    raise ValueError("begins\n" + "x\n" * MIB + "ends")


def raise_escapes():
    raise ValueError("begins " + "\x1b[31m" * MIB + " ends")


def raise_key():
    raise KeyError(("begins ", "x" * 8 * MIB, " ends"))


def raise_ours():
    raise td.errors.ReadError("begins " + "\x1b[31m" * MIB + " ends")


def raise_class():
    raise type("E" * MIB, (ValueError,), {})("begins ends")


def raise_note():
    error = ValueError("begins ends")
    for _ in range(100):
        error.add_note("x\n" * (MIB // 8))
    raise error


def raise_strange_notes():
    error = ValueError("begins ends")
    error.__notes__ = "x" * MIB
    raise error


def raise_from_long():
    try:
        raise_lines()
    except ValueError as error:
        raise ValueError("begins ends") from error


def raise_chain():
    error = None
    for number in range(2_000):
        made = ValueError(f"begins {number} " + "x" * 1_000 + " ends")
        made.__cause__ = error
        error = made
    raise error


def raise_group():
    many = [ValueError("y\n" * MIB) for _ in range(4)]
    raise ExceptionGroup("begins ends", [*many, ExceptionGroup("inner", many)])


def raise_from_a_long_source_line():
    source = f"raise ValueError('begins ends')  # {'x' * 8 * MIB}"
    linecache.cache["long.py"] = (len(source), None, [source], "long.py")
    try:
        exec(compile(source, "long.py", "exec"))
    finally:
        linecache.cache.pop("long.py")


RAISES = [
    raise_line, raise_lines, raise_escapes, raise_key, raise_ours, raise_class, raise_note,
    raise_strange_notes, raise_from_long, raise_chain, raise_group, raise_from_a_long_source_line,
]  # fmt: skip


class Failures(td.Observer):
    def __init__(self):
        self.found = []

    def on_event(self, event):
        if isinstance(event, td.events.ChunkFinished):
            self.found.append(event.outcome.failure)


def run(function, tmp_path, reduce=len, **options):
    return td.process(
        pd.DataFrame({"a": range(4)}), function, reduce=reduce, scheduler="synchronous",
        chunk_size="2 rows", run_dir=tmp_path / "runs", progress=False, **options,
    )  # fmt: skip


def measure_kept(tmp_path):
    return sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("raises", RAISES, ids=lambda one: one.__name__)
def test_the_texts_of_an_error_are_cut_where_it_is_caught(tmp_path, raises):
    failures = Failures()
    with pytest.raises(td.errors.FlowFailed, match="begins") as caught:
        run(lambda chunk: raises(), tmp_path, observers=[failures])
    (failure,) = failures.found
    assert "begins" in failure.message
    assert "ends" in failure.message
    assert "begins" in failure.traceback
    assert len(failure.message) + len(failure.traceback) + len(failure.kind) < 60_000
    done = caught.value.run
    done.report(tmp_path / "report.html")
    assert len(str(caught.value)) + len(str(done)) < 200_000
    assert measure_kept(tmp_path) < 400_000


def test_the_cause_of_a_failure_that_is_too_large_is_left_out_of_what_is_raised(tmp_path):
    with pytest.raises(td.errors.FlowFailed) as caught:
        run(lambda chunk: raise_line(), tmp_path)
    assert caught.value.__cause__ is None


def test_a_small_error_is_still_the_cause_of_the_failure(tmp_path):
    def refuse(chunk):
        raise ValueError("no")

    with pytest.raises(td.errors.FlowFailed) as caught:
        run(refuse, tmp_path)
    assert type(caught.value.__cause__) is ValueError


def test_the_texts_of_an_error_in_a_reducer_are_cut(tmp_path):
    def refuse(*partials):
        raise_lines()

    with pytest.raises(td.errors.FlowFailed, match="combining raised ValueError") as caught:
        run(len, tmp_path, td.reducer(refuse))
    assert len(str(caught.value)) < 60_000
    assert measure_kept(tmp_path) < 200_000


def test_lines_that_functions_log_are_cut(tmp_path):
    def log(chunk):
        LOG.warning("begins %s", "x\n" * MIB)
        try:
            raise_lines()
        except ValueError:
            LOG.exception("again %s", "y" * MIB)
        return 1

    done = run(log, tmp_path)
    text = done.log.read_text()
    assert "begins" in text
    assert "again" in text
    assert len(text) < 40_000


def test_a_log_line_whose_text_cannot_be_made_costs_nothing(tmp_path):
    class Broken:
        def __str__(self):
            raise RuntimeError("no text")

    quiet = logging.getLogger("user.quiet")  # pytest's own handler raises what it can't format
    quiet.propagate = False
    quiet.addHandler(logging.NullHandler())

    def log(chunk):
        quiet.warning(Broken())
        return len(chunk)

    done = run(log, tmp_path, sum)
    assert done.value == 4
    assert "its __str__ raised RuntimeError" in done.log.read_text()
