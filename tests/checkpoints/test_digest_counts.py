"""How often each digest has come, held in a few bytes."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from taskinity_data.checkpoints.digest_counts import DigestCounts


def digest_of(number):
    # The lowest bits of the first 64 choose the place: all that are alike there collide.
    return f"{number * 64:016x}{number:016x}"


@given(st.lists(st.integers(0, 60), max_size=300), st.integers(0, 400))
def test_it_counts_as_a_counter_does(numbers, more):
    counts, expected = DigestCounts(), Counter()
    for number in [*numbers, *range(100, 100 + more), *numbers]:
        assert counts.add(digest_of(number)) == expected[number]
        expected[number] += 1
