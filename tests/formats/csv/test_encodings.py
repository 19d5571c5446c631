import tempfile
from pathlib import Path

import pandas as pd
import pytest
from csv_oracle import as_source, as_text, chunks_of, judge, write
from hypothesis import given
from hypothesis import strategies as st
from properties import examples, mostly_thorough

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, ReadError, SchemaError
from taskinity_data.formats import sampling
from taskinity_data.formats.csv.encodings import needs_conversion, parse_encoding
from taskinity_data.formats.csv.open import open_csv
from taskinity_data.sources.compression import unpack

SIZES = (1, 2, 3, 7, 30, 1 << 30)


# ------------------------------------------------------------------ what is claimed of encodings

SINGLE = [
    "ascii",
    "cp437",
    "cp720",
    "cp737",
    "cp775",
    "cp850",
    "cp852",
    "cp855",
    "cp857",
    "cp858",
    "cp860",
    "cp861",
    "cp862",
    "cp863",
    "cp865",
    "cp866",
    "cp869",
    "cp874",
    "cp1125",
    "cp1250",
    "cp1251",
    "cp1252",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "cp1257",
    "cp1258",
    "iso8859-1",
    "iso8859-2",
    "iso8859-3",
    "iso8859-4",
    "iso8859-5",
    "iso8859-6",
    "iso8859-7",
    "iso8859-8",
    "iso8859-9",
    "iso8859-10",
    "iso8859-11",
    "iso8859-13",
    "iso8859-14",
    "iso8859-15",
    "iso8859-16",
    "koi8-r",
    "koi8-t",
    "koi8-u",
    "kz1048",
    "mac-cyrillic",
    "mac-greek",
    "mac-iceland",
    "mac-latin2",
    "mac-roman",
    "mac-turkish",
    "tis-620",
]
UNITS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
SEVERAL = [
    "cp932",
    "shift_jis",
    "gbk",
    "gb18030",
    "cp949",
    "johab",
    "big5",
    "big5hkscs",
    "cp950",
    "euc_jp",
    "euc_kr",
    "gb2312",
    "iso2022_jp",
    "iso2022_jp_2",
    "iso2022_kr",
    "hz",
    "utf-7",
]
OTHERS = ("cp037", "cp500", "cp864", "unicode_escape", "raw_unicode_escape", "idna", "undefined")


@pytest.mark.parametrize("encoding", SINGLE)
def test_of_encodings_that_are_read_as_they_are_each_byte_is_a_character(encoding):
    assert not needs_conversion(parse_encoding(encoding))
    for byte in range(128):
        assert bytes([byte]).decode(encoding) == chr(byte)
    for byte in range(128, 256):
        text = bytes([byte]).decode(encoding, "replace")
        assert len(text) == 1
        assert not text.isascii()
        assert text != "\ufeff"
        assert (bytes([byte]) + b'",\n').decode(encoding, "replace") == text + '",\n'


@pytest.mark.parametrize("encoding", [*UNITS, *SEVERAL, *OTHERS])
def test_all_others_are_converted(encoding):
    assert needs_conversion(parse_encoding(encoding))


@pytest.mark.parametrize("encoding", ["hex", "rot13", "utf-19", "", "a\0b"])
def test_what_is_no_encoding_of_texts_is_refused(encoding):
    with pytest.raises(PlanError, match="unknown encoding"):
        parse_encoding(encoding)


# ------------------------------------------------------------------ files

JAPANESE = "表示,ソート\n1,能力\n2,予定|x\n3,\n"
MARKS = {
    # The second byte of the first characters is the mark itself.
    "a bar in cp932": ("ポ|b\n1|ポ\n2|ポポ\n", "cp932", {"sep": "|"}),
    "a backslash in cp932": (
        'a,表\n表\\,ソ,1\n"表\\"\n能",2\nソ\\\nソ,3\n',
        "cp932",
        {"escapechar": "\\"},
    ),
    "a backslash in shift_jis": ("a,b\n表,1\n\\,ソ,2\n", "shift_jis", {"escapechar": "\\"}),
    "a caret in gbk": ("a^b\n1^" + b"\x81\x5e".decode("gbk") + "\n2^x\n", "gbk", {"sep": "^"}),
    "a digit in gb18030": ("a9b\nx9é\nﾍ9z\n", "gb18030", {"sep": "9"}),
    "a brace quotes in big5": (
        "a,b\n{1,\n{,功\n2,{功,\n{\n",
        "big5",
        {"quotechar": "{"},
    ),
    "a tilde in big5": ("a~b\n1~" + b"\xa4\x7e".decode("big5") + "\n2~x\n", "big5", {"sep": "~"}),
    "a letter in cp949": (
        "a,b\n" + b"\x81\x41".decode("cp949") + ",1\n2,3 A x\n",
        "cp949",
        {"comment": "A"},
    ),
    "no bar in cp932": (JAPANESE, "cp932", {}),
    "quoted lines in gbk": ('名,b\n"丂\n",1\n"a""\n丂",2\n', "gbk", {}),
    "euc_jp": (JAPANESE, "euc_jp", {}),
    "euc_kr": ("가,b\n나,1\n", "euc-kr", {}),
    "koi8": ("а,b\nя,1\n", "koi8-r", {}),
    "a mark in gb18030, first": ('\ufeff"a\n",b\n1,2\n', "gb18030", {"header": None}),
    "a mark in gb18030": ("\ufeffa|b\n1|2\n", "gb18030", {"sep": "|"}),
}


@pytest.mark.parametrize("name", MARKS)
def test_bytes_of_characters_that_look_like_marks_mark_nothing(name, tmp_path):
    text, encoding, options = MARKS[name]
    file = write(tmp_path, text.encode(encoding))
    options = {**options, "encoding": encoding}
    assert {judge(file, size, options) for size in SIZES} == {"exact"}


WIDE = {
    "plain": ("a,b\n1,é\n3,\U0001f600\n", {}),
    # U+0A0D, U+220A and U+2C0A: line ends, quotes and separators among their bytes.
    "units that hold marks": ("a,b\n\u0a0d,\u220a\n\u2c0a,\u0d0a\n", {}),
    "quoted newlines": ('a,b\n"x\ny",1\n"\r\n",2\n', {}),
    "CRLF": ("a,b\r\n1,2\r\n\r\n3,4", {}),
    "lone CR": ("a,b\r1,2\r3,4\r", {}),
    "two marks": ("\ufeffa,b\n1,2\n", {}),
    "a mark at the start of a row": ("a,b\n1,2\n\ufeff3,4\n", {}),
    "skipped": ("x\ny\na;b\n1;2\n", {"skiprows": 2, "sep": ";"}),
    "no header": ("1,x\n3,y\n", {"header": None}),
    "two marks without a header": ("\ufeff1,x\n3,y\n", {"header": None}),
    "header alone": ("a,b\n", {}),
    "header without its newline": ("a,b", {}),
    "escapes and comments": ("a,b\n\\,1,2 # x\n# y\n3,4\n", {"escapechar": "\\", "comment": "#"}),
    "long": ("a,b\n" + "é,\u2c0a\n" * 40_000, {}),
}


@pytest.mark.parametrize("encoding", mostly_thorough(UNITS, 2))
@pytest.mark.parametrize("name", WIDE)
def test_files_of_wide_units_are_the_whole_file(name, encoding, tmp_path):
    text, options = WIDE[name]
    file = write(tmp_path, text.encode(encoding))
    sizes = SIZES if len(text) < 1000 else (200_001, 1 << 30)
    assert {judge(file, size, {**options, "encoding": encoding}) for size in sizes} == {"exact"}


@pytest.mark.parametrize("mark", [b"\xfe\xff", b"\xff\xfe"])
def test_each_file_has_a_byte_order_of_its_own(mark, tmp_path):
    order = "utf-16-be" if mark == b"\xfe\xff" else "utf-16-le"
    files = [
        write(tmp_path, "a,b\n1,é\n".encode("utf-16"), "1.csv"),
        write(tmp_path, mark + "a,b\n2,ü\n3,ö\n".encode(order), "2.csv"),
    ]
    files, options = as_text(files, {"encoding": "utf-16"})
    reader = open_csv(files, None, None, None, options)
    frames = [chunk.read() for chunk in chunks_of(reader, files, 1)]
    assert pd.concat(frames).to_dict("list") == {"a": [1, 2, 3], "b": ["é", "ü", "ö"]}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_without_a_byte_order_mark_the_order_has_to_be_given(encoding, tmp_path):
    file = write(tmp_path, "a,b\n1,2\n".encode(f"{encoding}-be"))
    says = {"utf-16": "its byte order, such as 'utf-16-le'", "utf-32": "not valid utf-32 text"}
    with pytest.raises(ReadError, match=says[encoding]):
        reader_of(file, encoding)
    assert judge(file, 1, {"encoding": encoding}) == "both refuse"
    assert judge(file, 1, {"encoding": f"{encoding}-be"}) == "exact"


@pytest.mark.parametrize("errors", ["ignore", "replace", "backslashreplace"])
@pytest.mark.parametrize("bad", [b"\x00\xd8", b"\x00\xdc"], ids=["high", "low"])
def test_half_a_pair_is_replaced_wherever_it_stands(errors, bad, tmp_path):
    texts = ["a,b\n", "1,", "x\n", "2,y", "\n"]
    for place in range(1, len(texts)):
        parts = [text.encode("utf-16-le") for text in texts]
        file = write(tmp_path, b"".join([*parts[:place], bad, *parts[place:]]))
        options = {"encoding": "utf-16-le", "encoding_errors": errors}
        assert {judge(file, size, options) for size in SIZES} == {"exact"}


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8-sig"])
@pytest.mark.parametrize("row", [b"\x81", b'\x81"b\n"'], ids=["alone", "before a quote"])
def test_ignored_bytes_leave_neither_rows_nor_fields(encoding, row, tmp_path):
    options = {"encoding": encoding, "encoding_errors": "ignore"}
    file = write(tmp_path, b"a\nx\n" + row + b"\ny\n")
    assert {judge(file, size, options) for size in SIZES} == {"exact"}


@pytest.mark.parametrize(
    ("bad", "encoding"),
    [
        (b"\x00\xd8\n\x00", "utf-16-le"),
        (b"3", "utf-16-le"),
        (b"\x81\n", "cp932"),
        (b"\xff", "utf-7"),
    ],
    ids=str,
)
@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_what_is_no_text_is_named_with_its_byte(bad, encoding, block, tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "BLOCK_NBYTES", block)
    good = ("a,b\n" + "1,2\n" * 60).encode(encoding)
    file = write(tmp_path, good + bad)
    with pytest.raises(ReadError, match=rf"\(byte {len(good)}\): this is not valid") as caught:
        reader_of(file, encoding)
    assert caught.value.path == file.path
    assert caught.value.start == len(good)
    assert judge(file, 1, {"encoding": encoding}) == "both refuse"


def reader_of(file, encoding, schema=None, **options):
    files, options = as_text([file], {"encoding": encoding, **options})
    return open_csv(files, None, None, schema, options)


def test_a_file_that_is_no_text_is_left_out_as_others_that_can_not_be_read(tmp_path):
    write(tmp_path, "a,b\n1,é\n".encode("utf-16"), "1.csv")
    write(tmp_path, b"a,b\n1,2\n", "2.csv")
    dataset = open_dataset(tmp_path, encoding="utf-16")
    with pytest.raises(ReadError, match=r"2\.csv \(byte 0\)"):
        dataset.plan()


def test_wide_text_without_its_encoding_is_refused_with_the_encoding_to_give(tmp_path):
    file = write(tmp_path, "a,b\n1,2\n".encode("utf-16"))
    with pytest.raises(PlanError, match="encoding='utf-16'"):
        open_csv([file], None, None, None, {})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-be", "cp932"])
def test_the_sample_sees_head_middle_and_tail(encoding, tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "SCAN_NBYTES", 1000)
    monkeypatch.setattr(sampling, "SLICE_NBYTES", 4000)
    for place in (10, 5_000, 9_950):
        rows = ["1|ポ\n"] * 10_000
        rows[place : place + 40] = ["|ポ\n"] * 40
        file = write(tmp_path, ("a|b\n" + "".join(rows)).encode(encoding))
        reader = reader_of(file, encoding, sep="|")
        assert reader.schema.field("a").type == "double"


@pytest.mark.parametrize("encoding", ["utf-16", "cp932"])
def test_a_value_that_does_not_fit_is_named_with_its_byte_of_the_text(encoding, tmp_path):
    text = "a|b\n1|ポ\n2|ポ\nx|ポ\n"
    file = write(tmp_path, text.encode(encoding))
    dataset = open_dataset(file.path, encoding=encoding, sep="|", schema={"a": "int64"})
    with pytest.raises(SchemaError) as caught:
        dataset.plan(chunk_size=1 << 30)[0].read()
    assert f"(byte {len(text[: text.index('x')].encode())})" in str(caught.value)
    assert f"converted from {file.nbytes} B of {encoding}" in repr(dataset)


def test_a_promise_of_no_newlines_in_values_holds_for_all_encodings(tmp_path):
    text = "a|b\n" + "1|ポ\n" * 50
    for encoding in ("utf-16", "cp932"):
        file = write(tmp_path, text.encode(encoding))
        options = {"encoding": encoding, "sep": "|", "newlines_in_values": False}
        assert {judge(file, size, options) for size in (1, 30, 1 << 30)} == {"exact"}
        reader = reader_of(file, encoding, sep="|", newlines_in_values=False)
        (converted,), _ = as_text([file], options)
        parts = reader.split(reader.extent(converted))
        assert [len(reader.read([part], "pandas").data) for part in parts] != [50, 0]


@pytest.mark.parametrize("encoding", ["utf-16", "cp932"])
def test_a_split_ends_at_single_records(encoding, tmp_path):
    file = write(tmp_path, 'a|b\n1|"ポ\n|"\n2|ポ\n3|ポ\n'.encode(encoding))
    reader = reader_of(file, encoding, sep="|")
    (text,), _ = as_text([file], {"encoding": encoding})
    todo, values = [reader.extent(text)], []
    while todo:
        piece = todo.pop()
        parts = reader.split(piece)
        if parts is None:
            values += reader.read([piece], "pandas").data["a"].tolist()
        else:
            todo += reversed(parts)
    assert values == [1, 2, 3]


def test_a_dataset_of_wide_text_is_planned_and_read(tmp_path):
    path = tmp_path / "data.csv"
    frame = pd.DataFrame({"a": range(3000), "b": ["é\n\u2c0a"] * 3000})
    frame.to_csv(path, index=False, encoding="utf-16")
    plan = open_dataset(path, encoding="utf-16").plan(chunk_size=5000)
    assert len(plan) > 5
    assert plan.rows == 3000
    read = pd.concat([chunk.read() for chunk in plan], ignore_index=True)
    pd.testing.assert_frame_equal(read, pd.read_csv(path, encoding="utf-16"))


@examples(120)
@given(
    encoding=st.sampled_from([*UNITS, *SEVERAL]),
    rows=st.lists(
        st.lists(
            st.lists(
                st.one_of(
                    st.sampled_from(list('表ソポ功丂가é\u0a0d\u2c0a|\\{"\n\r,x1 ')),
                    st.characters(exclude_categories=["Cs", "Cc"]),
                ),
                max_size=5,
            ).map("".join),
            min_size=1,
            max_size=3,
        ),
        max_size=5,
    ),
    size=st.sampled_from([1, 5, 17, 1 << 30]),
    options=st.sampled_from(
        [{}, {"sep": "|"}, {"escapechar": "\\"}, {"quotechar": "{"}, {"sep": "|", "header": None}]
    ),
)
def test_chunks_are_the_whole_file_or_refused_in_every_encoding(encoding, rows, size, options):
    sep = options.get("sep", ",")
    text = sep.join("ab") + "\n" + "".join(sep.join(row) + "\n" for row in rows)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "data.csv"
        path.write_bytes(text.encode(encoding, "ignore"))
        verdict = judge(as_source(path), size, {**options, "encoding": encoding})
        assert verdict in {"exact", "refused", "both refuse"}
