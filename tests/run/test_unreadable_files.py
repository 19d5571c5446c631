"""Files that can't be opened at all: with on_error="skip" each costs itself and no more."""

import builtins
import errno
import gzip
import zlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, orc

import taskinity_data as td

ROWS = 100
ALONE = {"scheduler": "synchronous", "progress": False}


def _write_json(frame, path):
    frame.to_json(path, orient="records", lines=path.suffix == ".jsonl")


WRITE = {
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "jsonl": _write_json,
    "json": _write_json,
    "parquet": lambda frame, path: frame.to_parquet(path),
    "arrow": lambda frame, path: feather.write_feather(frame, str(path)),
    "orc": lambda frame, path: orc.write_table(pa.Table.from_pandas(frame), str(path)),
}


@pytest.fixture
def folder(tmp_path):
    """Makes three files of a suffix, of which the middle one can't be opened."""

    def make(suffix):
        paths = [tmp_path / f"{name}.{suffix}" for name in "abc"]
        for number, path in enumerate(paths):
            WRITE[suffix](pd.DataFrame({"a": range(number * ROWS, (number + 1) * ROWS)}), path)
        _break(paths[1])
        return paths

    return make


def _break(path):
    if path.suffix in (".csv", ".json", ".jsonl"):
        path.write_bytes(bytes(range(256)) * 4)  # a binary file under this name
    else:
        path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("suffix", WRITE)
@pytest.mark.parametrize("on_error", ["skip", "bisect", "fallback"])
def test_a_file_that_cannot_be_opened_costs_itself_and_no_more(folder, suffix, on_error):
    good, bad, other = folder(suffix)
    called = []
    policy = (lambda chunk: called.append(chunk) or 0) if on_error == "fallback" else on_error
    run = td.process([good, bad, other], len, reduce=td.sum(), on_error=policy, retries=2, **ALONE)
    assert run.value == 2 * ROWS
    assert run.status == "PARTIAL"
    assert not called
    (failed,) = run.failures.itertuples()
    assert (failed.path, failed.status, failed.attempts) == (str(bad), "SKIPPED", 1)
    assert str(bad) in failed.error
    outcomes = run.outcomes.set_index("path").loc[str(bad)]
    assert outcomes["status"] == "SKIPPED"
    told = run.ledger["bytes"]
    assert told["skipped"] == bad.stat().st_size
    assert told["failed"] == told["quarantined"] == told["fallback"] == told["not_run"] == 0
    assert told["planned"] == told["processed"] + told["skipped"]
    assert bad.name in str(run)
    assert "skipped" in str(run)


def test_the_report_names_the_file_that_was_skipped(folder, tmp_path):
    _, bad, _ = paths = folder("parquet")
    run = td.process(paths, len, reduce=td.sum(), on_error="skip", **ALONE)
    page = run.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert bad.name in page
    assert "footer" in page


@pytest.mark.parametrize("suffix", WRITE)
def test_by_default_such_a_file_refuses_the_run_before_anything_is_called(folder, suffix):
    paths = folder(suffix)
    called = []
    with pytest.raises(td.errors.TaskinityDataError, match=rf"b\.{suffix}"):
        td.process(paths, called.append, **ALONE)
    assert not called


@pytest.mark.parametrize("use", ["plan", "head", "divide"])
def test_without_a_run_the_failure_is_raised_where_rows_are_asked_for(folder, use):
    paths = folder("csv.gz")
    dataset = td.open_dataset([paths[1], paths[0]])
    assert "unreadable" in repr(dataset)
    uses = {"plan": dataset.plan, "head": dataset.head, "divide": lambda: dataset.divide(2)}
    with pytest.raises(td.errors.ReadError, match=r"b\.csv\.gz"):
        uses[use]()


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize("width", ["*", "5"])
def test_the_dataset_that_a_task_opened_carries_it_to_the_fan_out(folder, scheduler, width):
    paths = folder("parquet")

    def data_preparation():
        return td.open_dataset(paths)

    def process_chunk(chunk):
        return len(chunk)

    text = """flow Counted:
    task DataPreparation:
        description: "Open"
    task ProcessChunk[WIDTH]:
        on_error: ON_ERROR
    task AggregateResults:
        description: "Add"
    DataPreparation -> ProcessChunk[WIDTH] -> AggregateResults
""".replace("WIDTH", width)

    def run(on_error):
        flow = td.parse_flow(text.replace("ON_ERROR", on_error))
        flow = flow.bind([data_preparation, process_chunk, aggregate_results])
        return td.run_flow(flow, scheduler=scheduler, workers=2, progress=False)

    def aggregate_results(counts):
        return sum(counts)

    done = run("skip")
    assert done.value == 2 * ROWS
    assert done.failures["path"].tolist() == [str(paths[1])]
    with pytest.raises(td.errors.FlowFailed, match=r"b\.parquet"):
        run("fail")


def test_it_counts_as_one_chunk_for_max_failures(folder):
    paths = folder("csv.gz")
    options = {"reduce": td.sum(), "on_error": "skip", **ALONE}
    assert td.process(paths, len, max_failures=1, **options).value == 2 * ROWS
    with pytest.raises(td.errors.FlowFailed, match=r"b\.csv\.gz"):
        td.process(paths, len, max_failures=0, **options)


def test_where_no_file_can_be_opened_the_run_fails(folder):
    paths = folder("parquet")
    _break(paths[0])
    _break(paths[2])
    with pytest.raises(td.errors.PlanError, match=r"a\.parquet"):
        td.process(paths, len, reduce=td.sum(), on_error="skip", **ALONE)


def test_files_that_do_not_fit_together_are_refused_as_ever(tmp_path):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"b": [1]}).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(td.errors.PlanError, match=r"b\.parquet: has no column 'a'"):
        td.process(tmp_path, len, on_error="skip", **ALONE)


def test_a_link_to_nothing_in_a_folder_is_skipped_too(folder, tmp_path):
    paths = folder("csv")
    paths[1].unlink()
    paths[1].symlink_to("gone.csv")
    run = td.process(tmp_path, len, reduce=td.sum(), on_error="skip", **ALONE)
    assert run.value == 2 * ROWS
    assert run.failures["path"].tolist() == [str(paths[1])]


def test_the_function_of_a_chunk_that_reads_itself_is_not_called(folder):
    paths = folder("parquet")
    seen = []

    def rows(chunk: td.Chunk):
        seen.append(chunk.path)
        return len(chunk.read())

    assert td.process(paths, rows, reduce=td.sum(), on_error="skip", **ALONE).value == 2 * ROWS
    assert seen == [str(paths[0]), str(paths[2])]


def test_order_holds_and_rows_alone_are_reduced_around_it(folder):
    paths = folder("csv")
    run = td.process(paths, reduce=td.concat(), on_error="skip", chunk_size="30 rows", **ALONE)
    assert run.value["a"].tolist() == [*range(ROWS), *range(2 * ROWS, 3 * ROWS)]


def test_a_resumed_run_takes_the_file_once_it_is_mended(folder, tmp_path):
    paths = folder("csv.gz")
    options = {"reduce": td.sum(), "on_error": "skip", "run_dir": tmp_path / "runs", **ALONE}
    assert td.process(paths, len, resume=True, **options).value == 2 * ROWS
    again = td.process(paths, len, resume=True, **options)
    assert again.value == 2 * ROWS
    assert again.failures["path"].tolist() == [str(paths[1])]
    WRITE["csv.gz"](pd.DataFrame({"a": range(ROWS)}), paths[1])
    mended = td.process(paths, len, resume=True, **options)
    assert mended.value == 3 * ROWS
    assert mended.status == "COMPLETED"


@pytest.mark.thorough
def test_processes_are_told_of_it_too(folder):
    paths = folder("orc")
    run = td.process(
        paths, reduce=td.count(), on_error="skip", scheduler="processes", workers=1, progress=False
    )
    assert run.value == 2 * ROWS
    assert run.failures["path"].tolist() == [str(paths[1])]


# -- long records and bombs ------------------------------------------------------------------------


def _long_line(nbytes):
    """Text without a line end that gzip makes about half as long."""
    return np.random.default_rng(1).integers(97, 123, nbytes).astype("uint8").tobytes()


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "jsonl"])
def test_a_record_too_long_for_a_worker_costs_its_chunk(tmp_path, suffix):
    line = _long_line(3_000_000)
    rows = [b"%d" % number for number in range(200_000)]
    middle = len(rows) // 2
    if suffix == "jsonl":
        rows = [b'{"a": "%s"}' % row for row in rows]
        line = b'{"a": "%s"}' % line
        rows[middle:middle] = [line]
        data = b"\n".join(rows) + b"\n"
    else:
        rows[middle:middle] = [line]
        data = b"a\n" + b"\n".join(rows) + b"\n"
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(gzip.compress(data, 1) if suffix == "csv.gz" else data)
    schema = {"a": "str"}
    options = {"schema": schema, "memory": "4MiB", "chunk_size": 100_000, "workers": 1, **ALONE}
    run = td.process(path, len, reduce=td.sum(), on_error="skip", **options)
    (failed,) = run.failures.itertuples()
    assert "a worker may use 4,194,304 bytes" in failed.error
    assert len(line) <= failed.nbytes < len(line) + 200_000
    assert 200_000 - 50_000 < run.value <= 200_000
    with pytest.raises(td.errors.FlowFailed, match="a worker may use"):
        td.process(path, len, reduce=td.sum(), **options)


@pytest.mark.thorough
def test_a_gzip_bomb_costs_itself_and_names_the_limit(tmp_path):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = b"0" * (1 << 20)
    with (tmp_path / "b.csv.gz").open("wb") as file:
        file.write(packer.compress(b"a\n"))
        for _ in range(600):
            file.write(packer.compress(zeros))
        file.write(packer.flush())
    for name in "ac":
        pd.DataFrame({"a": range(ROWS)}).to_csv(tmp_path / f"{name}.csv.gz", index=False)
    run = td.process(tmp_path, len, reduce=td.sum(), on_error="skip", **ALONE)
    assert run.value == 2 * ROWS
    (error,) = run.failures["error"]
    assert "b.csv.gz" in error
    assert "500 times as much" in error
    assert "max_nbytes" in error


def test_a_file_that_this_user_may_not_read_is_skipped(tmp_path, monkeypatch):
    paths = [tmp_path / f"{name}.csv" for name in "abc"]
    for path in paths:
        pd.DataFrame({"a": range(ROWS)}).to_csv(path, index=False)
    real = builtins.open

    def open_(file, *args, **options):
        if str(file) == str(paths[1]):
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return real(file, *args, **options)

    # Who runs the tests as root may read what he likes.
    monkeypatch.setattr(builtins, "open", open_)
    run = td.process(tmp_path, len, reduce=td.sum(), on_error="skip", **ALONE)
    assert run.value == 2 * ROWS
    (failed,) = run.failures.itertuples()
    assert failed.path == str(paths[1])
    assert "may not be read by this user" in failed.error
