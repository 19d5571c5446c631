"""Write what the library logs to standard error while the command line uses it.

A run also writes its messages to its own log.
"""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["logging_as_set"]


@contextmanager
def logging_as_set() -> Iterator[None]:
    """Write warnings of the library to standard error, from ``TASKINITY_LOG_LEVEL`` on.

    Not the events of a run: its progress and its summary tell them.

    Raises
    ------
    SettingsError
        A setting can't be understood.
    """
    from taskinity_data.report.log_file import EVENTS
    from taskinity_data.settings import load_settings

    log = logging.getLogger("taskinity_data")
    handler = _Stderr(logging.WARNING)
    handler.setFormatter(logging.Formatter("Note: %(message)s"))
    handler.addFilter(lambda record: record.name != EVENTS)
    log.addHandler(handler)
    level = log.level
    try:
        lowest = logging.getLevelNamesMapping()[load_settings().log_level]
        handler.setLevel(max(lowest, logging.WARNING))
        log.setLevel(lowest)
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
        handler.close()


class _Stderr(logging.Handler):
    """Standard error as it is now: a progress bar puts itself in its place to stay below lines."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - as logging's own handlers do
            self.handleError(record)
