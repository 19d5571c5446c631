"""Decompress bytes as a stream: blocks of bounded size, and proof that nothing is missing.

Every checksum that the bytes carry is checked; bytes that belong to no member are an error.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pyarrow as pa

from taskinity_data.sources.codecs import BadStream, codec_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["IN_NBYTES", "OUT_NBYTES", "decode"]

IN_NBYTES = 256 << 10
OUT_NBYTES = 1 << 20
"""Bytes of a block, at most: ISA-L took 0.57, 0.53, 0.37, 0.66 s for 373 MB of text with blocks of
64 KiB, 256 KiB, 1 MiB, 4 MiB."""

XZ_MEMORY_NBYTES = 512 << 20
"""Memory that an xz stream may need: `xz -9` needs 65 MiB, its header could claim 4 GiB."""


class _Member(Protocol):
    """Decompresses one member, as the objects of `bz2` and `lzma` do."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """`zlib`'s (or ISA-L's) object with the interface of `bz2`'s."""

    def __init__(self, library: Any) -> None:
        self._object, self._tail = library.decompressobj(31), b""
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return bool(self._object.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._object.unused_data)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        text: bytes = self._object.decompress(self._tail + data, max_length)
        self._tail = self._object.unconsumed_tail
        self.needs_input = not self._tail and len(text) < max_length
        return text


class _Kind(NamedTuple):
    """How the members of a codec are decompressed, and the unit of zeros between them."""

    make: Callable[[], _Member]
    padding: int
    errors: tuple[type[Exception], ...]


def inflater() -> Any:
    """Return ISA-L's module if it is installed, else zlib.

    Of 373 MB of measurements (73 MB of gzip) one core makes 0.4 s with ISA-L and 0.9 to 1.4 s with
    zlib, scratch file included. rapidgzip took 1.0 s in one thread and as long in two, and 370 to
    720 MB of memory.
    """
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib


def _kind(codec: str) -> _Kind:
    if codec == "gzip":
        library = inflater()
        return _Kind(lambda: _Gzip(library), 1, (zlib.error, library.error))
    if codec == "bz2":
        return _Kind(bz2.BZ2Decompressor, 0, (OSError, ValueError, EOFError))
    return _Kind(
        lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_NBYTES),
        4,
        (lzma.LZMAError, EOFError),
    )


def decode(codec: str, read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Yield what was compressed, in blocks of at most `OUT_NBYTES`.

    Parameters
    ----------
    codec : str
        One of `CODECS` but ``"zip"``.
    read : callable
        Takes a count; gives so many compressed bytes, or fewer (but at least one) before the end.

    Raises
    ------
    BadStream
        The bytes end too early, are not members of that codec, or belie a checksum.
    """
    if codec in ("zstd", "lz4"):
        return _decode_with_arrow(codec, read)
    return _decode_members(codec, read)


def _decode_members(codec: str, read: Callable[[int], bytes]) -> Iterator[bytes]:
    kind = _kind(codec)
    data, offset = read(IN_NBYTES), 0
    while data:
        if codec_of(data) != codec and len(data) >= 10:
            raise BadStream(f"the data after the last member is not {codec}", offset)
        member = kind.make()
        while not member.eof:
            if member.needs_input and not data:
                data = read(IN_NBYTES)
                if not data:
                    raise BadStream("it ends in the middle of a member", offset)
            try:
                text = member.decompress(data, OUT_NBYTES)
            except kind.errors as error:
                raise BadStream(f"a member of it is damaged ({error})", offset) from None
            offset += len(data)
            data = b""
            if text:
                yield text
        data = member.unused_data
        offset -= len(data)
        zeros = 0
        while kind.padding:
            rest = data.lstrip(b"\0")
            zeros += len(data) - len(rest)
            data = rest or read(IN_NBYTES)
            if rest or not data:
                break
        if kind.padding and zeros % kind.padding:
            raise BadStream("the padding after a member has the wrong length", offset)
        offset += zeros
        if len(data) < 10:
            data += read(IN_NBYTES)


class _Counted:
    """A file, for Arrow, that records how far it was read."""

    closed = False

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read, self.offset = read, 0

    def read(self, nbytes: int) -> bytes:
        data = self._read(nbytes)
        self.offset += len(data)
        return data

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """Do nothing: the caller closes what is read."""


def _decode_with_arrow(codec: str, read: Callable[[int], bytes]) -> Iterator[bytes]:
    source = _Counted(read)
    stream = pa.CompressedInputStream(pa.PythonFile(source, mode="r"), codec)
    while True:
        try:
            text = stream.read(OUT_NBYTES)
        except (pa.ArrowException, OSError) as error:
            why = str(error).partition("Detail:")[0].strip()
            if "runcated" in why:
                why = "it ends in the middle of a frame"
            else:
                why = f"a frame of it is damaged, or what follows is none ({why})"
            raise BadStream(why, source.offset) from None
        if not text:
            return
        yield text
