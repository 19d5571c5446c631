"""Options that several commands share, and what their texts mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from taskinity_data.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from taskinity_data.run.options import Option

__all__ = [
    "as_json_option",
    "examples",
    "input_option",
    "parse_inputs",
    "parse_reader_options",
    "parse_run_options",
    "parse_storage_options",
    "run_options",
    "tasks_option",
]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def examples(*commands: str) -> str:
    """Format the end of a command's help: lines to copy, which click must not wrap."""
    return "\b\nExamples:\n" + "\n".join(f"  taskinity-data {command}" for command in commands)


def tasks_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option ``--tasks FILE.py``."""
    return click.option(
        "--tasks",
        "tasks_path",
        metavar="FILE.py",
        type=click.Path(),
        help="The Python file with the flow's functions. It is imported, which runs its top level.",
    )(function)


def input_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option ``--input NAME=VALUE``, which may be repeated."""
    return click.option(
        "--input",
        "input_texts",
        multiple=True,
        metavar="NAME=VALUE",
        help="An input of the flow, by the name of its parameter. The value is passed as a "
        "string. May be repeated.",
    )(function)


def run_options(options: Mapping[str, Option]) -> Callable[[Decorated], Decorated]:
    """Return a decorator that adds these options of a run, under their names."""

    def add(function: Decorated) -> Decorated:
        for name, option in reversed(list(options.items())):
            function = _run_option(name, option)(function)
        return function

    return add


def _run_option(name: str, option: Option) -> Callable[[Decorated], Decorated]:
    keywords: dict[str, Any] = {"help": option.help}
    if option.metavar is None:
        keywords["is_flag"] = True
    else:
        keywords |= {"metavar": option.metavar, "multiple": option.is_many}
    if option.min is not None:
        keywords["type"] = click.IntRange(min=option.min)
    if option.bare is not None:
        keywords |= {"is_flag": False, "flag_value": option.bare}
    return click.option(f"--{option.flag or name.replace('_', '-')}", name, **keywords)


def parse_run_options(typed: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options of a run that were given, as `run_flow` takes them.

    Raises
    ------
    SettingsError
        A text that can't be one.
    """
    chosen = {
        name: value
        for name, value in typed.items()
        if value is not None and value != () and value is not False
    }
    for name, read in _FROM_TEXT.items():
        if name in chosen:
            chosen[name] = read(chosen[name])
    return chosen


def as_json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option ``--json``."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="Print one JSON object on standard output, everything else on standard error.",
    )(function)


def parse_inputs(texts: Iterable[str]) -> dict[str, str]:
    """Return ``{"data": "x.csv"}`` of ``["data=x.csv"]``; values stay the texts that they are.

    Raises
    ------
    SettingsError
        A text without a name or ``=``, or a name that comes twice.
    """
    return dict(_pairs(texts, "--input", "--input data=flights.csv"))


def parse_reader_options(texts: Iterable[str]) -> dict[str, Any]:
    r"""Return the reader options of ``["sep=;", "header=None"]``: Python literals, or texts.

    ``\t`` is a tab.

    Raises
    ------
    SettingsError
        A text without a name or ``=``, or a name that comes twice.
    """
    pairs = _pairs(texts, "--option", "--option sep=';'")
    return {name: "\t" if value == "\\t" else _literal(value) for name, value in pairs}


def parse_storage_options(texts: Iterable[str]) -> dict[str, Any]:
    """Return storage options as `parse_reader_options` does; messages show no values."""
    pairs = _pairs(texts, "--storage-option", "anon=True", is_secret=True)
    return {name: _literal(value) for name, value in pairs}


def _pairs(
    texts: Iterable[str], flag: str, example: str, *, is_secret: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield the names and values of ``NAME=VALUE``; no message shows what `is_secret`."""
    names = set()
    for number, text in enumerate(texts, 1):
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            shown = f"number {number}" if is_secret else repr(text)
            raise SettingsError(f"{flag} {shown}: write NAME=VALUE, e.g. {example}")
        if name in names:
            raise SettingsError(f"{flag} {name} is repeated")
        names.add(name)
        yield name, value


def _count_or_share(text: str) -> int | str:
    return int(text) if text.strip().isdecimal() else text


_FROM_TEXT: dict[str, Callable[[Any], Any]] = {
    "max_failures": _count_or_share,
    "resume": lambda run_id: run_id or True,
    "storage_options": parse_storage_options,
}
"""The values of options of a run whose texts are not yet what `run_flow` takes."""


def _literal(text: str) -> Any:
    import ast

    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
