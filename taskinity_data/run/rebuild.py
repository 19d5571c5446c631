"""What the journal keeps of a run beside its chunks, as plain data: made at its end, read later.

It knows nothing of journals, and nothing of how a run is shown.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from taskinity_data.checkpoints.plain_outcomes import from_plain, to_plain
from taskinity_data.checkpoints.quarantine import find_quarantine
from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.cut_again import IN_MEMORY
from taskinity_data.chunks.plan import ChunkPlan
from taskinity_data.errors import FlowError, FlowSyntaxError
from taskinity_data.execution.worker.run_item import Item
from taskinity_data.flow.language.parser import parse_flow
from taskinity_data.flow.model import Flow
from taskinity_data.forecast.compare_with_run import Met
from taskinity_data.run.result import Output, Run
from taskinity_data.sources.file import Piece, SourceFile
from taskinity_data.sources.fingerprint import Fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskinity_data.checkpoints.read_journal import EndedPart, Past
    from taskinity_data.execution.driver import Driver
    from taskinity_data.outcome import Outcome, RunStatus

    _Cuts = dict[tuple[str, int, int], Chunk]

__all__ = ["facts_of", "outcomes_of", "rebuild_run"]


def facts_of(run: Run, driver: Driver) -> dict[str, Any]:
    """What is kept of `run`, which `driver` drove: plain values alone."""
    return {
        "timings": dict(run.timings),
        "accounts": {name: fan_out.account() for name, fan_out in driver.fan_outs.items()},
        "sizes": {name: [list(one) for one in changes] for name, changes in run.sizes.items()},
        "singles": [to_plain(outcome) for item, outcome in driver.account.outcomes if item is None],
        "output": None if run.output is None else list(run.output),
        "predicted": [list(one) for one in run.predicted],
        "log": None if run.log is None else str(run.log),
        "notices": list(driver.account.notices.lines),
    }


def rebuild_run(
    past: Past, status: str
) -> tuple[Run, list[tuple[Item | None, Outcome]], list[str]]:
    """The run that the journal `past` tells of, its pairs of item and outcome, and what is missing.

    Its results are not there, but for the answer; its chunks can be told, and not be read.

    Raises
    ------
    OSError, ValueError
        The answer was changed since the journal was proved.
    """
    missing = []
    end = past.end
    if end is None:
        missing.append(
            "This run goes on now: the report shows what had ended when it was written."
            if status == "RUNNING"
            else "This run did not come to its end, or its process was killed: times of the whole, "
            "single tasks, the ledger and how sizes adapted were not kept."
        )
    elif "timings" not in end:
        missing.append(
            "The run was kept by a version that did not keep times of the whole, single tasks, the "
            "ledger and sizes."
        )
    end = end or {}
    cuts = _chunks(past)
    ended = _ended(past, cuts)
    ended += [(None, outcome) for outcome in _singles(past)]
    if not past.ended:
        missing.append("No chunk had ended, or none was kept.")
    told = {item.data for item, _ in ended if item is not None}
    lost = sum(chunk not in told for found in cuts.values() for chunk in found.values())
    if past.ended and lost and status in ("COMPLETED", "PARTIAL"):
        missing.append(
            f"Of {lost:,} chunks nothing is kept: an older version split them while they ran, or "
            "their files changed between tries."
        )
    name, workers, reason = past.schedulers[-1] if past.schedulers else ("unknown", 0, "")
    if not past.schedulers:
        missing.append("Who ran it was not kept.")
    output = end.get("output")
    value = None if past.value is None else past.value.load()
    if value is None and output is not None:
        value = output[0]
    run = Run(
        value=value,
        results={},
        status=cast("RunStatus", status),
        run_id=past.run_id,
        flow=_flow(past, missing),
        plans={
            name: ChunkPlan(tuple(found.values()), (), None, "as it was cut")
            for name, found in cuts.items()
            if found
        },
        sizes={
            name: [(at, nbytes, why) for at, nbytes, why in changes]
            for name, changes in end.get("sizes", {}).items()
        },
        scheduler=name,
        scheduler_reason=reason,
        workers=workers,
        dashboard_link=None,
        timings=_timings(past, ended),
        stop_reason=end.get("reason"),
        output=None if output is None else Output(*output),
        notices=(*past.notes, *end.get("notices", ())),
        quarantine=find_quarantine(past.directory),
        predicted=tuple(Met(*one) for one in end.get("predicted", ())),
        log=Path(end["log"]) if end.get("log") else None,
        _ended=tuple(ended),
        _accounts=end.get("accounts", {}),
    )
    return run, ended, missing


def _flow(past: Past, missing: list[str]) -> Flow:
    try:
        return parse_flow(past.head["text"])
    except (FlowSyntaxError, FlowError, KeyError):
        missing.append("The flow's text can't be read by this version.")
        return Flow(str(past.head.get("flow", "Flow")))


class _NoReader:
    """Stands where a chunk's reader was: the journal tells where chunks lie, not how to read."""

    unit = "places"

    def __init__(self, is_in_memory: bool) -> None:
        self.keeper = "gone" if is_in_memory else None

    def identity(self) -> str:
        return "not kept"


def _chunks(past: Past) -> dict[str, _Cuts]:
    """The chunks of each fan-out by path, start and stop, in the order in which they were cut.

    Where one was split, its parts that have ended stand in its place.
    """
    found = {name: _put_parts(mine, past, name) for name, mine in _planned(past).items()}
    return {
        name: {where: replace(chunk, index=n) for n, (where, chunk) in enumerate(mine.items())}
        for name, mine in found.items()
    }


def _put_parts(mine: _Cuts, past: Past, name: str) -> _Cuts:
    splits = [split for (fan_out, *_), split in past.split.items() if fan_out == name]
    if not splits:
        return mine
    instead: dict[tuple[str, int, int] | None, list[Chunk]] = {}
    for split in splits:
        parts = [_part_chunk(one) for one in sorted(split.parts.values(), key=lambda one: one[:2])]
        first = parts[0].pieces[0]
        whole = next((where for where, chunk in mine.items() if _holds(chunk, first)), None)
        instead.setdefault(whole, []).extend(parts)
    found: _Cuts = {}
    for where, chunk in mine.items():
        for one in instead.get(where, [chunk]):
            found[one.path, one.start, one.stop] = replace(one, reader=chunk.reader)
    for one in instead.get(None, ()):
        found[one.path, one.start, one.stop] = one
    return found


def _holds(chunk: Chunk, part: Piece) -> bool:
    return any(
        one.path == part.path and one.start <= part.start and part.stop <= one.stop
        for one in chunk.pieces
    )


def _part_chunk(part: EndedPart) -> Chunk:
    pieces = tuple(
        Piece(SourceFile(path, Fingerprint(0, 0, 0)), start, stop, nbytes, rows)
        for path, start, stop, nbytes, rows in part.pieces
    )
    return Chunk(cast("Any", _NoReader(False)), pieces)


def _planned(past: Past) -> dict[str, _Cuts]:
    found: dict[str, _Cuts] = {}
    for name, fan_out in past.fan_outs.items():
        mine = found.setdefault(name, {})
        for pieces in fan_out.cuts.values():
            in_memory = pieces[0].file.startswith(IN_MEMORY)
            chunk = Chunk(
                cast("Any", _NoReader(in_memory)),
                tuple(
                    Piece(
                        SourceFile(past.files.get(one.file, "a file"), Fingerprint(0, 0, 0)),
                        one.start,
                        one.stop,
                        one.nbytes,
                        one.rows,
                    )
                    for one in pieces
                ),
                len(mine),
            )
            mine[chunk.path, chunk.start, chunk.stop] = chunk
    return found


def outcomes_of(past: Past, *, singles: bool = True) -> list[Outcome]:
    """What became of all chunks, and of `singles`: tasks that run once, of a run that has ended."""
    found = [outcome for _, outcome in _ended(past, {})]
    return [*found, *_singles(past)] if singles else found


def _singles(past: Past) -> list[Outcome]:
    return [from_plain(one) for one in (past.end or {}).get("singles", ())]


def _ended(
    past: Past, cuts: Mapping[str, Mapping[tuple[str, int, int], Chunk]]
) -> list[tuple[Item | None, Outcome]]:
    found: list[tuple[Item | None, Outcome]] = []
    places = {key: one.part for split in past.split.values() for key, one in split.parts.items()}
    for number, (key, facts) in enumerate(past.ended.items()):
        name, _, _, plain, where, *more = facts
        outcome = from_plain(plain)
        is_old = past.tried.get(key, past.tries) < past.tries
        if is_old:
            # Its times are of then, even where it has not been tried again since.
            outcome = replace(outcome, is_recalled=True)
        chunk = None if where is None else cuts.get(name, {}).get(tuple(where))
        position = more[0] if more else number
        item = Item(outcome.key, chunk, position, places.get(key, ()))
        found.append((item, outcome))
    return found


def _timings(past: Past, ended: list[tuple[Item | None, Outcome]]) -> dict[str, float]:
    """Those that were kept; else what the chunks tell."""
    end = past.end or {}
    if "timings" in end:
        return dict(end["timings"])
    attempts = [
        attempt
        for _, outcome in ended
        for attempt in (() if outcome.is_recalled else outcome.attempts)
    ]
    begun_s = past.head["started_s"]
    last_s = max((one.started_s + one.duration_s for one in attempts), default=begun_s)
    return {
        "total": max(end.get("ended_s", last_s) - begun_s, 0.0),
        "read": sum(one.read_s for one in attempts),
        "function": sum(one.function_s for one in attempts),
        "partial": sum(one.partial_s for one in attempts),
    }
