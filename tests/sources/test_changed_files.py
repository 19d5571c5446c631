"""A file that is rewritten between planning and reading: each error names it and says so."""

import os

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, orc

import taskinity_data as td

ROWS = 3_000


def _write_json(frame, path):
    frame.to_json(path, orient="records", lines=path.suffix == ".jsonl")


def _write_csv(frame, path):
    frame.to_csv(path, index=False)


WRITE = {
    "csv": _write_csv,
    "csv.gz": _write_csv,
    "jsonl": _write_json,
    "json": _write_json,
    "parquet": lambda frame, path: frame.to_parquet(path, row_group_size=200),
    "arrow": lambda frame, path: feather.write_feather(frame, str(path), compression="zstd"),
    "orc": lambda frame, path: orc.write_table(pa.Table.from_pandas(frame), str(path)),
}


def _write(path, rows):
    frame = pd.DataFrame({"a": range(rows), "b": [f"text {number}" for number in range(rows)]})
    WRITE[path.name.partition(".")[2]](frame, path)
    # The clock of a file system may be too coarse to tell two writes apart.
    os.utime(path, (rows, rows + 1))


def _open(path):
    is_text = path.suffix in (".csv", ".gz", ".jsonl", ".json")
    return td.open_dataset(path, chunk_size=10_000 if is_text else "500 rows")


USES = {
    "plan and read": lambda dataset, _: [chunk.read() for chunk in dataset.plan()],
    "read": lambda _, plan: [chunk.read() for chunk in plan],
    "split and read": lambda _, plan: [part.read() for part in plan[1].split()],
    "head": lambda dataset, _: dataset.head(),
    "divide and read": lambda dataset, _: [chunk.read() for chunk in dataset.divide(3)],
}


@pytest.mark.parametrize("suffix", WRITE)
@pytest.mark.parametrize("rows", [3, ROWS - 1, 4 * ROWS], ids=["shorter", "alike", "longer"])
@pytest.mark.parametrize("use", USES)
def test_a_file_rewritten_after_it_was_opened_is_named_as_changed(tmp_path, suffix, rows, use):
    path = tmp_path / f"x.{suffix}"
    _write(path, ROWS)
    dataset = _open(path)
    plan = dataset.plan() if use in ("read", "split and read") else None
    _write(path, rows)
    with pytest.raises(td.errors.SourceChanged, match="changed after it was planned") as caught:
        USES[use](dataset, plan)
    assert str(path) in str(caught.value)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("suffix", WRITE)
def test_a_file_cut_short_while_a_run_reads_it_is_named_as_changed(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    _write(path, ROWS)

    def rewrite(chunk):
        _write(path, 3)
        return len(chunk)

    with pytest.raises(td.errors.FlowFailed) as caught:
        td.process(_open(path), rewrite, scheduler="synchronous", progress=False)
    failures = caught.value.run.failures
    assert set(failures["path"]) == {str(path)}
    assert failures["error"].str.contains(f"SourceChanged: {path}: the file changed").all()
