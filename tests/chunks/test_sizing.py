"""How large the next chunk is: bounds that always hold, and how far from the best size it ends."""

import math
import pickle
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from simulate_sizing import MB, WORKERS, Workload, compare, fixed, learned, workloads

from taskinity_data.chunks.size import fit_line
from taskinity_data.chunks.sizing import (
    BATCH_LIMIT,
    FLOOR_SHARES,
    PROCESS_TARGET_S,
    TARGET_S,
    Learner,
    Observation,
    Size,
    first_size,
)
from taskinity_data.wording import format_nbytes

GIB = 1 << 30

sizes = st.integers(0, 1 << 50)
memories = st.none() | st.integers(1, 1 << 44)
observations = st.builds(
    Observation,
    nbytes=sizes,
    duration_s=st.floats(0, 1e7),
    memory_nbytes=st.none() | st.integers(0, 1 << 46),
)


@st.composite
def learners(draw):
    first = Size(draw(st.integers(1, 1 << 34)), "drawn")
    total = draw(st.none() | sizes)
    learner = Learner(first, draw(memories), draw(st.floats(0, 1e4)), total_nbytes=total)
    for observation in draw(st.lists(observations, max_size=80)):
        learner = learner.observe(observation)
    return learner


def teach(learner, costs):
    for cost in costs:
        learner = learner.observe(Observation(*cost))
    return learner


# -- the first size ------------------------------------------------------------------------------


@given(
    sizes,
    st.integers(1, 256),
    memories,
    st.floats(0, 1e6),
    st.none() | st.floats(0, 1e12),
)
def test_a_first_size_is_a_byte_or_more_and_within_an_eighth_of_a_workers_memory(
    total, workers, memory, expansion, rate
):
    size = first_size(total, workers, memory, expansion, rate).target_nbytes
    assert size >= 1
    if total != 0 and memory is not None and expansion > 0:
        assert size == 1 or size * expansion <= memory / 8 * (1 + 1e-9)


@pytest.mark.parametrize("workers", WORKERS)
def test_large_data_is_at_least_eight_chunks_a_worker_at_the_first_size(workers):
    size = first_size(100 * GIB, workers, 4 * GIB, 4.0, 100e6).target_nbytes
    assert 100 * GIB / size >= 8 * workers


@pytest.mark.parametrize("workers", WORKERS)
def test_small_data_is_at_most_one_chunk_a_worker_at_the_first_size(workers):
    total = 64 << 10
    assert total / first_size(total, workers, 4 * GIB, 4.0).target_nbytes <= workers


@pytest.mark.parametrize("workers", WORKERS)
def test_few_bytes_are_shared_among_sixteen_workers_at_most(workers):
    first = first_size(20_000, workers, 4 * GIB, 4.0)
    assert 20_000 // first.target_nbytes == min(workers, 16)
    assert Learner(first).next_size(20_000, workers, 0) == first
    assert first_size(1_000, workers, 4 * GIB, 4.0).target_nbytes >= 1_000


def test_the_first_size_grows_with_memory_and_with_the_data():
    by_memory = [first_size(100 * GIB, 2, m << 20, 4.0).target_nbytes for m in (1, 16, 256)]
    by_total = [first_size(t << 20, 2, GIB, 4.0).target_nbytes for t in (1, 16, 256)]
    assert by_memory == sorted(set(by_memory))
    assert by_total == sorted(set(by_total))


def test_a_first_size_says_what_bounds_it():
    assert (
        "within 0.125 of the 67.1 MB that a worker has" in first_size(GIB, 2, 64 << 20, 10.0).reason
    )
    assert "8 chunks a worker" in first_size(64 << 20, 2, GIB, 3.0).reason
    few = first_size(4_800_000, 2, GIB, 3.0).reason
    assert few == "500.0 kB: first size, smaller chunks would cost more than they save on 4.8 MB"
    assert "0.4 s to read at 100 MB/s" in first_size(100 * GIB, 2, GIB, 3.0, 100e6).reason
    assert "0.4 s to read" in first_size(None, 2, None, 3.0).reason


# -- bounds, whatever was observed ---------------------------------------------------------------


@given(learners(), st.none() | sizes, st.integers(0, 512), st.integers(0, 2000))
@example(Learner(Size(1, "least")), 0, 0, 0)
def test_a_size_is_a_byte_or_more_and_never_more_than_remains(learner, left, workers, in_flight):
    size = learner.next_size(left, workers, in_flight)
    assert size.target_nbytes >= 1
    assert size.reason
    if left is not None:
        assert size.target_nbytes <= max(1, left)


@given(learners(), st.none() | sizes, st.integers(1, 512), st.integers(0, 2000))
def test_a_size_is_at_most_twice_what_has_been_tried(learner, left, workers, in_flight):
    tried = [learner.first.target_nbytes] if learner.count < 64 else []
    tried += [seen.nbytes for seen in learner.recent]
    if learner.recent:
        assert learner.next_size(left, workers, in_flight).target_nbytes <= 2 * max(tried)


@given(learners(), sizes, st.integers(1, 512), st.integers(0, 2000))
def test_the_rest_after_a_size_is_nothing_or_at_least_half_of_it(learner, left, workers, in_flight):
    size = learner.next_size(left, workers, in_flight).target_nbytes
    assert left - size <= 0 or left - size >= size // 2


@given(learners(), sizes, sizes | st.none(), st.integers(0, 512))
def test_a_batch_has_a_chunk_at_least_and_a_limit(learner, nbytes, left, workers):
    assert 1 <= learner.batch_size(nbytes, left, workers) <= BATCH_LIMIT


@given(st.lists(observations, max_size=200))
def test_only_the_last_sixty_four_chunks_with_bytes_are_remembered(seen):
    learner = Learner(Size(1 << 20, "any"))
    for observation in seen:
        learner = learner.observe(observation)
    with_bytes = [one.nbytes for one in seen if one.nbytes]
    assert [one.nbytes for one in learner.recent] == with_bytes[-64:]
    assert learner.count == len(with_bytes)


@given(learners())
def test_a_learner_comes_back_from_a_pickle_with_the_same_answers(learner):
    again = pickle.loads(pickle.dumps(learner))
    assert again == learner
    assert again.next_size(GIB, 4, 4) == learner.next_size(GIB, 4, 4)


@given(
    st.integers(1 << 16, 1 << 36),
    st.floats(1, 50),
    st.lists(st.integers(1, 1 << 34), min_size=1, max_size=80),
)
def test_memory_stays_within_half_of_a_workers_where_it_is_so_much_a_byte(memory, a_byte, seen):
    costs = [(n, 0.001, math.ceil(n * a_byte)) for n in seen]
    learner = teach(Learner(Size(1, "small"), memory, a_byte), costs)
    size = learner.next_size(None, 4, 4).target_nbytes
    assert size == 1 or size * a_byte <= memory / 2 * 1.01


@given(learners(), st.integers(1, 64))
def test_more_memory_never_makes_a_smaller_chunk(learner, workers):
    def with_memory(nbytes):
        richer = replace(learner, worker_memory_nbytes=nbytes)
        return richer.next_size(None, workers, 0).target_nbytes

    by_memory = [with_memory(1 << bits) for bits in (10, 20, 30, 40)]
    assert by_memory == sorted(by_memory)


@given(learners(), st.integers(1, 64), st.lists(st.integers(1, 1 << 40), min_size=2, max_size=5))
def test_less_that_remains_never_makes_a_larger_chunk_but_for_the_last(learner, workers, lefts):
    found = []
    for left in sorted(lefts):
        size = learner.next_size(left, workers, 0).target_nbytes
        if size < left and learner.count >= 8:
            found.append(size)
    assert found == sorted(found)


# -- the line ------------------------------------------------------------------------------------


@given(
    st.floats(1e-4, 100),
    st.floats(1e-12, 1e-3),
    st.lists(st.integers(1 << 10, 1 << 34), min_size=6, max_size=60, unique=True),
)
def test_a_line_without_noise_is_found(fixed_s, per_byte, xs):
    line = fit_line([(x, fixed_s + per_byte * x) for x in xs])
    for x in (min(xs), max(xs)):
        assert line.predict(x) == pytest.approx(fixed_s + per_byte * x, rel=0.3)
    assert fixed_s * 0.7 <= line.fixed <= fixed_s * 1.3 or fixed_s < 0.01 * per_byte * max(xs)


@given(st.lists(st.tuples(st.integers(1, 1 << 50), st.floats(1e-9, 1e9)), min_size=1, max_size=64))
def test_a_line_is_finite_and_not_negative(points):
    line = fit_line(points)
    assert 0 <= line.fixed < math.inf
    assert 0 <= line.per_byte < math.inf
    assert 0 <= line.scatter < math.inf
    assert line.predict(max(x for x, _ in points)) > 0


def test_one_size_alone_tells_no_fixed_cost():
    assert fit_line([(1000, 5.0)] * 20).fixed == 0.0


def test_small_chunks_of_a_dear_region_are_no_fixed_cost():
    probes = [(4 * MB, 0.04)] * 3
    cheap = [(8 * MB - i * 50_000, 0.08 - i * 0.0005) for i in range(30)]
    dear = [(4 * MB - i * 50_000, 0.16 - i * 0.002) for i in range(30)]
    assert fit_line(probes + cheap + dear).fixed < 0.01


def test_recent_chunks_count_more():
    drifted = fit_line([(MB, 1.0)] * 40 + [(MB, 3.0)] * 24)
    assert drifted.predict(MB) > (40 * 1.0 + 24 * 3.0) / 64


@pytest.mark.parametrize("in_threads", [True, False])
def test_groups_of_rows_take_little_memory_in_threads_unless_a_chunk_costs_much(in_threads):
    group, expansion = 3 * MB, 4.0
    first = first_size(3000 * MB, 2, 8 * GIB, expansion, 1000 * MB, group)
    assert first.target_nbytes * expansion <= 32 << 20
    target_s = TARGET_S if in_threads else PROCESS_TARGET_S
    learner = Learner(
        first, 8 * GIB, expansion, total_nbytes=3000 * MB, group_nbytes=group, target_s=target_s
    )
    cheap = teach(learner, [(6 * MB, 0.06, None), (3 * MB, 0.03, None)] * 8)
    size = cheap.next_size(None, 2, 2).target_nbytes
    assert (size * expansion <= 32 << 20) is in_threads
    dear = teach(learner, [(6 * MB, 0.56, None), (3 * MB, 0.53, None)] * 8)
    assert dear.next_size(None, 2, 2).target_nbytes * expansion > 32 << 20


# -- what is learned -----------------------------------------------------------------------------


def settle(workload, workers=4):
    """The usual sizes in the middle third of a run, when what can be learned is learned."""
    found = learned(workload, workers).sizes
    middle = found[len(found) // 3 : 2 * len(found) // 3]
    return [size for size in middle if size > 0.6 * max(middle)]


@pytest.mark.parametrize("rate", [2 * MB, 60 * MB, 800 * MB])
def test_chunks_take_a_seventh_of_a_second_to_two(rate):
    for size in settle(Workload("long", 200 * rate, rate, memory_nbytes=64_000 * MB)):
        assert 0.14 <= size / rate <= 2


@pytest.mark.parametrize("fixed_s", [0.003, 0.05, 0.5])
def test_a_chunks_fixed_cost_is_at_most_a_twentieth_of_it(fixed_s):
    workload = Workload("long", 60_000 * MB, 60 * MB, fixed_s=fixed_s, memory_nbytes=64_000 * MB)
    for size in settle(workload):
        total_s = 0.0016 + fixed_s + size / 60e6
        assert (0.0016 + fixed_s) / total_s <= 0.0505


def test_a_chunk_shrinks_at_once_where_memory_demands():
    learner = Learner(Size(64 << 20, "first"), 2 * GIB, 3.0)
    learner = teach(learner, [(64 << 20, 0.1, 200 << 20)] * 20)
    before = learner.next_size(None, 4, 4).target_nbytes
    after = learner.observe(Observation(64 << 20, 0.1, 1900 << 20)).next_size(None, 4, 4)
    assert after.target_nbytes <= before / 1.8
    assert "within 0.5 of the 2.1 GB that a worker has" in after.reason


def test_a_chunk_grows_at_most_twofold_from_one_that_ended():
    learner = teach(Learner(Size(MB, "first")), [(MB, 0.001)] * 10)
    assert learner.next_size(None, 4, 4).target_nbytes == 2 * MB


def test_small_files_do_not_hold_sizes_back():
    learner = teach(Learner(Size(8 * MB, "first")), [(1000, 0.001)] * 10)
    assert learner.next_size(None, 4, 5).target_nbytes == pytest.approx(TARGET_S / 1e-6, abs=1)


def test_every_second_of_the_first_chunks_has_half_the_size():
    learner = Learner(Size(8 * MB, "first"))
    given_out = [learner.next_size(GIB, 4, in_flight).target_nbytes for in_flight in range(4)]
    assert given_out == [8 * MB, 4 * MB, 8 * MB, 4 * MB]


def test_before_anything_ended_the_first_size_stands_with_its_reason():
    first = first_size(100 * GIB, 4, GIB, 3.0)
    assert Learner(first, GIB, 3.0).next_size(100 * GIB, 4, 0) == first


def test_a_reason_says_the_time_the_rate_and_the_fit():
    costs = [(n, 0.003 + n * 31e-9) for n in (8 * MB, 16 * MB) * 12]
    size = teach(Learner(Size(8 * MB, "first")), costs).next_size(None, 4, 4)
    fit = "at 32.3 MB/s; fitted 3 ms + 31 ns a byte over 24 chunks"
    assert f"{TARGET_S:.2g} s a chunk {fit}" in size.reason
    assert size.target_nbytes == pytest.approx(TARGET_S / 31e-9, abs=1)
    assert size.reason.startswith(f"{format_nbytes(size.target_nbytes)}: ")


def test_the_last_chunks_taper_until_workers_end_together():
    run = learned(Workload("long", 4000 * MB, 60 * MB), 4)
    assert run.sizes[-1] < max(run.sizes) / 5
    assert run.makespan_s <= run.busy_s / 4 * 1.01


def test_one_worker_needs_no_taper():
    learner = teach(Learner(Size(8 * MB, "first")), [(n * MB, n / 60) for n in (8, 16) * 10])
    steady = learner.next_size(None, 1, 1).target_nbytes
    assert learner.next_size(int(1.6 * steady), 1, 1).target_nbytes == steady


# -- batches -------------------------------------------------------------------------------------


def test_a_chunk_travels_alone_until_one_has_ended():
    assert Learner(Size(1, "asked for")).batch_size(1, GIB, 4) == 1


def test_small_chunks_travel_together_for_thirty_milliseconds():
    learner = teach(Learner(Size(1000, "asked for")), [(1000, 0.001)] * 10)
    assert learner.batch_size(1000, GIB, 4) == 31


def test_large_chunks_travel_alone():
    learner = teach(Learner(Size(MB, "asked for")), [(MB, 0.1)] * 10)
    assert learner.batch_size(MB, GIB, 4) == 1


def test_batches_end_with_a_chunk_each_where_few_remain():
    learner = teach(Learner(Size(1000, "asked for")), [(1000, 0.0001)] * 10)
    assert learner.batch_size(1000, 8 * 1000, 4) == 1
    assert learner.batch_size(1000, 800 * 1000, 4) == 100


def test_batches_make_small_chunks_of_a_given_size_cheap():
    workload = Workload("small chunks", 20 * MB, 60 * MB, fixed_s=0.0001)
    alone = fixed(workload, 4, 5000, batch=1)
    together = fixed(workload, 4, 5000, batch=32)
    assert together.makespan_s < alone.makespan_s / 5


# -- against the oracle --------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_run_is_cut_into_all_of_its_bytes_and_keeps_its_bounds():
    for workload in workloads():
        run = learned(workload, 4)
        assert sum(run.sizes) == workload.nbytes
        assert run.largest_memory_share <= 0.75
        largest = run.sizes[0]
        for _, size in pairwise(run.sizes):
            assert size <= 2 * largest
            largest = max(largest, size)


@pytest.mark.parametrize("workers", [2, 16])
def test_noise_that_hides_a_fixed_cost_makes_no_chunks_of_a_few_rows(workers):
    workload = Workload("noisy fixed cost", 300 * MB, 60 * MB, fixed_s=0.2, noise=0.8)
    runs = [learned(workload, workers, seed) for seed in range(3)]
    # Chunks are halved now and then to learn; the last ones take what is left.
    floor = workload.nbytes / (FLOOR_SHARES * workers)
    assert all(size >= floor / 2 - 1 for run in runs for size in run.sizes[:-2])
    # 300 MB at 60 MB/s with 20 chunks a worker, of which each costs 0.2 s more.
    expected_s = workload.nbytes / workload.rate / workers + 20 * workload.fixed_s
    assert sum(run.makespan_s for run in runs) / len(runs) < 2 * expected_s


@pytest.mark.thorough
def test_nine_of_ten_runs_are_within_a_seventh_of_the_best_fixed_size():
    # All 40 workloads on one worker, and each on one of the larger counts in turn; the script
    # compares all 200.
    table = compare(workloads(), [1])
    for place, workers in enumerate(WORKERS[1:]):
        table += compare(workloads()[place :: len(WORKERS) - 1], [workers])
    assert len(table) == 80
    within = sum(row.ratio <= 1.15 for row in table)
    assert within / len(table) >= 0.9, [
        (row.workload.name, row.workers, row.ratio) for row in table if row.ratio > 1.15
    ]
    assert all(row.ratio <= 1.15 for row in table if row.workers == 1)
