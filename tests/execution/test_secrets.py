"""Secrets in users' errors and log lines reach no file, no stream and no exception; data does."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import subprocess
import sys
import traceback
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest
from real_cluster import start_cluster

import taskinity_data as td

pytestmark = pytest.mark.thorough

KEY = "s3cr3t/Option+Value"
SAS = "c2FzLXZhbHVl0123"
VARIABLE = "env1ronment-Secret"
OPTIONS = {
    "secret": KEY,
    "client_kwargs": {"aws_session_token": "n3sted-t0ken-value"},
    "connection_string": f"AccountName=me;AccountKey={SAS};EndpointSuffix=x",
}
LOOKS = {
    "signed": "GET https://example.org/a.csv?X-Amz-Signature=5igned0123&part=1 failed",
    "sig": "https://example.org/a?sv=1&sig=5asSig012345 expired",
    "login": "no answer from db://me:passw0rdInUrl@host/base",
    "password": "connect(user='me', password='plainPassw0rd') failed",
    "header": "sent Authorization: Bearer tok3nOfBearer.abc-def",
}
KNOWN = [KEY, quote(KEY, safe=""), SAS, "n3sted-t0ken-value", VARIABLE]
LOOKING = ["5igned0123", "5asSig012345", "passw0rdInUrl", "plainPassw0rd", "tok3nOfBearer"]
SECRETS = [*KNOWN, *LOOKING]
FLOW = """\
flow Leaks:
    task Work[*]:
        on_error: {}
    Prepare -> Work[*] -> Combine
"""
TASKS = """\
import logging
import os

import taskinity_data as td

log = logging.getLogger("user.code")
LOOKS = {looks!r}


class Refused(Exception):
    def __init__(self, told):
        super().__init__("refused")
        self.told = told

    def __str__(self):
        return "refused: " + self.told


def prepare(data, storage_options):
    return td.open_dataset(data, chunk_size="1 rows")


def work(chunk, storage_options):
    from urllib.parse import quote

    known = [
        storage_options["secret"],
        quote(storage_options["secret"], safe=""),
        storage_options["connection_string"],
        storage_options["connection_string"].split(";")[1],
        storage_options["client_kwargs"]["aws_session_token"],
        os.environ["AWS_SECRET_ACCESS_KEY"],
    ]
    number = int(chunk.n.iloc[0])
    for one in [*known, *LOOKS.values()]:
        log.warning("about to use %s", one)
    try:
        raise KeyError(known[number % len(known)])
    except KeyError as error:
        log.exception("it has %r", known)
        if number == 1:
            raise Refused(" ".join(known)) from error
        if number == 2:
            raise ValueError(repr(storage_options)) from error
        if number == 3:
            raise OSError(5, known[0], " ".join(LOOKS.values())) from error
        if number == 4:
            problem = RuntimeError("x" * 9_990 + known[0])
            problem.add_note(known[3])
            raise problem
    return chunk


def combine(work):
    return [frame.to_dict("records") for frame in work]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory: five rows that hold the secrets too, as data may."""
    frame = pd.DataFrame({"n": range(5), "cell": ["plain", KEY, SAS, VARIABLE, LOOKING[0]]})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "leaky_tasks.py").write_text(TASKS.format(looks=LOOKS))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", VARIABLE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("leaky_tasks", None)


class Listener:
    def __init__(self):
        self.told = []

    def on_event(self, event):
        self.told.append(repr(event))


def run(scheduler, on_error, listener=None):
    import leaky_tasks

    return td.run_flow(
        td.parse_flow(FLOW.format(on_error)).bind(leaky_tasks),
        data=str(Path("rows.csv").absolute()), storage_options=OPTIONS, scheduler=scheduler,
        workers=2, run_dir="kept", progress=True, observers=[listener] if listener else [],
    )  # fmt: skip


def check(text, where):
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    assert [secret for secret in SECRETS if secret in text] == [], where


def check_files(*folders):
    """Every file but the data itself: rows that were set aside are as they were."""
    found = [one for folder in folders for one in (Path(folder), *Path(folder).rglob("*"))]
    found = [one for one in found if one.is_file()]
    for path in found:
        if path.suffix not in (".arrow", ".raw") and "__pycache__" not in path.parts:
            check(path.read_bytes(), path)
    return found


def check_run(run):
    for name in ("failures", "outcomes", "attempts"):
        check(getattr(run, name).to_csv(), name)
    check(repr(run.failures.to_dict()), "failures")
    check(str(run), "summary")
    check("\n".join(run.notices), "notices")
    past = td.load_run(run.run_id, "kept")
    check(past.failures.to_csv(), "past failures")
    assert "***" in run.failures["error"].str.cat()


@contextlib.contextmanager
def schedulers(kind, tmp_path):
    if kind != "cluster":
        yield kind
        return
    with start_cluster(tmp_path) as client:
        yield client


@pytest.mark.parametrize("kind", ["threads", "processes", "cluster"])
def test_secrets_are_in_no_file_and_no_stream(kind, folder, capfd, tmp_path_factory):
    away = tmp_path_factory.mktemp("cluster")
    handler = logging.StreamHandler(io.StringIO())
    logging.getLogger("user.code").addHandler(handler)
    listener = Listener()
    try:
        with schedulers(kind, away) as scheduler:
            done = run(scheduler, "skip", listener)
    finally:
        logging.getLogger("user.code").removeHandler(handler)
    assert str(done.status) == "PARTIAL"
    check_run(done)
    check(handler.stream.getvalue(), "a handler of the user's")
    check("\n".join(listener.told), "events")
    check("\n".join(capfd.readouterr()), "the terminal")
    assert "***" in done.report("pages/done.html").read_text()
    check(done._repr_html_(), "the notebook")
    found = check_files("kept", "pages", away)
    assert "about to use ***" in done.log.read_text()
    # Data is what it was: for a redrive, and in the answer.
    assert done.value == [[{"n": 0, "cell": "plain"}]]
    rows = [path for path in found if path.suffix == ".arrow"]
    cells = {cell for path in rows for cell in pd.read_feather(path)["cell"]}
    assert cells >= {KEY, SAS, VARIABLE, LOOKING[0]}


def test_what_a_failed_run_raises_shows_no_secret(folder):
    with pytest.raises(td.errors.FlowFailed) as failed:
        run("threads", "fail")
    check("".join(traceback.format_exception(failed.value)), "the traceback of FlowFailed")
    check_run(failed.value.run)
    check(failed.value.run._repr_html_(), "the notebook")
    assert "***" in failed.value.run.report("pages/failed.html").read_text()
    check_files("kept", "pages")


def test_the_command_line_shows_no_secret(folder):
    Path("f.flow").write_text(FLOW.format("skip"))
    command = [
        sys.executable, "-m", "taskinity_data", "run", "f.flow", "--tasks", "leaky_tasks.py",
        "--input", "data=rows.csv", "--scheduler", "threads", "--json", "--report", "page.html",
    ]  # fmt: skip
    nested = json.dumps(OPTIONS["client_kwargs"])
    options = {"secret": KEY, "connection_string": OPTIONS["connection_string"]}
    for name, value in (options | {"client_kwargs": nested}).items():
        command += ["--storage-option", f"{name}={value}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["failures"]
    check(done.stdout, "--json")
    check(done.stderr, "stderr")
    check_files("page.html", ".taskinity")


def test_errors_before_a_run_show_no_secret(folder):
    signed = "memory://me:passw0rdInUrl@nowhere/a.csv?sig=5asSig012345"
    for call in (
        lambda: td.open_dataset(signed, storage_options={"password": KEY, "nosuch": 1}),
        lambda: td.process(signed, len, storage_options=OPTIONS),
        lambda: td.open_dataset("rows.csv", sep=f"password={LOOKING[3]}"),
        lambda: run(f"tcp://me:passw0rdInUrl@127.0.0.1:1/?token={KEY}", "fail"),
    ):
        with pytest.raises(td.errors.TaskinityDataError) as found:
            call()
        check("".join(traceback.format_exception_only(found.value)), call)
        check(str(found.value.__cause__), call)


def test_ordinary_texts_stay_as_they_are():
    for text in (
        "column 'token' is missing", "key error: 'secret'", "a//b: c@d", "x=1", "see https://a.b/c?d=e",
        "password is missing", "tokens: 3",
    ):  # fmt: skip
        assert str(td.errors.PlanError(text)) == text
