"""Whether all that a fan-out has tried fails alike, so that it is no matter of single chunks.

It knows nothing of policies; it counts, and says when it is enough.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskinity_data.execution.process import Item
    from taskinity_data.outcome import Outcome

__all__ = ["MOST_CHUNKS", "MOST_TRIES", "Repeats"]

MOST_CHUNKS = 10
"""So many chunks, the first ones, may fail with one and the same error: an unlucky beginning (a bad
file) has fewer, and a thousand tell no more."""

MOST_TRIES = 1_000
"""So many tries, parts of halved chunks among them, where there are not that many chunks."""

_NUMBER = re.compile(r"[0-9][0-9,._]*")


class Repeats:
    """The errors of one fan-out of which nothing has come through."""

    def __init__(self) -> None:
        self._seen: str | None = None
        self._differ = False
        self._positions: set[int] = set()
        self._tries = 0
        self._last: Outcome | None = None

    def see(self, item: Item, outcome: Outcome) -> None:
        """Take notice of a failure that is not tried again as it is."""
        failure = outcome.failure
        if self._differ or failure is None:
            return
        message = failure.message
        for piece in getattr(item.data, "pieces", ()):
            message = message.replace(piece.path, "")
        error = f"{outcome.task}: {failure.kind}: {_NUMBER.sub('0', message)}"
        self._differ = self._seen is not None and self._seen != error
        self._seen = error
        self._positions.add(item.position)
        self._tries += 1
        self._last = outcome

    def tell(self) -> str | None:
        """Why it is no use to go on, None where it may be."""
        if self._differ or self._last is None:
            return None
        if len(self._positions) >= MOST_CHUNKS:
            what = f"the first {len(self._positions)} chunks"
        elif self._tries >= MOST_TRIES:
            what = f"the first {len(self._positions)} chunks, in {self._tries} pieces,"
        else:
            return None
        return (
            f"{what} all failed with the same error and none came through, so nothing more was "
            f"tried; {self._last.task} failed: {self._last.failure}"
        )

    @property
    def failure(self) -> BaseException | None:
        """The last of these errors."""
        failure = self._last.failure if self._last else None
        return failure.error if failure else None
