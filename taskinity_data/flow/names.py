"""How names of tasks and names of functions correspond: one rule, both ways.

A name's words begin at an upper-case letter that follows a small letter, a digit or an underscore,
and at the last upper-case letter of a run that a small letter follows (``ParseCSVFile`` is
``parse_csv_file``). Digits belong to the word before them (``ProcessChunk1`` is
``process_chunk1``). It knows nothing of flows or functions.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["is_name", "split_number", "to_camel", "to_snake"]

_NUMBERED = re.compile(r"(?P<base>.*[^\W\d_])(?P<number>[1-9][0-9]*)", re.DOTALL)


def is_name(text: str) -> bool:
    """Whether `text` can name a flow, a task or an input: what Python takes as an identifier.

    >>> is_name("ProcessChunk"), is_name("process-chunk"), is_name("2nd")
    (True, False, False)
    """
    return text.isidentifier() and unicodedata.normalize("NFKC", text) == text


def to_snake(name: str) -> str:
    """The name of the function that a task called `name` binds.

    >>> [to_snake(name) for name in ("ProcessChunk1", "ParseCSVFile", "CSV2Parquet", "top_k")]
    ['process_chunk1', 'parse_csv_file', 'csv2_parquet', 'top_k']
    """
    pieces: list[str] = []
    for index, letter in enumerate(name):
        before = name[index - 1 : index]
        after = name[index + 1 : index + 2]
        starts_word = letter.isupper() and (
            before.islower() or before.isdecimal() or (before.isupper() and after.islower())
        )
        pieces.append("_" + letter if starts_word else letter)
    return "".join(pieces).lower()


def to_camel(name: str) -> str:
    """The name of the task that a function called `name` becomes in a flow.

    >>> [to_camel(name) for name in ("process_chunk", "top_k", "step_2_a", "Ready")]
    ['ProcessChunk', 'TopK', 'Step2A', 'Ready']
    """
    return "".join(word[:1].upper() + word[1:] for word in name.split("_") if word) or name


def split_number(name: str) -> tuple[str, int] | None:
    """``("ProcessChunk", 3)`` for ``ProcessChunk3``; None for a name without a number from 1 up.

    >>> split_number("ProcessChunk3"), split_number("Chunk_1"), split_number("Chunk")
    (('ProcessChunk', 3), None, None)
    """
    found = _NUMBERED.fullmatch(name)
    return (found["base"], int(found["number"])) if found and len(found["number"]) < 7 else None
