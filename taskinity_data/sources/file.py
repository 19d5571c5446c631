"""A file of a dataset, and a range of one: where they lie and how large they are.

Both hold no data.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from taskinity_data.errors import PlanError, ReadError
    from taskinity_data.sources.compression.scratch_file import Unpacked
    from taskinity_data.sources.fingerprint import Fingerprint
    from taskinity_data.sources.store import Store

__all__ = ["HIDDEN", "Extent", "Piece", "SourceFile", "hive_keys"]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a dataset.

    `path` is absolute, or a URL without its secrets; `hive` the (key, value) pairs of its
    directories, as texts. Where it lies in a `store`, `name` is what that calls it, secrets and
    all. Of a compressed file the fingerprint is its own, and `unpacked` is where its text lies:
    `nbytes` and all places count bytes of that. Of a member of an `archive`, `name` is its name
    there, and the fingerprint that of the archive. `failure` is why it can't be opened.
    """

    path: str
    fingerprint: Fingerprint
    hive: tuple[tuple[str, str], ...] = ()
    store: Store | None = None
    name: str = field(default="", repr=False)
    unpacked: Unpacked | None = None
    archive: SourceFile | None = None
    failure: PlanError | ReadError | None = field(default=None, compare=False)

    @property
    def nbytes(self) -> int:
        """Bytes of it; of a compressed file those of its text."""
        return self.fingerprint.nbytes if self.unpacked is None else self.unpacked.nbytes

    def check(self, start: int) -> None:
        """Raise `SourceChanged` where it is no longer the file that was planned."""
        if self.archive is not None:
            self.archive.check(start)
        elif self.store is None:
            self.fingerprint.check(self.path, start)
        else:
            self.store.check(self.name, self.path, self.fingerprint, start)

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of one file: whole records, never part of one.

    `start` and `stop` count bytes for text (of compressed files: of what they unpack to), rows for
    Parquet and tables. `nbytes` is the size by which chunks are planned: bytes of text,
    uncompressed bytes of the selected columns for Parquet, Arrow bytes in memory. `rows` is None
    where only reading can tell. `failure` is why it can't be read, where that is known.
    """

    file: SourceFile
    start: int
    stop: int
    nbytes: int
    rows: int | None = None
    failure: PlanError | ReadError | None = field(default=None, compare=False)

    @property
    def path(self) -> str:
        """The file's path."""
        return self.file.path

    def joined(self, other: Piece) -> Piece | None:
        """Return both as one piece if `other` follows directly in the same file, else None."""
        is_sound = self.failure is None and other.failure is None
        if not is_sound or other.file != self.file or other.start != self.stop:
            return None
        rows = None if self.rows is None or other.rows is None else self.rows + other.rows
        return replace(self, stop=other.stop, nbytes=self.nbytes + other.nbytes, rows=rows)


class Extent(NamedTuple):
    """How much a dataset holds: planned bytes, and rows (None where only reading can tell)."""

    nbytes: int
    rows: int | None


HIDDEN = ("_", ".")
"""What names of files and directories begin with that a directory is read without."""

_HIVE = re.compile(r"([^=]+)=(.*)", re.DOTALL)


def hive_keys(path: str, base: str) -> tuple[tuple[str, str], ...]:
    """Return the ``key=value`` directories between `base` and the file `path`."""
    directory = os.path.dirname(path)
    if "=" not in directory:
        return ()
    directories = PurePath(os.path.relpath(directory, base)).parts
    keys = [_HIVE.fullmatch(name) for name in directories]
    return tuple((unquote(key.group(1)), unquote(key.group(2))) for key in keys if key)
