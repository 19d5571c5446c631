"""Slices grow to what a run's chunks would be, by what they cost."""

from types import SimpleNamespace

from taskinity_data.chunks.sizing import Learner, Size
from taskinity_data.forecast.trial_sizes import FIRST_NBYTES, MAX_S, PILOT_NBYTES, TrialSizes

MB = 1_000_000


def sizes_of(cost, count, total=2000 * MB, first=31 * MB):
    """The sizes of `count` slices, where one of n bytes takes `cost(n)` seconds."""
    sizes = TrialSizes(Learner(Size(first, "first")), total, 2)
    found = []
    for _ in range(count):
        nbytes = sizes.next_nbytes()
        found.append(nbytes)
        sizes.observe(SimpleNamespace(nbytes=nbytes), SimpleNamespace(duration_s=cost(nbytes)))
    return found, sizes


def test_slices_grow_to_usual_chunks_and_are_then_cut_to_parts():
    found, sizes = sizes_of(lambda n: 0.003 + n / (100 * MB), 9)
    assert found[:2] == [FIRST_NBYTES, PILOT_NBYTES]
    settled = max(found)
    assert 13 * MB < settled < 31 * MB  # 0.15 s and more
    assert found[-3:] in (
        [settled, settled // 4, settled // 2],
        [settled // 4, settled // 2, settled],
        [settled // 2, settled, settled // 4],
    )
    assert sizes.counts(settled // 4)
    assert not sizes.counts(PILOT_NBYTES)


def test_a_cost_that_stands_for_itself_is_met_at_the_sizes_that_it_leads_to():
    found, _ = sizes_of(lambda n: 0.05 + n / (200 * MB), 9)
    assert max(found) > 31 * MB
    assert max(found) / (200 * MB) <= MAX_S * 1.01


def test_a_slow_function_is_not_tried_on_more_than_a_trial_can_hold():
    found, _ = sizes_of(lambda n: n * 20 / MB, 5)  # a millisecond for each 50 bytes
    assert max(found) == FIRST_NBYTES


def test_where_all_take_long_whatever_they_hold_slices_grow_all_the_same():
    found, _ = sizes_of(lambda n: 1.0 + n / (100 * MB), 7)
    assert found[:2] == [FIRST_NBYTES, FIRST_NBYTES // 8]
    assert max(found) > 5 * MB


def test_one_that_was_held_up_is_not_what_slices_end_at():
    held_up = iter([0.0, 0.0, 0.0, 0.3])
    found, _ = sizes_of(lambda n: 0.003 + n / (100 * MB) + next(held_up, 0.0), 12)
    assert max(found) > 13 * MB


def test_slices_that_come_out_larger_than_asked_for_settle_too():
    sizes = TrialSizes(Learner(Size(2 * MB, "first")), 27 * MB, 2)
    for _ in range(8):
        nbytes = int(sizes.next_nbytes() * 1.1)  # whole row groups
        seconds = 0.003 + nbytes / (25 * MB)
        sizes.observe(SimpleNamespace(nbytes=nbytes), SimpleNamespace(duration_s=seconds))
    assert sizes.is_settled


def test_no_slice_is_larger_than_the_data():
    found, _ = sizes_of(lambda n: 0.001 + n / (100 * MB), 4, total=1000)
    assert max(found) <= 1000


def test_chunks_of_a_given_size_are_tried_whole():
    sizes = TrialSizes(Learner(Size(MB, "given")), 10 * MB, 2, is_whole=True)
    assert sizes.next_nbytes() is None
    assert sizes.counts(1)
