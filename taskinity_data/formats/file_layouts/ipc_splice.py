"""Record batches out of the middle of an Arrow IPC file or stream, with their dictionaries.

It knows nothing of rows that are wanted or of what becomes of the batches.

Notes
-----
The schema, the dictionaries that the batches need and the batches' own messages are handed to
Arrow's stream reader one after another, as if nothing stood between them. A local file is mapped:
columns that are not wanted, and rows that are not looked at, are not read from the disk. Of a
store's, each message is read whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from taskinity_data.sources.read import read_range

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.formats.file_layouts.ipc_layout import IpcLayout

__all__ = ["read_batches"]


class _Spliced:
    """Parts of a file as one readable file of pyarrow."""

    closed = False

    def __init__(self, head: bytes, parts: Iterator[pa.Buffer]) -> None:
        self._parts = parts
        self._part = pa.py_buffer(head)

    def read_buffer(self, nbytes: int) -> pa.Buffer:
        """The next `nbytes`, fewer where a message ends; nothing at the end."""
        if self._part.size == 0:
            self._part = next(self._parts, self._part)
        taken = self._part.slice(0, nbytes)
        self._part = self._part.slice(taken.size)
        return taken

    def read(self, nbytes: int) -> bytes:
        """As `read_buffer`, copied."""
        return bytes(self.read_buffer(nbytes))

    def close(self) -> None:
        """Nothing: the map goes with the last batch that lies in it."""


def read_batches(layout: IpcLayout, batches: Sequence[int], names: Sequence[str]) -> Iterator[Any]:
    """Columns `names`, in the file's order, of each of `batches`, which ascend.

    Raises
    ------
    pyarrow.ArrowException, OSError
        A message is malformed.
    """
    places = sorted(layout.schema.get_field_index(name) for name in names)
    options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=places)
    spliced = _Spliced(layout.head, _read_segments(layout, batches))
    reader = pa.ipc.open_stream(pa.PythonFile(spliced, mode="r"), options=options)
    for _ in batches:
        yield reader.read_next_batch()


def _read_segments(layout: IpcLayout, batches: Sequence[int]) -> Iterator[pa.Buffer]:
    segments = layout.segments(batches)
    if layout.file.store is not None:
        for start, stop in segments:
            yield pa.py_buffer(read_range(layout.file, start, stop))
        return
    with pa.memory_map(layout.file.path) as mapped:
        data = mapped.read_buffer()
    for start, stop in segments:
        yield data.slice(start, stop - start)
