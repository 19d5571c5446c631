"""Capture what functions log.

What is logged through `logging` is captured thread by thread. No handler changes: all others get
the same records, and who sets `logging` up meanwhile finds it as it was. All of `logging` passes
the function that makes records, so that function is replaced as long as anything is captured; a
handler of the root logger would keep `logging.basicConfig` from doing anything.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import shorten
from taskinity_data.execution.worker.failures import format_traceback, to_text
from taskinity_data.outcome import LogLine
from taskinity_data.redact import hide, hide_in_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["CapturedLogs", "PassedOn", "capture_logs", "lower_level"]

MAX_LINES, MAX_CHARACTERS, MAX_LINE_CHARACTERS = 200, 1 << 16, 4_000
"""What is kept of one attempt: enough to see what it did, and little compared with a result."""


class CapturedLogs:
    """The lines that were captured from `level` on, as many as are kept; None: none at all."""

    def __init__(
        self,
        level: int | None,
        max_lines: int = MAX_LINES,
        max_characters: int = MAX_CHARACTERS,
    ) -> None:
        self.level = level
        self._max_lines, self._max_characters = max_lines, max_characters
        self.clear()

    def clear(self) -> None:
        """Forget the lines so far."""
        self.lines: list[LogLine] = []
        self.cut = 0
        self._lines_left, self._characters_left = self._max_lines, self._max_characters

    def take(self, record: logging.LogRecord) -> None:
        """Keep what `record` says."""
        if not self._lines_left or self._characters_left <= 0:
            self.cut += 1
            return
        line = line_of(record)
        self._lines_left -= 1
        self._characters_left -= len(line.text)
        self.lines.append(line)


def line_of(record: logging.LogRecord) -> LogLine:
    """Return what `record` says, its exception with it, cut to the longest that is kept."""
    try:
        text = record.getMessage()
    except Exception as error:  # noqa: BLE001 - its arguments don't fit, or a user's __str__ raised
        start = shorten(to_text(record.msg), 200)
        text = f"{start} ({type(error).__name__} while it was put together)"
    text = _shown(text)
    if record.exc_info and record.exc_info[1] is not None:
        text = f"{text}\n{format_traceback(record.exc_info[1]).rstrip()}"
    text = _shown(text)
    return LogLine(record.created, record.levelno, record.name, text)


def _shown(text: str) -> str:
    # Cut twice, so that no half of a secret stays where the first cut was.
    return shorten(hide(shorten(text, 2 * MAX_LINE_CHARACTERS)), MAX_LINE_CHARACTERS)


def _hide_in_record(record: logging.LogRecord) -> None:
    """Leave no secret to whatever handlers there are."""
    try:
        text = record.getMessage()
        if (hidden := hide(text)) != text:
            record.msg, record.args = hidden, None
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not hide_in_error(error):
            record.exc_text = hide(format_traceback(error)).rstrip()
    except Exception:  # noqa: BLE001, S110 - a user's __str__ raised; its handler says so
        pass


class PassedOn:
    """Passes each line from `level` on to `take` at once."""

    def __init__(self, level: int, take: Callable[[LogLine], None]) -> None:
        self.level: int | None = level
        self._take = take

    def take(self, record: logging.LogRecord) -> None:
        """Pass on what `record` says."""
        self._take(line_of(record))


class _Here(threading.local):
    capture: CapturedLogs | PassedOn | None = None


_here = _Here()


class _Layer:
    """Makes records as the factory before it, and passes them to this thread's capture."""

    def __init__(self, before: Any) -> None:
        self.before = before
        self.is_open = True

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self.before(*args, **kwargs)
        capture = _here.capture if self.is_open else None
        if capture is None or not record.name:
            return record
        # Meanwhile nothing is captured: a user's __str__ may log.
        _here.capture = None
        try:
            _hide_in_record(record)
            if record.levelno >= (capture.level or 0):
                capture.take(record)
        finally:
            _here.capture = capture
        return record


class _LayerOwner:
    """One layer while anything is captured."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._layer: _Layer | None = None

    def open(self) -> None:
        with self._lock:
            self._count += 1
            if self._count == 1:
                self._layer = _Layer(logging.getLogRecordFactory())
                logging.setLogRecordFactory(self._layer)

    def close(self) -> None:
        with self._lock:
            self._count -= 1
            if self._count or self._layer is None:
                return
            # Whoever has put another one on top meanwhile goes on holding this one.
            self._layer.is_open = False
            if logging.getLogRecordFactory() is self._layer:
                logging.setLogRecordFactory(self._layer.before)


_layer_owner = _LayerOwner()


@contextmanager
def capture_logs(capture: CapturedLogs | PassedOn) -> Iterator[None]:
    """Pass what this thread logs within the block to `capture`, and to no capture around it."""
    if capture.level is None:
        yield
        return
    before = _here.capture
    _here.capture = capture
    _layer_owner.open()
    try:
        yield
    finally:
        _layer_owner.close()
        _here.capture = before


class _Lowered:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._levels = (0, 0)

    def enter(self, level: int) -> None:
        with self._lock:
            self._count += 1
            if self._count == 1:
                root = logging.getLogger()
                self._levels = root.level, min(root.level, level)
                root.setLevel(self._levels[1])

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            root = logging.getLogger()
            # Who has set another one meanwhile meant it.
            if not self._count and root.level == self._levels[1]:
                root.setLevel(self._levels[0])


_lowered = _Lowered()


@contextmanager
def lower_level(level: int | None) -> Iterator[None]:
    """Make messages from `level` on within the block where nobody has set up `logging`.

    Where somebody has, their levels hold. Nothing more is printed: without handlers Python itself
    prints warnings, whatever the level.
    """
    if level is None or logging.getLogger().handlers:
        yield
        return
    _lowered.enter(level)
    try:
        yield
    finally:
        _lowered.leave()
