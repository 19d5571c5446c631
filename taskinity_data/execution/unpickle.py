"""Unpickles what workers sent back, and leaves this process's own classes as they are.

A class that travelled by value comes back by value. cloudpickle finds the class that it was here,
and would then overwrite its methods with those of the worker's copy, whose globals are not the
module's.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

from cloudpickle import cloudpickle

__all__ = ["load_back"]

_PICKLER = "cloudpickle.cloudpickle"


def load_back(blob: bytes) -> Any:
    """What is pickled in `blob`, whose classes are those that this process has already."""
    return _Unpickler(io.BytesIO(blob)).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._known: set[int] = set()

    def find_class(self, module: str, name: str, /) -> Any:
        found = super().find_class(module, name)
        if module != _PICKLER:
            return found
        if name in ("_make_skeleton_class", "_make_skeleton_enum"):
            return lambda *arguments: self._make(found, arguments)
        if name == "_class_setstate":
            return lambda kind, state: kind if id(kind) in self._known else found(kind, state)
        return found

    def _make(self, make: Any, arguments: tuple[Any, ...]) -> Any:
        # The class's id is the last argument but one in both.
        here = getattr(cloudpickle, "_DYNAMIC_CLASS_TRACKER_BY_ID", {}).get(arguments[-2])
        kind = make(*arguments)
        if kind is here:
            self._known.add(id(kind))
        return kind
