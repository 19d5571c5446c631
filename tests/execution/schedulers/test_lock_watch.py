"""What the CPU time of threads says of them: recorded times, none measured here."""

from __future__ import annotations

import threading
import time

import pytest

from taskinity_data.execution.schedulers.base import ThreadStrategy
from taskinity_data.execution.worker.job import Item, Job, Step
from taskinity_data.execution.worker.thread_time import LockWatch, ThreadTime


def watch_twice(alone, together):
    """The watch after both, the second looked at twice, as a verdict of a lock needs."""
    return watch_threads([alone, together, together])


def watch_threads(looks):
    """Look at each (seconds that passed, CPU seconds, seconds in a queue, chunks ended)."""
    watch = LockWatch()
    now_s, cpu_s, queued_s, ended = 100.0, 5.0, 1.0, 0
    assert watch.is_due(now_s, 1)
    watch.look(now_s, ThreadTime(cpu_s, queued_s), 0.0, has_ended=False)
    for passed_s, more_cpu_s, more_queued_s, more in looks:
        now_s, cpu_s = now_s + passed_s, cpu_s + more_cpu_s
        queued_s, ended = queued_s + more_queued_s, ended + more
        used = ThreadTime(cpu_s, queued_s)
        if watch.is_due(now_s, 1 if watch.runs_alone else 2):
            watch.look(now_s, used, now_s - 100.0, has_ended=bool(ended))
    return watch


ALONE = (0.06, 0.06, 0.0, 0)


def test_two_threads_that_get_one_core_share_a_lock():
    assert watch_twice(ALONE, (0.3, 0.31, 0.0, 0)).is_shared


def test_threads_that_have_just_begun_are_looked_at_again():
    loads, computes = (0.3, 0.31, 0.0, 0), (0.3, 0.58, 0.0, 0)
    assert watch_threads([ALONE, loads]).is_shared is None
    assert watch_threads([ALONE, loads, computes]).is_shared is False
    assert watch_threads([ALONE, loads, computes, loads]).is_shared is None


def test_two_threads_that_get_two_cores_do_not():
    assert watch_threads([ALONE, (0.3, 0.58, 0.0, 0)]).is_shared is False


def test_a_lock_is_seen_where_other_programs_take_most_of_the_cores():
    assert watch_twice((0.25, 0.06, 0.18, 0), (0.3, 0.09, 0.4, 0)).is_shared


def test_a_thread_that_wants_no_core_waits_for_the_lock_whatever_other_programs_take_meanwhile():
    # Twice the share of the cores that the first chunk had alone.
    assert watch_twice((0.25, 0.05, 0.19, 0), (0.3, 0.13, 0.18, 0)).is_shared


def test_threads_that_get_their_share_of_busy_cores_are_not_taken_for_ones_with_a_lock():
    assert watch_threads([(0.25, 0.06, 0.18, 0), (0.3, 0.15, 0.4, 0)]).is_shared is False


def test_threads_that_want_a_core_all_the_time_share_no_lock_however_little_they_get():
    # Functions in pandas beside two and four other programs.
    busy = [((0.062, 0.055, 0.002, 0), (0.363, 0.35, 0.36, 0))]
    busy += [((0.25, 0.065, 0.173, 0), (0.392, 0.15, 0.56, 0))]
    for alone, together in busy:
        assert watch_twice(alone, together).is_shared is False
    # A function in Python beside the same.
    assert watch_twice((0.112, 0.051, 0.053, 0), (0.27, 0.16, 0.2, 0)).is_shared


def test_threads_that_wait_for_a_service_have_no_lock_to_share():
    watch = watch_threads([(0.03, 0.001, 0.0, 0)])
    assert not watch.runs_alone
    assert watch_threads([(0.03, 0.001, 0.0, 0), (0.3, 0.02, 0.0, 0)]).is_shared is False


@pytest.mark.parametrize(
    ("look", "runs_alone"),
    [
        ((0.03, 0.03, 0.0, 0), True),
        ((0.03, 0.03, 0.0, 1), False),
        ((0.06, 0.06, 0.0, 0), False),
        ((0.2, 0.03, 0.17, 0), True),
        ((0.26, 0.03, 0.23, 0), False),
    ],
)
def test_the_first_chunk_runs_alone_until_it_has_computed_for_a_moment(look, runs_alone):
    assert watch_threads([look]).runs_alone is runs_alone


def test_nothing_is_said_of_threads_that_are_kept_waiting():
    watch = LockWatch()
    for now_s, cpu_s in ((0.0, 0.0), (0.06, 0.06), (0.4, 0.3), (0.8, 0.6)):
        assert watch.is_due(now_s, 2)
        watch.look(now_s, ThreadTime(cpu_s), 0.0, has_ended=False)
    assert watch.is_shared is None


def test_nothing_is_said_of_one_thread():
    watch = LockWatch()
    for now_s, cpu_s in ((0.0, 0.0), (0.06, 0.06), (0.4, 0.4), (0.8, 0.8)):
        assert watch.is_due(now_s, 1)
        watch.look(now_s, ThreadTime(cpu_s), now_s, has_ended=False)
    assert watch.is_shared is None


def test_nothing_is_looked_at_more_often_than_it_is_judged():
    watch = watch_threads([ALONE])
    assert not watch.is_due(100.1, 2)
    assert watch.is_due(100.06 + 0.26, 2)


@pytest.mark.parametrize(("cpu_s", "is_shared"), [(0.3, True), (0.2, False), (0.55, False)])
def test_where_the_first_chunk_was_being_fetched_one_busy_core_is_a_lock(cpu_s, is_shared):
    fetched = (0.03, 0.001, 0.0, 0)
    assert watch_twice(fetched, (0.3, cpu_s, 0.0, 0)).is_shared is is_shared


@pytest.mark.parametrize(("queued_s", "is_shared"), [(0.32, True), (0.5, False), (0.1, False)])
def test_a_lock_is_seen_where_the_first_chunk_got_no_core_and_others_have_them(queued_s, is_shared):
    no_core = (0.03, 0.001, 0.0, 0)
    assert watch_twice(no_core, (0.3, 0.06, queued_s, 0)).is_shared is is_shared


def use_cpu(seconds):
    """Compute until the calling thread has had so much CPU time."""
    until_s = time.thread_time() + seconds
    while time.thread_time() < until_s:
        pass


def test_a_pool_of_threads_knows_what_they_have_computed():
    strategy = ThreadStrategy(2)
    at_once = threading.Barrier(2)

    def compute(number):
        at_once.wait(60)
        use_cpu(0.1)

    job = Job("A", ((Step("A", compute),),))
    loaded = strategy.load(job)
    pending = [strategy.submit(loaded, [Item(f"k{n}", n, n)], f"k{n}") for n in range(2)]
    assert [len(found) for found in strategy.collect(pending)] == [1, 1]
    assert strategy.used.cpu_s > 0.2
    assert strategy.used.queued_s >= 0.0
    strategy.close()


def test_what_a_library_computes_in_threads_for_a_thread_of_the_pool_counts():
    strategy = ThreadStrategy(1)

    def compute(_number):
        thread = threading.Thread(target=use_cpu, args=(0.1,))
        thread.start()
        thread.join()

    loaded = strategy.load(Job("A", ((Step("A", compute),),)))
    pending = [strategy.submit(loaded, [Item("k", 0, 0)], "k")]
    assert [len(found) for found in strategy.collect(pending)] == [1]
    assert strategy.used.cpu_s > 0.1
    strategy.close()


def test_what_the_driver_computes_does_not_count():
    strategy = ThreadStrategy(1)
    before_s = strategy.used.cpu_s
    at_s = time.process_time() - time.thread_time()
    use_cpu(0.1)
    others_s = time.process_time() - time.thread_time() - at_s
    assert strategy.used.cpu_s - before_s < 0.05 + others_s
    strategy.close()
