"""A temporary file of arrays, which nobody else sees and which can't be left behind.

It has no name (on POSIX; elsewhere it is deleted on closing), so that the system frees it when its
process ends, however that happens. It knows nothing of what the arrays mean.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from taskinity_data.errors import ReduceError

if TYPE_CHECKING:
    from io import FileIO

    from numpy.typing import NDArray

__all__ = ["SpillFile"]


class SpillFile:
    """Arrays one after another in a file of the directory for temporary files.

    Raises
    ------
    ReduceError
        The file can't be made, written or read: a full disk, above all.
    """

    def __init__(self) -> None:
        self._end = 0
        try:
            self._file: FileIO = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - see close
        except OSError as error:
            raise _tell(error, "made") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give its room back."""
        self._file.close()

    def write(self, array: NDArray[Any]) -> int:
        """Append a contiguous array; says where it begins, in bytes."""
        at = self._end
        rest = _as_bytes(array)
        try:
            self._file.seek(at)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise _tell(error, f"written at byte {at:,}") from error
        self._end += array.nbytes
        return at

    def read(self, dtype: np.dtype[Any], at: int, count: int) -> NDArray[Any]:
        """`count` items of the array that begins, or goes on, at byte `at`."""
        array = np.empty(count, dtype=dtype)
        rest = _as_bytes(array)
        try:
            self._file.seek(at)
            while rest:
                got = self._file.readinto(rest)
                if not got:
                    raise OSError(f"it ends {len(rest):,} bytes early")
                rest = rest[got:]
        except OSError as error:
            raise _tell(error, f"read at byte {at:,}") from error
        return array


def _as_bytes(array: NDArray[Any]) -> memoryview:
    view: Any = array.view(np.uint8)
    return memoryview(view)


def _tell(error: OSError, what: str) -> ReduceError:
    try:
        where = f"in {tempfile.gettempdir()}"
    except OSError:
        where = "anywhere"
    return ReduceError(
        f"group_by() has more groups than it holds in memory, and its temporary file {where} can't "
        f"be {what}: {error.strerror or error}. Make room there, or set TMPDIR to a directory on a "
        "larger disk, and run again"
    )
