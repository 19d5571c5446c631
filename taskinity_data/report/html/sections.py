"""Gather what the sections of a report show: `SECTIONS` names a function for each.

The macro of its id in ``sections.jinja`` renders it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.report.answer import describe_value
from taskinity_data.report.bottleneck import find_bound
from taskinity_data.report.explain import (
    DRIVER_TIMES,
    MIN_ADVICE_S,
    WORKER_TIMES,
    describe_bad_lines,
    describe_output,
    describe_quarantine,
)
from taskinity_data.report.html import run_charts
from taskinity_data.report.html.attempts import attempt_rows, printable
from taskinity_data.report.html.failures import group_failures, split_step
from taskinity_data.wording import format_count, format_seconds, safe_str

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskinity_data.report.html.attempts import AttemptRow

__all__ = ["Reported", "Section", "find_sections"]

_MAX_SLOW, _MAX_SIZES, _MAX_VALUES = 20, 20, 8
_MAX_TEXT, _MAX_ANSWER = 100_000, 20_000
_MIN_S = 5e-4
"""What is shown as 0 ms is not shown."""


class Reported(NamedTuple):
    """The data of a report: a run, its pairs of item and outcome, the head of its journal, and its
    attempts, with the labels of their tasks.
    """

    run: Any
    ended: Sequence[tuple[Any, Any]]
    head: Mapping[str, Any]
    attempts: Sequence[AttemptRow]

    @classmethod
    def of(cls, run: Any, ended: Sequence[tuple[Any, Any]], head: Mapping[str, Any]) -> Reported:
        """Return it with the attempts of `ended`."""
        labels = run.labels
        rows = [row._replace(task=labels.get(row.task, row.task)) for row in attempt_rows(ended)]
        return cls(run, ended, head, rows)


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


def _bound(report: Reported) -> dict[str, Any] | None:
    run = report.run
    if run.timings["total"] < MIN_ADVICE_S or str(run.status) not in ("COMPLETED", "PARTIAL"):
        return None
    bound = find_bound(run.timings, report.attempts, workers=run.workers, scheduler=run.scheduler)
    return {"bound": bound} if bound is not None else None


def _failures(report: Reported) -> dict[str, Any] | None:
    run = report.run
    groups, count = group_failures(report.ended, run.labels)
    quarantine = [f"Failed rows are kept {line}" for line in describe_quarantine(run)]
    quarantine += describe_bad_lines(run)
    if not groups and not quarantine:
        return None
    return {
        "groups": groups,
        "left_out": count - len(groups),
        "quarantine": quarantine,
        # The last is to write this report.
        "steps": [split_step(step) for step in run.next_steps[:-1]],
    }


def _answers(report: Reported) -> dict[str, Any] | None:
    run = report.run
    if str(run.status) in ("FAILED", "INTERRUPTED", "RUNNING"):
        return None
    answer = printable(describe_value(run.value), _MAX_ANSWER)
    return {"output": describe_output(run), "answer": answer}


def _flow(report: Reported) -> dict[str, Any]:
    flow, labels = report.run.flow, report.run.labels
    return {
        "description": flow.description or "",
        "picture": run_charts.flow_picture(flow, report.ended, labels),
        # Nobody wrote that of `process`.
        "flow_text": "" if labels else printable(flow.to_text(), _MAX_TEXT),
    }


def _workers(report: Reported) -> dict[str, Any] | None:
    chart = run_charts.workers_chart(report.attempts)
    return {"chart": chart, "kinds": run_charts.count_kinds(report.attempts)} if chart else None


def _all_times(report: Reported) -> dict[str, Any]:
    run = report.run
    return {
        "wall": _parts(run.timings, DRIVER_TIMES, run.timings["total"]),
        "total": format_seconds(run.timings["total"]),
        "work": _parts(run.timings, WORKER_TIMES | {"single": "tasks that run once"}),
        "workers": format_count(run.workers, "worker"),
        "chart": run_charts.times_chart(report.attempts),
        "slow": slowest(report.attempts),
    }


def _parts(
    timings: Mapping[str, float], names: Mapping[str, str], whole_s: float = 0.0
) -> list[tuple[str, str, str, float]]:
    """Return the parts of a time that were measured, and what is left of `whole_s`: name, words,
    duration, percent.
    """
    parts = {name: timings.get(name, 0.0) for name in names}
    spent_s = sum(parts.values())
    parts["other"] = max(whole_s - spent_s, 0.0)
    return [
        (name, names.get(name, name), format_seconds(spent), 100 * spent / max(whole_s, spent_s))
        for name, spent in parts.items()
        if spent >= _MIN_S
    ]


def _throughput(report: Reported) -> dict[str, Any] | None:
    chart = run_charts.throughput_chart(report.attempts)
    return {"chart": chart} if chart else None


def _sizes(report: Reported) -> dict[str, Any] | None:
    charts, run = [], report.run
    for name, plan in run.plans.items():
        changes = [(first, reason) for first, _, reason in run.sizes.get(name, ())]
        # A single size needs no chart.
        if not len(plan) or len(changes) < 2:
            continue
        left_out = max(len(changes) - _MAX_SIZES, 0)
        if left_out:
            changes = [changes[0], *changes[left_out + 1 :]]
        label = run.labels.get(name, name)
        charts.append((label, run_charts.sizes_chart(label, plan), changes, left_out))
    return {"sizes": charts} if charts else None


def _inputs(report: Reported) -> dict[str, Any]:
    """Return inputs, options and the environment."""
    return {
        "inputs": inputs_of(report.head),
        "options": options_of(report.head),
        "environment": environment(report.run, report.head),
    }


def slowest(attempts: Sequence[AttemptRow]) -> list[AttemptRow]:
    """Return the chunks that took longest, slowest first."""
    chunks = [
        attempt
        for attempt in attempts
        if attempt.number is not None and attempt.status != "RETRIED"
    ]
    if len(chunks) < 2:
        return []
    return sorted(chunks, key=lambda attempt: -attempt.duration_s)[:_MAX_SLOW]


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


def environment(run: Any, head: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the versions of the run, of a kept one its host, and its log."""
    log = [("log", str(run.log))] if run.log is not None else []
    host = [("host", str(head["host"]))] if "host" in head else []
    return [*head.get("versions", {}).items(), *host, *log]


def _ledger(report: Reported) -> dict[str, Any] | None:
    ledger = report.run.ledger
    # Runs that were not stored have no planned rows. If all was processed, the tiles show it.
    planned, processed = ledger.loc["planned"], ledger.loc["processed"]
    if planned.eq(0).fillna(value=False).all() or planned.eq(processed).fillna(value=False).all():
        return None
    rows = ledger.astype(object).where(ledger.notna(), None)
    lines = [
        (str(name).replace("_", " "), _amount(row["bytes"]), _amount(row["rows"]))
        for name, row in rows.iterrows()
        if name in ("planned", "processed") or row["bytes"] != 0 or row["rows"] != 0
    ]
    return {"ledger": lines}


def _amount(count: Any) -> str:
    return "unknown" if count is None else f"{count:,}"


SECTIONS: tuple[tuple[str, str, Callable[[Reported], dict[str, Any] | None]], ...] = (
    ("failures", "Retries and failures", _failures),
    ("bound", "Bottleneck", _bound),
    ("answer", "Answer", _answers),
    ("flow", "Flow", _flow),
    ("workers", "Workers over time", _workers),
    ("times", "Times", _all_times),
    ("throughput", "Throughput", _throughput),
    ("sizes", "Sizes of the chunks", _sizes),
    ("ledger", "Ledger", _ledger),
    ("inputs", "Inputs and environment", _inputs),
)
"""The id and title of each section, and the function that gathers the arguments of its macro, or
returns None if there is nothing to show."""
