"""Lines of workers on their way to a terminal."""

import io
import subprocess
import sys

from real_cluster import wait_until

import taskinity_data as td
from taskinity_data.execution.worker.terminal_relay import relayed

SPEAKS = """
import os, sys
print("plain", flush=True)
os.write(2, b"half a ")
os.write(2, "line \\N{SNOWMAN}\\n".encode())
sys.stderr.write("no end")
"""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_of_other_processes_come_whole_to_what_stands_for_the_terminal(monkeypatch):
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    threads = []
    with relayed(threads) as streams:
        later = Terminal()  # as a progress bar puts itself in the place of standard error
        monkeypatch.setattr(sys, "stderr", later)
        subprocess.run([sys.executable, "-c", SPEAKS], check=True, **streams)
    for thread in threads:
        thread.join()
    assert later.getvalue() == "half a line ☃\nno end"
    assert out.getvalue() == "plain\n"
    assert err.getvalue() == ""


def test_what_is_no_terminal_is_left_to_the_workers(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", None)
    with relayed([]) as streams:
        assert streams == {}


def test_what_functions_print_on_local_workers_goes_through_the_terminals_stand_in(
    monkeypatch, tmp_path
):
    (tmp_path / "n.csv").write_text("n\n1\n2\n")
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)

    def speaks(chunk):
        import sys

        print("of", len(chunk), "rows")
        print("aside", file=sys.stderr)
        return len(chunk)

    run = td.process(
        str(tmp_path / "n.csv"), speaks, reduce=sum, scheduler="processes", workers=1,
        progress=False,
    )  # fmt: skip
    assert run.value == 2
    assert out.getvalue() == "of 2 rows\n"
    assert "aside\n" in err.getvalue()


def test_what_functions_print_in_child_processes_goes_there_too(monkeypatch):
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)

    def speaks(number):
        print("item", number)
        return number

    flow = td.parse_flow("flow F:\n    Make -> Each[*] -> All")
    bound = flow.bind(
        {"make": lambda: [1, 2], "each": td.task(speaks, timeout="60s"), "all": sorted}
    )
    run = td.run_flow(bound, scheduler="threads", workers=1, progress=False)
    assert run.value == [1, 2]
    wait_until(lambda: out.getvalue() == "item 1\nitem 2\n")
