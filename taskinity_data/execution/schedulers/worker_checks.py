"""Checks each worker of a Dask cluster, before its first chunk: its versions, and the files.

Those that are there at the start are queried; one that joins later checks itself before its first
batch. A worker that does not answer, or can't run anything, is no reason to refuse a run that
others can do.
"""

from __future__ import annotations

import asyncio
import operator
import pickle
import secrets
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import cloudpickle

from taskinity_data.errors import SchedulerError
from taskinity_data.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from distributed import Client

__all__ = ["MAX_TRAVELLING_NBYTES", "check_workers", "pack_call", "pack_runner", "query_each"]

ANSWER_S = 60.0
"""How long a worker may take to answer: one that runs another user's native code may be slow, one
that is stopped or cut off where no one says so never does."""

_TOGETHER_S = 2.0
"""How long they may take together: one that is silent must not hold up the others."""

MAX_PATHS = 16
"""So many paths, each of another directory, workers that join look for."""

MAX_TRAVELLING_NBYTES, MAX_KEPT_JOBS = 16 << 10, 16
"""A packed job that is not larger travels with each batch, and a worker keeps the last ones: as a
task's result it is at first on one worker alone, which is busy with its first chunk when the others
fetch it: they began 0.2 to 0.5 s later."""

_REFUSAL_S = 0.2
"""A worker that can't run a batch waits so long before it says so, because it is idle at once for
the next one."""


def _versions() -> dict[str, str]:
    return {
        "taskinity_data": __version__,
        "Python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "pandas": metadata.version("pandas"),
    }


def _make_query() -> Callable[[dict[str, str], Sequence[str]], tuple[str, list[str]]]:
    """Return the query that workers run; it uses nothing from outside its body."""

    def query(expected: dict[str, str], paths: Sequence[str]) -> tuple[str, list[str]]:
        import sys
        from importlib import import_module, metadata
        from pathlib import Path

        def is_there(path: str) -> bool:
            try:
                return Path(path).exists()
            except OSError:
                return False

        for name, version in expected.items():
            if name == "Python":
                has = f"{sys.version_info.major}.{sys.version_info.minor}"
            else:
                try:  # pandas takes a second to import, which the first chunk has time for
                    is_pandas = name == "pandas"
                    has = metadata.version(name) if is_pandas else import_module(name).__version__
                except ImportError:
                    return f"it has no {name}: install {version} there", []
            if has != version:
                return f"it has {name} {has}, this is {version}: install the same there", []
        return "", [path for path in paths if not is_there(path)]

    return query


class _Called:
    """What `function` returns for `args`, called where this is unpickled."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._call = function, args

    def __reduce__(self) -> Any:
        return self._call


def pack_call(runner_blob: bytes, items_blob: bytes) -> bytes:
    """Return what runs a batch when it is unpickled, by a packed runner that travels with it.

    Schedulers take functions apart and pack them again; bytes they pass on.
    """
    runner = _Called(pickle.loads, runner_blob)
    return pickle.dumps(_Called(operator.call, runner, items_blob), protocol=5)


def pack_runner(job_blob: bytes, paths: Sequence[str]) -> bytes:
    """Return, pickled with its code, what runs batches of a packed job on a worker.

    It checks the worker before the first one. It returns the worker's address with the packed
    outcomes, or with the reason why this worker can't run any, and whether it has values of the run
    that are to be closed. One path of each directory of `paths` must be there.
    """
    by_directory = {PurePath(path).parent: path for path in reversed(paths)}
    some_paths = tuple(by_directory.values())[:MAX_PATHS]
    expected, query, wait_s = _versions(), _make_query(), _REFUSAL_S
    # What a worker knows of this job goes with this set: Dask forgets it when the run ends, or,
    # where it travels with each batch, the worker once it has had so many others.
    mark = frozenset({secrets.token_hex(8)})
    kept_jobs = MAX_KEPT_JOBS if len(job_blob) <= MAX_TRAVELLING_NBYTES else 0

    def run_checked(items_blob: bytes) -> tuple[str, Any, bool]:
        import time
        import weakref
        from collections import deque

        from distributed import get_worker

        worker = get_worker()
        jobs = vars(worker).setdefault("taskinity_jobs", weakref.WeakKeyDictionary())
        parcel = jobs.get(mark)
        if parcel is None:
            why, missing = query(expected, some_paths)
            parcel = why or (f"it does not see {missing[0]}" if missing else "")
            if not parcel:
                from taskinity_data.execution.worker.shipping import Parcel

                parcel = Parcel(job_blob)
            parcel = jobs.setdefault(mark, parcel)
            if kept_jobs:
                vars(worker).setdefault("taskinity_marks", deque(maxlen=kept_jobs)).append(mark)
        if isinstance(parcel, str):
            time.sleep(wait_s)
            return worker.address, parcel, False
        from taskinity_data.execution.schedulers.worker_queue import find_batch
        from taskinity_data.execution.worker.batches import holds_values, run_parcel

        ended = run_parcel(parcel, items_blob, find_batch(worker, parcel))
        return worker.address, ended, holds_values(parcel)

    return bytes(cloudpickle.dumps(run_checked))


def check_workers(
    client: Client, name: str, workers: Sequence[str], paths: Sequence[str]
) -> dict[str, str]:
    """Return which of `workers` can't be used, and why.

    Raises
    ------
    SchedulerError
        A worker does not see one of `paths`, or none of them can be used.
    """
    answers = client.sync(_query_all, client, workers, _make_query(), _versions(), list(paths))
    unusable = {}
    for worker, answer in answers.items():
        if isinstance(answer, Exception):
            unusable[worker] = f"it does not respond ({_describe(answer)})"
        elif answer[0]:
            unusable[worker] = answer[0]
        elif answer[1]:
            _refuse_missing(worker, answer[1][0])
    if unusable and len(unusable) == len(answers):
        worker, why = next(iter(unusable.items()))
        raise SchedulerError(f"{name}: no usable worker (the first, {worker}: {why})")
    return unusable


def _describe(error: Exception) -> str:
    if isinstance(error, OSError):  # a closed connection and a timeout are such, too
        return str(error) or f"no answer within {ANSWER_S:g} s"
    return repr(error)


def _refuse_missing(worker: str, path: str) -> None:
    from taskinity_data.sources.compression.scratch_file import is_scratch

    if is_scratch(path):
        raise SchedulerError(
            f"worker {worker} does not see {path}, a temporary file with the text of a compressed "
            "file, a JSON array or another encoding: convert the files first, or set TMPDIR here "
            "to a directory that all machines share"
        )
    raise SchedulerError(
        f"worker {worker} does not see {path}: the files must be at the same "
        "path on every worker (a shared file system)"
    )


async def _query_all(client: Client, workers: Sequence[str], *query: Any) -> dict[str, Any]:
    """Return what each worker answers to one message to all; else to one of its own."""
    if not workers:
        return {}
    with suppress(Exception):
        return await _query(client, workers, _TOGETHER_S, *query)
    return await query_each(client, workers, ANSWER_S, *query)


async def _query(
    client: Client, workers: Sequence[str], wait_s: float, *query: Any
) -> dict[str, Any]:
    # On the client's loop, where it returns what is awaited.
    asking = client.run(*query, workers=workers, on_error="return")
    return dict(await asyncio.wait_for(asking, wait_s))


async def query_each(
    client: Client, workers: Sequence[str], wait_s: float, query: Callable[..., Any], *args: Any
) -> dict[str, Any]:
    """Return what `query` returns on each worker, or the error instead within that time."""

    async def query_worker(worker: str) -> Any:
        # Alone, so that one that is silent holds up no other.
        try:
            return (await _query(client, [worker], wait_s, query, *args))[worker]
        except Exception as error:  # noqa: BLE001 - whatever a broken connection ends in
            return error

    return dict(zip(workers, await asyncio.gather(*map(query_worker, workers)), strict=True))
