"""Frames that tests write to stores, and how they are read back and compared."""

import itertools

import numpy as np
import pandas as pd

import taskinity_data as td


def frame(first=0, rows=9):
    numbers = np.arange(first, first + rows)
    return pd.DataFrame(
        {
            "number": numbers,
            "part": numbers / 7,
            "text": [None if n % 4 == 1 else f't{n},"é' for n in numbers],
            "kind": [f"k{n % 3}" for n in numbers],
            "year": 2013 + numbers % 2,
        }
    )


def cut(whole, *places):
    edges = [0, *places, len(whole)]
    return [whole[start:stop] for start, stop in itertools.pairwise(edges)]


def read(target, **options):
    chunks = td.open_dataset(target, **options).plan()
    return pd.concat([chunk.read() for chunk in chunks], ignore_index=True)


def same(found, expected, **options):
    order = sorted(expected.columns)
    pd.testing.assert_frame_equal(found[order], expected[order], **options)
