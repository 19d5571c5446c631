"""Whether one directory or glob holds a file under two names, by links.

What a list names twice is meant twice, but a directory stands for each of its files once.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from taskinity_data.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.sources.file import Fingerprint, SourceFile

__all__ = ["refuse_second_names"]


def refuse_second_names(files: Sequence[SourceFile]) -> Sequence[SourceFile]:
    """Return `files`, found by one name, of which no two local ones are the same.

    Raises
    ------
    PlanError
        Device and file number of two of them are equal, by a symbolic or a hard link.

    Notes
    -----
    Only files of one fingerprint are looked at again. A store lists each name once.
    """
    prints: dict[Fingerprint, list[SourceFile]] = {}
    for file in files:
        # Members of an archive share its fingerprint.
        if file.failure is None and file.store is None and "://" not in file.path:
            prints.setdefault(file.fingerprint, []).append(file)
    for alike in prints.values():
        first_of: dict[tuple[int, int], SourceFile] = {}
        for file in alike if len(alike) > 1 else ():
            stat = os.stat(file.path)
            first = first_of.setdefault((stat.st_dev, stat.st_ino), file)
            if first is not file:
                raise PlanError(
                    f"{file.path}: is the same file as {first.path}, by a link, so that its rows "
                    "would be counted twice; leave one out, or name the files in a list"
                )
    return files
