"""What is wrong with compressed bytes, and where; it knows nothing of which file they are of."""

from __future__ import annotations

__all__ = ["BadStream"]


class BadStream(Exception):  # noqa: N818 - never leaves `unpack`, which makes an error of it
    """Compressed bytes can't be undone: `why`, and the compressed byte `offset` it was seen at."""

    def __init__(self, why: str, offset: int) -> None:
        super().__init__(why)
        self.why, self.offset = why, offset
