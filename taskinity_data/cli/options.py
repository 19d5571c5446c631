"""Options that several commands share, and what their texts mean.

It knows nothing of what is done with them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from taskinity_data.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "as_json_option",
    "check_ranges",
    "chunk_size_option",
    "examples",
    "input_option",
    "memory_option",
    "output_options",
    "parse_inputs",
    "parse_reader_options",
    "parse_storage_options",
    "storage_option",
    "tasks_option",
    "workers_option",
]


def examples(*commands: str) -> str:
    """The end of a command's help: lines to copy, which click must not wrap."""
    return "\b\nExamples:\n" + "\n".join(f"  taskinity-data {command}" for command in commands)


def tasks_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--tasks FILE.py``."""
    return click.option(
        "--tasks",
        "tasks_path",
        metavar="FILE.py",
        help="The Python file with the flow's functions. It is imported, which runs its top level.",
    )(function)


def input_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--input NAME=VALUE``, any number of times."""
    return click.option(
        "--input",
        "input_texts",
        multiple=True,
        metavar="NAME=VALUE",
        help="An input of the flow, by the name of the parameter that takes it. The value stays "
        "a text. May be given many times.",
    )(function)


def workers_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--workers N``."""
    return click.option(
        "--workers",
        type=click.IntRange(min=1),
        metavar="N",
        help="How many workers. Default: TASKINITY_MAX_WORKERS, else one per core.",
    )(function)


def memory_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--memory M``."""
    return click.option(
        "--memory",
        metavar="M",
        help="What one worker may use, e.g. 2GiB. Default: its share of the machine.",
    )(function)


def chunk_size_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--chunk-size S``."""
    return click.option(
        "--chunk-size",
        metavar="S",
        help='auto, or a size that is kept: 64MiB, 64_000_000, "100_000 rows".',
    )(function)


def storage_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--storage-option NAME=VALUE``, any number of times."""
    return click.option(
        "--storage-option",
        "storage_texts",
        multiple=True,
        metavar="NAME=VALUE",
        help="Of all URLs of stores: what fsspec's file system takes, e.g. anon=True, "
        "endpoint_url=http://127.0.0.1:9000. A flow's function that opens data gets them where it "
        "has a parameter storage_options. Shown and kept nowhere; but others of this machine can "
        "see a command line, so that keys are safer in the environment. May be given many times.",
    )(function)


def output_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--output DIR`` and what says how it is written, under `run_flow`'s names."""
    options = (
        click.option(
            "--output",
            metavar="DIR",
            help="Write each chunk's table as a part file there; all appear at once at the end. A "
            "directory, or a URL such as s3://BUCKET/NAME, with keys from the environment.",
        ),
        click.option(
            "--output-format", metavar="F", help="parquet (default), csv, jsonl or arrow."
        ),
        click.option(
            "--partition-by",
            metavar="COLUMN",
            multiple=True,
            help="Sort parts into COLUMN=value directories; may be given again.",
        ),
        click.option(
            "--if-exists",
            metavar="X",
            help="Where DIR exists: error (default), overwrite or append.",
        ),
        click.option(
            "--only-new",
            is_flag=True,
            help="With --if-exists append: only those input files whose rows DIR does not hold "
            "yet, each once; nothing new is no error.",
        ),
        click.option(
            "--allow-repeated",
            is_flag=True,
            help="With --if-exists append: all inputs, those too whose rows DIR holds already, as "
            "for another function.",
        ),
        click.option(
            "--max-rows-per-file",
            type=click.IntRange(min=1),
            metavar="N",
            help="Cut a chunk with more rows into several files. Default: one file a chunk (and "
            "directory), as large as the chunk; 1000000 suits readers that open whole files.",
        ),
        click.option(
            "--output-compression",
            metavar="C",
            help="Of parquet: snappy (default), zstd (smaller, slower), gzip, lz4, brotli, none; "
            "of arrow: none (default), lz4, zstd; csv and jsonl are not compressed.",
        ),
        click.option(
            "--spreadsheet-safe",
            is_flag=True,
            help="Of csv: put ' before texts that a spreadsheet would run as formulas (those that "
            "begin with = + - @). They no longer read back as they were.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def as_json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--json``."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="One JSON object on standard output; all else goes to standard error.",
    )(function)


def parse_inputs(texts: Iterable[str]) -> dict[str, str]:
    """``{"data": "x.csv"}`` of ``["data=x.csv"]``; values stay the texts that they are.

    Raises
    ------
    SettingsError
        A text without a name or ``=``, or a name that comes twice.
    """
    inputs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise SettingsError(
                f"--input {text!r}: write NAME=VALUE, e.g. --input data=flights.csv"
            )
        if name in inputs:
            raise SettingsError(f"--input {name} is given twice: {inputs[name]!r} and {value!r}")
        inputs[name] = value
    return inputs


def parse_reader_options(texts: Iterable[str]) -> dict[str, Any]:
    """Reader options of ``["sep=;", "header=None"]``: Python literals, and texts as they are.

    A backslash and a t stand for a tab.

    Raises
    ------
    SettingsError
        A text without a name or ``=``, or a name that comes twice.
    """
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise SettingsError(f"--option {text!r}: write NAME=VALUE, e.g. --option sep=';'")
        if name in options:
            raise SettingsError(f"--option {name} is given twice")
        options[name] = "\t" if value == "\\t" else _literal(value)
    return options


def parse_storage_options(texts: Iterable[str]) -> dict[str, Any]:
    """As `parse_reader_options`, but no message tells a value: it may be a secret.

    Raises
    ------
    SettingsError
        A text without a name or ``=``, or a name that comes twice.
    """
    options: dict[str, Any] = {}
    for place, text in enumerate(texts, 1):
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise SettingsError(
                f"--storage-option number {place}: write NAME=VALUE, e.g. anon=True"
            )
        if name in options:
            raise SettingsError(f"--storage-option {name} is given twice")
        options[name] = _literal(value)
    return options


def check_ranges(texts: Iterable[str]) -> None:
    """Whether each can be a chunk's place; whether there is such a file shows when it is opened.

    Raises
    ------
    SettingsError
        A text that is not ``PATH:START-STOP``.
    """
    for text in texts:
        if re.fullmatch(r".+:[0-9]+-[0-9]+", text, re.DOTALL) is None:
            raise SettingsError(
                f"--only {text!r}: write PATH:START-STOP, e.g. --only flights.csv:158-983830"
            )


def _literal(text: str) -> Any:
    import ast

    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
