"""Define the flow of the demonstration, and its functions.

It is a separate module, so that worker processes can import the functions.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.reducers.grouped import group_by

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from taskinity_data.chunks.open_dataset import Dataset

__all__ = ["TASKS", "TEXT", "time_pandas"]

TEXT = """\
flow FlightDelays:
    description: "Mean delays and late flights of each airline that left New York"

    task DataPreparation:
        description: "Find the files, and the columns that are needed"

    task ProcessChunk[*]:
        description: "Mark the late flights of one chunk"

    task AggregateResults:
        description: "Bring the chunks together by carrier"

    task NameAirlines:
        description: "Join the airlines' names"

    DataPreparation -> ProcessChunk[*] -> AggregateResults -> NameAirlines
"""

_COLUMNS = ["carrier", "dep_delay", "arr_delay"]

# As the United States' Department of Transportation counts: 15 minutes or more after schedule.
_LATE_MINUTES = 15


def data_preparation(data: Any) -> Dataset:
    """Return the flights, with the three columns that the answer needs."""
    return open_dataset(data, columns=_COLUMNS)


def process_chunk(chunk: pd.DataFrame) -> pd.DataFrame:
    """Return the chunk with a column `is_late`; a flight that never arrived is not late."""
    return chunk.assign(is_late=chunk["arr_delay"] >= _LATE_MINUTES)


def time_pandas(folder: Path, airlines: str, expected: Any) -> tuple[float, bool]:
    """Return how long pandas takes for the same answer, and whether it is the same."""
    import pandas as pd

    started = time.perf_counter()
    files = sorted(folder.glob("*.csv"))
    frame = pd.concat([pd.read_csv(file, usecols=_COLUMNS) for file in files], ignore_index=True)
    groups = process_chunk(frame).groupby("carrier")
    answer = name_airlines(groups.agg(**_ANSWER), airlines)
    took_s = time.perf_counter() - started
    try:
        pd.testing.assert_frame_equal(answer, expected, rtol=1e-9, check_dtype=False)
    except AssertionError:
        return took_s, False
    return took_s, True


def name_airlines(aggregate_results: pd.DataFrame, airlines: str) -> pd.DataFrame:
    """Return the answer with names: index `carrier`, columns `name`, `flights`, means, `late`."""
    import pandas as pd

    names = pd.read_csv(airlines, index_col="carrier")
    return names.join(aggregate_results, how="inner").sort_index()


_ANSWER: dict[str, Any] = {
    "flights": ("is_late", "count"),
    "mean_dep_delay": ("dep_delay", "mean"),
    "mean_arr_delay": ("arr_delay", "mean"),
    "late": ("is_late", "sum"),
}

TASKS = {
    "DataPreparation": data_preparation,
    "ProcessChunk": process_chunk,
    "AggregateResults": group_by("carrier", **_ANSWER),
    "NameAirlines": name_airlines,
}
