"""What was predicted of a run against what became of it.

It knows nothing of how either was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from taskinity_data.execution.worker.run_item import Job
    from taskinity_data.forecast.forecast import Forecast

__all__ = ["Met", "Ran", "compare_forecast", "name_work"]


class Met(NamedTuple):
    """One thing that was predicted: its range, and what it was; None where that is unknown.

    `what` is ``"time"`` (seconds), ``"memory"``, ``"output"`` or ``"results"`` (bytes); `unlike` is
    how the run was another one than what was predicted, in words.
    """

    what: str
    low: float
    high: float
    actual: float | None
    unlike: str = ""

    @property
    def verdict(self) -> str:
        """Where it lies, in words.

        >>> Met("time", 2.0, 4.0, 3.0).verdict, Met("time", 2.0, 4.0, 5.0).verdict
        ('within', '25 % above')
        >>> Met("time", 2.0, 4.0, 1.0, "predicted for 1 worker (threads)").verdict
        '50 % below; but predicted for 1 worker (threads)'
        """
        told = "unknown" if self.actual is None else self._place(self.actual)
        return f"{told}; but {self.unlike}" if self.unlike else told

    def _place(self, actual: float) -> str:
        if actual > self.high:
            return f"{100 * (actual / self.high - 1):.0f} % above" if self.high else "above"
        if actual < self.low:
            return f"{100 * (1 - actual / self.low):.0f} % below"
        return "within"


class Ran(NamedTuple):
    """A run as it is set against a forecast.

    `recalled` chunks were finished by an earlier try, `lost` ones have no result.
    """

    of: str
    workers: int
    scheduler: str
    seconds: float
    peak_nbytes: float | None
    output_nbytes: float | None
    recalled: int = 0
    lost: int = 0


def name_work(job: Job) -> str:
    """What is done to each chunk, by the names of functions and reducers."""
    functions = [step.function for step in job.chain(0)]
    names = [getattr(one, "__name__", type(one).__name__) for one in functions]
    return ", ".join([*names, *(reducer.name for reducer in job.reducers)])


def compare_forecast(forecast: Forecast, run: Ran) -> tuple[Met, ...]:
    """Time, memory and output of a run against its `forecast`."""
    another = [f"predicted of {forecast.of}"] if forecast.of != run.of else []
    where = list(another)
    if (forecast.workers, forecast.scheduler) != (run.workers, run.scheduler):
        count = f"{forecast.workers} worker{'s' if forecast.workers > 1 else ''}"
        where.append(f"predicted for {count} ({forecast.scheduler})")
    lost = [f"{run.lost:,} chunks have no result"] if run.lost else []
    recalled = [f"{run.recalled:,} chunks were done before"] if run.recalled else []
    return (
        Met("time", *forecast.seconds, run.seconds, ", ".join(where + recalled + lost)),
        Met("memory", *forecast.memory_nbytes, run.peak_nbytes, ", ".join(where)),
        Met(
            "output" if forecast.is_answer else "results",
            *forecast.output_nbytes,
            run.output_nbytes,
            ", ".join(another + lost),
        ),
    )
