"""Summarise a run in a dozen lines: status, answer, rows, time, failures, what to do next."""

from __future__ import annotations

import os
import re
import sys
from html import escape
from numbers import Integral
from typing import Any

from taskinity_data.report.answer import describe_value, value_html
from taskinity_data.report.explain import (
    MIN_ADVICE_S,
    describe_bad_lines,
    describe_fallbacks,
    describe_ledger,
    describe_output,
    describe_quarantine,
    describe_run,
    find_place,
    planned_chunks,
)
from taskinity_data.report.palette import tone_of
from taskinity_data.user_code import shorten_traceback
from taskinity_data.wording import format_count, format_nbytes, inert, without_numbers

__all__ = ["colours_stdout", "summarise", "summary_html"]

_MAX_DONE, _MAX_FAILED = 12, 20
"""Lines of a run that went well, and of any other."""
_MAX_ERRORS, _MAX_FRAME_LINES, _MAX_LINE, _MAX_ANSWER_ROWS = 3, 5, 300, 6


def summarise(run: Any, *, is_explained: bool = False, is_coloured: bool = False) -> str:
    """Return `run` as text of at most 12 lines, and of 20 if it did not go well.

    `is_explained` leaves out the failure that the message of its `FlowFailed` has shown.
    """
    head, sections = describe_run(run), _sections(run, is_explained)
    limit = _MAX_DONE if str(run.status) == "COMPLETED" else _MAX_FAILED
    left = limit - 1 - sum(map(len, sections.values()))
    answer = _answer(run, left) if _has_answer(run) else []
    lines = [inert(head).replace("\n", " ")]
    for title, section in ({"Answer": answer} | sections).items():
        # A line break in a value must not look like a new line of the summary.
        shown = [inert(line).replace("\n", " ") for line in section]
        marks = [title, *[""] * len(shown)]
        lines += [f"{mark:<8} {line}".rstrip() for mark, line in zip(marks, shown, strict=False)]
    if is_coloured:
        status = str(run.status)
        code, failed = tone_of(status).code, f"\x1b[{tone_of('FAILED').code}mFailed\x1b[0m  "
        lines[0] = lines[0].replace(f": {status}", f": \x1b[1;{code}m{status}\x1b[0m", 1)
        lines = [re.sub("^Failed  ", failed, line) for line in lines]
    return "\n".join(lines)


def summary_html(run: Any) -> str:
    """Return `run` as HTML for a notebook: as `summarise`, with the answer as a table."""
    colour = tone_of(str(run.status)).fill
    head = f'<b style="border-left:4px solid {colour};padding-left:6px">'
    parts = [f"<p>{head}{escape(inert(describe_run(run)))}</b></p>"]
    if _has_answer(run):
        answer = value_html(run.value) or _pre(describe_value(run.value))
        parts.append(f"<div>{inert(answer)}</div>")
    lines = [
        f"{title if not number else '':<8} {line}"
        for title, section in _sections(run).items()
        for number, line in enumerate(section)
    ]
    return f'<div class="taskinity-run">{"".join(parts)}{_pre(chr(10).join(lines))}</div>'


def _pre(text: str) -> str:
    # nbconvert's pages give a bare <pre> the font of the text around it.
    style = "font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere"
    return f'<pre style="{style}">{escape(inert(text))}</pre>'


def colours_stdout() -> bool:
    """Return whether what is printed now goes to a terminal that shows colours."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb":
        return False
    try:
        return sys.stdout.isatty()
    except (AttributeError, ValueError):  # replaced by something else, or closed
        return False


def _has_answer(run: Any) -> bool:
    is_output = run.output is not None and type(run.value) is str and run.value == run.output[0]
    return str(run.status) not in ("FAILED", "INTERRUPTED", "RUNNING") and not is_output


def _answer(run: Any, max_lines: int) -> list[str]:
    """Return the kind of the answer, and as many of its rows as `max_lines` have room for."""
    for rows in (_MAX_ANSWER_ROWS, 4, 2, 0):
        text = describe_value(run.value, rows)
        lines = [line[:_MAX_LINE] for line in text.splitlines()]
        if len(lines) <= max_lines:
            return lines
    return lines[: max(1, max_lines)]


def _sections(run: Any, is_explained: bool = False) -> dict[str, list[str]]:
    notices = list(run.notices)
    more = f" (and {len(notices) - 1} more)" if len(notices) > 1 else ""
    went_well = str(run.status) == "COMPLETED"
    takes_long = run.timings["total"] >= MIN_ADVICE_S
    quarantined = [] if is_explained else describe_quarantine(run)
    return {
        "Output": [describe_output(run)] if run.output is not None else [],
        **_account(run),
        "Failed": _failures(run, is_explained),
        "Fallback": describe_fallbacks(run)[:1],
        "Bad rows": [*describe_bad_lines(run)[:1], *quarantined][:1],
        "Note": [_cut(notices[0]) + more] if notices else [],
        "Time": [run.bound] if run.bound and takes_long and went_well else [],
        "Advice": [run.advice] if run.advice and takes_long and went_well else [],
        "Next": _next(run),
    }


def _account(run: Any) -> dict[str, list[str]]:
    """Return the account of the rows, or of the bytes where there are no rows to count."""
    title, *account = "Rows", *describe_ledger(run, "rows")
    if not account:
        title, *account = "Bytes", *describe_ledger(run, "bytes")
    planned = run.ledger.loc["planned", "bytes"]
    size = format_nbytes(int(planned)) if isinstance(planned, Integral) and planned else ""
    lines = [line.partition(": ")[2] for line in account]
    if lines and lines[0].count(" = ") == 1:
        total, _, parts = lines[0].partition(" planned = ")
        if parts == f"{total} processed":
            lines = [f"{total}, all processed"]
    return {title: [f"{lines[0]}{size and f' ({size})'}"] if lines else []}


def _failures(run: Any, is_explained: bool) -> list[str]:
    """Return the most frequent errors with their counts, and where the first of them was raised."""
    failures = run.failures
    if len(failures) <= is_explained:
        return []
    kinds = failures["error"].map(without_numbers)
    by = failures.groupby(["task", kinds, "status"], sort=False)["error"]
    groups = by.agg(["first", "size", "nunique"])
    groups = groups.sort_values("size", ascending=False, kind="stable")
    lines = [
        f"{run.labels.get(task, task)}: {_cut(group.first)} ({group.size:,} {status.lower()}"
        f"{', with other numbers' if group.nunique > 1 else ''})"
        for (task, _, status), group in zip(groups.index, groups.itertuples(), strict=True)
    ][:_MAX_ERRORS]
    if len(groups) > _MAX_ERRORS:
        lines.append(f"and {format_count(len(groups) - _MAX_ERRORS, 'other error')}")
    if not is_explained:
        task, kind, _ = groups.index[0]
        first = failures[(failures["task"] == task) & (kinds == kind)].iloc[0].to_dict()
        if isinstance(first["path"], str):
            lines.append(f"first in {find_place(first, planned_chunks(run))}")
        frames = shorten_traceback(str(first["traceback"]), _MAX_FRAME_LINES)
        lines += [line for line in frames.splitlines() if line.strip() != _cut(first["error"])]
    return lines


def _next(run: Any) -> list[str]:
    """Return what to type next; the last of the summary."""
    if run.next_steps:
        return list(run.next_steps)
    # A run that is stored can be reported later, without Python.
    page = f"taskinity-data report {run.run_id}" if run.directory else "run.report()"
    return [f"print(run.explain()) shows more, {page} writes a page"]


def _cut(text: Any) -> str:
    line = " ".join(str(text).split("\n"))
    return line if len(line) <= _MAX_LINE else line[:_MAX_LINE] + "…"
