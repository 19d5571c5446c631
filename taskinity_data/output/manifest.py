"""Describes a directory of parts: ``_manifest.json``.

It lists all that was appended, too.
"""

from __future__ import annotations

import base64
import json
import os
from bisect import bisect_left, bisect_right
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pyarrow as pa

from taskinity_data.errors import ReadError
from taskinity_data.output.common_schema import CommonSchema
from taskinity_data.sources.written import BATCH, MANIFEST, PART

__all__ = [
    "BATCH",
    "BATCH_NUMBER",
    "MANIFEST",
    "RUNS",
    "Manifest",
    "StoredPart",
    "parse_manifest",
    "read_manifest",
]

_VERSION = 1

BATCH_NUMBER = "batch"
"""In the facts of a run that has appended on a disk: its number there, from 1."""

RUNS = "runs"
"""In the facts of a run in a store: what names of its parts have in common, one for each try."""


@dataclass(frozen=True)
class StoredPart:
    """One file of a dataset.

    Attributes
    ----------
    path : str
        Relative to the dataset's directory.
    index, key : int, str
        Of the chunk whose rows it holds.
    rows, nbytes : int
    checksum : str
        BLAKE2b of all its bytes, 32 bytes in hexadecimal.
    """

    path: str
    index: int
    key: str
    rows: int
    nbytes: int
    checksum: str


@dataclass(frozen=True)
class Manifest:
    """The contents of a directory of parts.

    Attributes
    ----------
    format : str
    schema : pyarrow.Schema or None
        Of the rows with the columns that directories are named by; None if no chunk had any.
    partition_by : tuple of str
    parts : tuple of StoredPart
        In chunk order.
    meta : dict
        The caller's, as plain JSON, and what finds the run's parts again: ``retyped``, and in a
        store ``runs``.
    added : tuple of dict
        The same of each run that has added parts since.
    """

    format: str
    schema: pa.Schema | None
    partition_by: tuple[str, ...]
    parts: tuple[StoredPart, ...]
    meta: dict[str, Any] = field(default_factory=dict)
    added: tuple[dict[str, Any], ...] = ()

    @property
    def rows(self) -> int:
        """Of all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def metas(self) -> tuple[dict[str, Any], ...]:
        """The `meta` of each run whose parts it lists, in their order."""
        return (self.meta, *self.added)

    @property
    def nbytes(self) -> int:
        """Of all parts."""
        return sum(part.nbytes for part in self.parts)

    def find_parts(self, number: int) -> tuple[int, int]:
        """Return which parts run `number` has committed: the first, and behind the last."""
        number_of = {
            key: index
            for index, meta in reversed([*enumerate(self.metas)])
            for key in (meta.get(BATCH_NUMBER, 0), *meta.get(RUNS, ()))
        }
        numbers = [number_of.get(_run_or_batch_of(part.path), 0) for part in self.parts]
        return bisect_left(numbers, number), bisect_right(numbers, number)

    def joined(self, other: Manifest) -> Manifest:
        """Return both as one: the parts of `other`, which was added, come after these.

        Raises
        ------
        SchemaError
            Columns or types differ.
        """
        common = CommonSchema()
        for schema, label in ((self.schema, "the dataset"), (other.schema, "what was added")):
            if schema is not None:
                common.add(schema, label)
        return replace(
            self,
            schema=common.schema,
            parts=self.parts + other.parts,
            added=(*self.added, other.meta, *other.added),
        )

    def to_json(self) -> str:
        """Return the text of the file, the same for equal manifests."""
        schema = self.schema
        fields = {
            "version": _VERSION,
            "format": self.format,
            "partition_by": list(self.partition_by),
            "rows": self.rows,
            "columns": None
            if schema is None
            else {field.name: str(field.type) for field in schema},
            "arrow_schema": None if schema is None else _encode(schema),
            "parts": [asdict(part) for part in self.parts],
            "meta": self.meta,
        }
        if self.added:
            fields["added"] = list(self.added)
        return json.dumps(fields, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Return the manifest of a text of `to_json`; others raise ValueError or KeyError."""
        fields = json.loads(text)
        if fields["version"] != _VERSION:
            raise ValueError(f"it has version {fields['version']!r}, this version reads {_VERSION}")
        schema = fields["arrow_schema"]
        return cls(
            fields["format"],
            None if schema is None else pa.ipc.read_schema(pa.py_buffer(base64.b64decode(schema))),
            tuple(fields["partition_by"]),
            tuple(StoredPart(**part) for part in fields["parts"]),
            fields["meta"],
            tuple(fields.get("added", ())),
        )


def read_manifest(directory: str | os.PathLike[str]) -> Manifest:
    """Return the manifest of `directory`.

    Raises
    ------
    FileNotFoundError
        There is none.
    ReadError
        It is not one of a written dataset.
    """
    path = os.path.join(directory, MANIFEST)
    with open(path, "rb") as file:
        return parse_manifest(file.read(), path)


def parse_manifest(text: bytes, path: str) -> Manifest:
    """Return the manifest that `text`, read from `path`, is; `ReadError` if it is none."""
    try:
        return Manifest.from_json(text)
    except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise ReadError(
            f"{path}: is not a valid manifest of a written dataset ({error}); write the dataset "
            "again into another directory",
            path=path,
        ) from error


def _run_or_batch_of(path: str) -> str | int:
    """Return what a part's name has of its run: of one in a store its mark, else its batch or 0."""
    name = path.rpartition("/")[2]
    in_store = PART.fullmatch(name)
    if in_store is not None:
        return in_store["run"]
    digits = name.removeprefix(BATCH).partition("-")[0]
    return int(digits) if name.startswith(BATCH) and digits.isdecimal() else 0


def _encode(schema: pa.Schema) -> str:
    return base64.b64encode(schema.serialize().to_pybytes()).decode()
