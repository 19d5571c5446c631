"""A run that fails closes what it was reading."""

import threading

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.errors import FlowFailed


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_a_failed_run_leaves_no_thread_that_reads_ahead(tmp_path, scheduler):
    def fail(chunk):
        raise ValueError("no")

    path = tmp_path / "a.csv"
    pd.DataFrame({"a": range(200_000)}).to_csv(path, index=False)
    for source in (str(path), pd.DataFrame({"a": range(1000)})):
        with pytest.raises(FlowFailed) as caught:
            td.process(source, fail, scheduler=scheduler, chunk_size="100 rows", progress=False)
        # While the error, and all that its frames hold, is still there.
        assert [one for one in threading.enumerate() if "read-ahead" in one.name] == []
        assert caught.value.run is not None
