"""How the tests of reducers run one: cut, partial, tree, finish."""

from itertools import pairwise

import numpy as np
import pytest

from taskinity_data.reducers.tree import OrderedTree


def _reduce(reducer, chunks, split_every=3, arrival=None):
    """The answer of `reducer` over chunk results, arriving in any order."""
    tree = OrderedTree(reducer.combine, split_every)
    for position in range(len(chunks)) if arrival is None else arrival:
        tree.add((position,), reducer.partial(chunks[position]))
    tree.close(len(chunks))
    return reducer.finish(tree.result())


def _cut(frame, cuts):
    """`frame` cut before the rows `cuts`, each part with a fresh index."""
    ends = [0, *sorted(int(cut) for cut in cuts), len(frame)]
    return [frame.iloc[a:b].reset_index(drop=True) for a, b in pairwise(ends)]


@pytest.fixture(scope="session")
def reduce():
    return _reduce


@pytest.fixture(scope="session")
def cut():
    return _cut


@pytest.fixture
def rng():
    return np.random.default_rng(7)
