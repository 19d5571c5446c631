"""Files of stores: their rows are those of the same files here, or it is said why not.

The servers are real and on this machine: an HTTP server that can misbehave, and SeaweedFS for S3.
"""

from __future__ import annotations

import json
import lzma
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path

import duckdb
import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from s3_server import SECRET, free_ports

import taskinity_data as td
from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, ReadError, SourceChanged, SourceNotFound
from taskinity_data.formats.detect import detect_format
from taskinity_data.redact import clean_url
from taskinity_data.sources import file as files_module
from taskinity_data.sources import store as stores_module
from taskinity_data.sources.file import StoreFile
from taskinity_data.sources.find import find_files
from taskinity_data.sources.fingerprint import fingerprint_of

ROWS = 4_000


def make_table(rows=ROWS):
    rng = np.random.default_rng(7)
    return pa.table(
        {
            "n": np.arange(rows),
            "x": rng.normal(size=rows),
            "word": [f"wörd, {n % 97}\n" if n % 11 == 0 else f"w{n}" for n in range(rows)],
            "wide": rng.integers(0, 1 << 60, rows),
        }
    )


def write_arrow(table, path, **options):
    with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=700)


def write_stream(table, path):
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=900)


WRITERS = {
    "a.csv": lambda table, path: table.to_pandas().to_csv(path, index=False),
    "wide.csv": lambda table, path: table.to_pandas().to_csv(
        path, index=False, encoding="utf-16", lineterminator="\n"
    ),
    "a.jsonl": lambda table, path: table.to_pandas().to_json(path, orient="records", lines=True),
    "a.json": lambda table, path: table.to_pandas().to_json(path, orient="records"),
    "a.parquet": lambda table, path: pq.write_table(table, path, row_group_size=1_000),
    "a.arrow": write_arrow,
    "zstd.arrow": lambda table, path: write_arrow(table, path, compression="zstd"),
    "a.arrows": write_stream,
    "a.csv.gz": lambda table, path: table.to_pandas().to_csv(path, index=False),
    "a.jsonl.xz": lambda table, path: table.to_pandas().to_json(path, orient="records", lines=True),
    "a.orc": lambda table, path: pa.orc.write_table(table, path, stripe_size=20_000),
}
OPTIONS = {"wide.csv": {"encoding": "utf-16"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    directory = tmp_path_factory.mktemp("served")
    table = make_table()
    for name, write in WRITERS.items():
        write(table, str(directory / name))
    return directory


@dataclass
class Web:
    """What the HTTP server serves, how, and what it was asked."""

    directory: Path
    url: str = ""
    has_ranges: bool = True
    has_tag: bool = True
    has_size: bool = True
    status: int | None = None
    get_status: int | None = None
    modified: str | None = None
    cut_at: int | None = None
    drop: int = 0
    change_after: int | None = None
    versions: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def gets(self):
        return [(where, nbytes) for method, where, nbytes in self.asked if method == "GET"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    web: Web

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(is_head=True)

    def do_GET(self):
        self.answer(is_head=False)

    def answer(self, *, is_head):
        web = self.web
        path = web.directory / self.path.partition("?")[0].lstrip("/")
        if web.status is not None or not path.is_file():
            self.send_response(web.status or 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = path.read_bytes()
        said = self.headers.get("Range")
        if web.get_status is not None and not is_head:
            self.send_error(web.get_status)
            return
        start, stop, status = 0, len(data), 200
        if said and web.has_ranges:
            first, last = said.removeprefix("bytes=").split("-")
            start, stop, status = int(first), min(int(last) + 1, len(data)), 206
        part = data[start:stop][web.drop :]
        with web.lock:
            if web.change_after is not None and len(web.gets()) >= web.change_after:
                web.versions[path.name] = 1
            version = web.versions.get(path.name, 0)
            web.asked.append((self.command, f"{start}-{stop}", 0 if is_head else len(part)))
        self.send_response(status)
        if web.has_size or status == 206:
            self.send_header("Content-Length", str(len(part)))
        else:
            self.close_connection = True
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        if web.has_tag:
            self.send_header("ETag", f'"{path.name}-{version}-{len(data)}"')
        if web.modified:
            self.send_header("Last-Modified", web.modified)
        self.end_headers()
        if is_head:
            return
        if web.cut_at is not None and len(part) > web.cut_at:
            self.wfile.write(part[: web.cut_at])
            self.close_connection = True
            return
        with suppress(ConnectionError):
            self.wfile.write(part)


@pytest.fixture
def serve():
    """A function that serves a directory and gives its `Web`."""
    running = []

    def start(directory, **how):
        web = Web(Path(directory), **how)
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"web": web}))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        web.url = f"http://127.0.0.1:{server.server_address[1]}"
        running.append((server, thread))
        return web

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def s3(s3, folder):
    """The storage options of the S3 server, whose bucket holds the folder's files."""
    system = fsspec.filesystem("s3", **s3)
    for path in folder.iterdir():
        system.pipe(f"flights/all/{path.name}", path.read_bytes())
    return s3


def read_all(dataset):
    # Travels as it would to a worker.
    chunks = [pickle.loads(pickle.dumps(chunk)) for chunk in dataset.plan()]
    assert len(chunks) > 1
    return pd.concat([chunk.read() for chunk in chunks], ignore_index=True), chunks


def read_whole(path):
    """The rows by somebody else: pandas, or pyarrow."""
    name = Path(path).name
    if name.endswith((".csv", ".gz")):
        return pd.read_csv(path, low_memory=False, **OPTIONS.get(name, {}))
    if name.endswith((".jsonl", ".xz")):
        data = Path(path).read_bytes()
        text = lzma.decompress(data) if name.endswith(".xz") else data
        return pd.DataFrame([json.loads(line) for line in text.splitlines()])
    if name.endswith(".json"):
        return pd.DataFrame(json.loads(Path(path).read_text()))
    if name.endswith(".parquet"):
        return pd.read_parquet(path)
    if name.endswith(".orc"):
        return pd.read_orc(path)
    if name.endswith(".arrows"):
        return pa.ipc.open_stream(path).read_pandas()
    return pd.read_feather(path)


def check_same(url, path, **options):
    name = Path(path).name
    dataset = open_dataset(url, chunk_size=40_000, **OPTIONS.get(name, {}), **options)
    frame, chunks = read_all(dataset)
    pd.testing.assert_frame_equal(frame, read_whole(path))
    again = dataset.pick(chunks[1].ranges).read()
    pd.testing.assert_frame_equal(again, chunks[1].read())
    halves = chunks[0].split()
    assert len(halves) == 2
    joined = pd.concat([half.read() for half in halves], ignore_index=True)
    pd.testing.assert_frame_equal(joined, chunks[0].read())


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_in_memory_has_the_rows_of_the_file(folder, name):
    fsspec.filesystem("memory").pipe(f"/formats/{name}", (folder / name).read_bytes())
    check_same(f"memory://formats/{name}", str(folder / name))


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_by_http_has_the_rows_of_the_file(folder, serve, name):
    pytest.importorskip("aiohttp")
    check_same(f"{serve(folder).url}/{name}", str(folder / name))


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_in_s3_has_the_rows_of_the_file(folder, s3, name):
    check_same(f"s3://flights/all/{name}", str(folder / name), storage_options=s3)


def pipe(files, under):
    """Put texts into memory:// below a directory that is empty before."""
    system = fsspec.filesystem("memory")
    with suppress(FileNotFoundError):
        system.rm(f"/{under}", recursive=True)
    for name, text in files.items():
        system.pipe(f"/{under}/{name}", text.encode())
    return f"memory://{under}"


def write_files(files, directory):
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(directory)


TREE = {
    f"{where}/{name}.csv": f"a\n{place}\n"
    for place, (where, name) in enumerate(
        (where, name)
        for where in ("k=1/m=x", "k=2/m=x", "k=10/m=a%20b", "_k=0/m=x", "k=3/.m=x")
        for name in ("b", "a", ".hidden", "_hidden")
    )
}


@pytest.mark.parametrize(
    "pattern", ["", "/k=1/m=x/a.csv", "/k=*/m=x/*.csv", "/*/*", "/**/[ab].csv"]
)
def test_names_order_and_hive_keys_are_those_of_local_files(tmp_path, pattern):
    here = write_files(TREE, tmp_path)
    there = pipe(TREE, "tree")
    assert look_for(there, pattern) == look_for(here, pattern)


def look_for(base, pattern):
    """The names and hive keys that are found, or why there are none."""
    try:
        files = find_files(base + pattern)
    except PlanError as error:
        return str(error).replace(base, "")
    return [(file.path.removeprefix(base), file.hive) for file in files]


def test_urls_and_paths_mix_in_a_list_in_the_order_given(tmp_path):
    here = write_files({"l.csv": "a\n1\n"}, tmp_path)
    there = pipe({"s.csv": "a\n2\n"}, "mix")
    dataset = open_dataset([f"{there}/s.csv", f"{here}/l.csv", f"{there}/*.csv"])
    assert pd.concat([chunk.read() for chunk in dataset.plan()]).a.tolist() == [2, 1, 2]
    assert dataset.head(2).a.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.csv", "no such file"),
        ("*.txt", "no file matches"),
        ("empty/", "no file below it"),
        ("_h*", "match hold no file"),
    ],
)
def test_what_is_not_in_a_store_is_missing(name, words):
    there = pipe({"a.csv": "a\n1\n", "_hid/_a.csv": "a\n1\n"}, "less")
    with pytest.raises(SourceNotFound, match=words):
        find_files(f"{there}/{name}")


def test_an_empty_object_is_refused_like_an_empty_file():
    with pytest.raises(PlanError, match="the file is empty"):
        open_dataset(pipe({"a.csv": ""}, "void") + "/a.csv")


def test_an_object_that_changed_or_is_gone_is_never_read():
    there = pipe({"a.csv": "a\n1\n"}, "moving")
    (chunk,) = open_dataset(there).plan()
    system = fsspec.filesystem("memory")
    system.pipe("/moving/a.csv", b"a\n2\n")
    with pytest.raises(SourceChanged, match="changed after it was planned"):
        chunk.read()
    system.rm("/moving/a.csv")
    with pytest.raises(SourceChanged, match="is gone"):
        chunk.read()


def test_a_tag_that_changes_is_noticed_where_size_and_path_do_not(tmp_path, serve):
    pytest.importorskip("aiohttp")
    web = serve(write_files({"a.csv": "a\n1\n"}, tmp_path))
    (chunk,) = open_dataset(f"{web.url}/a.csv").plan()
    key = chunk.key
    write_files({"a.csv": "a\n2\n"}, tmp_path)
    web.versions["a.csv"] = 1
    with pytest.raises(SourceChanged, match=r"ETag a\.csv-1-4 now"):
        chunk.read()
    assert open_dataset(f"{web.url}/a.csv").plan()[0].key != key


def test_an_object_that_changes_while_it_is_read_is_not_counted(tmp_path, serve, monkeypatch):
    pytest.importorskip("aiohttp")
    web = serve(write_files({"a.csv": "a\n1\n"}, tmp_path), has_tag=False)
    web.modified = "Wed, 01 Jan 2025 00:00:00 GMT"
    (chunk,) = open_dataset(f"{web.url}/a.csv").plan()
    read = type(chunk.reader).read

    def change(self, pieces, as_):
        result = read(self, pieces, as_)
        web.modified = "Wed, 01 Jan 2025 00:00:01 GMT"
        return result

    monkeypatch.setattr(type(chunk.reader), "read", change)
    with pytest.raises(SourceChanged):
        chunk.read()


@pytest.mark.parametrize("answers", [0, 1, 5])
def test_an_object_that_changes_between_two_answers_is_not_counted(
    tmp_path, serve, monkeypatch, answers
):
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(stores_module, "PART_NBYTES", 1_000)
    web = serve(write_files({"a.csv": "a\n" + "1\n" * 4_000}, tmp_path))
    (chunk,) = open_dataset(f"{web.url}/a.csv").plan(chunk_size="1 MiB")
    assert len(chunk.read()) == 4_000
    web.asked.clear()
    web.change_after = answers
    with pytest.raises(SourceChanged, match=r"ETag a\.csv-1-8002 now"):
        chunk.read()
    assert len(web.gets()) == 8


@pytest.mark.parametrize("name", WRITERS)
def test_a_change_is_told_as_such_whatever_the_format(folder, serve, name):
    pytest.importorskip("aiohttp")
    web = serve(folder)
    dataset = open_dataset(f"{web.url}/{name}", chunk_size=20_000, **OPTIONS.get(name, {}))
    chunk = dataset.plan()[1]
    web.versions[name] = 1
    with pytest.raises(SourceChanged, match="changed after it was planned"):
        chunk.read()


def test_an_object_is_asked_after_once_a_chunk_behind_its_bytes(tmp_path, serve):
    pytest.importorskip("aiohttp")
    web = serve(write_files({"a.csv": "a\n1\n"}, tmp_path))
    (chunk,) = open_dataset(f"{web.url}/a.csv").plan()
    web.asked.clear()
    chunk.read()
    assert [method for method, _, _ in web.asked] == ["GET", "HEAD"]


def test_an_object_of_which_nothing_is_read_is_asked_after_unless_it_is_ruled_out(tmp_path, serve):
    pytest.importorskip("aiohttp")
    for name in "ab":
        pq.write_table(pa.table({"n": [1, 2] if name == "a" else [8, 9]}), tmp_path / f"{name}.pq")
    web = serve(tmp_path)
    urls = [f"{web.url}/{name}.pq" for name in "ab"]
    counted = open_dataset(urls, columns=[], chunk_size="2 rows").plan()
    narrow = open_dataset(urls, filters=[("n", ">", 5)], chunk_size="2 rows").plan()
    web.asked.clear()
    assert [len(chunk.read()) for chunk in counted] == [2, 2]
    assert [method for method, _, _ in web.asked] == ["HEAD", "HEAD"]
    web.asked.clear()
    assert [len(chunk.read()) for chunk in narrow] == [0, 2]
    assert [method for method, _, _ in web.asked] == ["GET", "HEAD"]
    web.versions["a.pq"] = 1
    with pytest.raises(SourceChanged):
        counted[0].read()


def test_a_server_that_tells_a_size_alone_is_checked_by_it(tmp_path, serve):
    pytest.importorskip("aiohttp")
    web = serve(write_files({"a.csv": "a\n1\n"}, tmp_path), has_tag=False)
    (chunk,) = open_dataset(f"{web.url}/a.csv").plan()
    assert chunk.read().a.tolist() == [1]
    write_files({"a.csv": "a\n12\n"}, tmp_path)
    with pytest.raises(SourceChanged, match=r"4 bytes.* then, 5 bytes"):
        chunk.read()


def test_a_time_tells_where_there_is_no_tag(tmp_path, serve):
    pytest.importorskip("aiohttp")
    web = serve(write_files({"a.csv": "a\n1\n"}, tmp_path), has_tag=False)
    web.modified = "Wed, 01 Jan 2025 00:00:00 GMT"
    (chunk,) = open_dataset(f"{web.url}/a.csv").plan()
    assert chunk.pieces[0].file.fingerprint.mtime_ns == 1_735_689_600 * 10**9
    web.modified = "Wed, 01 Jan 2025 00:00:01 GMT"
    with pytest.raises(SourceChanged, match=r"2025-01-01 00:00:01\.000\+00:00 now"):
        chunk.read()


def test_a_name_with_brackets_is_an_object_before_it_is_a_glob():
    there = pipe({"a[1].csv": "a\n1\n", "a1.csv": "a\n2\n"}, "brackets")
    assert [file.path for file in find_files(f"{there}/a[1].csv")] == [f"{there}/a[1].csv"]
    assert [file.path for file in find_files(f"{there}/a?.csv")] == [f"{there}/a1.csv"]


def test_a_store_that_fails_while_it_is_read_is_said_without_secrets(monkeypatch):
    there = pipe({"a.csv": "a\n1\n"}, "failing")
    options = {"listing": {"token": SECRET}}
    (chunk,) = open_dataset(f"{there}/a.csv", storage_options=options).plan()

    def fail(*_, **__):
        raise TimeoutError(f"too slow for {SECRET}")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "cat_ranges", fail)
    with pytest.raises(ReadError, match=r"TimeoutError: too slow for \*\*\*.*bytes 2 to 4"):
        chunk.read()


def test_a_local_file_that_ends_early_is_an_error(tmp_path):
    write_files({"a.csv": "a\n1\n"}, tmp_path)
    with pytest.raises(ReadError, match="ends before byte 9"):
        files_module.read_raw(str(tmp_path / "a.csv"), 2, 9)


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"has_ranges": False}, PlanError, "does not support range requests.*download the file"),
        ({"has_size": False}, PlanError, "does not report the file.s size"),
        ({"status": 404}, SourceNotFound, "no such file"),
        ({"status": 403}, PlanError, "refuses to show it.*credentials"),
        ({"status": 401}, PlanError, "refuses to show it.*credentials"),
        ({"status": 500}, PlanError, "can't be read.*500"),
        ({"get_status": 403}, PlanError, "refuses to show it.*credentials"),
    ],
)
def test_what_a_web_server_does_not_do_is_said_before_the_run(folder, serve, how, error, words):
    pytest.importorskip("aiohttp")
    web = serve(folder, **how)
    with pytest.raises(error, match=words) as caught:
        open_dataset(f"http://me:hush@{web.url[7:]}/a.csv?token=hidden-token")
    assert web.url in str(caught.value)
    assert "hush" not in str(caught.value)
    assert "hidden-token" not in str(caught.value)
    assert sum(nbytes for _, nbytes in web.gets()) <= 2 * (folder / "a.csv").stat().st_size


def test_an_empty_file_of_a_web_server_is_refused_like_a_local_one(tmp_path, serve):
    pytest.importorskip("aiohttp")
    web = serve(write_files({"a.csv": ""}, tmp_path), has_ranges=False)
    with pytest.raises(PlanError, match="the file is empty"):
        open_dataset(f"{web.url}/a.csv")


@pytest.mark.parametrize(
    "told",
    [
        "Wed, 01 Jan 2025 00:00:00 GMT",
        "2025-01-01T00:00:00Z",
        datetime.fromisoformat("2025-01-01"),
        datetime.fromisoformat("2025-01-01T01:00:00+01:00"),
        1_735_689_600,
    ],
)
def test_a_time_is_understood_however_a_store_tells_it(told):
    found = fingerprint_of({"size": 3, "mtime": told}, "x://a.csv")
    assert found.mtime_ns == 1_735_689_600 * 10**9


def test_a_server_that_does_not_answer_is_said(serve, folder):
    pytest.importorskip("aiohttp")
    (port,) = free_ports(1)
    with pytest.raises(PlanError, match=r"can't be read.*see whether it can be reached"):
        open_dataset(f"http://127.0.0.1:{port}/a.csv")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.arrow", "a.orc"])
@pytest.mark.parametrize("how", [{"cut_at": 100}, {"drop": 7}, {"status": 503}])
def test_a_broken_answer_is_an_error_with_the_place(folder, serve, name, how):
    pytest.importorskip("aiohttp")
    web = serve(folder)
    chunks = list(open_dataset(f"{web.url}/{name}", chunk_size=20_000).plan())
    for key, value in how.items():
        setattr(web, key, value)
    with pytest.raises(ReadError) as caught:
        chunks[1].read()
    assert caught.value.path == f"{web.url}/{name}"
    assert f"{web.url}/{name}" in str(caught.value)


def test_a_narrow_parquet_query_asks_for_its_bytes_alone(tmp_path, serve):
    pytest.importorskip("aiohttp")
    path = tmp_path / "a.parquet"
    rows, groups = 400_000, 8
    pq.write_table(make_table(rows), path, row_group_size=rows // groups)
    web = serve(tmp_path)
    low = rows - 1_000
    dataset = open_dataset(
        f"{web.url}/a.parquet", columns=["n", "x"], filters=[("n", ">=", low)], chunk_size=10**7
    )
    frame = pd.concat([chunk.read() for chunk in dataset.plan()], ignore_index=True)
    expected = duckdb.sql(f"select n, x from '{path}' where n >= {low} order by n").df()
    pd.testing.assert_frame_equal(frame, expected)
    group = pq.read_metadata(path).row_group(groups - 1)
    needed = sum(group.column(place).total_compressed_size for place in (0, 1))
    # The probe and the footer; then both columns in one.
    assert len(web.gets()) == 3
    assert needed <= sum(nbytes for _, nbytes in web.gets()) <= needed + (80 << 10)
    assert path.stat().st_size > 8 * needed


def test_footers_and_row_groups_of_a_store_are_one_request_each(tmp_path, serve):
    pytest.importorskip("aiohttp")
    urls, web = [], serve(tmp_path)
    for place in range(3):
        pq.write_table(make_table(), tmp_path / f"{place}.parquet", row_group_size=ROWS // 2)
        urls.append(f"{web.url}/{place}.parquet")
    plan = open_dataset(urls, columns=["n", "x"], chunk_size=10**9).plan()
    found = [(method, where) for method, where, _ in web.asked]
    sizes = [(tmp_path / f"{place}.parquet").stat().st_size for place in range(3)]
    # Each is found, and asked for its last byte, since a server may know no ranges.
    probes = [[("HEAD", f"0-{size}"), ("GET", f"{size - 1}-{size}")] for size in sizes]
    tails = [("GET", f"{max(0, size - (64 << 10))}-{size}") for size in sizes]
    assert sorted(found) == sorted([*probes[0], *probes[1], *probes[2], *tails])
    web.asked.clear()
    assert sum(len(chunk.read()) for chunk in plan) == 3 * ROWS
    assert [method for method, _, _ in web.asked] == ["GET"] * 3 + ["HEAD"] * 3


def test_footers_of_a_store_are_read_at_the_same_time(monkeypatch):
    sink = pa.BufferOutputStream()
    pq.write_table(make_table(10), sink)
    system = fsspec.filesystem("memory")
    for n in range(4):
        system.pipe(f"/footers/{n}.parquet", sink.getvalue().to_pybytes())
    everyone, read = threading.Barrier(4), type(system).cat_ranges

    def wait_for_all(self, *args, **options):
        everyone.wait(20)
        return read(self, *args, **options)

    monkeypatch.setattr(type(system), "cat_ranges", wait_for_all)
    assert open_dataset("memory://footers").rows == 40
    assert not everyone.broken


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.orc"])
def test_small_objects_that_share_a_chunk_are_read_at_the_same_time(monkeypatch, folder, name):
    system = fsspec.filesystem("memory")
    with suppress(FileNotFoundError):
        system.rm("/shared", recursive=True)
    for n in range(4):
        system.pipe(f"/shared/{n}{name}", (folder / name).read_bytes())
    (chunk,) = open_dataset("memory://shared", chunk_size=10**8).plan()
    waiting, read = threading.Barrier(4), type(system).cat_ranges
    seen = set()

    def wait_for_all(self, paths, *args, **options):
        if paths[0] not in seen:
            seen.add(paths[0])
            waiting.wait(20)
        return read(self, paths, *args, **options)

    monkeypatch.setattr(type(system), "cat_ranges", wait_for_all)
    whole = read_whole(folder / name)
    pd.testing.assert_frame_equal(chunk.read(), pd.concat([whole] * 4, ignore_index=True))
    assert len(seen) == 4


@pytest.mark.parametrize(
    "make",
    [
        lambda table, path: path.write_text("a,b\n1,2\n" * 9),
        lambda table, path: path.write_bytes(b""),
        lambda table, path: write_arrow(table, str(path)),
        lambda table, path: table.to_pandas().to_csv(path, compression="gzip"),
        lambda table, path: (pq.write_table(table, path), os.truncate(path, 5_000)),
        lambda table, path: path.write_bytes(b"PARE" + bytes(100) + b"PARE"),
        lambda table, path: path.write_bytes(b"PAR1" + bytes(100) + b"PAR1"),
    ],
)
@pytest.mark.parametrize("said", [None, "parquet"])
def test_what_is_only_called_parquet_is_refused_in_a_store_as_here(tmp_path, serve, make, said):
    pytest.importorskip("aiohttp")
    make(make_table(), tmp_path / "a.parquet")
    web = serve(tmp_path)
    with pytest.raises(PlanError) as here:
        open_dataset(tmp_path / "a.parquet", format=said)
    with pytest.raises(PlanError) as there:
        open_dataset(f"{web.url}/a.parquet", format=said)
    assert str(there.value).replace(web.url, str(tmp_path)) == str(here.value)


def test_a_pass_over_text_makes_few_requests(tmp_path, serve):
    pytest.importorskip("aiohttp")
    frame = pd.DataFrame({"a": np.arange(1_500_000)})
    frame.to_csv(tmp_path / "a.csv", index=False)
    web = serve(tmp_path)
    dataset = open_dataset(f"{web.url}/a.csv", chunk_size=4_000_000, schema={"a": "int64"})
    web.asked.clear()
    plan = dataset.plan()
    assert sum(chunk.rows for chunk in plan) == len(frame)
    assert len(web.gets()) <= 4
    web.asked.clear()
    chunk = plan[1]
    assert chunk.read().a.tolist() == frame.a[plan[0].rows :][: chunk.rows].tolist()
    assert [nbytes for _, nbytes in web.gets()] == [chunk.stop - chunk.start]


def test_files_of_a_store_are_looked_into_at_the_same_time(monkeypatch):
    there = pipe({f"{n}.csv": f"a\n{n}\n" for n in range(4)}, "together")
    system = type(fsspec.filesystem("memory"))
    everyone, read = threading.Barrier(4), system.cat_ranges

    def wait_for_all(self, *args, **options):
        everyone.wait(20)
        return read(self, *args, **options)

    files = find_files(there)
    monkeypatch.setattr(system, "cat_ranges", wait_for_all)
    assert detect_format(files, None, {}) == "csv"
    assert not everyone.broken


def test_a_directory_of_many_objects_is_one_listing(monkeypatch):
    system = fsspec.filesystem("memory")
    there = pipe({f"{n:04}.csv": "a\n1\n" for n in range(2_000)}, "many")
    looked = []
    monkeypatch.setattr(type(system), "ls", counted(type(system).ls, looked))
    monkeypatch.setattr(type(system), "info", counted(type(system).info, looked))
    files = find_files(there)
    assert [file.path[-8:] for file in files] == [f"{n:04}.csv" for n in range(2_000)]
    assert len(looked) < 10


def counted(function, calls):
    def call(self, *args, **options):
        calls.append(args)
        return function(self, *args, **options)

    return call


@examples(30)
@given(
    data=st.binary(min_size=1, max_size=300),
    reads=st.lists(st.tuples(st.integers(0, 320), st.integers(0, 80)), max_size=12),
    window=st.integers(1, 64),
)
def test_a_file_of_a_store_reads_as_its_bytes(data, reads, window):
    fsspec.filesystem("memory").pipe("/bytes.csv", data)
    (file,) = find_files("memory://bytes.csv")
    opened = StoreFile(file, window, [(3, data[3:9])] if len(data) > 9 else [])
    for place, count in reads:
        opened.seek(place)
        assert opened.read(count) == data[place : place + count]
        assert opened.tell() == place + len(data[place : place + count])
    assert opened.seek(-1, os.SEEK_END) == len(data) - 1
    assert opened.read() == data[-1:]


def test_long_ranges_are_read_in_parts(monkeypatch):
    monkeypatch.setattr(stores_module, "PART_NBYTES", 10)
    data = bytes(range(95))
    fsspec.filesystem("memory").pipe("/parts.csv", data)
    (file,) = find_files("memory://parts.csv")
    got = file.store.read(file.name, file.path, [(3, 64), (5, 5), (90, 95)])
    assert got == [data[3:64], b"", data[90:95]]


def test_close_ranges_are_read_as_one_and_far_ones_apart(serve, tmp_path):
    pytest.importorskip("aiohttp")
    gap = files_module.GAP_NBYTES
    (tmp_path / "a.csv").write_bytes(bytes(5 * gap))
    web = serve(tmp_path)
    (file,) = find_files(f"{web.url}/a.csv")
    web.asked.clear()
    files_module.read_parts(file, [(3 * gap, 3 * gap + 9), (0, 10), (gap, gap + 5), (7, 7)])
    assert sorted(web.gets()) == [(f"0-{gap + 5}", gap + 5), (f"{3 * gap}-{3 * gap + 9}", 9)]


SECRETS = ("hush-password", "signed-token", SECRET)


def test_secrets_stand_nowhere(folder, serve):
    pytest.importorskip("aiohttp")
    web = serve(folder)
    dataset = open_dataset(
        f"http://me:hush-password@{web.url[7:]}/a.csv?sig=signed-token",
        chunk_size=40_000,
        storage_options={"headers": {"X-Key": SECRET}},
    )
    plan = dataset.plan()
    file = dataset.sources[0]
    assert file.path.startswith(f"{web.url}/a.csv?hidden=")
    shown = [dataset, plan, plan[0], file, file.store, file.fingerprint, plan[0].pieces]
    texts = [*map(repr, shown), *map(str, shown), str(plan[0].ranges), plan.to_frame().to_csv()]
    web.status = 503
    with pytest.raises(ReadError) as caught:
        plan[0].read()
    error = caught.value
    while error is not None:
        texts += [repr(error), str(error), repr(vars(error))]
        error = error.__cause__
    assert not [text for text in texts for secret in SECRETS if secret in text]


def test_urls_that_differ_in_their_query_are_different_files(tmp_path, serve):
    pytest.importorskip("aiohttp")
    web = serve(write_files({"a.csv": "a\n1\n"}, tmp_path))
    first, second = find_files([f"{web.url}/a.csv?id=1", f"{web.url}/a.csv?id=2"])
    assert first.path != second.path


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket/a@b/c?d.csv", "s3://bucket/a@b/c?d.csv"),
        ("ftp://me:hush@host:21/a.csv", "ftp://host:21/a.csv"),
        ("sftp://token@host/a.csv", "sftp://host/a.csv"),
        ("abfs://box@account.net/a.csv", "abfs://box@account.net/a.csv"),
        ("https://token@host/a.csv#part", "https://host/a.csv"),
        ("http://me:hush@[::1]:80/a.csv", "http://[::1]:80/a.csv"),
        ("zip://a.csv::ftp://me:hush@host/a.zip", "zip://a.csv::ftp://host/a.zip"),
        ("simplecache::https://me:hush@host/a.csv", "simplecache::https://host/a.csv"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url, shown):
    assert clean_url(url) == shown


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("local.csv", "storage_options .key.: all files are local"),
        (pd.DataFrame({"a": [1]}), "storage_options are for URLs"),
    ],
)
def test_storage_options_without_a_url_are_refused_and_not_shown(tmp_path, source, words):
    write_files({"local.csv": "a\n1\n"}, tmp_path)
    source = str(tmp_path / source) if isinstance(source, str) else source
    with pytest.raises(PlanError, match=words) as caught:
        open_dataset(source, storage_options={"key": SECRET})
    assert SECRET not in str(caught.value)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    def fail(_):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "get_filesystem_class", fail)
    with pytest.raises(PlanError, match=r"pip install 'taskinity-data\[s3\]'"):
        open_dataset("s3://bucket/a.csv")
    with pytest.raises(PlanError, match="odd:// needs a package: Install s3fs"):
        open_dataset("odd://bucket/a.csv")


def test_options_that_a_store_does_not_take_are_named_without_values():
    class Picky(type(fsspec.filesystem("memory"))):
        def __init__(self, *, host):
            super().__init__()

    fsspec.register_implementation("picky", Picky, clobber=True)
    with pytest.raises(
        PlanError, match=r"store can't be opened.*storage_options \(hots\)"
    ) as caught:
        open_dataset("picky:///a.csv", storage_options={"hots": SECRET})
    assert SECRET not in str(caught.value)


def test_s3_directories_globs_and_hive_keys(s3):
    system = fsspec.filesystem("s3", **s3)
    for name, text in TREE.items():
        system.pipe(f"flights/tree/{name}", text.encode())
    files = find_files("s3://flights/tree", storage_options=s3)
    assert [file.path.removeprefix("s3://flights/tree/") for file in files] == sorted(
        name for name in TREE if not any(part[0] in "._" for part in name.split("/"))
    )
    assert files == find_files("s3://flights/tree/k=*/*/[ab].csv", s3)
    assert files[0].hive == (("k", "1"), ("m", "x"))
    (chunk,) = open_dataset(files[0].path, storage_options=s3).plan()
    assert chunk.read().a.tolist() == [1]
    system.pipe(files[0].path, b"a\n9\n")
    with pytest.raises(SourceChanged, match="ETag"):
        chunk.read()


def test_an_object_of_s3_is_asked_after_once_a_chunk(s3, monkeypatch):
    system = fsspec.filesystem("s3", **s3)
    system.pipe("flights/once/a.csv", b"a\n1\n")
    (chunk,) = open_dataset("s3://flights/once/a.csv", storage_options=s3).plan()
    asked = []
    there = chunk.pieces[0].file.store.system
    info = there.info
    monkeypatch.setattr(there, "info", lambda name: asked.append(name) or info(name))
    assert chunk.read().a.tolist() == [1]
    assert asked == ["flights/once/a.csv"]
    system.rm("flights/once/a.csv")
    with pytest.raises(SourceChanged, match="is gone"):
        chunk.read()


@pytest.mark.parametrize(
    ("url", "options", "error", "words"),
    [
        ("s3://flights/none.csv", {}, SourceNotFound, "no such file, directory or bucket"),
        ("s3://nowhere/*.csv", {}, SourceNotFound, "no file matches|no such file"),
        ("s3://flights/all/a.csv", {"secret": "wrong-secret"}, PlanError, "refuses to show it"),
        ("s3://flights/all/a.csv", {"key": "nobody"}, PlanError, "refuses to show it"),
        ("s3://flights/all/", {"key": "nobody"}, PlanError, "refuses to show it"),
        ("s3://flights/all/*.csv", {"key": "nobody"}, PlanError, "refuses to show it"),
    ],
)
def test_what_s3_refuses_is_said(s3, url, options, error, words):
    with pytest.raises(error, match=words) as caught:
        open_dataset(url, storage_options={**s3, **options})
    assert "wrong-secret" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_no_credentials_are_said(s3, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    options = {name: s3[name] for name in ("endpoint_url", "client_kwargs")}
    with pytest.raises(PlanError, match=r"give credentials.*storage_options"):
        open_dataset("s3://flights/all/a.csv", storage_options=options)


def test_workers_open_the_store_themselves(s3, folder):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        run = td.process(
            "s3://flights/all/a.parquet",
            reduce=td.group_by("word", n=("n", "sum")),
            storage_options=s3,
            chunk_size=20_000,
            scheduler=pool,
        )
    expected = duckdb.sql(
        f"select word, sum(n)::bigint n from '{folder}/a.parquet' group by 1"
    ).df()
    pd.testing.assert_frame_equal(
        run.value.sort_index(), expected.set_index("word").sort_index(), check_index_type=False
    )


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_another_process_opens_the_store_anew(folder, serve, method):
    pytest.importorskip("aiohttp")
    (chunk, *_) = open_dataset(f"{serve(folder).url}/a.parquet", chunk_size=20_000).plan()
    expected = chunk.read()
    with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
        pd.testing.assert_frame_equal(pool.submit(chunk.read).result(timeout=60), expected)


def test_local_files_never_load_fsspec(folder):
    code = (
        "import sys; from taskinity_data.chunks.open_dataset import open_dataset\n"
        f"list(open_dataset({str(folder / 'a.csv')!r}).plan())[0].read()\n"
        "assert 'taskinity_data.sources.store' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(td.__file__).parents[1])
