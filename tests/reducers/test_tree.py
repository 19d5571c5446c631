import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskinity_data.errors import ReduceError
from taskinity_data.reducers.tree import ABSENT, OrderedTree, combine_present, tree_levels


def nest(parts):
    """A partial that shows in which groups it was combined."""
    return "(" + " ".join(parts) + ")"


def run_static(leaves, split_every, combine=nest):
    nodes = list(leaves)
    for level in tree_levels(len(nodes), split_every):
        nodes = [combine_present(combine, nodes[start:stop]) for start, stop in level]
    return nodes[0] if nodes else ABSENT


def held_partials(tree):
    """How many partials wait for siblings."""
    held = sum(len(group) for group in tree._groups.values())
    return held + sum(
        len(parts) - len(tree._waiting[position]) for position, parts in tree._parts.items()
    )


def run_tree(items, n_leaves, split_every, close_at=None, combine=nest):
    tree = OrderedTree(combine, split_every)
    for turn, (position, partial) in enumerate(items):
        if turn == close_at:
            tree.close(n_leaves)
        tree.add(position, partial)
    if close_at is None or close_at >= len(items):
        tree.close(n_leaves)
    return tree


@given(
    n=st.integers(0, 90),
    split_every=st.integers(2, 9),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_any_arrival_order_and_any_time_of_closing_give_the_static_tree(n, split_every, seed, data):
    absent = data.draw(st.sets(st.integers(0, max(n - 1, 0)), max_size=n))
    leaves = [ABSENT if i in absent else str(i) for i in range(n)]
    items = [((i,), leaf) for i, leaf in enumerate(leaves)]
    random.Random(seed).shuffle(items)
    tree = run_tree(items, n, split_every, close_at=data.draw(st.integers(0, n)))
    want = run_static(leaves, split_every)
    assert tree.result() == (None if want is ABSENT else want)
    assert held_partials(tree) == 0


@given(texts=st.lists(st.text(max_size=2), max_size=70), split_every=st.integers(2, 9))
def test_the_tree_equals_the_left_fold_of_an_associative_operation(texts, split_every):
    items = [((i,), text) for i, text in enumerate(texts)]
    tree = run_tree(items, len(texts), split_every, combine="".join)
    assert (tree.result() or "") == "".join(texts)


@st.composite
def splits(draw, position=(0,), depth=0):
    """A chunk's nesting: either the leaf itself, or its parts."""
    if depth < 3 and draw(st.booleans()):
        width = draw(st.integers(1, 3))
        return [draw(splits((*position, part), depth + 1)) for part in range(width)]
    return draw(st.sampled_from(["x", ABSENT]))


@given(chunks=st.lists(splits(), min_size=1, max_size=12), seed=st.integers(0, 2**32))
def test_parts_of_a_split_chunk_are_combined_first_and_in_their_place(chunks, seed):
    tree = OrderedTree(nest, 3)
    items = []

    def plant(position, nesting):
        if isinstance(nesting, list):
            tree.split(position, len(nesting))
            for part, inner in enumerate(nesting):
                plant((*position, part), inner)
        else:
            items.append((position, nesting if nesting is ABSENT else ".".join(map(str, position))))

    def fold(position, nesting):
        if not isinstance(nesting, list):
            return nesting if nesting is ABSENT else ".".join(map(str, position))
        return combine_present(nest, [fold((*position, i), n) for i, n in enumerate(nesting)])

    for place, nesting in enumerate(chunks):
        plant((place,), nesting)
    random.Random(seed).shuffle(items)
    for position, partial in items:
        tree.add(position, partial)
    tree.close(len(chunks))
    want = run_static([fold((i,), nesting) for i, nesting in enumerate(chunks)], 3)
    assert tree.result() == (None if want is ABSENT else want)


def test_in_order_arrivals_hold_few_partials_however_many_chunks():
    tree = OrderedTree(sum, 8)
    most = 0
    for i in range(20_000):
        tree.add((i,), 1)
        most = max(most, held_partials(tree))
    tree.close(20_000)
    assert tree.result() == 20_000
    assert most <= 8 * 5


def test_late_arrivals_hold_what_waits_and_no_more():
    tree = OrderedTree(sum, 4)
    for i in range(1, 16):
        tree.add((i,), 1)
    # Chunks 1 to 3 wait for chunk 0; the other three groups are one partial each.
    assert held_partials(tree) == 3 + 3
    tree.add((0,), 1)
    assert held_partials(tree) == 1


def test_the_combine_function_sees_chunk_order_and_at_least_two_partials():
    seen = []

    def combine(parts):
        seen.append(parts)
        return parts[0]

    run_tree([((i,), i) for i in reversed(range(9))], 9, 8, combine=combine)
    assert seen == [[0, 1, 2, 3, 4, 5, 6, 7], [0, 8]]


def test_levels_stop_at_one_node():
    assert tree_levels(0) == ()
    assert tree_levels(1) == ()
    assert tree_levels(8, 8) == (((0, 8),),)
    assert tree_levels(9, 8) == (((0, 8), (8, 9)), ((0, 2),))


def test_misuse_is_refused_with_the_position():
    tree = OrderedTree(nest, 2)
    tree.add((0,), "a")
    with pytest.raises(ReduceError, match=r"\(0,\): the tree already has its partial"):
        tree.add((0,), "b")
    with pytest.raises(ReduceError, match=r"\(0,\)"):
        tree.split((0,))
    with pytest.raises(ReduceError, match=r"\(1, 0\)"):
        tree.add((1, 0), "b")
    tree.split((1,), 2)
    with pytest.raises(ReduceError, match="or its parts"):
        tree.add((1,), "b")
    tree.add((1, 1), "b")
    for position in [(1, 1), (1, 2)]:
        with pytest.raises(ReduceError, match="has no such chunk"):
            tree.add(position, "b")
    with pytest.raises(ReduceError, match="of None chunks only 1 have arrived"):
        tree.result()
    with pytest.raises(ReduceError, match="can't end at 1 chunks: it has chunk 1"):
        tree.close(1)
    tree.close(3)
    with pytest.raises(ReduceError, match=r"\(3,\)"):
        tree.add((3,), "d")
    with pytest.raises(ReduceError, match="of 3 chunks only 1 have arrived"):
        tree.result()


def test_absent_survives_pickling_as_itself():
    import pickle

    assert pickle.loads(pickle.dumps(ABSENT)) is ABSENT
