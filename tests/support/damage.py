"""Reads damaged copies of a file, in a process of its own, since Arrow itself may die of the whole.

Says on standard output of each copy, before and after: its number, and what became of it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pyarrow as pa
from tables_oracle import read_whole, same_values

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, ReadError


def damage(data, number):
    """Copy `number` of `data`: one to three bits are turned, or bytes are lost, doubled, zeroed."""
    random = Random(number)
    one = bytearray(data)
    place = random.randrange(len(one))
    match number % 8:
        case 5:
            del one[place : place + random.randrange(1, 20)]
        case 6:
            one[place:place] = one[place : place + random.randrange(1, 20)]
        case 7:
            one[place : place + 8] = bytes(len(one[place : place + 8]))
        case _:
            for _ in range(random.randrange(1, 4)):
                one[random.randrange(len(one))] ^= 1 << random.randrange(8)
    return bytes(one)


def read_chunks(path):
    """All rows, or the error that names the file."""
    try:
        chunks = list(open_dataset(path).plan(chunk_size="7 rows"))
        tables = [chunk.read("arrow") for chunk in chunks]
        for chunk in chunks:
            chunk.read("pandas")
    except (PlanError, ReadError) as error:
        if path not in str(error):
            raise
        return None
    joined = pa.concat_tables(tables)
    if joined.schema.names:
        return joined
    # Of tables without columns Arrow forgets the rows.
    return pa.table({"rows": pa.nulls(sum(one.num_rows for one in tables))}).select([])


def main(source, format_, first, last):
    data = Path(source).read_bytes()
    for number in range(int(first), int(last)):
        path = f"{source}.{number}{Path(source).suffix}"
        Path(path).write_bytes(damage(data, number))
        print(number, "ours", flush=True)
        try:
            ours = read_chunks(path)
        except Exception as error:
            print(number, "raised", type(error).__name__, repr(str(error))[:300], flush=True)
            continue
        if ours is None:
            print(number, "refused", flush=True)
            continue
        print(number, "whole", flush=True)
        try:
            whole = read_whole(path, format_)
            whole.validate(full=True)
        except (pa.ArrowException, ValueError, OSError) as error:
            print(number, "accepted", repr(str(error))[:200], flush=True)
            continue
        is_same = ours.schema.equals(whole.schema) and same_values(
            ours.to_pylist(), whole.to_pylist()
        )
        print(number, "exact" if is_same else "wrong", flush=True)
        Path(path).unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
