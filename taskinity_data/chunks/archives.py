"""Which members of zip archives a ``zip://MEMBER::ARCHIVE`` means, in order.

It knows nothing of what stands in them, nor of how they are unpacked.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from taskinity_data.chunks.bad_stream import BadStream
from taskinity_data.chunks.files import open_file
from taskinity_data.chunks.zip_member import open_archive
from taskinity_data.errors import PlanError, ReadError, SourceNotFound, suggest

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskinity_data.chunks.source_file import SourceFile

__all__ = ["ZIP", "find_members"]

ZIP = "zip://"
_MAGIC = re.compile(r"[*?[]")


def find_members(url: str, find: Callable[[str], list[SourceFile]]) -> list[SourceFile]:
    """The members that `url` means, each as a file whose text is yet to be unpacked.

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
        raise PlanError(f"{url}: names no archive; write {ZIP}MEMBER::PATH")
    return [file for archive in find(outer) for file in _pick(archive, pattern.lstrip("/"))]


def _pick(archive: SourceFile, pattern: str) -> list[SourceFile]:
    if archive.archive is not None:
        raise PlanError(f"{archive}: an archive within another is not read; unpack the outer one")
    try:
        with open_file(archive) as opened:
            names = [one.filename for one in open_archive(opened, archive.path)[1]]
    except BadStream as error:
        raise ReadError(
            f"{archive}: {error.why}; copy or write it again", path=archive.path, start=error.offset
        ) from None
    except OSError as error:
        raise PlanError(f"{archive}: can't be read: {error.strerror}") from error
    if pattern in names:
        chosen = [pattern]
    elif _MAGIC.search(pattern) or not pattern:
        wanted = _translate(pattern or "**")
        chosen = sorted(name for name in names if wanted.fullmatch(name))
    else:
        chosen = []
    if not chosen:
        raise SourceNotFound(
            f"{archive}: the archive holds no member {pattern!r}.{suggest(pattern, names)}"
        )
    twice = next((name for name in chosen if names.count(name) > 1), None)
    if twice is not None:
        raise PlanError(f"{archive}: the archive holds {twice!r} twice; write it again")
    return [
        replace(
            archive, path=f"{ZIP}{name}::{archive.path}", name=name, store=None, archive=archive
        )
        for name in chosen
    ]


def _translate(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression: ``**`` is any depth, ``*`` and ``?`` stay in a directory."""
    parts = re.split(r"(\*\*/?|\*|\?|\[[^\]]+\])", pattern)
    rules = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    texts = (
        rules.get(one) or (f"[{one[1:-1].replace('!', '^', 1)}]" if place % 2 else re.escape(one))
        for place, one in enumerate(parts)
    )
    return re.compile("".join(texts), re.DOTALL)
