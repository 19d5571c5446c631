"""Read the whole journal of a run: its fan-outs, their cuts, and the outcomes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache, partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.checkpoints.journal import has_other_format, list_segments, read_segment
from taskinity_data.checkpoints.quarantine import read_entries
from taskinity_data.checkpoints.record_kinds import (
    CutsRecord,
    EndedRecord,
    StartRecord,
    code_at,
    identify_chunk,
)
from taskinity_data.chunks.cut_again import EarlierPiece
from taskinity_data.errors import ResumeError
from taskinity_data.outcome import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from taskinity_data.checkpoints.journal import Record

    _Key = tuple[str, str, int]
    _ByIdentity = dict[tuple[str | None, Any], list["PastItem"]]

__all__ = ["Past", "PastFanOut", "PastItem", "find_item", "read_past"]


class PastItem(NamedTuple):
    """An item that has ended, or a part of one.

    Attributes
    ----------
    key : tuple of (str, str, int)
        Its fan-out, its own key (of a part that of the chunk), and how many chunks of that key came
        before it.
    outcome : Outcome
    position : int
    tried : int
        In which try it ended, from 1.
    chunk : tuple of EarlierPiece
        The pieces of its chunk, of a part those of the whole one; empty if it is none.
    part : tuple of int
    pieces : tuple of EarlierPiece
        Its directory.
    load : callable
        Returns the value as it was stored. What is loaded stays in memory as long as this does.
    """

    key: _Key
    outcome: Outcome
    position: int
    tried: int
    chunk: tuple[EarlierPiece, ...]
    part: tuple[int, ...] = ()
    pieces: tuple[EarlierPiece, ...] = ()
    load: Callable[[], Any] = lambda: None


class _PlannedItem(NamedTuple):
    """What an `OutcomeBlock` must know of an item."""

    key: str
    nbytes: int
    attempt: int = 1
    fallback: str | None = None


@dataclass(slots=True)
class PastFanOut:
    """A fan-out as the journal has it.

    Attributes
    ----------
    start : StartRecord
        Of the last try.
    cuts : dict
        The chunks by the file and place where each begins.
    finished : dict
        The finished items that have a value, by code and data.
    written : dict
        Those whose rows are in an output, and not a fallback's, by arguments and data.
    fresh : dict
        The same of those that have written since the last commit.
    files, reader, chunks
        Of the try that is read: identities of files, that of the reader, and of all chunks the
        pieces, and how many that begin at the same place came before.
    """

    start: StartRecord
    cuts: dict[tuple[str, int], tuple[EarlierPiece, ...]] = field(default_factory=dict)
    finished: _ByIdentity = field(default_factory=dict)
    written: _ByIdentity = field(default_factory=dict)
    fresh: _ByIdentity = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    reader: str = ""
    chunks: list[tuple[tuple[EarlierPiece, ...], int]] = field(default_factory=list)
    _counts: Counter[tuple[str, int]] = field(default_factory=Counter)

    def begin(self, start: StartRecord) -> None:
        """Take in that another try of it begins."""
        if self.start.cutting != start.cutting:
            self.cuts.clear()
        self.start = start
        for of_try in (self.files, self.chunks, self._counts):
            of_try.clear()

    def cut(self, record: CutsRecord) -> None:
        """Add chunks."""
        self.reader = record.reader
        self.files += [file for file, _ in record.files]
        for pieces, is_readable in record.read(self.files):
            begin = pieces[0].file, pieces[0].start
            self.chunks.append((pieces, self._counts[begin]))
            self._counts[begin] += 1
            if is_readable:  # others are cut again: they may be readable then
                self.cuts[begin] = pieces

    def finish(self, item: PastItem, data: Any) -> None:
        """Take in an item that has a value."""
        if data is None:
            return
        code = code_at(self.start.codes, item.position)
        if code is not None:
            self.finished.setdefault((code, data), []).append(item)
        if item.outcome.output is not None and not item.outcome.is_fallback:
            arguments = code_at(self.start.arguments, item.position)
            self.fresh.setdefault((arguments, data), []).append(item)


@dataclass(slots=True)
class Past:
    """A run as its journal has it.

    Attributes
    ----------
    head : dict
        The description of the last try when it began.
    fan_outs : dict of str to PastFanOut
    files : dict of str to str
        The path of each file, by its identity.
    ended : dict of tuple to list of PastItem
        What ended, by `PastItem.key`: one, or the parts of a chunk that was split; once a run came
        through, without chunks of earlier tries that were cut otherwise.
    notes : list of str
    end : dict or None
        The end of the last try; None if it has none.
    value : Record or None
        Of the answer, where it was kept.
    has_committed : bool
        Whether its output was committed at the end of a try.
    staging : list of str
        Where parts were written, try by try.
    schedulers : list of (str, int, str)
        Who ran it, with how many workers and why: of the last try, in order.
    tries : int
        How often it was begun.
    lost_nbytes : int
        Behind the valid part of segments.
    """

    run_id: str
    directory: Path
    head: dict[str, Any] = field(default_factory=dict)
    fan_outs: dict[str, PastFanOut] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    ended: dict[_Key, list[PastItem]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    end: dict[str, Any] | None = None
    value: Record | None = None
    has_committed: bool = False
    staging: list[str] = field(default_factory=list)
    schedulers: list[tuple[str, int, str]] = field(default_factory=list)
    tries: int = 0
    lost_nbytes: int = 0

    def add(self, record: Record) -> None:
        """Take in one record; what a later one says holds."""
        details = record.details
        if record.kind == "H":
            self.head, self.end, self.value = details, None, None
            self.schedulers = []
            self.tries += 1
        elif record.kind == "F":
            start = StartRecord(*details)
            self.fan_outs.setdefault(start.name, PastFanOut(start)).begin(start)
        elif record.kind == "K":
            cuts = CutsRecord(*details)
            self.files |= dict(cuts.files)
            self.fan_outs[cuts.name].cut(cuts)
        elif record.kind == "B":
            self._end(record, EndedRecord(*details))
        elif record.kind == "O":
            self.staging.append(details)
        elif record.kind == "N":
            self.notes.append(details)
        elif record.kind == "S":
            self.schedulers.append(tuple(details))
        elif record.kind == "E":
            self._end_try(record)

    def outcomes(self) -> list[tuple[PastItem, Outcome]]:
        """Return what has ended, and the outcome of each.

        What an earlier run ended is recalled: its times are of then, even where it has not been
        tried again since.
        """
        return [
            (item, replace(item.outcome, is_recalled=item.tried < self.tries))
            for items in self.ended.values()
            for item in items
        ]

    def singles(self) -> list[Outcome]:
        """Return the outcomes of tasks that run once, of a run that came to its end."""
        return list((self.end or {}).get("singles", ()))

    def commit(self) -> None:
        """Note that what was written until now is in the output."""
        self.has_committed = True
        for fan_out in self.fan_outs.values():
            for identity, items in fan_out.fresh.items():
                fan_out.written.setdefault(identity, []).extend(items)
            fan_out.fresh.clear()

    def _end_try(self, record: Record) -> None:
        self.end = details = record.details
        names = set(details.get("outdated", ()))
        outdated = {
            key
            for key, items in self.ended.items()
            if key[:2] in names and items[0].tried < self.tries
        }
        for key in outdated:
            del self.ended[key]
        for fan_out in self.fan_outs.values() if outdated else ():
            for identity, items in fan_out.finished.items():
                fan_out.finished[identity] = [item for item in items if item.key not in outdated]
        if details.get("output") is not None:
            self.commit()
        self.value = record if record.nbytes else None

    def _end(self, record: Record, ended: EndedRecord) -> None:
        fan_out = self.fan_outs[ended.name]
        load_all = cache(record.load)
        outcomes = zip(ended.positions, _outcomes(ended, fan_out), strict=True)
        for number, (position, outcome) in enumerate(outcomes):
            chunk, before = fan_out.chunks[position] if ended.data is None else ((), 0)
            key = outcome.key if ended.part is None else ended.part[0]
            item = PastItem(
                (ended.name, key, before), outcome, position, self.tries, chunk, (), chunk
            )
            if ended.part is not None:
                self._end_part(item, *ended.part[1:])
                continue
            self.ended[item.key] = [item]
            if record.nbytes:
                data = ended.data[number] if ended.data else identify_chunk(fan_out.reader, chunk)
                fan_out.finish(item._replace(load=partial(_load_value, load_all, number)), data)

    def _end_part(self, item: PastItem, part: tuple[int, ...], described: list[Any]) -> None:
        parts = self.ended.get(item.key, [])
        if parts and (not parts[0].part or parts[0].tried < self.tries):
            parts = []  # what came of the chunk before, whole or in parts, holds no more
        pieces = tuple(EarlierPiece(*piece) for piece in described)
        self.ended[item.key] = [*parts, item._replace(part=part, pieces=pieces)]


def _outcomes(ended: EndedRecord, fan_out: PastFanOut) -> Iterable[Outcome]:
    if isinstance(ended.ended, Outcome):
        return [ended.ended]
    keys = [ended.keys[at : at + 16].hex() for at in range(0, len(ended.keys), 16)]
    sizes = [0] * len(keys)
    if ended.data is None:
        chunks = (fan_out.chunks[position][0] for position in ended.positions)
        sizes = [sum(piece.nbytes for piece in chunk) for chunk in chunks]
    return ended.ended.outcomes(map(_PlannedItem, keys, sizes))


def _load_value(load_all: Callable[[], Any], number: int) -> Any:
    """Return the partials and the result of one item of a record: see `FanOutRecord.dump`."""
    partials, results = load_all()
    return [column[number] for column in partials], None if results is None else results[number]


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
            records, lost_nbytes = read_segment(path, run_id)
        except OSError as error:
            raise ResumeError(f"run {run_id}: {path} can't be read: {error}") from error
        past.lost_nbytes += lost_nbytes
        if records and records[0].kind == "H":
            for record in records:
                past.add(record)
    if not past.head:
        reason = "its journal is damaged from the start" if segments else "it has no journal"
        if any(map(has_other_format, segments)):
            reason = "another version of taskinity_data wrote its journal, in another format"
        raise ResumeError(f"run {run_id} in {directory.parent}: {reason}; start it again")
    return past


def find_item(past: Past, key: str) -> tuple[str, tuple[str, ...]]:
    """Return the fan-out and the ranges of a chunk that has ended, or was quarantined.

    Chunks of several fan-outs over the same data have the same key: the first without a result of
    its own is meant.

    Raises
    ------
    ResumeError
        There is none with that key.
    """
    names = list(past.fan_outs)
    matches = [
        (
            outcome.status is Status.COMPLETED and not outcome.is_fallback,
            names.index(item.key[0]),
            item,
        )
        for item, outcome in past.outcomes()
        if outcome.key == key
    ]
    if matches:
        _, number, item = min(matches, key=itemgetter(0, 1))
        return names[number], tuple(
            f"{past.files[file]}:{start}-{stop}" for file, start, stop, *_ in item.pieces
        )
    for entry in read_entries(past.directory):
        if entry["key"] == key:
            return entry["fan_out"], tuple(
                f"{piece['path']}:{piece['start']}-{piece['stop']}" for piece in entry["pieces"]
            )
    raise ResumeError(
        f"run {past.run_id} has no finished chunk {key!r}; td.load_run({past.run_id!r}).outcomes "
        "lists the finished chunks, and .quarantine the quarantined ones"
    )
