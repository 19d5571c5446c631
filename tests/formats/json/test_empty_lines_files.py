"""JSON Lines files without a line are no rows among others; alone they may be a failed copy."""

import gzip

import pytest

import taskinity_data as td


def _count(files):
    return td.process(files, reduce=td.count(), scheduler="synchronous", progress=False).value


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("name", ["empty.jsonl", "blank.jsonl", "empty.jsonl.gz"])
def test_a_json_lines_file_without_a_line_is_no_rows_among_others(tmp_path, is_first, name):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"a": 1}\n{"a": 2}\n', encoding="utf-8")
    empty = tmp_path / name
    contents = {"empty.jsonl": b"", "blank.jsonl": b"\n \n", "empty.jsonl.gz": gzip.compress(b"")}
    empty.write_bytes(contents[name])
    files = [empty, rows] if is_first else [rows, empty]
    assert _count(files) == 2
    dataset = td.open_dataset(files)
    assert dataset.files == [str(file) for file in files]
    assert [one for chunk in dataset.plan() for one in chunk.read()["a"]] == [1, 2]


def test_nothing_but_json_lines_files_of_0_bytes_is_refused(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.jsonl").touch()
    with pytest.raises(td.errors.PlanError, match=r"a\.jsonl: the file is empty"):
        td.open_dataset([tmp_path / "a.jsonl", tmp_path / "b.jsonl"])


def test_a_csv_file_of_0_bytes_that_is_named_is_refused_as_by_pandas(tmp_path):
    (tmp_path / "a.csv").write_text("a\n1\n", encoding="utf-8")
    (tmp_path / "b.csv").touch()
    with pytest.raises(td.errors.PlanError, match=r"b\.csv: the file is empty"):
        td.open_dataset([tmp_path / "a.csv", tmp_path / "b.csv"]).plan()
