"""Writes what became of a run as one HTML file that needs no network, script or other file.

It is given the run and knows nothing of how it was made. Every text goes through Jinja's escaping
and loses its control characters; the page forbids itself scripts and requests as well.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import WriteError
from taskinity_data.report.bottleneck import find_bound, percent
from taskinity_data.report.html import sections as parts
from taskinity_data.report.html.attempts import printable, tries_of
from taskinity_data.report.speed import speed_up
from taskinity_data.report.summary import describe_value, tell_quarantine
from taskinity_data.settings import working_directory
from taskinity_data.wording import format_count, format_nbytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["render_report", "write_report"]

_MOST_SIZES, _MOST_TEXT, _MOST_ANSWER = 20, 100_000, 20_000


def write_report(
    run: Any,
    ended: Sequence[tuple[Any, Any]],
    path: str | os.PathLike[str] | None = None,
    missing: Sequence[str] = (),
    told: Mapping[str, Any] | None = None,
) -> Path:
    """Write the report of `run`, and give its absolute path.

    `ended` are the run's pairs of item and outcome, `missing` says what is not known of it, in
    sentences, `told` what it was told: inputs and options, of a kept run its versions too. The
    default path, and the file's name where `path` is a directory, is ``<run_id>.html``. Directories
    are made; the file is there whole, or as it was before.

    Raises
    ------
    WriteError
        It can't be written there (it is an OSError too).
    SettingsError
        `path` is relative, and the working directory is gone.
    """
    target = Path(os.path.expanduser(f"{run.run_id}.html" if path is None else path))
    target = target if target.is_absolute() else working_directory() / target
    page = render_report(run, ended, missing, told)
    try:
        target = target.resolve()
        if target.is_dir():
            target /= f"{run.run_id}.html"
        _replace(target, page)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise WriteError(
            f"the report can't be written to {target}: {why}; make room, or name another place, "
            "such as run.report('/tmp'), on the command line --report FILE.html or report -o",
            path=str(target),
        ) from error
    return target


def _replace(target: Path, page: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        partial.write_text(page, encoding="utf-8", newline="\n")
        partial.replace(target)
    finally:
        with suppress(OSError):  # what came before is told
            partial.unlink(missing_ok=True)


def render_report(
    run: Any,
    ended: Sequence[tuple[Any, Any]],
    missing: Sequence[str] = (),
    told: Mapping[str, Any] | None = None,
) -> str:
    """The report of `run` as HTML."""
    from jinja2 import Environment

    jinja = Environment(autoescape=True, finalize=_finalize, trim_blocks=True)
    jinja.filters |= {
        "cut": lambda text, longest: printable(str(text), longest),
        "seconds": format_seconds,
        "nbytes": format_nbytes,
        "percent": percent,
    }
    text = files("taskinity_data.report.html").joinpath("page.jinja").read_text(encoding="utf-8")
    return jinja.from_string(text).render(_facts(run, ended, told or {}) | {"missing": missing})


def _finalize(value: Any) -> Any:
    # Markup is ours, and has been cleaned where it was made.
    return value if hasattr(value, "__html__") else printable(str(value))


def _facts(run: Any, ended: Sequence[tuple[Any, Any]], told: Mapping[str, Any]) -> dict[str, Any]:
    tries = tries_of(ended)
    chunks = [one for one in tries if one.number is not None]
    found, count, kinds = parts.troubles(ended)
    listed, file_count = parts.files_of(run.plans)
    facts: dict[str, Any] = {
        "flow": run.flow.name,
        "description": run.flow.description or "",
        "flow_text": printable(run.flow.to_text(), _MOST_TEXT),
        "status": str(run.status),
        "run_id": run.run_id,
        "stop_reason": run.stop_reason or "",
        "facts": _headline(run, tries),
        "notices": list(run.notices)[:_MOST_SIZES],
        "bound": find_bound(run.timings, tries, workers=run.workers, scheduler=run.scheduler),
        "troubles": found,
        "trouble_count": count,
        "can_try": any(one.command for one in found),
        "kinds": kinds,
        "set_aside": tell_quarantine(run),
        "answer": _answer(run),
        "output": _output(run),
        "picture": parts.flow_picture(run.flow, tries, ended),
        "has_tries": bool(tries),
        "workers_chart": parts.workers_chart(tries),
        "times": _times(run),
        "predicted": _predicted(run),
        "next_steps": list(run.next_steps),
        "times_chart": parts.times_chart(tries) if chunks else "",
        "slow": parts.slowest(tries),
        "throughput": parts.throughput_charts(tries) if chunks else [],
        "memory_chart": parts.memory_chart(tries),
        "sizes": _sizes(run),
        "ledger": _ledger(run),
        "files": listed,
        "file_count": file_count,
        "inputs": parts.inputs_of(told),
        "options": parts.options_of(told),
        "environment": parts.environment(told),
        "is_past": "versions" in told,
    }
    return facts | {"sections": _sections(facts)}


def _sections(facts: dict[str, Any]) -> list[tuple[str, str]]:
    found = [
        ("bound", "What bounded the run", True),
        ("troubles", "Retries and failures", facts["troubles"]),
        ("aside", "Set aside", facts["set_aside"]),
        ("answer", "Answer", True),
        ("flow", "Flow", True),
        ("workers", "Workers over time", facts["has_tries"]),
        ("times", "Times", True),
        ("predicted", "Predicted and actual", facts["predicted"]),
        ("throughput", "Throughput", facts["throughput"]),
        ("memory", "Memory", facts["memory_chart"]),
        ("sizes", "Sizes of the chunks", facts["sizes"]),
        ("ledger", "Ledger", facts["ledger"]),
        ("inputs", "Inputs and environment", True),
    ]
    return [(id_, title) for id_, title, is_there in found if is_there]


def _headline(run: Any, tries: Sequence[Any]) -> list[tuple[str, str]]:
    from datetime import UTC, datetime

    facts = [("run", run.run_id), ("took", format_seconds(run.timings["total"]))]
    if tries:
        began = datetime.fromtimestamp(tries[0].started_s, UTC)
        facts.append(("first task began", f"{began:%Y-%m-%d %H:%M:%S} UTC"))
    if run.workers:
        who = f"{run.scheduler}, {format_count(run.workers, 'worker')}"
        facts.append(("on", f"{who} ({run.scheduler_reason})" if run.scheduler_reason else who))
    chunks = sum(len(plan) for plan in run.plans.values())
    if chunks:
        planned = format_nbytes(sum(plan.nbytes for plan in run.plans.values()))
        facts.append(("chunks", f"{chunks:,}, {planned} planned"))
    if run.log is not None:
        facts.append(("its log", str(run.log)))
    return facts


def _answer(run: Any) -> str:
    if str(run.status) in ("FAILED", "INTERRUPTED", "RUNNING"):
        return f"None: the run is {str(run.status).lower()}."
    return printable(describe_value(run.value), _MOST_ANSWER)


def _output(run: Any) -> str:
    if run.output is None:
        return ""
    path, count, rows, nbytes = run.output
    told = f"{format_count(count, 'file')}, {format_count(rows, 'row')}, {format_nbytes(nbytes)}"
    return f"{told} in {path}"


def _times(run: Any) -> list[tuple[str, str, str]]:
    names = {
        "total": ("the whole run", "here"),
        "start_workers": ("starting workers", "here"),
        "plan": ("planning", "here"),
        "combine": ("combining", "here"),
        "wait": ("waiting for workers", "here"),
        "close": ("stopping workers", "here"),
        "read": ("reading", "on the workers, added up"),
        "function": ("the function", "on the workers, added up"),
        "partial": ("reducing and writing", "on the workers, added up"),
        "single": ("tasks that run once", "one after another"),
    }
    found = [
        (words, format_seconds(run.timings[name]), place)
        for name, (words, place) in names.items()
        if run.timings.get(name)
    ]
    ratio = speed_up(run.timings, run.workers)
    if ratio:
        beside = (
            "the whole run" if not run.timings.get("single") else "the run without single tasks"
        )
        found.append(("speed-up", f"{ratio:.2f}", f"the work of chunks ÷ {beside}"))
    return found


def _predicted(run: Any) -> list[tuple[str, str, str, str]]:
    found = []
    for met in run.predicted:
        tell = format_seconds if met.quantity == "time" else format_nbytes
        actual = "unknown" if met.actual is None else tell(met.actual)
        found.append((met.quantity, f"{tell(met.low)} to {tell(met.high)}", actual, met.verdict))
    return found


def _sizes(run: Any) -> list[tuple[str, str, list[tuple[int, str]], int]]:
    found = []
    for name, plan in run.plans.items():
        if not len(plan):
            continue
        changes = [(first, reason) for first, _, reason in run.sizes.get(name, ())]
        left_out = max(len(changes) - _MOST_SIZES, 0)
        if left_out:
            changes = [changes[0], *changes[left_out + 1 :]]
        found.append((name, parts.sizes_chart(name, plan), changes, left_out))
    return found


def _ledger(run: Any) -> list[tuple[str, str, str]]:
    # Nothing is planned in the ledger of a run of which none was kept.
    if run.ledger.loc["planned"].eq(0).fillna(value=False).all():
        return []
    rows = run.ledger.astype(object).where(run.ledger.notna(), None)
    return [
        (str(name).replace("_", " "), _amount(row["bytes"]), _amount(row["rows"]))
        for name, row in rows.iterrows()
    ]


def _amount(count: Any) -> str:
    return "unknown" if count is None else f"{count:,}"
