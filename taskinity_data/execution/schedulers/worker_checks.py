"""Asks each worker of a Dask cluster, before its first chunk, for the library and for the files.

A worker that does not answer is no reason to refuse a run that others can do.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import SchedulerError
from taskinity_data.sources.compression.scratch_file import is_scratch
from taskinity_data.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distributed import Client

__all__ = ["check_workers"]

ANSWER_S = 60.0
"""How long a worker may take to answer: one that runs another user's native code may be slow, one
that is stopped or cut off where no one says so never does."""


def check_workers(
    client: Client, name: str, workers: Sequence[str], paths: Sequence[str]
) -> dict[str, str]:
    """Return which of `workers` do not answer, and why.

    Raises
    ------
    SchedulerError
        A worker that answers has another version of the library, or does not see one of `paths`;
        or none answers.
    """
    answers = client.sync(_query_all, client, workers, list(paths))
    silent = {}
    for worker, answer in answers.items():
        if isinstance(answer, OSError):  # a closed connection and a timeout are such, too
            silent[worker] = str(answer) or f"no answer within {ANSWER_S:g} s"
        elif isinstance(answer, Exception):
            raise SchedulerError(f"worker {worker} can't be asked: {answer!r}") from answer
        else:
            _check(worker, *answer)
    if silent and len(silent) == len(answers):
        worker, why = next(iter(silent.items()))
        raise SchedulerError(f"{name}: no worker answers (the first, {worker}: {why})")
    return silent


def _check(worker: str, version: str, missing: Sequence[str]) -> None:
    if version != __version__:
        has = f"taskinity_data {version}" if version else "no taskinity_data"
        raise SchedulerError(
            f"worker {worker} has {has}, this is {__version__}: install the same version there"
        )
    if missing and is_scratch(missing[0]):
        raise SchedulerError(
            f"worker {worker} does not see {missing[0]}, to which a compressed file was "
            "unpacked here: unpack the files first, or set TMPDIR, here, to a directory "
            "that all machines share"
        )
    if missing:
        raise SchedulerError(
            f"worker {worker} does not see {missing[0]}: the files must be at the same "
            "path on every worker (a shared file system)"
        )


async def _query_all(client: Client, workers: Sequence[str], paths: list[str]) -> dict[str, Any]:
    """Return the answer of each worker, or the error instead of one."""

    def query(paths: list[str]) -> tuple[str, list[str]]:
        # Travels by value, so that a worker without the library can answer too.
        from importlib import import_module
        from pathlib import Path

        def is_there(path: str) -> bool:
            try:
                return Path(path).exists()
            except OSError:
                return False

        try:
            version = str(import_module("taskinity_data").__version__)
        except ImportError:
            version = ""
        return version, [path for path in paths if not is_there(path)]

    async def query_worker(worker: str) -> Any:
        # Alone, so that one that is silent holds up no other; Client.run itself can't be awaited.
        asking = client._run(query, paths, workers=[worker], on_error="return")  # noqa: SLF001
        try:
            return (await asyncio.wait_for(asking, ANSWER_S))[worker]
        except OSError as error:
            return error

    return dict(zip(workers, await asyncio.gather(*map(query_worker, workers)), strict=True))
