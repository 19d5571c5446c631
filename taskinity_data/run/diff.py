"""What changed between two runs that are kept: inputs, code, options, versions, times, totals.

It works on what the journals say, and looks at no file and no function itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from difflib import unified_diff
from html import escape
from typing import TYPE_CHECKING, Any

from taskinity_data.outcome import Status
from taskinity_data.wording import (
    for_stdout,
    format_nbytes,
    format_seconds,
    inert,
    safe_repr,
    safe_str,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskinity_data.checkpoints.read_journal import Past
    from taskinity_data.outcome import Outcome

__all__ = ["RunDiff", "compare_runs", "facts_for_diff"]

_MAX_NAMES, _MAX_LINES, _MAX_CHARACTERS = 8, 40, 120
_IN_MEMORY = "a table in memory"
_NO_CODE = ("argument ", "reducer ", "what is kept", "output")
"""Parts of a fan-out's identity that are no code, or that stand elsewhere too."""

Pair = tuple[Any, Any]
"""What something was in the first run and in the second, None where it was not there."""


@dataclass(frozen=True)
class RunDiff:
    """What changed from one run to another.

    Attributes
    ----------
    before, after : str
        The runs.
    files : dict of str to list of str
        ``added``, ``removed`` and ``changed`` files, the last by size, time and number.
    inputs : dict of str to pair
        Inputs by name whose values differ.
    tasks, globals : list of str
        Tasks whose function, and globals of the user's modules that these read, differ.
    text : list of str
        The lines of the flow's text that differ, as ``diff -u`` has them.
    options, versions : dict of str to pair
        Those that differ.
    times, totals : dict of str to pair
        All of them: seconds of the run and of each task's work, 0.0 of what was not run, None where
        that is unknown; chunks, rows, bytes, failures.
    unknown : list of str
        What could not be compared, in sentences.
    """

    before: str
    after: str
    files: dict[str, list[str]]
    inputs: dict[str, Pair]
    tasks: list[str]
    globals: list[str]
    text: list[str]
    options: dict[str, Pair]
    versions: dict[str, Pair]
    times: dict[str, Pair]
    totals: dict[str, Pair]
    unknown: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        sections = {
            "Inputs": [*_describe_files(self.files), *_describe_pairs(self.inputs)],
            "Code": [
                *(f"{name}: its function changed" for name in self.tasks),
                *(f"{name} changed" for name in self.globals),
                *(["the flow's text:", *self.text[:_MAX_LINES]] if self.text else []),
            ],
            "Options": _describe_pairs(self.options),
            "Versions": _describe_pairs(self.versions, "not installed"),
            "Times": [f"{name}: {_describe_times(*pair)}" for name, pair in self.times.items()],
            "Totals": [
                f"{name}: {_describe_total(name, a)} before, {_describe_total(name, b)} after"
                for name, (a, b) in self.totals.items()
                if a != b
            ],
            "Not compared": self.unknown,
        }
        lines = [f"Before: {self.before}", f"After:  {self.after}"]
        for title, section_lines in sections.items():
            lines += [
                "",
                title,
                *(f"  {_one_line(line)}" for line in section_lines or ["the same"]),
            ]
        if not self.unknown:
            lines = lines[:-3]
        return for_stdout("\n".join(lines))

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def facts_for_diff(past: Past, status: str) -> dict[str, Any]:
    """Return what of a run is compared."""
    head, end = past.head, past.end or {}
    files = {}
    for identity, path in past.files.items():
        files[_IN_MEMORY if identity.startswith("memory ") else path] = identity
    parts: dict[str, str] = {}
    for fan_out in past.fan_outs.values():
        parts |= {
            name: digest for name, digest in fan_out.code.items() if name not in fan_out.unstable
        }
    inputs = head.get("inputs", {})
    code = {name: part for name, part in parts.items() if not name.startswith(_NO_CODE)}
    return {
        "run_id": past.run_id,
        "status": status,
        "text": head.get("text", ""),
        "files": files,
        "inputs": inputs,
        # Of a table in memory the digest stands among the files.
        "hidden": [
            name for name in head.get("asked", ()) if name not in inputs and _IN_MEMORY not in files
        ],
        "code": code | head["code"],
        "options": head["options"],
        "versions": head.get("versions", {}) | {"host": head.get("host")},
        "times": _times(past),
        "totals": _totals(past) | {"status": status},
        "is_whole": "timings" in end,
    }


def _times(past: Past) -> dict[str, float]:
    end = past.end or {}
    times: dict[str, float] = {}
    if "timings" in end:
        times["the whole run"] = end["timings"]["total"]
    elif "ended_s" in end:
        times["the whole run"] = end["ended_s"] - past.head["started_s"]
    work: Counter[str] = Counter()
    for outcome in [*_chunks(past), *past.singles()]:
        spent = (
            0.0 if outcome.is_recalled else sum(attempt.duration_s for attempt in outcome.attempts)
        )
        work[outcome.task] += spent  # type: ignore[assignment]  # seconds add up as counts do
    return times | {f"work of {name}": spent for name, spent in work.items()}


def _chunks(past: Past) -> list[Outcome]:
    return [outcome for _, outcome in past.outcomes()]


def _totals(past: Past) -> dict[str, Any]:
    chunks = _chunks(past)
    counts = Counter(outcome.status for outcome in chunks)
    rows = [outcome.rows for outcome in chunks if outcome.status is Status.COMPLETED]
    return {
        "chunks": len(chunks),
        "rows": None if None in rows else sum(count for count in rows if count is not None),
        "bytes": sum(outcome.nbytes for outcome in chunks),
        "failed": counts[Status.FAILED],
        "skipped": counts[Status.SKIPPED],
        "replaced by a fallback": sum(outcome.is_fallback for outcome in chunks),
        "tried again": sum(len(outcome.attempts) > 1 for outcome in chunks),
        "reused from an earlier run": sum(
            outcome.is_recalled and outcome.status is Status.COMPLETED for outcome in chunks
        ),
    }


def compare_runs(before: Mapping[str, Any], after: Mapping[str, Any]) -> RunDiff:
    """Return what changed, of two results of `facts_for_diff`."""
    unknown = [
        f"run {details['run_id']} did not come to its end, so that files, times and totals are "
        "those of what it had done"
        for details in (before, after)
        if not details["is_whole"]
    ]
    hidden = dict.fromkeys([*before["hidden"], *after["hidden"]])
    unknown += [f"the input {name}: its values are not kept" for name in hidden]
    # What one of them alone reads has changed the function that reads it.
    both = before["code"].keys() & after["code"].keys()
    changed = [name for name in after["code"] if name in both]
    changed = [name for name in changed if before["code"][name] != after["code"][name]]
    lines = unified_diff(
        before["text"].splitlines(), after["text"].splitlines(), "before", "after", "", "", 1, ""
    )
    return RunDiff(
        before=before["run_id"],
        after=after["run_id"],
        files=_files(before["files"], after["files"]),
        inputs=_differ(before["inputs"], after["inputs"]),
        tasks=[
            name.removeprefix("task ")
            for name in changed
            if name.startswith(("task ", "fallback of "))
        ],
        globals=[name for name in changed if not name.startswith(("task ", "fallback of "))],
        text=list(lines),
        options=_differ(before["options"], after["options"]),
        versions=_differ(before["versions"], after["versions"]),
        times=_pairs(*(_all_times(run_details, before, after) for run_details in (before, after))),
        totals=_pairs(before["totals"], after["totals"]),
        unknown=unknown,
    )


def _all_times(
    details: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, float | None]:
    """Return the times of `details`, 0.0 of what only the other run did, if all times are known."""
    names = dict.fromkeys([*before["times"], *after["times"]])
    return {
        name: details["times"].get(name, 0.0 if details["is_whole"] else None) for name in names
    }


def _pairs(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Pair]:
    names = dict.fromkeys([*before, *after])
    return {name: (before.get(name), after.get(name)) for name in names}


def _differ(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Pair]:
    return {name: (a, b) for name, (a, b) in _pairs(before, after).items() if a != b}


def _files(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, list[str]]:
    return {
        "added": [path for path in after if path not in before],
        "removed": [path for path in before if path not in after],
        "changed": [path for path in after if before.get(path, after[path]) != after[path]],
    }


# -- in words --------------------------------------------------------------------------------------


def _one_line(text: str) -> str:
    return inert(text).replace("\n", "\\n")


def _describe_files(files: Mapping[str, list[str]]) -> list[str]:
    words = {
        "added": "read after, and not before",
        "removed": "read before, and not after",
        "changed": "changed in between",
    }
    return [f"{words[change]}: {_list(paths)}" for change, paths in files.items() if paths]


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


def _describe_pairs(pairs: Mapping[str, Pair], absent: str = "not given") -> list[str]:
    return [
        f"{name}: {_describe(before, absent)} before, {_describe(after, absent)} after"
        for name, (before, after) in pairs.items()
    ]


def _describe(value: Any, absent: str) -> str:
    if value is None:
        return absent
    text = safe_str(value)
    text = text if text.strip() else safe_repr(value)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…"


def _describe_times(before: float | None, after: float | None) -> str:
    shown = [
        "unknown" if seconds is None else format_seconds(seconds) if seconds else "not run"
        for seconds in (before, after)
    ]
    change = ""
    if before and after and shown[0] != shown[1]:
        change = f" ({after / before - 1:+.0%})"
    return f"{shown[0]} before, {shown[1]} after{change}"


def _describe_total(name: str, value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or "unknown"
    return format_nbytes(value) if name == "bytes" else f"{value:,}"
