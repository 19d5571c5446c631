"""What to type next where a run that is kept has failed, was interrupted, or has left chunks out.

It knows a run by what its journal says of it at its head, and nothing of how that is kept.
"""

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
    """Commands, each with what it does before a colon; none of a run that has done all.

    Parameters
    ----------
    head : mapping
        Of the journal.
    status : str
    key : str, optional
        Of a chunk that has no result.
    is_resumable : bool
        Whether something that it finished can be used again.
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
        what = "what did not complete, with today's code"
        if from_python or (head.get("output") and head.get("written") is None):
            call = f'the same call with resume="{run_id}"'
            call += "" if head.get("is_process") else f"; on the command line --resume {run_id}"
            steps.append(f"{what}: {call}")
        else:
            given = "".join(f" --input {name}=..." for name in typed)
            given += "".join(f" --storage-option {name}=..." for name in head.get("asks", ()))
            given += "" if _has_file(head) else " --tasks FILE.py"
            steps.append(f"{what}: {where}taskinity-data redrive {run_id}{given}")
    if key is not None and not head.get("is_wired"):
        more = "" if run_dir is None else f", run_dir={run_dir!r}"
        more += "".join(f", {name}=..." for name in missing)
        steps.append(
            f'a chunk that failed, here, where a debugger stops in it: td.replay("{run_id}", '
            f'"{key}"{more})'
        )
    steps.append(f"all that is known of it: {where}taskinity-data report {run_id}")
    return steps


def _has_file(head: Mapping[str, Any]) -> bool:
    """Whether the file of its functions is known."""
    return any(place and place[2] for place in head.get("functions", {}).values())
