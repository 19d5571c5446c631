"""A year of flights with everything going wrong at once: the totals are right, the losses named."""

from __future__ import annotations

import re

import pytest
from flights_kit import Flights, a_cluster, children_below

from taskinity_data import load_run

pytestmark = pytest.mark.thorough

SAID = {
    "raise": ("ValueError: a bad flight",),
    "crash": ("worker process died, signal 11",),
    "hog": ("MemoryError: ",),
    # Workers may be killed under it again and again before its time is up.
    "hang": ("took longer than its timeout", "the worker died"),
}
WORKERS, MEMORY = 3, "600MiB"


def check(case, code, out, err):
    """Exit code, answer, account, and what failed: as the run is stored, and as it is shown."""
    assert code == 3, err
    run = load_run(re.search(r"run (\S+)\)", out)[1], case.folder / ".taskinity")
    lost = {}
    for row in run.failures.itertuples():
        start, stop = (case.place(row.path, end) for end in (row.start, row.stop))
        lost[start] = stop, row.error
    assert len(lost) == len(run.failures)

    # The chunks with a bad flight, by their own errors, and no other.
    for place, kind in case.bad_places.items():
        ((size, error),) = [(b - a, error) for a, (b, error) in lost.items() if a <= place < b]
        assert any(words in error for words in SAID[kind]), (kind, error)
        # Of the chunk that takes all memory its row is left, for which the others get smaller.
        assert size == 1 if kind == "hog" else case.rows // 8 < size <= case.rows
    assert len(lost) == len(case.bad)

    expected = case.expect([(start, stop) for start, (stop, _) in lost.items()])
    assert {carrier: tuple(sums) for carrier, *sums in run.value.itertuples()} == expected
    skipped = sum(stop - start for start, (stop, _) in lost.items())
    left = case.total_rows - skipped
    assert left == sum(row[0] for row in expected.values())
    account = f"{case.total_rows:,} planned = {left:,} processed + {skipped:,} skipped"
    assert account in out, out
    assert case.left() == []


@pytest.mark.rounds(1, 1)
def test_a_few_months_of_flights_while_workers_and_the_driver_are_killed(seed, tmp_path):
    case = Flights(tmp_path / "flights", seed, months=2, rows=1000)
    options = ("--scheduler", "processes", "--workers", str(WORKERS), "--memory", MEMORY)
    check(case, *case.run(1, *options, workers=children_below, deaths=2))


@pytest.mark.rounds(0, 1)
def test_a_year_of_flights_on_processes(seed, tmp_path):
    case = Flights(tmp_path / "flights", seed)
    options = ("--scheduler", "processes", "--workers", str(WORKERS), "--memory", MEMORY)
    check(case, *case.run(5, *options, workers=children_below))


@pytest.mark.rounds(0, 1)
def test_a_year_of_flights_on_a_cluster(seed, tmp_path):
    case = Flights(tmp_path / "flights", seed)
    with a_cluster(tmp_path / "cluster", case.mark, WORKERS, MEMORY) as (address, workers):
        told = case.run(5, "--scheduler", address, workers=workers)
    check(case, *told)
