"""Outputs in a real S3 server: who reads them, workers that write, what is refused, kills."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from s3_server import SECRET
from store_frames import cut, frame, read, same

import taskinity_data as td
from taskinity_data.errors import FlowFailed, PlanError, SourceNotFound
from taskinity_data.output.manifest import Manifest
from taskinity_data.output.sink import open_sink

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[3]
EXAMPLES = dict(
    re.findall(
        r"<!-- read with (\w+) -->\n```python\n(.*?)```",
        (ROOT / "docs" / "design" / "output.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
)


@pytest.fixture
def system(s3):
    return fsspec.filesystem("s3", **s3)


def names(system, url):
    name = url.removeprefix("s3://")
    found = system.find(name, detail=True, refresh=True)
    return sorted(one for one, told in found.items() if told["type"] == "file")


def committed(system, url):
    name = url.removeprefix("s3://")
    manifest = Manifest.from_json(system.cat_file(f"{name}/_manifest.json"))
    return sorted([f"{name}/_manifest.json", *(f"{name}/{part.path}" for part in manifest.parts)])


def write(url, chunks, options, **more):
    with open_sink(url, storage_options=options, **more) as sink:
        parts = [sink.writer.write(f"k{i}", i, chunk) for i, chunk in enumerate(chunks)]
        return sink.commit(parts)


def double(chunk):
    return chunk.assign(twice=chunk.number * 2)


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_workers_write_straight_to_the_store(s3, system, tmp_path, scheduler):
    whole, url = frame(rows=40), f"s3://flights/workers/{scheduler}"
    whole.to_parquet(tmp_path / "in.parquet", row_group_size=10)
    done = td.process(
        tmp_path / "in.parquet", double, output=url, storage_options=s3, partition_by="kind",
        max_rows_per_file=3, chunk_size="10 rows", scheduler=scheduler, workers=2, progress=False,
    )  # fmt: skip
    assert done.value == done.output.path == url
    found = read(url, storage_options=s3).sort_values("number", ignore_index=True)
    same(found.astype({"kind": "str"}), double(whole))
    assert names(system, url) == committed(system, url)
    assert done.output.rows == 40
    assert SECRET not in system.cat_file(f"{url[5:]}/_manifest.json").decode() + repr(done)


def test_source_and_output_may_share_the_options(s3, system):
    source, url = "s3://flights/share/in", "s3://flights/share/out"
    write(source, cut(frame(), 4), s3)
    done = td.process(
        source, double, output=url, storage_options=s3, scheduler="threads", progress=False
    )
    same(read(url, storage_options=s3), double(frame()))
    assert done.output.rows == 9
    inputs = Manifest.from_json(system.cat_file(f"{url[5:]}/_manifest.json")).meta["inputs"]
    told = system.info(inputs[0]["path"])
    assert (inputs[0]["nbytes"], inputs[0]["tag"]) == (told["size"], told["ETag"].strip('"'))
    with pytest.raises(PlanError, match="which this run reads"):
        td.process(
            source, double, output=source, storage_options=s3, if_exists="overwrite",
            scheduler="threads", progress=False,
        )  # fmt: skip
    dataset = td.open_dataset(source, storage_options=s3)
    done = td.process(
        dataset, double, output=url, storage_options=s3, if_exists="append",
        allow_repeated=True, scheduler="threads", progress=False,
    )  # fmt: skip
    assert len(read(url, storage_options=s3)) == 18


@pytest.mark.parametrize("reader", ["pandas", "polars", "duckdb", "dask", "ours"])
def test_the_documented_readers_read_what_is_committed(s3, system, reader):
    url = f"s3://flights/readers/{reader}"
    old, new = frame(), frame(100)
    write(url, cut(old, 3), s3, partition_by="kind")
    write(url, cut(new, 3), s3, partition_by="kind", if_exists="append")
    with open_sink(url, storage_options=s3, if_exists="append", partition_by="kind") as sink:
        sink.writer.write("k", 9, frame(200))  # not committed
        place = {"url": url, "options": s3}
        with warnings.catch_warnings():
            if reader == "dask":  # its own, of this pandas
                warnings.simplefilter("ignore", FutureWarning)
                warnings.simplefilter("ignore", DeprecationWarning)
            exec(EXAMPLES["manifest"], place)
            exec(EXAMPLES[reader], place)
    found = place["frame"]
    found = found.to_pandas() if hasattr(found, "to_pandas") else found
    expected = pd.concat([old, new], ignore_index=True)
    found = found.astype({"kind": "str"}).sort_values("number", ignore_index=True)
    same(found, expected, check_dtype=False)


def test_what_is_refused_before_work_begins(s3, system, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    calls = []
    without = {name: s3[name] for name in ("endpoint_url", "client_kwargs")}
    for url, options, said in (
        ("s3://nowhere/out", s3, "no such bucket"),
        ("s3://flights/out", {**s3, "secret": "wrong-secret"}, "403.*give credentials"),
        ("s3://flights/out", {**s3, "key": "nobody"}, "403.*give credentials"),
        ("s3://key:wrong-secret@nowhere/out", s3, "^s3://nowhere/out: the store can't be read"),
        ("s3://flights/out", without, "NoCredentialsError.*give credentials"),
    ):
        with pytest.raises(PlanError, match=said) as caught:
            td.process(
                frame(), calls.append, output=url, storage_options=options, scheduler="threads",
                progress=False,
            )  # fmt: skip
        assert SECRET not in str(caught.value)
        assert "wrong-secret" not in str(caught.value)
    assert not calls
    assert system.ls("", refresh=True) == ["flights"]
    assert not names(system, "s3://flights/out")


def test_an_upload_of_several_parts_that_fails_is_aborted(s3, system, monkeypatch):
    url = "s3://flights/cut"
    plain, calls = type(system)._call_s3, []

    async def call(self, method, *given, **more):
        calls.append(method)
        if method == "upload_part" and more["PartNumber"] == 2:
            raise ConnectionResetError("cut")
        return await plain(self, method, *given, **more)

    pipe = system.pipe_file

    def in_parts(path, data):
        return pipe(path, data.ljust(11 << 20), chunksize=5 << 20)

    with open_sink(url, storage_options=s3) as sink:
        monkeypatch.setattr(type(system), "_call_s3", call)
        monkeypatch.setattr(system, "pipe_file", in_parts)
        with pytest.raises(OSError, match=r"part-.*can't be written \(ConnectionResetError\)"):
            sink.writer.write("k", 0, frame())
        monkeypatch.undo()
        assert "abort_multipart_upload" in calls
        assert not [
            one for one in system.list_multipart_uploads("flights") if one["Key"].startswith("cut/")
        ]
    assert not names(system, url)


def test_a_server_that_goes_away_fails_the_run_and_says_so(s3, system, monkeypatch):
    url = "s3://flights/gone"
    plain = type(system)._call_s3

    async def call(self, method, *given, **more):
        if method == "put_object" and "part-" in more["Key"]:
            raise ConnectionResetError("cut")
        return await plain(self, method, *given, **more)

    monkeypatch.setattr(type(system), "_call_s3", call)
    with pytest.raises(FlowFailed, match="can't be written") as caught:
        td.process(
            frame(), double, output=url, storage_options=s3, scheduler="threads", progress=False
        )
    assert SECRET not in str(caught.value)
    assert not names(system, url)
    with pytest.raises(SourceNotFound):
        td.open_dataset(url, storage_options=s3)


def test_runs_killed_at_random_leave_old_or_new(s3):
    del s3  # where it is skipped, the script has no server either
    script = [sys.executable, ROOT / "benchmarks" / "kill_writes.py", "--store"]
    ended = subprocess.run(
        [*script, "--rounds", "2", "--seed", "7", "--within", "0.6"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count(" | 0 |\n") == 3


def test_what_a_run_left_out_joins_what_stands_in_the_store(s3, system, tmp_path):
    whole, url = frame(rows=40), "s3://flights/mended"
    whole.to_parquet(tmp_path / "in.parquet", row_group_size=10)

    def refusing(chunk):
        if chunk.number.iloc[0] in bad:
            raise ValueError("not yet")
        return double(chunk)

    bad = [whole.number.iloc[10]]
    options = {
        "output": url, "storage_options": s3, "chunk_size": "10 rows", "scheduler": "threads",
        "workers": 2, "progress": False, "on_error": "skip", "run_dir": tmp_path / "runs",
    }  # fmt: skip
    source = td.open_dataset(tmp_path / "in.parquet")
    before = td.process(source, refusing, **options)
    assert (str(before.status), before.output.files) == ("PARTIAL", 3)
    stood = committed(system, url)
    bad = []
    done = td.process(source, refusing, resume=before.run_id, **options)
    assert (str(done.status), done.output.files) == ("COMPLETED", 4)
    assert set(stood) < set(committed(system, url)) == set(names(system, url))
    same(read(url, storage_options=s3), double(whole))
