"""Write the report of a run as one HTML file that needs no network and no other file.

Every text goes through Jinja's escaping and loses its control characters; the page forbids itself
requests and any script but its own, which copies commands.
"""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskinity_data.disk import replace_file
from taskinity_data.errors import WriteError
from taskinity_data.report.failure import describe_stop
from taskinity_data.report.html.attempts import printable
from taskinity_data.report.html.sections import Reported, find_sections
from taskinity_data.report.html.tiles import make_tiles
from taskinity_data.report.palette import RULES, STATES, css
from taskinity_data.settings import working_directory
from taskinity_data.wording import format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["render_report", "write_report"]

_MAX_NOTICES = 20


def write_report(
    run: Any,
    ended: Sequence[tuple[Any, Any]],
    path: str | os.PathLike[str] | None,
    head: Mapping[str, Any],
) -> Path:
    """Write the report of `run`, and return its absolute path.

    `ended` are the run's pairs of item and outcome, `head` is the head of its journal: inputs and
    options, of a kept run its versions, too. The default path, and the file's name if `path` is a
    directory, is ``<run_id>.html``. Directories are made; the file is replaced as a whole, or not
    at all.

    Raises
    ------
    WriteError
        It can't be written there (it is an OSError too).
    SettingsError
        `path` is relative, and the working directory is gone.
    """
    target = Path(os.path.expanduser(f"{run.run_id}.html" if path is None else path))
    target = target if target.is_absolute() else working_directory() / target
    page = render_report(run, ended, head)
    try:
        target = target.resolve()
        if target.is_dir():
            target /= f"{run.run_id}.html"
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, page.encode())
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise WriteError(
            f"the report can't be written to {target}: {why}; free some space, or choose another "
            "directory, such as run.report('/tmp'), on the command line --report FILE.html or "
            "report -o",
            path=str(target),
        ) from error
    return target


def render_report(run: Any, ended: Sequence[tuple[Any, Any]], head: Mapping[str, Any]) -> str:
    """Return the report of `run` as HTML."""
    from jinja2 import Environment, PackageLoader

    jinja = Environment(
        loader=PackageLoader("taskinity_data.report.html", ""),
        autoescape=True,
        finalize=_finalize,
        trim_blocks=True,
    )
    jinja.filters |= {
        "cut": lambda text, longest: printable(str(text), longest),
        "seconds": format_seconds,
    }
    report = Reported.of(run, ended, head)
    script = jinja.get_template("copy.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return jinja.get_template("page.jinja").render(
        colours=f"{css()}\n{RULES}",
        script=script,
        script_hash=digest,
        flow=run.labels.get(run.flow.name, run.flow.name),
        status=str(run.status),
        run_id=run.run_id,
        state=STATES.get(str(run.status), "idle"),
        tiles=[
            (tile, STATES.get(tile.state, "")) for tile in make_tiles(run, ended, report.attempts)
        ],
        stop_reason=describe_stop(run) if run.stop_reason else "",
        about=_describe(run, report.attempts),
        missing=run.missing,
        notices=list(run.notices)[:_MAX_NOTICES],
        sections=find_sections(report),
    )


def _finalize(value: Any) -> Any:
    # What is safe is ours, and has been cleaned where it was made.
    return value if hasattr(value, "__html__") else printable(str(value))


def _describe(run: Any, attempts: Sequence[Any]) -> list[str]:
    """Return what the large numbers leave out: which run, when, and where it ran."""
    from datetime import UTC, datetime

    texts = [f"Run {run.run_id}"]
    if attempts:
        began = datetime.fromtimestamp(attempts[0].started_s, UTC)
        texts.append(f"{began:%Y-%m-%d %H:%M:%S} UTC")
    if run.workers:
        where = f"{run.scheduler}, {format_count(run.workers, 'worker')}"
        texts.append(f"{where} ({run.scheduler_reason})" if run.scheduler_reason else where)
    return texts
