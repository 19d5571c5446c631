"""Load a stored run from its journal, as a `Run`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from taskinity_data.checkpoints.quarantine import find_quarantine
from taskinity_data.checkpoints.read_journal import read_past
from taskinity_data.checkpoints.run_directory import find_run, who_runs
from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.cut_again import IN_MEMORY
from taskinity_data.chunks.plan import ChunkPlan
from taskinity_data.errors import FlowError, FlowSyntaxError
from taskinity_data.execution.run_account import Entry
from taskinity_data.execution.worker.job import Item
from taskinity_data.flow.flow import Flow
from taskinity_data.flow.language.parser import parse_flow
from taskinity_data.formats.reader import Reader
from taskinity_data.outcome import Outcome, RunStatus
from taskinity_data.report.next_steps import next_steps
from taskinity_data.run.journal import locate_runs
from taskinity_data.run.result import Output, Run
from taskinity_data.settings import load_settings
from taskinity_data.sources.file import Piece, SourceFile
from taskinity_data.sources.fingerprint import Fingerprint

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from taskinity_data.checkpoints.read_journal import Past
    from taskinity_data.chunks.cut_again import EarlierPiece

    _Cuts = dict[tuple[str, int, int], Chunk]
    _Ended = tuple[Item | None, Outcome]

__all__ = ["load_run", "status_of"]


def status_of(directory: Path, status: Any) -> RunStatus:
    """Return the status of the run in `directory`, whose journal or summary has `status`."""
    if who_runs(directory) is not None:
        return RunStatus.RUNNING
    return RunStatus.INTERRUPTED if status in (None, "RUNNING") else RunStatus(status)


def load_run(run_id: str, run_dir: str | os.PathLike[str] | None = None) -> Run:
    """Return the run `run_id`, as its journal has it.

    Parameters
    ----------
    run_id : str
    run_dir : path, optional
        As in `list_runs`.

    Raises
    ------
    ResumeError
        There is none, or its journal can't be read.
    """
    directory = find_run(locate_runs(run_dir), run_id)
    past = read_past(directory)
    status = status_of(directory, (past.end or {}).get("status"))
    run = _rebuild(past, status)
    if status is RunStatus.RUNNING:
        return run
    lost = run.failures["key"]
    folder = directory.parent.absolute()
    steps = next_steps(
        {"run_id": run_id, **past.head},
        str(status),
        key=lost.iloc[0] if len(lost) else None,
        is_resumable=status is RunStatus.PARTIAL
        or any(fan_out.finished for fan_out in past.fan_outs.values()),
        run_dir=None if folder == load_settings().run_dir.absolute() else str(folder),
    )
    return replace(run, next_steps=tuple(steps))


def _rebuild(past: Past, status: RunStatus) -> Run:
    cuts = _chunks(past)
    ended = _ended(past, cuts)
    end = past.end or {}
    name, workers, reason = past.schedulers[-1] if past.schedulers else ("unknown", 0, "")
    output = end.get("output")
    value = None if past.value is None else past.value.load()
    if value is None and output is not None:
        value = output[0]
    started_s, ended_s = past.head["started_s"], end.get("ended_s")
    return Run(
        value=value,
        results={},
        status=status,
        run_id=past.run_id,
        flow=_flow(past),
        plans={
            name: ChunkPlan(tuple(fan_out_cuts.values()), (), None, "as it was cut")
            for name, fan_out_cuts in cuts.items()
            if fan_out_cuts
        },
        sizes=end.get("sizes", {}),
        scheduler=name,
        scheduler_reason=reason,
        workers=workers,
        dashboard_link=None,
        timings=_timings(past, ended),
        stop_reason=end.get("reason"),
        output=None if output is None else Output(*output),
        notices=(*past.notes, *end.get("notices", ())),
        quarantine=find_quarantine(past.directory),
        log=Path(end["log"]) if end.get("log") else None,
        started=pd.Timestamp(started_s, unit="s", tz="UTC"),
        duration_s=None if ended_s is None else ended_s - started_s,
        directory=past.directory,
        versions=past.head["versions"],
        missing=tuple(_missing(past, status, cuts, ended)),
        _ended=tuple(ended),
        _accounts=end.get("accounts", {}),
        _bad_lines=tuple(_bad_lines(ended)),
        _members=tuple(end.get("workers", ())),
        _ranks=_rank_tasks(past),
        _head=past.head,
    )


def _bad_lines(ended: Sequence[_Ended]) -> Iterator[Entry]:
    for _, outcome in ended:
        for line in outcome.bad_lines.lines if outcome.bad_lines else ():
            yield Entry(outcome.task, outcome.key, line)


def _rank_tasks(past: Past) -> dict[str, int]:
    """Return the rank of each task of a fan-out: one rank for all."""
    ranks = {name: number for number, name in enumerate(past.fan_outs)}
    return ranks | {outcome.task: ranks[item.key[0]] for item, outcome in past.outcomes()}


def _missing(
    past: Past, status: RunStatus, cuts: Mapping[str, _Cuts], ended: Sequence[_Ended]
) -> Iterator[str]:
    """Yield what is not known of the run, in sentences."""
    if past.end is None and status is RunStatus.RUNNING:
        yield "This run is in progress: the report shows what had ended when it was written."
    elif past.end is None or "timings" not in past.end:
        yield (
            "This run did not come to its end, or its process was killed: times of the whole, "
            "single tasks, the ledger and how sizes adapted were not kept."
        )
    if not past.ended:
        yield "No chunk had ended, or none was kept."
    listed = {item.data for item, _ in ended if item is not None}
    lost = sum(
        chunk not in listed for fan_out_cuts in cuts.values() for chunk in fan_out_cuts.values()
    )
    if past.ended and lost and status in (RunStatus.COMPLETED, RunStatus.PARTIAL):
        yield f"Of {lost:,} chunks nothing is kept: their files changed between tries."
    if not past.schedulers:
        yield "Who ran it was not kept."


def _flow(past: Past) -> Flow:
    try:
        return parse_flow(past.head["text"])
    except (FlowSyntaxError, FlowError):  # of a version with other keywords
        return Flow(str(past.head["flow"]))


class _NoReader(Reader):
    """Replaces a chunk's reader: the journal records where chunks are, not how to read them."""

    unit = "places"

    def __init__(self, is_in_memory: bool) -> None:
        self.is_in_memory = is_in_memory  # type: ignore[misc]  # of each chunk its own

    def identity(self) -> str:
        return "not kept"


def _chunks(past: Past) -> dict[str, _Cuts]:
    """Return the chunks of each fan-out by file, start and stop, in the order of the cuts.

    If one was split, its finished parts replace it.
    """
    parts = {
        (name, _range_of(items[0].chunk)): sorted(items, key=lambda item: item.part)
        for (name, *_), items in past.ended.items()
        if items[0].part
    }
    chunks: dict[str, _Cuts] = {}
    for name, fan_out in past.fan_outs.items():
        cuts = chunks.setdefault(name, {})
        for whole in fan_out.cuts.values():
            split = parts.get((name, _range_of(whole)))
            for pieces in [whole] if split is None else [part.pieces for part in split]:
                cuts[_range_of(pieces)] = _make_chunk(past, pieces, len(cuts))
    return chunks


def _range_of(pieces: Sequence[EarlierPiece]) -> tuple[str, int, int]:
    return pieces[0].file, pieces[0].start, pieces[-1].stop


def _make_chunk(past: Past, pieces: Sequence[EarlierPiece], index: int = 0) -> Chunk:
    located = (
        Piece(SourceFile(past.files[file], Fingerprint(0, 0, 0)), start, stop, nbytes, rows)
        for file, start, stop, nbytes, rows, _ in pieces
    )
    reader = _NoReader(pieces[0].file.startswith(IN_MEMORY))
    return Chunk(cast("Any", reader), tuple(located), index)


def _ended(past: Past, chunks: Mapping[str, _Cuts]) -> list[_Ended]:
    """Return the finished items with their outcomes, in the order of tasks, chunks and parts.

    Tasks that run once come last, without an item.
    """
    ranks = {name: number for number, name in enumerate(past.fan_outs)}
    items: list[tuple[int, Item, Outcome]] = []
    for ended, outcome in past.outcomes():
        name = ended.key[0]
        chunk = None
        if ended.pieces:
            chunk = chunks[name].get(_range_of(ended.pieces)) or _make_chunk(past, ended.pieces)
        item = Item(outcome.key, chunk, ended.position, ended.part)
        items.append((ranks[name], item, outcome))
    items.sort(key=lambda entry: (entry[0], entry[1].index))
    singles: list[_Ended] = [(None, outcome) for outcome in past.singles()]
    return [(item, outcome) for _, item, outcome in items] + singles


def _timings(past: Past, ended: Sequence[_Ended]) -> dict[str, float]:
    """Return those that were kept; else what the chunks took."""
    end = past.end or {}
    if "timings" in end:
        return dict(end["timings"])
    attempts = [
        attempt
        for _, outcome in ended
        for attempt in (() if outcome.is_recalled else outcome.attempts)
    ]
    begun_s = past.head["started_s"]
    last_s = max((attempt.started_s + attempt.duration_s for attempt in attempts), default=begun_s)
    return {
        "total": max(end.get("ended_s", last_s) - begun_s, 0.0),
        "read": sum(attempt.read_s for attempt in attempts),
        "function": sum(attempt.function_s for attempt in attempts),
        "partial": sum(attempt.partial_s for attempt in attempts),
    }
