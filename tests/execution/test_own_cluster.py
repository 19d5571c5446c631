"""A local pool of ours closes, whatever state its workers were left in."""

import psutil
from distributed.core import Status

from taskinity_data.execution import own_cluster
from taskinity_data.execution.clusters import start_local


def test_a_pool_closes_where_dask_waits_for_an_end_that_nobody_tells_it(monkeypatch):
    monkeypatch.setattr(own_cluster, "CLOSE_S", 0.5)
    strategy = start_local(2, None)
    pids = strategy._pids()
    for nanny in strategy._cluster.workers.values():
        # As it is left where a worker is killed twice while it starts.
        nanny.process.status = Status.stopping
    strategy.close()
    assert len(pids) == 2
    assert not any(
        psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        for pid in pids
    )
