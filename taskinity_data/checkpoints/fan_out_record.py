"""The record of a stored fan-out: its code, its data, and its results in an earlier run.

It finds the identity of items and their records.
"""

from __future__ import annotations

import os
import stat
from array import array
from dataclasses import fields
from hashlib import blake2b
from itertools import starmap
from typing import TYPE_CHECKING, Any

from taskinity_data.checkpoints.code_identity import identify, list_changes
from taskinity_data.checkpoints.record_kinds import (
    CutsRecord,
    EndedRecord,
    StartRecord,
    code_at,
    identify_chunk,
)
from taskinity_data.checkpoints.values import NoExactForm
from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.cut_again import IN_MEMORY, find_altered, identify_file
from taskinity_data.formats.stream import StreamBlock
from taskinity_data.wording import format_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from taskinity_data.checkpoints.read_journal import PastFanOut, PastItem
    from taskinity_data.chunks.cut_again import EarlierCuts
    from taskinity_data.chunks.cut_columns import CutColumns
    from taskinity_data.chunks.open_dataset import Dataset
    from taskinity_data.outcome import Outcome
    from taskinity_data.outcome_block import OutcomeBlock
    from taskinity_data.sources.file import SourceFile

__all__ = ["FanOutRecord"]

_MAX_NAMES = 4

_SCALARS = frozenset({int, float, bool})
"""Types whose values are what their `repr` says."""

_MAX_UNASKED_NBYTES = 1 << 30
"""Of a table in memory that is digested, about a second, where nobody asked for a journal."""


class FanOutRecord:
    """One fan-out: what it runs, on what, and what is known of it from before."""

    def __init__(
        self,
        job: Any,
        dataset: Dataset | None,
        cutting: str,
        past: PastFanOut | None,
        *,
        takes_time: bool = True,
    ) -> None:
        self.name: str = job.task
        self.past = past
        self.is_reported = False
        self._reducers = job.reducers
        self._files: dict[SourceFile, str] = {}
        self._described = 0, 0
        self._reader_digest: str | None = None
        self._current: dict[int, str | None] = {}
        shared = _describe_job(job)
        identities = [identify(_describe_chain(chain) | shared) for chain in job.chains]
        codes = [identity.digest for identity in identities]
        # All but the functions: their written results stay, even if the functions have changed.
        arguments: list[str | None] = [None] * len(identities)
        if job.writer is not None:
            described = [_describe_given(chain) | shared for chain in job.chains]
            arguments = [identify(roots).digest for roots in described]
        parts = dict(part for identity in identities for part in identity.parts.items())
        self.unstable = dict(part for each in identities for part in each.unstable.items())
        self.computed = dict.fromkeys(reason for each in identities for reason in each.computed)
        if dataset is not None and not takes_time and _is_large_in_memory(dataset):
            codes = arguments = [None] * len(codes)
            self.unstable["its table in memory"] = "too large to be digested unasked"
            self._files = dict.fromkeys(dataset.sources, IN_MEMORY)
        self._reader = None if dataset is None else dataset.reader
        self._sources = () if dataset is None else dataset.sources
        cutting += " " if dataset is None else f" {_digest(dataset.reader.identity())}"
        self.start = StartRecord(self.name, parts, cutting, codes, arguments, list(self.unstable))
        self._rename_altered()

    def _rename_altered(self) -> None:
        """Give files that were changed in place another name, for they are others."""
        if self._reader is None or not self.cuts:
            return
        files = {self.name_file(file): file for file in self._sources}
        for name, now in find_altered(self.cuts, files, self._reader.unit).items():
            self._files[files[name]] = _digest(f"{name} changed in place {now}")

    @property
    def cuts(self) -> EarlierCuts:
        """The cuts to repeat; none where others were requested."""
        if self.past is None or self.past.start.cutting != self.start.cutting:
            return {}
        return self.past.cuts

    def list_differences(self, paths: Mapping[str, str], *, mends: bool = False) -> list[str]:
        """Return what is not as it was, in words; `mends`: see `find`."""
        assert self.past is not None
        lines = []
        n_kept = sum(map(len, self.past.finished.values()))
        changed = list_changes(self.past.start.parts, self.start.parts)
        if changed and n_kept and mends:
            lines.append(
                f"{self.name} changed ({_list(changed)}): chunks that were written stay as they "
                "are, what was left out runs with the current code"
            )
        elif changed and n_kept:
            lines.append(
                f"{self.name} changed ({_list(changed)}): {format_count(n_kept, 'finished chunk')} "
                f"{'is' if n_kept == 1 else 'are'} run again"
            )
        if self.past.start.cutting != self.start.cutting and self.past.cuts:
            lines.append(
                f"{self.name}: chunk sizes, columns, types or reader options are not those of "
                "before; chunks that are cut otherwise are run again"
            )
        now = {self.name_file(file): file.path for file in self._sources}
        if any(name.startswith(IN_MEMORY) for name in now):
            return lines
        pieces = [piece.file for cut in self.past.cuts.values() for piece in cut]
        before = {name: paths.get(name, "a file") for name in pieces}
        is_new = [path for name, path in now.items() if name not in before]
        changed = sorted({path for path in is_new if path in before.values()})
        gone = sorted(set(before.values()) - set(now.values()))
        if changed:
            lines.append(
                f"{self.name}: {_list(changed)} changed since; chunks of changed files are run "
                "again"
            )
        if gone:
            lines.append(
                f"{self.name}: {_list(gone)} no longer among the sources; chunks of such files are "
                "left out"
            )
        return lines

    # -- what the journal keeps ----------------------------------------------------------------

    def name_file(self, file: SourceFile) -> str:
        """See `identify_file`; looked at once a file."""
        name = self._files.get(file)
        if name is None:
            name = self._files[file] = identify_file(self._reader, file)  # type: ignore[arg-type]
        return name

    def describe_cuts(self, chunks: CutColumns) -> CutsRecord | None:
        """Return what the journal keeps of those `chunks` that came since the last time, if any."""
        start, first = self._described
        if start == len(chunks):
            return None
        self._described = len(chunks), len(chunks.files)
        files = [(self.name_file(file), file.path) for file in chunks.files[first:]]
        reader = self._identify_reader(chunks[start])
        return CutsRecord(self.name, reader, files, chunks.columns(start))

    def _describe_pieces(self, chunk: Chunk) -> list[tuple[Any, ...]]:
        return [
            (self.name_file(piece.file), piece.start, piece.stop, piece.nbytes, piece.rows)
            for piece in chunk.pieces
        ]

    def _identify_reader(self, chunk: Chunk) -> str:
        """Return the digest of the reader of `chunk`, which those of all chunks equal."""
        if self._reader_digest is None:
            self._reader_digest = _digest(chunk.reader.identity())
        return self._reader_digest

    def note(self, items: Sequence[Any]) -> None:
        """Find the identity of `items` that are no chunks: functions may change them."""
        if items and type(items[0].data) is not Chunk:
            for item in items:
                self._current[item.position] = self._identify_data(item.data)

    def describe_items(self, items: Any, ended: Outcome | OutcomeBlock) -> EndedRecord:
        """Return what the journal keeps of `items`, one or columns, which have ended together."""
        first, part = items[0], None
        if len(items) > 1:
            positions, keys, values = items.positions, items.keys, items.data
        else:
            positions, keys = array("I", [first.position]), bytes.fromhex(first.key)
            values = [first.data]
        if first.part:
            part = first.origin, first.part, self._describe_pieces(first.data)
        is_cut = type(first.data) is Chunk
        data = None if is_cut else list(map(self._identify, positions, values))
        return EndedRecord(self.name, positions, keys, data, ended, part)

    def can_find(self, record: EndedRecord) -> bool:
        """Return whether any of the items of `record` could be found by `find`."""
        has_data = record.data is None or any(record.data)
        return record.part is None and has_data and any(self.start.codes)

    def forget(self, positions: Iterable[int]) -> None:
        """Drop what `note` has found of the items at `positions`."""
        for position in positions if self._current else ():
            self._current.pop(position, None)

    def _identify(self, position: int, data: Any) -> str | None:
        if position not in self._current:  # handed out before the journal began
            return self._identify_data(data)
        return self._current[position]

    def _identify_data(self, data: Any) -> str | None:
        if type(data) in _SCALARS:
            return f"{type(data).__name__} {data!r}"
        return None if isinstance(data, StreamBlock) else identify({"": _with_files(data)}).digest

    def find(self, item: Any, *, mends: bool = False) -> Iterator[PastItem]:
        """Yield the items from before that `item` equals, each of them once.

        With `mends` those count too that ended by other functions, as what they have written
        stands.
        """
        if self.past is None:
            return
        data: Any = self._current.get(item.position)
        if type(item.data) is Chunk:
            pieces = self._describe_pieces(item.data)
            data = identify_chunk(self._identify_reader(item.data), pieces)
        before = [(self.start.codes, self.past.finished)]
        before += [(self.start.arguments, self.past.written)] if mends else []
        for codes, ended in before:
            equals = ended.get((code_at(codes, item.position), data), [])
            while equals:
                yield equals.pop()

    # -- values --------------------------------------------------------------------------------

    def dump(self, values: Sequence[Any]) -> Any:
        """Return values of outcomes in columns, those of reducers as their `dump=` has them.

        Raises
        ------
        NoExactForm
            It fails.
        """
        columns = zip(*(partials for partials, _ in values), strict=True)
        results = [result for _, result in values]
        has_results = any(result is not None for result in results)
        return list(map(_dump, self._reducers, columns)), results if has_results else None

    def load(self, stored: Any) -> Any:
        """Return one of the values that `dump` was called with."""
        partials, result = stored
        return tuple(starmap(_load, zip(self._reducers, partials, strict=True))), result


def _is_large_in_memory(dataset: Dataset) -> bool:
    return dataset.reader.is_in_memory and dataset.nbytes > _MAX_UNASKED_NBYTES


def _dump(reducer: Any, partials: Sequence[Any]) -> list[Any]:
    dump = getattr(reducer, "dump", None)
    try:
        return list(partials if dump is None else map(dump, partials))
    except Exception as error:
        raise NoExactForm(f"what dump= can't store ({type(error).__name__}: {error})") from error


def _load(reducer: Any, stored: Any) -> Any:
    load = getattr(reducer, "load", None)
    if load is None:
        return stored
    try:
        return load(stored)
    except Exception as error:
        raise ValueError(f"load= raised {type(error).__name__}: {error}") from error


def _describe_chain(chain: Any) -> dict[str, Any]:
    roots: dict[str, Any] = {}
    for step in chain:
        name = f"task {step.task}"
        roots[name] = (step.function, step.kind, step.validate_input, step.validate_output)
        for index, value in enumerate(step.leading):
            roots[f"argument {index} of {step.task}"] = _with_files(value)
        for argument, value in step.arguments.items():
            roots[f"{argument}= of {step.task}"] = _with_files(value)
        fallback = step.fallback
        if hasattr(fallback, "function"):
            roots |= {
                f"fallback of {step.task}: {key}": value
                for key, value in _describe_chain((fallback,)).items()
            }
        elif fallback is not None:
            roots[f"fallback of {step.task}"] = fallback.value
    return roots


def _describe_given(chain: Any) -> dict[str, Any]:
    """Return the arguments of a chain's functions, except the chunk."""
    roots: dict[str, Any] = {"tasks": [step.task for step in chain]}
    for step in chain:
        roots[f"given to {step.task}"] = _with_files([*step.leading, step.arguments])
    return roots


def _describe_job(job: Any) -> dict[str, Any]:
    roots: dict[str, Any] = {"what is kept": (job.kind, job.keeps_result)}
    for index, reducer in enumerate(job.reducers):
        roots[f"reducer {index + 1}"] = reducer
    if job.writer is not None:
        roots["output"] = [
            (field.name, getattr(job.writer, field.name))
            for field in fields(job.writer)
            if field.name != "staging"
        ]
    return roots


def _with_files(value: Any) -> Any:
    """Return `value` and the state of files that texts in it name: a function may read them."""
    states: list[tuple[str, int, int]] = []
    todo = [value]
    while todo:
        part = todo.pop()
        if isinstance(part, (list, tuple, set, frozenset)):
            todo += part
        elif isinstance(part, dict):
            todo += part.values()
        elif isinstance(part, os.PathLike) or (isinstance(part, str) and 0 < len(part) < 4096):
            try:
                state = os.stat(part)
            except (OSError, ValueError):
                continue
            if stat.S_ISREG(state.st_mode):
                states.append((os.fsdecode(part), state.st_size, state.st_mtime_ns))
    return (value, sorted(states)) if states else value


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _list(names: Any) -> str:
    shown = [str(name) for name in names]
    more = f" and {len(shown) - _MAX_NAMES:,} more" if len(shown) > _MAX_NAMES else ""
    return ", ".join(shown[:_MAX_NAMES]) + more
