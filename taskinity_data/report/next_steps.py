"""Suggest what to type next for a kept run that failed, was interrupted, or left chunks out."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["next_steps"]


def next_steps(
    head: Mapping[str, Any],
    status: str,
    *,
    key: str | None = None,
    is_resumable: bool = True,
    run_dir: str | None = None,
) -> list[str]:
    """Return commands, each after a colon with its purpose before; none for a run that completed.

    Parameters
    ----------
    head : mapping
        Of the journal.
    status : str
    key : str, optional
        Of a chunk that has no result.
    is_resumable : bool
        Whether something that it finished can be reused.
    run_dir : str, optional
        Where it is kept, if not where the settings say.
    """
    if status == "COMPLETED" or (status == "PARTIAL" and key is None):
        return []
    run_id = str(head["run_id"])
    missing = [name for name in head.get("asked", ()) if name not in head.get("inputs", {})]
    typed = [name for name in missing if name != "storage_options"]
    where = f"TASKINITY_RUN_DIR={shlex.quote(run_dir)} " if run_dir is not None else ""
    from_python = head.get("is_process") or head.get("is_wired")
    steps = []
    if is_resumable:
        purpose = "rerun what did not complete, with the current code"
        if from_python or (head.get("output") and head.get("written") is None):
            call = f'the same call with resume="{run_id}"'
            call += "" if head.get("is_process") else f"; on the command line --resume {run_id}"
            steps.append(f"{purpose}: {call}")
        else:
            options = "".join(f" --input {name}=..." for name in typed)
            options += "".join(f" --storage-option {name}=..." for name in head.get("asks", ()))
            options += "" if _has_file(head) else " --tasks FILE.py"
            steps.append(f"{purpose}: {where}taskinity-data redrive {run_id}{options}")
    if key is not None and not head.get("is_wired"):
        more = "" if run_dir is None else f", run_dir={run_dir!r}"
        more += "".join(f", {name}=..." for name in missing)
        steps.append(
            f'run a failed chunk in this process, e.g. in a debugger: td.replay("{run_id}", '
            f'"{key}"{more})'
        )
    steps.append(f"write the full report: {where}taskinity-data report {run_id}")
    return steps


def _has_file(head: Mapping[str, Any]) -> bool:
    """Return whether the file of its functions is known."""
    return any(function and function[2] for function in head.get("functions", {}).values())
