"""Lines of JSON Lines that are not object of JSON: refused, left out, or set aside."""

import json

import pyarrow as pa
import pytest
from csv_oracle import chunks_of, write

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, ReadError, SchemaError

GOOD = [{"a": number, "b": f"é{number}"} for number in range(6)]
BAD = [b"{oops", b'{"a": 1, "a": 2}', b"[1]", b'{"a": "\xff"}', b"null", b'{"a": 1']


def mixed(directory):
    lines = [
        part for one, bad in zip(GOOD, BAD, strict=True) for part in (json.dumps(one).encode(), bad)
    ]
    return write(directory, b"\n\n".join(lines), "data.jsonl")


def load(file, size, kind="arrow", **options):
    dataset = open_dataset(file.path, **options)
    return [chunk.load(kind) for chunk in chunks_of(dataset.reader, [file], size)]


@pytest.mark.parametrize("kind", ["pandas", "arrow"])
@pytest.mark.parametrize("size", [1, 30, 80, 1 << 30])
def test_lines_that_are_no_object_come_back_beside_the_others(size, kind, tmp_path):
    file = mixed(tmp_path)
    raw = (tmp_path / "data.jsonl").read_bytes()
    results = load(file, size, kind, on_bad_lines="quarantine")
    found = [line for one in results if one.bad_lines for line in one.bad_lines.lines]
    assert [line.raw.strip(b"\n") for line in found] == BAD
    assert [raw[line.start : line.stop] for line in found] == [line.raw for line in found]
    assert "not JSON" in found[0].reason
    assert "twice" in found[1].reason
    assert r"\xff" in found[3].text
    assert sum(one.bad_lines.count for one in results if one.bad_lines) == len(BAD)
    assert [one.filtered for one in results] == [0] * len(results)
    if kind == "arrow":
        rows = pa.concat_tables([one.data for one in results]).to_pylist()
        assert rows == GOOD
    if size == 1 << 30:
        assert [line.row for line in found] == [1, 3, 5, 7, 9, 11]


@pytest.mark.parametrize("size", [1, 80, 1 << 30])
def test_lines_that_are_no_object_are_left_out_and_counted(size, tmp_path):
    results = load(mixed(tmp_path), size, on_bad_lines="skip")
    assert pa.concat_tables([one.data for one in results]).to_pylist() == GOOD
    assert sum(one.filtered for one in results) == len(BAD)
    assert {one.bad_lines for one in results} == {None}


def test_they_are_errors_where_nothing_else_was_said(tmp_path):
    file = mixed(tmp_path)
    with pytest.raises(ReadError, match="not JSON"):
        load(file, 1 << 30)


def test_a_value_that_does_not_fit_is_still_an_error_and_named_by_its_place(tmp_path):
    file = write(tmp_path, '{oops\n{"a": 1}\n{"a": "x"}\n', "data.jsonl")
    with pytest.raises(SchemaError, match=r"line 3 .*\(byte 15\)") as caught:
        load(file, 1 << 30, on_bad_lines="quarantine", schema={"a": "int64"})
    assert caught.value.column == "a"


def test_slices_of_a_piece_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("taskinity_data.formats.json.reader.SLICE_NBYTES", 20)
    file = mixed(tmp_path)
    raw = (tmp_path / "data.jsonl").read_bytes()
    (result,) = load(file, 1 << 30, on_bad_lines="quarantine")
    found = result.bad_lines.lines
    assert [line.row for line in found] == [1, 3, 5, 7, 9, 11]
    assert [raw[line.start : line.stop] for line in found] == [line.raw for line in found]
    assert result.data.to_pylist() == GOOD


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("a.json", {"on_bad_lines": "quarantine"}, "which of its elements"),
        ("a.jsonl", {"on_bad_lines": "quarantin"}, "Did you mean 'quarantine'"),
    ],
)
def test_what_cannot_be_meant_is_refused(name, options, match, tmp_path):
    (tmp_path / name).write_text('[{"a": 1}]' if name == "a.json" else '{"a": 1}\n')
    with pytest.raises(PlanError, match=match):
        open_dataset(tmp_path / name, **options)


def refusal(directory, text, name="a.jsonl", **options):
    path = directory / name
    path.write_bytes(text.encode())
    with pytest.raises((PlanError, ReadError)) as caught:
        list(map(Chunk.read, open_dataset(path, **options).plan(chunk_size=1 << 30)))
    told = str(caught.value)
    assert told.count(str(path)) <= 1
    assert "at least one column" not in told
    return told.replace(f"{path}", "PATH")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.jsonl", "{oops\n", "PATH (byte 0): this is not JSON"),
        ("a.jsonl", '\n{"a": 1\n', "PATH (byte 1): this is not JSON"),
        ("a.json", '[{"a": 1}, {oops]', "PATH (byte 10): the array is not closed"),
        ("a.json", '[{"a": 1},,{"a": 2}]', "PATH (byte 10): no element stands before this comma"),
        ("a.json", "[1, 2]", "PATH (byte 0): an object {...} was expected, not b'1'"),
        ("a.jsonl", "{}\n{}\n", "PATH: there is no record with a key among 2"),
        ("a.jsonl", '{"a": {"b": {"c": 1}}}\n{"a": {"b": {"c": "x"}}}\n', "(in 'a.b.c')"),
        ("a.jsonl", '{"a": [1]}\n{"a": ["x"]}\n', "(in 'a[]')"),
        ("a.jsonl", '{"a": {"b": [{"c": 1}, {"c": "x"}]}}\n', "(in 'a.b[].c')"),
        ("a.jsonl", '{"a": 1}\n{"a": 1, "a": 2}\n', "twice in one object; repair the line, or"),
        ("a.jsonl", '{"a": 1}\nnull\n', "not b'null'; repair the line, or quarantine such lines"),
        ("a.json", '[{"a": 1}, {"a": 1, "a": 2}]', "twice in one object; repair the file"),
    ],
)
def test_what_is_wrong_is_said_once_with_its_place_and_what_to_do(name, text, told, tmp_path):
    assert told in refusal(tmp_path, text, name)


def test_a_value_deep_in_a_column_is_named_by_the_way_to_it(tmp_path):
    schema = pa.schema({"a": pa.list_(pa.struct({"b": pa.int64()}))})
    text = '{"a": [{"b": 1}]}\n{"a": [{"b": 2}, {"b": "x"}]}\n'
    assert "column 'a' (in 'a[].b'): 'x' is not a valid int64" in refusal(
        tmp_path, text, schema=schema
    )


def test_a_type_without_values_in_json_is_refused_with_what_to_read(tmp_path):
    told = refusal(tmp_path, '{"a": 1}\n', schema={"a": "complex128"})
    assert "JSON can't be held to complex128; read it as" in told


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", "[]"), ("a.json", " [ \n ] \n"), ("a.jsonl", "\n\n"), ("a.jsonl", " ")],
)
def test_an_answer_without_records_is_a_dataset_without_rows(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    dataset = open_dataset(tmp_path / name)
    assert dataset.schema.names == []
    assert dataset.head().shape == (0, 0)
    chunks = list(dataset.plan())
    assert [len(chunk.read()) for chunk in chunks] == [0] * len(chunks)
    assert [chunk.read("arrow").num_rows for chunk in chunks] == [0] * len(chunks)
    with pytest.raises(PlanError, match="no column 'a'"):
        open_dataset(tmp_path / name, columns=["a"])


def test_an_array_without_records_among_others_adds_no_rows(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    (tmp_path / "b.json").write_text('[{"a": 1}]')
    frames = [chunk.read() for chunk in open_dataset(tmp_path).plan()]
    assert [row for frame in frames for row in frame.to_dict("records")] == [{"a": 1}]
