"""What is said of a text that does not parse: encoding, separator, quote; only in the error."""

import pandas as pd
import pytest
from csv_oracle import write

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, ReadError
from taskinity_data.formats.csv.encodings import (
    LOOK_NBYTES,
    find_wide_encoding,
    hint_encoding,
)
from taskinity_data.formats.csv.hints import hint_dialect
from taskinity_data.formats.csv.options import parse_options

JAPANESE = "名前,値\n山田太郎,1\n鈴木花子,2\n".encode("cp932")
WIDE = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


def opened(directory, data, name="data.csv", **options):
    file = write(directory, data, name)
    return open_dataset(file.path, **options)


def named(error, option):
    """The value that a message gives for an option."""
    return eval(str(error).partition(f"{option}=")[2].partition(" ")[0].rstrip(",;:"))


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("text", ["a,b\n1,2\n", "nom,ville\nHélène,Nîmes\n"])
def test_wide_encodings_are_told_with_and_without_a_byte_order_mark(encoding, text, tmp_path):
    with pytest.raises(PlanError, match="this is UTF-") as caught:
        opened(tmp_path, text.encode(encoding))
    told = named(caught.value, "encoding")
    assert opened(tmp_path, text.encode(encoding), encoding=told).head().shape == (1, 2)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_wide_json_is_told_to_be_converted_and_not_to_be_read_so(name, encoding, tmp_path):
    text = '[{"a": 1}]' if name == "a.json" else '{"a": 1}\n'
    with pytest.raises(PlanError, match=f"iconv -f {encoding.upper()} -t UTF-8") as caught:
        opened(tmp_path, text.encode(encoding), name)
    assert "encoding=" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"a", b"a,b\n", b"\0\0\0\0\0\0\0\0", b"\x89PNG\r\n\0\0\0\x0d"]
)
def test_other_bytes_are_taken_for_no_wide_encoding(data):
    assert find_wide_encoding(data) is None


def test_a_stray_byte_in_utf8_is_not_taken_for_another_encoding(tmp_path):
    text = "a,b\n" + "é,ü\n" * 50
    data = text.encode() + b"\xff,1\n" + "é,ü\n".encode() * 50
    with pytest.raises(PlanError, match="most of the surrounding text is utf-8: repair"):
        opened(tmp_path, data)


def test_text_in_another_encoding_is_told_at_the_head_and_in_a_chunk(tmp_path):
    with pytest.raises(PlanError, match=r"byte 0 is not valid utf-8 text; .*'cp932' for Japanese"):
        opened(tmp_path, JAPANESE)
    dataset = opened(tmp_path, b"a,b\n" + b"1,2\n" * 20_000 + JAPANESE, "long.csv")
    with pytest.raises(ReadError, match=r"byte 80,004 .*give encoding="):
        dataset.plan(chunk_size=1 << 30)[0].read()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a;b;c\n1,5;2;3,5\n1;2,1;3,5\n", "it reads as 3 columns with sep=';'"),
        ("a\tb\n1,5\t2\n1\t2,5\n", r"it reads as 2 columns with sep='\t'"),
        ("a|b|c\nx, y|2|3\nz, w|4|5\n", "it reads as 3 columns with sep='|'"),
        ("a,b\n1,'x,y'\n2,'z,w'\n", 'it reads as 2 columns with quotechar="\'"'),
    ],
)
def test_separator_and_quote_are_told_where_the_head_does_not_parse(text, told, tmp_path):
    with pytest.raises(PlanError) as caught:
        opened(tmp_path, text)
    assert str(caught.value).endswith(told)


def test_a_row_that_does_not_parse_tells_them_too(tmp_path):
    text = "a;b;c\n" + "1;2;3\n" * 50 + "1;2;3,5\n" * 50
    dataset = opened(tmp_path, text)
    with pytest.raises(ReadError, match=r"row 50 .*reads as 3 columns with sep=';'"):
        dataset.plan(chunk_size=1 << 30)[0].read()


def test_of_a_good_text_with_one_bad_row_nothing_is_told_but_what_can_be_done(tmp_path):
    dataset = opened(tmp_path, "a,b\n" + "1,2\n" * 50 + "1,2,3\n" + "1,2\n" * 50)
    with pytest.raises(ReadError, match="on_bad_lines='quarantine'") as caught:
        dataset.plan(chunk_size=1 << 30)[0].read()
    assert "reads as" not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"\n", b"a", b"\xff\xfe\0", b'"', b"a;b", b"\0" * 50])
def test_whatever_stands_there_a_hint_is_a_text(text):
    assert isinstance(hint_dialect(text, parse_options({})), str)
    assert isinstance(hint_encoding(text, len(text) // 2, "utf-8"), str)


def test_no_more_is_looked_at_than_a_few_kilobytes(monkeypatch):
    seen = []
    read = pd.read_csv

    def count(source, **keywords):
        seen.append(len(source.getvalue()))
        return read(source, **keywords)

    monkeypatch.setattr(pd, "read_csv", count)
    assert "sep=';'" in hint_dialect(b"a;b;c\n" * 1_000_000, parse_options({}))
    assert 0 < max(seen) <= LOOK_NBYTES
