"""Ctrl-C and SIGTERM, real ones, to a command line in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from textwrap import dedent

import click
import psutil
import pytest

pytestmark = pytest.mark.thorough

TASKS = """\
import subprocess, time
import taskinity_data as td


def data_preparation(data):
    return td.open_dataset(data, chunk_size="10 rows")


def process_chunk(chunk):
    if chunk["a"].iloc[0] >= 20:
        subprocess.Popen(["sleep", "600"], close_fds=True)
        print("hangs", flush=True)
        time.sleep(600)
    return int(chunk["a"].sum())


def aggregate_results(process_chunk):
    return sum(process_chunk)
"""
RUN = ("run", "totals.flow", "--tasks", "my_tasks.py", "--input", "data=numbers.csv",
       "--workers", "2", "--scheduler", "processes")  # fmt: skip
WAIT_S = 60


@pytest.fixture
def started(folder):
    """A run with functions that hang, in a session of its own, as a terminal has it."""
    (folder / "my_tasks.py").write_text(TASKS)
    with subprocess.Popen(
        [sys.executable, "-m", "taskinity_data", *RUN],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        yield process
        for one in found_in(folder):
            one.kill()


def found_in(folder):
    """Processes that stand in `folder`, as all do that a run there has started."""
    return [
        one
        for one in psutil.process_iter(["cwd", "status"])
        if one.info["cwd"] == str(folder)
        and one.info["status"] != psutil.STATUS_ZOMBIE
        and one.pid != os.getpid()
    ]


def wait_until_none_is_left(folder):
    """What hangs would be there for ten minutes; Python's own tracker ends by itself."""
    until_s = time.monotonic() + WAIT_S
    while left := found_in(folder):
        assert time.monotonic() < until_s, left
        time.sleep(0.02)


def line_of(process):
    """The command line of a process, an empty text for one that has ended meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_the_second_signal_ends_worker_processes_now_and_says_how_to_go_on(started, folder):
    for _ in range(2):
        assert started.stdout.readline() == "hangs\n"
    # Two that are alike may become one on their way.
    os.killpg(started.pid, signal.SIGINT)
    started.send_signal(signal.SIGTERM)
    _, told = started.communicate(timeout=WAIT_S)
    assert started.returncode == 130
    (run_id,) = [one.name for one in (folder / ".taskinity").iterdir() if one.is_dir()]
    assert f"--resume {run_id}" in told
    assert "Traceback" not in told
    wait_until_none_is_left(folder)


def test_ctrl_c_while_worker_processes_start_prints_nothing_of_theirs(started, folder):
    family = psutil.Process(started.pid)
    until_s = time.monotonic() + WAIT_S
    while not any("child_main" in line_of(one) for one in family.children()):
        assert time.monotonic() < until_s
    os.killpg(started.pid, signal.SIGINT)
    _, told = started.communicate(timeout=WAIT_S)
    assert started.returncode == 130
    assert "Interrupted" in told
    assert "Traceback" not in told
    assert "KeyboardInterrupt" not in told
    wait_until_none_is_left(folder)


@pytest.mark.parametrize(
    "name", ["click", "pandas", "taskinity_data.execution.schedulers.children"]
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
def test_a_signal_while_modules_are_loaded_is_an_interrupt_like_any_other(folder, name, number):
    (folder / "my_tasks.py").write_text(TASKS)
    code = dedent(
        f"""\
        import os, sys

        class Strike:
            def find_spec(self, name, path=None, target=None):
                if name == {name!r}:
                    os.kill(os.getpid(), {int(number)})

        sys.meta_path.insert(0, Strike())
        sys.argv = ["taskinity-data", *{RUN}]
        from taskinity_data.cli import main
        main()
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=WAIT_S
    )
    assert done.returncode == 130
    assert done.stderr == "Interrupted.\n"


def test_a_signal_while_options_are_read_is_no_abort_of_another_code(call, monkeypatch):
    def be_struck(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(click.Group, "make_context", be_struck)
    said = call("plan", "numbers.csv")
    assert (said.exit_code, said.stderr) == (130, "Interrupted.\n")
