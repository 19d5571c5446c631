"""What the journal of a run says, read as a whole: its fan-outs, their cuts, what ended how."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.checkpoints.journal import has_other_format, list_segments, read_segment
from taskinity_data.checkpoints.plain_cuts import from_plain_cuts
from taskinity_data.checkpoints.plain_outcomes import from_plain, split_plain_block
from taskinity_data.checkpoints.quarantine import read_entries
from taskinity_data.errors import ResumeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from taskinity_data.checkpoints.journal import Record
    from taskinity_data.chunks.cut_again import EarlierPiece
    from taskinity_data.outcome import Outcome

__all__ = ["EndedPart", "Past", "PastFanOut", "Split", "find_item", "read_past"]


@dataclass(slots=True)
class PastFanOut:
    """A fan-out as the journal has it.

    Attributes
    ----------
    code : dict of str to str
        Digests of what it ran, by part.
    cutting : str
        How it was to be cut, and as what its files were read.
    cuts : dict
        The chunks by the file and place where each begins.
    finished : dict
        The record of each finished chunk that has a value, by (identity, how many of it before).
    written : dict
        Those whose rows stand in an output, and are no fallback's, by all of their identity but the
        functions.
    fresh : dict
        The same of those that have written since the last commit.
    unstable : list of str
        Parts of `code` whose digests say nothing.
    """

    code: dict[str, str] = field(default_factory=dict)
    cutting: str = ""
    cuts: dict[tuple[str, int], tuple[EarlierPiece, ...]] = field(default_factory=dict)
    finished: dict[tuple[str, int], Record] = field(default_factory=dict)
    written: dict[tuple[str, int], Record] = field(default_factory=dict)
    fresh: dict[tuple[str, int], Record] = field(default_factory=dict)
    unstable: list[str] = field(default_factory=list)


class EndedPart(NamedTuple):
    """A part of a chunk that was split: the chunk's place, its own in it, and where it lies.

    `pieces` have path, start, stop, bytes and rows.
    """

    position: int
    part: tuple[int, ...]
    pieces: tuple[tuple[Any, ...], ...]


@dataclass(slots=True)
class Split:
    """A chunk that was split in the try with that number: its parts, by their keys in `ended`."""

    number: int
    parts: dict[tuple[str, str, int], EndedPart] = field(default_factory=dict)


@dataclass(slots=True)
class Past:
    """A run as its journal has it.

    Attributes
    ----------
    head : dict
        The description of the last try when it began.
    first : dict
        That of the first try.
    fan_outs : dict of str to PastFanOut
    files : dict of str to str
        The path of each file, by its identity.
    ended : dict
        (fan-out or "", key, how many before) to the facts of what ended; once a run came through,
        without chunks of earlier tries that were cut otherwise.
    notes : list of str
    end : dict or None
        The end of the last try; None where it has none.
    value : Record or None
        Of the answer, where it was kept.
    has_committed : bool
        Whether an output of it stood at the end of a try.
    staging : list of str
        Where parts were written, try by try.
    schedulers : list of (str, int, str)
        Who ran it, with how many workers and why: of the last try, in order.
    tries : int
        How often it was begun.
    tried : dict
        By the keys of `ended`: in which try, from 1.
    split : dict of (str, str, int) to Split
        Chunks of which parts have ended, by fan-out, the chunk's key, how many before; the parts
        stand in `ended` in its place.
    lost_nbytes : int
        Behind the valid part of segments.
    """

    run_id: str
    directory: Path
    head: dict[str, Any] = field(default_factory=dict)
    first: dict[str, Any] = field(default_factory=dict)
    fan_outs: dict[str, PastFanOut] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    ended: dict[tuple[str, str, int], Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    end: dict[str, Any] | None = None
    value: Record | None = None
    has_committed: bool = False
    staging: list[str] = field(default_factory=list)
    schedulers: list[tuple[str, int, str]] = field(default_factory=list)
    tries: int = 0
    tried: dict[tuple[str, str, int], int] = field(default_factory=dict)
    split: dict[tuple[str, str, int], Split] = field(default_factory=dict)
    lost_nbytes: int = 0

    def add(self, record: Record) -> None:
        """Take in one record; what a later one says holds."""
        details = record.details
        if record.kind == "H":
            self.head, self.end, self.value = details, None, None
            self.first = self.first or details
            self.schedulers = []
            self.tries += 1
        elif record.kind == "F":
            past = self.fan_outs.setdefault(details["name"], PastFanOut())
            if past.cutting != details["asked"]:
                past.cuts.clear()
            past.code, past.cutting = details["code"], details["asked"]
            past.unstable = details.get("unstable", [])
        elif record.kind == "K":
            name, files, columns, paths = details
            self.files |= paths
            for pieces in from_plain_cuts(files, columns):
                self.fan_outs[name].cuts[pieces[0].file, pieces[0].start] = pieces
        elif record.kind in "BC":
            for single in _split(record):
                self._end(single)
        elif record.kind == "D":
            self._end_part(*record.details)
        elif record.kind == "O":
            self.staging.append(details)
        elif record.kind == "N":
            self.notes.append(details)
        elif record.kind == "S":
            self.schedulers.append(tuple(details))
        elif record.kind == "E":
            self._end_try(record)

    def outcomes(self) -> list[tuple[tuple[str, str, int], Outcome]]:
        """Return the keys of `ended` and the outcome of each item.

        What an earlier run ended is recalled: its times are of then, even where it has not been
        tried again since.
        """
        return [
            (key, replace(from_plain(details[3]), is_recalled=self.tried[key] < self.tries))
            for key, details in self.ended.items()
        ]

    def singles(self) -> list[Outcome]:
        """Return the outcomes of tasks that run once, of a run that came to its end."""
        return [from_plain(plain) for plain in (self.end or {}).get("singles", ())]

    def commit(self) -> None:
        """Note that what was written until now stands in the output."""
        self.has_committed = True
        for fan_out in self.fan_outs.values():
            fan_out.written |= fan_out.fresh
            fan_out.fresh.clear()

    def _end_try(self, record: Record) -> None:
        self.end = details = record.details
        for key in details.get("outdated", ()):
            if self.tried.get(key, self.tries) < self.tries:
                del self.tried[key]
                name, identity, before, *_ = self.ended.pop(key)
                if name in self.fan_outs:
                    self.fan_outs[name].finished.pop((identity, before), None)
        if details.get("output") is not None:
            self.commit()
        self.value = record if record.nbytes else None

    def _end_part(
        self,
        name: str,
        chunk: str,
        before: int,
        position: int,
        part: Sequence[int],
        pieces: Sequence[Sequence[Any]],
        plain: Sequence[Any],
    ) -> None:
        whole = name, chunk, before
        split = self.split.get(whole)
        if split is None or split.number != self.tries:
            # What an earlier run came to with the chunk, whole or in parts, holds no more.
            self._forget_parts(whole)
            self.ended.pop(whole, None)
            self.tried.pop(whole, None)
            split = self.split[whole] = Split(self.tries)
        key = name, plain[1], before
        split.parts[key] = EndedPart(position, tuple(part), tuple(map(tuple, pieces)))
        where = pieces[0][0], pieces[0][1], pieces[-1][2]
        self.ended[key] = (name, None, before, plain, where, position)
        self.tried[key] = self.tries

    def _forget_parts(self, whole: tuple[str, str, int]) -> None:
        split = self.split.pop(whole, None)
        for key in () if split is None else split.parts:
            self.ended.pop(key, None)
            self.tried.pop(key, None)

    def _end(self, record: Record) -> None:
        name, identity, before, plain, *_ = record.details
        self._forget_parts((name, plain[1], before))
        self.ended[name, plain[1], before] = record.details
        self.tried[name, plain[1], before] = self.tries
        if identity is not None and record.nbytes and name in self.fan_outs:
            self.fan_outs[name].finished[identity, before] = record
            data_identity = record.details[6] if len(record.details) > 6 else None
            if data_identity is not None:
                self.fan_outs[name].fresh[data_identity, before] = record


def _split(record: Record) -> Iterator[Record]:
    """Yield a record for each item that `record` has: many of a block, which is of kind B."""
    if record.kind == "C":
        yield record
        return
    values: list[Any] = []

    def load_part(number: int) -> Any:
        if not values:
            values.extend(record.load())
        return values[number]

    for number, details in enumerate(split_plain_block(record.details)):
        yield replace(record, details=details, load_part=partial(load_part, number))


def read_past(directory: Path) -> Past:
    """Return what the journal in `directory` says, as far as it proves itself.

    Raises
    ------
    ResumeError
        There is none, or nothing of it is valid.
    """
    run_id = directory.name
    past = Past(run_id, directory)
    segments = list_segments(directory)
    for path in segments:
        try:
            segment = read_segment(path, run_id)
        except OSError as error:
            raise ResumeError(f"run {run_id}: {path} can't be read: {error}") from error
        past.lost_nbytes += segment.lost_nbytes
        if segment.records and segment.records[0].kind == "H":
            for record in segment.records:
                past.add(record)
    if not past.head:
        reason = "its journal is damaged from the start" if segments else "it has no journal"
        if any(map(has_other_format, segments)):
            reason = "another version of taskinity_data wrote its journal, in another format"
        raise ResumeError(f"run {run_id} in {directory.parent}: {reason}; start it again")
    return past


def find_item(past: Past, key: str) -> tuple[str, tuple[str, ...]]:
    """Return the fan-out and the ranges of a chunk that has ended, or was quarantined.

    Raises
    ------
    ResumeError
        There is none with that key.
    """
    for details in past.ended.values():
        if details[3][1] == key:
            return details[0], _ranges_of(past, details)
    for entry in read_entries(past.directory):
        if entry["key"] == key:
            return entry["fan_out"], tuple(
                f"{piece['path']}:{piece['start']}-{piece['stop']}" for piece in entry["pieces"]
            )
    raise ResumeError(
        f"run {past.run_id} has no chunk {key!r} that has ended; "
        f"td.load_run({past.run_id!r}).outcomes lists those that have, and .quarantine what "
        "was quarantined"
    )


def _ranges_of(past: Past, details: Any) -> tuple[str, ...]:
    name, where = details[0], details[4]
    if where is None:
        return ()
    for split in past.split.values():
        for ended, part in split.parts.items():
            if ended[:2] == (name, details[3][1]):
                return tuple(f"{piece[0]}:{piece[1]}-{piece[2]}" for piece in part.pieces)
    for pieces in past.fan_outs[name].cuts.values():
        first = pieces[0]
        path = past.files.get(first.file)
        if path == where[0] and first.start == where[1] and pieces[-1].stop == where[2]:
            return tuple(f"{past.files[piece.file]}:{piece.start}-{piece.stop}" for piece in pieces)
    return (f"{where[0]}:{where[1]}-{where[2]}",)
