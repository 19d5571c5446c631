"""Compare a forecast with the run that followed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.wording import format_count

if TYPE_CHECKING:
    from taskinity_data.execution.worker.job import Job
    from taskinity_data.forecast.forecast import Forecast

__all__ = ["PredictionCheck", "RunFigures", "compare_forecast", "name_work"]


class PredictionCheck(NamedTuple):
    """One predicted quantity: its range, and the actual value, None if unknown.

    `quantity` is ``"time"`` (seconds), ``"memory"``, ``"output"`` or ``"results"`` (bytes);
    `caveat` is how the run differs from what was predicted, as text.
    """

    quantity: str
    low: float
    high: float
    actual: float | None
    caveat: str = ""

    @property
    def verdict(self) -> str:
        """The relation of the actual value to the range, as text.

        >>> [PredictionCheck("time", 2.0, 4.0, actual).verdict for actual in (3.0, 5.0)]
        ['within', '25 % above']
        >>> PredictionCheck("time", 2.0, 4.0, 1.0, "predicted for 1 worker (threads)").verdict
        '50 % below; but predicted for 1 worker (threads)'
        """
        relation = "unknown" if self.actual is None else self._relate(self.actual)
        return f"{relation}; but {self.caveat}" if self.caveat else relation

    def _relate(self, actual: float) -> str:
        if actual > self.high:
            return f"{100 * (actual / self.high - 1):.0f} % above" if self.high else "above"
        if actual < self.low:
            return f"{100 * (1 - actual / self.low):.0f} % below"
        return "within"


class RunFigures(NamedTuple):
    """The figures of a run that are compared with a forecast.

    `recalled` chunks were finished by an earlier attempt, `lost` ones have no result.
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
    """Return the names of the functions and reducers that are applied to each chunk."""
    functions = [step.function for step in job.chain(0)]
    names = [getattr(function, "__name__", type(function).__name__) for function in functions]
    return ", ".join([*names, *(reducer.name for reducer in job.reducers)])


def compare_forecast(forecast: Forecast, run: RunFigures) -> tuple[PredictionCheck, ...]:
    """Compare time, memory and output of a run with its `forecast`."""
    another = [f"predicted of {forecast.of}"] if forecast.of != run.of else []
    where = list(another)
    if (forecast.workers, forecast.scheduler) != (run.workers, run.scheduler):
        count = f"{forecast.workers} worker{'s' if forecast.workers > 1 else ''}"
        where.append(f"predicted for {count} ({forecast.scheduler})")
    lost = [f"no result of {format_count(run.lost, 'chunk')}"] if run.lost else []
    recalled = [f"{format_count(run.recalled, 'chunk')} done before"] if run.recalled else []
    return (
        PredictionCheck("time", *forecast.seconds, run.seconds, ", ".join(where + recalled + lost)),
        PredictionCheck("memory", *forecast.memory_nbytes, run.peak_nbytes, ", ".join(where)),
        PredictionCheck(
            "output" if forecast.is_answer else "results",
            *forecast.output_nbytes,
            run.output_nbytes,
            ", ".join(another + lost),
        ),
    )
