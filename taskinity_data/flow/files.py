"""Read, write and find flow files; writing is atomic."""

from __future__ import annotations

import os
from pathlib import Path

from taskinity_data.disk import replace_file
from taskinity_data.errors import FlowError, FlowSyntaxError, SourceNotFound, WriteError
from taskinity_data.flow.flow import Flow
from taskinity_data.flow.language.parser import parse_text
from taskinity_data.settings import working_directory
from taskinity_data.wording import suggest

__all__ = ["SUFFIXES", "list_flows", "load_flow", "save_flow"]

SUFFIXES = (".flow", ".dsl", ".taskinity")
_MAX_NAMED = 5


def load_flow(path: str | os.PathLike[str]) -> Flow:
    """Load the flow in the file `path`.

    Parameters
    ----------
    path : path
        A UTF-8 text, with or without a byte order mark, called ``*.flow``, ``*.dsl`` or
        ``*.taskinity``.

    Raises
    ------
    SourceNotFound
        There is no such file (it is a FileNotFoundError too).
    FlowError
        A directory, another suffix, or what can't be read as text.
    FlowSyntaxError
        The text does not parse.
    """
    file = _locate(path)
    if os.path.isdir(file):
        flows = [flow.name for flow in list_flows(file)]
        names = ", ".join(flows[:_MAX_NAMED] + ["…"] * (len(flows) > _MAX_NAMED))
        there = f"pass one of its flow files: {names}" if flows else "it has no flow files"
        raise FlowError(f"{file} is a directory; {there}", path=str(file))
    if file.suffix.lower() not in SUFFIXES:
        raise FlowError(f"{file}: a flow file is called *{', *'.join(SUFFIXES)}", path=str(file))
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        neighbours = (
            [neighbour.name for neighbour in list_flows(file.parent)]
            if file.parent.is_dir()
            else []
        )
        raise SourceNotFound(
            f"{file}: no such file.{suggest(file.name, neighbours)}", path=str(file)
        ) from error
    except UnicodeDecodeError as error:
        raise FlowError(
            f"{file}: byte {error.start} is not UTF-8; save the flow as UTF-8", path=str(file)
        ) from error
    except OSError as error:
        raise FlowError(f"{file}: can't be read: {error.strerror}", path=str(file)) from error
    try:
        return parse_text(text, origin=str(file))
    except FlowSyntaxError as error:
        error.__dict__["path"] = str(file)
        raise


def save_flow(flow: Flow, path: str | os.PathLike[str]) -> Path:
    """Write `flow` to the file `path`, and return the path.

    The file appears, or is replaced, all at once: a reader sees the old text or the new one.

    Raises
    ------
    FlowError
        Another suffix than a flow file's, or what is not a flow.
    WriteError
        The file can't be written (it is an OSError too).
    """
    if not isinstance(flow, Flow):
        hint = "td.parse_flow(text) makes one" if isinstance(flow, str) else "the flow comes first"
        raise FlowError(f"save_flow writes a Flow, not {type(flow).__name__}: {hint}")
    file = _locate(path)
    if file.suffix.lower() not in SUFFIXES:
        raise FlowError(f"{file}: a flow file is called *{', *'.join(SUFFIXES)}", path=str(file))
    text = flow.to_text().encode("utf-8")
    try:
        replace_file(file, text)
    except OSError as error:
        raise WriteError(
            f"{file}: the flow can't be written: {error.strerror or error}; free some space, or "
            "choose another directory",
            path=str(file),
        ) from error
    return file


def _locate(path: str | os.PathLike[str]) -> Path:
    """Return `path`, unless it is relative to a working directory that was removed."""
    file = Path(path)
    if not file.is_absolute():
        working_directory()
    return file


def list_flows(directory: str | os.PathLike[str] = ".") -> list[Path]:
    """List the flow files directly in `directory`, sorted by name.

    Raises
    ------
    SourceNotFound
        There is no such directory.
    """
    folder = _locate(directory)
    if not folder.is_dir():
        raise SourceNotFound(f"{folder}: no such directory", path=str(folder))
    paths = [
        path_ for path_ in folder.iterdir() if path_.suffix.lower() in SUFFIXES and path_.is_file()
    ]
    return sorted(path_ for path_ in paths if not path_.name.startswith("."))
