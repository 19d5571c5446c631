"""Show the progress of a run, in a terminal or a notebook, as an observer of its events.

It starts no thread: it draws on events, and on ticks between them.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, TextIO, cast

from taskinity_data.events import Observer, RunFinished
from taskinity_data.report.palette import TONES
from taskinity_data.report.run_state import Tally
from taskinity_data.wording import encodable, format_count, format_seconds, inert, inert_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskinity_data.events import Event
    from taskinity_data.report.run_state import TaskTally

__all__ = ["NotebookProgress", "PlainProgress", "TerminalProgress", "planning", "progress_for"]


def progress_for(
    progress: bool | None = None, stream: TextIO | None = None, tally: Tally | None = None
) -> list[Observer]:
    """Return the observer that shows the progress of a run.

    Parameters
    ----------
    progress : bool, optional
        None: in a notebook, on a terminal, and elsewhere for runs of more than a few seconds. True:
        always. False: never.
    stream : text file, optional
        Where a terminal's progress is drawn; standard error by default.
    tally : Tally, optional
        What counts the events; one that knows the labels of tasks, where there are some.

    Returns
    -------
    list of Observer
        At most one.
    """
    if progress is False:
        return []
    if _is_notebook():
        return [NotebookProgress(tally=tally)]
    stream = sys.stderr if stream is None else stream
    if stream is None:  # a program without a console
        return []
    if _can_redraw(stream):
        return [TerminalProgress(stream, tally=tally)]
    return [PlainProgress(stream, ends=bool(progress), tally=tally)]


def _can_redraw(stream: TextIO) -> bool:
    # Where the cursor can't be moved a line could not be redrawn.
    return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


@contextmanager
def planning(label: str, progress: bool | None = None) -> Iterator[None]:
    """Show on a terminal that a run of `label` is planned, until that is done."""
    stream = sys.stderr
    is_shown = progress is not False and stream is not None and _can_redraw(stream)
    is_shown = is_shown and not _is_notebook()
    if is_shown:
        stream.write(encodable(f"{inert_line(label)[:20]} planning", stream.encoding))
        stream.flush()
    try:
        yield
    finally:
        if is_shown:
            stream.write("\r\x1b[2K")
            stream.flush()


class _Progress(Observer):
    """Counts events, and shows the counts if the last time is at least `pause_s` ago."""

    takes_batches = True
    pause_s: ClassVar[float]

    def __init__(self, tally: Tally | None) -> None:
        self._tally = tally or Tally()
        self._shown_s = float("-inf")

    def on_event(self, event: Event) -> None:
        """Count it, and show what has changed."""
        self._tally.add(event)
        self._show(event.at_s, is_last=isinstance(event, RunFinished))

    def on_tick(self, at_s: float) -> None:
        """Show what time has changed."""
        self._tally.pulse(at_s)
        self._show(at_s, is_last=False)

    def _show(self, at_s: float, *, is_last: bool) -> None:
        if is_last or at_s - self._shown_s >= self.pause_s:
            self._shown_s = at_s
            self._draw(at_s, is_last)

    def _draw(self, at_s: float, is_last: bool) -> None:
        """Show the counts."""


class TerminalProgress(_Progress):
    """A line for each task, redrawn in place."""

    # Drawing took 1.3 ms in a terminal of 80 columns: ten a second cost about 1 % of a core.
    pause_s = 0.1

    def __init__(
        self, stream: TextIO, width: int | None = None, tally: Tally | None = None
    ) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(tally)
        self._console = Console(
            file=cast("TextIO", _Encodable(stream)),
            width=width,
            # rich itself leaves out colours for NO_COLOR, and not bold and dim.
            color_system=None if os.environ.get("NO_COLOR") else "auto",
        )
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            auto_refresh=False,
            # Standard output may be a file that must get what is printed to it.
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=stream.isatty(),
        )

    def _draw(self, at_s: float, is_last: bool) -> None:  # noqa: ARG002 - as others
        if is_last:
            self.close()
        elif not self._tally.status:
            self._live.start()
            self._live.refresh()

    def close(self) -> None:
        """Draw for the last time, and give the terminal back."""
        self._live.stop()

    def _render(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        tasks = self._tally.shown
        lines: list[Any] = []
        if not tasks and not self._tally.status:
            style = TONES["running"].terminal
            lines.append(Text(f"{self._tally.flow} planning", style=style, no_wrap=True))
        # Lines that do not fit could not be redrawn: finished tasks are only counted.
        room = self._console.height - 5
        over = [task for task in tasks if task.is_done and not task.has_failed]
        folded = over[: max(0, len(tasks) - room)]
        if folded:
            lines.append(Text(f"{format_count(len(folded), 'task')} done"))
        lines += [self._render_task(task) for task in tasks if task not in folded]
        if not self._tally.status:
            workers = Text(self._tally.describe_workers(), style="dim")
            workers.truncate(self._console.width, overflow="ellipsis")
            lines.append(workers)
            if self._tally.link:
                # A truncated link is useless.
                link = f"dashboard {self._tally.link}"
                lines.append(Text(link, style="dim", overflow="fold"))
        return Group(*lines)

    def _render_task(self, task: TaskTally) -> Any:
        """Return the line of a task: name, bar, percent, and the fields that there is room for."""
        from rich.text import Text

        width = self._console.width
        name = inert_line(task.name)[: max(8, min(24, width // 3))]
        has_bar = task.is_fan_out and task.share is not None
        # The same all the time, so that nothing jumps.
        cells = max(4, min(30, width // 4 if width >= _NARROW else width // 8))
        fields = task.fields()
        room = width - len(name) - 1 - (cells + 8 if has_bar else 1)
        while len(fields) > 1 and len(_SEPARATOR.join(text for _, text in fields)) > room:
            fields.remove(max(fields, key=lambda field: field[0]))
        line = Text(f"{name} ", no_wrap=True, overflow="ellipsis")
        colour = TONES[task.tone].terminal
        if has_bar:
            done = round(cells * (task.share or 0.0))
            line.append("━" * done, style=colour).append("━" * (cells - done), style="dim")
            line.append(f" {task.share:4.0%}  ")
        else:
            line.stylize(colour)
        for number, (rank, text) in enumerate(fields):
            line.append(_SEPARATOR if number else "")
            is_loss = text.endswith((" failed", " skipped")) and not rank
            line.append(text, style=f"bold {TONES['attention'].terminal}" if is_loss else "")
        return line


_SEPARATOR, _NARROW = " · ", 60


class _Encodable:
    """A stream whose encoding may lack the characters that are written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(encodable(text, self._stream.encoding))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class PlainProgress(_Progress):
    """A line every few seconds, for what is not a terminal; nothing of a run that takes no longer.

    Parameters
    ----------
    stream : text file
    ends : bool
        Whether the last line comes of a short run too.
    """

    # What a person who watches a log waits for, and 720 lines an hour.
    pause_s = 5.0

    def __init__(self, stream: TextIO, *, ends: bool = False, tally: Tally | None = None) -> None:
        super().__init__(tally)
        self._stream = stream
        self._begun_s = float("inf")
        self._has_written = ends

    def _show(self, at_s: float, *, is_last: bool) -> None:
        if at_s < self._begun_s:
            self._begun_s = self._shown_s = at_s
        if self._has_written or not is_last or at_s - self._shown_s >= self.pause_s:
            super()._show(at_s, is_last=is_last)

    def _draw(self, at_s: float, is_last: bool) -> None:
        self._has_written = True
        self._stream.write(encodable(self._line(at_s, is_last), self._stream.encoding))
        self._stream.flush()

    def _line(self, at_s: float, is_last: bool) -> str:
        tally = self._tally
        tasks = [task for task in tally.shown if is_last or not task.is_done]
        tasks = [task for task in tasks if task.is_fan_out] or tasks[-1:]
        parts = [f"{task.name} {task.describe(', ', has_elapsed=False)}" for task in tasks]
        about = tally.status if is_last else tally.describe_workers()
        head = f"{tally.flow} after {format_seconds(at_s - self._begun_s)}"
        line = f"{head}: {'; '.join(filter(None, (*parts, about)))}"
        return inert(line).replace("\n", " ") + "\n"


class NotebookProgress(_Progress):
    """One output that is replaced while the run goes; what was shown last is saved with it."""

    # Each update travels to the browser and is kept in the file of the notebook until the next.
    pause_s = 0.25

    def __init__(self, display: Any = None, tally: Tally | None = None) -> None:
        if display is None:
            from IPython.display import display
        super().__init__(tally)
        self._display = display
        self._handle: Any = None

    def _draw(self, at_s: float, is_last: bool) -> None:  # noqa: ARG002 - as others
        shown = _Html(self._html())
        if self._handle is None:
            self._handle = self._display(shown, display_id=True)
        else:
            self._handle.update(shown)

    def _html(self) -> str:
        tally = self._tally
        rows = "".join(_html_row(task) for task in tally.shown)
        about = escape(
            " · ".join(filter(None, (tally.flow, tally.describe_workers(), tally.status)))
        )
        if tally.link.startswith(("http://", "https://")) and not tally.status:
            about += f' · <a href="{escape(tally.link)}" target="_blank">dashboard</a>'
        return f"<div><div>{about}</div><table>{rows}</table></div>"


class _Html:
    """What a notebook shows as HTML, and a console as text."""

    def __init__(self, html: str) -> None:
        self._html = html

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return "taskinity_data progress"


def _html_row(task: TaskTally) -> str:
    bar = ""
    if task.is_fan_out and task.share is not None:
        style = f"accent-color:{TONES[task.tone].fill}"
        bar = f'<progress max="1" value="{task.share:.3f}" style="{style}"></progress>'
    text = escape(task.describe(" · "))
    return f"<tr><td>{escape(task.name)}</td><td>{bar}</td><td>{text}</td></tr>"


def _is_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    # A terminal's IPython has no place whose content can be replaced.
    return shell is not None and type(shell).__name__ != "TerminalInteractiveShell"
