"""Convert compressed files, and others that are not read directly, to text in scratch files.

Each file goes through once, as one stream and within limits. Several are converted at a time, one
for each core; a megabyte or two of each is in memory.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import weakref
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError, ReadError
from taskinity_data.machine import count_cores
from taskinity_data.sources.codecs import (
    BadStream,
    BadText,
    Conversion,
    codec_of,
    inner_name,
    unpack_line,
)
from taskinity_data.sources.compression.decompress import decode
from taskinity_data.sources.compression.json_array import to_lines
from taskinity_data.sources.compression.scratch_file import Unpacked, current_scratch
from taskinity_data.sources.compression.transcode import transcode
from taskinity_data.sources.compression.zip import decode_member, open_archive, pick_member
from taskinity_data.sources.file import WINDOW_NBYTES, open_raw, open_raw_unbuffered, read_raw
from taskinity_data.wording import format_nbytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from taskinity_data.sources.file import SourceFile

__all__ = [
    "MAX_RATIO",
    "RATIO_FLOOR_NBYTES",
    "RESERVE_NBYTES",
    "unpack_again",
    "unpack_arrays",
    "unpack_files",
]

MAX_RATIO = 500
"""Text of a byte of file, at most, once there are `RATIO_FLOOR_NBYTES` of text. Repetitive logs
reach 100 to 200 with xz; a bomb of zeros has 1,000 (gzip) to 45,000 (bz2)."""

RATIO_FLOOR_NBYTES = 256 << 20

RESERVE_NBYTES = 256 << 20
"""Bytes that stay free on the disk of the scratch files."""

BLOCK_NBYTES = 1 << 20
"""Read at a time of a file that is not compressed."""

_LOOK_NBYTES = 32 << 20
"""Text between two looks at the disk's free space."""

_BGZF_HEAD_NBYTES = 18
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
"""The empty block that a bgzf file ends with, so that one that was cut off is recognised."""

_texts: weakref.WeakValueDictionary[Any, Unpacked] = weakref.WeakValueDictionary()
_unpacking_again = Lock()


def unpack_files(
    files: Sequence[SourceFile],
    conversions: Sequence[Conversion | None],
    max_nbytes: int | None = None,
) -> tuple[SourceFile, ...]:
    """Return `files`, those with a conversion with the text that is made of them.

    Parameters
    ----------
    files : sequence of SourceFile
    conversions : sequence of Conversion or None
        That of each; None: it is read as it is.
    max_nbytes : int or None
        Bytes of text of one file, at most; None: what the disk has room for, and `MAX_RATIO` times
        the file.

    Raises
    ------
    ReadError
        Compressed bytes are cut off or damaged (`.start`: at which byte of the file), or it is no
        text in its encoding (at which byte of the text).
    SourceChanged
        A file changed meanwhile.
    PlanError
        A limit is reached; an archive of several files, or encrypted; compressed twice.

    Notes
    -----
    A text that this process has already, of the same unchanged file, is not made again.
    """
    items = list(zip(files, conversions, strict=True))
    todo = {_key(*item): item for item in items}
    packed = [(file, conversion) for file, conversion in todo.values() if conversion is not None]
    if not packed:
        return tuple(files)
    stop = Event()
    with ThreadPoolExecutor(min(len(packed), count_cores()), "taskinity-unpack") as pool:
        try:
            running = [pool.submit(_unpack, *item, max_nbytes, stop) for item in packed]
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    errors = [future.exception() for future in running if not future.cancelled()]
    error = next((cause for cause in errors if not isinstance(cause, _Stopped | None)), None)
    if error is not None:
        try:
            raise error
        finally:
            # The error holds this frame, which must hold neither it nor the texts.
            del error, errors, running
    texts = {_key(*item): future.result() for item, future in zip(packed, running, strict=True)}
    return tuple(replace(item[0], unpacked=texts.get(_key(*item))) for item in items)


def unpack_arrays(files: Sequence[SourceFile]) -> tuple[SourceFile, ...]:
    """Return `files`, each a JSON array, as `unpack_files` does, with a line for each element."""
    plain = Conversion()
    conversions = [file.unpacked.conversion if file.unpacked else plain for file in files]
    as_lines = [conversion._replace(is_array=True) for conversion in conversions]
    return unpack_files(files, as_lines)


def unpack_again(file: SourceFile, lost: Unpacked) -> Unpacked:
    """Return the text of `file`, whose scratch file this process does not see.

    It is kept until this process ends, or until 256 others were decompressed again.

    Raises
    ------
    As `unpack_files`; ReadError where the text is another one.
    """
    packed = replace(file, unpacked=None)
    with _unpacking_again:
        text = _unpack_again(packed, lost.conversion)
        if not Path(text.path).exists():  # cleaners of /tmp remove it
            _unpack_again.cache_clear()
            text = _unpack_again(packed, lost.conversion)
    if text != lost:
        raise ReadError(
            f"{file}: has {text.nbytes:,} bytes of text now, but had {lost.nbytes:,} when it was "
            "planned; plan again",
            path=file.path,
            start=0,
        )
    lost.replace(text)
    return text


@lru_cache(256)
def _unpack_again(file: SourceFile, conversion: Conversion) -> Unpacked:
    file.check(0)
    # It was within the limits when it was planned.
    return _unpack(file, conversion, sys.maxsize, Event())


def _key(file: SourceFile, conversion: Conversion | None) -> tuple[Any, ...]:
    return file.path, file.name, file.fingerprint, conversion


def _unpack(
    file: SourceFile, conversion: Conversion, max_nbytes: int | None, stop: Event
) -> Unpacked:
    key = _key(file, conversion)
    earlier = _texts.get(key)
    if earlier is not None and Path(earlier.path).exists():
        return earlier
    scratch = current_scratch()
    target, path = scratch.create()
    writer = _TextWriter(target, file, max_nbytes, scratch.directory, stop)
    try:
        try:
            inner = _fill(writer, file, conversion)
        except (BadStream, OSError) as error:
            raise writer.explain(error, conversion) from error
        file.check(0)
        text = Unpacked(conversion, inner, writer.nbytes, path, scratch)
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise
    finally:
        os.close(target)
    _texts[key] = text
    return text


def _fill(writer: _TextWriter, file: SourceFile, conversion: Conversion) -> str:
    """Write the text of `file`; return the name that the text would have."""
    name, codec = inner_name(file.path), conversion.codec
    source: SourceFile | str = file
    if file.unpacked is not None:
        # Its text showed that it is an array.
        name, codec, source = file.unpacked.inner, None, file.unpacked.path
        conversion = Conversion(is_array=True)
    if codec != "zip":
        if codec == "gzip":
            _check_bgzf_end(file)
        with open_raw_unbuffered(source) as opened:
            if codec is None:
                writer.write(_convert(iter(partial(opened.read, BLOCK_NBYTES), b""), conversion))
            else:
                writer.write(_convert(decode(codec, opened.read), conversion))
        return name
    with open_raw(file, WINDOW_NBYTES) as opened:
        archive, members = open_archive(opened, file.path)
        member = pick_member(members, file.path, file.member)
        with archive:
            writer.expect(member.file_size)
            writer.write(_convert(decode_member(archive, member), conversion))
    if file.member:
        return file.member
    has_format = "." in Path(name).name and name != file.path
    return name if has_format else inner_name(member.filename)


def _convert(blocks: Iterable[bytes], conversion: Conversion) -> Iterator[bytes]:
    """Return decompressed `blocks` as the text that is read."""
    if conversion.encoding is not None:
        blocks = transcode(blocks, conversion.encoding, conversion.errors)
    return to_lines(blocks) if conversion.is_array else iter(blocks)


def _check_bgzf_end(file: SourceFile) -> None:
    head = read_raw(file, 0, min(_BGZF_HEAD_NBYTES, file.nbytes))
    if head[:4] != b"\x1f\x8b\x08\x04" or head[10:16] != b"\x06\0BC\x02\0":
        return
    if read_raw(file, max(0, file.nbytes - len(_BGZF_END)), file.nbytes) != _BGZF_END:
        raise BadStream("it is bgzf without the final empty block: is it truncated?", file.nbytes)


class _TextWriter:
    """Writes the text of a file into its scratch file, within the limits."""

    def __init__(
        self, target: int, file: SourceFile, max_nbytes: int | None, directory: str, stop: Event
    ) -> None:
        self._target, self._file, self._directory = target, file, directory
        self._max_nbytes, self._stop = max_nbytes, stop
        self._next_look = self._expected = 0
        self.nbytes = 0

    def expect(self, nbytes: int) -> None:
        """Raise now where `nbytes`, which the file declares, is too much."""
        self._expected = nbytes
        self._check_size(nbytes)
        if nbytes > shutil.disk_usage(self._directory).free - RESERVE_NBYTES:
            raise self._full()

    def write(self, blocks: Iterator[bytes]) -> None:
        """Write all `blocks`."""
        for block in blocks:
            if self._stop.is_set():
                raise _Stopped
            if self.nbytes == 0:
                self._check_first(block)
            self.nbytes += len(block)
            self._check_size(self.nbytes)
            if self.nbytes >= self._next_look:
                self._next_look = self.nbytes + _LOOK_NBYTES
                if shutil.disk_usage(self._directory).free < RESERVE_NBYTES + len(block):
                    raise self._full()
            left = memoryview(block)
            while left:
                left = left[os.write(self._target, left) :]

    def explain(self, error: BadStream | OSError, conversion: Conversion) -> PlanError | ReadError:
        """Return what to raise where the text can't be made, or can't be written."""
        if isinstance(error, BadText):
            which = "" if conversion.codec is None else " of its text"
            return ReadError(
                f"{self._file} (byte {error.offset:,}{which}): {error.why}",
                path=self._file.path,
                start=error.offset,
            )
        if isinstance(error, BadStream):
            return ReadError(
                f"{self._file}: the {conversion.codec} can't be unpacked: {error.why} (byte "
                f"{error.offset:,} of the file's {self._file.nbytes:,}); copy or write it again",
                path=self._file.path,
                start=error.offset,
            )
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return self._full()
        return ReadError(
            f"{self._file}: its text can't be written into {self._directory}: {error.strerror}",
            path=self._file.path,
            start=0,
        )

    def _full(self) -> PlanError:
        free = shutil.disk_usage(self._directory).free
        needed = f"{self._expected:,}" if self._expected else f"more than {self.nbytes:,}"
        return PlanError(
            f"{self._file}: its text needs {needed} bytes in {self._directory}, where "
            f"{free:,} are free and {RESERVE_NBYTES:,} must stay free; make room, or set TMPDIR to "
            "a directory on a larger disk"
        )

    def _check_size(self, nbytes: int) -> None:
        limit = self._max_nbytes
        if limit is not None and nbytes > limit:
            raise PlanError(
                f"{self._file}: unpacks to more than the {limit:,} bytes of max_nbytes; give more: "
                + _raise_to(2 * max(nbytes, limit))
            )
        if limit is None and nbytes > max(RATIO_FLOOR_NBYTES, MAX_RATIO * self._file.nbytes):
            raise PlanError(
                f"{self._file}: its {self._file.nbytes:,} bytes unpack to more than {MAX_RATIO} "
                "times as much, like a decompression bomb; if it is not one, raise the limit: "
                + _raise_to(max(4 * nbytes, 1 << 30))
            )

    def _check_first(self, block: bytes) -> None:
        codec = codec_of(block)
        if codec is None:
            return
        if codec == "tar":
            raise PlanError(
                f"{self._file}: holds a tar archive; unpack the member you need first: "
                f"{unpack_line('tar', self._file.path)}"
            )
        raise PlanError(f"{self._file}: is compressed twice (it contains {codec}); unpack it once")


def _raise_to(nbytes: int) -> str:
    size = format_nbytes(nbytes).replace(" ", "")
    return f'compression={{"method": "infer", "max_nbytes": "{size}"}}'


class _Stopped(Exception):  # noqa: N818 - never seen: another error is on its way
    """Another file failed, or the user gave up."""
