"""Which run writes a directory of a store: each puts a marker there, and sees the others'.

A store has no locks that end with a process. A run puts its marker, then
lists: of two runs at least one sees the other, and the one that does goes away. A marker is put
again every `BEAT_S`; one that is older than `LEASE_S` by the store's own clock, or whose process on
this machine has ended, is a dead run's.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from taskinity_data.errors import PlanError, ReadError
from taskinity_data.sources.written import MARKERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskinity_data.output.store.remote import Remote

__all__ = ["Marker", "find_markers"]

BEAT_S = 15.0
LEASE_S = 120.0
"""Eight beats: a store that answers nothing for two minutes has failed the run in other ways."""

_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")


class Marker:
    """The sign of one run in a directory of a store, kept up by a thread until `remove`.

    Attributes
    ----------
    name : str
        Of its file, relative to the directory.
    """

    def __init__(self, remote: Remote, run: str) -> None:
        self.name = f"{MARKERS}/{run}"
        self._remote = remote
        self._text = json.dumps(_describe_process()).encode()
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"marker-{run}", daemon=True)

    def put(self) -> list[str]:
        """Put it there and keep it up; the markers of runs that are dead.

        Raises
        ------
        PlanError
            Nothing can be written there, or another run is writing.
        OSError
            The store failed while others' markers were looked at.
        """
        self._remote.check()
        self._remote.list_files(MARKERS)  # some servers make buckets that are not there
        try:
            self._remote.put(self.name, self._text)
        except OSError as error:
            why = str(error).removeprefix(f"{self._remote.show(self.name)}: ")
            raise PlanError(f"output={self._remote.url!r}: {why}") from error
        try:
            dead = self._refuse_others()
        except BaseException:
            self._remote.remove([self.name])
            raise
        self._thread.start()
        return dead

    def _refuse_others(self) -> list[str]:
        infos = self._remote.list_files(MARKERS)
        dead = []
        for name in find_markers(infos):
            if name == self.name:
                continue
            holder = self._read(name, infos[name])
            if holder is not None and not _is_dead(holder, infos[name], infos.get(self.name, {})):
                raise PlanError(
                    f"output={self._remote.url!r}: process {holder.get('process')} on "
                    f"{holder.get('host')} is writing it; wait until that run ends (the lock of a "
                    f"dead run expires after {LEASE_S:g} s), or choose another directory"
                )
            dead.append(name)
        return dead

    def _read(self, name: str, info: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the contents of a marker; None if it was just removed."""
        try:
            holder = json.loads(self._remote.read(name, info["size"]))
        except ReadError:
            if self._remote.look_up(name) is None:
                return None
            raise
        except ValueError:
            holder = None  # not whole: the store shows files while they are written
        return holder if isinstance(holder, dict) else {}

    def _beat(self) -> None:
        while not self._has_ended.wait(BEAT_S):
            try:
                if self._remote.look_up(self.name) is None:
                    return  # another run took this one for dead; the commit will see it
                self._remote.put(self.name, self._text)
            except (OSError, PlanError):
                continue  # there are more beats in a lease

    def stop(self) -> None:
        """End its thread."""
        self._has_ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def remove(self) -> None:
        """Let the next run in; `OSError` where the store does not let it."""
        self.stop()
        self._remote.remove([self.name])


def find_markers(names: Mapping[str, Any]) -> list[str]:
    """Return the markers among the files of a directory."""
    return sorted(name for name in names if name.startswith(f"{MARKERS}/"))


def _is_dead(
    holder: Mapping[str, Any], info: Mapping[str, Any], own_info: Mapping[str, Any]
) -> bool:
    """Return whether the process that put a marker has ended, or gives no sign any more."""
    if (holder.get("host"), holder.get("machine")) == (socket.gethostname(), _machine()):
        started = _started_at(holder.get("process"))
        if started is None or started != holder.get("started"):
            return True
    then, now = _time_of(info), _time_of(own_info)
    return then is not None and now is not None and now - then > LEASE_S


def _describe_process() -> dict[str, Any]:
    return {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "machine": _machine(),
        "started": _started_at(os.getpid()),
    }


def _started_at(process: Any) -> str | None:
    """Return what distinguishes a process from others of its number; None if it is not there.

    Linux counts from the start of the machine, which no change of the clock touches.
    """
    if Path("/proc/self/stat").exists():
        try:
            text = Path(f"/proc/{int(process)}/stat").read_text(encoding="utf-8", errors="replace")
        except (OSError, TypeError, ValueError):
            return None
        return text.rpartition(")")[2].split()[19]
    try:
        return str(psutil.Process(int(process)).create_time())
    except (psutil.Error, TypeError, ValueError):
        return None


def _machine() -> str:
    """Return an identity of this machine since its start, and of the container of its processes."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{psutil.boot_time():.0f}"


def _time_of(info: Mapping[str, Any]) -> float | None:
    """Return when a file was put, in seconds by the store's clock; None if unknown."""
    value = next((info[key] for key in _TIMES if info.get(key)), None)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.timestamp()
    return None if value is None else float(value)
