"""How names of tasks and of functions correspond."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

__all__ = [
    "is_name",
    "split_number",
    "to_camel",
    "to_snake",
]

_NUMBERED = re.compile(r"(?P<base>.*[^\W\d_])(?P<number>[1-9][0-9]*)", re.DOTALL)


def is_name(text: str) -> bool:
    """Return whether `text` can name a flow, a task or an input: what Python takes as an
    identifier.

    >>> is_name("ProcessChunk"), is_name("process-chunk"), is_name("2nd")
    (True, False, False)
    """
    return text.isidentifier() and unicodedata.normalize("NFKC", text) == text


@lru_cache(maxsize=1024)
def to_snake(name: str) -> str:
    """Return the name of the function that a task called `name` binds.

    >>> [to_snake(name) for name in ("ProcessChunk1", "ParseCSVFile", "CSV2Parquet", "top_k")]
    ['process_chunk1', 'parse_csv_file', 'csv2_parquet', 'top_k']
    """
    pieces: list[str] = []
    for index, char in enumerate(name):
        before = name[index - 1 : index]
        after = name[index + 1 : index + 2]
        starts_word = char.isupper() and (
            before.islower() or before.isdecimal() or (before.isupper() and after.islower())
        )
        pieces.append("_" + char if starts_word else char)
    return "".join(pieces).lower()


def to_camel(name: str) -> str:
    """Return the name of the task that a function called `name` becomes in a flow.

    >>> [to_camel(name) for name in ("process_chunk", "top_k", "step_2_a", "Ready")]
    ['ProcessChunk', 'TopK', 'Step2A', 'Ready']
    """
    return "".join(word[:1].upper() + word[1:] for word in name.split("_") if word) or name


def split_number(name: str) -> tuple[str, int] | None:
    """Return ``("ProcessChunk", 3)`` for ``ProcessChunk3``; None for a name without a number from 1
    up.

    >>> split_number("ProcessChunk3"), split_number("Chunk_1"), split_number("Chunk")
    (('ProcessChunk', 3), None, None)
    """
    match = _NUMBERED.fullmatch(name)
    return (match["base"], int(match["number"])) if match and len(match["number"]) < 7 else None
