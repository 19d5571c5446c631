"""Tell the user's code from installed packages and this library."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["installed_folders", "is_user_file", "is_user_module", "is_user_name"]

_PACKAGE = __name__.partition(".")[0]


def is_user_module(module: ModuleType) -> bool:
    """Return whether `module` is the user's, including ``__main__``."""
    path = getattr(module, "__file__", None)
    name = getattr(module, "__name__", "__main__")
    if name == "__main__":
        return True
    if not path or name.partition(".")[0] == _PACKAGE:
        return False
    return is_user_file(path)


def is_user_file(path: str) -> bool:
    """Return whether `path` is a Python file outside the installation."""
    return path.endswith(".py") and not str(Path(path).resolve()).startswith(installed_folders())


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
