"""The columns in directories' names (``year=2013/``), as pandas has them: categories."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from taskinity_data.sources.written import find_text_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.sources.file import SourceFile

__all__ = [
    "HiveColumn",
    "find_hive_columns",
]

_NULL = "__HIVE_DEFAULT_PARTITION__"
_INTEGER = re.compile(r"-?[0-9]+")
_INT32 = range(-(2**31), 2**31)


@dataclass(frozen=True)
class HiveColumn:
    """A key of the directories' names, with all its values over the dataset, first seen first."""

    name: str
    values: pa.Array

    @property
    def type(self) -> pa.DataType:
        """A dictionary of int32, where all values are such, else of strings."""
        return pa.dictionary(pa.int32(), self.values.type)

    def repeat(self, file: SourceFile, rows: int) -> pa.DictionaryArray:
        """Return the hive key's value in the path of `file`, repeated `rows` times.

        Parameters
        ----------
        file : SourceFile
        rows : int

        Returns
        -------
        pyarrow.DictionaryArray
            Shape (rows,); its dictionary is the same for every file.
        """
        codes = pa.repeat(pa.scalar(self._code(file), pa.int32()), rows)
        return pa.DictionaryArray.from_arrays(codes, self.values)

    def list(self, files: Sequence[SourceFile]) -> pa.DictionaryArray:
        """Return the value of each of `files`; shape (files,)."""
        codes = pa.array(map(self._code, files), pa.int32())
        return pa.DictionaryArray.from_arrays(codes, self.values)

    def _code(self, file: SourceFile) -> int | None:
        text = dict(file.hive)[self.name]
        if text == _NULL:
            return None
        return self._codes[int(text) if pa.types.is_integer(self.values.type) else text]

    @cached_property
    def _codes(self) -> dict[Any, int]:
        return {value: code for code, value in enumerate(self.values.to_pylist())}


def find_hive_columns(files: Sequence[SourceFile]) -> tuple[HiveColumn, ...]:
    """Return the hive columns of `files`, which all have the same keys, in the order of the keys.

    Texts of digits are integers, unless the manifest of the run that wrote them has them as texts.
    """
    values: dict[str, list[str]] = {}
    for index, (name, _) in enumerate(files[0].hive):
        texts = dict.fromkeys(file.hive[index][1] for file in files)
        values[name] = [text for text in texts if text != _NULL]
    integers = {name for name, texts in values.items() if texts and all(map(_is_integer, texts))}
    if integers:
        integers -= find_text_keys(files)
    return tuple(
        HiveColumn(
            name,
            pa.array(list(dict.fromkeys(map(int, texts))), pa.int32())
            if name in integers
            else pa.array(texts, pa.string()),
        )
        for name, texts in values.items()
    )


def _is_integer(text: str) -> bool:
    return _INTEGER.fullmatch(text) is not None and int(text) in _INT32
