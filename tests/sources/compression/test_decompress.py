"""Compressed CSV and JSON: the rows of the text, whatever the codec, its members, and the cuts."""

import bz2
import gc
import glob
import gzip
import io
import itertools
import multiprocessing
import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import textwrap
import zipfile
import zlib
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import strategies as st
from packers import (
    MADE_BY_TOOLS,
    PACKERS,
    SUFFIXES,
    XZ_OF_THREE_BLOCKS,
    ZSTD_WITH_CHECKSUM,
    bgzf,
    pack_zip,
    write_packed,
)
from reader_contract import Case, ReaderContract, assert_same, join

import taskinity_data as td
from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, ReadError, SourceChanged
from taskinity_data.execution.choose_scheduler import SchedulerChoice
from taskinity_data.sources import find as sources
from taskinity_data.sources import temporary as own_directory
from taskinity_data.sources.codecs import CODECS, Conversion, parse_compression
from taskinity_data.sources.compression import (
    decompress as decode,
)
from taskinity_data.sources.compression import (
    scratch_file as unpacked,
)
from taskinity_data.sources.compression import (
    unpack,
)
from taskinity_data.sources.compression.scratch_file import current_scratch, is_scratch
from taskinity_data.sources.read import local_path

KNOWN_TO_PANDAS = ("gzip", "bz2", "xz", "zip")
TEXT = b"a,b\n" + b"".join(b"%d,x%d\n" % (i, i) for i in range(1000))


@pytest.fixture(autouse=True)
def scratch(tmp_path_factory, monkeypatch):
    """Where this test's scratch files go; none is left."""
    directory = tmp_path_factory.mktemp("scratch")
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    unpack._unpack_again.cache_clear()
    if unpacked._current:
        gc.collect()
    assert not unpacked._current
    yield directory
    unpack._unpack_again.cache_clear()
    if os.listdir(directory):
        gc.collect()
    assert os.listdir(directory) == []


def leftovers():
    return glob.glob(f"{tempfile.gettempdir()}/{unpacked.PREFIX}*")


# ------------------------------------------------------------------ the reader contract

CELLS = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.text("abc \n,é", max_size=6).map(lambda text: '"' + text + '"'),
)
VALUES = st.fixed_dictionaries(
    {"n": st.integers(-(2**40), 2**40), "t": st.text("aé\n", max_size=5)}
)


def pack_members(text, codec, cuts):
    """`text` as several members, one after another; a zip archive has one."""
    if codec == "zip":
        return pack_zip(text)
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    parts = itertools.pairwise(places)
    return b"".join(PACKERS[codec](text[start:stop]) for start, stop in parts)


@st.composite
def csv_cases(draw):
    codec = draw(st.sampled_from(CODECS))
    columns = draw(st.lists(st.lists(CELLS, min_size=1, max_size=8), min_size=1, max_size=3))
    rows = zip(*columns, strict=False)
    head = ",".join(f"c{place}" for place in range(len(columns)))
    text = "\n".join([head, *map(",".join, rows), ""]).encode()
    packed = pack_members(text, codec, draw(st.lists(st.integers(0, 500), max_size=2)))

    def write(directory):
        path = Path(directory) / f"data.csv{SUFFIXES[codec]}"
        path.write_bytes(packed)
        return str(path)

    def read_whole(path):
        if codec in KNOWN_TO_PANDAS:
            return pd.read_csv(path, low_memory=False, compression=codec)
        return pd.read_csv(io.BytesIO(text), low_memory=False)

    return Case(write, read_whole)


@st.composite
def jsonl_cases(draw):
    codec = draw(st.sampled_from(CODECS))
    records = draw(st.lists(VALUES, min_size=1, max_size=8))
    text = pd.DataFrame(records).to_json(orient="records", lines=True, force_ascii=False).encode()
    packed = pack_members(text, codec, draw(st.lists(st.integers(0, 500), max_size=2)))

    def write(directory):
        path = Path(directory) / f"data.jsonl{SUFFIXES[codec]}"
        path.write_bytes(packed)
        return str(path)

    def read_whole(path):
        options = {"lines": True, "dtype": False}
        if codec in KNOWN_TO_PANDAS:
            return pd.read_json(path, compression=codec, **options).astype({"t": "str"})
        return pd.read_json(io.BytesIO(text), **options).astype({"t": "str"})

    return Case(write, read_whole)


class TestCompressedContract(ReaderContract):
    cases = csv_cases() | jsonl_cases()


# ------------------------------------------------------------------ what is read


def read_all(source, size=700, **options):
    dataset = open_dataset(source, **options)
    return join([chunk.read() for chunk in dataset.plan(chunk_size=size)])


@pytest.mark.parametrize("library", ["isal", "zlib"])
@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_found_and_read(tmp_path, monkeypatch, codec, library):
    if library == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)
        assert decode.inflater() is zlib
    path = write_packed(tmp_path, "a.csv", TEXT, codec)
    expected = pd.read_csv(io.BytesIO(TEXT))
    assert_same(read_all(path), expected)
    assert_same(read_all(path, compression=codec), expected)
    assert_same(read_all(path, compression={"method": codec}), expected)


@pytest.mark.parametrize("codec", CODECS)
def test_a_text_larger_than_all_buffers_is_read(tmp_path, codec):
    numbers = random.Random(1)
    text = b"a,b\n" + b"".join(b"%d,%d\n" % (i, numbers.randrange(10**8)) for i in range(80_000))
    path = write_packed(tmp_path, "a.csv", text, codec)
    assert_same(read_all(path, "1MB"), pd.read_csv(io.BytesIO(text)))


@pytest.mark.parametrize("codec", [one for one in CODECS if one != "zip"])
def test_members_follow_one_another_empty_ones_too(tmp_path, codec):
    pack = PACKERS[codec]
    path = tmp_path / f"a.csv{SUFFIXES[codec]}"
    path.write_bytes(pack(b"") + pack(TEXT[:777]) + pack(b"") + pack(TEXT[777:]) + pack(b""))
    assert_same(read_all(path), pd.read_csv(io.BytesIO(TEXT)))


def skippable(data):
    return b"\x52\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data


FRAMES = [
    pa.Codec("zstd").compress(TEXT[at : at + 900], asbytes=True) for at in range(0, 9000, 900)
]
OF_SEVERAL = {
    "bgzf.csv.gz": (bgzf(TEXT), TEXT),
    "a.csv.bgz": (bgzf(TEXT), TEXT),
    "frames.csv.zst": (b"".join(map(pa.Codec("zstd").compress, [TEXT[:5000], TEXT[5000:]])), TEXT),
    "pzstd.csv.zst": (b"".join(skippable(b"1234") + one for one in FRAMES), TEXT[:9000]),
    "tool.csv.zst": (ZSTD_WITH_CHECKSUM * 3, MADE_BY_TOOLS * 3),
    "blocks.csv.xz": (XZ_OF_THREE_BLOCKS, MADE_BY_TOOLS),
    "streams.csv.xz": (
        PACKERS["xz"](b"") + XZ_OF_THREE_BLOCKS + bytes(8) + PACKERS["xz"](b"1,2\n"),
        MADE_BY_TOOLS + b"1,2\n",
    ),
}


@pytest.mark.parametrize("name", OF_SEVERAL)
def test_blocks_frames_and_streams_follow_one_another(tmp_path, name):
    packed, text = OF_SEVERAL[name]
    path = tmp_path / name
    path.write_bytes(packed)
    dataset = open_dataset(path, header=None, dtype="str")
    assert Path(local_path(dataset.sources[0])).read_bytes() == text


@pytest.mark.parametrize("name", OF_SEVERAL)
def test_a_damaged_block_frame_or_stream_is_refused(tmp_path, name):
    packed, text = OF_SEVERAL[name]
    path = tmp_path / name
    for place in range(20, len(packed), max(1, len(packed) // 40)):
        damaged = bytearray(packed)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        try:
            dataset = open_dataset(path, header=None, dtype="str")
        except (ReadError, PlanError):
            continue
        # Some bytes mean nothing to the text: a time in a header, what is skipped. Arrow's frames
        # have no checksum: then all that can be told is how long the text is.
        found = Path(local_path(dataset.sources[0])).read_bytes()
        if name in ("frames.csv.zst", "pzstd.csv.zst"):
            assert len(found) == len(text)
        else:
            assert found == text


def store(data):
    """A member of gzip in which `data` stands as it is: no tool would write it so."""
    assert len(data) < 1 << 16
    length = len(data).to_bytes(2, "little") + (len(data) ^ 0xFFFF).to_bytes(2, "little")
    end = zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01" + length + data + end


def flushed(text):
    """gzip's own way of naming what it packs, in a header that is longer."""
    packed = io.BytesIO()
    with gzip.GzipFile("a name.csv", "wb", 1, packed, 99) as file:
        file.write(text)
    return packed.getvalue()


MEMBERS = [gzip.compress(TEXT[:3000]), flushed(TEXT[3000:6000]), gzip.compress(TEXT[6000:], 1)]


@pytest.mark.parametrize(
    "members",
    [
        MEMBERS,
        [gzip.compress(b""), *MEMBERS, gzip.compress(b"")],
        # What looks like the head of a member stands within one, or is the end of the file.
        [MEMBERS[0], store(b"7,\x1f\x8b\x08\0\0\0\0\0\0\x03 8\n")],
        [MEMBERS[0], store(b"7," + MEMBERS[1] + b"8\n")],
        [store(b"a,b\n1,\x1f\x8b\x08\0\0\0\0\0\0\x03")],
        [MEMBERS[0], bytes(9), MEMBERS[1], bytes(9)],
    ],
)
def test_members_of_gzip_are_read_whatever_they_hold(tmp_path, members):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(b"".join(members))
    (file,) = unpack.unpack_files(sources.find_files(str(path)), [Conversion("gzip")])
    assert Path(local_path(file)).read_bytes() == gzip.decompress(path.read_bytes())


def test_streams_of_bz2_may_have_blocks_of_any_size(tmp_path):
    numbers = random.Random(2)
    text = b"a,b\n" + b"".join(b"%d,%d\n" % (i, numbers.randrange(10**6)) for i in range(60_000))
    parts = [text[:7], b"", text[7:300_001], text[300_001:], b""]
    levels = [9, 1, 1, 2, 9]
    path = tmp_path / "a.csv.bz2"
    path.write_bytes(b"".join(map(bz2.compress, parts, levels)))
    assert_same(read_all(path, "200kB"), pd.read_csv(path))


def test_bgzf_without_its_last_block_was_cut_off(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(bgzf(TEXT, end=b""))
    with pytest.raises(ReadError, match="truncated") as caught:
        open_dataset(path)
    assert caught.value.start == path.stat().st_size
    path.write_bytes(bgzf(TEXT) + bgzf(b"5,6\n"))
    assert len(read_all(path)) == 1001


def test_files_of_several_codecs_and_none_are_one_dataset(tmp_path):
    (tmp_path / "a.csv").write_bytes(TEXT)
    paths = [str(tmp_path / "a.csv")]
    paths += [write_packed(tmp_path, f"{codec}.csv", TEXT, codec) for codec in CODECS]
    whole = read_all(paths)
    assert_same(whole, join([pd.read_csv(io.BytesIO(TEXT))] * len(paths)))
    assert_same(read_all(f"{tmp_path}/*.csv*"), whole)
    plan = open_dataset(paths).plan()
    assert plan.files == paths


def test_a_file_named_twice_is_unpacked_once(tmp_path, monkeypatch):
    path = write_packed(tmp_path, "a.csv", TEXT, "gzip")
    calls = count_calls(monkeypatch)
    dataset = open_dataset([path, path])
    assert len(read_all(dataset)) == 2000
    assert dataset.head(1).a[0] == 0
    assert len(dataset.plan(workers=2)) >= 1
    again = open_dataset(path)
    assert len(read_all(again)) == 1000
    assert calls == ["gzip"]


def count_calls(monkeypatch):
    calls = []
    real = unpack.decode

    def decode_(codec, read):
        calls.append(codec)
        return real(codec, read)

    monkeypatch.setattr(unpack, "decode", decode_)
    return calls


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("a.tsv.gz", b"a\tb\n1\t2\n", {}),
        ("a.csv.gz", "a;b\né;2\n".encode("utf-16"), {"sep": ";", "encoding": "utf-16"}),
        ("a.csv.bz2", "a,b\né,2\n".encode("latin-1"), {"encoding": "latin-1"}),
        ("a.GZ", b"a,b\n1,2\n", {"format": "csv"}),
        ("a.CSV.GZ", b"a,b\n1,2\n", {}),
        ("a.dat", b"a,b\n1,2\n", {"format": "csv"}),
        ("gzip_called.csv", b"a,b\n1,2\n", {}),
    ],
)
def test_names_and_options_mean_what_they_do_uncompressed(tmp_path, name, text, options):
    pack = PACKERS["bz2" if name.endswith("bz2") else "gzip"]
    (tmp_path / name).write_bytes(pack(text))
    reader = {key: value for key, value in options.items() if key != "format"}
    sep = {"sep": "\t"} if ".tsv" in name else {}
    assert_same(
        read_all(tmp_path / name, **options), pd.read_csv(io.BytesIO(text), **reader, **sep)
    )


def test_an_array_of_records_is_read_too(tmp_path):
    path = write_packed(tmp_path, "a.json", b'[{"a": 1}, {"a": 2}]', "zstd")
    assert list(read_all(path).a) == [1, 2]


def test_a_zip_without_a_name_of_its_own_takes_its_members(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(pack_zip(b'{"a": 1}\n', "inner/b.jsonl"))
    assert open_dataset(path).format == "jsonl"
    path.write_bytes(pack_zip(b"a\tb\n1\t2\n", "../../b.tsv"))
    assert list(read_all(path).columns) == ["a", "b"]
    path = tmp_path / "a.csv.zip"
    path.write_bytes(pack_zip(b"a\n1\n", "b"))
    assert open_dataset(path).format == "csv"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_may_pack_in_any_way_that_python_knows(tmp_path, method):
    path = tmp_path / "a.zip"
    path.write_bytes(pack_zip(TEXT, method=method))
    assert_same(read_all(path), pd.read_csv(path))


def test_directories_in_a_zip_do_not_count(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("inner")
        archive.writestr("inner/a.csv", TEXT)
    assert len(read_all(path)) == 1000


def test_hive_keys_come_with_compressed_files(tmp_path):
    for year in (2012, 2013):
        (tmp_path / f"year={year}").mkdir()
        write_packed(tmp_path / f"year={year}", "a.csv", b"a\n1\n", "gzip")
    assert list(read_all(tmp_path).year) == [2012, 2013]


# ------------------------------------------------------------------ members of archives


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.mkdir("in")
        for place, name in enumerate(["b.csv", "a.csv", "in/c.csv", "in/deep/d.csv", "e.jsonl"]):
            text = b'{"a": 4}\n' if name == "e.jsonl" else b"a\n%d\n" % place
            made.writestr(name, text)
        made.writestr("f[1].csv", b"a\n5\n")
        made.writestr("g.parquet", b"PAR1....PAR1")
    return path


@pytest.mark.parametrize(
    ("member", "rows"),
    [
        ("b.csv", [0]),
        ("/in/c.csv", [2]),
        ("[ab].csv", [1, 0]),
        ("[!a].csv", [0]),
        ("?.csv", [1, 0]),
        ("in/*.csv", [2]),
        ("in/**", [2, 3]),
        ("**/*.csv", [1, 0, 5, 2, 3]),
        ("e.jsonl", [4]),
        ("f[1].csv", [5]),
    ],
)
def test_members_are_named_or_matched(archive, member, rows):
    dataset = open_dataset(f"zip://{member}::{archive}")
    assert list(read_all(dataset).a) == rows
    assert dataset.files[0].startswith("zip://")
    assert dataset.files[0].endswith(f"::{archive}")


def test_a_member_changes_with_its_archive_and_travels(archive):
    plan = open_dataset(f"zip://b.csv::{archive}").plan()
    with fsspec.open(f"zip://b.csv::{archive}") as opened:
        assert_same(plan[0].read(), pd.read_csv(opened))
    packed = pickle.dumps(plan[0])
    key = plan[0].key
    assert open_dataset(f"zip://a.csv::{archive}").plan()[0].key != key
    del plan
    chunk = pickle.loads(packed)
    assert (chunk.key, list(chunk.read().a)) == (key, [0])
    os.utime(archive, ns=(1, 1))
    with pytest.raises(SourceChanged, match="plan again"):
        chunk.read()


def test_archives_lie_in_stores_too(archive):
    fsspec.filesystem("memory").pipe("/zips/a.zip", archive.read_bytes())
    dataset = open_dataset("zip://[ab].csv::memory://zips/*.zip")
    assert list(read_all(dataset).a) == [1, 0]
    assert dataset.files[0] == "zip://a.csv::memory://zips/a.zip"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("zip://B.csv::{}", "no member 'B.csv'. Did you mean"),
        ("zip://*.tsv::{}", "no member"),
        ("zip://g.parquet::{}", "Parquet within zip"),
        ("zip://a::zip://b.csv::{}", "nested archives"),
        ("zip://b.csv", "the archive is missing"),
        ("zip://a::{}.none", "no such file"),
    ],
)
def test_members_that_can_not_be_read_are_refused(archive, source, says):
    with pytest.raises(PlanError, match=says):
        open_dataset(source.format(archive))


def test_a_member_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("a.csv", b"a\n1\n")
        with pytest.warns(UserWarning, match="Duplicate"):
            made.writestr("a.csv", b"a\n2\n")
    with pytest.raises(PlanError, match="twice"):
        open_dataset(f"zip://a.csv::{path}")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ReadError, match="the archive is incomplete"):
        open_dataset(f"zip://a.csv::{path}")


# ------------------------------------------------------------------ identity and places


def test_identity_is_that_of_the_compressed_file(tmp_path):
    path = write_packed(tmp_path, "a.csv", TEXT, "gzip")
    dataset = open_dataset(path)
    (file,) = dataset.sources
    assert dataset.files == [path]
    assert file.fingerprint.nbytes == os.path.getsize(path)
    assert dataset.nbytes == len(TEXT) - 4
    chunk = dataset.plan(chunk_size=1000)[1]
    assert TEXT[chunk.start : chunk.stop].startswith(f"{chunk.read().a[0]},".encode())
    assert str(chunk).startswith(f"{path} [bytes ")
    assert dataset.pick(chunk.ranges).key == chunk.key
    for shown in (repr(dataset), repr(dataset.plan())):
        assert f"converted from {os.path.getsize(path) / 1000:.1f} kB of gzip" in shown
    plain = tmp_path / "plain.csv"
    plain.write_bytes(TEXT)
    assert "unpacked" not in repr(open_dataset(plain).plan())


def test_an_error_names_the_compressed_file_and_the_place_in_its_text(tmp_path):
    path = write_packed(tmp_path, "a.csv", TEXT + b"1,2,3\n", "gzip")
    with pytest.raises(ReadError) as caught:
        read_all(path, schema={"a": "int64", "b": "str"})
    assert caught.value.path == path
    assert path in str(caught.value)


def test_a_file_that_changes_while_it_is_unpacked_is_noticed(tmp_path, monkeypatch):
    path = Path(write_packed(tmp_path, "a.csv", TEXT, "gzip"))
    real = unpack.decode

    def decode_(codec, read):
        yield from real(codec, read)
        path.write_bytes(gzip.compress(TEXT * 2))

    monkeypatch.setattr(unpack, "decode", decode_)
    with pytest.raises(SourceChanged, match="plan again"):
        open_dataset(path)


# ------------------------------------------------------------------ the scratch file


def test_the_scratch_file_is_private_and_goes_with_the_last_that_needs_it(tmp_path):
    path = write_packed(tmp_path, "a.csv", TEXT, "gzip")
    dataset = open_dataset(path)
    (directory,) = leftovers()
    local = local_path(dataset.sources[0])
    assert os.path.dirname(local) == directory
    assert is_scratch(local)
    assert os.stat(directory).st_mode & 0o777 == 0o700
    assert os.stat(local).st_mode & 0o777 == 0o600
    plan = dataset.plan(chunk_size=1000)
    del dataset
    chunk = pickle.loads(pickle.dumps(plan[1]))
    del plan
    assert Path(local).exists()
    assert len(chunk.read()) > 0
    del chunk
    assert leftovers() == []


def test_nothing_is_left_where_unpacking_fails(tmp_path):
    good = write_packed(tmp_path, "a.csv", TEXT, "gzip")
    bad = tmp_path / "b.csv.gz"
    bad.write_bytes(gzip.compress(TEXT)[:-9])
    with pytest.raises(ReadError, match=r"b\.csv\.gz"):
        open_dataset([good, str(bad)]).plan()
    assert leftovers() == []


def test_a_copy_whose_scratch_file_is_gone_unpacks_once_more(tmp_path, monkeypatch):
    path = write_packed(tmp_path, "a.csv", TEXT, "xz")
    packed = pickle.dumps(open_dataset(path).plan(chunk_size=1000))
    calls = count_calls(monkeypatch)
    plan = pickle.loads(packed)
    assert_same(join([chunk.read() for chunk in plan]), pd.read_csv(path))
    assert len(pickle.loads(packed)[0].read())
    assert calls == ["xz"]
    sent = pickle.loads(pickle.dumps(plan))[0].pieces[0].file.unpacked
    assert Path(sent.path).exists()
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceChanged):
        plan[0].read()


def test_what_was_decompressed_again_is_made_again_where_it_was_removed(tmp_path):
    path = write_packed(tmp_path, "a.csv", TEXT, "gzip")
    packed = pickle.dumps(open_dataset(path).plan())
    for _ in range(2):
        assert_same(join([chunk.read() for chunk in pickle.loads(packed)]), pd.read_csv(path))
        for directory in leftovers():
            shutil.rmtree(directory)


def test_text_is_made_again_where_its_directory_was_removed(tmp_path):
    path = write_packed(tmp_path, "a.csv", TEXT, "gzip")
    dataset = open_dataset(path)
    (directory,) = leftovers()
    shutil.rmtree(directory)
    assert_same(join([chunk.read() for chunk in dataset.plan()]), pd.read_csv(path))
    other = open_dataset(write_packed(tmp_path, "b.csv", TEXT, "xz"))
    assert sum(len(chunk.read()) for chunk in other.plan()) == 1000


def test_the_next_run_removes_what_a_dead_one_left(tmp_path, scratch):
    script = f"""
        import os, tempfile
        tempfile.tempdir = {str(scratch)!r}
        from taskinity_data.chunks.open_dataset import open_dataset
        from taskinity_data.sources.read import local_path
        dataset = open_dataset({write_packed(tmp_path, "a.csv", TEXT, "gzip")!r})
        print(local_path(dataset.sources[0]), flush=True)
        os._exit(0)
    """
    left = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert Path(left).exists()
    alive = scratch / f"{unpacked.PREFIX}{own_directory._host()}-{os.getpid()}-alive"
    elsewhere = scratch / f"{unpacked.PREFIX}another-1-abc"
    for directory in (alive, elsewhere):
        directory.mkdir()
    held = current_scratch()
    assert not Path(left).exists()
    for directory in (alive, elsewhere):
        directory.rmdir()
    del held


def test_a_process_that_ends_leaves_nothing(tmp_path, scratch):
    script = f"""
        import tempfile
        tempfile.tempdir = {str(scratch)!r}
        from taskinity_data.chunks.open_dataset import open_dataset
        kept = open_dataset({write_packed(tmp_path, "a.csv", TEXT, "gzip")!r})
        raise SystemExit(3)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == 3
    assert leftovers() == []


# ------------------------------------------------------------------ stores and runs


@pytest.mark.thorough
def test_child_processes_of_a_run_leave_nothing(tmp_path, scratch, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(scratch))
    path = write_packed(tmp_path, "a.csv", TEXT, "gzip")
    flow = td.parse_flow("flow F: \n find -> count[*] -> add").bind(
        {
            "find": lambda data: td.open_dataset(data, chunk_size="100 rows"),
            "count": lambda chunk: (len(chunk), os.listdir(tempfile.gettempdir())),
            "add": list,
        }
    )
    run = td.run_flow(flow, data=path, scheduler="processes", workers=1, progress=False)
    assert sum(rows for rows, _ in run.value) == 1000
    assert all(directories for _, directories in run.value)
    del run
    unpack._unpack_again.cache_clear()
    gc.collect()
    assert leftovers() == []


def test_compressed_objects_of_a_store_are_read(scratch):
    system = fsspec.filesystem("memory")
    with suppress(FileNotFoundError):
        system.rm("/packed", recursive=True)
    for codec in CODECS:
        system.pipe(f"/packed/{codec}.csv{SUFFIXES[codec]}", PACKERS[codec](TEXT))
    system.pipe("/packed/z.csv", TEXT)
    dataset = open_dataset("memory://packed")
    assert dataset.files[0].startswith("memory://")
    expected = pd.read_csv(io.BytesIO(TEXT))
    plan = dataset.plan(chunk_size=3000)
    assert_same(join([chunk.read() for chunk in plan]), join([expected] * (len(CODECS) + 1)))
    system.pipe("/packed/gzip.csv.gz", PACKERS["gzip"](TEXT + b"1,2\n"))
    changed = next(chunk for chunk in plan if "gzip" in chunk.path)
    with pytest.raises(SourceChanged):
        changed.read()


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_a_run_gives_the_same_on_every_scheduler(tmp_path, scheduler):
    paths = [write_packed(tmp_path, f"{codec}.csv", TEXT, codec) for codec in ("gzip", "zstd")]
    run = td.process(
        paths,
        reduce=td.group_by("b", n=("a", "count"), total=("a", "sum")),
        scheduler=scheduler,
        workers=2,
        chunk_size=2000,
        progress=False,
        compression="infer",
    )
    frame = join([pd.read_csv(io.BytesIO(TEXT))] * 2)
    expected = frame.groupby("b").agg(n=("a", "count"), total=("a", "sum"))
    found = run.value if run.value.index.name == "b" else run.value.set_index("b")
    assert_same(found.sort_index(), expected.sort_index())
    assert set(run.outcomes.path.dropna()) == set(paths)
    del run


def open_there(path):
    return open_dataset(path)


def test_a_dataset_that_a_task_opened_on_a_worker_is_read_by_all(tmp_path):
    path = write_packed(tmp_path, "a.csv", TEXT, "gzip")
    flow = td.parse_flow("flow Sums:\n    open_there -> add_up[*] -> sum_up\n")
    tasks = {
        "open_there": open_there,
        "add_up": lambda chunk: int(chunk.a.sum()),
        "sum_up": lambda add_up: sum(add_up),
    }
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        run = td.run_flow(
            flow.bind(tasks), scheduler=pool, chunk_size=2000, progress=False, path=path
        )
    assert run.value == sum(range(1000))
    del run


def test_a_dask_frame_has_the_rows_too(tmp_path):
    path = write_packed(tmp_path, "a.csv", TEXT, "bz2")
    frame = open_dataset(path, chunk_size=2000).to_dask()
    assert frame.npartitions > 1
    assert frame.a.compute(scheduler="synchronous").tolist() == list(range(1000))
    del frame


def test_a_text_that_went_with_its_fan_out_is_asked_for_no_more(tmp_path):
    chooser = SchedulerChoice(
        "synchronous", None, None, stays_in_threads=True, announce=lambda strategy, reason: None
    )
    asked = []
    chooser.strategy.check = lambda paths: asked.append(list(paths))
    dataset = open_dataset(write_packed(tmp_path, "a.csv", TEXT, "gzip"))
    local = local_path(dataset.sources[0])
    chooser.check_files([local, "/elsewhere/b.csv"])
    del dataset
    chooser.check_files(["/elsewhere/c.csv"])
    assert asked == [[local, "/elsewhere/b.csv"], ["/elsewhere/b.csv", "/elsewhere/c.csv"]]
    chooser.close()


# ------------------------------------------------------------------ what the user says


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("gz", "'gzip'"),
        (3, "'infer'"),
        ("tar", "tar -xOf"),
        ({"method": "zip", "mtime": 1}, "unknown key 'mtime'"),
        ({"max_nbytes": "10 rows"}, "not a size"),
        ({"method": "xzip"}, "give 'infer'"),
    ],
)
def test_what_is_no_compression_is_refused(value, says):
    with pytest.raises(PlanError, match=says):
        parse_compression(value)


def test_compression_means_nothing_for_frames_and_datasets(tmp_path):
    with pytest.raises(PlanError, match="compression="):
        open_dataset(pd.DataFrame({"a": [1]}), compression="gzip")
    (tmp_path / "a.csv").write_bytes(TEXT)
    with pytest.raises(PlanError, match="compression="):
        open_dataset(open_dataset(tmp_path / "a.csv"), compression="gzip")


def test_none_reads_the_file_as_it_is(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(TEXT)
    assert_same(read_all(path, compression=None), pd.read_csv(path, compression=None))
    path.write_bytes(gzip.compress(TEXT))
    with pytest.raises(PlanError, match='compression="gzip"'):
        open_dataset(path, compression=None)
