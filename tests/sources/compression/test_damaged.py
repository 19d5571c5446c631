"""Compressed files that are cut off, damaged, mislabelled or bombs: an error, never fewer rows."""

import bz2
import errno
import gc
import gzip
import lzma
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from packers import (
    BGZF_END,
    LZ4_WITH_CHECKSUM,
    MADE_BY_TOOLS,
    PACKERS,
    SUFFIXES,
    XZ_OF_THREE_BLOCKS,
    ZSTD_WITH_CHECKSUM,
    bgzf,
    pack_zip,
    write_packed,
)

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, ReadError
from taskinity_data.sources.codecs import CODECS
from taskinity_data.sources.compression import (
    decompress as decode,
)
from taskinity_data.sources.compression import (
    scratch_file as unpacked,
)
from taskinity_data.sources.compression import (
    unpack,
)
from taskinity_data.sources.read import local_path

TEXT = b"a,b\n" + b"".join(b"%d,x%d\n" % (i, i) for i in range(40))
SMALL = {
    "gzip": gzip.compress(TEXT, mtime=0),
    "two_members.gzip": gzip.compress(TEXT[:99], mtime=0) + gzip.compress(TEXT[99:], mtime=0),
    "bgzf.gzip": bgzf(TEXT, 100),
    "bz2": bz2.compress(TEXT),
    "xz": lzma.compress(TEXT, preset=0),
    "blocks.xz": XZ_OF_THREE_BLOCKS,
    "zstd": ZSTD_WITH_CHECKSUM,
    "lz4": LZ4_WITH_CHECKSUM,
    "zip": pack_zip(TEXT),
}
WHOLE_AT = {"two_members.gzip": {len(gzip.compress(TEXT[:99], mtime=0))}}
"""Where a file that is cut off is a whole one, and nothing in it tells that there was more."""


@pytest.fixture(autouse=True)
def scratch(tmp_path_factory, monkeypatch):
    directory = tmp_path_factory.mktemp("scratch")
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


@pytest.fixture
def fresh(scratch):
    """`scratch`, and nothing of earlier tests is kept by an error that is not collected yet."""
    gc.collect()
    assert not unpacked._current
    return scratch


def refusal(path, error=(PlanError, ReadError), **options):
    with pytest.raises(error) as caught:
        open_dataset(path, **options)
    assert str(path) in str(caught.value)
    return caught.value


def text_of(path):
    dataset = open_dataset(path, header=None, dtype="str")
    return Path(local_path(dataset.sources[0])).read_bytes()


# ------------------------------------------------------------------ cut off and damaged


@pytest.mark.parametrize("name", SMALL)
def test_a_file_that_is_cut_off_anywhere_is_refused_with_the_byte(tmp_path, name):
    packed, codec = SMALL[name], name.rpartition(".")[2]
    path = tmp_path / f"a.csv{SUFFIXES[codec]}"
    for stop in range(1, len(packed)):
        if stop in WHOLE_AT.get(name, ()):
            continue
        path.write_bytes(packed[:stop])
        error = refusal(path)
        if isinstance(error, ReadError):
            assert error.path == str(path)
            assert 0 <= error.start <= stop
            assert f"byte {error.start:,} of the file's {stop:,}" in str(error)
            assert codec == "zip" or error.start == stop or "bgzf" in str(error)
        else:
            assert " means " in str(error), "only where not even the beginning is there"
            assert stop < 16
    path.write_bytes(b"")
    assert "empty" in str(refusal(path))


@pytest.mark.parametrize("name", SMALL)
def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path, name):
    packed, codec = SMALL[name], name.rpartition(".")[2]
    path = tmp_path / f"a.csv{SUFFIXES[codec]}"
    path.write_bytes(packed)
    text = text_of(path)
    numbers = random.Random(1)
    for place in range(len(packed)):
        flipped = bytearray(packed)
        flipped[place] ^= 1 << numbers.randrange(8)
        path.write_bytes(flipped)
        try:
            found = text_of(path)
        except (PlanError, ReadError):
            continue
        assert found == text


@pytest.mark.parametrize("codec", [one for one in CODECS if one != "zip"])
@pytest.mark.parametrize("more", [b"x", b"some text\n" * 3, b"\0\0\0"])
def test_what_follows_the_last_member_is_refused(tmp_path, codec, more):
    path = tmp_path / f"a.csv{SUFFIXES[codec]}"
    path.write_bytes(SMALL[codec] + more)
    if codec == "gzip" and not more.strip(b"\0"):  # zeros that fill up a block of a tape
        assert text_of(path) == TEXT
        return
    error = refusal(path, ReadError)
    assert len(SMALL[codec]) <= error.start <= path.stat().st_size


def test_zeros_behind_xz_come_by_fours(tmp_path):
    path = tmp_path / "a.csv.xz"
    path.write_bytes(SMALL["xz"] + bytes(8) + SMALL["xz"] + bytes(4))
    assert text_of(path) == TEXT * 2
    path.write_bytes(SMALL["xz"] + bytes(6) + SMALL["xz"])
    assert "padding" in str(refusal(path, ReadError))


@pytest.mark.parametrize("codec", [one for one in CODECS if one != "zip"])
def test_a_stream_that_comes_byte_by_byte_is_the_same(codec):
    packed = SMALL[codec] * 2
    place = 0

    def read(_):
        nonlocal place
        place += 1
        return packed[place - 1 : place]

    text = MADE_BY_TOOLS if codec in ("zstd", "lz4") else TEXT
    assert b"".join(decode.decode(codec, read)) == text * 2


def test_blocks_are_bounded_whatever_they_unpack_to():
    packed = {"gzip": gzip.compress(bytes(5 << 20)), "bz2": bz2.compress(bytes(5 << 20))}
    packed |= {one: PACKERS[one](bytes(5 << 20)) for one in ("xz", "zstd", "lz4")}
    for codec, data in packed.items():
        parts = [data]
        sizes = [len(one) for one in decode.decode(codec, lambda _, p=parts: p.pop() if p else b"")]
        assert sum(sizes) == 5 << 20
        assert max(sizes) <= decode.OUT_NBYTES


def test_xz_that_asks_for_much_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "XZ_MEMORY_NBYTES", 1 << 20)
    path = tmp_path / "a.csv.xz"
    path.write_bytes(lzma.compress(TEXT, preset=6))
    assert "emory" in str(refusal(path, ReadError))


# ------------------------------------------------------------------ names that lie


@pytest.mark.parametrize("codec", CODECS)
def test_plain_text_under_a_codecs_suffix_is_refused(tmp_path, codec):
    path = tmp_path / f"a.csv{SUFFIXES[codec]}"
    path.write_bytes(TEXT)
    message = str(refusal(path, PlanError))
    assert f"means {codec}" in message
    assert "compression=None" in message


def test_one_codec_under_the_suffix_of_another_is_refused_or_asked_for(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(SMALL["bz2"])
    assert "compression='bz2'" in str(refusal(path, PlanError))
    assert open_dataset(path, compression="bz2").head(1).b[0] == "x0"
    assert "holds bz2" in str(refusal(path, PlanError, compression="zstd"))
    (tmp_path / "b.csv").write_bytes(TEXT)
    assert "not its header" in str(refusal(tmp_path / "b.csv", compression="gzip"))


def test_formats_that_are_binary_are_not_read_within_a_codec(tmp_path):
    path = write_packed(tmp_path, "a.parquet", b"PAR1....PAR1", "gzip")
    assert "Parquet within gzip" in str(refusal(path, PlanError))
    assert "Arrow IPC within gzip" in str(refusal(path, PlanError, format="arrow"))
    path = write_packed(tmp_path, "a.dat", b"PAR1" + bytes(50) + b"PAR1", "gzip")
    assert "Parquet within gzip" in str(refusal(path, PlanError))
    path = write_packed(tmp_path, "a.csv", bytes(range(256)), "gzip")
    assert "binary" in str(refusal(path, PlanError))
    path = write_packed(tmp_path, "a.dat", TEXT, "gzip")
    assert 'format="csv"' in str(refusal(path, PlanError))
    path = tmp_path / "a.xlsx"
    path.write_bytes(pack_zip(TEXT))
    assert "read_excel" in str(refusal(path, PlanError))


@pytest.mark.parametrize("inner", CODECS)
@pytest.mark.parametrize("outer", ["gzip", "zip", "zstd"])
def test_what_is_compressed_twice_is_refused(tmp_path, inner, outer):
    path = tmp_path / f"a.csv{SUFFIXES[inner]}{SUFFIXES[outer]}"
    path.write_bytes(PACKERS[outer](SMALL[inner]))
    message = str(refusal(path, PlanError))
    assert "compressed twice" in message
    assert inner in message


def test_tar_archives_are_refused_with_the_line_that_unpacks(tmp_path):
    (tmp_path / "a.csv").write_bytes(TEXT)
    for name, mode in (("a.tar.gz", "w:gz"), ("a.csv.gz", "w:gz"), ("a.csv", "w")):
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        with tarfile.open(path, mode) as archive:
            archive.add(tmp_path / "a.csv", "a.csv")
        assert "tar -xOf" in str(refusal(path, PlanError, format="csv"))


@pytest.mark.parametrize("codec", CODECS)
def test_a_text_of_no_bytes_is_as_an_empty_file(tmp_path, codec):
    path = write_packed(tmp_path, "a.csv", b"", codec)
    assert "unpacks to is empty" in str(refusal(path, PlanError))


# ------------------------------------------------------------------ zip archives


def test_an_archive_of_several_files_is_refused_with_their_names(tmp_path):
    path = tmp_path / "it's.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for place in range(12):
            archive.writestr(f"a {place}.csv", TEXT)
    message = str(refusal(path, PlanError))
    assert "holds 12 files ('a 0.csv', " in message
    assert "and 2 more" in message
    assert f"zip://a 0.csv::{path}" in message
    with zipfile.ZipFile(path, "w"):
        pass
    assert "holds no file" in str(refusal(path, PlanError))


def test_an_encrypted_member_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    packed = bytearray(pack_zip(TEXT))
    packed[6] |= 1
    packed[packed.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(packed)
    assert "encrypted" in str(refusal(path, PlanError))


def test_a_members_name_leads_nowhere(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(pack_zip(TEXT, "../../../etc/evil.csv"))
    assert text_of(path) == TEXT
    assert sorted(os.listdir(tmp_path)) == ["a.zip"]


def test_two_archives_one_behind_the_other_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(pack_zip(TEXT) + pack_zip(b"a,b\n"))
    assert "not part of the archive" in str(refusal(path, ReadError))


def test_a_member_shorter_or_longer_than_declared_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    for wrong in (len(TEXT) - 5, len(TEXT) + 5, 0):
        packed = bytearray(pack_zip(TEXT))
        at = packed.index(b"PK\1\2")
        packed[at + 24 : at + 28] = wrong.to_bytes(4, "little")
        path.write_bytes(packed)
        assert "a.zip" in str(refusal(path))


def test_a_member_packed_in_an_unknown_way_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    packed = bytearray(pack_zip(TEXT))
    at = packed.index(b"PK\1\2")
    packed[8] = packed[at + 10] = 93
    path.write_bytes(packed)
    assert "unknown way" in str(refusal(path, ReadError))


# ------------------------------------------------------------------ bombs and full disks


@pytest.fixture
def small_limits(monkeypatch):
    monkeypatch.setattr(unpack, "RATIO_FLOOR_NBYTES", 1 << 20)
    monkeypatch.setattr(unpack, "_LOOK_NBYTES", 1 << 20)


@pytest.mark.parametrize("codec", ["gzip", "bz2", "xz", "zstd", "zip"])
def test_a_bomb_stops_at_the_ratio(tmp_path, small_limits, codec, fresh):
    path = write_packed(tmp_path, "a.csv", b"a\n" + bytes(20 << 20), codec)
    message = str(refusal(path, PlanError))
    assert "500 times" in message
    assert '"max_nbytes": "' in message
    assert not list(fresh.glob("*/text-*"))


def test_a_bomb_of_text_that_is_converted_stops_too(tmp_path, small_limits):
    path = write_packed(tmp_path, "a.csv", ("a\n" + "0" * (10 << 20)).encode("utf-16"), "bz2")
    assert "500 times" in str(refusal(path, PlanError, encoding="utf-16"))
    path = write_packed(tmp_path, "a.json", b"[" + b"0," * (10 << 20) + b"0]", "bz2")
    assert "500 times" in str(refusal(path, PlanError))


def test_a_size_that_the_user_gives_takes_the_place_of_the_ratio(tmp_path, small_limits):
    text = b"a,b\n" + b"1,2\n" * 1_000_000
    path = write_packed(tmp_path, "a.csv", text, "bz2")
    message = str(refusal(path, PlanError))
    limit = message.partition('"max_nbytes": "')[2].partition('"')[0]
    options = {"method": "infer", "max_nbytes": limit}
    assert open_dataset(path, compression=options).nbytes == len(text) - 4
    message = str(refusal(path, PlanError, compression={"max_nbytes": "1MB"}))
    assert "the 1,000,000 bytes of max_nbytes" in message


def test_repetitive_text_below_the_floor_is_no_bomb(tmp_path):
    text = b"a,b\n" + b"1,2\n" * 1_000_000
    path = write_packed(tmp_path, "a.csv", text, "bz2")
    assert len(text) > unpack.MAX_RATIO * os.path.getsize(path)
    assert open_dataset(path).nbytes == len(text) - 4


def test_a_disk_that_runs_full_is_told_before_it_is(tmp_path, small_limits, monkeypatch, fresh):
    numbers = random.Random(1)
    text = b"a\n" + b"".join(b"%d\n" % numbers.randrange(10**9) for _ in range(600_000))
    path = write_packed(tmp_path, "a.csv", text, "gzip")
    free = unpack.RESERVE_NBYTES + (3 << 20)
    used = lambda _: sum(one.stat().st_size for one in fresh.glob("*/text-*"))
    monkeypatch.setattr(
        shutil, "disk_usage", lambda where: SimpleNamespace(free=free - used(where))
    )
    message = str(refusal(path, PlanError))
    assert "needs more than " in message
    assert str(fresh) in message
    assert "TMPDIR" in message
    assert not list(fresh.glob("*/text-*"))
    path = write_packed(tmp_path, "a.csv", text, "zip")
    assert f"needs {len(text):,} bytes" in str(refusal(path, PlanError))


def test_a_disk_that_is_full_all_the_same_is_told(tmp_path, monkeypatch, fresh):
    def write(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = write_packed(tmp_path, "a.csv", TEXT, "gzip")
    monkeypatch.setattr(os, "write", write)
    assert "make room" in str(refusal(path, PlanError))
    monkeypatch.setattr(
        os, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error"))
    )
    assert "I/O error" in str(refusal(path, ReadError))
    assert not list(fresh.glob("*/text-*"))


def test_memory_stays_bounded(tmp_path):
    """90 MB of text in a process that has not much more than its libraries."""
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"a,b\n")
        for _ in range(90):
            file.write(b"12345,6789\n" * 90_000)
    script = (
        "import resource, sys\n"
        "from taskinity_data.formats import detect\n"
        "from taskinity_data.sources import codecs\n"
        "from taskinity_data.sources import find as sources\n"
        "from taskinity_data.sources.compression import unpack\n"
        "files = sources.find_files(sys.argv[1])\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "files = unpack.unpack_files(files, [codecs.Conversion('gzip')])\n"
        "print(files[0].nbytes, (peak() - before) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True
    )
    nbytes, grown = map(int, done.stdout.split())
    assert nbytes == 4 + 90 * 990_000
    assert grown < 20


def test_the_end_of_bgzf_is_the_one_that_is_looked_for():
    assert bgzf(b"") == BGZF_END
    assert unpacked.is_scratch("/tmp/taskinity-unpacked-host-1-x/text-1")
    assert not unpacked.is_scratch("/tmp/text-1")
