import csv
import pickle
import random
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from csv_oracle import chunks_of, in_chunks, judge, whole, write
from hypothesis import example, given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from properties import examples
from reader_contract import Case, ReaderContract

from taskinity_data.errors import PlanError, ReadError, SchemaError
from taskinity_data.formats import sampling
from taskinity_data.formats.csv import fast
from taskinity_data.formats.csv.columns import to_frame, to_table
from taskinity_data.formats.csv.exact import parse_exact
from taskinity_data.formats.csv.fast import BLOCK_NBYTES, MISSING, can_be_fast, parse_fast
from taskinity_data.formats.csv.open import open_csv
from taskinity_data.formats.csv.options import parse_options
from taskinity_data.formats.csv.records.cuts import find_open_quote
from taskinity_data.formats.schema import Column, dtype_of_kind, text_column

SIZES = (1, 2, 7, 30, 1 << 30)


def reader_of(file, options=None, **keywords):
    return open_csv(
        [file],
        keywords.get("columns"),
        keywords.get("filters"),
        keywords.get("schema"),
        options or {},
    )


# ------------------------------------------------------------------ adversarial texts, by hand

EXACT = {
    "plain": ("a,b\n1,2\n3,4\n", {}),
    "no newline at the end": ("a,b\n1,x\n3,y", {}),
    "CRLF": ("a,b\r\n1,2\r\n\r\n3,4", {}),
    "lone CR": ("a,b\r1,2\r3,4\r", {}),
    "mixed line ends": ("a,b\r1,2\n3,4\r\n5,6", {}),
    "quoted newlines": ('a,b\n"x\ny",1\n"\n",2\n"\r\n",3\n', {}),
    "a quoted newline in the header": ('"a\nb",c\n1,2\n3,4\n', {}),
    "doubled quotes": ('a,b\n"q""\nq",1\n"""",2\n"",3\n', {}),
    "a quote within a field": ('a,b\n5" disk,1\nx"y"z,2\n', {}),
    "text after a closing quote": ('a,b\n"x"y,1\n"x\n"y,2\n', {}),
    "escapes": ('a,b\nx\\,y,1\n"q\\"\nq",2\nz\\\nz,3\n', {"escapechar": "\\"}),
    "single quotes": ("a,b\n'x\ny',1\nz,2\n", {"quotechar": "'"}),
    "no quotes at all": ('a,b\n"x,1\ny",2\n', {"quoting": csv.QUOTE_NONE}),
    "a mark at the start": ("\ufeffa,b\n1,2\n3,4\n", {}),
    "a mark at the start of a row": ("a,b\n1,2\n\ufeff3,4\n\ufeff5,6\n", {}),
    "a mark without a header": ("\ufeff1,2\n3,4\n", {"header": None}),
    "a mark, decoded": ("\ufeffa,b\n1,2\n", {"encoding": "utf-8-sig"}),
    "blank lines": ("\n\na,b\n\n1,2\n  \n\n3,4\n\n", {}),
    "blank lines that count": ("a,b\n1,2\n\n3,4\n", {"skip_blank_lines": False}),
    "one column with blanks": ("a\n1\n\n2\n", {}),
    "one column with blanks that count": ("a\n1\n\n2\n", {"skip_blank_lines": False}),
    "comments": ("# head\na,b\n1,2#tail\n# c, d\n3,4\n", {"comment": "#"}),
    "skipped lines": ('x\n"y\ny"\na,b\n1,2\n3,4\n', {"skiprows": 2}),
    "a later header": ("x,y\nz\na,b\n1,2\n3,4\n", {"header": 2}),
    "names for a header": ("a,b\n1,2\n3,4\n", {"names": ["x", "y"], "header": 0}),
    "names without a header": ("1,2\n3,4\n", {"names": ["x", "y", "z"]}),
    "no header": ("1,x\n3,y\n", {"header": None}),
    "header alone": ("a,b\n", {}),
    "header without its newline": ("a,b", {}),
    "names made by pandas": (",a,a,a.1\n1,2,3,4\n", {}),
    "short rows": ("a,b,c\n1\n2,3\n,,4\n", {}),
    "spaces after the separator": ('a,b\n1, "x,y"\n2, z\n', {"skipinitialspace": True}),
    "tabs": ("a\tb\n1\t2\n\t\n3\t4\n", {"sep": "\t"}),
    "missing in integers": ("a,b\n1,2\n,4\n5,NA\n", {}),
    "minus nought": ("a,b\n-0,1\n1.5,2\n", {}),
    "bools with missing ones": ("a,b\nTrue,1\n,2\nfalse,3\n", {}),
    "bools and integers": ("a,b\nTrue,1\n0,2\n1,3\n", {}),
    "all missing": ("a,b\n,1\nNA,2\n", {}),
    "unsigned": ("a,b\n18446744073709551615,1\n0,2\n", {}),
    "wide integers after text": ("a,b\nx,1\n99999999999999999999,2\n,3\n", {}),
    "latin": ("a,b\né,1\nü,2\n".encode("latin-1"), {"encoding": "latin-1"}),
    "windows": ("a,b\n€,1\nœ,2\n".encode("cp1252"), {"encoding": "cp1252"}),
    "undecodable, replaced": (b"a,b\n\xff,1\nx,2\n", {"encoding_errors": "replace"}),
    "decimal commas": ("a;b\n1,5;x\n2;y\n", {"sep": ";", "decimal": ","}),
    "thousands": ("a;b\n1,000;x\n2;y\n", {"sep": ";", "thousands": ","}),
    "own missing values": ("a,b\n1,x\n-,y\n3,-\n", {"na_values": ["-"]}),
    "no missing values": ("a,b\n1,x\n2,NA\n", {"keep_default_na": False}),
    "own bools": ("a,b\nyes,1\nno,2\n", {"true_values": ["yes"], "false_values": ["no"]}),
    "types": ("a,b\n1,01\n2,x\n", {"dtype": {"a": "int32", "b": str}}),
    "one type": ("a,b\n1,01\n2,x\n", {"dtype": str}),
    "nullable integers": ("a,b\n9007199254740993,1\n,2\n", {"dtype": {"a": "Int64"}}),
    "categories": ("a,b\nx,1\ny,2\n,3\n", {"dtype": {"a": pd.CategoricalDtype(["y", "x"])}}),
    "used columns": ("a,b,c\n1,2,3\n4,5,6\n", {"usecols": ["c", "a"]}),
    "used positions": ("a,b,c\n1,2,3\n4,5,6\n", {"usecols": [2, 0]}),
    "a row longer than a block": ("a,b\n" + "x" * 3_000_000 + ",1\ny,2\n", {}),
}


@pytest.mark.parametrize("name", EXACT)
def test_chunks_of_any_size_are_the_whole_file(name, tmp_path):
    text, options = EXACT[name]
    file = write(tmp_path, text)
    sizes = SIZES if len(text) < 1000 else (1, 1 << 30)
    assert {judge(file, size, options) for size in sizes} == {"exact"}


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("", {}, "0 bytes"),
        ("\n\n", {}, "No columns"),
        ("a,b\n1,2,3\n", {}, "the first row has 3 fields but there are 2 names"),
        ("a,b\n1,2,3,4\n", {}, "the first row has 4 fields but there are 2 names"),
        ("1,2,3\n", {"names": ["a", "b"]}, "the first row has 3 fields"),
        ("a,b\n1,2\n", {"header": 5}, "no header"),
        ("a,b\n1,2\n", {"names": ["x"], "header": 0}, "the first row has 2 fields"),
        ("a,b\n1,2\n", {"names": ["x", "x"]}, "Duplicate names"),
        ("a,b\n1,2\n", {"names": [1, 0]}, "must be strings"),
        ("a,b\n1,2\n", {"usecols": ["c"]}, "no column 'c'"),
        (b"\xff\xfea\x00", {}, "UTF-16"),
        (b"a,b\n\xff\xee,2\n", {}, "encoding="),
        ("a,b\n1,99999999999999999999\n", {}, "beyond int64"),
        ("a,b\n18446744073709551615,1\n,2\n", {}, "beyond int64"),
        ('a,b\n"x,1\n', {}, "never closed"),
    ],
    ids=str,
)
def test_what_can_not_be_opened_is_refused_before_work_starts(text, options, said, tmp_path):
    file = write(tmp_path, text)
    with pytest.raises(PlanError) as caught:
        reader_of(file, options)
    assert said in str(caught.value)


@pytest.mark.parametrize("size", SIZES)
def test_a_row_with_too_many_fields_is_one_error_wherever_it_stands(size, tmp_path):
    file = write(tmp_path, "a,b\n1,2\n3,4\n5,6,7\n8,9\n")
    with pytest.raises(ReadError, match="expected 2 fields, saw 3") as caught:
        [chunk.read() for chunk in chunks_of(reader_of(file), [file], size)]
    assert "(byte 12)" in str(caught.value)
    assert caught.value.path == file.path


def test_a_quote_that_is_never_closed_is_an_error_of_its_chunk(tmp_path):
    file = write(tmp_path, 'a,b\n1,2\n3,"4\n5,6\n')
    chunks = chunks_of(reader_of(file), [file], 1)
    assert chunks[0].read().to_dict("list") == {"a": [1], "b": [2]}
    with pytest.raises(ReadError, match="never closed"):
        chunks[-1].read()


def test_bytes_that_are_no_text_name_their_place(tmp_path, monkeypatch):
    monkeypatch.setattr("taskinity_data.formats.csv.head.HEAD_NBYTES", 8)
    file = write(tmp_path, b"a,b\n1,2\n\xff,4\n")
    with pytest.raises(ReadError, match="byte 8"):
        [chunk.read() for chunk in chunks_of(reader_of(file), [file], 1)]


# ------------------------------------------------------------------ random files

FIELDS = [
    "",
    "1",
    "-2",
    "1.5",
    "-0",
    "x",
    "é",
    "True",
    "False",
    "NA",
    "nan",
    "inf",
    " 1",
    "1 ",
    "9223372036854775808",
    "99999999999999999999",
    "01",
    "+5",
    "1e5",
    "0x1",
    "#",
    "a#b",
    "\\",
    "a\\",
    '"',
    'a"b',
    '"x"',
    '"x\ny"',
    '"\r\n"',
    '"q""q"',
    '"1"',
    '"a"b',
    '"a,b"',
    "\ufeff",
]
TYPED = [["1", "2", "-3"], ["1.5", "2", ""], ["True", "False"], ["True", ""], ["x", "y", ""]]
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "sep": st.sampled_from([",", ";", "\t", " "]),
        "quotechar": st.just("'"),
        "quoting": st.just(csv.QUOTE_NONE),
        "escapechar": st.just("\\"),
        "comment": st.just("#"),
        "skip_blank_lines": st.just(False),
        "skipinitialspace": st.just(True),
        "doublequote": st.just(False),
        "header": st.sampled_from([None, 0, 1]),
        "skiprows": st.integers(0, 3),
        "names": st.just(["n0", "n1", "n2"]),
        "na_values": st.sampled_from([["x"], [1]]),
    },
)


@st.composite
def csv_texts(draw):
    """A file that is mostly well formed, and options that are mostly none."""
    width = draw(st.integers(1, 3))
    options = draw(st.one_of(st.just({}), st.just({}), OPTIONS))
    sep = options.get("sep", ",")
    pools = [draw(st.sampled_from([*TYPED, FIELDS])) for _ in range(width)]
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    lines = [sep.join(f"c{place}" for place in range(width))]
    for _ in range(draw(st.integers(0, 6))):
        fields = [draw(st.sampled_from(pool)) for pool in pools]
        lines.append(
            draw(st.sampled_from([sep.join(fields)] * 12 + [sep.join([*fields, "1"]), ""]))
        )
    text = end.join(lines) + draw(st.sampled_from([end, end, "", end * 2]))
    return draw(st.sampled_from(["", "", "", "\ufeff"])) + text, options


@examples(150)
@given(case=csv_texts(), size=st.one_of(st.just(1), st.integers(1, 40), st.just(1 << 30)))
# pandas loses the separator that follows a skipped line which ends with \r alone.
@example(case=("a,b\r,1,1\r", {"header": None, "names": ["x", "y", "z"], "skiprows": 1}), size=1)
def test_chunks_are_the_whole_file_or_refused(case, size):
    text, options = case
    with tempfile.TemporaryDirectory() as directory:
        file = write(Path(directory), text)
        assert judge(file, size, options) in {"exact", "refused", "both refuse"}


@st.composite
def well_formed(draw):
    pools = {
        "integers": st.integers(-(2**63), 2**63 - 1),
        "floats": st.floats(allow_nan=False, allow_infinity=False),
        "texts": st.text(
            st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\r\t")
        ).map(lambda text: "x" + text),
        "bools": st.booleans(),
    }
    names = draw(st.lists(st.sampled_from(sorted(pools)), min_size=1, unique=True))
    rows = draw(st.integers(1, 12))
    frame = pd.DataFrame(
        {name: draw(st.lists(pools[name], min_size=rows, max_size=rows)) for name in names}
    )
    options = draw(st.sampled_from([{}, {}, {"sep": ";"}, {"encoding": "utf-8-sig"}]))

    def save(directory):
        path = f"{directory}/data.csv"
        # A lone CR in a text would else not be quoted.
        frame.to_csv(
            path,
            index=False,
            quoting=csv.QUOTE_NONNUMERIC,
            sep=options.get("sep", ","),
            encoding=options.get("encoding", "utf-8"),
        )
        return path

    return Case(save, lambda path: pd.read_csv(path, low_memory=False, **options), options)


class TestContract(ReaderContract):
    cases = well_formed()


# ------------------------------------------------------------------ the two engines

SPELLINGS = [
    *MISSING,
    *[
        "0",
        "1",
        "-1",
        "+1",
        "-0",
        "00",
        "01",
        "1.",
        "1.0",
        ".5",
        "+.5",
        "5.",
        "1e5",
        "1E5",
        "1e",
        "1d5",
        "1f",
        "0x1",
        "0X1F",
        "0x1p3",
        "0b1",
        "1_000",
    ],
    *[
        "inf",
        "Inf",
        "INF",
        "-inf",
        "+inf",
        "infinity",
        "Infinity",
        "NAN",
        "Nan",
        "+nan",
        "-NAN",
        "nan(1)",
        "NULL1",
        "none",
        "NONE",
    ],
    *[
        "True",
        "TRUE",
        "true",
        "tRue",
        "False",
        "FALSE",
        "false",
        "t",
        "f",
        "T",
        "yes",
        "no",
        "1e400",
        "-1e400",
        "1e-400",
    ],
    *[
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "4.9e-324",
        "2e-324",
        "0.30000000000000004",
    ],
    *["9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809"],
    *[
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999",
        "000000000000000000001",
    ],
    *[
        "9007199254740993",
        "9007199254740993.0",
        "--",
        "++1",
        "-",
        "+",
        ".",
        "1..2",
        "1-2",
        "١",
        "½",
        "é",
        "$1",
        "1%",
        "1/2",
        "12:30",
    ],
    *[
        "2020-01-01",
        "a",
        "e",
        "E",
        "1e99999999999999999999",
        "1\x0b",
        "\x0b1",
        "1\xa0",
        "\xa01",
        "1\x1f",
    ],
]
DRESSED = [
    dress.format(spelling)
    for spelling in dict.fromkeys(SPELLINGS)
    for dress in ("{}", " {}", "{} ", "\t{}", '"{}"', '" {}"', '"{}\n"', '"{}"" "')
]
ANCHOR = {"int64": "5", "uint64": "5", "float64": "1.5", "bool": "True", "str": "x"}


@pytest.mark.thorough
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("is_proven", [True, False])
@pytest.mark.parametrize("kind", [*ANCHOR, "maybe_bool"])
def test_the_fast_engine_accepts_no_spelling_that_pandas_reads_otherwise(kind, is_proven, decimal):
    options = parse_options({} if decimal == "." else {"decimal": ",", "sep": ";"})
    sep, swap = options.dialect.sep, str.maketrans("", "")
    if decimal == ",":
        swap = str.maketrans(".,", ",.")
    columns = [
        Column("c", kind, dtype_of_kind(kind), is_proven=is_proven),
        Column("d", "str", dtype_of_kind("str"), is_proven=True),
    ]
    accepted = 0
    spellings = [*dict.fromkeys([*DRESSED, *(text.translate(swap) for text in DRESSED)])]
    for place, spelling in enumerate(spellings):
        rows = [(spelling, "y"), (ANCHOR.get(kind, "True").translate(swap), "z")]
        rows = rows[:: 1 if place % 2 else -1]
        data = "".join(f"{first}{sep}{second}\n" for first, second in rows).encode()
        table = parse_fast(data, ["c", "d"], columns, options)
        if table is None:
            continue
        accepted += 1
        frame = parse_exact(data, ["c", "d"], columns, options)
        assert_frame_equal(to_frame(table, columns), frame, check_exact=True)
        assert table.equals(to_table(frame, columns)), data
    assert accepted >= (0 if kind == "uint64" else 10)


@examples(150)
@given(
    rows=st.lists(st.tuples(st.sampled_from(FIELDS), st.sampled_from(FIELDS)), max_size=5),
    end=st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    kinds=st.tuples(st.sampled_from(sorted(ANCHOR)), st.just("str")),
    given_options=st.sampled_from([{}, {"skip_blank_lines": False}, {"quoting": csv.QUOTE_NONE}]),
)
def test_the_fast_engine_cuts_records_into_the_fields_that_pandas_sees(
    rows, end, kinds, given_options
):
    options = parse_options(given_options)
    data = "".join(f"{first},{second}{end}" for first, second in rows).encode()
    columns = [
        Column(label, kind, dtype_of_kind(kind)) for label, kind in zip("cd", kinds, strict=True)
    ]
    table = parse_fast(data, ["c", "d"], columns, options)
    if table is not None:
        frame = parse_exact(data, ["c", "d"], columns, options)
        assert table.equals(to_table(frame, columns))


def test_wherever_quotes_stand_the_fast_engine_reads_closed_records_as_pandas_does():
    options = parse_options({})
    columns = [text_column("c"), text_column("d")]
    accepted = 0
    for length in range(3, 7):
        for signs in product('a",\n', repeat=length):
            data = "".join((*signs, "\n")).encode()
            if data.count(b",") == 0 or find_open_quote(data, 0, options.dialect) is not None:
                continue
            table = parse_fast(data, ["c", "d"], columns, options, is_closed=True)
            if table is not None:
                accepted += b'"' in data
                assert table.equals(
                    to_table(parse_exact(data, ["c", "d"], columns, options), columns)
                )
    assert accepted > 500


def test_line_ends_within_quotes_are_kept_wherever_blocks_of_the_fast_engine_end():
    options = parse_options({})
    columns = [text_column("c"), text_column("d")]
    record = b'1,"x\r\ny"\r\n'
    for pad in range(len(record)):
        data = b"z" * pad + record * (BLOCK_NBYTES // len(record) + 2)
        table = parse_fast(data, ["c", "d"], columns, options, is_closed=True)
        assert table is not None
        assert table["d"].unique().to_pylist() == ["x\r\ny"]


def test_a_chunk_that_is_no_block_of_the_fast_engine_is_left_to_pandas(tmp_path, monkeypatch):
    monkeypatch.setattr(fast, "BLOCK_NBYTES", 1 << 31)
    file = write(tmp_path, 'a,b\r\n1,"x\r\ny"\r\n')
    assert judge(file, 100, {}) == "exact"


def test_no_blank_that_begins_a_line_is_lost_where_buffers_of_pandas_end(tmp_path):
    # pandas alone loses some, wherever 262,144 characters of its input end within such blanks.
    names = [" " * 20 + f"x{number}" for number in range(40_000)]
    file = write(tmp_path, "name,one\n" + "".join(f"{name},1\n" for name in names))
    got = in_chunks(file, 700_000, {"comment": "#"})
    assert got["name"].tolist() == names


def test_missing_values_are_those_of_pandas():
    text = "".join(f'"{word}",\n' for word in MISSING)
    frame = pd.read_csv(pd.io.common.StringIO(text), header=None, dtype=str)
    assert frame[0].isna().all()


def test_plain_files_are_read_by_the_fast_engine(tmp_path):
    file = write(tmp_path, 'a,b,c\n1,x,True\n2,"y,\n",False\n')
    reader = reader_of(file)
    assert can_be_fast(reader.layouts[0], reader.columns, reader.options)
    ((part, skipped, _),) = reader.read_parts([reader.extent(file)], ())
    assert isinstance(part, pa.Table)
    assert skipped == 0


def test_hexadecimal_looking_words_in_texts_do_not_slow_a_file_down(tmp_path):
    file = write(tmp_path, "a,b\n1,N540XY\n2,N10x\n")
    reader = reader_of(file)
    ((part, skipped, _),) = reader.read_parts([reader.extent(file)], ())
    assert isinstance(part, pa.Table)
    assert skipped == 0


def test_floats_are_the_correctly_rounded_ones(tmp_path):
    draw = random.Random(7)
    texts = [f"{draw.getrandbits(80)}e{draw.randint(-300, 280)}" for _ in range(2000)]
    file = write(tmp_path, "a,b\n" + "".join(f"{text},x\n" for text in texts))
    assert in_chunks(file, 1000, {})["a"].tolist() == [float(text) for text in texts]


# ------------------------------------------------------------------ kinds, columns, filters


def test_arrow_and_polars_get_the_frozen_schema(tmp_path):
    file = write(tmp_path, "a,b,c\n1,x,True\n2,,\n")
    reader = reader_of(file)
    for chunk in chunks_of(reader, [file], 1):
        assert chunk.read("arrow").schema == reader.schema
        assert isinstance(chunk.read("polars"), pl.DataFrame)


def test_columns_come_in_the_order_asked_for(tmp_path):
    file = write(tmp_path, "a,b,c\n1,2,3\n4,5,6\n")
    reader = reader_of(file, columns=["c", "a"])
    assert reader.read([reader.extent(file)], "pandas").data.to_dict("list") == {
        "c": [3, 6],
        "a": [1, 4],
    }


@pytest.mark.parametrize(
    ("columns", "said"), [(["d"], "no column 'd'"), ([], "at least one"), (["a", "a"], "twice")]
)
def test_a_selection_that_can_not_be_is_refused(columns, said, tmp_path):
    with pytest.raises(PlanError, match=said):
        reader_of(write(tmp_path, "a,b\n1,2\n"), columns=columns)


@pytest.mark.parametrize("size", [1, 1 << 30])
def test_filters_drop_rows_and_count_them(size, tmp_path):
    file = write(tmp_path, 'a,b,c\n1,x,1\n2,"y\n",2\n3,x,\n4,z,4\n')
    reader = reader_of(file, columns=["a"], filters=[("b", "in", ["x", "z"]), ("c", ">", 0)])
    results = [chunk.load() for chunk in chunks_of(reader, [file], size)]
    assert sum(result.filtered for result in results) == 2
    frame = pd.concat([result.data for result in results], ignore_index=True)
    expected = pd.read_csv(file.path).query("b in ['x', 'z'] and c > 0")[["a"]]
    assert_frame_equal(frame, expected.reset_index(drop=True))


def test_rows_planned_by_the_cut_pass_are_rows_read(tmp_path):
    file = write(tmp_path, 'a,b\n"x\n",1\n\n"y",2\nz,3\n')
    chunks = chunks_of(reader_of(file), [file], 8)
    assert [chunk.rows for chunk in chunks] == [chunk.load().rows for chunk in chunks]


# ------------------------------------------------------------------ several files


def test_files_are_matched_by_name_whatever_their_order(tmp_path):
    first = write(tmp_path, "a,b\n1,x\n", "1.csv")
    second = write(tmp_path, "b,a\ny,2\n", "2.csv")
    third = write(tmp_path, "b,a\nz,3\n", "3.csv")
    reader = open_csv([first, second, third], None, None, None, {})
    frames = [chunk.read() for chunk in chunks_of(reader, [first, second, third], 1)]
    assert pd.concat(frames).to_dict("list") == {"a": [1, 2, 3], "b": ["x", "y", "z"]}
    assert reader.layouts[0] == ("b", "a")


def test_a_missing_value_in_one_file_makes_floats_of_all(tmp_path):
    files = [write(tmp_path, "a\n1\n", "1.csv"), write(tmp_path, "a\nNA\n", "2.csv")]
    reader = open_csv(files, None, None, None, {})
    assert reader.schema.field("a").type == pa.float64()


@pytest.mark.parametrize(
    ("text", "said"), [("a\n1\n", "lacks 'b'"), ("a,b,c\n1,2,3\n", "has also 'c'")]
)
def test_files_with_other_columns_are_refused_unless_a_selection_fits_all(text, said, tmp_path):
    files = [write(tmp_path, "a,b\n1,2\n", "1.csv"), write(tmp_path, text, "2.csv")]
    with pytest.raises(PlanError, match=said):
        open_csv(files, None, None, None, {})
    reader = open_csv(files, ["a"], None, None, {})
    assert [chunk.read()["a"].tolist() for chunk in chunks_of(reader, files, 1)] == [[1], [1]]


# ------------------------------------------------------------------ the frozen schema

LATE = "a,b\n" + "1,x\n" * 60_000


@pytest.fixture
def _small_sample(monkeypatch):
    monkeypatch.setattr(sampling, "SCAN_NBYTES", 1000)
    monkeypatch.setattr(sampling, "SLICE_NBYTES", 4000)


@pytest.mark.usefixtures("_small_sample")
@pytest.mark.parametrize(
    ("value", "fits"),
    [("", "float64"), ("1.5", "float64"), ("x", "str"), ("True", "str"), ("0x1", "str")],
)
def test_a_later_value_that_does_not_fit_stops_its_chunk_and_says_how_to_go_on(
    value, fits, tmp_path
):
    rows = LATE.splitlines(keepends=True)
    rows[20_001] = f"{value},x\n"
    file = write(tmp_path, "".join(rows))
    chunks = chunks_of(reader_of(file), [file], 10_000)
    errors = []
    for chunk in chunks:
        try:
            chunk.read()
        except SchemaError as error:
            errors.append((chunk, error))
    [(chunk, error)] = errors
    assert error.column == "a"
    assert error.value == (value or None)
    assert chunk.start + 4 * error.row == 4 + 4 * 20_000
    assert f"(byte {4 + 4 * 20_000:,})" in str(error)
    advice = {"a": fits}
    assert f"schema={advice}" in str(error)
    reader = reader_of(file, schema=advice)
    assert sum(len(chunk.read()) for chunk in chunks_of(reader, [file], 10_000)) == 60_000


@pytest.mark.usefixtures("_small_sample")
def test_a_scan_finds_what_a_sample_misses(tmp_path):
    rows = LATE.splitlines(keepends=True)
    rows[20_001] = ",x\n"
    file = write(tmp_path, "".join(rows))
    assert reader_of(file).schema.field("a").type == pa.int64()
    assert reader_of(file, schema="scan").schema.field("a").type == pa.float64()
    assert judge(file, 100_000, {}, schema="scan") == "exact"


@pytest.mark.usefixtures("_small_sample")
@pytest.mark.parametrize("schema", [None, {"a": "bool"}], ids=["late", "given"])
def test_a_missing_value_among_booleans_is_refused_with_what_keeps_them_booleans(tmp_path, schema):
    rows = ["a,b\n", *["True,x\n"] * 60_000]
    rows[20_001] = ",x\n"
    file = write(tmp_path, "".join(rows))
    reader = reader_of(file, schema=schema)
    with pytest.raises(SchemaError, match="schema='scan'") as caught:
        reader.read([reader.extent(file)], "pandas")
    assert "object" not in str(caught.value)
    assert ("no type for 'a'" in str(caught.value)) == (schema is not None)
    assert judge(file, 100_000, {}, schema="scan") == "exact"


@pytest.mark.usefixtures("_small_sample")
@pytest.mark.parametrize("place", [30_000, 59_900])
def test_the_sample_sees_the_middle_and_the_tail(place, tmp_path):
    rows = LATE.splitlines(keepends=True)
    rows[place : place + 90] = [",x\n"] * 90
    file = write(tmp_path, "".join(rows))
    assert reader_of(file).schema.field("a").type == pa.float64()


@pytest.mark.usefixtures("_small_sample")
def test_the_sample_takes_no_quoted_text_for_records(tmp_path):
    inside = '"' + "x,y\n" * 500 + '"'
    file = write(tmp_path, "a,b\n" + f"1,{inside}\n2,y\n" * 30)
    assert reader_of(file).schema.field("a").type == pa.int64()
    assert judge(file, 5000, {}) == "exact"


@pytest.mark.usefixtures("_small_sample")
def test_a_late_wide_integer_never_changes_what_went_before(tmp_path):
    rows = ["a,b\n", *["1,x\n", ",y\n"] * 5_000]
    rows[2_000] = "99999999999999999999,x\n"
    file = write(tmp_path, "".join(rows))
    assert whole(file, {})["a"].dtype == object
    error = in_chunks(file, 5_000, {})
    assert isinstance(error, SchemaError)
    assert "beyond int64" in str(error)


@pytest.mark.usefixtures("_small_sample")
@pytest.mark.parametrize("zero", ["0", "-0"])
def test_a_late_minus_zero_is_no_unsigned_integer(zero, tmp_path):
    rows = ["a,b\n", *[f"{2**63},x\n"] * 2_000, *["7,x\n"] * 4_000, *[f"{2**63},x\n"] * 2_000]
    rows[4_000] = f"{zero},x\n"
    file = write(tmp_path, "".join(rows))
    dtype = whole(file, {})["a"].dtype
    got = in_chunks(file, 2_000, {})
    if dtype == "uint64":
        assert got["a"].dtype == dtype
    else:
        assert dtype == "str"
        assert "'-0' is not a valid uint64" in str(got)


@pytest.mark.parametrize("scan", [True, False])
def test_numbers_stay_numbers_where_a_later_slice_begins_with_a_wide_integer(
    scan, tmp_path, monkeypatch
):
    monkeypatch.setattr(sampling, "SCAN_NBYTES", 10**6 if scan else 0)
    monkeypatch.setattr(sampling, "SLICE_NBYTES", 200)
    monkeypatch.setattr(sampling, "SCAN_SLICE_NBYTES", 200)
    middle = ["2,x\n", "99999999999999999999,x\n"] * 60
    file = write(tmp_path, "".join(["a,b\n", *["1.5,x\n"] * 200, *middle, *["0.5,x\n"] * 200]))
    assert whole(file, {})["a"].dtype == np.float64
    assert judge(file, 300, {}) == "exact"


@pytest.mark.usefixtures("_small_sample")
def test_a_refusal_asks_pandas_of_few_of_the_values_before_it(tmp_path, monkeypatch):
    asked = []
    read = pd.read_csv
    monkeypatch.setattr(
        pd, "read_csv", lambda *args, **options: asked.append(1) or read(*args, **options)
    )
    good = [f"{n},{n}.5\n" for n in range(20_000)]
    file = write(tmp_path, "".join(["a,b\n", *good[:9_000], "1.0,x\n", *good[9_000:]]))
    for column, value in (("a", "1.0"), ("b", "x")):
        reader = reader_of(file, columns=[column])
        with pytest.raises(SchemaError, match=f"column '{column}': '{value}'"):
            reader.read([reader.extent(file)], "pandas")
    assert len(asked) < 100


@pytest.mark.usefixtures("_small_sample")
def test_a_bool_among_late_floats_is_named_rather_than_what_stands_before_it(tmp_path):
    rows = ["a,b\n", *["0.5,x\n"] * 20_000]
    rows[5_001:5_004] = [",x\n", "1,x\n", "True,x\n"]
    file = write(tmp_path, "".join(rows))
    reader = reader_of(file)
    start = len("a,b\n") + 5_000 * len("0.5,x\n")
    piece = replace(reader.extent(file), start=start, stop=start + len(",x\n1,x\nTrue,x\n"))
    with pytest.raises(SchemaError, match=r"column 'a': 'True' .*schema=\{'a': 'str'\}"):
        reader.read([piece], "pandas")


def test_a_small_file_is_looked_at_whole(tmp_path):
    file = write(tmp_path, LATE + "1.5,x\n")
    assert judge(file, 50_000, {}) == "exact"


@pytest.mark.parametrize(
    ("text", "schema"),
    [("1.0", "int64"), ("True", "int64"), ("True", "float64"), ("1", "bool"), ("300", "int8")],
)
def test_a_named_type_never_changes_a_value_in_silence(text, schema, tmp_path):
    file = write(tmp_path, f"a,b\n{text},x\n")
    reader = reader_of(file, schema={"a": schema})
    with pytest.raises(SchemaError, match=f"column 'a': '{text}'"):
        reader.read([reader.extent(file)], "pandas")


def test_the_rest_of_a_partial_schema_is_inferred(tmp_path):
    file = write(tmp_path, "a,b\n01,2\n")
    reader = reader_of(file, schema={"a": str})
    frame = reader.read([reader.extent(file)], "pandas").data
    assert frame.to_dict("list") == {"a": ["01"], "b": [2]}


def test_a_reader_pickles_and_keeps_its_identity(tmp_path):
    file = write(tmp_path, "a,b\n1,x\n2,y\n")
    reader = reader_of(file, {"dtype": {"a": "int32"}}, filters=[("a", ">", 1)])
    again = pickle.loads(pickle.dumps(reader))
    assert again.identity() == reader.identity()
    assert again.read([again.extent(file)], "pandas").data["b"].tolist() == ["y"]


def test_identity_tells_readers_apart(tmp_path):
    file = write(tmp_path, "a,b\n1,x\n2,y\n")
    readers = [
        reader_of(file),
        reader_of(file, columns=["a"]),
        reader_of(file, filters=[("a", ">", 1)]),
        reader_of(file, schema={"a": "float64"}),
        reader_of(file, columns=["b"], filters=[("a", ">", 1)]),
        reader_of(file, columns=["b"], filters=[("a", ">", 1)], schema={"a": "float32"}),
        reader_of(file, {"na_values": ["x"]}),
    ]
    assert len({reader.identity() for reader in readers}) == len(readers)


def test_a_frame_may_be_written_to(tmp_path):
    file = write(tmp_path, "a,b\n1,2.5\n3,4.5\n")
    for columns in (None, ["a"]):
        reader = reader_of(file, columns=columns)
        frame = reader.read([reader.extent(file)], "pandas").data
        frame.loc[0, "a"] = 9
        frame["a"].to_numpy()
        assert frame["a"].tolist() == [9, 3]


@pytest.mark.parametrize("na_values", [[1], ["1"], ["1.0"], {"a": [1]}], ids=str)
@pytest.mark.parametrize("text", ["a,b\n,x\n 1,y\n", "a,b\n2.5,x\n 1,y\n", "a,b\n2.5,x\n01,y\n"])
def test_a_number_that_na_values_means_as_a_number_alone_is_refused(tmp_path, na_values, text):
    # pandas takes it for missing or not by what stands in the rest of the column.
    file = write(tmp_path, text)
    verdicts = {judge(file, size, {"na_values": na_values}) for size in (1, 1 << 30)}
    assert verdicts == {"refused"}


@pytest.mark.parametrize("value", ["-999", "-999.0", "-9.99e2"])
def test_a_float_that_na_values_means_is_missing_as_in_pandas(tmp_path, value):
    file = write(tmp_path, f"a,b\n1.5,x\n-999,y\n{value},z\n2.5,w\n")
    verdicts = {judge(file, size, {"na_values": [-999]}) for size in (1, 1 << 30)}
    assert verdicts == {"exact"}
