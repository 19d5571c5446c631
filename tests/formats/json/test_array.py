import gzip
import json
import pickle
import tempfile
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from properties import examples
from reader_contract import Case, ReaderContract

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, ReadError, SchemaError
from taskinity_data.formats import sampling
from taskinity_data.sources.codecs import BadText
from taskinity_data.sources.compression import unpack
from taskinity_data.sources.compression.json_array import Walk, to_lines

TEXTS = st.text(st.sampled_from('ab"\\[]{},:\n\r \u00e9\u20ac\U0001f600'), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def write(directory, text, name="data.json"):
    path = Path(directory) / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def open_text(directory, text, **options):
    return open_dataset(write(directory, text), **options)


def pieces_of(dataset, size):
    return [Chunk(dataset.reader, (piece,)) for piece in dataset.iter_grains(size)]


def rows_of(dataset, size=1 << 40):
    return [row for chunk in pieces_of(dataset, size) for row in chunk.read("arrow").to_pylist()]


@st.composite
def array_texts(draw, records):
    """The records as an array, in any white space."""
    blank = st.sampled_from(["", "", " ", "\n", "\r\n", "\n  ", "\t"])
    indent = draw(st.sampled_from([None, None, 2]))
    ascii_ = draw(st.booleans())
    parts = [
        draw(blank) + json.dumps(one, indent=indent, ensure_ascii=ascii_) + draw(blank)
        for one in records
    ]
    mark = "\ufeff" if draw(st.booleans()) else ""
    body = ",".join(parts) if parts else draw(blank)
    return f"{mark}{draw(blank)}[{body}]{draw(blank)}".encode()


@st.composite
def cases(draw):
    scalars = {"int": st.integers(-(2**53), 2**53), "str": TEXTS, "bool": st.booleans()}
    names = st.text(st.sampled_from('ab"\\,]}'), min_size=1, max_size=4)
    kinds = draw(st.dictionaries(names, st.sampled_from(list(scalars)), min_size=1, max_size=3))
    fields = st.fixed_dictionaries({name: scalars[kind] for name, kind in kinds.items()})
    lists = [draw(st.lists(fields, min_size=1, max_size=12)), draw(st.lists(fields, max_size=4))]
    texts = [draw(array_texts(one)) for one in lists]

    def store(directory):
        return [write(directory, text, f"{place}.json") for place, text in enumerate(texts)]

    def read_whole(source):
        rows = [one for path in source for one in json.loads(Path(path).read_bytes())]
        dtypes = {"int": "int64", "str": "str", "bool": "bool"}
        return pd.DataFrame(
            {
                name: pd.Series([row[name] for row in rows], dtype=dtypes[kinds[name]])
                for name in rows[0]
            }
        )

    return Case(store, read_whole)


class TestJsonArrays(ReaderContract):
    cases = cases()


# ------------------------------------------------------------------ elements


def elements_by_loop(text):
    """The commas between elements and the closing bracket, byte by byte."""
    commas, depth, is_quoted, is_escaped, deepest = [], 0, False, False, 0
    for place, byte in enumerate(text):
        mark = chr(byte)
        if mark == "\\":
            is_escaped = not is_escaped
            continue
        if mark == '"' and not is_escaped:
            is_quoted = not is_quoted
        elif not is_quoted and mark in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif not is_quoted and mark in "]}":
            depth -= 1
            if depth < 0:
                return commas, place, deepest
        elif not is_quoted and mark == "," and depth == 0:
            commas.append(place)
        is_escaped = False
    return commas, None, deepest


@examples(400)
@given(
    text=st.text(st.sampled_from('a"\\\\\\[]{},: \n'), max_size=40).map(str.encode),
    block=st.integers(1, 40),
)
@example(text=b'"\\\\\\"",', block=3)
@example(text=b'\\"\\",",",', block=1)
def test_the_walk_finds_what_a_loop_over_bytes_finds(text, block):
    walk = Walk()
    found, closed = [], None
    for at in range(0, len(text), block):
        commas, closed = walk.feed(text[at : at + block])
        found += (commas + at).tolist()
        if closed is not None:
            closed += at
            break
    commas, end, deepest = elements_by_loop(text)
    assert (found, closed) == (commas, end)
    assert walk.deepest == deepest or end is not None


def blocks_of(text, size):
    return (text[start : start + size] for start in range(0, len(text), size))


@given(
    records=st.lists(st.dictionaries(TEXTS, VALUES, max_size=3), max_size=5),
    data=st.data(),
    block=st.integers(1, 60),
)
def test_elements_become_lines_byte_for_byte(records, data, block):
    text = data.draw(array_texts(records))
    lines = b"".join(to_lines(blocks_of(text, max(3, block))))
    assert len(lines) == len(text)
    filled = [line for line in lines.split(b"\n") if line.strip()]
    assert [json.loads(line) for line in filled] == records


@given(
    records=st.lists(st.dictionaries(TEXTS, VALUES, max_size=3), min_size=1, max_size=6),
    data=st.data(),
)
def test_the_rows_are_those_of_json_load(records, data):
    text = data.draw(array_texts([{"n": 0}, *records]))
    wanted = [{"n": one.get("n")} for one in json.loads(text)]
    with tempfile.TemporaryDirectory() as directory:
        # Values of any type lie beside the column that is read.
        dataset = open_text(directory, text, columns=["n"])
        assert rows_of(dataset, data.draw(st.integers(1, 80))) == wanted


def test_an_element_larger_than_a_block_is_one_piece(tmp_path):
    long = "x,]}" * 700_000
    text = json.dumps([{"a": "y"}, {"a": long}, {"a": "z"}])
    dataset = open_text(tmp_path, text)
    pieces = list(dataset.iter_grains(1))
    assert [piece.rows for piece in pieces] == [1, 1, 1]
    assert rows_of(dataset, 1) == json.loads(text)
    assert dataset.rows is None


def test_files_are_sampled_at_head_middle_and_tail(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "SCAN_NBYTES", 0)
    monkeypatch.setattr(sampling, "MIN_SLICE_NBYTES", 100)
    monkeypatch.setattr(sampling, "SLICE_NBYTES", 100)
    records = [{"a": n} for n in range(100)]
    both = pa.schema({"a": pa.int64(), "b": pa.int64()})
    for place in (5, 53, 95):
        some = [*records[:place], {"b": 1}, *records[place:]]
        assert open_text(tmp_path, json.dumps(some)).schema == both
    text = json.dumps([*records[:30], {"b": 1}, *records[30:]])
    with pytest.raises(SchemaError, match=r"element 31 of these \(byte 320\).*'b'") as caught:
        rows_of(open_text(tmp_path, text))
    assert caught.value.row == 30
    assert open_text(tmp_path, text, schema="scan").schema == both


def test_an_array_is_the_same_compressed(tmp_path):
    records = [{"a": n, "b": ["x", None]} for n in range(50)]
    path = tmp_path / "data.json.gz"
    path.write_bytes(gzip.compress(json.dumps(records, indent=1).encode()))
    dataset = open_dataset(path)
    assert rows_of(dataset, 100) == records
    assert "of gzip of a JSON array" in repr(dataset)
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("data.json", json.dumps(records))
    assert rows_of(open_dataset(tmp_path / "data.zip"), 100) == records


def test_a_worker_that_does_not_see_the_lines_makes_them_again(tmp_path):
    records = [{"a": n} for n in range(50)]
    dataset = open_text(tmp_path, json.dumps(records))
    pickled = pickle.dumps(pieces_of(dataset, 100))
    lines = dataset.sources[0].unpacked.path
    del dataset
    assert not Path(lines).exists()
    rows = [row for chunk in pickle.loads(pickled) for row in chunk.read("arrow").to_pylist()]
    unpack._unpack_again.cache_clear()
    assert rows == records


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a":1}\n{"a":2}\n', 'format="jsonl"'),
        ('{"a":1}', 'format="jsonl"'),
        ('\n\n{"data": [\n{"a":1}]}', "jq -c '.KEY[]'"),
        ("1", "an array"),
        ('"x"', "an array"),
        ("\n \n", "an array"),
        ("[{}]", "has a key"),
        ('[{"a":1}', "not closed"),
        ("[1, 2]", "an object"),
        ("{" + "[" * 10_000, "one object"),
    ],
)
def test_what_can_not_be_opened_is_refused_before_work_starts(text, said, tmp_path):
    with pytest.raises((PlanError, ReadError)) as caught:
        open_text(tmp_path, text)
    assert said in str(caught.value)
    assert "data.json" in str(caught.value)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("", "not closed"),
        (",", "not closed"),
        (" ", "not closed"),
        ("]]", "after the end of the array"),
        ('] {"a":3}', "after the end of the array"),
        (",]", "no element follows"),
        (",\n ]", "no element follows"),
        (',,{"a":3}]', "no element before"),
        (', ,{"a":3}]', "no element before"),
        ("}]", "unmatched }"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_broken_array_is_refused_wherever_its_blocks_end(end, said, size, tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "BLOCK_NBYTES", size)
    text = '[{"a":1},{"a":2},{"a":3}' + end
    with pytest.raises(ReadError, match=r"\(byte [0-9]+\): .*repair it") as caught:
        open_text(tmp_path, text)
    assert said in str(caught.value)
    assert caught.value.path == str(tmp_path / "data.json")


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (",3]", "an object"),
        (",null]", "an object"),
        (',"x"]', "an object"),
        (',{"a":3,}]', "not JSON"),
        (',{"a":3,"a":3}]', "is repeated"),
        ('{"a":3}]', "Extra data"),
        (' 3 {"a":3}]', "Extra data"),
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 40])
def test_a_malformed_element_is_an_error_wherever_it_is_cut(end, said, size, tmp_path):
    text = '[{"a":1},{"a":2},{"a":3}' + end
    dataset = open_text(tmp_path, text, schema={"a": "int64"})
    with pytest.raises(ReadError) as caught:
        rows_of(dataset, size)
    assert said in str(caught.value)
    assert caught.value.path == dataset.files[0]


def test_a_comma_without_an_element_is_told_by_its_byte():
    for text, offset in ((b"[{},,{}]", 4), (b"[,{}]", 1), (b"[{},]", 3), (b"[{}\n,\n,{},", 6)):
        for size in (1, 2, 3, 5, 99):
            with pytest.raises(BadText, match="no element") as caught:
                list(to_lines(blocks_of(text, size)))
            assert caught.value.offset == offset


def test_a_newline_within_a_text_stays_an_error(tmp_path):
    dataset = open_text(tmp_path, '[{"a":"x"},\n{"a":"y\nz"}]')
    with pytest.raises(ReadError, match=r"element 2 of these \(byte 11\): this is not JSON"):
        rows_of(dataset)


def test_deep_nesting_is_an_error_and_no_crash(tmp_path):
    text = '[{"a":1},{"a":' + "[" * 100_000 + "]" * 100_000 + "}]"
    with pytest.raises(ReadError, match="deep"):
        rows_of(open_text(tmp_path, text))


def test_an_empty_array_among_others_has_no_rows(tmp_path):
    paths = [write(tmp_path, text, f"{n}.json") for n, text in enumerate(("[ ]\n", '[{"a":1}]'))]
    dataset = open_dataset(paths)
    assert [chunk.rows for chunk in pieces_of(dataset, 10)] == [0, 1]
    assert rows_of(dataset, 10) == [{"a": 1}]
