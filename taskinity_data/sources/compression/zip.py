"""The one member of a zip archive, as a stream."""

from __future__ import annotations

import lzma
import shlex
import zipfile
import zlib
from typing import TYPE_CHECKING, BinaryIO

from taskinity_data.errors import PlanError
from taskinity_data.sources.codecs import BadStream
from taskinity_data.sources.compression.decompress import OUT_NBYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["decode_member", "open_archive", "pick_member"]

_SHOWN = 10
_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)


def open_archive(file: BinaryIO, path: str) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    """Return the archive, and its members that are not directories.

    Raises
    ------
    BadStream
        There is no whole archive, or something before it.
    PlanError
        It holds no member.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (*_ERRORS, NotImplementedError) as error:
        file.seek(0, 2)
        raise BadStream(
            f"it is not a whole archive, its directory is missing or damaged ({error})", file.tell()
        ) from None
    members = [info for info in archive.infolist() if not info.is_dir()]
    if not members:
        raise PlanError(f"{path}: the archive holds no file")
    if min(info.header_offset for info in archive.infolist()):
        raise BadStream("what it begins with is not part of the archive", 0)
    return archive, members


def pick_member(members: Sequence[zipfile.ZipInfo], path: str) -> zipfile.ZipInfo:
    """Return the only member.

    Raises
    ------
    PlanError
        There are several, or it is encrypted.
    """
    if len(members) != 1:
        names = ", ".join(repr(info.filename) for info in members[:_SHOWN])
        more = f" and {len(members) - _SHOWN} more" if len(members) > _SHOWN else ""
        raise PlanError(
            f"{path}: the archive holds {len(members)} files ({names}{more}); unpack them first: "
            f"unzip {shlex.quote(path)} -d NEW"
        )
    (match,) = members
    if match.flag_bits & 1:
        raise PlanError(
            f"{path}: its member {match.filename!r} is encrypted, which is not read; unpack it "
            f"first: unzip -p {shlex.quote(path)} {shlex.quote(match.filename)} > NEW"
        )
    return match


def decode_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the member's text, in blocks; its length and checksum are checked."""
    done = 0
    try:
        with archive.open(member) as opened:
            while block := opened.read(OUT_NBYTES):
                done += len(block)
                yield block
    except NotImplementedError as error:
        raise BadStream(f"its member is packed in an unknown way ({error})", 0) from None
    except (*_ERRORS, RuntimeError) as error:
        offset = archive.fp.tell() if archive.fp is not None else 0
        raise BadStream(f"its member is damaged ({error})", offset) from None
    if done != member.file_size:
        raise BadStream(
            f"its member gives {done:,} bytes, but {member.file_size:,} are declared",
            member.header_offset,
        )
