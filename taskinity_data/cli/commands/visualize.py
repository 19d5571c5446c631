"""``taskinity-data visualize``: a flow as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from taskinity_data.cli.options import examples
from taskinity_data.cli.output import write_whole
from taskinity_data.wording import suggest

__all__ = ["visualize"]

_FORMATS = {".svg": "to_svg", ".mmd": "to_mermaid", ".txt": "to_ascii"}


@click.command(
    short_help="Draw a flow: text, SVG or Mermaid.",
    epilog=examples("visualize delays.flow", "visualize delays.flow -o delays.svg"),
)
@click.argument("flow", metavar="FLOW", type=click.Path())
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(),
    help="Write to this file instead: .svg (a picture for browsers), .mmd (Mermaid text) or .txt.",
)
def visualize(flow: str, output: str | None) -> None:
    """Draw FLOW, a flow file or a script; no other program is needed."""
    from taskinity_data.cli.loading import open_flow

    suffix = Path(output).suffix.lower() if output is not None else ".txt"
    if suffix not in _FORMATS:
        raise click.UsageError(
            f"{output}: write to a file called *{', *'.join(_FORMATS)}.{suggest(suffix, _FORMATS)}"
        )
    text = getattr(open_flow(flow, is_drawn=True), _FORMATS[suffix])()
    if output is None:
        click.echo(text)
    else:
        write_whole(output, text + "\n")
