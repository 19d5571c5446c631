"""The report of a run as one file: what it says, that it is inert, small and readable."""

import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pandas as pd
import pytest
from browser import Browser

import taskinity_data as td
from taskinity_data.execution.worker.job import Item
from taskinity_data.outcome import Attempt, Failure, Outcome, RunStatus, Status
from taskinity_data.report.html.write import render_report
from taskinity_data.version import versions_here

HOSTILE = (
    '</pre></svg><script>alert(1)</script><img src=x onerror="alert(2)">\x1b[31m\u202e&"\'{{7*7}}'
)


def keep(chunk):
    return len(chunk)


def run_on(frame, function=keep, **options):
    options = {"chunk_size": "2 rows", "workers": 2, "scheduler": "threads"} | options
    return td.process(frame, function, **options)


@pytest.fixture(scope="module")
def run():
    return run_on(pd.DataFrame({"a": range(12)}))


def outcome_of(chunk, number, status=Status.COMPLETED, failures=(), task="ProcessChunk"):
    """What two workers would have made of the chunk, a tenth of a second each, in turn."""
    attempts = tuple(
        Attempt(
            at + 1, 1_000.0 + number // 2 * 0.1 + at * 0.01, 0.09, f"host:{number % 2}/t",
            read_s=0.06, function_s=0.02, partial_s=0.005, memory_nbytes=2_000,
            peak_nbytes=100_000_000 + number, failure=failure,
        )
        for at, failure in enumerate(failures or (None,))
    )  # fmt: skip
    item = Item(key=chunk.key, data=chunk, position=number)
    return item, Outcome(task, chunk.key, status, attempts, rows=2, nbytes=chunk.nbytes)


def failure_of(message=HOSTILE):
    return Failure("ValueError", message, f"File my.py, line 7\n{message}\n")


@pytest.fixture(scope="module")
def large(run):
    """A run of 10,000 chunks, a hundred of them failed."""
    plan = td.open_dataset(pd.DataFrame({"a": range(20_000)})).plan(chunk_size="2 rows")
    ended = []
    for number, chunk in enumerate(plan):
        has_failed = number % 100 == 50
        failures = [failure_of("bad cell"), failure_of("bad cell")] if has_failed else ()
        ended.append(
            outcome_of(chunk, number, Status.FAILED if has_failed else Status.COMPLETED, failures)
        )
    sizes = {"ProcessChunk": [(number * 10, 16, f"reason {number}") for number in range(1_000)]}
    return replace(
        run, plans={"ProcessChunk": plan}, sizes=sizes, status=RunStatus.PARTIAL, _ended=ended
    )


@pytest.fixture(scope="module")
def large_page(large):
    return render(large)


@pytest.fixture(scope="module")
def large_file(large, tmp_path_factory):
    return large.report(tmp_path_factory.mktemp("large") / "r.html").as_uri()


def words_of(html):
    text = re.sub(r"<(style|title|desc|script)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", text)))


class Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def render(run):
    return render_report(run, run._ended, head={"versions": versions_here()})


def test_all_that_a_report_promises_is_in_it(run):
    html = render(run)
    words = words_of(html)
    for title in (
        "Answer", "Flow", "Workers over time", "Times", "Wall time of the run",
        "Work, added up over 2 workers", "Time of each chunk", "The slowest chunks",
        "Inputs and environment",
    ):  # fmt: skip
        assert title in words
    assert f"Run {run.run_id}" in words
    assert "[2, 2, 2, 2, 2, 2]" in words
    assert "6 completed;" in words
    assert "The most memory that one process held was" in words
    assert f"pandas {pd.__version__}" in words


def test_what_says_nothing_of_a_run_is_left_out(run):
    words = words_of(render(run))
    for title in (
        "Bottleneck",
        "Retries and failures",
        "Throughput",
        "Sizes of the chunks",
        "Ledger",
        "skipped",
    ):
        assert title not in words
    small = words_of(render(run_on(pd.DataFrame({"a": [1]}))))
    for title in ("Workers over time", "Time of each chunk", "The slowest chunks"):
        assert title not in small


def test_what_bounded_a_run_is_said_of_one_that_took_a_second_and_went_well(run):
    long = replace(run, timings=run.timings | {"total": 5.0})
    assert "Bottleneck" in words_of(render(long))
    assert "Bottleneck" not in words_of(render(replace(long, status=RunStatus.FAILED)))


def tiles_of(html):
    found = re.findall(r'<dt>([^<]*)</dt><dd><span class="number ?(\w*)">([^<]*)</span>', html)
    return {title: (number, tone) for title, tone, number in found}


def test_the_large_numbers_are_status_rows_in_rows_lost_duration_and_rate(run):
    tiles = tiles_of(render(run))
    assert list(tiles) == ["Status", "Rows in", "Rows lost", "Duration", "Rows/s"]
    assert tiles["Status"] == ("COMPLETED", "good")
    assert (tiles["Rows in"][0], tiles["Rows lost"]) == ("12", ("0", ""))


def test_rows_that_are_lost_are_counted_in_amber():
    def refuse(chunk):
        assert chunk.a.iloc[0] != 4
        return len(chunk)

    run = run_on(pd.DataFrame({"a": range(12)}), refuse, on_error="skip")
    tiles = tiles_of(render(run))
    assert tiles["Status"] == ("PARTIAL", "attention")
    assert tiles["Rows lost"] == ("2", "attention")
    assert "16.67 % of the bytes" in words_of(render(run))


def test_where_no_rows_are_counted_the_large_numbers_are_of_items_or_tasks():
    flow = td.parse_flow("flow F:\n    Give -> Work[*] -> Add\n")
    run = td.run_flow(
        flow.bind({"give": lambda: [1, 2, 3], "work": lambda a: a, "add": sum}),
        scheduler="synchronous",
    )
    tiles = tiles_of(render(run))
    assert (tiles["Items"], tiles["Items lost"]) == (("3", ""), ("0", ""))
    flow = td.parse_flow("flow F:\n    task One:\n")
    tiles = tiles_of(render(td.run_flow(flow.bind({"one": lambda: 1}), scheduler="synchronous")))
    assert list(tiles) == ["Status", "Tasks", "Tasks lost", "Duration"]


def test_a_run_of_process_is_labelled_by_its_functions_and_nothing_that_nobody_wrote(
    large_page, run
):
    def refuse(chunk):
        raise ValueError("no")

    with pytest.raises(td.errors.FlowFailed) as caught:
        run_on(pd.DataFrame({"a": [1, 2, 3]}), refuse)
    failed = render(caught.value.run)
    for html, label in ((render(run), "keep"), (large_page, "keep"), (failed, "refuse")):
        assert f"<h1>{label}</h1>" in html
        assert not re.findall(r"DataPreparation|ProcessChunk|AggregateResults|Process\b", html)
    drawn = " ".join(re.findall(r'<text class="name"[^>]*>([^<]*)</text>', render(run)))
    assert drawn == "keep [*] collect"


def test_the_flow_is_drawn_with_states_and_times(large_page):
    (drawn,) = re.findall(r'<svg [^>]*class="taskinity-flow".*?</svg>', large_page, re.DOTALL)
    texts = " ".join(ET.fromstring(drawn).itertext())
    assert "9,900 completed, 100 failed" in texts
    assert 'class="many failed"' in drawn


def test_tasks_that_chunks_pass_at_one_go_are_told_as_one():
    flow = td.parse_flow("flow F:\n    Give -> Clean[*] -> Score[*] -> Add\n")
    run = td.run_flow(
        flow.bind({"give": lambda: [1, 2], "clean": lambda a: a, "score": lambda a: a, "add": sum}),
        scheduler="synchronous",
    )
    (drawn,) = re.findall(r'<svg [^>]*class="taskinity-flow".*?</svg>', render(run), re.DOTALL)
    assert "at one go with Score" in drawn
    assert drawn.count('class="many completed"') == 2
    assert "2 completed; " in drawn


def test_a_report_of_ten_thousand_chunks_is_below_two_megabytes(large_page):
    html = large_page
    assert len(html.encode()) < 2_000_000
    words = words_of(html)
    assert "ValueError: bad cell 100 failed" in words
    assert "keep · 200 attempts" in words
    assert "and 50 more" in words
    assert "from chunk 0: reason 0" in words
    assert "from chunk 9,990: reason 999" in words
    assert "980 changes between" in words


@pytest.mark.thorough
def test_even_ten_thousand_failures_on_many_workers_stay_below_two_megabytes(large):
    ended = [
        outcome_of(item.data, number, Status.FAILED, [failure_of("x" * 50_000)] * 3)
        for number, (item, _) in enumerate(large._ended)
    ]
    ended = [
        (item, replace(outcome, attempts=tuple(
            replace(one, worker=f"host-{number % 500}:{number}/t") for one in outcome.attempts
        )))
        for number, (item, outcome) in enumerate(ended)
    ]  # fmt: skip
    html = render(replace(large, _ended=ended))
    assert len(html.encode()) < 2_000_000
    assert "9952 more lanes not shown" in html.replace(",", "")


def test_a_failed_chunk_has_its_error_its_traceback_and_its_range(tmp_path):
    path = tmp_path / "it's.csv"
    path.write_text("a\n" + "1\n" * 4 + "x\n" + "1\n" * 3)

    def double(chunk):
        return int(chunk["a"].astype("int64").sum())

    with pytest.raises(td.errors.FlowFailed) as caught:
        td.process(path, double, dtype={"a": "str"}, chunk_size=8, scheduler="synchronous")
    html = caught.value.run.report(tmp_path / "r.html").read_text()
    words = words_of(html)
    assert "FAILED" in words
    assert "Answer" not in words
    assert f"{path} [10 to 18]" in words
    assert "in double" in words
    assert "double · 1 attempt" in words


def test_what_was_tried_again_skipped_or_replaced_is_told(run):
    chunks = run.plan.chunks
    ended = [
        outcome_of(chunks[0], 0, failures=[failure_of("first"), None]),
        outcome_of(chunks[1], 1, Status.SKIPPED, [failure_of("second")]),
    ]
    item, replaced = outcome_of(chunks[2], 2, failures=[failure_of("third"), None])
    ended.append((item, replace(replaced, is_fallback=True)))
    words = words_of(render(replace(run, _ended=ended)))
    assert "ValueError: first completed when tried again keep · 2 attempts" in words
    assert "ValueError: second skipped keep · 1 attempt" in words
    assert "ValueError: third replaced by a fallback keep · 2 attempts" in words


def test_failures_that_differ_in_numbers_alone_are_one_group_with_its_ranges_folded(run):
    chunks = run.plan.chunks
    texts = ["row 7 is bad", "row 9 is bad", "no column"]
    ended = [
        outcome_of(chunks[number], number, Status.SKIPPED, [failure_of(text)])
        for number, text in enumerate(texts)
    ]
    html = render(replace(run, _ended=ended, status=RunStatus.PARTIAL))
    assert html.count('<div class="failure attention">') == 2
    words = words_of(html)
    assert words.index("row 7 is bad 2 skipped") < words.index("no column skipped")
    (folded,) = re.findall(r"<details><summary>2 chunks</summary>(.*?)</details>", html, re.DOTALL)
    assert "row 9 is bad" in folded


def test_only_the_page_s_own_script_may_run(run):
    html = render(run)
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in unescape(html)


def test_chunks_of_an_earlier_run_take_no_time_of_this_one_and_are_told(run):
    """Resumed runs and quarantine mark their outcomes; a report knows both."""
    chunks = run.plan.chunks
    (old, again), (item, lost) = (
        outcome_of(chunks[0], 0, failures=[failure_of("of yesterday"), None]),
        outcome_of(chunks[1], 1, Status.FAILED, [failure_of("bad row")]),
    )
    again = replace(again, is_recalled=True)
    lost = replace(lost, is_quarantined=True)
    html = render(replace(run, _ended=[(old, again), (item, lost), outcome_of(chunks[2], 2)]))
    words = words_of(html)
    assert "2 attempts on" in words
    assert "of yesterday" not in html
    assert "ValueError: bad row quarantined" in words
    assert "2 of 3 chunks, 1 reused" in words
    drawn = " ".join(re.findall(r"<text [^>]*>([^<]*)</text>", html))
    assert "1 reused from an earlier run" in drawn


def test_chunks_of_two_fan_outs_stand_apart_in_their_times(run):
    chunks = run.plan.chunks
    ended = [outcome_of(chunks[number], number, task="First") for number in (1, 0)]
    ended += [outcome_of(chunks[number], 10 + number, task="Second") for number in range(2)]
    ended = [(replace(item, position=item.position % 10), outcome) for item, outcome in ended]
    html = render(replace(run, _ended=ended))
    chart = html[html.index('aria-label="Time of each chunk. ') :]
    told = re.findall(r"<title>(\w+ \d+): completed", chart[: chart.index("</svg>")])
    assert told == ["First 0", "First 1", "Second 0", "Second 1"]


def test_hostile_texts_are_texts_alone(run):
    flow = replace(run.flow, description=HOSTILE)
    chunk = run.plan.chunks[0]
    ended = [outcome_of(chunk, 0, Status.FAILED, [failure_of()])]
    item, outcome = ended[0]
    worker = replace(outcome.attempts[0], worker=HOSTILE)
    ended = [(item, replace(outcome, attempts=(worker,)))]
    html = render(
        replace(
            run, flow=flow, value=HOSTILE, stop_reason=HOSTILE, scheduler_reason=HOSTILE,
            run_id=HOSTILE, sizes={"ProcessChunk": [(0, 1, HOSTILE)]}, _ended=ended,
            status=RunStatus.PARTIAL,
        )
    )  # fmt: skip
    tags = Tags(html).found
    assert not {"img", "iframe", "object", "base", "form"} & {tag for tag, _ in tags}
    for _, attributes in tags:
        assert not [name for name in attributes if name.startswith("on")]
    assert "49" not in re.findall(r"\{\{7\*7\}\}|(49)&", html)
    assert not set(html) & {"\x1b", "\u202e"}
    assert html.count("<script") == 1


def test_a_report_asks_nothing_of_any_network(run):
    for tag, attributes in Tags(render(run)).found:
        for name in ("src", "href", "data", "action", "srcset"):
            target = attributes.get(name)
            assert target is None or target.startswith(("#", "data:,")), (tag, target)
    assert "url(" not in render(run)
    assert "@import" not in render(run)


def test_a_report_is_readable_by_keyboard_and_screen_reader(large_page):
    tags = Tags(large_page).found
    assert ("html", {"lang": "en"}) in tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [a["href"][1:] for tag, a in tags if tag == "a"]
    assert targets
    assert set(targets) <= set(ids)
    for tag, attributes in tags:
        if tag == "svg":
            assert attributes["role"] == "img"
            assert attributes["aria-label"]
        if tag == "section":
            assert attributes["aria-labelledby"] in ids
        if attributes.get("class") == "wide":
            assert attributes["tabindex"] == "0"
            assert attributes["aria-label"]
    names = [tag for tag, _ in tags]
    assert names.count("caption") == names.count("table")
    assert {"main", "nav", "header"} <= set(names)


def test_every_chart_is_well_formed(large_page):
    drawn = re.findall(r"<svg .*?</svg>", large_page, re.DOTALL)
    assert len(drawn) >= 5
    for svg in drawn:
        ET.fromstring(svg)


def test_a_run_without_chunks_is_reported():
    flow = td.parse_flow("flow A:\n    task B:\n    task C:\n    B -> C\n")
    run = td.run_flow(flow.bind({"b": lambda: 1, "c": lambda b: b + 1}), scheduler="threads")
    words = words_of(render(run))
    assert "COMPLETED" in words
    assert "Ledger" not in words
    assert "Time of each chunk" not in words


def test_a_run_in_which_nothing_ran_is_reported(run):
    words = words_of(render(replace(run, _ended=(), plans={}, sizes={}, _accounts={})))
    assert "Workers over time" not in words


def test_an_interrupted_run_is_reported():
    def stop(chunk):
        if chunk.a.iloc[0] == 4:
            raise KeyboardInterrupt
        return len(chunk)

    with pytest.raises(KeyboardInterrupt) as caught:
        run_on(pd.DataFrame({"a": range(12)}), stop, scheduler="synchronous")
    words = words_of(render(caught.value.run))
    assert "INTERRUPTED" in words
    assert "Answer" not in words


def test_the_default_is_a_file_named_after_the_run_in_the_working_directory(
    run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert run.report() == tmp_path / f"{run.run_id}.html"
    assert run.report(tmp_path) == tmp_path / f"{run.run_id}.html"
    assert [path.name for path in tmp_path.iterdir()] == [f"{run.run_id}.html"]


def test_directories_are_made_and_a_file_that_is_there_is_replaced(run, tmp_path):
    path = tmp_path / "new" / "folder" / "a.html"
    assert run.report(path) == path
    path.write_text("old")
    assert "<!doctype html>" in run.report(str(path)).read_text()
    assert [one.name for one in path.parent.iterdir()] == ["a.html"]


def test_where_no_file_can_be_an_os_error_says_so_and_nothing_is_left(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        run.report(tmp_path / "file" / "a.html")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


def test_in_a_browser_nothing_is_requested_run_or_complained_of(browser, large, tmp_path):
    chunk = large.plan.chunks[0]
    hostile = [outcome_of(chunk, 0, Status.FAILED, [failure_of()]), *large._ended[1:]]
    run = replace(large, value=HOSTILE, stop_reason=HOSTILE, _ended=hostile)
    path = run.report(tmp_path / "r.html")
    page = browser.open(path.as_uri())
    assert page.requests == [path.as_uri()]
    assert page.messages == []
    assert page.evaluate("document.querySelectorAll('script').length") == 1
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    assert page.evaluate("document.querySelectorAll('svg').length") >= 5
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_in_a_browser_dark_and_light_differ_and_keep_their_contrast(browser, large_file):
    page = browser.open(large_file)
    script = """(() => {
        const light = color => {
            const parts = color.match(/[\\d.]+/g).slice(0, 3).map(part => {
                const share = part / 255;
                return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
        };
        const back = light(getComputedStyle(document.body).backgroundColor);
        const found = [...document.querySelectorAll(
            'p, a, dt, dd, dd span, th, td, summary, button, .y-ticks span, figcaption')].map(
            one => light(getComputedStyle(one).color));
        return [back, Math.min(...found.map(
            ink => (Math.max(ink, back) + 0.05) / (Math.min(ink, back) + 0.05)))];
    })()"""
    page.show(is_dark=False)
    light, light_contrast = page.evaluate(script)
    page.show(is_dark=True)
    dark, dark_contrast = page.evaluate(script)
    assert dark < 0.1 < 0.9 < light
    assert min(light_contrast, dark_contrast) >= 4.5


def test_in_a_browser_the_keyboard_reaches_sections_and_opens_details(browser, large_file):
    page = browser.open(large_file)
    page.press("Tab", 9)
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#main"
    page.evaluate("document.querySelector('summary').focus()")
    page.press("Enter", 13, "\r")
    assert page.evaluate("document.querySelector('details').open")


def test_in_a_browser_nothing_overflows_a_phone(browser, large_file):
    page = browser.open(large_file)
    page.show(width=390)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_in_a_browser_a_button_copies_its_command(browser, tmp_path):
    (tmp_path / "a.csv").write_text("a\n1\n")
    with pytest.raises(td.errors.FlowFailed) as caught:
        td.process(
            tmp_path / "a.csv", lambda chunk: 1 / 0, scheduler="synchronous", run_dir=tmp_path
        )
    page = browser.open(caught.value.run.report(tmp_path / "r.html").as_uri())
    page.evaluate("navigator.clipboard.writeText = text => { window.copied = text; }")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    button = "document.querySelector('button.copy')"
    assert not page.evaluate(f"{button}.hidden")
    page.evaluate(f"{button}.click()")
    assert page.evaluate("copied") == page.evaluate(f"{button}.previousElementSibling.innerText")
    assert page.evaluate(f"{button}.innerText") == "Copied"


def test_a_printed_report_shows_what_is_folded_on_the_screen(browser, run, tmp_path):
    page = browser.open(run.report(tmp_path / "r.html").as_uri())
    is_seen = "document.querySelector('details table').checkVisibility()"
    assert not page.evaluate(is_seen)
    page.show(media="print", is_dark=True)
    assert page.evaluate(is_seen)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    fill = "getComputedStyle(document.querySelector('.taskinity-flow rect')).fill"
    assert page.evaluate(fill) == "rgb(255, 255, 255)"
    assert page.pdf().startswith(b"%PDF-")
