"""A private scratch file for text that was made of a file, while this process lives.

A scratch file goes with the last dataset, plan or chunk that refers to it, at the latest when the
process ends.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from taskinity_data.sources.temporary import OwnDirectory, prefix_of

if TYPE_CHECKING:
    from taskinity_data.sources.codecs import Conversion

__all__ = ["Scratch", "Unpacked", "current_scratch", "has_gone", "is_scratch"]

PREFIX = prefix_of("unpacked")


@dataclass(frozen=True)
class Unpacked:
    """The text that was made of a file.

    Pickles: a copy in another process reads the scratch file without owning it.

    Attributes
    ----------
    conversion : Conversion
    inner : str
        The name that the text would have, by which its format is found.
    nbytes : int
        Bytes of text.
    path : str
        The scratch file.
    """

    conversion: Conversion
    inner: str
    nbytes: int
    path: str = field(compare=False)
    _scratch: Scratch | None = field(compare=False, repr=False)

    def __post_init__(self) -> None:
        if self._scratch is not None:
            _owned[self.path] = self
            weakref.finalize(self, _remove_file, self.path, os.getpid())

    def __reduce__(self) -> tuple[Any, ...]:
        # A dataset that a task opened on a worker comes here after its scratch file has gone. It is
        # decompressed here, so that workers to which its pieces are sent next need not do it.
        path = _replaced.get(self.path, self).path
        return _revive, (self.conversion, self.inner, self.nbytes, path)

    def replace(self, text: Unpacked) -> None:
        """Let copies of this one, whose scratch file has gone, refer to that of `text`."""
        _replaced[self.path] = text


_owned: weakref.WeakValueDictionary[str, Unpacked] = weakref.WeakValueDictionary()
_replaced: weakref.WeakValueDictionary[str, Unpacked] = weakref.WeakValueDictionary()
"""What was decompressed again, by the path of the scratch file that had gone."""


def _revive(conversion: Conversion, inner: str, nbytes: int, path: str) -> Unpacked:
    # In the process that owns the file a copy keeps it, too.
    return _owned.get(path) or Unpacked(conversion, inner, nbytes, path, None)


class Scratch:
    """The directory of this process's scratch files, which goes with the last of them."""

    def __init__(self) -> None:
        self._directory = OwnDirectory("unpacked")
        self.directory = self._directory.path

    def create(self) -> tuple[int, str]:
        """Create a file; return its descriptor, open for writing, and its path."""
        return tempfile.mkstemp(prefix="text-", dir=self.directory)


_current: weakref.WeakValueDictionary[int, Scratch] = weakref.WeakValueDictionary()
_starting = Lock()


def current_scratch() -> Scratch:
    """Return the scratch directory of this process."""
    with _starting:
        scratch = _current.get(os.getpid())
        if scratch is None or not Path(scratch.directory).is_dir():  # cleaners of /tmp remove it
            scratch = _current[os.getpid()] = Scratch()
        return scratch


def is_scratch(path: str) -> bool:
    """Return whether `path` is that of a scratch file."""
    return os.path.basename(os.path.dirname(path)).startswith(PREFIX)


def has_gone(path: str) -> bool:
    """Return whether `path` is that of a scratch file that has gone."""
    return is_scratch(path) and not Path(path).exists()


def _remove_file(path: str, pid: int) -> None:
    # A forked child has copies of these objects, but no right to the files.
    if os.getpid() == pid:
        with suppress(OSError):
            Path(path).unlink()
