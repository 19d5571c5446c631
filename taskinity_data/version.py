"""The version of this library, and those of others that decide which partials a run may use.

Building needs the first: so this module imports nothing else of the package.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["__version__", "compare_versions", "versions_here"]

__version__ = "0.1.0"

RUN_FORMAT = "5"
"""Of run directories. In format 1 modules had other names, in format 2 values were other bytes, in
format 3 the totals of each column were written by themselves, in format 4 chunks had digests."""


def versions_here() -> dict[str, str]:
    """Return the versions that decide what a partial looks like."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    return {
        "python": platform.python_version(),
        "taskinity_data": __version__,
        "run format": RUN_FORMAT,
        "pandas": pd.__version__,
        "pyarrow": pa.__version__,
        "numpy": np.__version__,
    }


def compare_versions(then: Mapping[str, str], now: Mapping[str, str]) -> tuple[list[str], bool]:
    """Return what differs, in words, and whether partials of then can be used now.

    They can't under another Python (bytecode differs), another version of this library, another
    format of run directories, or another major version of the others.
    """
    then = {"run format": "1", **then}
    differs = [name for name in then if now.get(name) != then[name]]
    differences = [f"{name} {then[name]} then, {now.get(name, 'none')} now" for name in differs]
    return differences, not any(_decides(name, then[name], now.get(name, "")) for name in differs)


def _decides(name: str, then: str, now: str) -> bool:
    if name in ("taskinity_data", "run format"):
        return True
    count = 2 if name == "python" else 1
    return then.split(".")[:count] != now.split(".")[:count]
