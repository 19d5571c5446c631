"""Names that look like homes, links to nothing, files that vanish, web servers that are silent."""

import os
import socket
import threading

import pandas as pd
import pytest

import taskinity_data as td

aiohttp = pytest.importorskip("aiohttp")
ALONE = {"scheduler": "synchronous", "progress": False}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"a": [1, 2]}).to_csv(tmp_path / "~x.csv", index=False)
    return tmp_path


@pytest.mark.parametrize("source", ["~x.csv", ["~x.csv"]])
def test_a_file_whose_name_begins_with_a_tilde_is_read(here, source):
    assert td.process(source, reduce=td.count(), **ALONE).value == 2


def test_names_with_a_tilde_are_taken_as_they_are_everywhere(here):
    run = td.process("~x.csv", output="~out", run_dir="~runs", **ALONE)
    run.report("~report.html")
    assert {"~out", "~runs", "~report.html"} <= set(os.listdir(here))
    assert td.load_run(run.run_id, run_dir="~runs").run_id == run.run_id


@pytest.mark.parametrize("source", ["l.csv", "links", "links/*.csv", "l*.csv"])
def test_a_link_to_nothing_is_named_with_where_it_leads(here, source):
    (here / "links").mkdir()
    (here / "links" / "l.csv").symlink_to("gone.csv")
    (here / "l.csv").symlink_to("gone.csv")
    with pytest.raises(FileNotFoundError, match=r"l\.csv: is a link to gone\.csv, where there is"):
        td.process(source, reduce=td.count(), **ALONE)


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet", "feather"])
def test_a_file_that_vanishes_before_it_is_read_is_named_as_gone(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    frame = pd.DataFrame({"a": range(10)})
    write = {"csv": frame.to_csv, "csv.gz": frame.to_csv}
    write |= {"parquet": frame.to_parquet, "feather": frame.to_feather}
    write[suffix](path)
    dataset = td.open_dataset(path)
    path.unlink()
    with pytest.raises(td.errors.TaskinityDataError, match=rf"x\.{suffix}: the file .* is gone"):
        td.process(dataset, reduce=td.count(), **ALONE)


@pytest.fixture
def silent():
    """The URL of a file of a server that takes requests and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/a.csv"


@pytest.mark.parametrize("kind", ["sock_read", "total"])
def test_a_silent_web_server_is_an_error_that_names_the_time_limit(silent, kind):
    options = {"client_kwargs": {"timeout": aiohttp.ClientTimeout(**{kind: 0.125})}}
    with pytest.raises(td.errors.PlanError, match=r"a\.csv.*silent for 0\.125 s.*sock_read=SEC"):
        td.open_dataset(silent, storage_options=options)


def test_without_options_a_web_server_may_be_silent_for_less_than_a_minute(silent, monkeypatch):
    asked = []

    class Timeout(aiohttp.ClientTimeout):
        def __init__(self, **limits):
            asked.append(limits)
            super().__init__(**{name: limit and limit / 100 for name, limit in limits.items()})

    monkeypatch.setattr(aiohttp, "ClientTimeout", Timeout)
    with pytest.raises(td.errors.PlanError, match=r"silent for 0\.2 s"):
        td.open_dataset(silent)
    assert asked == [{"total": None, "sock_connect": 20, "sock_read": 20}]


def test_a_web_server_that_falls_silent_within_a_file_costs_the_run_with_the_limit(tmp_path):
    text = "a\n" + "1\n" * 2_000
    answered = threading.Event()

    def answer(server):
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection):
        with connection, connection.makefile("rb") as lines:
            while request := lines.readline():
                headers = {}
                while (line := lines.readline()) not in (b"\r\n", b""):
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                if answered.is_set():
                    answered.wait()
                    lines.readline()  # until the client gives up
                    return
                start, stop = 0, len(text)
                status = "200 OK"
                if "range" in headers:
                    first, _, last = headers["range"].removeprefix("bytes=").partition("-")
                    start, stop = int(first), int(last) + 1
                    status = "206 Partial Content"
                body = b"" if request.startswith(b"HEAD") else text[start:stop].encode()
                connection.sendall(
                    f'HTTP/1.1 {status}\r\nContent-Length: {stop - start}\r\nETag: "1"\r\n'
                    f"Accept-Ranges: bytes\r\nContent-Range: bytes {start}-{stop - 1}/{len(text)}"
                    "\r\n\r\n".encode()
                    + body
                )

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.csv"
        options = {"client_kwargs": {"timeout": aiohttp.ClientTimeout(sock_read=0.25)}}
        dataset = td.open_dataset(url, storage_options=options, chunk_size=1_000)
        plan = dataset.plan()
        assert len(plan[0].read()) > 0
        answered.set()
        with pytest.raises(td.errors.ReadError, match=r"silent for 0\.25 s"):
            plan[1].read()
