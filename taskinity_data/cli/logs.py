"""Where the library's log goes when the command line uses it: standard error, and a file.

It knows nothing of what is logged. Level and folder are settings.
"""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import TextIOWrapper

__all__ = ["logging_as_set"]

_FILE = "taskinity-data.log"


@contextmanager
def logging_as_set() -> Iterator[None]:
    """Writes the library's log as ``TASKINITY_LOG_LEVEL`` and ``TASKINITY_LOG_DIR`` say.

    Folder and file are made by the first message; a run without any leaves nothing behind.

    Raises
    ------
    SettingsError
        A setting can't be understood.
    """
    from taskinity_data.settings import load_settings

    log = logging.getLogger("taskinity_data")
    told = logging.StreamHandler(sys.stderr)
    told.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    log.addHandler(told)
    handlers: list[logging.Handler] = [told]
    level = log.level
    try:
        settings = load_settings()
        kept = _LateFile(settings.log_dir / _FILE, encoding="utf-8", delay=True)
        kept.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        log.addHandler(kept)
        handlers.append(kept)
        log.setLevel(settings.log_level)
        yield
    finally:
        log.setLevel(level)
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


class _LateFile(logging.FileHandler):
    """A file whose folder is made when there is something to write."""

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()
