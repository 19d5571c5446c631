"""Packs a job so that any worker process can unpack it, and outcomes so that each travels alone.

Functions of the user's own modules travel by value, because a worker that can't import a module
does not say so: it hangs.
"""

from __future__ import annotations

import logging
import pickle
import sys
import threading
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import cloudpickle

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.cut_columns import CutColumns
from taskinity_data.errors import BindError
from taskinity_data.execution.worker.failures import describe_failure, load_back
from taskinity_data.execution.worker.job import Item, ItemColumns
from taskinity_data.execution.worker.result_limit import NotSendable, estimate_nbytes, refuse
from taskinity_data.outcome import Status
from taskinity_data.outcome_block import OutcomeBlock
from taskinity_data.sources.temporary import leaving
from taskinity_data.user_code import is_user_module

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import ModuleType

    from taskinity_data.execution.worker.job import Job
    from taskinity_data.execution.worker.next_chunk import BatchQueue
    from taskinity_data.outcome import Outcome

__all__ = [
    "Parcel",
    "pack_ended",
    "pack_items",
    "pack_job",
    "pack_outcome",
    "pack_value",
    "unpack_items",
    "unpack_job",
    "unpack_outcomes",
    "unpack_value",
]

_log = logging.getLogger(__name__)

_PACKAGE = __name__.partition(".")[0]

_PLAIN = (Chunk, str, bytes, int, float, type(None))
"""Types that hold nothing of the user's."""

_SCALARS = frozenset({int, float, bool, type(None)})

_SMALL, _MAX_PARTS, _MAX_DEPTH = 1_000, 20, 3
"""Characters of a text, and parts of a list, within lists, that travel together with others: so
small that all of a block are no more than one large result."""

_ITEM = attrgetter(*(field.name for field in fields(Item)))

_registry_lock = threading.RLock()
"""Held while modules are registered: one run must not take back what another is packing with."""


def pack_job(job: Job, instead: str = 'run with scheduler="threads"') -> bytes:
    """Return `job` as bytes that hold the code of the user's own modules, not their names.

    `instead` is what else can be done about a job that can't be packed.

    Raises
    ------
    BindError
        A function, or something that it holds on to, can't be pickled; the message names it.
    """
    try:
        with _modules_by_value():
            return bytes(cloudpickle.dumps(job))
    except Exception as whole:  # noqa: BLE001 - whatever a user's __reduce__ raises
        try:
            # A module with a lock or a handle at its top can still be found by its name.
            blob = bytes(cloudpickle.dumps(job))
        except Exception:  # noqa: BLE001 - described below
            raise BindError(_describe_unpicklable(job, whole, instead)) from whole
        _log.info("user modules travel by name: %s", whole)
        return blob


def _describe_unpicklable(job: Job, error: Exception, instead: str) -> str:
    for step in (step for chain in job.chains for step in chain):
        parts = {getattr(step.function, "__qualname__", repr(step.function)): step.function}
        parts |= {
            f"the input {name!r} ({type(value).__name__})": value
            for name, value in step.arguments.items()
        }
        for label, value in parts.items():
            try:
                cloudpickle.dumps(value)
            except Exception as cause:  # noqa: BLE001 - named in the message
                return (
                    f"{step.task}: {label} can't be sent to another process: "
                    f"{describe_failure(cause).message}. Make it "
                    f"inside the function, or {instead}"
                )
    return f"{job.task}: can't be sent to another process: {describe_failure(error).message}"


@contextmanager
def _modules_by_value() -> Iterator[None]:
    with _registry_lock:
        registered = []
        registered_names = cloudpickle.list_registry_pickle_by_value()
        for module in list(sys.modules.values()):
            if _is_own(module) and module.__name__ not in registered_names:
                cloudpickle.register_pickle_by_value(module)
                registered.append(module)
        try:
            yield
        finally:
            for module in registered:
                cloudpickle.unregister_pickle_by_value(module)


def _is_own(module: ModuleType) -> bool:
    """Return whether `module` is the user's own, imported by its name."""
    name = getattr(module, "__name__", "__main__")
    is_imported = name != "__main__" and sys.modules.get(name) is module
    return is_imported and is_user_module(module)


@lru_cache(maxsize=16)
def unpack_job(blob: bytes) -> Job:
    """Return the job in `blob`; kept, so that a worker loads each job once."""
    job: Job = pickle.loads(blob)  # noqa: S301 - made by pack_job of the same run
    return job


class Parcel:
    """A packed job on a worker, which unpacks it once, and forgets it with the parcel.

    Attributes
    ----------
    queue : BatchQueue, optional
        Batches of it that wait there.
    """

    def __init__(self, blob: bytes) -> None:
        self._blob = blob
        self._lock = threading.Lock()
        self._job: Job | None = None
        self.queue: BatchQueue | None = None

    @property
    def blob(self) -> bytes:
        """The job, packed."""
        return self._blob

    def unpack(self) -> Job:
        """Return the job."""
        with self._lock:
            if self._job is None:
                self._job = pickle.loads(self._blob)  # noqa: S301 - made by pack_job of this run
            return self._job


def pack_items(items: Sequence[Item]) -> bytes:
    """Return `items` as bytes; of chunks quickly, since they hold nothing of the user's."""
    if isinstance(items, ItemColumns) and (packed := items.pack()) is not None:
        return packed
    rows = list(map(_ITEM, items))
    if all(type(item.data) in _PLAIN for item in items):
        return pickle.dumps(rows, protocol=5)
    return pack_value(rows)


def unpack_items(blob: bytes) -> Sequence[Item]:
    """Return what `pack_items` packed."""
    packed = unpack_value(blob)
    if isinstance(packed, CutColumns):
        return ItemColumns(packed, range(packed.first, packed.first + len(packed)))
    return [Item(*row) for row in packed]


def pack_value(value: Any) -> bytes:
    """Any value as bytes, with the code of the user's own modules."""
    with _modules_by_value():
        return bytes(cloudpickle.dumps(value))


def unpack_value(blob: bytes) -> Any:
    """Return what `pack_value` packed."""
    return pickle.loads(blob)  # noqa: S301 - made by pack_value of the same run


def pack_ended(
    ended: Sequence[Outcome | OutcomeBlock], items: Sequence[Item], max_nbytes: int | None
) -> list[bytes]:
    """Return the outcomes of `items` as bytes: a block in one piece where its values are small."""
    packed: list[bytes] = []
    start = 0
    for part in ended:
        stop = start + (len(part) if isinstance(part, OutcomeBlock) else 1)
        if not isinstance(part, OutcomeBlock):
            packed.append(pack_outcome(part, max_nbytes))
        elif _are_small(part.values, 0):
            packed.append(pickle.dumps(part, protocol=5))
        else:
            outcomes = part.outcomes(items[start:stop])
            packed += [pack_outcome(outcome, max_nbytes) for outcome in outcomes]
        start = stop
    return packed


def _are_small(values: Iterable[Any], depth: int) -> bool:
    """Return whether all `values` are plain data that surely travel and take little."""
    for value in values:
        kind = type(value)
        if kind in _SCALARS:
            continue
        if kind in (str, bytes) and len(value) <= _SMALL:
            continue
        if kind not in (tuple, list, dict) or len(value) > _MAX_PARTS or depth == _MAX_DEPTH:
            return False
        parts = value if kind is not dict else (*value, *value.values())
        if not _are_small(parts, depth + 1):
            return False
    return True


def pack_outcome(outcome: Outcome, max_nbytes: int | None = None) -> bytes:
    """Return `outcome` as bytes; a value that can't be pickled, or is larger, is its failure."""
    with leaving():
        return _pack_outcome(outcome, max_nbytes)


def _pack_outcome(outcome: Outcome, max_nbytes: int | None) -> bytes:
    if max_nbytes is not None and (nbytes := estimate_nbytes(outcome)) > max_nbytes:
        return _pack_failure(outcome, refuse(outcome, nbytes, max_nbytes))
    try:
        blob = pickle.dumps(outcome, protocol=5)
    except Exception:  # noqa: BLE001 - classes that travelled by value need cloudpickle
        try:
            blob = bytes(cloudpickle.dumps(outcome))
        except Exception as error:  # noqa: BLE001 - a failure is a value
            unsendable = NotSendable(
                f"the result ({type(outcome.value).__name__}) can't be sent back: {error}. Return "
                "a frame, a table or plain data"
            )
            return _pack_failure(outcome, unsendable)
    if max_nbytes is not None and len(blob) > max_nbytes:
        return _pack_failure(outcome, refuse(outcome, len(blob), max_nbytes))
    return blob


def _pack_failure(outcome: Outcome, error: Exception) -> bytes:
    attempt = replace(outcome.attempts[-1], failure=describe_failure(error))
    failed = replace(
        outcome, status=Status.FAILED, attempts=(*outcome.attempts[:-1], attempt), value=None
    )
    return pickle.dumps(failed, protocol=5)


def unpack_outcomes(
    blobs: Sequence[bytes | BaseException],
) -> list[Outcome | OutcomeBlock | BaseException]:
    """Return what a worker returned, as outcomes; an error for one that can't be unpacked here."""
    return [blob if isinstance(blob, BaseException) else _unpack(blob) for blob in blobs]


def _unpack(blob: bytes) -> Any:
    try:
        return load_back(blob)
    except Exception as error:  # noqa: BLE001 - whatever a user's class raises while it is rebuilt
        return TypeError(
            f"the result was sent back, but can't be unpickled here: {type(error).__name__}: "
            f"{error}. Return a frame, a table or plain data"
        )
