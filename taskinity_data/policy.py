"""Define what happens when a task fails, as frozen values.

How it is done is up to the driver: there is no clock, random number or worker here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ON_ERROR", "Policy", "Value", "parse_duration", "parse_nbytes", "value"]

ON_ERROR = ("fail", "skip", "bisect")

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_NBYTES = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_QUANTITY = re.compile(r"\s*([0-9][0-9_]*(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


@dataclass(frozen=True, slots=True)
class Value:
    """A fallback that is the result itself, as opposed to a fallback function."""

    value: Any


def value(result: Any) -> Value:
    """Return a fallback whose result is `result`: ``@td.task(on_error=td.value(None))``."""
    return Value(result)


@dataclass(frozen=True, slots=True)
class Policy:
    """The options of a task: attempts, time, and the effect of a failure.

    `on_error` is ``"fail"``, ``"skip"``, ``"bisect"``, the name of a task of the flow, a function
    of the same input, or a `Value`. `retry_on=None` means all errors except those that would
    only repeat. Times are in seconds; `timeout_s` is for each attempt.
    """

    retries: int = 0
    retry_delay_s: float = 1.0
    max_delay_s: float = 60.0
    retry_on: tuple[type[BaseException], ...] | None = None
    give_up_on: tuple[type[BaseException], ...] = ()
    timeout_s: float | None = None
    on_error: str | Value | Callable[..., Any] = "fail"
    validate_input: Any = None
    validate_output: Any = None
    resources: Mapping[str, float] | None = field(default=None, hash=False)
    pure: bool = False

    @property
    def has_fallback(self) -> bool:
        """Whether a fallback replaces a failed result."""
        return isinstance(self.on_error, Value) or self.on_error not in ON_ERROR

    @property
    def needs_step(self) -> bool:
        """Whether it has an option that needs a function of the task."""
        return self.has_fallback or any(
            option is not None
            for option in (
                self.timeout_s,
                self.validate_input,
                self.validate_output,
                self.resources,
            )
        )

    def __post_init__(self) -> None:
        if isinstance(self.retries, bool) or not isinstance(self.retries, int) or self.retries < 0:
            raise SettingsError(
                f"retries: {self.retries!r} is not a whole number from 0 up, e.g. retries=3"
            )


def parse_duration(text: str | float) -> float:
    """Return the seconds of ``"1s"``, ``"250ms"``, ``"2m"``, ``"1.5h"``, ``"30d"``, or of a number
    of seconds.

    Raises
    ------
    SettingsError
        The text is not a duration, or it is negative.

    >>> parse_duration("250ms"), parse_duration("2m"), parse_duration(3)
    (0.25, 120.0, 3.0)
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool) and 0 <= text < float("inf"):
        return float(text)
    match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    unit = match.group(2).lower() or "s" if match else ""
    if match is None or unit not in _SECONDS:
        raise SettingsError(f"{text!r} is not a duration: write e.g. 500ms, 30s, 2m, 1h or 30d")
    return float(match.group(1).replace("_", "")) * _SECONDS[unit]


def parse_nbytes(text: str | int) -> int:
    """Return the bytes of ``"64MiB"``, ``"2 GB"``, ``"1_000"``, or of a number of bytes.

    Raises
    ------
    SettingsError
        The text is not a size, or the size is not positive.

    >>> parse_nbytes("64MiB"), parse_nbytes("1.5 kB"), parse_nbytes(10)
    (67108864, 1500, 10)
    """
    nbytes = 0
    if isinstance(text, int) and not isinstance(text, bool):
        nbytes = text
    elif isinstance(text, str) and (match := _QUANTITY.fullmatch(text)):
        unit = match.group(2).lower() or "b"
        if unit in _NBYTES and (unit != "b" or "." not in match.group(1)):
            nbytes = round(float(match.group(1).replace("_", "")) * _NBYTES[unit])
    if nbytes < 1:
        raise SettingsError(
            f"{text!r} is not a size: write e.g. 64MiB, 2GB or 1_000_000 (bytes, from 1 up)"
        )
    return nbytes
