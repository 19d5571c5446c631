"""Define the colours of states, the same in report, dashboard, notebook and terminal."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SERIES", "STATES", "TONES", "Tone", "css", "tone_of"]


class Tone(NamedTuple):
    """One colour: of shapes on any page, of texts on a light and a dark one, and of a terminal.

    Shapes have a contrast of 3:1 on white and on the dark page, texts of 5:1. On a terminal it is
    a name of its own palette, which users choose, and the code for it.
    """

    fill: str
    ink: str
    dark_ink: str
    terminal: str
    code: str


TONES = {
    "good": Tone("#2f9e62", "#1b6e43", "#6fcf9f", "green", "32"),
    "reused": Tone("#6f9e86", "#4b6f5d", "#a9c9b8", "green", "32"),
    # Plain blue can't be read on a black terminal.
    "running": Tone("#3b82d6", "#1c5fa8", "#84b8f2", "bright_blue", "94"),
    "again": Tone("#8e63ce", "#6a3fb0", "#c3a5f2", "magenta", "35"),
    "attention": Tone("#c9860a", "#855600", "#e8b04a", "yellow", "33"),
    "bad": Tone("#cf3f4c", "#b3261e", "#ff8f94", "red", "31"),
    "idle": Tone("#8792a2", "#56606e", "#a6b1bf", "bright_black", "90"),
}

STATES = {
    "COMPLETED": "good",
    "REUSED": "reused",
    "RUNNING": "running",
    "RETRYING": "again",
    "RETRIED": "again",
    "PARTIAL": "attention",
    "SKIPPED": "attention",
    "QUARANTINED": "attention",
    "FALLBACK": "attention",
    "INTERRUPTED": "attention",
    "STOPPED": "attention",
    "LOST": "attention",
    "FAILED": "bad",
    "PENDING": "idle",
}
"""The tone of each state of a run, a task or a chunk."""

SERIES = {"read": "#4f6bd0", "function": "#1b9aab", "partial": "#b0568c", "rest": "#8792a2"}
"""The colours of the parts of a chunk's time, none of them that of a state."""

_PAGE = {"page": "#fff", "ink": "#1b2430", "soft": "#56606e", "line": "#d9dfe7", "box": "#f5f7fa",
         "link": "#1c559e"}  # fmt: skip
_DARK_PAGE = {"page": "#14181f", "ink": "#e6ebf2", "soft": "#a6b1bf", "line": "#333d4a",
              "box": "#1b212b", "link": "#8ab8f5"}  # fmt: skip


def tone_of(state: str) -> Tone:
    """Return the colour of a state; grey if it has none."""
    return TONES[STATES.get(state, "idle")]


def css() -> str:
    """Return the colours as variables of a page: ``--bad``, ``--bad-ink``, ``--read``, …"""
    fills = {name: tone.fill for name, tone in TONES.items()} | SERIES
    light = {f"{name}-ink": tone.ink for name, tone in TONES.items()} | _PAGE
    dark = {f"{name}-ink": tone.dark_ink for name, tone in TONES.items()} | _DARK_PAGE
    return (
        f":root{{color-scheme:light dark;{_declare(fills | light)}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{_declare(dark)}}}}}"
    )


def _declare(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())
