"""Each kind of scheduler against the executor contract."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from distributed import Client, LocalCluster
from strategy_contract import StrategyContract

from taskinity_data.errors import SchedulerError
from taskinity_data.execution.schedulers.children import ChildStrategy
from taskinity_data.execution.schedulers.connect import open_strategy
from taskinity_data.execution.worker.job import Item, Job, Step


class TestSynchronous(StrategyContract):
    @pytest.fixture
    def strategy(self):
        strategy = open_strategy("synchronous", None, None)
        yield strategy
        strategy.close()


class TestThreads(StrategyContract):
    @pytest.fixture
    def strategy(self):
        strategy = open_strategy("threads", 3, None)
        yield strategy
        strategy.close()


class TestChildren(StrategyContract):
    @pytest.fixture
    def strategy(self):
        strategy = ChildStrategy(1, 1 << 30)
        yield strategy
        strategy.close()


class TestExecutorOfThreads(StrategyContract):
    @pytest.fixture
    def strategy(self):
        with ThreadPoolExecutor(2) as executor:
            yield open_strategy(executor, None, None)


@pytest.mark.thorough
class TestExecutorOfProcesses(StrategyContract):
    @pytest.fixture(scope="class")
    @classmethod
    def executor(cls):
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
            yield executor

    @pytest.fixture
    def strategy(self, executor):
        return open_strategy(executor, None, None)


@pytest.mark.thorough
class TestProcesses(StrategyContract):
    @pytest.fixture(scope="class")
    @classmethod
    def shared(cls):
        strategy = open_strategy("processes", 2, None)
        yield strategy
        strategy.close()

    @pytest.fixture
    def strategy(self, shared):
        return shared


@pytest.fixture(scope="module")
def cluster():
    # Any port: the usual one may be in use.
    options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=2, **options) as cluster:
        yield cluster


class TestClusterObject(StrategyContract):
    @pytest.fixture
    def strategy(self, cluster):
        strategy = open_strategy(cluster, None, None)
        yield strategy
        strategy.close()


class TestAddress(StrategyContract):
    @pytest.fixture
    def strategy(self, cluster):
        strategy = open_strategy(cluster.scheduler_address, None, None)
        yield strategy
        strategy.close()


class TestClient(StrategyContract):
    @pytest.fixture
    def strategy(self, cluster):
        with Client(cluster, set_as_default=False) as client:
            yield open_strategy(client, None, None)


def test_a_given_client_is_left_open(cluster):
    with Client(cluster, set_as_default=False) as client:
        open_strategy(client, None, None).close()
        assert client.submit(abs, -1).result() == 1


def test_workers_limit_what_runs_at_once_on_a_given_cluster(cluster):
    strategy = open_strategy(cluster, 1, None)
    assert strategy.workers == 1
    strategy.close()


def test_a_scheduler_file_is_followed(cluster, tmp_path):
    path = tmp_path / "scheduler.json"
    path.write_text(json.dumps({"type": "Scheduler", "address": cluster.scheduler_address}))
    strategy = open_strategy(path, None, None)
    assert strategy.workers == 2
    strategy.close()


@pytest.mark.parametrize(
    ("scheduler", "says"),
    [
        ("thread", "Did you mean 'threads'"),
        ("nowhere.json", "no such scheduler file"),
        ("tcp://127.0.0.1:1", "no Dask scheduler responds"),
        (42, "is not a scheduler"),
    ],
)
def test_what_is_no_scheduler_is_refused(scheduler, says):
    with pytest.raises(SchedulerError, match=says):
        open_strategy(scheduler, None, None)


def test_a_file_that_workers_do_not_see_is_named(cluster):
    strategy = open_strategy(cluster, None, None)
    with pytest.raises(SchedulerError, match=r"does not see /nowhere/x\.csv"):
        strategy.check(["/nowhere/x.csv"])
    with pytest.raises(SchedulerError, match="convert the files first, or set TMPDIR"):
        strategy.check(["/nowhere/taskinity-unpacked-host-1-abc/text-1"])
    strategy.close()


@pytest.mark.thorough
def test_the_users_own_module_travels_by_value(cluster, tmp_path, monkeypatch):
    (tmp_path / "my_own_module.py").write_text("BASE = 5\ndef add(x):\n    return x + BASE\n")
    monkeypatch.syspath_prepend(tmp_path)
    import my_own_module

    strategy = open_strategy(cluster, None, None)
    outcomes = StrategyContract().run(strategy, my_own_module.add, [1])
    assert outcomes[0].value[1] == 6
    strategy.close()
    del sys.modules["my_own_module"]


@pytest.mark.thorough
def test_a_script_without_a_main_guard_runs_on_processes(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import sys\n"
        "from taskinity_data.run.api import process\n"
        "print('once', flush=True)\n"
        "run = process(sys.argv[1], lambda chunk: len(chunk),\n"
        "              scheduler='processes', workers=2, progress=False)\n"
        "print(sum(run.value))\n"
    )
    data = tmp_path / "data.csv"
    data.write_text("a\n" + "1\n" * 10)
    done = subprocess.run(
        [sys.executable, str(script), str(data)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["once", "10"], done.stderr


@pytest.mark.thorough
def test_closing_leaves_no_process_and_no_file_behind(tmp_path, monkeypatch):
    import tempfile

    import psutil

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)

    before = {child.pid for child in psutil.Process().children(recursive=True)}
    strategy = open_strategy("processes", 2, None)
    loaded = strategy.load(Job("P", ((Step("P", abs),),)))
    StrategyContract().finish(strategy, [strategy.submit(loaded, [Item("0" * 32, -1)], "P-0")])
    during = {child.pid for child in psutil.Process().children(recursive=True)} - before
    strategy.close()
    assert during
    alive = [pid for pid in during if psutil.pid_exists(pid) and _is_worker(pid)]
    assert alive == []
    assert list(tmp_path.iterdir()) == []


def _is_worker(pid: int) -> bool:
    import psutil

    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "child_main" in " ".join(
            process.cmdline()
        )
    except psutil.NoSuchProcess:
        return False
