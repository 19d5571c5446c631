"""The page on Dask's dashboard, as a real browser sees it while real runs go."""

import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from browser import Browser
from distributed import Client, LocalCluster

import taskinity_data as td
from taskinity_data.report.palette import TONES

pytestmark = pytest.mark.thorough

TEXT = """(() => {
  const texts = [];
  const walk = node => {
    if (node.shadowRoot) walk(node.shadowRoot);
    for (const child of node.children || []) {
      if (child.id && child.id.startsWith("taskinity-")) texts.push(child.innerText);
      walk(child);
    }
  };
  walk(document.body);
  return texts.join("\\n");
})()"""


NODES = """(() => {
  const found = [];
  const walk = node => {
    if (node.shadowRoot) walk(node.shadowRoot);
    for (const child of node.children || []) {
      if (child.classList && child.classList.contains("name"))
        found.push([child.textContent, child.parentElement.getAttribute("class")]);
      walk(child);
    }
  };
  walk(document.body);
  return found;
})()"""


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster, set_as_default=False) as opened,
    ):  # fmt: skip
        yield opened


@pytest.fixture(scope="module")
def browser(client):
    """Closed before the cluster: what Bokeh is sending when its loop ends it never sends."""
    with Browser() as opened:
        yield opened


def read_until(page, *words, seconds=60):
    """What the page says, as soon as it says all of `words`; of (flow, status) its heading."""
    end = time.monotonic() + seconds
    patterns = [
        head_of(*word) if isinstance(word, tuple) else re.compile(re.escape(word)) for word in words
    ]
    while True:
        text = page.evaluate(TEXT)
        if all(pattern.search(text) for pattern in patterns):
            return text
        assert time.monotonic() < end, text


def address(client):
    return client.dashboard_link.replace("/status", "/taskinity")


def head_of(flow, status):
    """What the page says first: its heading, and each number, are lines of their own."""
    return re.compile(rf"{flow}\n+Run .*\n+Status\n+{status}\n")


GATE = threading.Event()


def wait_at_the_fifth(item):
    # Workers are threads of this process: the gate is theirs too.
    if item >= 4:
        assert GATE.wait(60)
    if item == 2:
        raise ValueError("<b>bad</b> luck")
    return item


def test_the_page_follows_a_run(browser, client):
    GATE.clear()
    ran = []
    flow = td.parse_flow("flow Ten:\n    Items -> Each[*] -> All").bind(
        {"items": lambda: list(range(10)), "each": wait_at_the_fifth, "all": len}
    )

    def run():
        ran.append(td.run_flow(flow, scheduler=client, max_failures=1, progress=False))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        end = time.monotonic() + 60
        while b"taskinity" not in fetch(client) and time.monotonic() < end:
            time.sleep(0.05)
        page = browser.open(address(client))
        text = read_until(page, ("Ten", "RUNNING"), "\t4 of ", "1 failed or skipped", "luck")
        assert "Done\n" in text
        assert "40 %" in text
        assert "1 failed" in text
        wanted = {"Items": "completed", "Each [*]": "many running", "All": "pending"}
        assert states_until(page, wanted) == wanted
        assert "\t4 of " in text
        assert "of 10 chunks, 1 failed or skipped" in text
        assert "ValueError: <b>bad</b> luck" in text
    finally:
        GATE.set()
        thread.join()
    text = read_until(page, ("Ten", "PARTIAL"), "10 of 10", "100 %")
    wanted = {"Items": "completed", "Each [*]": "many skipped", "All": "completed"}
    assert states_until(page, wanted) == wanted
    assert "10 of 10 chunks, 1 failed or skipped" in text
    assert ran[0].status == "PARTIAL"
    errors = [said for said in page.messages if '"type": "error"' in said or "Uncaught" in said]
    assert errors == []


def test_a_run_by_an_address_ends_on_the_page_before_its_client_closes(browser, client):
    flow = td.parse_flow("flow ByAddress:\n    Items -> Each[*] -> All")
    bound = flow.bind({"items": lambda: [1, 2, 3], "each": lambda x: x, "all": len})
    run = td.run_flow(bound, scheduler=client.scheduler.address, progress=False)
    assert run.value == 3
    page = browser.open(address(client))
    read_until(page, ("ByAddress", "COMPLETED"), "3 of 3 chunks")
    assert run.dashboard_link == address(client)


class Recalled:
    """Counts the chunks of an earlier try."""

    count = 0

    def on_event(self, event):
        if isinstance(event, td.events.ChunkFinished):
            self.count += event.outcome.is_recalled


def test_a_resumed_run_shows_what_was_used_again(browser, client, tmp_path):
    path = tmp_path / "numbers.csv"
    pd.DataFrame({"n": range(100)}).to_csv(path, index=False)

    mended = tmp_path / "mended"
    place = str(mended)

    def fails_at_the_end(chunk):
        assert Path(place).exists() or chunk["n"].max() < 90
        return len(chunk)

    options = {
        "reduce": td.sum(), "scheduler": client, "chunk_size": "10 rows", "progress": False,
        "run_dir": tmp_path / "kept", "resume": True,
    }  # fmt: skip
    with pytest.raises(td.errors.FlowFailed):
        td.process(str(path), fails_at_the_end, **options)
    page = browser.open(address(client))
    text = read_until(page, ("fails_at_the_end", "FAILED"))
    assert "ProcessChunk" not in text
    assert "1 failed or skipped" in text
    mended.touch()
    observer = Recalled()
    td.process(str(path), fails_at_the_end, **options, observers=[observer])
    text = read_until(page, ("fails_at_the_end", "COMPLETED"), "10 of 10", "reused")
    # Nine, but those that were still under way when the last one failed.
    assert 1 <= observer.count <= 9
    assert f"10 of 10 chunks, {observer.count} reused" in text


def test_the_parts_of_a_bisected_chunk_are_all_counted(browser, client):
    def refuse(chunk):
        assert not (chunk["a"] == 5).any()
        return len(chunk)

    run = td.process(
        pd.DataFrame({"a": range(20)}), refuse, reduce=td.sum(), chunk_size="10 rows",
        on_error="bisect", scheduler=client, progress=False,
    )  # fmt: skip
    assert run.value == 19
    text = read_until(browser.open(address(client)), ("refuse", "PARTIAL"))
    ended, total = re.search(r"(\d+) of (\d+) chunks, 1 failed or skipped", text).groups()
    assert ended == total == str(len(run.plan))


def states_until(page, wanted, seconds=60):
    """The class of each node of the drawn flow, by what is written in it; once it is `wanted`."""
    end = time.monotonic() + seconds
    while True:
        found = dict(page.evaluate(NODES))
        if found == wanted or time.monotonic() > end:
            return found


def fetch(client):
    from urllib.request import urlopen

    with urlopen(client.dashboard_link) as answer:
        return answer.read()


def test_the_menu_of_dask_s_own_pages_leads_to_it(browser, client):
    td.process(pd.DataFrame({"a": [1]}), len, scheduler=client, progress=False)
    page = browser.open(client.dashboard_link)
    href = "[...document.querySelectorAll('.navbar a')].filter(a => a.text == 'Taskinity')[0].href"
    link = page.evaluate(href)
    assert link == address(client)
    page.go(link)
    read_until(page, ("len", "COMPLETED"))


def test_a_scheduler_of_its_own_process_gets_the_page_too(browser, tmp_path):
    told = tmp_path / "scheduler.json"
    command = [
        sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port",
        "0", "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(told),
    ]  # fmt: skip
    worker = [
        sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(told),
        "--no-dashboard", "--nworkers", "1", "--nthreads", "1", "--local-directory", str(tmp_path),
    ]  # fmt: skip
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen(command, **quiet), subprocess.Popen(worker, **quiet)]
    try:
        end = time.monotonic() + 60
        while not told.exists() and time.monotonic() < end:
            time.sleep(0.05)
        with Client(scheduler_file=str(told), set_as_default=False, timeout=60) as client:
            run = td.process(
                pd.DataFrame({"a": range(6)}), chunk_size="2 rows", reduce=td.count(),
                scheduler=client, progress=False,
            )  # fmt: skip
            assert run.value == 6
            page = browser.open(address(client))
            read_until(page, ("count", "COMPLETED"), "3 of 3 chunks")
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(30)


def test_the_page_is_dark_where_the_visitor_is_and_fits_a_phone(browser, client):
    td.process(pd.DataFrame({"a": [1]}), len, scheduler=client, progress=False)
    page = browser.open(address(client))
    read_until(page, ("len", "COMPLETED"))
    background = "getComputedStyle(document.documentElement).backgroundColor"
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    page.show(is_dark=True, width=390)
    assert page.evaluate(background) == "rgb(20, 24, 31)"
    ink = """(() => [...Bokeh.documents[0]._all_models.values()].filter(
        model => model.type == "LinearAxis").map(axis => axis.major_label_text_color))()"""
    end = time.monotonic() + 60
    while set(page.evaluate(ink)) != {TONES["idle"].dark_ink} and time.monotonic() < end:
        time.sleep(0.05)
    assert set(page.evaluate(ink)) == {TONES["idle"].dark_ink}
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
