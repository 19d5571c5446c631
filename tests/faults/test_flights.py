"""A year of flights with everything going wrong at once: the totals are right, the losses named."""

from __future__ import annotations

import re

import pytest
from flights_kit import Flights, a_cluster, busy_workers_below

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
    """Exit code, totals, account, and who is named: all as the command line tells it."""
    assert code == 3, err
    answer, failed = (out.partition(f"\n{title}\n")[2] for title in ("Answer", "Failed"))
    pattern = r"ProcessChunk: (.+)\n +in (\S+) \[([\d,]+) to ([\d,]+)\], key"
    told = re.findall(pattern, failed)
    lost = {}
    for error, path, *ends in told:
        start, stop = (case.place(path, int(end.replace(",", ""))) for end in ends)
        lost[start] = stop, error
    assert len(lost) == len(told) == failed.count(", key ")

    # The chunks with a bad flight, by their own errors, and no other.
    for place, kind in case.bad_places.items():
        ((size, error),) = [(b - a, error) for a, (b, error) in lost.items() if a <= place < b]
        assert any(words in error for words in SAID[kind]), (kind, error)
        # Of the chunk that takes all memory its row is left, for which the others get smaller.
        assert size == 1 if kind == "hog" else case.rows // 8 < size <= case.rows
    assert len(lost) == len(case.bad)

    expected = case.expect([(start, stop) for start, (stop, _) in lost.items()])
    lines = answer.partition("\n\n")[0].splitlines()
    rows = [line.split() for line in lines if re.fullmatch(r"  \w\w( +\d+){3}", line)]
    assert {row[0]: tuple(map(int, row[1:])) for row in rows} == expected
    skipped = sum(stop - start for start, (stop, _) in lost.items())
    left = case.total_rows - skipped
    assert left == sum(row[0] for row in expected.values())
    account = f"rows: {case.total_rows:,} planned = {left:,} processed + {skipped:,} skipped\n"
    assert account in out, out
    assert case.left() == []


@pytest.mark.rounds(1, 1)
def test_a_few_months_of_flights_while_workers_and_the_driver_are_killed(seed, tmp_path):
    case = Flights(tmp_path / "flights", seed, months=2, rows=1000)
    options = ("--scheduler", "processes", "--workers", str(WORKERS), "--memory", MEMORY)
    check(case, *case.run(1, *options, workers=busy_workers_below, deaths=2))


@pytest.mark.rounds(0, 1)
def test_a_year_of_flights_on_processes(seed, tmp_path):
    case = Flights(tmp_path / "flights", seed)
    options = ("--scheduler", "processes", "--workers", str(WORKERS), "--memory", MEMORY)
    check(case, *case.run(5, *options, workers=busy_workers_below))


@pytest.mark.rounds(0, 1)
def test_a_year_of_flights_on_a_cluster(seed, tmp_path):
    case = Flights(tmp_path / "flights", seed)
    with a_cluster(tmp_path / "cluster", case.mark, WORKERS, MEMORY) as (address, workers):
        told = case.run(5, "--scheduler", address, workers=workers)
    check(case, *told)
