"""How large chunks may still be, by which ones did not fit into memory: pure.

It knows nothing of chunks or workers; it tells a size that is too much from data that are.
"""

from __future__ import annotations

__all__ = ["SizeCap"]

_RARE = 16
"""One that does not fit to so many that do is a matter of its own data: halving all others for each
of these would end at single rows."""


class SizeCap:
    """The most bytes that an item may have.

    The first item that does not fit halves the size of all. After that, items do so that are more
    than rare among those of the size that is left, and two halves of one item neither of which
    fits. A half whose sibling fits says that something in it is large, and nothing of the others.

    Attributes
    ----------
    most_nbytes : int or None
        None: no item was too large.

    Examples
    --------
    >>> cap = SizeCap()
    >>> cap.refuse((7,), 2, 500)
    True
    >>> cap.refuse((7, 0), 2, 250), cap.refuse((7, 0, 1), 2, 125), cap.most_nbytes
    (False, False, 500)
    >>> cap.refuse((7, 1), 2, 250), cap.most_nbytes
    (True, 250)
    """

    def __init__(self) -> None:
        self.most_nbytes: int | None = None
        self._parts: dict[tuple[int, ...], int] = {}
        self._refused = 0
        self._taken = 0

    def fits(self, nbytes: int) -> bool:
        """Whether an item of that size may be tried, for all that is known."""
        return self.most_nbytes is None or nbytes <= self.most_nbytes

    def take(self, nbytes: int) -> None:
        """An item of that size has come through."""
        if self.most_nbytes is not None and 2 * nbytes > self.most_nbytes:
            self._taken += 1

    def refuse(self, place: tuple[int, ...], parts: int, nbytes: int) -> bool:
        """The item at `place` did not fit, and is now so many parts of at most `nbytes` each.

        Returns
        -------
        bool
            Whether the others become smaller for it.
        """
        self._parts[place] = parts
        of = place[:-1]
        siblings = self._parts.get(of)
        if siblings is None:
            self._refused += 1
            is_size = self.most_nbytes is None or self._refused * _RARE > self._taken
        else:
            is_size = all((*of, number) in self._parts for number in range(siblings))
        if not is_size or (self.most_nbytes is not None and nbytes >= self.most_nbytes):
            return False
        self.most_nbytes = max(1, nbytes)
        self._refused = self._taken = 0
        return True
