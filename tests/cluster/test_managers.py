"""The README's flow on clusters of each manager, which behave as clusters do."""

from __future__ import annotations

import psutil
import pytest
from managers.registry import MANAGERS
from managers.site import wait_until
from readme_flow import Calls, disturb

from taskinity_data import errors

pytestmark = [
    pytest.mark.thorough,
    # Managers leave sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def usually(*names):
    """Run a test on each manager, on those that are not named in `make cluster-matrix` alone."""
    matrix = pytest.mark.matrix
    return pytest.mark.parametrize(
        "manager",
        [pytest.param(name, marks=() if name in names else matrix) for name in MANAGERS],
    )


@usually("tls")
def test_scaled(manager, open_manager, readme_flow, tmp_path):
    with open_manager(manager) as cluster:
        run = readme_flow.run(cluster.scheduler, tmp_path)
    readme_flow.check(run, tmp_path)


@usually("slurm", "gateway")
def test_from_no_worker(manager, open_manager, readme_flow, tmp_path):
    """Adaptive where the manager is; else workers are started during the run."""
    calls = Calls(tmp_path / "calls", free=0)
    with open_manager(manager, workers=0) as cluster:
        if cluster.adapt is not None:
            cluster.adapt(minimum=0, maximum=2)

        def act():
            if cluster.adapt is None:
                cluster.add_worker()
                cluster.add_worker()
            calls.wait_for_pids(2)
            calls.release()

        acting = disturb(act)
        run = readme_flow.run(cluster.scheduler, tmp_path, calls)
        acting.result()
    readme_flow.check(run, tmp_path)
    assert len(run.worker_table) >= 2


@usually("ssh", "mpi")
def test_growing(manager, open_manager, readme_flow, tmp_path):
    calls = Calls(tmp_path / "calls", free=2)
    with open_manager(manager, workers=1) as cluster:

        def act():
            wait_until(calls.held_pids, "a call that is held")
            cluster.add_worker()
            calls.wait_for_pids(2)
            calls.release()

        acting = disturb(act)
        run = readme_flow.run(cluster.scheduler, tmp_path, calls)
        acting.result()
    readme_flow.check(run, tmp_path)
    assert len(run.worker_table) == 2
    assert run.worker_table.chunks.min() > 0


@usually("slurm", "ssh", "gateway", "mpi", "plain")
def test_job_ended(manager, open_manager, readme_flow, tmp_path):
    calls = Calls(tmp_path / "calls", free=4)
    with open_manager(manager) as cluster:

        def act():
            calls.wait_for_pids(2)
            # Both workers may have had a chunk before the first call is held.
            pid = wait_until(
                lambda: (pids := calls.held_pids()) and cluster.end_job(pids), "a job that can go"
            )
            wait_until(lambda: not psutil.pid_exists(pid), "the end of the job")
            calls.release()

        acting = disturb(act)
        run = readme_flow.run(cluster.scheduler, tmp_path, calls)
        acting.result()
    readme_flow.check(run, tmp_path)
    assert (run.worker_table.left.notna() & (run.worker_table.reason != "")).any()
    assert (run.attempts.error.fillna("") != "").any()


@usually("gateway", "plain")
def test_lifetime(manager, open_manager, readme_flow, tmp_path):
    calls = Calls(tmp_path / "calls", free=4)
    with open_manager(manager, lifetime_s=15) as cluster:
        if cluster.adapt is not None:
            cluster.adapt(minimum=2, maximum=2)

        def act():
            calls.wait_for_pids(3)
            calls.release()

        acting = disturb(act)
        run = readme_flow.run(cluster.scheduler, tmp_path, calls)
        acting.result()
    readme_flow.check(run, tmp_path)
    assert len(run.worker_table) >= 3


@pytest.mark.matrix
def test_time_limit(open_manager, readme_flow, tmp_path):
    """SLURM ends jobs after a minute, its least; adaptive, so that others begin."""
    calls = Calls(tmp_path / "calls", free=4)
    with open_manager("slurm", options={"walltime": "00:01:00"}) as cluster:
        cluster.adapt(minimum=2, maximum=2)

        def act():
            calls.wait_for_pids(3)
            calls.release()

        acting = disturb(act)
        run = readme_flow.run(cluster.scheduler, tmp_path, calls)
        acting.result()
    readme_flow.check(run, tmp_path)
    assert len(run.worker_table) >= 3


CUT_OFF = {"distributed.scheduler.worker-ttl": "15s", "distributed.comm.timeouts.tcp": "15s"}


@usually("ssh", "plain")
def test_link_cut(manager, open_manager, hosts, readme_flow, tmp_path):
    """The host of a worker that has a chunk loses its link, and gets it back behind the run."""
    calls = Calls(tmp_path / "calls", free=4)
    with open_manager(manager, hosts=hosts, settings=CUT_OFF) as cluster:

        def act():
            calls.wait_for_pids(2)
            (pid, *_) = wait_until(calls.held_pids, "a call that is held")
            host = hosts.of(pid)
            host.cut()
            calls.release()
            return host

        acting = disturb(act)
        run = readme_flow.run(cluster.scheduler, tmp_path, calls)
        acting.result().join()
    readme_flow.check(run, tmp_path)
    assert (run.worker_table.left.notna() & (run.worker_table.reason != "")).any()
    assert (run.attempts.error.fillna("") != "").any()


@usually("slurm", "mpi")
def test_resumed_elsewhere(manager, open_manager, readme_flow, tmp_path):
    names = list(MANAGERS)
    calls = Calls(tmp_path / "calls", free=8)
    with (
        open_manager(manager) as cluster,
        pytest.raises(errors.FlowFailed) as caught,
    ):
        readme_flow.run(cluster.scheduler, tmp_path, calls, fails=True)
    stopped = caught.value.run
    done = (stopped.outcomes.status == "COMPLETED").sum()
    assert done > 0
    before = calls.count
    calls.release()
    other = names[(names.index(manager) + 1) % len(names)]
    with open_manager(other) as cluster:
        run = readme_flow.run(cluster.scheduler, tmp_path, calls, fails=True, resume=stopped.run_id)
    readme_flow.check(run, tmp_path)
    assert calls.count - before < readme_flow.chunks
