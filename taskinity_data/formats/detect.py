"""What format files are in, from their names' suffixes and their first and last bytes.

A file that passes here may still be malformed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError, SourceNotFound
from taskinity_data.formats.registry import FORMATS, format_of_suffix
from taskinity_data.sources.codecs import (
    Conversion,
    codec_of,
    find_codec,
    inner_name,
    unpack_line,
)
from taskinity_data.sources.read import local_path, map_files
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.sources.file import SourceFile

__all__ = [
    "Ends", "detect_conversions", "detect_format", "implied_options", "peek_files",
    "refuse_parquet",
]  # fmt: skip

Ends = tuple[bytes, bytes] | None
"""The first 4 KiB and the last 4 bytes of a file; None: its name is believed until it is opened."""

_TABS = (".tsv", ".tab")
_CONVERT = {
    ".xlsx": 'pandas.read_excel("FILE").to_parquet("FILE.parquet")',
    ".fwf": 'pandas.read_fwf("FILE").to_parquet("FILE.parquet")',
    ".avro": "duckdb -c \"load avro; copy (from read_avro('FILE')) to 'FILE.parquet'\"",
}
_PARQUET, _ENCRYPTED = b"PAR1", b"PARE"
_HEAD_NBYTES = 4096
_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))
BINARY_SHARE = 0.05
"""Control characters that make a file's head binary: text has none but stray ones, while random
bytes have 10 %."""


def peek_files(
    files: Sequence[SourceFile], format_: str | None = None, method: str | None = "infer"
) -> list[Ends]:
    """Return the ends of each file; of a compressed one that is unpacked, of its text.

    Parameters
    ----------
    files : sequence of SourceFile
    format_ : one of `FORMATS`, or None
        The user's option.
    method : see `Compression`

    Notes
    -----
    Two requests a file of a store, but for what is called Parquet there: to open it reads its end,
    and its mark with that (`refuse_parquet`).
    """
    is_open = format_ in (None, "parquet") and method in (None, "infer")

    def peek(file: SourceFile) -> Ends:
        may_be_believed = is_open and file.store is not None and file.nbytes > 0
        if may_be_believed and _name_format(file, format_) == "parquet":
            return None
        return _peek(file)

    return list(map_files(peek, files))


def refuse_parquet(file: SourceFile, format_: str | None = None) -> None:
    """Raise `PlanError` with what `file`, which has no Parquet mark at its end, is instead."""
    ends = [_peek(file)]
    detect_conversions([file], ends, "infer", format_, {})
    detect_format([file], format_, {}, ends)


def detect_conversions(
    files: Sequence[SourceFile],
    ends: Sequence[Ends],
    method: str | None,
    format_: str | None,
    options: Mapping[str, Any],
) -> list[Conversion | None]:
    """Return how the text of each of `files` is made of it; None: it is read as it is.

    Parameters
    ----------
    files : sequence of SourceFile
    ends : what `peek_files` gives of them
    method : see `Compression`
    format_ : one of `FORMATS`, or None
        The user's option.
    options : mapping
        Reader options, of which `encoding` is that of CSV.

    Raises
    ------
    PlanError
        Name or `method` belie the content; a format that is not read compressed; an unknown
        encoding.
    """
    conversions: list[Conversion | None] = []
    for file, both in zip(files, ends, strict=True):
        head = both[0] if both else b""
        codec = "zip" if file.member else find_codec(file.path, head, method)
        if codec is not None:
            inner = _name_format(file, format_)
            if inner is not None and not FORMATS[inner].is_text:
                raise _refuse_packed(file.path, codec, inner)
        encoding = _find_encoding(file, both, format_, options)
        is_plain = codec is None and encoding is None
        conversions.append(None if is_plain else Conversion(codec, *(encoding or ())))
    return conversions


def _find_encoding(
    file: SourceFile, ends: Ends, format_: str | None, options: Mapping[str, Any]
) -> tuple[str, str] | None:
    """Return the encoding of a file of CSV that can't be read as it is, and how errors are met."""
    is_csv = _name_format(file, format_) in (None, "csv") and ends and _content(*ends) is None
    if options.get("encoding") is None or not is_csv:
        return None
    from taskinity_data.formats.csv import encodings

    encoding = encodings.parse_encoding(options["encoding"])
    errors = encodings.parse_encoding_errors(options.get("encoding_errors"), encoding)
    # A line in which all is ignored is not a row, and a quote after such a byte opens a field.
    is_read = errors != "ignore" and not encodings.needs_conversion(encoding)
    return None if is_read else (encoding, errors)


def _refuse_packed(path: str, codec: str, format_: str) -> PlanError:
    return PlanError(
        f"{path}: {FORMATS[format_].title} within {codec} is not read, since it can't be cut; "
        f"unpack it first: {unpack_line(codec, path)}"
    )


def detect_format(
    files: Sequence[SourceFile],
    format_: str | None,
    options: Mapping[str, Any],
    ends: Sequence[Ends] | None = None,
) -> str:
    """Return the one format of all `files`.

    Parameters
    ----------
    files : sequence of SourceFile
    format_ : one of `FORMATS`, or None
        The user's option; None: found from suffix and content.
    options : mapping
        Reader options: where neither suffix nor content tells a format, a separator means CSV.
    ends : what `peek_files` gives of them, where that is known

    Raises
    ------
    PlanError
        An unknown format or suffix, contents that belie it, an empty or truncated file, files of
        several formats.

    Notes
    -----
    Opens each file once and reads at most 4 KiB of it, about 20 µs a file.
    """
    if format_ is not None and format_ not in FORMATS:
        raise PlanError(
            f"format={format_!r}: this version reads {', '.join(FORMATS)}."
            f"{suggest(str(format_), FORMATS)}"
        )
    implied = "csv" if {"sep", "delimiter"} & set(options) else None
    first, detected = files[0], ""
    is_empty = not any(file.nbytes for file in files)
    for file, both in zip(files, ends or map_files(_peek, files), strict=True):
        if not file.nbytes and not is_empty and _name_format(file, format_) == "jsonl":
            both = b"\n", b"\n"  # no line, so no row; alone it may be a failed copy
        format_here = "parquet" if both is None else _detect(file, format_, implied, *both)
        if detected and format_here != detected:
            raise PlanError(
                f"{file.path} is {format_here} but {first.path} is {detected}: a dataset has one "
                "format; select the files of one, e.g. with a glob"
            )
        detected = format_here
    return detected


def implied_options(files: Sequence[SourceFile], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return `options` as they are for `files`: without an encoding that was converted.

    And with the tab as separator if all suffixes mean it and none is given.
    """
    unpacked = [file.unpacked for file in files if file.unpacked is not None]
    if any(text.conversion.encoding is not None for text in unpacked):
        options = {**options, "encoding": None, "encoding_errors": None}
    is_tabs = all(_suffix(file) in _TABS for file in files)
    if is_tabs and not {"sep", "delimiter"} & set(options):
        return {**options, "sep": "\t"}
    return dict(options)


def _name_format(file: SourceFile, format_: str | None) -> str | None:
    return format_ or format_of_suffix(_suffix(file))


def _suffix(file: SourceFile) -> str:
    """Return the suffix that shows the format, in lower case."""
    path = file.member or file.path.partition("?hidden=")[0]
    inner = inner_name(path) if file.unpacked is None else file.unpacked.inner
    return os.path.splitext(inner)[1].lower()  # noqa: PTH122 - a path object takes 20 times as long


def _detect(
    file: SourceFile,
    format_: str | None,
    implied: str | None,
    head: bytes,
    tail: bytes,
) -> str:
    path = file.path
    suffix = _suffix(file)
    content = _content(head, tail)
    named = format_ or format_of_suffix(suffix)
    if file.nbytes == 0 and not head:
        subject = "file is" if file.unpacked is None else "text that it unpacks to is"
        raise PlanError(f"{path}: the {subject} empty (0 bytes); remove it or write it again")
    if named is None and suffix in _CONVERT:
        _refuse(path, suffix)
    if named is not None and FORMATS[named].is_text and content is not None:
        raise PlanError(
            f"{path}: this is {_a(content)} file under another name; rename it to .{content}, or "
            f'give format="{content}"'
        )
    is_text = _is_text(head)
    may_be_packed = content is None and not is_text and (named is None or FORMATS[named].is_text)
    codec = codec_of(head) if may_be_packed else None
    if codec is not None:
        read = "" if codec == "tar" else f'give compression="{codec}", or '
        raise PlanError(f"{path}: this is {codec}; {read}unpack it: {unpack_line(codec, path)}")
    detected = named or content or implied
    if detected is None:
        raise PlanError(
            f"{path}: neither the suffix {suffix!r} nor the first bytes show the format. If it is "
            f'a table, give format="csv" (or one of {", ".join(FORMATS)}), and its separator, as '
            'sep="\\t"; to process each file as a whole, fan out over a list of paths: '
            "function.map(paths) in a function marked @td.flow"
        )
    if FORMATS[detected].is_text:
        # CSV may hold any character; but the user must name the format then.
        if format_ != "csv" and not is_text:
            raise PlanError(f"{path}: {_no_text(detected, head)}")
    elif file.unpacked is not None:
        raise _refuse_packed(path, str(file.unpacked.conversion), detected)
    elif detected == "parquet":
        _check_parquet(path, head, tail)
    elif not head.startswith(FORMATS[detected].marks):
        raise PlanError(
            f"{path}: this is not a valid {FORMATS[detected].title} file, {_begins(head)}"
        )
    return detected


def _no_text(format_: str, head: bytes) -> str:
    """Return what a file is that holds control characters, and what to do."""
    from taskinity_data.formats.csv.encodings import find_wide_encoding

    wide = find_wide_encoding(head)
    if wide is None:
        at = next(index for index, byte in enumerate(head) if byte in _CONTROL)
        step = '; if it is CSV all the same, give format="csv"' if format_ == "csv" else ""
        return (
            "this is a binary file, not text: "
            f"byte {at:,} is the control character {head[at]:#04x}{step}"
        )
    name = f"UTF-{wide[4:6]}"
    if format_ == "csv":
        return f"this is {name} text; give encoding={wide!r}"
    return (
        f"this is {name} text, and {FORMATS[format_].title} is read as UTF-8; convert the file: "
        f"iconv -f {wide.upper()} -t UTF-8 FILE > NEW"
    )


def _content(head: bytes, tail: bytes) -> str | None:
    """Return the binary format that the bytes show."""
    if tail == _PARQUET:
        return "parquet"
    marked = (name for name, record in FORMATS.items() if head.startswith(record.marks))
    return None if _is_text(head) else next(marked, None)


def _a(format_: str) -> str:
    name = FORMATS[format_].title
    return f"an {name}" if name[0] in "AO" else f"a {name}"


def _begins(head: bytes) -> str:
    hint = '; is it a CSV? give format="csv"' if _is_text(head) else ""
    return f"it begins with {head[:4]!r}{hint}"


def _check_parquet(path: str, head: bytes, tail: bytes) -> None:
    if _ENCRYPTED in (head[:4], tail):
        raise PlanError(f"{path}: the Parquet file is encrypted, which this version can't read")
    if not head.startswith(_PARQUET):
        raise PlanError(f"{path}: this is not a valid Parquet file, {_begins(head)}")
    if tail != _PARQUET:
        raise PlanError(
            f"{path}: the Parquet file is truncated, its footer is missing; write or copy it again"
        )


def _refuse(path: str, suffix: str) -> None:
    line = _CONVERT[suffix].replace("FILE", path)
    raise PlanError(f"{path}: {suffix} files are not read in this version; convert it: {line}")


def _is_text(head: bytes) -> bool:
    controls = len(head) - len(head.translate(None, _CONTROL))
    return controls <= BINARY_SHARE * len(head)


def _peek(file: SourceFile) -> tuple[bytes, bytes]:
    local = local_path(file)
    if local is None and file.store is not None:
        ranges = [(0, min(_HEAD_NBYTES, file.nbytes)), (max(0, file.nbytes - 4), file.nbytes)]
        head, tail = file.store.read(file.name, file.path, ranges)
        return head, tail
    try:
        with open(str(local), "rb") as stream:
            head = stream.read(_HEAD_NBYTES)
            stream.seek(max(0, file.nbytes - 4))
            return head, stream.read(4)
    except FileNotFoundError as error:
        raise SourceNotFound(
            f"{file.path}: the file was removed or renamed while the dataset was opened; open it "
            "again"
        ) from error
    except PermissionError as error:
        raise PlanError(
            f"{file.path}: the file may not be read by this user; change its permissions"
        ) from error
    except OSError as error:
        raise PlanError(f"{file.path}: can't be read: {error.strerror}") from error
