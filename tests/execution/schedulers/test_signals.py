"""What Ctrl-C can't break into, and what never hears it."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from textwrap import dedent

import psutil
import pytest

from taskinity_data.execution.schedulers.connect import open_strategy
from taskinity_data.execution.schedulers.dask import DaskStrategy
from taskinity_data.execution.schedulers.signals import hold_interrupts, late_interrupts
from taskinity_data.execution.worker.job import Item, Job, Step

pytestmark = pytest.mark.thorough

BOTH = (signal.SIGINT, signal.SIGTERM)


def wait_until(holds):
    give_up_s = time.monotonic() + 300
    while not holds():
        assert time.monotonic() < give_up_s
        time.sleep(0.01)


def is_alive(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def heard():
    """The signals that came through to handlers that stand where the program's own stood."""
    numbers = []
    before = {one: signal.signal(one, lambda number, frame: numbers.append(number)) for one in BOTH}
    yield numbers
    for one, handler in before.items():
        signal.signal(one, handler)


def test_what_comes_within_the_block_comes_after_it(heard):
    with hold_interrupts():
        for _ in range(2):
            for number in BOTH:
                signal.raise_signal(number)
        # A thread that was there before takes what this one blocks.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        assert heard == []
    assert sorted(heard) == sorted(BOTH)
    signal.raise_signal(signal.SIGINT)
    assert len(heard) == 3


def test_what_may_end_the_block_earlier_is_called_at_once(heard):
    said = []
    with late_interrupts(lambda: said.append("end")):
        signal.raise_signal(signal.SIGTERM)
        assert (said, heard) == (["end"], [])
    assert heard == [signal.SIGTERM]


def test_an_interrupt_that_was_held_is_raised_and_handlers_are_put_back():
    before = [signal.getsignal(one) for one in BOTH]
    with pytest.raises(KeyboardInterrupt), hold_interrupts():
        signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(one) for one in BOTH] == before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_in_another_thread_it_is_kept_from_what_starts_there():
    masks = []

    def look():
        with hold_interrupts():
            masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert [signal.SIGINT in mask for mask in masks] == [True, False]
    assert signal.SIGTERM not in masks[0]


@pytest.mark.parametrize("where", ["main", "thread"])
def test_workers_are_deaf_to_ctrl_c_from_their_first_instruction_on(where):
    code = dedent(
        """\
        import os, signal, sys, threading
        from multiprocessing import util

        deaf, spawn = [], util.spawnv_passfds

        def watch(path, args, fds):
            if any("spawn_main" in os.fsdecode(one) for one in args):
                deaf.append(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
            return spawn(path, args, fds)

        util.spawnv_passfds = watch
        from taskinity_data.execution.schedulers.connect import open_strategy

        def start():
            open_strategy("processes", 2, None).close()

        if __name__ == "__main__":
            if sys.argv[1] == "thread":
                thread = threading.Thread(target=start)
                thread.start()
                thread.join()
            else:
                start()
            print(deaf)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", code, where], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[True, True]\n"


def test_ctrl_c_while_workers_are_asked_to_end_kills_them(tmp_path, monkeypatch):
    close = DaskStrategy.close

    def be_struck_and_close(strategy):
        signal.raise_signal(signal.SIGINT)
        wait_until(lambda: not is_alive(worker))  # nothing has asked it to end by itself
        close(strategy)

    def hang(path):
        Path(path).touch()
        time.sleep(600)

    monkeypatch.setattr(DaskStrategy, "close", be_struck_and_close)
    strategy = open_strategy("processes", 1, None)
    worker = psutil.Process(*strategy._pids())
    job = strategy.load(Job("Hang", ((Step("Hang", hang),),)))
    strategy.submit(job, [Item("k", str(tmp_path / "begun"))], "k")
    wait_until((tmp_path / "begun").exists)
    with pytest.raises(KeyboardInterrupt):
        strategy.close()
    assert not worker.is_running()
