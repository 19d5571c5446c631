"""Run items by any `concurrent.futures.Executor` that the user has."""

from __future__ import annotations

import os
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.sizing import PROCESS_TARGET_S, TARGET_S
from taskinity_data.errors import SchedulerError
from taskinity_data.execution.schedulers.base import SendingStrategy
from taskinity_data.execution.worker.batches import run_items, run_parcel
from taskinity_data.execution.worker.shipping import pack_items, pack_job, unpack_outcomes
from taskinity_data.machine import limit_results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.execution.worker.job import Item, Job

__all__ = ["ExecutorStrategy"]


class ExecutorStrategy(SendingStrategy):
    """Any `concurrent.futures.Executor` that the user has; never shut down here."""

    name = ""
    queues = True

    def __init__(
        self, executor: Executor, workers: int | None = None, memory_nbytes: int | None = None
    ) -> None:
        super().__init__()
        self._executor = executor
        self.name = type(executor).__name__
        # Executors publish no number of workers; those of Python and loky have it here.
        size = getattr(executor, "_max_workers", None)
        size = size if isinstance(size, int) else os.cpu_count() or 1
        self.workers = workers or size
        self.queues = self.workers >= size
        self.memory_nbytes = memory_nbytes
        self.crosses_processes = not isinstance(executor, ThreadPoolExecutor)
        self.target_s = PROCESS_TARGET_S if self.crosses_processes else TARGET_S

    def load(self, job: Job) -> Any:
        """Return `job`, packed where it has to cross processes."""
        job = replace(job, max_nbytes=limit_results(self.memory_nbytes))
        return pack_job(job) if self.crosses_processes else job

    def submit(self, loaded: Any, items: Sequence[Item], key: str) -> Future[Any]:  # noqa: ARG002
        """Queue `items` as one call."""
        try:
            if self.crosses_processes:
                return self._executor.submit(run_parcel, loaded, pack_items(items))
            return self._executor.submit(run_items, loaded, items, self._children)
        except RuntimeError as error:  # shut down, or broken by a process that died
            raise SchedulerError(f"{self.name} accepts no more work: {error}") from error

    def collect(self, pending: Sequence[Any]) -> list[Any]:
        """Return the outcomes, unpacked."""
        results = super().collect(pending)
        if not self.crosses_processes:
            return results
        return [
            batch if isinstance(batch, BaseException) else unpack_outcomes(batch)
            for batch in results
        ]

    def close(self) -> None:
        """Leave the executor to its owner, without children."""
        self._children.close()
