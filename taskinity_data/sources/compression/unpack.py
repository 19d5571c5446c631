"""Compressed files unpacked, once each, as streams, into scratch files; with limits for bombs.

It knows nothing of what stands in the text. Files are unpacked a few at a time, parts of one too
where it can be cut; a megabyte or two of each is in memory.
"""

from __future__ import annotations

import errno
import os
import weakref
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import ReadError
from taskinity_data.machine import count_cores
from taskinity_data.sources.caches import Cache
from taskinity_data.sources.compression.bz2_blocks import decode_blocks, find_blocks
from taskinity_data.sources.compression.codecs import BadStream, inner_name
from taskinity_data.sources.compression.decompress import decode
from taskinity_data.sources.compression.scratch_file import Unpacked, current_scratch
from taskinity_data.sources.compression.scratch_writer import ScratchWriter, Stopped
from taskinity_data.sources.compression.unpack_parts import (
    BGZF_END,
    find_parts,
    guess_members,
    is_bgzf,
)
from taskinity_data.sources.compression.zip import decode_member, open_archive, pick_member
from taskinity_data.sources.read import WINDOW_NBYTES, open_file, open_unbuffered, read_range

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskinity_data.sources.compression.unpack_parts import PackedRange
    from taskinity_data.sources.file import SourceFile

__all__ = ["unpack_again", "unpack_files"]

BLOCKS_NBYTES = 1 << 20
"""Bytes of bz2 from which on its blocks are looked for: about a second of one core."""

_known: weakref.WeakValueDictionary[Any, Unpacked] = weakref.WeakValueDictionary()
_again: Cache[Unpacked] = Cache(256)
_unpacking_again = Lock()


def unpack_files(
    files: Sequence[SourceFile], codecs: Sequence[str | None], max_nbytes: int | None = None
) -> tuple[SourceFile, ...]:
    """`files`, those with a codec with the text that they unpack to.

    Parameters
    ----------
    files : sequence of SourceFile
    codecs : sequence of str or None
        The codec of each; None: it is read as it is.
    max_nbytes : int or None
        Bytes of text of one file, at most; None: what the disk has, and 500 times the file: see
        `scratch_writer`.

    Raises
    ------
    ReadError
        Compressed bytes are cut off or damaged (`.start`: at which byte of the file).
    SourceChanged
        A file changed meanwhile.
    PlanError
        A limit is reached; an archive of several files, or encrypted; compressed twice.

    Notes
    -----
    A text that this process has already, of the same unchanged file, is not made again.
    """
    todo = {_key(file, codec): (file, codec) for file, codec in zip(files, codecs, strict=True)}
    packed = [(file, codec) for file, codec in todo.values() if codec is not None]
    if not packed:
        return tuple(files)
    threads = min(len(packed), count_cores())
    parallel = max(1, count_cores() // threads)
    stop = Event()
    with ThreadPoolExecutor(threads, "taskinity-unpack") as pool:
        try:
            running = [pool.submit(_unpack, *one, max_nbytes, parallel, stop) for one in packed]
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    errors = [one.exception() for one in running if not one.cancelled()]
    error = next((one for one in errors if not isinstance(one, Stopped | None)), None)
    if error is not None:
        try:
            raise error
        finally:
            # The error holds this frame, which must hold neither it nor the texts.
            del error, errors, running
    made = {_key(*one): text.result() for one, text in zip(packed, running, strict=True)}
    return tuple(
        replace(file, unpacked=made.get(_key(file, codec)))
        for file, codec in zip(files, codecs, strict=True)
    )


def unpack_again(file: SourceFile, lost: Unpacked) -> Unpacked:
    """The text of `file`, whose scratch file this process does not see; kept until it ends.

    Raises
    ------
    As `unpack_files`; ReadError where the text is another one.
    """
    key = _key(file, lost.codec)
    with _unpacking_again:
        found = _again.get(key)
        if found is None:
            packed = replace(file, unpacked=None)
            packed.check(0)
            # It was within the limits when it was planned.
            found = _unpack(packed, lost.codec, lost.nbytes, count_cores(), Event())
            _again.put(key, found)
    if found != lost:
        raise ReadError(
            f"{file}: unpacks to {found.nbytes:,} bytes now, but to {lost.nbytes:,} when it was "
            "planned; plan again",
            path=file.path,
            start=0,
        )
    return found


def _key(file: SourceFile, codec: str | None) -> tuple[Any, ...]:
    return file.path, file.name, file.fingerprint, codec


def _unpack(
    file: SourceFile, codec: str, max_nbytes: int | None, threads: int, stop: Event
) -> Unpacked:
    key = _key(file, codec)
    known = _known.get(key)
    if known is not None and Path(known.path).exists():
        return known
    scratch = current_scratch()
    target, path = scratch.create()
    try:
        writer = ScratchWriter(target, file, max_nbytes, scratch.directory, stop)
        try:
            inner = _fill(writer, file, codec, threads)
        except BadStream as error:
            raise ReadError(
                f"{file}: the {codec} can't be unpacked: {error.why} (byte {error.offset:,} of the "
                f"file's {file.nbytes:,}); copy or write it again",
                path=file.path,
                start=error.offset,
            ) from None
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise ReadError(
                    f"{file}: can't be unpacked into {scratch.directory}: {error.strerror}",
                    path=file.path,
                    start=0,
                ) from error
            raise writer.full() from error
        file.check(0)
        found = Unpacked(codec, inner, writer.nbytes, path, scratch)
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise
    finally:
        os.close(target)
    _known[key] = found
    return found


def _fill(writer: ScratchWriter, file: SourceFile, codec: str, threads: int) -> str:
    """Write the text of `file`; what it would be called."""
    name = inner_name(file.path)
    if codec == "zip":
        with open_file(file.archive or file, WINDOW_NBYTES) as opened:
            archive, members = open_archive(opened, file.path)
            member = pick_member(members, file.path, file.name if file.archive else "")
            with archive:
                writer.expect(member.file_size)
                writer.write(decode_member(archive, member))
        if file.archive is not None:
            return member.filename
        has_format = "." in os.path.basename(name) and name != file.path
        return name if has_format else inner_name(member.filename)
    if codec == "gzip":
        _check_bgzf_end(file)
    is_cut = threads > 1 and file.store is None
    parts = _find_parts(find_parts, file, codec) if is_cut else []
    if len(parts) > 1:
        writer.expect(sum(part.nbytes for part in parts))
        _write_parts(writer, file, codec, parts, threads)
        return name
    guessed = _find_parts(guess_members, file) if is_cut and codec == "gzip" else []
    if len(guessed) > 1:
        try:
            _write_parts(writer, file, codec, guessed, threads)
            return name
        except BadStream:
            writer.begin_again()
    with open_unbuffered(file) as opened:
        blocks = []
        if codec == "bz2" and is_cut and file.nbytes >= BLOCKS_NBYTES:
            blocks = find_blocks(opened.fileno(), file.nbytes)
        if blocks:
            with closing(decode_blocks(opened.fileno(), blocks, threads)) as texts:
                writer.write(texts)
        else:
            writer.write(decode(codec, opened.read))
    return name


def _check_bgzf_end(file: SourceFile) -> None:
    if not is_bgzf(read_range(file, 0, min(18, file.nbytes))):
        return
    if read_range(file, max(0, file.nbytes - len(BGZF_END)), file.nbytes) != BGZF_END:
        raise BadStream("it is bgzf, but ends without the empty block that bgzf ends with, as if "
                        "it were cut off", file.nbytes)  # fmt: skip


def _find_parts(
    find: Callable[..., list[PackedRange]], file: SourceFile, *codec: str
) -> list[PackedRange]:
    with open_unbuffered(file) as opened:
        number = opened.fileno()
        return find(*codec, lambda at, count: os.pread(number, count, at), file.nbytes)


def _write_parts(
    writer: ScratchWriter, file: SourceFile, codec: str, parts: Sequence[PackedRange], threads: int
) -> None:
    with open_unbuffered(file) as opened:
        number = opened.fileno()

        def write(part: PackedRange) -> None:
            source = _Range(number, part)
            try:
                done = writer.write(decode(codec, source.read), part.place, part.nbytes)
            except BadStream as error:
                offset = min(part.start + max(0, error.offset - len(part.before)), part.stop)
                raise BadStream(error.why, offset) from None
            if done != part.nbytes:
                raise BadStream(
                    f"{part.nbytes:,} bytes of text are declared, but {done:,} there", part.start
                )

        with ThreadPoolExecutor(threads, "taskinity-unpack-part") as pool:
            try:
                for _ in pool.map(write, parts):
                    pass
            finally:
                writer.stop_parts()
                pool.shutdown(cancel_futures=True)


class _Range:
    """The bytes of a part, with what is put around them, to be read once."""

    def __init__(self, number: int, part: PackedRange) -> None:
        self._number, self._place, self._stop = number, part.start, part.stop
        self._before, self._after = part.before, part.after

    def read(self, nbytes: int) -> bytes:
        if self._before:
            found, self._before = self._before, b""
            return found
        found = os.pread(self._number, min(nbytes, self._stop - self._place), self._place)
        self._place += len(found)
        if not found:
            found, self._after = self._after, b""
        return found
