"""Say why a run failed, where, and what to do next: the message of `FlowFailed`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.outcome import Status
from taskinity_data.user_code import shorten_traceback
from taskinity_data.wording import format_count, inert_line, safe_repr, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from taskinity_data.outcome import Failure, Outcome

__all__ = ["describe_stop", "explain_failure", "explain_interrupt"]


def explain_failure(run: Any, ended: Iterable[tuple[Any, Outcome]]) -> str:
    """Return why `run` stopped, where, and what to do next, in about ten lines."""
    reason, labelled = str(run.stop_reason or "it failed"), describe_stop(run)
    title = run.labels.get(run.flow.name, f"flow {run.flow.name}")
    lines = [f"{title}: {reason}" if labelled == reason else labelled]
    pairs = list(ended)
    # What concerns two chunks, such as that their columns differ, names them by their keys.
    lines += [
        f"chunk {item.position} is {item.data}"
        for item, outcome in pairs
        if item is not None
        and outcome.status is Status.COMPLETED
        and isinstance(item.data, Chunk)
        and item.key in reason
    ]
    for item, failure in _failed_first(pairs, reason):
        lines += _locate(item, failure, reason)
        planned = run.plan[item.position : item.position + 1] if item and run.plan else ()
        if not run.next_steps and any(chunk.key == item.key for chunk in planned):
            lines.append(f"Its rows are error.run.plan[{item.position}].read()")
    if run.quarantine is not None:
        lines.append(f"The failed rows are kept in {inert_line(str(run.quarantine))}")
    if run.log is not None:
        lines.append(f"Its log is {inert_line(str(run.log))}")
    # The last is the report, which the summary names.
    lines += [f"Next: {step}" for step in run.next_steps[:2]]
    return "\n".join(lines)


def _failed_first(pairs: Sequence[tuple[Any, Outcome]], reason: str) -> list[tuple[Any, Failure]]:
    """Return the item and the failure that stopped the run, if any did.

    That is the first that `reason` names, even if it was skipped, else the first that failed.
    """
    lost = [
        (item, outcome.failure, outcome.status)
        for item, outcome in pairs
        if outcome.failure is not None and outcome.status is not Status.COMPLETED
    ]
    named = [(item, failure) for item, failure, _ in lost if f"failed: {failure}" in reason]
    failed = [(item, failure) for item, failure, status in lost if status is Status.FAILED]
    return (named or failed)[:1]


def describe_stop(run: Any) -> str:
    """Return why `run` stopped, with the label of the task that is named first, if it has one."""
    reason = str(run.stop_reason or "it failed")
    task, _, rest = reason.partition(" ")
    name = task.rstrip(":")
    label = run.labels.get(name)
    return reason if label is None else f"{label}{task.removeprefix(name)} {rest}"


def explain_interrupt(run: Any, command: str | None = None) -> str:
    """Return what is stored of a run that was interrupted, and in the last line how to resume it.

    `command` is what resumes it on the command line; by default the argument of the same call. What
    is interrupted after the end of a run is its closing.
    """
    if str(run.status) in ("COMPLETED", "PARTIAL"):
        shown = "error.run" if command is None else f"taskinity-data runs show {run.run_id}"
        return f"the run had already ended ({run.status}); for its result, see {shown}"
    fan_outs = [task.name for task in run.flow.tasks if task.width is not None]
    ended = run.outcomes[run.outcomes["task"].isin(fan_outs)]
    done = f"{format_count(int((ended['status'] == 'COMPLETED').sum()), 'chunk')} completed"
    if not run.next_steps:
        return f"{done}; nothing was stored (with run_dir= a run is stored from its start)"
    if command is None:
        return f'{done}; to resume, repeat the call with\nresume="{run.run_id}"'
    return f"{done}; to resume:\n{command}"


def _locate(item: Any, failure: Failure, reason: str) -> Iterator[str]:
    chunk = item.data if item is not None and isinstance(item.data, Chunk) else None
    if item is not None and chunk is not None:
        yield f"in {chunk} (chunk {item.position}, key {item.key}){_hint(failure, chunk)}"
    elif item is not None:
        value = inert_line(safe_repr(item.data, 200))
        yield f"in item {item.position}, key {item.key}: {value}"
    if failure.traceback.strip() not in reason:
        *frames, message = shorten_traceback(failure.traceback).splitlines()
        text = message.partition(": ")[2] or message
        yield from [*frames, *([] if text in reason else [message])]


def _hint(failure: Failure, chunk: Chunk) -> str:
    """Return the column that a function probably meant, if it named one that is not there."""
    # GroupBy: 'Column not found: x'; several columns: "None of [Index(['x'], dtype='str')] are in
    # …".
    message = re.sub("Column not found: |dtype='[^']+'", "", failure.message)
    names = re.findall("'([^']+)'", message)
    if failure.kind not in ("KeyError", "AttributeError") or not names:
        return ""
    try:
        columns = list(map(str, chunk.reader.schema.names))
    except Exception:  # noqa: BLE001 - only a hint depends on it
        return ""
    hint = "" if names[-1] in columns else suggest(names[-1], columns)
    return hint and f".{hint}"
