"""What to do: the flow, its language, and the functions bound to its names.

Called, it is the decorator of `flow.decorators`: ``@td.flow``. A package and a function can't both
stand under one name, and whichever is imported last would win; so the package is callable.
"""

import sys
from types import ModuleType
from typing import Any


class _FlowPackage(ModuleType):
    """A package that can be called as the decorator of the same name."""

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Decorate a function that calls tasks: see `taskinity_data.flow.decorators.flow`."""
        from taskinity_data.flow.decorators import flow

        return flow(*args, **keywords)


sys.modules[__name__].__class__ = _FlowPackage
