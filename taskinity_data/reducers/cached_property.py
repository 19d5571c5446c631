"""Attributes that are computed once for each object, by several threads at the same time."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar

__all__ = ["cached_property"]

T = TypeVar("T")


class cached_property(functools.cached_property[T]):  # noqa: N801 - as in functools
    """`functools.cached_property` as it is from Python 3.12 on.

    In 3.11 it holds a lock that all objects of the class share: while one thread computes a column
    of its chunk, the others would wait.
    """

    if not TYPE_CHECKING:

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            value = instance.__dict__[self.attrname] = self.func(instance)
            return value
