"""Members of zip archives: which ones a URL means, and each as a stream."""

from __future__ import annotations

import lzma
import re
import shlex
import zipfile
import zlib
from dataclasses import replace
from glob import has_magic
from typing import TYPE_CHECKING, BinaryIO

from taskinity_data.errors import PlanError, ReadError, SourceNotFound
from taskinity_data.sources.codecs import BadStream
from taskinity_data.sources.compression.decompress import OUT_NBYTES
from taskinity_data.sources.file import open_raw
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from taskinity_data.sources.file import SourceFile

__all__ = ["decode_member", "find_members", "open_archive", "pick_member"]

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
            f"the archive is incomplete, its directory is missing or damaged ({error})", file.tell()
        ) from None
    members = [info for info in archive.infolist() if not info.is_dir()]
    if not members:
        raise PlanError(f"{path}: the archive holds no file")
    if min(info.header_offset for info in archive.infolist()):
        raise BadStream("it begins with data that is not part of the archive", 0)
    return archive, members


def pick_member(members: Sequence[zipfile.ZipInfo], path: str, name: str) -> zipfile.ZipInfo:
    """Return the member called `name`; the only one if that is empty.

    Raises
    ------
    PlanError
        There are several, or it is encrypted.
    """
    matches = [member for member in members if member.filename == name] if name else list(members)
    if len(matches) != 1:
        raise PlanError(f"{path}: {_tell(members, path)}")
    (match,) = matches
    if match.flag_bits & 1:
        raise PlanError(
            f"{path}: its member {match.filename!r} is encrypted; unpack it first: unzip -p "
            f"{shlex.quote(path)} {shlex.quote(match.filename)} > NEW"
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


def _tell(members: Sequence[zipfile.ZipInfo], path: str) -> str:
    names = ", ".join(repr(info.filename) for info in members[:_SHOWN])
    more = f" and {len(members) - _SHOWN} more" if len(members) > _SHOWN else ""
    return (
        f"the archive holds {len(members)} files ({names}{more}); say which are meant: "
        f'"zip://{members[0].filename}::{path}", or "zip://*::{path}" for all of its top'
    )


ZIP = "zip://"


def find_members(url: str, find: Callable[[str], list[SourceFile]]) -> list[SourceFile]:
    """Return the members that `url` names, each as a file whose text is yet to be decompressed.

    Parameters
    ----------
    url : str
        ``zip://MEMBER::ARCHIVE``: the name of a member, a glob of names, or nothing for all; and a
        path or URL of one archive or several.
    find : callable
        Gives the files that a path or URL means.

    Raises
    ------
    SourceNotFound
        No member has that name.
    PlanError, ReadError
        The URL names no archive; an archive can't be read.
    """
    pattern, chained, outer = url[len(ZIP) :].partition("::")
    if not chained or not outer:
        raise PlanError(f"{url}: the archive is missing; write {ZIP}MEMBER::PATH")
    return [file for archive in find(outer) for file in _pick(archive, pattern.lstrip("/"))]


def _pick(archive: SourceFile, pattern: str) -> list[SourceFile]:
    if archive.member:
        raise PlanError(f"{archive}: nested archives are not supported; unpack the outer one")
    try:
        with open_raw(archive) as opened:
            names = [info.filename for info in open_archive(opened, archive.path)[1]]
    except BadStream as error:
        raise ReadError(
            f"{archive}: {error.why}; copy or write it again", path=archive.path, start=error.offset
        ) from None
    except OSError as error:
        raise PlanError(f"{archive}: can't be read: {error.strerror}") from error
    if pattern in names:
        chosen = [pattern]
    elif has_magic(pattern) or not pattern:
        chosen = _match(names, pattern or "**")
    else:
        chosen = []
    if not chosen:
        raise SourceNotFound(
            f"{archive}: the archive holds no member {pattern!r}.{suggest(pattern, names)}"
        )
    twice = next((name for name in chosen if names.count(name) > 1), None)
    if twice is not None:
        raise PlanError(f"{archive}: the archive holds {twice!r} twice; write it again")
    return [replace(archive, path=f"{ZIP}{name}::{archive.path}", member=name) for name in chosen]


def _match(names: Sequence[str], pattern: str) -> list[str]:
    """Return those of `names` that the glob `pattern` matches, sorted."""
    from fsspec.utils import glob_translate

    try:
        glob = re.compile(glob_translate(pattern))
    except ValueError as error:
        raise PlanError(f"{ZIP}{pattern}: {error}") from error
    return sorted(name for name in names if glob.match(name))
