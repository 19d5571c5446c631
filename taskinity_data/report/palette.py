# ruff: noqa: E501 - a line of style is a rule
"""Define the colours of states, the same in report, dashboard, notebook and terminal."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["RULES", "SERIES", "STATES", "TONES", "Tone", "css", "tone_of"]


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

RULES = """\
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(160px,1fr));gap:12px;margin:24px 0 0}
.tile{background:var(--box);border:1px solid var(--line);border-radius:8px;padding:12px 14px;min-width:0}
.tile dt{color:var(--soft);font-size:.8125rem}.tile dd{margin:0}
.number{display:block;font-size:1.5rem;line-height:2.1rem;font-weight:650;font-variant-numeric:tabular-nums;white-space:nowrap}
.tile:first-child .number{font-size:1.2rem}
.tile .note{color:var(--soft);min-height:1.25rem;display:block;font-size:.8125rem}
.good{color:var(--good-ink)}.reused{color:var(--reused-ink)}.running{color:var(--running-ink)}
.again{color:var(--again-ink)}.attention{color:var(--attention-ink)}.bad{color:var(--bad-ink)}.idle{color:var(--idle-ink)}
.swatch{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:6px;background:var(--dot)}
svg.taskinity-flow rect,svg.taskinity-flow .many rect{fill:var(--box);stroke:var(--idle);stroke-width:2}
svg.taskinity-flow text{fill:var(--ink)}
svg.taskinity-flow g.completed rect{stroke:var(--good)}svg.taskinity-flow g.running rect{stroke:var(--running)}
svg.taskinity-flow g.failed rect{stroke:var(--bad);stroke-width:3}
svg.taskinity-flow g.skipped rect,svg.taskinity-flow g.stopped rect{stroke:var(--attention);stroke-dasharray:5 4}
@media (max-width:600px){
.tiles{grid-template-columns:1fr 1fr;gap:8px}.tile{padding:10px 12px}.tile:first-child:nth-last-child(odd){grid-column:1/3}
.number{font-size:1.25rem}
}"""
"""The style of large numbers, of texts in the colours of states, of legends, and of flows."""


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
