"""What is said of a text in another encoding; only in the error."""

import pytest
from csv_oracle import write

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, ReadError
from taskinity_data.formats.csv.encodings import find_wide_encoding

JAPANESE = "名前,値\n山田太郎,1\n鈴木花子,2\n".encode("cp932")
WIDE = ["utf-16", "utf-32"]


def opened(directory, data, name="data.csv", **options):
    file = write(directory, data, name)
    return open_dataset(file.path, **options)


def named(error, option):
    """The value that a message gives for an option."""
    return eval(str(error).partition(f"{option}=")[2].partition(" ")[0].rstrip(",;:"))


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("text", ["a,b\n1,2\n", "nom,ville\nHélène,Nîmes\n"])
def test_wide_encodings_are_told_by_their_byte_order_marks(encoding, text, tmp_path):
    with pytest.raises(PlanError, match="this is UTF-") as caught:
        opened(tmp_path, text.encode(encoding))
    told = named(caught.value, "encoding")
    assert opened(tmp_path, text.encode(encoding), encoding=told).head().shape == (1, 2)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16"])
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
    with pytest.raises(PlanError, match="most of what stands around it is utf-8: repair"):
        opened(tmp_path, data)


def test_text_in_another_encoding_is_told_at_the_head_and_in_a_chunk(tmp_path):
    with pytest.raises(PlanError, match=r"byte 0 is not valid utf-8 text; .*'cp932' for Japanese"):
        opened(tmp_path, JAPANESE)
    dataset = opened(tmp_path, b"a,b\n" + b"1,2\n" * 20_000 + JAPANESE, "long.csv")
    with pytest.raises(ReadError, match=r"byte 80,004 .*give encoding="):
        dataset.plan(chunk_size=1 << 30)[0].read()
