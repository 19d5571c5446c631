"""Define the flow of the demonstration, and its functions.

It is a separate module, so that worker processes can import the functions.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.reducers.grouped import group_by

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from taskinity_data.chunks.open_dataset import Dataset

__all__ = ["TASKS", "TEXT", "PandasRun", "run_pandas"]

TEXT = """\
flow FlightDelays:
    description: "Delays of each airline that left New York, by part of the day"

    task DataPreparation:
        description: "Find the files, and the columns that are needed"

    task ProcessChunk[*]:
        description: "Drop cancelled flights, name the part of the day, mark late ones"

    task AggregateResults:
        description: "Combine the chunks by carrier and part of the day"

    task NameAirlines:
        description: "Join the airlines' names"

    DataPreparation -> ProcessChunk[*] -> AggregateResults -> NameAirlines
"""

_COLUMNS = ["carrier", "sched_dep_time", "dep_delay", "arr_delay"]

# As the United States' Department of Transportation counts: 15 minutes or more after schedule.
_LATE_MINUTES = 15


def data_preparation(data: Any) -> Dataset:
    """Return the flights, with the columns that the answer needs."""
    return open_dataset(data, columns=_COLUMNS)


def process_chunk(chunk: pd.DataFrame) -> pd.DataFrame:
    """Return the flights that arrived, with the part of the day, and whether they were late."""
    import pandas as pd

    arrived = chunk.dropna(subset=["arr_delay"])
    return arrived.assign(
        part_of_day=pd.cut(
            # Clock times such as 517, which is 5:17.
            arrived["sched_dep_time"],
            [0, 1200, 1800, 2400],
            right=False,
            labels=["morning", "afternoon", "evening"],
        ),
        is_late=arrived["arr_delay"] >= _LATE_MINUTES,
        made_up=arrived["dep_delay"] - arrived["arr_delay"],
    )


def name_airlines(aggregate_results: pd.DataFrame, airlines: str) -> pd.DataFrame:
    """Return the answer with the column `name`, sorted by carrier and part of the day."""
    import pandas as pd

    names = pd.read_csv(airlines, index_col="carrier")
    return aggregate_results.join(names, how="inner").sort_index()


class PandasRun(NamedTuple):
    """What pandas took for the same answer: seconds, and bytes at its peak."""

    answer: pd.DataFrame
    took_s: float
    peak_nbytes: int


def run_pandas(folder: Path, airlines: str) -> PandasRun:
    """Return the answer of pandas alone, with all files in one frame."""
    import pandas as pd

    from taskinity_data.execution.worker.run_item import peak_nbytes

    started = time.perf_counter()
    files = sorted(folder.glob("*.csv"))
    frame = pd.concat([pd.read_csv(file, usecols=_COLUMNS) for file in files], ignore_index=True)
    groups = process_chunk(frame).groupby(_KEYS)
    answer = name_airlines(groups.agg(**_ANSWER), airlines)
    return PandasRun(answer, time.perf_counter() - started, peak_nbytes() or 0)


_KEYS = ["carrier", "part_of_day"]
_ANSWER: dict[str, Any] = {
    "flights": ("is_late", "count"),
    "late": ("is_late", "sum"),
    "mean_dep_delay": ("dep_delay", "mean"),
    "mean_arr_delay": ("arr_delay", "mean"),
    "mean_made_up": ("made_up", "mean"),
}

TASKS = {
    "DataPreparation": data_preparation,
    "ProcessChunk": process_chunk,
    "AggregateResults": group_by(*_KEYS, **_ANSWER),
    "NameAirlines": name_airlines,
}
