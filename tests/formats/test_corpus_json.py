"""JSON arrays and JSON Lines of other projects and by hand, against `json` over the whole.

Where the whole is refused, so must the chunks be; what is refused besides is in `REFUSED`.
"""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from tables_oracle import same_values

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, ReadError, SchemaError

CORPUS = Path(__file__).parent.parent / "corpus" / "tables"
FILES = sorted(CORPUS.glob("*.json"))

NASTY = {
    "plain": [{"a": 1, "b": "x"}, {"a": -2, "b": ""}],
    "ragged": [{"a": 1}, {"b": "x"}, {}, {"b": None, "a": 5}],
    "big integers": [{"a": 2**53 + 1}, {"a": -(2**63)}, {"a": 2**63 - 1}],
    "unsigned": [{"a": 2**64 - 1}, {"a": 0}],
    "floats": [{"f": 0.1}, {"f": 1e308}, {"f": -0.0}, {"f": 5e-324}],
    "integers then floats": [{"f": 1}, {"f": 2}, {"f": 2.5}],
    "booleans": [{"a": True}, {"a": False}, {"a": None}],
    "escapes": [{"s": 'q"\\/\b\f\n\r\t'}, {"s": "\u2028\u2029\u0000\u001f"}, {"s": "\\n"}],
    "beyond the plane": [{"s": "\U0001f642\ud7ff\ufffd"}, {"s": "za\u017c\u00f3\u0142\u0107"}],
    "brackets in texts": [{"s": "}{][,"}, {"s": '"},{"'}, {"s": "\\\\"}],
    "hostile keys": [{"": 1, " ": 2, "a.b": 3, 'q"\\': 4, "\n": 5, "\u0105": 6, "\U0001f642": 7}],
    "nested": [{"l": [1, None, 3], "o": {"p": [{"q": 1}]}}, {"l": [], "o": {"p": []}}, {"l": None}],
    "big nested": [{"l": [2**53 + 1, None]}, {"l": [1]}],
    "nulls alone": [{"n": None}, {"n": None}],
    "late key": [*({"a": place} for place in range(50)), {"a": 1, "z": [1]}],
    "times as texts": [{"t": "2026-01-01T00:00:00"}, {"t": "2026-01-01"}],
    "long text": [{"s": "x" * 70_000}, {"s": "y"}],
    "sixty levels": [{"a": json.loads("[" * 60 + "]" * 60)}],
}
TEXTS = {
    "blank lines": (' \n{"a": 1}\n\n\r\n{"a": 2}\n\t\n', "jsonl"),
    "no final newline": ('{"a": 1}\n{"a": 2}', "jsonl"),
    "CRLF": ('{"a": 1}\r\n{"a": 2}\r\n', "jsonl"),
    "spaces everywhere": (' { "a" : 1 , "b" : [ ] } \n{"a":2,"b":[1]}\n', "jsonl"),
    "exponents": ('{"f": 1E5}\n{"f": 1e-5}\n{"f": 10.0}\n', "jsonl"),
    "escaped ASCII": ('{"\\u0061": "\\ud83d\\ude42"}\n{"a": "\\u0000"}\n', "jsonl"),
    "array with white space": ('\n [ {"a": 1} ,\r\n\t{"a": 2}\n] \n', "json"),
    "array on one line": ('[{"a":1},{"a":2},{"a":3}]', "json"),
}
BROKEN = {
    "a comma too many": ('[{"a": 1},]', "json"),
    "no comma": ('[{"a": 1} {"a": 2}]', "json"),
    "not closed": ('[{"a": 1}', "json"),
    "closed twice": ('[{"a": 1}]]', "json"),
    "two arrays": ('[{"a": 1}]\n[{"a": 2}]', "json"),
    "half a record": ('{"a": 1}\n{"a": \n', "jsonl"),
    "a number with a zero": ('{"a": 1}\n{"a": 01}\n', "jsonl"),
    "single quotes": ("{'a': 1}\n", "jsonl"),
    "a comment": ('{"a": 1}\n// no\n', "jsonl"),
    "a raw newline in a text": ('{"a": "x\ny"}\n', "jsonl"),
    "a raw tab in a text": ('{"a": "x\ty"}\n', "jsonl"),
    "a bad escape": ('{"a": "\\x41"}\n', "jsonl"),
    "no UTF-8": (b'{"a": "\xff"}\n', "jsonl"),
    "nested 10,000 deep": ('{"a": ' + "[" * 10_000 + "]" * 10_000 + "}\n", "jsonl"),
    "an array nested 10,000 deep": ('[{"a": ' + "[" * 10_000 + "]" * 10_000 + "}]", "json"),
    "objects 10,000 deep": ('{"a": ' * 10_000 + "1" + "}" * 10_000 + "\n", "jsonl"),
}
ODD = {
    "a key twice": ('{"a": 1, "a": 2}\n', "jsonl", "repeated in one object"),
    "texts and numbers": ('{"a": 1}\n{"a": "x"}\n', "jsonl", "column 'a'"),
    "beyond 64 bits": ('{"a": 18446744073709551616}\n', "jsonl", "column 'a'"),
    "half a pair": ('{"a": "\\ud800"}\n', "jsonl", "surrogate"),
    "a list for a record": ('{"a": 1}\n[1]\n', "jsonl", "line"),
}
"""Valid JSON that is refused, with a word of the reason."""


def read(path, rows):
    chunks = open_dataset(path).plan(chunk_size=f"{rows} rows")
    return [row for chunk in chunks for row in chunk.read("arrow").to_pylist()]


def check(path, records):
    """All chunk sizes have the records, a key that one lacks is null."""
    names = list(dict.fromkeys(name for record in records for name in record))
    expected = [{name: record.get(name) for name in names} for record in records]
    for rows in sorted({1 if len(records) < 40 else 37, max(1, len(records) // 3), len(records)}):
        found = read(path, rows)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert one.keys() == other.keys()
            assert all(_is_same(one[name], other[name]) for name in names), (one, other)


def _is_same(found, told):
    """Objects may have keys that are null because others have them."""
    if isinstance(told, dict):
        return all(_is_same(found[name], told.get(name)) for name in found)
    if isinstance(told, list):
        return len(found) == len(told) and all(map(_is_same, found, told))
    return same_values(found, told)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_arrays_of_other_projects_and_the_same_as_lines(tmp_path, path):
    records = json.loads(path.read_text())
    check(path, records)
    lines = tmp_path / "a.jsonl"
    lines.write_text("".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in records))
    check(lines, records)
    names = list(dict.fromkeys(name for record in records for name in record))
    table = pl.read_ndjson(lines, infer_schema_length=None)
    found = pa.concat_tables([chunk.read("arrow") for chunk in open_dataset(lines).plan()])
    assert table.columns == found.schema.names == names
    assert repr(pl.from_arrow(found).rows()) == repr(table.rows())
    with duckdb.connect() as connection:
        for name in names:
            count = f"select count(\"{name}\") from read_ndjson('{lines}')"
            told = connection.execute(count).fetchall()[0][0]
            assert told == len(found) - found[name].null_count


@pytest.mark.parametrize("name", NASTY)
def test_nasty_records(tmp_path, name):
    for ascii_ in (False, True):
        lines = [json.dumps(one, ensure_ascii=ascii_) for one in NASTY[name]]
        texts = {"a.jsonl": "\n".join(lines), "a.json": "[" + ",\n".join(lines) + "]"}
        for file, text in texts.items():
            (tmp_path / file).write_text(text)
            check(tmp_path / file, NASTY[name])


@pytest.mark.parametrize("name", TEXTS)
def test_nasty_spellings(tmp_path, name):
    text, suffix = TEXTS[name]
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(text.encode())
    parse = json.loads
    records = (
        parse(text) if suffix == "json" else [parse(one) for one in text.split("\n") if one.strip()]
    )
    check(path, records)


@pytest.mark.parametrize("name", BROKEN)
def test_what_json_refuses_is_refused(tmp_path, name):
    text, suffix = BROKEN[name]
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises((ValueError, RecursionError)):
        json.loads(path.read_text() if suffix == "json" else path.read_text().splitlines()[-1])
    for rows in (1, 100):
        with pytest.raises((PlanError, ReadError, SchemaError), match=r"a\.json"):
            read(path, rows)


@pytest.mark.parametrize("name", ODD)
def test_refusals_of_what_json_reads_are_these(tmp_path, name):
    text, suffix, word = ODD[name]
    path = tmp_path / f"a.{suffix}"
    path.write_text(text)
    for rows in (1, 100):
        with pytest.raises((PlanError, ReadError, SchemaError), match=word) as caught:
            read(path, rows)
        assert str(path) in str(caught.value) or "columns=" in str(caught.value)
