"""One fan-out that is kept: what it runs, on what, and what is known of it from an earlier run.

It finds the identity of items and their records.
"""

from __future__ import annotations

import os
import stat
from dataclasses import fields
from hashlib import blake2b
from itertools import starmap
from typing import TYPE_CHECKING, Any

from taskinity_data.checkpoints.code_identity import identify, list_changes
from taskinity_data.checkpoints.digest_counts import DigestCounts
from taskinity_data.checkpoints.values import NoExactForm
from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.cut_again import IN_MEMORY, EarlierPiece, find_altered, identify_file
from taskinity_data.formats.stream import StreamBlock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.checkpoints.read_journal import PastFanOut
    from taskinity_data.chunks.cut_again import EarlierCuts
    from taskinity_data.chunks.open_dataset import Dataset
    from taskinity_data.outcome import Outcome
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
        self._named: set[str] = set()
        self._digests_of_readers: dict[tuple[int, str], tuple[Any, Any]] = {}
        self._counts = DigestCounts()
        self._current: dict[int, tuple[str | None, int, str | None]] = {}
        shared = _describe_job(job)
        identities = [identify(_describe_chain(chain) | shared) for chain in job.chains]
        self._codes = [identity.digest for identity in identities]
        # All but the functions: what they have written stands, whatever they are now.
        self._argument_codes: list[str | None] = [None] * len(identities)
        if job.writer is not None:
            described = [_describe_given(chain) | shared for chain in job.chains]
            self._argument_codes = [identify(roots).digest for roots in described]
        self.parts = {
            name: digest for identity in identities for name, digest in identity.parts.items()
        }
        self.unstable = {
            name: reason for identity in identities for name, reason in identity.unstable.items()
        }
        self.computed = dict.fromkeys(
            reason for identity in identities for reason in identity.computed
        )
        if dataset is not None and not takes_time and _is_large_in_memory(dataset):
            self._codes = self._argument_codes = [None] * len(self._codes)
            self.unstable["its table in memory"] = "too large to be digested unasked"
        self._reader = None if dataset is None else dataset.reader
        self._sources = () if dataset is None else dataset.sources
        reader = "" if dataset is None else _digest(dataset.reader.identity())
        self.cutting = f"{cutting} {reader}"
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
        if self.past is None or self.past.cutting != self.cutting:
            return {}
        return self.past.cuts

    def list_differences(self, paths: Mapping[str, str], *, mends: bool = False) -> list[str]:
        """Return what is not as it was, in words; `mends`: see `find`."""
        assert self.past is not None
        lines = []
        n_kept = len(self.past.finished)
        changed = list_changes(self.past.code, self.parts)
        if changed and n_kept and mends:
            lines.append(
                f"{self.name} changed ({_list(changed)}): chunks that were written stay as they "
                "are, what was left out runs with today's code"
            )
        elif changed and n_kept:
            lines.append(
                f"{self.name} changed ({_list(changed)}): {n_kept:,} finished chunks are run again"
            )
        elif self.past.cutting != self.cutting and self.past.cuts:
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
        for word, names in (("changed", changed), ("gone", gone)):
            if names:
                lines.append(f"{self.name}: {_list(names)} {word} since")
        return lines

    # -- identities ----------------------------------------------------------------------------

    def name_file(self, file: SourceFile) -> str:
        """See `identify_file`; looked at once a file."""
        name = self._files.get(file)
        if name is None:
            name = self._files[file] = identify_file(self._reader, file)  # type: ignore[arg-type]
        return name

    def describe_cuts(self, items: Sequence[Any]) -> tuple[Any, ...] | None:
        """Return what the journal keeps of the cuts of `items`, None if there is nothing new.

        With them come the paths of files that were in none before, by their names.
        """
        cuts: list[tuple[EarlierPiece, ...]] = []
        paths: dict[str, str] = {}
        for item in items:
            if isinstance(item.data, Chunk) and (cut := self._describe_cut(item.data)):
                cuts.append(cut)
                for piece, planned in zip(cut, item.data.pieces, strict=True):
                    if piece.file not in self._named:
                        self._named.add(piece.file)
                        paths[piece.file] = planned.path
        from taskinity_data.checkpoints.plain_cuts import to_plain_cuts

        return (self.name, *to_plain_cuts(cuts), paths) if cuts else None

    def _describe_cut(self, chunk: Chunk) -> tuple[EarlierPiece, ...]:
        """Return the pieces of `chunk` to be stored; none where they are, or it can't be read."""
        if chunk.failure is not None:
            return ()  # to be cut again: it may be read then
        pieces = tuple(
            EarlierPiece(
                self.name_file(piece.file),
                piece.start,
                piece.stop,
                piece.nbytes,
                piece.rows,
                None if number else chunk.mark,
            )
            for number, piece in enumerate(chunk.pieces)
        )
        is_known = self.past is not None and (
            self.past.cuts.get((pieces[0].file, pieces[0].start)) == pieces
        )
        return () if is_known else pieces

    def count(self, item: Any) -> None:
        """Find the identity of an item that is handed out; equal ones differ by order."""
        identity = self._identify(item, self._codes)
        before = 0 if identity is None else self._counts.add(identity)
        data_identity = self._identify(item, self._argument_codes)
        self._current[item.position] = identity, before, data_identity

    def identity_of(self, item: Any) -> tuple[str | None, int, str | None]:
        """Return what `count` found: identity, equal ones before, identity without functions.

        Nothing for parts of a chunk that was split while it ran.
        """
        if item.part:
            return None, 0, None
        if item.position not in self._current:
            self.count(item)  # handed out before the journal began
        return self._current[item.position]

    def describe_part(self, item: Any) -> tuple[Any, ...]:
        """Return the chunk that was split, how many equal ones before it, and its part."""
        before = self._current.get(item.position, (None, 0, None))[1]
        pieces = [
            (piece.path, piece.start, piece.stop, piece.nbytes, piece.rows)
            for piece in item.data.pieces
        ]
        return item.origin, before, item.position, item.part, pieces

    def describe_item(self, item: Any, outcome: Outcome) -> tuple[Any, ...]:
        """Return what the journal keeps of `item`, which has ended, beside its value."""
        identity, before, data_identity = self.identity_of(item)
        self.forget([item])
        if outcome.output is None or outcome.is_fallback:
            data_identity = None
        data = item.data
        where = (data.path, data.start, data.stop) if isinstance(data, Chunk) else None
        from taskinity_data.checkpoints.plain_outcomes import to_plain

        plain = to_plain(outcome)
        return self.name, identity, before, plain, where, item.position, data_identity

    def forget(self, items: Sequence[Any]) -> None:
        """Drop the identities of items that have ended."""
        for item in items:
            self._current.pop(item.position, None)

    def _identify(self, item: Any, codes: Sequence[str | None]) -> str | None:
        code = codes[item.position if len(codes) > 1 else 0]
        if code is None or isinstance(item.data, StreamBlock):
            return None
        if isinstance(item.data, Chunk):
            digest = self._begin(item.data.reader, code).copy()
            for piece in item.data.pieces:
                name = self.name_file(piece.file)
                digest.update(f"\0{name}\0{piece.start}\0{piece.stop}".encode())
            return str(digest.hexdigest())
        digest = blake2b(code.encode(), digest_size=16)
        if type(item.data) in _SCALARS:
            digest.update(f"\0{type(item.data).__name__} {item.data!r}".encode())
        else:
            value_digest = identify({"": _with_files(item.data)}).digest
            if value_digest is None:
                return None
            digest.update(value_digest.encode())
        return digest.hexdigest()

    def _begin(self, reader: Any, code: str) -> Any:
        """Return the digest of code and reader, with which those of its chunks begin."""
        reader_digest = self._digests_of_readers.get((id(reader), code))
        if reader_digest is None:
            digest = blake2b(f"{code}{_digest(reader.identity())}".encode(), digest_size=16)
            # The reader is held too, so that no id is reused.
            reader_digest = self._digests_of_readers[id(reader), code] = reader, digest
        return reader_digest[1]

    def find(self, item: Any, *, mends: bool = False) -> Any:
        """Return the record of `item` from before, if there is one; each is used once.

        With `mends` one by other functions counts too, as what they have written stands.
        """
        identity, before, data_identity = self.identity_of(item)
        if self.past is None:
            return None
        record = None if identity is None else self.past.finished.pop((identity, before), None)
        if record is None and mends and data_identity is not None:
            record = self.past.written.pop((data_identity, before), None)
        return record

    # -- values --------------------------------------------------------------------------------

    def dump(self, value: Any) -> Any:
        """Return a value as `dump=` of its reducers has it; raise `NoExactForm` where it fails."""
        partials, result = value
        return tuple(starmap(_dump, zip(self._reducers, partials, strict=True))), result

    def load(self, stored: Any) -> Any:
        """Return the value that `dump` was called with."""
        partials, result = stored
        return tuple(starmap(_load, zip(self._reducers, partials, strict=True))), result


def _is_large_in_memory(dataset: Dataset) -> bool:
    is_in_memory = dataset.reader.keeper is not None
    return is_in_memory and dataset.nbytes > _MAX_UNASKED_NBYTES


def _dump(reducer: Any, partial: Any) -> Any:
    dump = getattr(reducer, "dump", None)
    if dump is None:
        return partial
    try:
        return dump(partial)
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
    """Return what the functions of a chain are called with, beside the chunk."""
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
