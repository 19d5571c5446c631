"""Group what failed, was skipped, replaced or tried again by task, status and error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.outcome import Status
from taskinity_data.report.html.attempts import location_of, status_of
from taskinity_data.report.html.run_charts import STATES
from taskinity_data.report.palette import STATES as PALETTE
from taskinity_data.wording import without_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.outcome import Failure, Outcome

__all__ = ["FailureGroup", "group_failures", "split_step"]

_MAX_GROUPS, _MAX_RANGES, _MAX_MESSAGE = 25, 50, 300
_ORDER = {Status.FAILED: 0, Status.SKIPPED: 1, Status.COMPLETED: 2}


class FailureGroup(NamedTuple):
    """Chunks or tasks with the same error, but for numbers in its message.

    `error` and `traceback` are those of the first of them. `ranges` are those of their chunks, each
    with its message where that differs.
    """

    task: str
    state: str
    status: str
    error: str
    traceback: str
    size: int
    attempts: int
    ranges: Sequence[tuple[str, str]]

    @property
    def tone(self) -> str:
        """The name of its colour."""
        return PALETTE[self.state]


def group_failures(
    ended: Sequence[tuple[Any, Outcome]], labels: Mapping[str, str]
) -> tuple[list[FailureGroup], int]:
    """Return at most 25 groups, worst and most frequent first, and the number of all groups.

    `ended` are pairs of item and outcome.
    """
    groups: dict[tuple[str, ...], list[tuple[Any, Outcome, Failure | None]]] = {}
    for item, outcome in ended:
        state = status_of(outcome)
        failures = [attempt.failure for attempt in outcome.attempts if attempt.failure is not None]
        if state == "REUSED" or not (failures or outcome.failure or outcome.is_fallback):
            continue
        last = failures[-1] if failures else outcome.failure
        kind = "" if last is None else f"{last.kind}: {last.message[:_MAX_MESSAGE]}"
        key = (outcome.task, state, without_numbers(kind))
        groups.setdefault(key, []).append((item, outcome, last))
    worst = sorted(
        groups.values(), key=lambda group: (_ORDER.get(group[0][1].status, 0), -len(group))
    )
    return [_group(group, labels) for group in worst[:_MAX_GROUPS]], len(groups)


def _group(
    group: Sequence[tuple[Any, Outcome, Failure | None]], labels: Mapping[str, str]
) -> FailureGroup:
    _, outcome, first = group[0]
    state = status_of(outcome)
    ranges = []
    for item, _, failure in group[:_MAX_RANGES]:
        location = "" if item is None else location_of(item.data) or f"item {item.position:,}"
        is_other = failure is not None and first is not None and failure.message != first.message
        ranges.append((location, failure.message if is_other and failure is not None else ""))
    return FailureGroup(
        labels.get(outcome.task, outcome.task),
        "RETRIED" if state == "COMPLETED" else state,
        "completed when tried again" if state == "COMPLETED" else STATES[state],
        "" if first is None else str(first),
        "" if first is None else first.traceback,
        len(group),
        sum(len(outcome.attempts) for _, outcome, _ in group),
        [] if group[0][0] is None else ranges,
    )


def split_step(step: str) -> tuple[str, list[str]]:
    """Return the purpose of one of `Run.next_steps`, and what to type.

    >>> split_step("write the full report: taskinity-data report 7")
    ('write the full report', ['taskinity-data report 7'])
    >>> split_step('rerun: the same call with resume="7"; on the command line --resume 7')
    ('rerun: the same call with', ['resume="7"', '--resume 7'])
    """
    purpose, _, command = step.partition(": ")
    call = "the same call with "
    if command.startswith(call):
        purpose, command = f"{purpose}: {call.strip()}", command.removeprefix(call)
    return purpose, command.split("; on the command line ")
