"""The one member of a zip archive, as a stream; an archive of several is refused.

It knows nothing of limits. Nothing is ever written under a name that stands in an archive.
"""

from __future__ import annotations

import lzma
import shlex
import zipfile
import zlib
from typing import TYPE_CHECKING, BinaryIO

from taskinity_data.chunks.bad_stream import BadStream
from taskinity_data.chunks.decode import OUT_NBYTES
from taskinity_data.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["decode_member", "open_archive"]

_SHOWN = 10
_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)


def open_archive(file: BinaryIO, path: str) -> tuple[zipfile.ZipFile, zipfile.ZipInfo]:
    """The archive, and its only member that is no directory.

    Raises
    ------
    BadStream
        There is no whole archive.
    PlanError
        It holds no member or several, or its member is encrypted or packed in an unknown way.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (*_ERRORS, NotImplementedError) as error:
        file.seek(0, 2)
        raise BadStream(
            f"it is no whole archive, its directory is missing or damaged ({error})", file.tell()
        ) from None
    members = [one for one in archive.infolist() if not one.is_dir()]
    if len(members) != 1:
        raise PlanError(f"{path}: {_tell(members, path)}")
    member = members[0]
    if member.flag_bits & 1:
        raise PlanError(
            f"{path}: its member {member.filename!r} is encrypted, which is not read; unpack it "
            f"first: unzip -p {shlex.quote(path)} > NEW"
        )
    first = min(one.header_offset for one in archive.infolist())
    if first:
        raise BadStream("what it begins with is not part of the archive", 0)
    return archive, member


def decode_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """The member's text, in blocks; its length and checksum are checked."""
    done = 0
    try:
        with archive.open(member) as opened:
            while block := opened.read(OUT_NBYTES):
                done += len(block)
                yield block
    except NotImplementedError as error:
        raise BadStream(f"its member is packed in an unknown way ({error})", 0) from None
    except (*_ERRORS, RuntimeError) as error:
        place = archive.fp.tell() if archive.fp is not None else 0
        raise BadStream(f"its member is damaged ({error})", place) from None
    if done != member.file_size:
        raise BadStream(
            f"its member gives {done:,} bytes, but {member.file_size:,} are declared",
            member.header_offset,
        )


def _tell(members: list[zipfile.ZipInfo], path: str) -> str:
    if not members:
        return "the archive holds no file"
    names = ", ".join(repr(one.filename) for one in members[:_SHOWN])
    more = f" and {len(members) - _SHOWN} more" if len(members) > _SHOWN else ""
    picked = shlex.quote(members[0].filename)
    return (
        f"the archive holds {len(members)} files ({names}{more}), and one is read; unpack the one "
        f"that is meant: unzip -p {shlex.quote(path)} {picked} > NEW"
    )
