"""The examples run as they stand, from any folder, and what they show is true."""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.settings import NAMES, load_settings, variable_of

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
FLIGHTS = ROOT / "datasets" / "flights"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))


@pytest.fixture(scope="module")
def late():
    flights = pd.concat(
        [pd.read_parquet(path, columns=["carrier", "dep_delay"]) for path in FLIGHTS.iterdir()]
    )
    return flights[flights.dep_delay > 15].groupby("carrier").dep_delay.agg(["count", "mean"])


def test_flight_delays_is_right(late):
    flow = runpy.run_path(str(EXAMPLES / "flight_delays.py"))["flow"]
    run = td.run_flow(flow, data=FLIGHTS, scheduler="threads", workers=2)
    assert run.value.flights.tolist() == late["count"].tolist()
    assert run.value.mean_delay.tolist() == pytest.approx(late["mean"].tolist(), rel=1e-13)
    assert run.ledger.at["processed", "rows"] == 336_776


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_flight_delays_runs_by_its_command_line_from_another_folder(scheduler, tmp_path):
    command = [sys.executable, str(ROOT / "examples" / "flight_delays.py")]
    done = subprocess.run(
        [*command, "--workers", "2", "--scheduler", scheduler],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "336,776, all processed" in done.stdout
    assert scheduler in done.stdout
    assert {path.name for path in tmp_path.iterdir()} <= {".taskinity"}


# --- five scripts, each by its command line -------------------------------------------------------


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A ``dask scheduler`` and two ``dask worker``, programs of their own that all tests share."""
    from distributed import Client

    folder = tmp_path_factory.mktemp("cluster")
    shared = ["--scheduler-file", str(folder / "scheduler.json"), "--host", "127.0.0.1"]
    shared += ["--dashboard-address", "127.0.0.1:0"]
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    programs = [subprocess.Popen([*dask, "scheduler", "--port", "0", *shared], **quiet)]
    worker = [*dask, "worker", "--nthreads", "1", "--local-directory", str(folder), *shared]
    programs += [subprocess.Popen(worker, **quiet) for _ in range(2)]
    try:
        with Client(scheduler_file=shared[1], timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
            told = client.scheduler.address
        yield told
    finally:
        for program in reversed(programs):
            program.terminate()
        for program in programs:
            program.wait(30)


@pytest.fixture
def say(tmp_path, monkeypatch, capsys, caplog, request):
    """What ``python examples/NAME.py`` prints; "processes" by a command line in another folder."""

    def run(name, scheduler, *more):
        if scheduler == "cluster":
            scheduler = request.getfixturevalue("address")
        command = [str(EXAMPLES / f"{name}.py"), "--workers", "2", "--scheduler", scheduler, *more]
        if scheduler != "processes":
            # Not even root can write there, where there is such a folder.
            monkeypatch.chdir("/proc" if Path("/proc/self").is_dir() else tmp_path)
            monkeypatch.setattr(sys, "argv", command)
            runpy.run_path(command[0], run_name="__main__")
            return capsys.readouterr().out + caplog.text
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert {path.name for path in tmp_path.iterdir()} <= {".taskinity"}
        return done.stdout

    return run


schedulers = pytest.mark.parametrize("scheduler", ["threads", "cluster", "processes"])


@schedulers
def test_basic_parallel_asks_two_at_a_time_and_gets_the_same_answer(scheduler, say):
    said = say("basic_parallel", scheduler)
    assert "answer: {'EWR': 120835, 'JFK': 111279, 'LGA': 104662, 'weather': 26115}" in said
    assert "the same as one after another: True" in said
    at_once = int(re.search(r"at the same time at most: (\d) of 4", said)[1])
    # A process may start so late that the other one has answered its first question by then.
    assert at_once == 2 if scheduler == "threads" else at_once in (1, 2)
    alone_s = float(re.search(r"^one after another: ([\d.]+) s", said, re.MULTILINE)[1])
    assert alone_s >= 2.0
    assert re.search(r"workers: 2, \S+: [\d.]+ s, [\d.]+ times as fast", said)
    flights = pd.concat([pd.read_parquet(one, columns=["origin"]) for one in FLIGHTS.iterdir()])
    assert flights["origin"].value_counts().to_dict() == {
        "EWR": 120_835, "JFK": 111_279, "LGA": 104_662,
    }  # fmt: skip


@schedulers
def test_dependency_graph_names_the_path_that_took_longest(scheduler, say):
    said = say("dependency_graph", scheduler)
    path, took, whole = re.search(
        r"critical path: (.+), ([\d.]+) s of ([\d.]+) s in all", said
    ).groups()
    before, after = said.split("Summary", 1)[0], said.rsplit("DependencyGraph", 1)[1]
    assert "0." not in before
    seconds = re.findall(r"(\d+\.\d{3}) s", after)
    assert len(seconds) == 8
    assert sum(map(float, seconds)) == pytest.approx(float(whole), abs=0.02)
    assert float(took) <= float(whole)
    names = path.split(" -> ")
    assert names[1::2] == ["Join", "Summary"]
    assert names[0] in {"Flights", "Weather", "Planes"}
    # The same by DuckDB's hand: joins and means.
    flights = ", ".join(f"'{FLIGHTS / f'2013-0{month}.parquet'}'" for month in (1, 2, 3))
    ((wet,),) = ask_duckdb(
        f"SELECT avg(dep_delay) FROM read_parquet([{flights}]) f "
        f"JOIN '{ROOT}/datasets/weather.parquet' w USING (origin, time_hour) "
        f"JOIN (SELECT tailnum FROM '{ROOT}/datasets/planes.csv') p USING (tailnum) "
        "WHERE precip > 0"
    )
    assert re.search(rf"rain +{wet:.2f}", said)


def ask_duckdb(query, flights=None):
    import duckdb

    with duckdb.connect() as connection:
        if flights is not None:
            connection.sql(f"CREATE TABLE flights AS FROM {flights}")
        return connection.sql(query).fetchall()


@schedulers
def test_parallel_data_processing_gives_one_answer_for_each_size_and_number_of_workers(
    scheduler, say, tmp_path_factory
):
    # As it stands once; the other two show the same on less.
    rows = 3_000_000 if scheduler == "threads" else 160_000
    said = say("parallel_data_processing", scheduler, *(["--rows", str(rows)] * (rows < 3_000_000)))
    table = re.findall(
        r"^ *([\d,]+) +([\d.]+) +(\d+) +(\d) +([\d.]+) +([\d.]+)$", said, re.MULTILINE
    )
    sizes = [f"{rows // part:,}" for part in (16, 4, 1)]
    assert [(row[0], row[3]) for row in table] == [(size, n) for size in sizes for n in ("1", "2")]
    assert said.count("the same answer, to the last bit: True") == 3
    assert f"rows planned {rows:,} = processed {rows:,}" in said
    # The same file, made anew, in DuckDB's hand.
    file = tmp_path_factory.mktemp("made") / "flights.csv"
    make = [sys.executable, str(ROOT / "datasets" / "make.py"), "flights", "--seed", "1"]
    subprocess.run([*make, "--rows", str(rows), "-o", str(file)], check=True)
    assert table[-1][1] == f"{file.stat().st_size / 1e6:.1f}"
    latest = ask_duckdb(
        "SELECT carrier, CASE WHEN hour <= 12 THEN 'morning' WHEN hour <= 18 THEN 'afternoon' "
        "ELSE 'evening' END, count(dep_delay), avg(dep_delay / 60.0) AS mean "
        f"FROM read_csv('{file}', nullstr='NA') GROUP BY ALL ORDER BY mean DESC LIMIT 3"
    )
    told = re.findall(r"^(\w\w) +(\w+) +(\d+) +([\d.]+)$", said, re.MULTILINE)
    assert told == [(*names, str(count), f"{mean:.2f}") for *names, count, mean in latest]


@pytest.mark.parametrize("where", ["interrupted", "full"])
def test_parallel_data_processing_leaves_no_files_behind(where, tmp_path):
    (tmp_path / "scratch").mkdir()
    command = [sys.executable, str(EXAMPLES / "parallel_data_processing.py"), "--rows"]
    with subprocess.Popen(
        [*command, "900_000_000_000" if where == "full" else "3_000_000"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path / "scratch")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as example:
        if where == "interrupted":
            assert any("/3000000.csv: " in line for line in example.stderr)  # the last is made
            example.send_signal(signal.SIGINT)
        said = example.communicate(timeout=120)[1]
    assert example.returncode
    assert not list((tmp_path / "scratch").iterdir())
    assert ("TMPDIR=FOLDER" in said) == (where == "full")


@schedulers
def test_dynamic_parallel_has_a_task_for_each_destination_in_the_data(scheduler, say, tmp_path):
    said = say("dynamic_parallel", scheduler)
    for month in ("2013-02", "2013-07"):
        (found,) = ask_duckdb(
            "WITH busy AS (SELECT dest FROM flights GROUP BY dest HAVING count(*) >= 600), "
            "daily AS (SELECT dest, month, day, avg(arr_delay) AS late FROM flights "
            "SEMI JOIN busy USING (dest) GROUP BY ALL) SELECT (SELECT count(*) FROM busy), late, "
            "dest, month, day FROM daily ORDER BY late DESC LIMIT 1",
            flights=f"'{FLIGHTS / month}.parquet'",
        )
        number, late, place, *day = found
        assert (
            f"{month}: {number} destinations, so {number} tasks, workers: 2; "
            f"the worst: {late:.0f} minutes late to {place} on {'-'.join(map(str, day))}\n"
        ) in said
    handed = re.search(r"as it is handed out:\n([\d. ]+)\n", said)[1].split()
    assert f"{len(handed)} chunks, workers: 2; why:" in said
    assert len(set(handed)) > 3
    # A first size, halves to learn from, then what was learned: which of it depends on the machine.
    reasons = re.findall(r"from chunk \d+: [\d.]+ [kM]B: (\S+)", said)
    assert reasons[0] == "first"
    assert {"first", "half,"} < set(reasons)
    make = [sys.executable, str(ROOT / "datasets" / "make.py"), "flights", "--rows", "400_000"]
    subprocess.run([*make, "-o", str(tmp_path / "flights.csv")], check=True)
    ((rows, late),) = ask_duckdb(
        "SELECT count(*), count(*) FILTER (dep_delay > 15) FROM flights",
        flights=f"read_csv('{tmp_path}/flights.csv', nullstr='NA')",
    )
    assert f"{late:,} late flights of {rows:,}" in said


# Nine pools of processes are a minute of work; the workers of a cluster are processes too.
@pytest.mark.parametrize("scheduler", ["threads", "cluster"])
def test_error_handling_shows_what_each_policy_makes_of_a_bad_row(scheduler, say):
    said = say("error_handling", scheduler)
    whole = sum(range(1_000)) - 450  # all but the text in place of 450
    without = whole - (sum(range(400, 500)) - 450)
    assert f"without it the sum is {whole:,}." in said
    skipped, quarantined, fallback = "{'skipped': 100}", "{'quarantined': 1}", "{'fallback': 100}"
    bad, busy, again = (
        "\n  ValueError: ",
        "\n  ConnectionError: ",
        "\n  next attempt after SECONDS s",
    )
    told = re.sub(r"\d+\.\d\d s", "SECONDS s", said.replace("the service is busy", ""))
    for title, total, attempts, rows, aside, more in (
        ("retry with back-off: COMPLETED", whole, 12, "all rows", 0, busy + again + again),
        ("timeout of a second: PARTIAL", without, 10, skipped, 1, "\n  TimeoutError: "),
        ("fallback: PARTIAL", whole, 11, fallback, 0, bad),
        ("skip under 10 %: PARTIAL", without, 10, skipped, 1, bad),
        ("bisect to the bad row: PARTIAL", whole, 16, quarantined, 1, bad),
        ("redrive (first): PARTIAL", without, 10, skipped, 1, busy),
        ("redrive (again): COMPLETED", whole, 10, "all rows", 0, "\n"),
        ("death of a worker: COMPLETED", whole, 11, "all rows", 0, "\n  WorkerDied: "),
        ("killed and resumed: COMPLETED", whole, 10, "all rows", 0, "\n"),
    ):
        line = f"{title}, sum {total:,}, {attempts} attempts, {rows}, in quarantine: {aside}{more}"
        assert line in told
    used = re.findall(r" (\d+) finished chunks of run (\S+) were reused", said)
    redriven, resumed = {run_id: number for number, run_id in used}.values()
    assert int(redriven) == 9
    assert 1 <= int(resumed) < 10


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_an_example_is_short_and_stands_in_the_readme(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 80
    assert f"({path.name})" in (EXAMPLES / "README.md").read_text(encoding="utf-8")


def test_the_requirements_are_what_the_examples_need(tmp_path):
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [
            *pip, "--dry-run", "--no-deps", "--no-index", "--no-build-isolation", "--report",
            str(tmp_path / "report.json"), "-r", str(EXAMPLES / "requirements.txt"),
        ],
        cwd=ROOT,
        check=True,
    )  # fmt: skip
    (one,) = json.loads((tmp_path / "report.json").read_text())["install"]
    assert one["metadata"]["name"] == "taskinity-data"


# --- .env.example ---------------------------------------------------------------------------------


def _shown():
    """The settings of ``.env.example`` with the values that stand there."""
    text = (EXAMPLES / ".env.example").read_text(encoding="utf-8")
    return dict(re.findall(r"^# (TASKINITY_\w+)=(.*)$", text, re.MULTILINE))


def _write_env(folder, name, value=None):
    (folder / ".env").write_text(f"{name}={_shown()[name] if value is None else value}\n")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_settings_that_have_an_effect_are_shown_with_their_defaults():
    assert set(_shown()) == {variable_of(name) for name in NAMES}
    text = (EXAMPLES / ".env.example").read_text(encoding="utf-8")
    assert text.count("Default: ") == len(_shown())


def test_every_setting_that_is_shown_is_read(folder):
    for name, value in _shown().items():
        _write_env(folder, name)
        settings = load_settings({}, folder)
        attribute = name.removeprefix("TASKINITY_").lower()
        assert str(getattr(settings, attribute)) == value
        assert settings.source_of(attribute).endswith(".env, line 1")


def _small(function=len, **options):
    return td.process(pd.DataFrame({"a": range(100)}), function, reduce=len, **options)


def test_max_workers_bounds_a_run(folder):
    _write_env(folder, "TASKINITY_MAX_WORKERS")
    assert _small(scheduler="threads").workers == 4


def test_chunk_size_cuts_a_run(folder):
    _write_env(folder, "TASKINITY_CHUNK_SIZE", "10 rows")
    assert _small(scheduler="threads").value == 10


def test_scheduler_says_who_runs(folder):
    _write_env(folder, "TASKINITY_SCHEDULER", "synchronous")
    assert _small().scheduler == "synchronous"


def test_output_dir_is_where_relative_outputs_lie(folder):
    _write_env(folder, "TASKINITY_OUTPUT_DIR")
    _small(lambda chunk: chunk, scheduler="threads", output="clean")
    assert list((folder / "results" / "clean").glob("*.parquet"))


def test_run_dir_is_where_runs_are_kept(folder):
    _write_env(folder, "TASKINITY_RUN_DIR", "kept")
    done = _small(scheduler="threads")
    assert (folder / "kept" / done.run_id).is_dir()


@pytest.mark.parametrize(("level", "is_kept"), [("INFO", True), ("CRITICAL", False)])
def test_log_level_and_log_dir_say_what_is_logged_and_where(folder, level, is_kept):
    (folder / ".env").write_text(f"TASKINITY_LOG_DIR=told\nTASKINITY_LOG_LEVEL={level}\n")
    (folder / "a.csv").write_text("a\n1\n")
    (folder / "one.py").write_text(
        "import taskinity_data as td\n\n\n@td.task\ndef rows(chunk):\n    return len(chunk)\n\n\n"
        "@td.flow\ndef flow(data):\n    return rows.map(data)\n"
    )
    subprocess.run(
        [sys.executable, "-m", "taskinity_data", "run", "one.py", "--input", "data=a.csv"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert len(list((folder / "told").glob("*.log"))) == is_kept
