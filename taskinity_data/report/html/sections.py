"""Gather what the sections of a report show: `SECTIONS` names a function for each.

The macro of its id in ``sections.jinja`` renders it.
"""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.outcome import Status
from taskinity_data.report.answer import describe_value
from taskinity_data.report.bottleneck import find_bound
from taskinity_data.report.explain import describe_output, describe_quarantine
from taskinity_data.report.html import run_charts
from taskinity_data.report.html.attempts import attempt_rows, location_of, printable, status_of
from taskinity_data.report.html.run_charts import STATES
from taskinity_data.report.speed import DRIVER_TIMES, WORKER_TIMES, speed_up
from taskinity_data.wording import format_seconds, safe_str

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskinity_data.report.html.attempts import AttemptRow

__all__ = ["Reported", "Section", "find_sections"]

_MAX_TROUBLES, _MAX_SLOW, _MAX_FILES, _MAX_VALUES = 50, 20, 100, 8
_MAX_SIZES, _MAX_TEXT, _MAX_ANSWER = 20, 100_000, 20_000


class Reported(NamedTuple):
    """The data of a report: a run, its pairs of item and outcome, the head of its journal, and its
    attempts.
    """

    run: Any
    ended: Sequence[tuple[Any, Any]]
    head: Mapping[str, Any]
    attempts: Sequence[AttemptRow]

    @classmethod
    def of(cls, run: Any, ended: Sequence[tuple[Any, Any]], head: Mapping[str, Any]) -> Reported:
        """Return it with the attempts of `ended`."""
        return cls(run, ended, head, attempt_rows(ended))

    @property
    def has_chunks(self) -> bool:
        """Whether a chunk was tried."""
        return any(attempt.number is not None for attempt in self.attempts)


class Section(NamedTuple):
    """A section of a report: `arguments` are those of its macro."""

    id: str
    title: str
    arguments: Mapping[str, Any]


def find_sections(report: Reported) -> list[Section]:
    """Return the sections of `report` that have something to show, in their order."""
    gathered = [(id_, title, gather(report)) for id_, title, gather in SECTIONS]
    return [
        Section(id_, title, arguments)
        for id_, title, arguments in gathered
        if arguments is not None
    ]


def _bound(report: Reported) -> dict[str, Any]:
    run = report.run
    bound = find_bound(run.timings, report.attempts, workers=run.workers, scheduler=run.scheduler)
    return {"bound": bound}


def _troubles(report: Reported) -> dict[str, Any] | None:
    listed, count, kinds = troubles(report.ended)
    return (
        listed
        and {
            "troubles": listed,
            "trouble_count": count,
            "can_try": any(trouble.command for trouble in listed),
            "kinds": kinds,
            "next_steps": list(report.run.next_steps),
        }
    ) or None


def _quarantine(report: Reported) -> dict[str, Any] | None:
    lines = describe_quarantine(report.run)
    return {"lines": lines} if lines else None


def _answers(report: Reported) -> dict[str, Any]:
    return {"output": describe_output(report.run), "answer": _answer(report.run)}


def _flow(report: Reported) -> dict[str, Any]:
    flow = report.run.flow
    return {
        "description": flow.description or "",
        "picture": run_charts.flow_picture(flow, report.attempts, report.ended),
        "flow_text": printable(flow.to_text(), _MAX_TEXT),
    }


def _workers(report: Reported) -> dict[str, Any] | None:
    return {"workers_chart": run_charts.workers_chart(report.attempts)} if report.attempts else None


def _all_times(report: Reported) -> dict[str, Any]:
    return {
        "times": _times(report.run),
        "times_chart": run_charts.times_chart(report.attempts) if report.has_chunks else "",
        "slow": slowest(report.attempts),
    }


def _throughput(report: Reported) -> dict[str, Any] | None:
    charts = run_charts.throughput_charts(report.attempts) if report.has_chunks else []
    return {"throughput": charts} if charts else None


def _memory(report: Reported) -> dict[str, Any] | None:
    chart = run_charts.memory_chart(report.attempts)
    return {"memory_chart": chart} if chart else None


def _inputs(report: Reported) -> dict[str, Any]:
    """Return inputs, options, the first files and their number, and the environment."""
    listed, count = files_of(report.run.plans)
    return {
        "inputs": inputs_of(report.head),
        "options": options_of(report.head),
        "files": listed,
        "file_count": count,
        "environment": environment(report.head),
    }


class Trouble(NamedTuple):
    """A chunk or task that failed, was skipped, replaced or tried again."""

    task: str
    location: str
    status: str
    attempts: int
    error: str
    traceback: str
    command: str
    python: str


def troubles(ended: Sequence[tuple[Any, Any]]) -> tuple[list[Trouble], int, list[tuple[str, int]]]:
    """Return what went wrong (worst first, at most 50), the number in all, and of each error."""
    order = {Status.FAILED: 0, Status.SKIPPED: 1, Status.COMPLETED: 2}
    pairs = [
        (item, outcome)
        for item, outcome in ended
        if status_of(outcome) != "REUSED"
        and (outcome.failure is not None or outcome.is_fallback or len(outcome.attempts) > 1)
    ]
    pairs.sort(key=lambda pair: order.get(pair[1].status, 0))
    kinds: Counter[str] = Counter(
        f"{outcome.task}: {attempt.failure.kind}"
        for _, outcome in pairs
        for attempt in outcome.attempts
        if attempt.failure is not None
    )
    return [_trouble(*pair) for pair in pairs[:_MAX_TROUBLES]], len(pairs), kinds.most_common(20)


def _trouble(item: Any, outcome: Any) -> Trouble:
    failures = [attempt.failure for attempt in outcome.attempts if attempt.failure is not None]
    status = STATES[status_of(outcome)]
    if status_of(outcome) == "COMPLETED":
        status = "completed when tried again"
    command = python = ""
    data = item.data if item is not None else None
    # A frame in memory has no file that another call would find.
    if isinstance(data, Chunk) and not data.reader.is_in_memory:
        ranges = data.ranges
        python = f"only={ranges[0]!r}" if len(ranges) == 1 else f"only={list(ranges)!r}"
        command = " ".join(f"--only {shlex.quote(range_)}" for range_ in ranges)
    return Trouble(
        outcome.task,
        location_of(data),
        status,
        len(outcome.attempts),
        str(failures[-1]) if failures else "",
        failures[-1].traceback if failures else "",
        command,
        python,
    )


def slowest(attempts: Sequence[AttemptRow]) -> list[AttemptRow]:
    """Return the chunks that took longest, slowest first."""
    chunks = [
        attempt
        for attempt in attempts
        if attempt.number is not None and attempt.status != "RETRIED"
    ]
    return sorted(chunks, key=lambda attempt: -attempt.duration_s)[:_MAX_SLOW]


def files_of(plans: dict[str, Any]) -> tuple[list[tuple[str, int, int]], int]:
    """Return at most 100 files with their planned bytes and pieces, and the number of all."""
    nbytes: Counter[str] = Counter()
    pieces: Counter[str] = Counter()
    for plan in plans.values():
        for chunk in plan:
            for piece in chunk.pieces:
                nbytes[piece.path] += piece.nbytes
                pieces[piece.path] += 1
    files = [(path, nbytes[path], pieces[path]) for path in nbytes]
    return files[:_MAX_FILES], len(files)


def inputs_of(head: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the run's inputs by name; of some no value is kept."""
    inputs = head.get("inputs", {})
    return [
        (name, _format_value(inputs[name]) if name in inputs else "a value that is not kept")
        for name in head.get("asked", ())
    ]


def options_of(head: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the options of the run."""
    return [(name, _format_value(value)) for name, value in (head.get("options") or {}).items()]


def _format_value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        more = f" and {len(value) - _MAX_VALUES:,} more" if len(value) > _MAX_VALUES else ""
        return ", ".join(map(safe_str, value[:_MAX_VALUES])) + more
    return safe_str(value)


def environment(head: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the versions of the run; of a kept one its host, too."""
    host = [("host", str(head["host"]))] if "host" in head else []
    return [*head.get("versions", {}).items(), *host]


def _answer(run: Any) -> str:
    if str(run.status) in ("FAILED", "INTERRUPTED", "RUNNING"):
        return f"None: the run is {str(run.status).lower()}."
    return printable(describe_value(run.value), _MAX_ANSWER)


def _times(run: Any) -> list[tuple[str, str, str]]:
    parts = [
        ({"total": "the whole run"} | DRIVER_TIMES, "here"),
        (WORKER_TIMES, "on the workers, added up"),
        ({"single": "tasks that run once"}, "one after another"),
    ]
    lines = [
        (text, format_seconds(run.timings[name]), where)
        for names, where in parts
        for name, text in names.items()
        if run.timings.get(name)
    ]
    ratio = speed_up(run.timings, run.workers)
    if ratio:
        against = (
            "the whole run" if not run.timings.get("single") else "the run without single tasks"
        )
        lines.append(("speed-up", f"{ratio:.2f}", f"the work of chunks ÷ {against}"))
    return lines


def _sizes(report: Reported) -> dict[str, Any] | None:
    charts, run = [], report.run
    for name, plan in run.plans.items():
        if not len(plan):
            continue
        changes = [(first, reason) for first, _, reason in run.sizes.get(name, ())]
        left_out = max(len(changes) - _MAX_SIZES, 0)
        if left_out:
            changes = [changes[0], *changes[left_out + 1 :]]
        charts.append((name, run_charts.sizes_chart(name, plan), changes, left_out))
    return {"sizes": charts} if charts else None


def _ledger(report: Reported) -> dict[str, Any] | None:
    ledger = report.run.ledger
    # Nothing is planned in the ledger of a run of which none was kept.
    if ledger.loc["planned"].eq(0).fillna(value=False).all():
        return None
    rows = ledger.astype(object).where(ledger.notna(), None)
    lines = [
        (str(name).replace("_", " "), _amount(row["bytes"]), _amount(row["rows"]))
        for name, row in rows.iterrows()
    ]
    return {"ledger": lines}


def _amount(count: Any) -> str:
    return "unknown" if count is None else f"{count:,}"


SECTIONS: tuple[tuple[str, str, Callable[[Reported], dict[str, Any] | None]], ...] = (
    ("bound", "Bottleneck", _bound),
    ("troubles", "Retries and failures", _troubles),
    ("quarantine", "Quarantined rows", _quarantine),
    ("answer", "Answer", _answers),
    ("flow", "Flow", _flow),
    ("workers", "Workers over time", _workers),
    ("times", "Times", _all_times),
    ("throughput", "Throughput", _throughput),
    ("memory", "Memory", _memory),
    ("sizes", "Sizes of the chunks", _sizes),
    ("ledger", "Ledger", _ledger),
    ("inputs", "Inputs and environment", _inputs),
)
"""The id and title of each section, and the function that gathers the arguments of its macro, or
returns None if there is nothing to show."""
