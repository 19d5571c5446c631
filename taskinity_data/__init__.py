"""Ordinary pandas functions over data that is too large for one frame.

    import taskinity_data as td

    run = td.process("flights/*.csv", reduce=td.group_by("carrier", mean=("dep_delay", "mean")))
    run.value

Nothing is imported before a name is used, so that this costs next to nothing. The public names are
listed in ``__init__.pyi``. Errors are in `td.errors`, settings in `td.settings`.
"""

import copyreg
import importlib
import sys
from types import ModuleType
from typing import Any

import lazy_loader

_import_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def _pickle_by_name(module: ModuleType) -> tuple[Any, tuple[str]]:
    return importlib.import_module, (module.__name__,)


# The decorator `flow` is in the package flow/, for which lazy_loader gives this module a class of
# its own: functions that refer to the module could not travel to other processes.
copyreg.pickle(type(sys.modules[__name__]), _pickle_by_name)


def __getattr__(name: str) -> Any:
    if name in __all__:
        return _import_name(name)
    from taskinity_data.wording import suggest

    text = f"taskinity_data has no {name!r}.{suggest(name, __all__)}"
    # With a name set, Python adds no second suggestion.
    raise AttributeError(text, name=name)
