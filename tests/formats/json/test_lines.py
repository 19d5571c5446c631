import json
import pickle
import random
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
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
from taskinity_data.formats.json import sample as json_sample
from taskinity_data.formats.json.cuts import cut_records, find_lines
from taskinity_data.formats.json.exact import BadRecord, parse_exact
from taskinity_data.formats.json.fast import infer_fast, parse_fast
from taskinity_data.formats.json.open import open_lines
from taskinity_data.formats.json.types import Clash, join_types, type_of
from taskinity_data.sources.file import Piece, SourceFile
from taskinity_data.sources.fingerprint import Fingerprint

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = {"int": INTEGERS, "float": FLOATS, "bool": st.booleans(), "str": TEXTS}


def write(directory, text, name="data.jsonl"):
    path = Path(directory) / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def source_file(path):
    return SourceFile(path, Fingerprint.of(path))


def open_text(directory, text, **options):
    return open_dataset(write(directory, text), **options)


def pieces_of(dataset, size):
    return [Chunk(dataset.reader, (piece,)) for piece in dataset.iter_grains(size)]


def rows_of(dataset, size=1 << 40):
    return [row for chunk in pieces_of(dataset, size) for row in chunk.read("arrow").to_pylist()]


def records_of(text):
    """The oracle."""
    text = text if isinstance(text, bytes) else text.encode()
    lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [json.loads(line) for line in lines if line.strip(b" \t\r\n")]


# ------------------------------------------------------------------ datasets of any shape


@st.composite
def shapes(draw, depth=2):
    """A strategy of values that have one type."""
    kinds = [*SCALARS, *(["list", "object"] if depth else [])]
    kind = draw(st.sampled_from(kinds))
    if kind == "list":
        value = st.lists(draw(shapes(depth - 1)), max_size=3)
    elif kind == "object":
        names = draw(st.lists(TEXTS, unique=True, max_size=3))
        value = st.fixed_dictionaries(
            {}, optional={name: draw(shapes(depth - 1)) for name in names}
        )
    else:
        value = SCALARS[kind]
    return (value | st.none()) if draw(st.booleans()) else value


@st.composite
def record_lists(draw):
    """Records of one schema, some keys always there and some not, and all keys somewhere."""
    names = draw(st.lists(TEXTS, unique=True, min_size=1, max_size=4))
    values = {name: draw(shapes()) for name in names}
    always = draw(st.sets(st.sampled_from(names)))
    records = st.fixed_dictionaries(
        {name: values[name] for name in always},
        optional={name: values[name] for name in names if name not in always},
    )
    found = draw(st.lists(records, min_size=1, max_size=12))
    found[0] = found[0] | {name: draw(value) for name, value in values.items()}
    order = draw(st.permutations(found))
    return [{key: one[key] for key in draw(st.permutations(list(one)))} for one in order]


def expected_table(records):
    """The records as Arrow infers them from Python values, with the missing keys as null."""
    names = list(dict.fromkeys(name for record in records for name in record))
    return {name: [record.get(name) for record in records] for name in names}


def filled(value, type_):
    """`value` with null for the keys that objects lack, as the schema has it."""
    if value is None:
        return None
    if pa.types.is_list(type_):
        return [filled(item, type_.value_type) for item in value]
    if pa.types.is_struct(type_):
        return {one.name: filled(value.get(one.name), one.type) for one in type_}
    return float(value) if pa.types.is_floating(type_) else value


def expected_rows(records, schema):
    return [
        {one.name: filled(record.get(one.name), one.type) for one in schema} for record in records
    ]


def same(one, other):
    """Equality that tells 1 from 1.0, True from 1 and -0.0 from 0.0."""
    return repr(one) == repr(other)


@st.composite
def jsonl_texts(draw, records):
    """The records as lines, in any white space."""
    ends = st.sampled_from(["\n", "\r\n", "\n\n", " \n\t\n", "\n"])
    parts = ["\ufeff" if draw(st.booleans()) else "", draw(st.sampled_from(["", "\n", " \r\n"]))]
    for record in records:
        ascii_ = draw(st.booleans())
        separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " : ")]))
        indent = draw(st.sampled_from(["", "", " ", "\t "]))
        line = json.dumps(record, ensure_ascii=ascii_, separators=separators)
        parts += [indent, line, draw(ends)]
    text = "".join(parts)
    return (text.rstrip() if draw(st.booleans()) else text).encode()


@examples(120)
@given(data=st.data())
def test_the_rows_are_those_of_json_loads_line_by_line(data):
    records = data.draw(record_lists())
    text = data.draw(jsonl_texts(records))
    with tempfile.TemporaryDirectory() as directory:
        try:
            dataset = open_text(directory, text)
            rows = rows_of(dataset, data.draw(st.integers(1, 200)))
        except SchemaError as error:
            # Floats beside integers that have none.
            is_refused = "no exact float64" in str(error)
        else:
            is_refused = False
        if not is_refused:
            assert same(rows, expected_rows(records_of(text), dataset.schema))


def to_frame(records, kinds):
    """pandas' frame of columns of scalars, as the contract has it."""
    series = {}
    for name, kind in kinds.items():
        values = [record.get(name) for record in records]
        is_missing = None in values
        if kind == "int":
            dtype = "float64" if is_missing else "int64"
        else:
            dtype = {"float": "float64", "str": "str"}.get(kind) or (
                object if is_missing else "bool"
            )
        series[name] = pd.Series(values, dtype=dtype)
    return pd.DataFrame(series)


@st.composite
def cases(draw):
    kinds = draw(st.dictionaries(TEXTS, st.sampled_from(list(SCALARS)), min_size=1, max_size=3))
    small = SCALARS | {"int": st.integers(-(2**53), 2**53)}
    optional = draw(st.sets(st.sampled_from(list(kinds))))
    fields = {
        name: small[kind] | st.none() if name in optional else small[kind]
        for name, kind in kinds.items()
    }
    records = draw(st.lists(st.fixed_dictionaries(fields), min_size=1, max_size=12))
    full = {name: draw(small[kind]) for name, kind in kinds.items()}
    files = [[full, *records], draw(st.lists(st.fixed_dictionaries(fields), max_size=4))]
    texts = [draw(jsonl_texts(one)) or b"\n" for one in files]

    def store(directory):
        return [write(directory, text, f"{place}.jsonl") for place, text in enumerate(texts)]

    def read_whole(source):
        return to_frame(
            [one for path in source for one in records_of(Path(path).read_bytes())], kinds
        )

    return Case(store, read_whole)


class TestJsonLines(ReaderContract):
    cases = cases()


# ------------------------------------------------------------------ Arrow held against Python

ODD_WORDS = (
    "1 -0 0 -1 01 +1 .5 5. 1.0 -0.0 1e5 1E5 1e400 -1e400 1e-400 1e23 9007199254740993 "
    "-9007199254740993 9007199254740992 9007199254740993.0 9223372036854775807 "
    "9223372036854775808 18446744073709551615 18446744073709551616 -9223372036854775809 "
    "123456789012345678901234567890 2.2250738585072011e-308 0.30000000000000004 NaN -NaN nan "
    "Infinity -Infinity Inf -Inf null true false tru nul True None 0x10 1e 1.e5 - "
    '"1" "x" "" "2020-01-01" "2020-01-01T00:00:00Z" "\\u0041" "\\ud800" "\\udc00" '
    '"\\ud83d\\ude00" "\\ud800\\u0041" "\\x" "\\u12g4" "\\u0000" "\\/" "NaN" "Inf" '
    "[] [1] [1,] [1,null] [null] [null,null] [[],[null,null]] [1.5] [[1]] [-0] [Inf] "
    '["a"] [1"a"] {} {"x":1} {"x":1,"x":2} '
    '{"x":null} {"y":1} {"x":{"x":1}} {"x":-0} {"x":1}{"x":2} \'a\' 1;2 [{}] [{"x":1}]'
)
ODD_VALUES = [
    *ODD_WORDS.split(),
    '"a\tb"',
    '"a\x00b"',
    '"a\x7fb"',
    '"\ufeff"',
    '"\u2028"',
    "1 2",
    '"a" "b"',
    "/**/1",
    "1}\n{",
    '1}{"a":2',
    '1} null {"a":2',
    '1} {"a":2',
    "\ufeff1",
    "\x0b1",
    "\u00a01",
]
ODD_BYTES = [b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b"\x00"]
TYPES = [
    pa.int64(),
    pa.uint64(),
    pa.int8(),
    pa.float64(),
    pa.large_string(),
    pa.bool_(),
    pa.null(),
    pa.list_(pa.int64()),
    pa.list_(pa.float64()),
    pa.list_(pa.null()),
    pa.struct({"x": pa.int64()}),
    pa.struct({"x": pa.null()}),
    pa.struct({"x": pa.float64()}),
    pa.struct([]),
]


def outcome(text, schema, *, is_open=False):
    try:
        return parse_exact(text, schema, frozenset(), is_open=is_open)
    except BadRecord:
        return None


def values_of(table):
    return repr(table.to_pylist())


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_what_arrow_reads_of_odd_values_python_reads_too(type_):
    schema = pa.schema({"a": type_})
    values = [value.encode() for value in ODD_VALUES] + ODD_BYTES
    for value in values:
        for text in (b'{"a":%b}\n', b'{"a":%b}', b'{}\n{"a": %b }\r\n{"a":null}\n'):
            line = text.replace(b"%b", value)
            table = parse_fast(line, schema, is_open=False)
            if table is not None:
                expected = outcome(line, schema)
                assert expected is not None, line
                assert values_of(table) == values_of(expected), line


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_what_the_exact_parser_reads_is_what_json_loads_gives(type_):
    schema = pa.schema({"a": type_})
    for value in ODD_VALUES:
        line = b'{"a":%b}' % value.encode()
        table = outcome(line, schema)
        if table is not None:
            assert same(table.to_pylist(), expected_rows(records_of(line), schema)), line


LITERALS = st.one_of(
    st.sampled_from(ODD_VALUES),
    st.from_regex(r"-?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.recursive(
        st.none() | st.booleans() | INTEGERS | st.floats() | TEXTS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=5,
    ).map(json.dumps),
)


@examples(300)
@given(values=st.lists(LITERALS, min_size=1, max_size=3), type_=st.sampled_from(TYPES))
@example(values=["-0", "1.5"], type_=pa.float64())
@example(values=["9007199254740993"], type_=pa.float64())
@example(values=["Inf"], type_=pa.float64())
@example(values=["-NaN"], type_=pa.float64())
def test_arrow_never_reads_another_value_than_python(values, type_):
    text = "\n".join(f'{{"a":{value}}}' for value in values).encode("utf-8", "surrogatepass")
    schema = pa.schema({"a": type_})
    table = parse_fast(text, schema, is_open=False)
    if table is not None:
        expected = outcome(text, schema)
        assert expected is not None
        assert values_of(table) == values_of(expected)
        assert [row["a"] for row in table.to_pylist()] == [
            row["a"] for row in expected.to_pylist()
        ] or "nan" in values_of(table)


@examples(200)
@given(values=st.lists(LITERALS, min_size=1, max_size=4))
def test_the_types_that_arrow_infers_are_those_of_the_values(values):
    text = "\n".join(f'{{"a":{value}}}' for value in values).encode("utf-8", "surrogatepass")
    if infer_fast(text) is not None:
        piece = Piece(SourceFile("a.jsonl", Fingerprint(0, 0, 0)), 0, len(text), len(text))
        fast, slow = json_sample.look_at(text, piece), json_sample.look_closely(text, piece)
        assert (dict(fast.types), fast.nulls, fast.rows) == (
            dict(slow.types),
            slow.nulls,
            slow.rows,
        )


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"null\n", b"1\n", b"[1]\n", b'\xef\xbb\xbf{"a":1}\n']
)
def test_lines_that_are_no_objects_never_come_to_arrow(text):
    assert parse_fast(text, pa.schema({"a": pa.int64()}), is_open=False) is None


@pytest.mark.parametrize("depth", [66, 10_000, 200_000])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"x":', "}")], ids=["lists", "objects"])
def test_any_nesting_is_an_error_and_no_crash(depth, brackets, tmp_path):
    deep = brackets[0] * depth + ("1" if brackets[1] == "}" else "") + brackets[1] * depth
    text = f'{{"a":1}}\n{{"a":{deep}}}\n'
    with pytest.raises((PlanError, ReadError), match=r"deep|nested"):
        rows_of(open_text(tmp_path, text))
    with pytest.raises(ReadError, match=r"line 2 of these \(byte 8\)"):
        rows_of(open_text(tmp_path, text, schema={"a": "int64"}))


# ------------------------------------------------------------------ what is refused while reading


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"a":1', "not JSON"),
        ('{"a":1,}', "not JSON"),
        ('{"a":1} {"a":2}', "Extra data"),
        ('{"a":1}{"a":2}', "Extra data"),
        ("{'a':1}", "not JSON"),
        ('{"a":01}', "not JSON"),
        ("[1]", "an object"),
        ("1", "an object"),
        ("null", "an object"),
        ('{"a":1,"a":2}', "'a' is repeated"),
        (b'{"a":"\xff"}', "not UTF-8"),
        ('{"a":' + "9" * 5000 + "}", "can't be read"),
    ],
)
@pytest.mark.parametrize("size", [1, 17, 1 << 40])
def test_a_malformed_line_is_named_with_its_byte(line, said, size, tmp_path):
    line = line if isinstance(line, bytes) else line.encode()
    dataset = open_text(tmp_path, b'{"a":1}\n\n{"a":2}\n' + line + b'\n{"a":3}\n')
    with pytest.raises(ReadError, match=r"\(byte 17\)") as caught:
        rows_of(dataset, size)
    assert said in str(caught.value)
    assert not isinstance(caught.value, SchemaError)
    assert caught.value.path == dataset.files[0]
    line_in_piece = {1: 1, 17: 1}.get(size, 4)
    assert f"line {line_in_piece} of these" in str(caught.value)
    assert caught.value.row == {4: 2}.get(line_in_piece, 0)
    assert pickle.loads(pickle.dumps(caught.value)).row == caught.value.row


@pytest.mark.parametrize(
    ("values", "odd", "said"),
    [
        (["1"], "null", "null or missing"),
        (["true"], "null", "null or missing"),
        (["1"], "1.5", "1.5 is not a valid int64"),
        (["1"], "1.0", "1.0 is not a valid int64"),
        (["1"], "9223372036854775808", "is not a valid int64"),
        (["9223372036854775808"], "-1", "-1 is not a valid uint64"),
        (["1"], "18446744073709551616", "is not a valid int64"),
        (["1"], '"x"', "'x' is not a valid int64"),
        (['"x"'], "1", "1 is not a valid large_string"),
        (["1.5"], "9007199254740993", "no exact float64"),
        (["1.5"], "1" + "0" * 400, "no exact float64"),
        (["null"], "5", "5 is not a valid null"),
        (["[1]"], '["x"]', "'x' is not a valid int64"),
        (["[1]"], "[1.5]", "1.5 is not a valid int64"),
        (['{"x":1}'], '{"y":"z"}', "the key 'y' of an object in it was never seen before"),
        (['{"x":1}'], "3", "3 is not a valid struct"),
        (['"x"'], '"\\ud800"', "lone surrogate"),
        (["1"], '1, "b": {"c": [true, null]}', "the key 'b'"),
        (["1"], '1, "b": [1, "x"]', "the key 'b'"),
        (["1"], '1, "b": {"\\ud800": 1}', "'b'"),
    ],
)
def test_a_value_outside_of_the_sample_is_refused_with_what_to_give(
    values, odd, said, tmp_path, monkeypatch
):
    monkeypatch.setattr(sampling, "SCAN_NBYTES", 0)
    monkeypatch.setattr(sampling, "SLICE_NBYTES", 100)
    regular = "".join(f'{{"a":{value}}}\n' for value in values)
    half = regular * (600 // len(regular))
    text = f'{half}{{"a":{odd}}}\n{half}{half}'
    dataset = open_text(tmp_path, text)
    with pytest.raises(SchemaError) as caught:
        rows_of(dataset)
    assert said in str(caught.value)
    assert f"(byte {len(half)})" in str(caught.value)
    assert caught.value.column in ("a", "b")
    assert caught.value.row == half.count("\n")


def test_a_schema_makes_the_file_readable(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "SCAN_NBYTES", 0)
    monkeypatch.setattr(sampling, "SLICE_NBYTES", 100)
    regular = '{"a":1}\n' * 100
    text = regular + '{"a":null,"b":{"c":[1.5]}}\n' + regular * 2
    with pytest.raises(SchemaError, match=r"the key 'b'.*give its type by schema="):
        rows_of(open_text(tmp_path, text))
    schema = {"a": "Int64", "b": pa.struct({"c": pa.list_(pa.float64())})}
    dataset = open_text(tmp_path, text, schema=schema)
    assert same(rows_of(dataset, 50), expected_rows(records_of(text), dataset.schema))
    assert dataset.head(1)["a"].dtype == "Int64"
    rows = rows_of(dataset)
    scanned = open_text(tmp_path, text, schema="scan")
    assert rows_of(scanned) == rows
    assert scanned.head(1000)["a"].dtype == "float64"


# ------------------------------------------------------------------ types


def test_integers_are_exact_and_texts_stay_texts(tmp_path):
    text = (
        '{"i":9007199254740993,"u":18446744073709551615,"t":"2020-01-01","n":null,"b":true}\n'
        '{"i":-9223372036854775808,"u":1,"t":"12:00","n":null,"b":false}\n'
    )
    dataset = open_text(tmp_path, text)
    assert dataset.schema == pa.schema(
        {
            "i": pa.int64(),
            "u": pa.uint64(),
            "t": pa.large_string(),
            "n": pa.null(),
            "b": pa.bool_(),
        }
    )
    (chunk,) = dataset.plan()
    assert chunk.read("arrow").to_pylist() == records_of(text)
    frame = chunk.read()
    assert frame.dtypes.astype(str).to_dict() == {
        "i": "int64",
        "u": "uint64",
        "t": "str",
        "n": "object",
        "b": "bool",
    }
    assert frame["i"].tolist() == [9007199254740993, -9223372036854775808]
    assert isinstance(chunk.read("polars"), pl.DataFrame)


def test_an_integer_that_floats_do_not_hold_is_refused_beside_missing_ones_in_pandas(tmp_path):
    text = '{"i":null,"u":null}\n{"i":-9007199254740993,"u":9223372036854775808}\n'
    dataset = open_text(tmp_path, text + '{"i":1,"u":18446744073709551615}\n')
    (chunk,) = dataset.plan()
    assert chunk.read("arrow")["i"].to_pylist() == [None, -9007199254740993, 1]
    with pytest.raises(SchemaError, match="'Int64'") as caught:
        chunk.read()
    assert (caught.value.column, caught.value.value) == ("i", -9007199254740993)
    with pytest.raises(SchemaError, match="no exact float64"):
        dataset.select(["u"]).head()
    exact = open_text(tmp_path, text, schema={"i": "Int64", "u": "UInt64"}).head()
    assert exact["i"].tolist() == [pd.NA, -9007199254740993]
    assert exact.dtypes.astype(str).tolist() == ["Int64", "UInt64"]


def test_lists_and_objects_come_to_pandas_as_python_makes_them_in_every_chunk(tmp_path):
    text = (
        '{"l":[1,9007199254740993],"o":{"x":1},"k":1}\n'
        '{"l":[null,2],"o":{"x":null},"k":2}\n{"k":3}\n'
    )
    dataset = open_text(tmp_path, text)
    for size in (1, 1 << 40):
        frame = pd.concat([chunk.read() for chunk in pieces_of(dataset, size)], ignore_index=True)
        assert list(frame.columns) == ["l", "o", "k"]
        assert same(frame["l"].tolist(), [[1, 9007199254740993], [None, 2], None])
        assert same(frame["o"].tolist(), [{"x": 1}, {"x": None}, None])
    alone = dataset.select(["o"]).head()
    assert same(alone["o"].tolist(), frame["o"].tolist())
    assert alone.index.equals(pd.RangeIndex(3))


@pytest.mark.parametrize(
    ("wanted", "type_", "dtype"),
    [
        ("int64", pa.int64(), "int64"),
        ("int8", pa.int8(), "int8"),
        (int, pa.int64(), "int64"),
        (np.uint64, pa.uint64(), "uint64"),
        ("Int32", pa.int32(), "Int32"),
        ("UInt8", pa.uint8(), "UInt8"),
        (pa.int16(), pa.int16(), "int16"),
        ("float64", pa.float64(), "float64"),
        (pa.float64(), pa.float64(), "float64"),
    ],
)
def test_types_that_are_named_are_kept(wanted, type_, dtype, tmp_path):
    text = '{"a":1}\n{"a":100}\n'
    named = {"a": wanted}
    if isinstance(wanted, pa.DataType):
        named = pa.schema(named)
    dataset = open_text(tmp_path, text, schema=named)
    assert dataset.schema.field("a").type == type_
    frame = dataset.head()
    assert str(frame["a"].dtype) == dtype
    assert frame["a"].tolist() == [1, 100]


def test_bools_and_texts_and_nested_types_can_be_named(tmp_path):
    text = '{"b":true,"s":"x","l":[1],"o":{"x":"y"}}\n{"b":null,"s":null}\n'
    named = {
        "b": "boolean",
        "s": str,
        "l": pa.large_list(pa.float64()),
        "o": pa.struct({"x": pa.string(), "z": pa.int64()}),
        "n": "bool",
    }
    with pytest.raises(SchemaError, match="column 'n': null or missing"):
        rows_of(open_text(tmp_path, text, schema=named))
    named["n"] = object
    dataset = open_text(tmp_path, text, schema=named)
    assert dataset.head().dtypes.astype(str).tolist() == [
        "boolean",
        "str",
        "object",
        "object",
        "str",
    ]
    assert same(
        rows_of(dataset)[0],
        {"b": True, "s": "x", "l": [1.0], "o": {"x": "y", "z": None}, "n": None},
    )


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"a": "float32"}, "can't be held to"),
        ({"a": "category"}, "can't be held to"),
        ({"a": "Float64"}, "can't be held to"),
        ({"a": "datetime64[ns]"}, "can't be held to"),
        ({"a": pa.timestamp("s")}, "can't be held to"),
        ({"a": pa.list_(pa.date32())}, "can't be held to"),
        ({"a": pa.struct([("x", pa.int8()), ("x", pa.int8())])}, "twice"),
        ({"a": "nonsense"}, "not a dtype"),
        ({1: "int64"}, "not a name of one column"),
        (pa.schema([("a", pa.int8()), ("a", pa.int8())]), "not a name of one column"),
        (["a"], "a dict of dtypes"),
        ("exact", "a dict of dtypes"),
        ({"b": "int64"}, "{'b': 'Int64'}"),
        ({"c": pa.bool_()}, "{'c': 'boolean'}"),
    ],
    ids=str,
)
def test_types_that_no_chunk_can_be_held_to_are_refused(schema, said, tmp_path):
    text = '{"a":1,"b":1,"c":true}\n{"a":2}\n'
    with pytest.raises(PlanError) as caught:
        open_text(tmp_path, text, schema=schema)
    assert said in str(caught.value)


def test_a_type_deeper_than_any_data_is_refused(tmp_path):
    deep = pa.int64()
    for _ in range(70):
        deep = pa.list_(deep)
    with pytest.raises(PlanError, match="deep"):
        open_text(tmp_path, '{"a":1}\n', schema={"a": deep})


VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(VALUES, VALUES, VALUES)
def test_types_join_in_any_order(one, two, three):
    def joined(*values):
        found = pa.null()
        for value in values:
            found = join_types(found, type_of(value))
        return fields_sorted(found)

    try:
        expected = joined(one, two, three)
    except Clash:
        with pytest.raises(Clash):
            joined(three, two, one)
        return
    assert joined(three, two, one) == expected
    assert joined(two, one, three) == expected


def fields_sorted(type_):
    if pa.types.is_list(type_):
        return pa.list_(fields_sorted(type_.value_type))
    if pa.types.is_struct(type_):
        return pa.struct(sorted((one.name, fields_sorted(one.type)) for one in type_))
    return type_


# ------------------------------------------------------------------ columns, filters, options


def test_a_column_of_several_types_can_be_left_out(tmp_path):
    text = '{"a":1,"b":1,"o":{"x":1}}\n{"a":2,"b":"x","o":{"y":2}}\n{"a":3,"c":1}\n'
    with pytest.raises(PlanError, match=r"column 'b': it holds numbers and strings.*columns="):
        open_text(tmp_path, text)
    dataset = open_text(tmp_path, text, columns=["o", "a"])
    assert same(
        rows_of(dataset, 1),
        [
            {"o": {"x": 1, "y": None}, "a": 1},
            {"o": {"x": None, "y": 2}, "a": 2},
            {"o": None, "a": 3},
        ],
    )
    assert rows_of(dataset.select(["a"])) == [{"a": 1}, {"a": 2}, {"a": 3}]
    listed = '{"l":[{"x":1}],"b":1}\n{"l":[],"b":"x"}\n'
    assert rows_of(open_text(tmp_path, listed, columns=["l"])) == [{"l": [{"x": 1}]}, {"l": []}]
    with pytest.raises(PlanError, match="'b'"):
        open_text(tmp_path, text, columns=["b"])


def test_a_new_key_in_a_wanted_object_is_refused_where_others_are_passed_over(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sampling, "SCAN_NBYTES", 0)
    monkeypatch.setattr(sampling, "SLICE_NBYTES", 100)
    regular = '{"a":1,"o":{"x":1}}\n' * 40
    passed_over = open_text(tmp_path, regular + '{"a":1,"b":2}\n' + regular * 2, columns=["o"])
    assert [row["o"] for row in rows_of(passed_over)] == [{"x": 1}] * 40 + [None] + [{"x": 1}] * 80
    refused = open_text(tmp_path, regular + '{"a":1,"o":{"z":2}}\n' + regular * 2, columns=["o"])
    with pytest.raises(SchemaError, match="the key 'z'"):
        rows_of(refused)


def test_filters_drop_rows_and_count_them(tmp_path):
    text = "".join(f'{{"a":{n},"b":"{n % 3}"}}\n' for n in range(30))
    dataset = open_text(tmp_path, text, columns=["b"], filters=[("a", ">=", 10)])
    results = [chunk.load("arrow") for chunk in pieces_of(dataset, 100)]
    assert sum(result.rows for result in results) == 20
    assert sum(result.filtered for result in results) == 10
    assert [row for result in results for row in result.data.to_pylist()] == [
        {"b": str(n % 3)} for n in range(10, 30)
    ]


def test_hive_keys_are_columns(tmp_path):
    for year in (2012, 2013):
        (tmp_path / f"year={year}").mkdir()
        write(tmp_path / f"year={year}", f'{{"a":{year}}}\n')
    frame = open_dataset(str(tmp_path)).head()
    assert frame.astype(str).to_dict("list") == {"a": ["2012", "2013"], "year": ["2012", "2013"]}


@pytest.mark.parametrize(
    ("text", "keywords", "said"),
    [
        ('{"a":1}\n', {"sep": ","}, "sep=',' is not an option for JSON"),
        ('{"a":1}\n', {"encodin": "x"}, "'encoding'"),
        ('{"a":1}\n', {"encoding": "latin-1"}, "iconv -f latin-1"),
        ('{"a":1}\n', {"columns": []}, "at least one"),
        ('{"a":1}\n', {"columns": ["b"]}, "no column 'b'"),
        ('{"a":1}\n', {"columns": "a"}, "a list of names"),
        ('{"a":1}\n', {"filters": [("b", ">", 1)]}, "no column 'b'"),
        ("{}\n{}\n", {}, "records has a key"),
        ('{"a":1\n', {}, "not JSON"),
        ('{\n"a": 1\n}\n', {}, "not JSON"),
        ('{"\\ud800":1}\n', {}, "surrogate"),
        ('[{"a":1},\n{"a":2}]', {}, 'format="json"'),
        ('{"a":99999999999999999999}\n', {}, "beyond 64 bits"),
        ('{"a":[1,"x"]}\n', {}, "numbers and strings"),
    ],
)
def test_what_can_not_be_opened_is_refused_before_work_starts(text, keywords, said, tmp_path):
    with pytest.raises(PlanError) as caught:
        open_text(tmp_path, text, **keywords)
    assert said in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf_8_sig", None])
def test_utf_8_may_be_named(encoding, tmp_path):
    file = source_file(write(tmp_path, '\ufeff{"a":"é"}\n'))
    reader = open_lines([file], None, None, None, {"encoding": encoding})
    assert reader.read([reader.extent(file)], "arrow").data.to_pylist() == [{"a": "é"}]


# ------------------------------------------------------------------ cuts and samples


@given(
    parts=st.lists(st.sampled_from([b"{}", b"\n", b" ", b"\t", b"\r", b"\r\n", b"x"]), max_size=20),
    size=st.integers(1, 12),
)
def test_grains_hold_the_lines_that_are_not_blank(parts, size):
    text = b"".join(parts)
    with tempfile.TemporaryDirectory() as directory:
        path = write(directory, text)
        file = source_file(path)
        reader = open_lines([file], None, None, {"a": "str"}, {})
        found = list(reader.grains(reader.extent(file), size))
    assert b"".join(text[one.start : one.stop] for one in found) == text
    lines = [line for line in text.split(b"\n") if line.strip()]
    assert sum(one.rows for one in found) == len(lines)
    for one in found:
        part = text[one.start : one.stop]
        assert one.rows == sum(bool(line.strip()) for line in part.split(b"\n"))
        assert one.rows or len(found) == 1
        assert part.endswith(b"\n") or one.stop == len(text)


@given(
    parts=st.lists(st.sampled_from([b"{}", b"\n", b" ", b"ab", b"\r\n"]), max_size=30),
    block=st.integers(1, 9),
)
def test_lines_that_lie_in_several_blocks_are_found(parts, block):
    from taskinity_data.formats.json import cuts as json_cuts

    text = b"".join(parts)
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        path = write(directory, text)
        blocks = [(at, text[at : at + block]) for at in range(0, len(text), block)]
        patch.setattr(json_cuts, "read_blocks", lambda *_: iter(blocks))
        ends = [end for ends in json_cuts.find_line_ends(path, 0, len(text)) for end in ends]
    assert ends == find_lines(text).ends.tolist()


def test_a_piece_is_split_near_its_middle_with_its_rows(tmp_path):
    lines = [b'{"a":"%b"}\n' % (b"x" * (n % 9)) for n in range(2_000)]
    file = source_file(write(tmp_path, b"".join(lines)))
    reader = open_lines([file], None, None, None, {})
    whole = reader.extent(file)
    first, second = reader.split(whole)
    assert abs(first.nbytes - second.nbytes) <= 2 * whole.nbytes // 64 + 40
    assert first.rows + second.rows == 2_000
    assert b"".join(lines[: first.rows]) == b"".join(lines)[: first.stop]
    assert (first.start, first.stop, second.stop) == (whole.start, second.start, whole.stop)


@given(
    ends=st.lists(st.integers(1, 60), unique=True).map(sorted),
    pieces=st.integers(1, 5),
    size=st.integers(1, 30),
)
def test_grains_are_cut_behind_the_first_record_that_fills_them(ends, pieces, size):
    blocks = [np.array(part, np.int64) for part in np.array_split(ends, pieces)]
    expected, start, rows = [], 0, 0
    for end in ends:
        rows += 1
        if end >= start + size:
            expected.append((start, end, rows))
            start, rows = end, 0
    if rows or not expected:
        expected.append((start, 60, rows))
    expected[-1] = (expected[-1][0], 60, expected[-1][2])
    assert [tuple(one) for one in cut_records(blocks, 0, 60, size)] == expected


def test_a_file_that_shrank_is_an_error(tmp_path):
    path = write(tmp_path, '{"a":1}\n' * 10)
    dataset = open_dataset(path)
    (piece,) = dataset.extents
    Path(path).write_text('{"a":1}\n')
    with pytest.raises(ReadError, match="ends before byte 80"):
        dataset.reader.read([piece], "arrow")


def test_large_files_are_sampled_at_head_middle_and_tail(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "SCAN_NBYTES", 0)
    monkeypatch.setattr(sampling, "SLICE_NBYTES", 100)
    regular = '{"a":1}\n' * 50
    text = '{"h":1}\n' + regular + '{"a":2}\n{"m":1}\n' + regular[8:] + '{"t":1}'
    assert open_text(tmp_path, text).schema.names == ["h", "a", "m", "t"]
    long = '{"h":1}\n{"a":"' + "x" * 5000 + '"}\n'
    assert rows_of(open_text(tmp_path, long)) == expected_rows(
        records_of(long), pa.schema({"h": pa.int64(), "a": pa.large_string()})
    )


def test_of_many_files_some_are_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "SCAN_NBYTES", 0)
    monkeypatch.setattr(sampling, "MAX_FILES", 3)
    paths = [write(tmp_path, f'{{"a":1,"k{n}":1}}\n', f"{n}.jsonl") for n in range(5)]
    assert open_dataset(paths).schema.names == ["a", "k0", "k2", "k4"]
    assert open_dataset(paths[:3]).schema.names == ["a", "k0", "k1", "k2"]


def test_an_odd_line_sends_only_its_slice_to_the_slow_parser(tmp_path, monkeypatch):
    from taskinity_data.formats.json import reader as json_reader

    monkeypatch.setattr(json_reader, "SLICE_NBYTES", 100)
    seen = []

    def spy(text, *args, **keywords):
        seen.append(len(text))
        return parse_exact(text, *args, **keywords)

    monkeypatch.setattr(json_reader, "parse_exact", spy)
    lines = ['{"a":1.5}'] * 100
    lines[50] = '{"a":-0}'
    lines[70] = '{"a":9007199254740994}'
    text = "\n".join(lines)
    rows = rows_of(open_text(tmp_path, text))
    assert same(rows, [{"a": float(row["a"])} for row in records_of(text)])
    assert len(seen) == 2
    assert max(seen) < 150


def test_a_text_that_is_too_long_for_arrow_is_read_by_python(tmp_path, monkeypatch):
    from taskinity_data.formats.json import fast as json_fast

    monkeypatch.setattr(json_fast, "MAX_NBYTES", 10)
    text = '{"a":1,"b":"x"}\n{"a":2}\n'
    assert rows_of(open_text(tmp_path, text)) == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


def test_duckdb_reads_the_same_rows(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    random.seed(5)
    records = [
        {"i": random.randrange(10**6), "f": random.random(), "s": f"x{n}", "l": [n, None]}
        for n in range(2000)
    ]
    path = write(tmp_path, "".join(json.dumps(one) + "\n" for one in records))
    with duckdb.connect() as connection:
        expected = connection.execute(f"select i, f, s, l from read_json('{path}')").fetchall()
    rows = rows_of(open_dataset(path), 5000)
    assert [tuple(row.values()) for row in rows] == expected
