"""A scheduler and workers that are processes of their own, and what may happen to them."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from distributed import Client
from real_cluster import STEP_S, STUCK_S, WAIT_S, start_cluster, wait_until
from shared_lock import see_shared_lock

import taskinity_data as td
from taskinity_data import errors
from taskinity_data.chunks import sizing
from taskinity_data.execution import window
from taskinity_data.execution.schedulers import cluster_workers
from taskinity_data.outcome import RunStatus

pytestmark = pytest.mark.thorough

USER_MODULE = """\
import os
import threading
import pandas as pd

GUARD = threading.Lock()
FACTOR = 3


class Total:
    def __init__(self, n):
        self.n = n

    def scaled(self):
        return self.n * FACTOR


class Refused(Exception):
    def __init__(self, what, code):
        super().__init__(what, code)
        self.code = code


class Counted:
    '''Leaves a line in a file each time it is unpickled.'''

    def __init__(self, path, load):
        self.path, self.load = path, load

    def __setstate__(self, state):
        self.__dict__.update(state)
        with open(self.path, "a") as file:
            file.write(f"{os.getpid()}\\n")


def helper(chunk):
    return int(chunk.n.sum())


def total(chunk):
    return Total(helper(chunk))


def refuse(chunk):
    raise Refused("no such thing", 7)


def use_guard(chunk):
    with GUARD:
        return 1


def use_counted(chunk, counted):
    return len(counted.load)
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with start_cluster(tmp_path_factory.mktemp("cluster")) as client:
        yield client


@pytest.fixture(params=["address", "file", "client"])
def scheduler(request, client):
    kinds = {"address": client.scheduler.address, "file": str(client.file), "client": client}
    return kinds[request.param]


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """A module that this process alone can import."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "users_own_module.py").write_text(USER_MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield importlib.import_module("users_own_module")
        del sys.modules["users_own_module"]


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.csv"
    rng = np.random.default_rng(3)
    pd.DataFrame(
        {"key": rng.choice(list("abc"), 400), "n": range(400), "x": rng.normal(size=400)}
    ).to_csv(path, index=False)
    return path


def wait_until_clean(client):
    """Until the scheduler holds nothing, and then that it still works."""

    def count(dask_scheduler):
        return len(dask_scheduler.tasks)

    gc.collect()
    wait_until(lambda: client.run_on_scheduler(count) == 0)
    assert client.submit(abs, -1, pure=False).result() == 1


def run(csv, function, scheduler, **options):
    options = {"chunk_size": "100 rows", "progress": False, **options}
    return td.process(str(csv), function, scheduler=scheduler, **options)


# -- what travels ----------------------------------------------------------------------------------


def test_an_address_a_file_and_a_client_all_do(scheduler, client, csv):
    offset = 1
    done = run(csv, lambda chunk: len(chunk) + offset, scheduler)
    assert done.value == [101] * 4
    assert done.scheduler == client.scheduler.address
    wait_until_clean(client)


def test_a_flow_of_the_users_own_module_gives_back_its_own_classes(client, csv, user):
    method = user.Total.scaled

    def add(results):
        assert all(type(one) is user.Total for one in results)
        return sum(one.scaled() for one in results)

    text = "flow F:\n    Read -> Total[*] -> Add\n"
    flow = td.parse_flow(text).bind({"read": td.open_dataset, "total": user.total, "add": add})
    done = td.run_flow(
        flow, scheduler=client, chunk_size="100 rows", progress=False, source=str(csv)
    )
    assert done.value == 3 * sum(range(400))
    # What comes back must not replace the class that is here by the workers' copy.
    assert user.Total.scaled is method
    assert method.__globals__ is vars(user)


def test_an_exception_of_the_users_own_class_is_the_cause(client, csv, user):
    with pytest.raises(errors.FlowFailed, match="no such thing") as caught:
        run(csv, user.refuse, client)
    assert type(caught.value.__cause__) is user.Refused
    assert caught.value.__cause__.code == 7
    assert "in refuse" in str(caught.value)
    # Though the error, and with it the frames of the run, is still held.
    wait_until_clean(client)


def test_a_lock_beside_a_function_does_no_harm_and_one_in_it_is_named(client, csv, user):
    assert run(csv, user.helper, client, reduce=sum).value == sum(range(400))
    with pytest.raises(errors.FlowFailed, match="users_own_module"):
        run(csv, user.use_guard, client)
    wait_until_clean(client)


# Small ones travel with each batch.
@pytest.mark.parametrize("nbytes", [3 << 20, 100])
def test_an_input_is_unpickled_once_a_worker(nbytes, client, csv, user, tmp_path):
    seen = tmp_path / "seen"
    counted = user.Counted(str(seen), os.urandom(nbytes))
    flow = td.parse_flow("flow F:\n    Read -> UseCounted[*] -> Add\n").bind(
        {"read": td.open_dataset, "use_counted": user.use_counted, "add": sum}
    )
    done = td.run_flow(
        flow,
        scheduler=client,
        chunk_size="10 rows",
        progress=False,
        source=str(csv),
        counted=counted,
    )
    assert done.value == 40 * nbytes
    pids = seen.read_text().split()
    assert len(pids) == len(set(pids)) <= 2
    seen.unlink()
    inputs = {"counted": counted}
    done = run(csv, user.use_counted, client, chunk_size="10 rows", reduce=sum, inputs=inputs)
    assert done.value == 40 * nbytes
    pids = seen.read_text().split()
    assert len(pids) == len(set(pids)) <= 2
    wait_until_clean(client)


def test_a_script_sends_what_it_defines_itself(client, csv, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            import taskinity_data as td

            class Total:
                def __init__(self, n):
                    self.n = n

            FACTOR = 2

            def total(chunk):
                return Total(FACTOR * int(chunk.n.sum()))

            done = td.process(sys.argv[1], total, scheduler=sys.argv[2], chunk_size="100 rows")
            assert all(type(one) is Total for one in done.value)
            print(sum(one.n for one in done.value))
            """
        )
    )
    done = subprocess.run(
        [sys.executable, str(script), str(csv), client.scheduler.address],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )
    assert done.stdout.split() == [str(2 * sum(range(400)))], done.stderr
    wait_until_clean(client)


def test_the_answer_is_that_of_one_thread_to_the_last_bit(client, csv):
    reduce = td.group_by("key", mean=("x", "mean"), var=("x", "var"), total=("x", "sum"))
    here = run(csv, None, "synchronous", reduce=reduce, chunk_size="7 rows").value
    there = run(csv, None, client, reduce=reduce, chunk_size="7 rows").value
    pd.testing.assert_frame_equal(here, there, check_exact=True)
    wait_until_clean(client)


def test_the_static_graph_runs_on_it(client, csv, user):
    flow = td.parse_flow("flow F:\n    Read -> Helper[*] -> Add\n").bind(
        {
            "read": lambda source: td.open_dataset(source, chunk_size="100 rows"),
            "helper": user.helper,
            "add": sum,
        }
    )
    graph = flow.to_delayed(source=str(csv))
    assert client.compute(graph).result(timeout=WAIT_S) == sum(range(400))
    wait_until_clean(client)


@pytest.mark.parametrize("kind", ["a value that breaks here", "a value that cannot leave"])
def test_a_result_that_does_not_arrive_is_its_chunks_failure(kind, client, csv):
    class Broken:
        def __reduce__(self):
            return int, ("x",)

    def give(chunk):
        if chunk.n.min() != 100:
            return 1
        return Broken() if kind == "a value that breaks here" else threading.Lock()

    done = run(csv, give, client, on_error="skip")
    assert done.value == [1, 1, 1]
    assert done.failures.error.str.contains("Return a frame").all()
    wait_until_clean(client)


# -- what is refused, and what is left -------------------------------------------------------------


def test_a_worker_without_the_files_is_named_before_anything_runs(client, csv):
    def hide(away):
        import pathlib

        if away:
            pathlib.Path.kept = pathlib.Path.exists
            pathlib.Path.exists = lambda path: False
        else:
            pathlib.Path.exists = pathlib.Path.kept

    worker = next(iter(client.nthreads()))
    client.run(hide, True, workers=[worker])
    try:
        with pytest.raises(errors.SchedulerError) as caught:
            run(csv, len, client)
    finally:
        client.run(hide, False, workers=[worker])
    assert worker in str(caught.value)
    assert str(csv) in str(caught.value)


def test_one_worker_at_a_time_where_asked(client, csv, tmp_path):
    def alone(chunk):
        mark = tmp_path / "mark"
        mark.mkdir()  # fails where another is there
        threading.Event().wait(0.02)
        mark.rmdir()
        return 1

    assert run(csv, alone, client, workers=1, chunk_size="50 rows").value == [1] * 8


def test_a_failing_chunk_fails_the_run_and_leaves_nothing(scheduler, client, csv):
    with pytest.raises(errors.FlowFailed, match="ZeroDivisionError") as caught:
        run(csv, lambda chunk: 1 / (chunk.n.min() - 100.0).item(), scheduler)
    assert caught.value.run.status is RunStatus.FAILED
    wait_until_clean(client)


def test_the_current_client_is_taken_and_an_asynchronous_one_refused(client, csv):
    with Client(client.scheduler.address):
        done = run(csv, len, None)
    assert done.scheduler_reason == "the current Dask client"

    class Asynchronous:
        asynchronous = True
        submit = scheduler_info = None

    with pytest.raises(errors.SchedulerError, match="asynchronous"):
        run(csv, len, Asynchronous())
    closed = Client(client.scheduler.address, set_as_default=False)
    closed.close()
    with pytest.raises(errors.SchedulerError, match="closed"):
        run(csv, len, closed)


def test_ctrl_c_leaves_the_cluster_clean(client, csv, tmp_path):
    script, mark = tmp_path / "script.py", tmp_path / "mark"
    script.write_text(
        textwrap.dedent(
            """
            import pathlib, sys, threading
            import taskinity_data as td

            def slow(chunk):
                pathlib.Path(sys_argv[3]).touch()
                threading.Event().wait(0.5)

            sys_argv = sys.argv
            td.process(sys.argv[1], slow, scheduler=sys.argv[2], chunk_size="10 rows")
            """
        )
    )
    with subprocess.Popen(
        [sys.executable, str(script), str(csv), client.scheduler.address, str(mark)],
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        wait_until(mark.exists)
        child.send_signal(signal.SIGINT)
        told = child.communicate(timeout=WAIT_S)[1]
    assert child.returncode != 0
    assert "KeyboardInterrupt" in told
    wait_until_clean(client)


def test_a_run_inside_a_task_gives_up_its_slot(client, csv):
    def inside(path, scheduler):
        from distributed import get_client

        import taskinity_data as td

        there = get_client() if scheduler == "client" else scheduler
        return td.process(path, len, scheduler=there, chunk_size="100 rows", progress=False).value

    kinds = ("client", client.scheduler.address, None, "threads")
    futures = [client.submit(inside, str(csv), kind, pure=False) for kind in kinds]
    assert [future.result(timeout=WAIT_S) for future in futures] == [[100] * 4] * 4


def test_two_runs_at_once_in_two_threads(client, csv, user):
    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(run, csv, user.helper, client, reduce=sum, chunk_size="20 rows")
            for _ in range(4)
        ]
        assert {one.result(timeout=WAIT_S).value for one in runs} == {sum(range(400))}
    wait_until_clean(client)


# -- workers that die ------------------------------------------------------------------------------


def die(chunk):
    if chunk.n.min() == 100:
        print("a lot\n" * 1000)
        os.kill(os.getpid(), signal.SIGKILL)
    return len(chunk)


@pytest.mark.parametrize("where", ["processes", "cluster"])
def test_a_chunk_that_kills_its_worker_fails_alone(where, client, csv):
    scheduler = client if where == "cluster" else "processes"
    done = run(csv, die, scheduler, workers=2, on_error="skip")
    assert done.value == [100] * 3
    failed = done.failures
    assert "worker process died, signal 9 (memory: " in failed.error.item()
    assert failed.key.item() == done.plan.chunks[1].key
    if where == "cluster":
        # Four workers died under it before Dask gave it up, and then its child process.
        tries = done.attempts[done.attempts["key"] == failed.key.item()]
        assert list(tries["attempt"]) == [1, 2, 3, 4, 5]
        wait_until_clean(client)
    else:
        # Three children died under it: whoever kills it from outside does not look like that.
        (notice,) = done.notices
        assert "ran again: a worker that ran or held this died or left, first in " in notice
        assert notice.endswith("(3 times)")


def test_a_worker_that_is_killed_once_costs_nothing(client, csv, tmp_path):
    def die_once(chunk):
        mark = tmp_path / "mark"
        if chunk.n.min() == 100 and not mark.exists():
            mark.touch()
            os._exit(1)
        return len(chunk)

    assert run(csv, die_once, client).value == [100] * 4


def test_a_cluster_without_workers_left_ends_the_run(csv, tmp_path, monkeypatch):
    with start_cluster(tmp_path, workers=1, nanny=False) as client:
        monkeypatch.setattr(cluster_workers, "WAIT_FOR_WORKERS_S", 0.5)
        monkeypatch.setattr(cluster_workers, "REFRESH_S", 0.1)
        with pytest.raises(errors.FlowFailed, match="all workers died"):
            run(csv, die, client)


def test_a_timeout_on_a_given_cluster_ends_the_task_and_no_worker(client, csv):
    def hang(chunk):
        while chunk.n.min() == 100:
            pass
        return len(chunk)

    pids = client.run(os.getpid)
    done = run(csv, hang, client, timeout="1s", on_error="skip")
    assert done.value == [100] * 3
    assert "longer than its timeout of 1 s" in done.failures.error.item()
    with pytest.raises(errors.FlowFailed, match="run_timeout"):
        run(csv, hang, client, run_timeout="4s")
    assert client.run(os.getpid) == pids
    wait_until_clean(client)


def test_what_the_scheduler_has_lost_is_found_and_runs_again(client, csv, tmp_path, monkeypatch):
    monkeypatch.setattr(window, "WATCH_S", 1.0)

    def forget(dask_scheduler):
        for key, task in list(dask_scheduler.tasks.items()):
            if not key.startswith("ProcessChunk"):
                continue
            # Workers and queue must not keep room for what is gone.
            if task.processing_on is not None:
                dask_scheduler._exit_processing_common(task)
            dask_scheduler.queued.discard(task)
            del dask_scheduler.tasks[key]

    def wait_once(chunk):
        if chunk.n.min() == 0:
            with (tmp_path / "ran").open("a") as file:
                file.write("x")
            if not (tmp_path / "mark").exists():
                (tmp_path / "mark").touch()
                while not (tmp_path / "go on").exists():
                    threading.Event().wait(STEP_S)
        return len(chunk)

    def lose():
        wait_until((tmp_path / "mark").exists)
        client.run_on_scheduler(forget)
        # What runs on has to end: what runs again may be given to the same worker.
        (tmp_path / "go on").touch()

    losing = threading.Thread(target=lose)
    losing.start()
    try:
        done = run(csv, wait_once, client)
    finally:
        (tmp_path / "go on").touch()
        losing.join()
    assert done.value == [100] * 4
    assert set(done.outcomes.attempts) == {1}
    assert (tmp_path / "ran").read_text() == "xx"


def test_what_the_scheduler_gets_behind_a_restart_does_not_stay_there(client, csv, tmp_path):
    def wait_for_mark(chunk):
        (tmp_path / "ran").touch()
        while not (tmp_path / "go on").exists():
            threading.Event().wait(STEP_S)
        return len(chunk)

    def restart():
        wait_until((tmp_path / "ran").exists)
        # The client alone, as if the scheduler had done so before these tasks came.
        client.loop.add_callback(client._handle_restart)
        (tmp_path / "go on").touch()

    restarting = threading.Thread(target=restart)
    restarting.start()
    try:
        assert run(csv, wait_for_mark, client).value == [100] * 4
    finally:
        (tmp_path / "go on").touch()
        restarting.join()
    wait_until_clean(client)


def test_a_scheduler_that_dies_ends_the_run(csv, tmp_path):
    def kill_scheduler(chunk, pid):
        if chunk.n.min() == 100:
            os.kill(pid, signal.SIGKILL)
            threading.Event().wait(STUCK_S)
        return len(chunk)

    with start_cluster(tmp_path, workers=2) as client:
        pid = client.run_on_scheduler(os.getpid)
        flow = td.parse_flow("flow F:\n  A -> B[*] -> C\n").bind(
            {"A": lambda: str(csv), "B": kill_scheduler, "C": sum}
        )
        with pytest.raises(errors.FlowFailed, match="scheduler is gone"):
            td.run_flow(flow, scheduler=client, chunk_size="100 rows", progress=False, pid=pid)


def test_a_pool_whose_process_died_fails_the_run(csv):
    import multiprocessing

    with (
        ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool,
        pytest.raises(errors.FlowFailed, match=r"terminated abruptly|accepts no more work"),
    ):
        run(csv, lambda chunk: os._exit(1), pool)


def test_an_exit_or_interrupt_in_a_function_is_its_chunks_failure(client, csv):
    for error in (SystemExit(3), KeyboardInterrupt()):

        def leave(chunk, error=error):
            raise error

        with pytest.raises(errors.FlowFailed, match=type(error).__name__):
            run(csv, leave, client)


# -- this process ----------------------------------------------------------------------------------


def test_what_cannot_move_to_processes_stays_in_threads_and_says_why(tmp_path, monkeypatch):
    see_shared_lock(monkeypatch)
    for number in range(40):
        pd.DataFrame({"n": range(50)}).to_csv(tmp_path / f"{number:02}.csv", index=False)
    guard, first = threading.Lock(), tmp_path / "first"

    def slow(chunk):
        with guard:
            if not first.exists():
                threading.Event().wait(0.4)
                first.touch()
        return 1

    done = td.process(str(tmp_path / "*.csv"), slow, workers=2, chunk_size="50 rows")
    assert done.value == [1] * 40
    assert done.scheduler == "threads"
    assert "can't be sent to another process" in done.scheduler_reason


def test_a_daemon_process_starts_processes_of_its_own(csv, client):
    # A worker under a nanny is a daemon, which may have no children of multiprocessing.
    def run_there(path):
        import taskinity_data as td

        run = td.process(path, len, scheduler="processes", workers=1, chunk_size="100 rows")
        return run.value

    assert client.submit(run_there, str(csv)).result(timeout=WAIT_S) == [100] * 4


def test_a_forked_process_does_not_take_its_parents_client(client, csv):
    with Client(client.scheduler.address):
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on
            pid = os.fork()
        if pid == 0:
            told = b"?"
            with contextlib.suppress(BaseException):
                from taskinity_data.execution.schedulers.base import current_client

                told = b"none" if current_client() is None else b"taken"
            os.write(writer, told)
            os._exit(0)
        assert os.read(reader, 10) == b"none"
        os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)


def test_partials_are_not_kept(monkeypatch):
    monkeypatch.setattr(sizing, "BATCH_LIMIT", 32)  # of which four are on their way
    alive, most = weakref.WeakSet(), [0]

    class Partial:
        def __init__(self, count):
            self.count = count
            alive.add(self)
            most[0] = max(most[0], len(alive))

    reducer = td.reducer(
        lambda parts: Partial(sum(one.count for one in parts)),
        partial=lambda chunk: Partial(len(chunk)),
        finish=lambda one: one.count,
    )
    frame = pd.DataFrame({"n": range(2000)})
    done = td.process(
        frame,
        lambda chunk: chunk,
        reduce=reducer,
        scheduler="threads",
        workers=2,
        chunk_size="1 rows",
        progress=False,
    )
    assert done.value == 2000
    assert most[0] < 300
