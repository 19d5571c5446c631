"""Summarise a run on one screen: answer, ledger, time, sizes, failures."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from taskinity_data.display import encodable, safe_repr, safe_str, type_name
from taskinity_data.outcome import LOST_WITH_WORKER
from taskinity_data.report.speed import DRIVER_TIMES, WORKER_TIMES, speed_up
from taskinity_data.wording import format_count, format_nbytes, format_seconds, inert

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["describe_check", "describe_quarantine", "describe_value", "summarise", "summary_html"]

_MAX_ROWS, _MAX_COLUMNS, _MAX_CHARACTERS, _MAX_CELL = 20, 100, 2_000, 200
_MAX_ANSWER, _MAX_HTML, _MAX_SMALL = 100_000, 1_000_000, 1_000
_MAX_FAILURES, _MAX_OVERCOME, _MAX_SLOW, _MAX_SIZES, _MAX_FRAMES = 10, 3, 3, 3, 12
_MAX_BAD_LINES, _MAX_LINE_CHARACTERS = 3, 60
_LEDGER_WORDS = {
    "processed": "processed",
    "fallback": "by a fallback",
    "quarantined": "quarantined",
    "skipped": "skipped",
    "failed": "failed",
    "not_run": "not run",
    "filtered": "filtered out",
}


def summarise(run: Any, *, has_frames: bool = True) -> str:
    """Return `run` as text of about one screen, with the answer's first rows in it.

    `has_frames=False` leaves the failure's traceback out, if it has been shown already.
    """
    lines = [_headline(run)]
    answer = describe_value(run.value).splitlines() if _has_answer(run) else []
    for title, section in ({"Answer": answer} | _sections(run, has_frames)).items():
        if section:
            # A line break in a value must not look like a new line of the summary.
            lines += ["", title, *("  " + line.replace("\n", "\n  ") for line in section)]
    return inert("\n".join(lines))


def summary_html(run: Any) -> str:
    """Return `run` as HTML for a notebook: the answer as the notebook shows it, then lists."""
    parts = [f"<p><b>{escape(inert(_headline(run)))}</b></p>"]
    if _has_answer(run):
        answer = _own_html(run.value) or f"<pre>{escape(describe_value(run.value))}</pre>"
        parts.append(f"<div>{inert(answer)}</div>")
    for title, lines in _sections(run).items():
        if lines:
            text = escape(inert("\n".join(lines)))
            is_open = " open" if title in ("Failed", "Next") else ""
            parts.append(f"<details{is_open}><summary>{title}</summary><pre>{text}</pre></details>")
    return f'<div class="taskinity-run">{"".join(parts)}</div>'


def _sections(run: Any, has_frames: bool = True) -> dict[str, list[str]]:
    return {
        "Output": [describe_output(run)] if run.output is not None else [],
        "Notes": list(run.notices),
        "Ledger": _ledger(run),
        "Time": _time(run),
        "Predicted": [describe_check(check) for check in run.predicted],
        "Chunks": _chunks(run),
        "Slowest": _slowest(run),
        "Quarantined lines": _bad_lines(run),
        "Overcome": _overcome(run),
        "Fallbacks": _fallbacks(run),
        "Failed": _failures(run, has_frames),
        "Quarantined rows": describe_quarantine(run),
        "Next": _next(run),
    }


def describe_output(run: Any) -> str:
    """Describe what the run wrote and where; empty if it wrote nothing."""
    if run.output is None:
        return ""
    path, files, rows, nbytes = run.output
    size = f"{format_count(files, 'file')}, {format_count(rows, 'row')}, {format_nbytes(nbytes)}"
    return f"{size} in {path}"


def describe_value(value: Any) -> str:
    """Describe an answer and its beginning: frames and tables by their first rows. Never fails.

    >>> describe_value([1, 2, 3])
    'list of 3: [1, 2, 3]'
    """
    try:
        return _describe(value)[:_MAX_ANSWER]
    except Exception as error:  # noqa: BLE001 - an answer may be any object
        return f"{type_name(value)}, which can't be shown: {type_name(error)} was raised"


def _describe(value: Any) -> str:
    kind = type_name(value)
    shape = _shape_of(value)
    if shape is not None and hasattr(value, "to_string") and hasattr(value, "iloc"):
        size = format_count(shape[0], "row")
        if len(shape) == 2:
            size += f" × {format_count(shape[1], 'column')}"
        text = _first_rows(value, len(shape)) if shape[0] else ""
        more = f"\n… {shape[0] - _MAX_ROWS:,} more rows" if shape[0] > _MAX_ROWS else ""
        return f"{kind}, {size}" + (f"\n{text}{more}" if text else "")
    if shape is not None and len(shape) == 2:
        return f"{kind}, {format_count(shape[0], 'row')} × {format_count(shape[1], 'column')}"
    is_sequence = issubclass(type(value), (list, tuple))
    is_cut = is_sequence and len(value) > _MAX_ROWS
    text = safe_repr(value[:_MAX_ROWS] if is_cut else value, _MAX_CHARACTERS)
    if is_cut:
        text += f" and {len(value) - _MAX_ROWS:,} more"
    if is_sequence or issubclass(type(value), (dict, set)):
        return f"{kind} of {len(value):,}: {text}"
    return text


def _shape_of(value: Any) -> tuple[int, ...] | None:
    """Return rows and columns of a frame or table, None for all else."""
    try:
        shape = value.shape
    except Exception:  # noqa: BLE001 - an answer may be any object
        return None
    is_shape = isinstance(shape, tuple) and len(shape) in (1, 2)
    return shape if is_shape and all(isinstance(count, int) for count in shape) else None


def _first_rows(value: Any, dimensions: int) -> str:
    first = value.head(_MAX_ROWS)
    first = first if dimensions == 1 else first.iloc[:, :_MAX_COLUMNS]
    try:
        wide = {} if dimensions == 1 else {"max_colwidth": _MAX_CHARACTERS}
        text: str = first.to_string(**wide)
        if len(text) <= _MAX_ANSWER:
            return text
    except Exception:  # noqa: BLE001, S110 - a cell or label may be any object
        pass
    shown = first.astype(object).map(_cell)
    if dimensions == 2:
        shown.columns = [_cell(label) for label in first.columns]
    return str(shown.to_string())


def _cell(value: Any) -> str:
    # pandas holds text without half surrogate pairs.
    return encodable(safe_str(value)[:_MAX_CELL], "utf-8")


def _own_html(value: Any) -> str | None:
    """Return what a notebook shows of a small `value` that has a form of its own."""
    try:
        if hasattr(value, "__len__") and len(value) > _MAX_SMALL:
            return None
        shown = value._repr_html_()
    except Exception:  # noqa: BLE001 - an answer may be any object
        return None
    return shown if type(shown) is str and len(shown) <= _MAX_HTML else None


def _has_answer(run: Any) -> bool:
    return str(run.status) not in ("FAILED", "INTERRUPTED")


def _headline(run: Any) -> str:
    where = f"{run.scheduler}, {format_count(run.workers, 'worker')}"
    total = format_seconds(run.timings["total"])
    return f"{run.flow.name}: {run.status} in {total} ({where}; run {run.run_id})"


def _ledger(run: Any) -> list[str]:
    """Return a line each for bytes and rows: planned = processed + failed + …"""
    lines = []
    for unit in ("bytes", "rows"):
        account = run.ledger[unit].to_dict()
        planned = account["planned"]
        if _is_unknown(planned) and unit == "rows":
            # Rows are counted by reading; those that were read are shown.
            lines.append(f"rows: planned unknown, {_amount(account['processed'])} processed")
            continue
        if not planned:
            continue
        parts = [
            f"{_amount(account[part])} {words}"
            for part, words in _LEDGER_WORDS.items()
            if _is_unknown(account[part]) or account[part]
        ]
        lines.append(f"{unit}: {_amount(planned)} planned = {' + '.join(parts)}")
    return lines


def _time(run: Any) -> list[str]:
    spent = run.timings
    single = spent.get("single", 0.0)
    busy = sum(spent.get(name, 0.0) for name in WORKER_TIMES)
    total = format_seconds(spent["total"])
    lines = [f"in this process: {_shares(spent, DRIVER_TIMES)}; {total} in total"]
    if busy:
        shares = _shares(spent, WORKER_TIMES)
        lines.append(f"on the workers: {shares}; {format_seconds(busy)} in total")
        ratio = speed_up(spent, run.workers)
        if ratio and run.plans:
            lines.append(f"speed-up over running that work sequentially: {ratio:.2f}")
    if single:
        lines.append(f"tasks that run once: {format_seconds(single)}")
    lines += [run.bound] if run.bound else []
    if run.scheduler_reason:
        lines.append(f"{run.scheduler}: {run.scheduler_reason}")
    return lines


def _shares(spent: Mapping[str, float], words: Mapping[str, str]) -> str:
    return ", ".join(
        f"{text} {format_seconds(spent[name])}" for name, text in words.items() if spent.get(name)
    )


def _chunks(run: Any) -> list[str]:
    lines = []
    for name, plan in run.plans.items():
        nbytes = [chunk.nbytes for chunk in plan]
        if not nbytes:
            continue
        smallest, largest = format_nbytes(min(nbytes)), format_nbytes(max(nbytes))
        sizes = f"of {smallest}" if smallest == largest else f"of {smallest} to {largest}"
        lines.append(f"{name}: {format_count(len(nbytes), 'chunk')} {sizes}")
        changes = list(run.sizes.get(name, ()))
        left_out = len(changes) - _MAX_SIZES - 1
        if left_out > 0:
            changes = [changes[0], *changes[-_MAX_SIZES:]]
        # The reason contains the size.
        lines += [f"  from chunk {first}: {reason}" for first, _, reason in changes]
        if left_out > 0:
            lines.append(f"  and {format_count(left_out, 'change')} between the first and the last")
    return lines


def _slowest(run: Any) -> list[str]:
    chunks = run.outcomes[run.outcomes["path"].notna()]
    if len(chunks) <= _MAX_SLOW:
        return []
    slow = chunks.nlargest(_MAX_SLOW, "duration_s").to_dict("records")
    planned = _planned(run)
    return [
        f"{format_seconds(row['duration_s'])}: {_where(row, planned)} on {row['worker']}"
        for row in slow
    ]


def _bad_lines(run: Any) -> list[str]:
    lines_kept = run.bad_lines
    if not len(lines_kept):
        return []
    count = int(run.ledger.loc["quarantined", "rows"])
    lines = [f"{format_count(count, 'line')} did not parse and were quarantined: run.bad_lines"]
    for row in lines_kept.head(_MAX_BAD_LINES).to_dict("records"):
        text = row["text"]
        more = "…" if len(text) > _MAX_LINE_CHARACTERS else ""
        where = f"{row['path']} [bytes {row['start']:,} to {row['stop']:,}]"
        lines.append(f"{where}: {row['reason']}: {text[:_MAX_LINE_CHARACTERS]!r}{more}")
    if count > _MAX_BAD_LINES:
        lines.append(f"and {count - _MAX_BAD_LINES:,} more")
    if count > len(lines_kept):
        lines.append(f"only the first {len(lines_kept):,} are stored; the others are counted")
    return lines


def describe_quarantine(run: Any) -> list[str]:
    """Return where failed rows are quarantined, and the next step; empty if there are none."""
    if run.quarantine is None:
        return []
    files = "KEY.json has the error, KEY.arrow (pandas.read_feather) or KEY.raw the rows"
    return [f"in {run.quarantine}: {files}"]


def _failures(run: Any, has_frames: bool) -> list[str]:
    failures = run.failures
    planned = _planned(run)
    lines = []
    for number, row in enumerate(failures.head(_MAX_FAILURES).to_dict("records")):
        attempts = format_count(row["attempts"], "attempt")
        lines.append(f"{row['task']}: {row['error']} ({row['status'].lower()}, {attempts})")
        if not _is_unknown(row["path"]):
            lines.append(f"  in {_where(row, planned)}, key {row['key']}")
        # Chunks mostly fail with the same error: one traceback is enough.
        if has_frames and not number:
            frames = str(row["traceback"]).rstrip().splitlines()
            lines += ["  …"] if len(frames) > _MAX_FRAMES else []
            lines += [f"  {line}" for line in frames[-_MAX_FRAMES:]]
    if len(failures) > _MAX_FAILURES:
        lines.append(f"and {len(failures) - _MAX_FAILURES:,} more: run.failures")
    return lines


def _overcome(run: Any) -> list[str]:
    """Return the errors of attempts that another one made good."""
    outcomes = run.outcomes
    is_done = (outcomes["status"] == "COMPLETED") & ~outcomes["is_fallback"]
    lost = _failed_attempts(run, outcomes.loc[is_done, "key"])
    lost = lost[lost["error"] != f"WorkerDied: {LOST_WITH_WORKER}"]  # these are in the notes
    return _count_errors(lost, "attempt", "a later attempt succeeded", "run.attempts")


def _fallbacks(run: Any) -> list[str]:
    """Return what a fallback replaced, by the last error before it."""
    lost = _failed_attempts(run, run.outcomes.loc[run.outcomes["is_fallback"], "key"])
    last = lost.drop_duplicates(["task", "key"], keep="last")
    rows = "run.outcomes[run.outcomes.is_fallback]"
    return _count_errors(last, "result", "its fallback was used", rows)


def _failed_attempts(run: Any, keys: Any) -> Any:
    return run.attempts[run.attempts["error"].notna() & run.attempts["key"].isin(keys)]


def _count_errors(lost: Any, noun: str, remedy: str, rows: str) -> list[str]:
    """Return the most frequent errors of `lost`, with their `remedy`; `rows` shows all."""
    counts = lost.groupby(["task", "error"], sort=False).size().sort_values(ascending=False)
    lines = [
        f"{task}: {error} ({format_count(count, noun)}; {remedy})"
        for (task, error), count in counts.head(_MAX_OVERCOME).items()
    ]
    more = len(counts) - _MAX_OVERCOME
    return [*lines, f"and {format_count(more, 'other error')}: {rows}"] if more > 0 else lines


def _next(run: Any) -> list[str]:
    """Return what to type next; the last of the summary."""
    failures = run.failures
    if run.next_steps:
        return list(run.next_steps)
    if len(failures) and not failures["path"].isna().all():
        return [
            "read one of these chunks: [c for c in run.plan if c.key == KEY][0].read()",
            "let the run continue without them: on_error skip, or --max-failures",
        ]
    return []


def format_check(check: Any) -> tuple[str, str]:
    """Format the predicted range of a prediction, and the actual value."""
    format_value = format_seconds if check.quantity == "time" else format_nbytes
    actual = "unknown" if check.actual is None else format_value(check.actual)
    return f"{format_value(check.low)} to {format_value(check.high)}", actual


def describe_check(check: Any) -> str:
    """Describe a prediction and the actual value.

    >>> from taskinity_data.forecast.compare_with_run import PredictionCheck
    >>> describe_check(PredictionCheck("memory", 1e8, 2e8, 1.5e8))
    'memory: predicted 100.0 MB to 200.0 MB, was 150.0 MB: within'
    """
    predicted, actual = format_check(check)
    was = "" if check.actual is None else f", was {actual}"
    return f"{check.quantity}: predicted {predicted}{was}: {check.verdict}"


def _planned(run: Any) -> dict[str, Any]:
    return {chunk.key: chunk for plan in run.plans.values() for chunk in plan}


def _where(row: dict[Any, Any], planned: dict[str, Any]) -> str:
    chunk = planned.get(row["key"])
    pieces = [] if chunk is None else list(chunk.pieces)
    if len(pieces) < 2:
        return f"{row['path']} [{row['start']:,} to {row['stop']:,}]"
    # It goes on in other places, mostly other files: its stop is where the last of them stops.
    first = pieces[0]
    more = format_count(len(pieces) - 1, "more piece")
    return f"{first.path} [{first.start:,} to {first.stop:,}] and {more}"


def _amount(count: Any) -> str:
    return "unknown" if _is_unknown(count) else f"{count:,}"


def _is_unknown(value: Any) -> bool:
    # pandas.NA can't be compared, NaN is not equal to itself.
    return value is None or type(value).__name__ == "NAType" or bool(value != value)
