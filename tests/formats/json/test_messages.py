"""What is said of values that no column holds, and what a whole schema spares."""

import json

import pandas as pd
import pyarrow as pa
import pytest

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError
from taskinity_data.formats import sampling
from taskinity_data.formats.json import sample as json_sample


@pytest.mark.parametrize("slice_nbytes", [8_000_000, 1_000])
@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("1", '"x"', "numbers and strings"),
        ('{"k": [1]}', '{"k": [{}]}', r"numbers and objects \(in 'a.k\[\]'\)"),
        ("true", "1", "true or false and numbers"),
    ],
)
def test_mixed_kinds_are_told_with_the_file_and_the_byte_of_the_record(
    tmp_path, monkeypatch, first, second, words, slice_nbytes
):
    monkeypatch.setattr(sampling, "SCAN_SLICE_NBYTES", slice_nbytes)
    row = f'{{"a": {first}}}\n'
    (tmp_path / "a.jsonl").write_text(row * 9)
    (tmp_path / "b.jsonl").write_text(row * 1_000 + f'{{"a": {second}}}\n' + row * 10)
    with pytest.raises(PlanError, match=words) as caught:
        open_dataset(tmp_path)
    path, _, rest = str(caught.value).partition(" (byte ")
    byte = int(rest.partition(")")[0].replace(",", ""))
    assert path == str(tmp_path / "b.jsonl")
    assert byte == 1_000 * len(row)


def test_records_of_an_array_that_clash_with_earlier_ones_are_told_with_their_byte(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sampling, "SCAN_SLICE_NBYTES", 1_000)
    rows = ['{"a": 1, "b": "x"}'] * 500
    rows[300] = '{"a": "x", "b": "x"}'
    rows[400] = '{"a": 1, "b": 2}'
    text = f"[{','.join(rows)}]"
    (tmp_path / "a.json").write_text(text)
    for columns, mixed in ((["a"], rows[300]), (["b"], rows[400])):
        with pytest.raises(PlanError, match="numbers") as caught:
            open_dataset(tmp_path / "a.json", columns=columns)
        assert f"(byte {text.index(mixed):,}): column {columns[0]!r}" in str(caught.value)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_an_integer_beyond_64_bits_is_told_with_its_record(tmp_path, name):
    row, long = '{"a": 1}', f'{{"a": {10**30}}}'
    text = f"{row}\n{long}\n" if name == "a.jsonl" else f"[{row},{long}]"
    (tmp_path / name).write_text(text)
    with pytest.raises(PlanError, match="integer beyond 64 bits") as caught:
        open_dataset(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name} (byte ")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_whole_schema_is_what_is_read_and_nothing_is_looked_at_for_it(
    tmp_path, monkeypatch, name
):
    records = [{"b": "x", "c": [1], "a": 1}, {"a": 2, "d": 10**30}, {"a": 3, "b": None, "c": "y"}]
    lines = [json.dumps(record) for record in records]
    text = "\n".join(lines) if name == "a.jsonl" else f"[{','.join(lines)}]"
    (tmp_path / name).write_text(text)
    monkeypatch.setattr(json_sample, "look_at", None)
    schema = pa.schema({"a": pa.float64(), "b": pa.string(), "new": pa.bool_()})
    with pytest.raises(PlanError, match="new"):
        open_dataset(tmp_path / name, schema=schema).select(["c"])
    schema = pa.schema({"a": pa.float64(), "b": pa.string()})
    dataset = open_dataset(tmp_path / name, schema=schema, chunk_size="2 rows")
    assert dataset.schema.names == ["a", "b"]
    found = pd.concat([chunk.read() for chunk in dataset.plan()], ignore_index=True)
    expected = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": pd.Series(["x", None, None], dtype="str")})
    pd.testing.assert_frame_equal(found, expected)
