"""A member of a zip archive, as a stream: the only one, or the one that is named.

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
    from collections.abc import Iterator, Sequence

__all__ = ["decode_member", "open_archive", "pick_member"]

_SHOWN = 10
_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)


def open_archive(file: BinaryIO, path: str) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    """The archive, and its members that are no directories.

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
            f"it is no whole archive, its directory is missing or damaged ({error})", file.tell()
        ) from None
    members = [one for one in archive.infolist() if not one.is_dir()]
    if not members:
        raise PlanError(f"{path}: the archive holds no file")
    if min(one.header_offset for one in archive.infolist()):
        raise BadStream("what it begins with is not part of the archive", 0)
    return archive, members


def pick_member(members: Sequence[zipfile.ZipInfo], path: str, name: str) -> zipfile.ZipInfo:
    """The member called `name`; the only one where that is empty.

    Raises
    ------
    PlanError
        There are several, or it is encrypted.
    """
    found = [one for one in members if one.filename == name] if name else list(members)
    if len(found) != 1:
        raise PlanError(f"{path}: {_tell(members, path)}")
    if found[0].flag_bits & 1:
        raise PlanError(
            f"{path}: its member {found[0].filename!r} is encrypted, which is not read; unpack it "
            f"first: unzip -p {shlex.quote(path)} {shlex.quote(found[0].filename)} > NEW"
        )
    return found[0]


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


def _tell(members: Sequence[zipfile.ZipInfo], path: str) -> str:
    names = ", ".join(repr(one.filename) for one in members[:_SHOWN])
    more = f" and {len(members) - _SHOWN} more" if len(members) > _SHOWN else ""
    return (
        f"the archive holds {len(members)} files ({names}{more}); say which are meant: "
        f'"zip://{members[0].filename}::{path}", or "zip://*::{path}" for all of its top'
    )
