"""Which codec a file is compressed with, from its suffix, its first bytes and the user's option."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from taskinity_data.errors import PlanError, SettingsError
from taskinity_data.policy import parse_nbytes
from taskinity_data.wording import suggest

__all__ = [
    "CODECS",
    "BadStream",
    "BadText",
    "Compression",
    "Conversion",
    "codec_of",
    "find_codec",
    "inner_name",
    "parse_compression",
    "unpack_line",
]

CODECS = ("gzip", "bz2", "xz", "zstd", "lz4", "zip")
"""lz4: frames. Each may have any number of members, frames or streams, but zip, of which one member
is read."""

SUFFIXES = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".bgz": "gzip",
    ".bz2": "bz2",
    ".xz": "xz",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".lz4": "lz4",
    ".zip": "zip",
}
_COMMANDS = {
    "gzip": "gzip -dc FILE",
    "bz2": "bzip2 -dc FILE",
    "xz": "xz -dc FILE",
    "zstd": "zstd -dc FILE",
    "lz4": "lz4 -dc FILE",
    "zip": "unzip -p FILE",
    "tar": "tar -xOf FILE",
}
_MAGIC = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    "bz2": re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
    "xz": re.compile(rb"\xfd7zXZ\0"),
    # A zstd file may begin with a frame to be skipped: pzstd writes one before each frame.
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
    "lz4": re.compile(rb"\x04\x22\x4d\x18"),
    "zip": re.compile(rb"PK(?:\x03\x04|\x05\x06)"),
    "tar": re.compile(rb".{257}ustar", re.DOTALL),
}


class Conversion(NamedTuple):
    """How the text that is read is made of a file.

    Attributes
    ----------
    codec : str or None
        What it is compressed with.
    encoding, errors : str or None, str
        The encoding that UTF-8 is made of, and what is done with bytes that are no text in it.
    is_array : bool
        Lines are made of the elements of a JSON array.
    """

    codec: str | None = None
    encoding: str | None = None
    errors: str = "strict"
    is_array: bool = False

    def __str__(self) -> str:
        steps = (self.codec, self.encoding, "a JSON array" if self.is_array else None)
        return " of ".join(filter(None, steps))


class Compression(NamedTuple):
    """The `compression=` of the user, with the meaning that it has in `pandas.read_csv`.

    Attributes
    ----------
    method : str or None
        ``"infer"``: found from suffix and content; one of `CODECS`: every file is that; None: no
        file is compressed, whatever its name.
    max_nbytes : int or None
        What one file may unpack to; None: see `unpack_files`.
    """

    method: str | None
    max_nbytes: int | None


def parse_compression(value: Any) -> Compression:
    """Return what ``"infer"``, a codec's name, None, or a dict of `Compression` means.

    Raises
    ------
    PlanError
        Another value, or another key.
    """
    if not isinstance(value, Mapping):
        return Compression(_check_method(value), None)
    unknown = [key for key in value if key not in Compression._fields]
    if unknown:
        raise PlanError(f"compression: unknown key {unknown[0]!r}; the keys are method, max_nbytes")
    limit = value.get("max_nbytes")
    try:
        max_nbytes = None if limit is None else parse_nbytes(limit)
    except SettingsError as error:
        raise PlanError(f"compression: max_nbytes={error}") from error
    return Compression(_check_method(value.get("method", "infer")), max_nbytes)


def _check_method(method: Any) -> str | None:
    if method is None or method in ("infer", *CODECS):
        return method  # type: ignore[no-any-return]  # one of these texts
    if method == "tar":
        raise PlanError(
            "compression='tar': archives are not read; unpack the member first: "
            "tar -xOf FILE MEMBER > NEW"
        )
    raise PlanError(
        f"compression={method!r}: give 'infer', None, or one of {', '.join(CODECS)}."
        f"{suggest(str(method), CODECS)}"
    )


def codec_of(head: bytes) -> str | None:
    """Return the codec that begins with these bytes (``"tar"`` among them), None for others."""
    return next((name for name, magic in _MAGIC.items() if magic.match(head)), None)


def inner_name(path: str) -> str:
    """Return `path` without the suffix of a codec: the name of its text.

    >>> inner_name("a/b.csv.gz"), inner_name("a/b.csv")
    ('a/b.csv', 'a/b.csv')
    """
    stem, suffix = _split(path)
    return stem if suffix in SUFFIXES else path


def unpack_line(codec: str, path: str) -> str:
    """Return the shell command that unpacks `path`, which is compressed with `codec`."""
    import shlex

    return f"{_COMMANDS[codec].replace('FILE', shlex.quote(path))} > NEW"


def find_codec(path: str, head: bytes, method: str | None) -> str | None:
    """Return the codec that decompresses `path`, None if it is read as it is.

    Parameters
    ----------
    path : str
        As it is shown, its last suffix that of the file.
    head : bytes
        Its first bytes, 512 of them or more.
    method : see `Compression`

    Raises
    ------
    PlanError
        Name or `method` mean one codec, and the content is of another or none.
    """
    if method is None or not head:
        return None
    suffix = _split(path)[1]
    named = SUFFIXES.get(suffix)
    content = codec_of(head)
    if method != "infer":
        if content != method:
            raise PlanError(f"{path}: compression={method!r}, but {_tell(path, head, content)}")
        return method
    if named is not None and content != named:
        raise PlanError(
            f"{path}: the suffix {suffix} means {named}, but {_tell(path, head, content)}"
        )
    # Other formats are zip archives too (.xlsx), and a table may have any name.
    return content if named or content not in ("zip", "tar") else None


def _tell(path: str, head: bytes, content: str | None) -> str:
    if content == "tar":
        return f"it is a tar archive; unpack its member first: {unpack_line('tar', path)}"
    if content is not None:
        return f"it holds {content}; rename it, or give compression={content!r}"
    return (
        f"it begins with {head[:6]!r}, which is not its header; if it is not compressed "
        "rename it, or give compression=None"
    )


def _split(path: str) -> tuple[str, str]:
    """Return `path` without its last suffix and what a URL hides, and the suffix in lower case."""
    path = path.partition("?hidden=")[0]
    stem, dot, suffix = path.rpartition(".")
    is_suffix = dot and stem and "/" not in suffix and not stem.endswith("/")
    return (stem, f".{suffix.lower()}") if is_suffix else (path, "")


class BadStream(Exception):  # noqa: N818 - never leaves `unpack`, which makes an error of it
    """Compressed bytes that can't be decompressed: `why`, and at which compressed byte `offset`."""

    def __init__(self, why: str, offset: int) -> None:
        super().__init__(why, offset)  # both, so that it can be pickled
        self.why, self.offset = why, offset

    def __str__(self) -> str:
        return self.why


class BadText(BadStream):
    """Text that is not of the expected kind: `why`, and at which byte of the text."""
