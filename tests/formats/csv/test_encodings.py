import itertools
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from csv_oracle import as_source, chunks_of, judge, write
from hypothesis import given
from hypothesis import strategies as st
from properties import examples, mostly_thorough

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, ReadError, SchemaError
from taskinity_data.formats import sampling
from taskinity_data.formats.csv.encodings import (
    CHARACTERS,
    ENCODINGS,
    FIRST_SHARED,
    HIGH,
    SINGLE,
    UNITS,
)
from taskinity_data.formats.csv.open import open_csv
from taskinity_data.formats.csv.records import encoded as csv_text

SIZES = (1, 2, 3, 7, 30, 1 << 30)


def decoded(data, encoding):
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


# ------------------------------------------------------------------ what is claimed of encodings


@pytest.mark.parametrize("encoding", [*SINGLE, *HIGH, *CHARACTERS])
def test_every_byte_below_128_is_that_character(encoding):
    for byte in range(128):
        assert bytes([byte]).decode(encoding) == chr(byte)


@pytest.mark.parametrize("encoding", SINGLE)
def test_a_byte_above_127_is_one_character_that_marks_nothing(encoding):
    for byte in range(128, 256):
        text = bytes([byte]).decode(encoding, "replace")
        assert len(text) == 1
        assert not text.isascii()
        assert text != "\ufeff"
        assert (bytes([byte]) + b'",\n').decode(encoding, "replace") == text + '",\n'


@pytest.mark.parametrize("encoding", HIGH)
def test_longer_characters_of_these_have_no_byte_below_128(encoding):
    for first, second in itertools.product(range(128, 256), range(128)):
        assert decoded(bytes([first, second]), encoding) in {
            None,
            (decoded(bytes([first]), encoding) or "") + chr(second),
        }
    for second, third in itertools.product(range(128, 256), range(128)):
        assert decoded(bytes([0x8F, second, third]), encoding) is None


@pytest.mark.parametrize("encoding", CHARACTERS)
def test_the_pattern_of_longer_characters_takes_all_of_them_and_no_mark(encoding):
    pattern = re.compile(CHARACTERS[encoding])
    alone = {byte for byte in range(128, 256) if decoded(bytes([byte]), encoding)}
    for first, second in itertools.product(range(128, 256), range(256)):
        pair = bytes([first, second])
        text = decoded(pair, encoding)
        if text is None:
            continue
        assert not text[0].isascii()
        if first in alone:
            assert not pattern.match(pair)
        else:
            assert pattern.fullmatch(pair)
            assert second >= FIRST_SHARED
            assert not any(character.isascii() for character in text)


def test_characters_of_four_bytes_are_taken_whole():
    pattern = re.compile(CHARACTERS["gb18030"])
    for code in [*range(0x80, 0xD800, 7), *range(0xE000, 0x110000, 511)]:
        data = chr(code).encode("gb18030")
        assert pattern.fullmatch(data)
        assert min(data) >= FIRST_SHARED


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
    reader = open_csv(files, None, None, None, {"encoding": "utf-16"})
    frames = [chunk.read() for chunk in chunks_of(reader, files, 1)]
    assert pd.concat(frames).to_dict("list") == {"a": [1, 2, 3], "b": ["é", "ü", "ö"]}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_without_a_byte_order_mark_the_order_has_to_be_given(encoding, tmp_path):
    file = write(tmp_path, "a,b\n1,2\n".encode(f"{encoding}-be"))
    with pytest.raises(PlanError, match=f"{encoding}-be"):
        open_csv([file], None, None, None, {"encoding": encoding})
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


@pytest.mark.parametrize(
    ("bad", "encoding"),
    [
        (b"\x00\xd8\n\x00", "utf-16-le"),
        (b"3", "utf-16-le"),
        (b"\x81\n", "cp932"),
    ],
    ids=str,
)
def test_what_is_no_text_is_named_with_its_byte(bad, encoding, tmp_path, monkeypatch):
    monkeypatch.setattr("taskinity_data.formats.csv.head.HEAD_NBYTES", 24)
    good = ("a,b\n" + "1,2\n" * 60 + "é1,"[encoding == "cp932" :]).encode(encoding)
    file = write(tmp_path, good + bad)
    with pytest.raises(ReadError, match=f"byte {len(good)}") as caught:
        [chunk.read() for chunk in chunks_of(reader_of(file, encoding), [file], 1)]
    assert caught.value.path == file.path


def reader_of(file, encoding, **options):
    return open_csv([file], None, None, None, {"encoding": encoding, **options})


def test_a_head_that_is_no_text_is_refused_before_work_starts(tmp_path):
    for data, encoding in (
        ("a,\0\n1,2\n".encode("utf-16"), "utf-16"),
        ("a,b\n1,2\n".encode("utf-16") + b"\x00\xdc", "utf-16"),
        (b"a|b\n1|\x81\n", "cp932"),
    ):
        file = write(tmp_path, data)
        with pytest.raises(PlanError, match=re.escape(file.path)):
            reader_of(file, encoding, sep="|")


def test_wide_text_without_its_encoding_is_refused_with_the_encoding_to_give(tmp_path):
    file = write(tmp_path, "a,b\n1,2\n".encode("utf-16"))
    with pytest.raises(PlanError, match="encoding='utf-16'"):
        open_csv([file], None, None, None, {})


def test_a_head_that_fits_in_no_first_read_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("taskinity_data.formats.csv.head.HEAD_NBYTES", 5)
    for encoding in ("utf-16", "utf-32-be", "cp932"):
        file = write(tmp_path, "表示|b\n\U000020ac\n".replace("\u20ac", "1").encode(encoding))
        assert judge(file, 1, {"encoding": encoding, "sep": "|"}) == "exact"


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
def test_a_value_that_does_not_fit_is_named_with_its_byte(encoding, tmp_path):
    text = "a|b\n1|ポ\n2|ポ\nx|ポ\n"
    file = write(tmp_path, text.encode(encoding))
    reader = open_csv([file], None, None, {"a": "int64"}, {"encoding": encoding, "sep": "|"})
    with pytest.raises(SchemaError) as caught:
        reader.read([reader.extent(file)], "pandas")
    assert f"(byte {len(text[: text.index('x')].encode(encoding))})" in str(caught.value)


def test_a_promise_of_no_newlines_in_values_holds_for_all_encodings(tmp_path):
    text = "a|b\n" + "1|ポ\n" * 50
    for encoding in ("utf-16", "cp932"):
        file = write(tmp_path, text.encode(encoding))
        options = {"encoding": encoding, "sep": "|", "newlines_in_values": False}
        assert {judge(file, size, options) for size in (1, 30, 1 << 30)} == {"exact"}
        reader = reader_of(file, encoding, sep="|", newlines_in_values=False)
        parts = reader.split(reader.extent(file))
        assert [len(reader.read([part], "pandas").data) for part in parts] != [50, 0]


@pytest.mark.parametrize("encoding", ["utf-16", "cp932"])
def test_a_split_ends_at_single_records(encoding, tmp_path):
    file = write(tmp_path, 'a|b\n1|"ポ\n|"\n2|ポ\n3|ポ\n'.encode(encoding))
    reader = reader_of(file, encoding, sep="|")
    todo, values = [reader.extent(file)], []
    while todo:
        piece = todo.pop()
        parts = reader.split(piece)
        if parts is None:
            values += reader.read([piece], "pandas").data["a"].tolist()
        else:
            todo += reversed(parts)
    assert values == [1, 2, 3]


def test_the_look_back_for_a_character_goes_on_until_one_is_sure(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_text, "LOOK_BACK_NBYTES", 2)
    monkeypatch.setattr("taskinity_data.formats.csv.records.cuts.HEAD_WINDOW_NBYTES", 4)
    data = ("ポ" * 21 + "|ポ\n").encode("cp932")
    file = write(tmp_path, data)
    options = replace(reader_of(file, "cp932", sep="|", header=None).options)
    with csv_text.open_marks(file.path, options) as read:
        for offset in range(len(data)):
            view = bytearray(1)
            read(memoryview(view), offset)
            is_mark = data[offset : offset + 1] == b"|" and offset == 42
            assert (view == b"|") == is_mark


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
    encoding=st.sampled_from([*CHARACTERS, *HIGH, *UNITS]),
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


def test_every_encoding_is_one_of_pythons():
    assert all("é".encode(encoding, "ignore") is not None for encoding in ENCODINGS)
