"""Tell the user's code from installed packages and this library."""

from __future__ import annotations

import os
import re
import site
import sys
import sysconfig
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = [
    "installed_folders",
    "is_user_file",
    "is_user_module",
    "is_user_name",
    "is_user_path",
    "shorten_traceback",
]

_PACKAGE = __name__.partition(".")[0]
_FOLDER = str(Path(__file__).resolve().parent) + os.sep


def is_user_module(module: ModuleType) -> bool:
    """Return whether `module` is the user's, including ``__main__``."""
    path = getattr(module, "__file__", None)
    name = getattr(module, "__name__", "__main__")
    if name == "__main__":
        return True
    if not path or name.partition(".")[0] == _PACKAGE:
        return False
    return is_user_file(path)


@lru_cache(maxsize=1 << 14)
def is_user_file(path: str) -> bool:
    """Return whether `path` is a Python file outside the installation."""
    if not path.endswith(".py"):
        return False
    # Jobs are packed with a look at each of some 1,500 modules, which took 50 ms one by one.
    folder, name = os.path.split(path)
    is_link = os.path.islink(path)  # noqa: PTH114 - pathlib takes 10 ms more
    resolved = os.path.realpath(path) if is_link else os.path.join(_resolve(folder), name)
    return not resolved.startswith(installed_folders())


@lru_cache(maxsize=1 << 12)
def _resolve(folder: str) -> str:
    return os.path.realpath(folder)


def is_user_path(path: str) -> bool:
    """Return whether a frame of `path` runs the user's code: a file, a cell or typed text."""
    if path.startswith("<"):
        return not path.startswith("<frozen")
    if "site-packages" in path or not path.endswith(".py"):
        return False
    return not path.startswith((*installed_folders(), _FOLDER))


_FRAME = re.compile(r'^  File "(?P<path>.*)", line \d+, in ')
_CHAINED = ("During handling", "The above exception")


def shorten_traceback(text: str, max_lines: int = 9) -> str:
    """Return the frames of the user's code and the message, without causes.

    Of many frames the last; where no frame is the user's, the end of `text`.
    """
    frames: list[list[str]] = []
    message: list[str] = []
    last_error: list[str] = []
    is_kept = False
    for line in text.rstrip().splitlines():
        last_error.append(line)
        if match := _FRAME.match(line):
            is_kept = is_user_path(match["path"])
            frames += [[line]] if is_kept else []
        elif line.startswith(_CHAINED):
            frames, message, last_error = [], [], []
        elif not line.startswith(" "):
            message = [line] if line and not line.startswith("Traceback (") else message
        elif is_kept:
            frames[-1].append(line)
    while sum(map(len, frames)) + len(message) > max_lines and len(frames) > 1:
        del frames[0]
    if not frames:
        return "\n".join(last_error[-max_lines:]).strip("\n")
    return "\n".join([*(line for frame in frames for line in frame), *message])


def is_user_name(name: str | None) -> bool:
    """Return whether the module called `name` is the user's; one that is not imported counts as
    such.
    """
    if name is None or name in sys.builtin_module_names:
        return False
    module = sys.modules.get(name)
    if module is not None:
        return is_user_module(module)
    return name.partition(".")[0] != _PACKAGE


@lru_cache(maxsize=1)
def installed_folders() -> tuple[str, ...]:
    """Return the directories of the installation, each with a separator at its end."""
    folders = {*sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages()}
    return tuple(os.path.join(Path(folder).resolve(), "") for folder in folders)
