"""Read the user's settings from arguments, the environment and .env, and record where each is from.

The environment is never changed.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import SettingsError
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Settings", "load_settings", "working_directory"]

_LOG = logging.getLogger(__name__)

PREFIX = "TASKINITY_"
DEFAULT = "default"
ARGUMENT = "argument"
ENVIRONMENT = "the environment"

# Only the form of a size is checked here; `chunks.cut` parses it.
_SIZE = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*(?:b|[kmgt]i?b|rows?)?", re.IGNORECASE)
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of options that are not passed as arguments.

    Attributes
    ----------
    max_workers : int or None
        How many workers a run may start; None: one per core.
    chunk_size : str
        ``"auto"``, or a size in bytes or rows as `open_dataset` takes it.
    scheduler : str or None
        ``"synchronous"``, ``"threads"``, ``"processes"``, an address or a scheduler file; None
        leaves the choice to the run.
    output_dir : str or None
        Directory or URL that a relative ``output=`` is resolved against; None: the working
        directory.
    run_dir : pathlib.Path
        Directory of the run directories.
    log_dir : pathlib.Path or None
        Directory of the runs' log files; None: each run's own.
    log_level : str
        The lowest level of `logging` that is logged, in capitals.
    """

    max_workers: int | None = None
    chunk_size: str = "auto"
    scheduler: str | None = None
    output_dir: str | None = None
    run_dir: Path = Path(".taskinity")
    log_dir: Path | None = None
    log_level: str = "INFO"
    sources: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)

    def source_of(self, name: str) -> str:
        """Return where the setting `name` comes from, as text.

        Raises
        ------
        SettingsError
            There is no such setting.

        >>> load_settings({"TASKINITY_MAX_WORKERS": "2"}, Path("/")).source_of("max_workers")
        'TASKINITY_MAX_WORKERS in the environment'
        """
        _check_name(name)
        return dict(self.sources).get(name, DEFAULT)


NAMES = tuple(f.name for f in fields(Settings) if f.name != "sources")
"""The settings, as attributes; `variable_of` gives their names in the environment."""


def variable_of(name: str) -> str:
    """Return the name of a setting's environment variable.

    >>> variable_of("run_dir")
    'TASKINITY_RUN_DIR'
    """
    return PREFIX + name.upper()


def load_settings(
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    **arguments: Any,
) -> Settings:
    """Load the settings: an argument, else the environment, else .env, else the default.

    Parameters
    ----------
    environ
        The environment; `os.environ` as it is now by default.
    directory
        The directory whose ``.env`` is read, if it has one; the working directory by default.
    **arguments
        Settings by attribute name, which override all else; None means "not given".

    Raises
    ------
    SettingsError
        A value is invalid (`.variable`, and `.path`, `.line` for .env), the .env file can't be
        read, an argument is not a setting, or the working directory was removed.

    Notes
    -----
    An empty value counts as not set. Unknown names that begin with ``TASKINITY_`` are logged as
    warnings, with close names.

    >>> load_settings({"TASKINITY_CHUNK_SIZE": "64MiB"}, Path("/"), max_workers=3).max_workers
    3
    """
    environ = os.environ if environ is None else environ
    path = (working_directory() if directory is None else directory) / ".env"
    dotenv = _read_dotenv(path)
    for name in arguments:
        _check_name(name)
    _warn_of_unknown(environ, ENVIRONMENT)
    _warn_of_unknown(dotenv, str(path))

    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, parse in _PARSERS.items():
        variable = variable_of(name)
        if arguments.get(name) is not None:
            values[name] = _parse(parse, name, str(arguments[name]), {})
            sources[name] = ARGUMENT
        elif environ.get(variable):
            text = environ[variable]
            values[name] = _parse(parse, variable, text, {"variable": variable})
            sources[name] = f"{variable} in {ENVIRONMENT}"
        elif dotenv.get(variable):
            line = _line_of(path, variable)
            where = {"variable": variable, "path": str(path), "line": line}
            values[name] = _parse(parse, variable, dotenv[variable], where)
            sources[name] = f"{variable} in {path}, line {line}"
    return Settings(**values, sources=tuple(sources.items()))


def working_directory() -> Path:
    """Return the directory that relative paths start from.

    Raises
    ------
    SettingsError
        It was removed.
    """
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise SettingsError(
            "the working directory of this process was removed or replaced: change to an existing "
            "one (cd, in Python os.chdir), and call again"
        ) from error


def _read_dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    # Imported here, since it takes 8 ms, which runs without a .env file need not pay.
    from dotenv import dotenv_values

    try:
        values = dotenv_values(path, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} can't be read ({error}): make it a readable text file in UTF-8, or remove it",
            path=str(path),
        ) from error
    return {name: text for name, text in values.items() if text is not None}


def _line_of(path: Path, variable: str) -> int:
    """Return the line of `path`, from 1, that sets `variable`; the last one if there are several.

    python-dotenv's public interface returns values without their lines.
    """
    last = 0
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        name = line.strip().removeprefix("export ").partition("=")[0].strip().strip("'\"")
        if name == variable:
            last = number
    return last


def _parse(parse: Callable[[str], Any], label: str, text: str, details: dict[str, Any]) -> Any:
    try:
        return parse(text.strip())
    except ValueError as error:
        where = f"{details['path']}, line {details['line']}: " if "path" in details else ""
        raise SettingsError(f"{where}{label}={text}: {error}", **details) from error


def _count(text: str) -> int:
    # int() also accepts "1_000" and other scripts' digits.
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise ValueError("not a whole number from 1 up; write e.g. 4")
    return int(text)


def _words(text: str) -> str:
    if not text:
        raise ValueError("empty; give it a value or remove it")
    return text


def _chunk_size(text: str) -> str:
    match = _SIZE.fullmatch(text)
    if text.lower() != "auto" and (match is None or not float(match[1].replace("_", ""))):
        raise ValueError('not a chunk size; write e.g. auto, 64MiB, 64_000_000 or "100_000 rows"')
    return text


def _folder_or_url(text: str) -> str:
    return text if "://" in text else str(_folder(text))


def _folder(text: str) -> Path:
    if "://" in text:
        raise ValueError("a URL; give a local directory, e.g. runs")
    path = Path(os.path.expanduser(_words(text)))
    if path.exists() and not path.is_dir():
        raise ValueError("it is a file; give a directory, which need not exist yet")
    return path


def _level(text: str) -> str:
    if text.upper() not in _LEVELS:
        hint = suggest(text.upper(), _LEVELS)
        raise ValueError(f"no such level.{hint} Levels are {', '.join(_LEVELS)}")
    return text.upper()


_PARSERS: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {
        "max_workers": _count,
        "chunk_size": _chunk_size,
        "scheduler": _words,
        "output_dir": _folder_or_url,
        "run_dir": _folder,
        "log_dir": _folder,
        "log_level": _level,
    }
)


def _check_name(name: str) -> None:
    if name not in NAMES:
        hint = suggest(name, NAMES) or f" Settings are {', '.join(NAMES)}."
        raise SettingsError(f"{name!r} is not a setting.{hint}")


def _warn_of_unknown(names: Iterable[str], where: str) -> None:
    for name in sorted(names):
        # In lower case too, which has no effect on most systems.
        if name.upper().startswith(PREFIX):
            _warn_unless_setting(name, where)


@lru_cache(maxsize=64)
def _warn_unless_setting(name: str, where: str) -> None:
    """Log once that the variable `name` is not a setting: a run loads them several times."""
    variables = [variable_of(setting) for setting in NAMES]
    if name in variables:
        return
    # Compared without the prefix, which would make any two names close. Loaded only here, as in
    # `suggest`.
    from difflib import get_close_matches

    near = get_close_matches(name[len(PREFIX) :].lower(), NAMES, n=1)
    hint = (
        f" Did you mean {variable_of(near[0])}?" if near else f" Known are {', '.join(variables)}."
    )
    _LOG.warning("%s in %s is not a setting and has no effect.%s", name, where, hint)
