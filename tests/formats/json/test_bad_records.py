"""Lines and elements that are not objects of JSON, and what is said of them."""

import json

import pyarrow as pa
import pytest

import taskinity_data as td
from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, ReadError


def test_a_line_that_is_no_object_is_refused_and_isolated_by_bisect(tmp_path):
    path = tmp_path / "a.jsonl"
    good = [json.dumps({"a": number}) for number in range(40)]
    path.write_text("\n".join([*good[:17], "{oops", *good[17:]]))
    with pytest.raises(ReadError, match=r"line 18 .*not JSON.*on_error='bisect'"):
        open_dataset(path, schema={"a": "int64"}).plan(chunk_size=1 << 30)[0].read()
    run = td.process(path, reduce=td.sum("a"), schema={"a": "int64"}, on_error="bisect")
    assert (str(run.status), run.value) == ("PARTIAL", sum(range(40)))


def test_options_that_json_has_no_use_for_are_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(PlanError, match="on_bad_lines='skip' is not an option for JSON"):
        open_dataset(tmp_path / "a.jsonl", on_bad_lines="skip")


def refusal(directory, text, name="a.jsonl", **options):
    path = directory / name
    path.write_bytes(text.encode())
    with pytest.raises((PlanError, ReadError)) as caught:
        list(map(Chunk.read, open_dataset(path, **options).plan(chunk_size=1 << 30)))
    message = str(caught.value)
    assert message.count(str(path)) <= 1
    assert "at least one column" not in message
    return message.replace(f"{path}", "PATH")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", "{oops\n", "PATH (byte 0): this is not JSON"),
        ("a.jsonl", '\n{"a": 1\n', "PATH (byte 1): this is not JSON"),
        ("a.json", '[{"a": 1}, {oops]', "PATH (byte 10): the array is not closed"),
        ("a.json", '[{"a": 1},,{"a": 2}]', "PATH (byte 10): no element before this comma"),
        ("a.json", "[1, 2]", "PATH (byte 0): an object {...} was expected, not b'1'"),
        ("a.jsonl", "{}\n{}\n", "PATH: none of 2 records has a key"),
        ("a.jsonl", '{"a": {"b": {"c": 1}}}\n{"a": {"b": {"c": "x"}}}\n', "(in 'a.b.c')"),
        ("a.jsonl", '{"a": [1]}\n{"a": ["x"]}\n', "(in 'a[]')"),
        ("a.jsonl", '{"a": {"b": [{"c": 1}, {"c": "x"}]}}\n', "(in 'a.b[].c')"),
        ("a.jsonl", '{"a": 1}\n{"a": 1, "a": 2}\n', "repeated in one object; repair the line, or"),
        ("a.jsonl", '{"a": 1}\nnull\n', "not b'null'; repair the line, or isolate such lines"),
        ("a.json", '[{"a": 1}, {"a": 1, "a": 2}]', "repeated in one object; repair the file"),
    ],
)
def test_what_is_wrong_is_reported_once_with_its_place_and_what_to_do(
    name, text, message, tmp_path
):
    assert message in refusal(tmp_path, text, name)


def test_a_value_deep_in_a_column_is_named_by_the_way_to_it(tmp_path):
    schema = pa.schema({"a": pa.list_(pa.struct({"b": pa.int64()}))})
    text = '{"a": [{"b": 1}]}\n{"a": [{"b": 2}, {"b": "x"}]}\n'
    assert "column 'a' (in 'a[].b'): 'x' is not a valid int64" in refusal(
        tmp_path, text, schema=schema
    )


def test_a_type_without_values_in_json_is_refused_with_what_to_read(tmp_path):
    message = refusal(tmp_path, '{"a": 1}\n', schema={"a": "complex128"})
    assert "JSON can't be held to complex128; read it as" in message


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
