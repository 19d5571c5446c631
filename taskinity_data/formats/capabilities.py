"""What of a file is read, and what not, by format and by where it lies; as a table for people.

It knows nothing of how it is done. A test holds each claim against the bytes that are read.
"""

from __future__ import annotations

from typing import NamedTuple

from taskinity_data.formats.detect import NAMES

__all__ = ["CAPABILITIES", "STORES", "Capabilities", "to_markdown"]


class Capabilities(NamedTuple):
    """What readers of one format do, in files here and in those of stores.

    Attributes
    ----------
    planned : bool
        Chunks are planned from a footer or headers: the data are not read for it.
    cut : bool
        A chunk of a file reads its part of it.
    columns : bool
        Columns that are not selected are not read.
    filters : bool
        Parts in which no row can pass `filters` are not read.
    note : str
        What of the file is looked at to plan it, and where it can be cut.
    """

    planned: bool
    cut: bool
    columns: bool
    filters: bool
    note: str


_TEXT = "one pass finds where records end; cut between any two"

CAPABILITIES = {
    ("csv", "here"): Capabilities(False, True, False, False, _TEXT),
    ("csv", "store"): Capabilities(False, True, False, False, _TEXT),
    ("jsonl", "here"): Capabilities(False, True, False, False, _TEXT),
    ("jsonl", "store"): Capabilities(False, True, False, False, _TEXT),
    ("json", "here"): Capabilities(False, True, False, False, _TEXT),
    ("json", "store"): Capabilities(False, True, False, False, _TEXT),
    ("parquet", "here"): Capabilities(
        True, True, True, True, "the footer; cut at row groups, or at rows within"
    ),
    ("parquet", "store"): Capabilities(
        True, True, True, True, "the footer; cut at row groups, or at rows within"
    ),
    ("arrow", "here"): Capabilities(
        True,
        True,
        True,
        False,
        "record batches' headers, of compressed ones a column and the integers; cut at any row; "
        "mapped, not read",
    ),
    ("arrow", "store"): Capabilities(
        False,
        True,
        True,
        False,
        "one column and the integers; cut at record batches, or at rows within; streams are read "
        "from their beginning",
    ),
    ("orc", "here"): Capabilities(
        True, True, True, False, "the tail; cut at stripes, or at rows within"
    ),
    ("orc", "store"): Capabilities(
        True, True, True, False, "the tail; cut at stripes, or at rows within"
    ),
}
"""By format (as in `FORMATS`) and place."""

STORES = {
    "a path, `file://`": "here",
    "`s3://` (extra `s3`)": "store",
    "`http://`, `https://` (extra `http`; each URL is named; servers without ranges are refused)": (
        "store"
    ),
    "`gs://` (extra `gs`), `az://` (extra `az`)": "store",
    "`memory://` (of one process)": "store",
    "`zip://MEMBER::ARCHIVE` (CSV, JSON Lines and JSON)": "unpacked",
    "other chains of protocols": "",
}
"""Where files may lie: files here, a store that is read by ranges, unpacked first, or refused."""

_READ_AS = {"here": "files here", "store": "stores", "unpacked": "files here, once unpacked"}

_HEAD = """# Formats and stores

What is read of a file to plan it and to read a chunk. The tables are made by
`python -m taskinity_data.formats.capabilities` out of what the readers declare, and a test holds
each "yes" and "no" against the bytes that are read. Where a column of the table says "no", all
bytes of the rows' range are read, and what is not wanted is dropped after.
"""


def to_markdown() -> str:
    """The text of ``docs/formats.md``."""
    rows = [
        f"| {NAMES[format_]} | {'files here' if place == 'here' else 'stores'} | "
        + " | ".join("yes" if one else "no" for one in told[:4])
        + f" | {told.note} |"
        for (format_, place), told in CAPABILITIES.items()
    ]
    stores = [f"| {name} | {_READ_AS.get(place, 'refused')} |" for name, place in STORES.items()]
    return "\n".join(
        [
            _HEAD,
            (
                "| format | where | planned without reading | cut inside a file | "
                "columns pushed down | filters pushed down | how |"
            ),
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            "| where files lie | read as |",
            "| --- | --- |",
            *stores,
            "",
            (
                "Every format is read from each of them, if nothing else is said. Of hive "
                "directories, files whose keys `filters` rule out are not opened, whatever their "
                "format, but for the first, whose columns are those of all."
            ),
            "",
            (
                "CSV, JSON Lines and JSON may be compressed: gzip, bz2, xz, zstd, lz4, snappy, a "
                "zip with one member. The text is unpacked once, into a temporary file, and then "
                "read as one of the files here."
            ),
            "",
        ]
    )


if __name__ == "__main__":
    print(to_markdown(), end="")  # noqa: T201 - the table is what it is run for
