"""Chunk by chunk against the whole, for formats of tables: what pandas and Arrow make of the file.

A verdict is ``"exact"``, ``"refused: ..."``, ``"refused, as the whole is"``, ``"wrong: ..."`` or
``"accepted: ..."`` (though the whole is refused).
"""

from __future__ import annotations

import math
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.orc as po
import pyarrow.parquet as pq

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError, ReadError
from taskinity_data.formats.deliver import hidden_columns

ORACLES = {"parquet": pd.read_parquet, "orc": pd.read_orc, "arrow": pd.read_feather}


def read_whole(path, format_):
    """The whole file by Arrow, without an index that pandas stored without a name."""
    if format_ == "parquet":
        table = pq.read_table(path, partitioning=None)
    elif format_ == "orc":
        table = po.read_table(path)
    else:
        with pa.OSFile(path) as file:
            is_file = file.read(6) == b"ARROW1"
            file.seek(0)
            table = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(file).read_all()
    return table.drop_columns(list(hidden_columns(table.schema)))


def read_frame(path, format_, table):
    """The whole file by pandas; a named index is a column again, in its place in the file."""
    with pa.OSFile(path) as file:
        is_stream = format_ == "arrow" and file.read(6) != b"ARROW1"
    frame = table.to_pandas() if is_stream else ORACLES[format_](path)
    if frame.columns.tolist() == table.schema.names:
        return frame.reset_index(drop=True)
    return frame.reset_index()[table.schema.names]


def sizes_of(rows):
    """Rows a chunk: of small files single ones and a few, of others a part and all."""
    return [1, 5] if rows <= 60 else [rows // 7, rows]


def judge(path, format_, rows_a_chunk=None):
    """The verdict on the file for chunks of `rows_a_chunk` rows; None: of each of `sizes_of`."""
    try:
        table = read_whole(path, format_)
        frame = read_frame(path, format_, table)
    except (pa.ArrowException, ValueError, OSError) as error:
        table, frame = None, error
    verdicts = set()
    sizes = [rows_a_chunk] if rows_a_chunk else sizes_of(0 if table is None else table.num_rows)
    for rows in sizes:
        verdicts.add(_judge(path, rows, table, frame))
    return " & ".join(sorted(verdicts))


def _judge(path, rows, table, frame):
    try:
        chunks = list(open_dataset(path).plan(chunk_size=f"{rows} rows"))
        tables = [chunk.read("arrow") for chunk in chunks]
        frames = [chunk.read("pandas") for chunk in chunks]
    except (PlanError, ReadError) as error:
        if path not in str(error):
            raise
        if table is None:
            return "refused, as the whole is"
        return f"refused: {str(error).replace(path, 'FILE')}"
    if table is None:
        return f"accepted: {frame}"
    return compare(tables, frames, table, frame)


def compare(tables, frames, table, frame):
    """``"exact"``, or ``"wrong: ..."`` with what differs."""
    if not all(one.schema.equals(table.schema, check_metadata=False) for one in tables):
        return f"wrong: schema {tables[0].schema.remove_metadata()} for {table.schema}"
    joined = pa.concat_tables(tables)
    for name, left, right in zip(table.schema.names, joined.columns, table.columns, strict=True):
        is_same = left.equals(right) or same_values(left.to_pylist(), right.to_pylist())
        if not is_same:
            return f"wrong: column {name!r} in Arrow"
    if {sum(map(len, frames)), sum(one.num_rows for one in tables)} != {table.num_rows}:
        return "wrong: rows"
    if not table.schema.names:
        return "exact"  # pandas forgets the rows of some such files
    for one in frames:
        if [str(dtype) for dtype in one.dtypes] != [str(dtype) for dtype in frame.dtypes]:
            return f"wrong: dtypes {one.dtypes.to_dict()} for {frame.dtypes.to_dict()}"
        if one.columns.tolist() != frame.columns.tolist():
            return f"wrong: columns {one.columns.tolist()}"
    for place, name in enumerate(frame.columns):
        whole = frame.iloc[:, place]
        part = pd.concat([one.iloc[:, place] for one in frames], ignore_index=True)
        is_same = whole.dtype != object and part.equals(whole)
        if not is_same and not same_values(list(part), list(whole)):
            return f"wrong: column {name!r} in pandas"
    return "exact"


def same_values(left, right):
    """Whether values, nested ones too, are the same: NaN is NaN, and -0.0 is not 0.0."""
    if isinstance(left, np.ndarray):
        left = left.tolist()
    if isinstance(right, np.ndarray):
        right = right.tolist()
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(same_values, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(
            same_values(left[one], right[one]) for one in left
        )
    if _is_missing(left) or _is_missing(right):
        return _is_missing(left) and _is_missing(right)
    if isinstance(left, float) and isinstance(right, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return bool(left == right)


def _is_missing(value):
    return value is None or value is pd.NaT or value is pd.NA or (value != value) is True


def look_at_all(path, format_):
    """Have Arrow look at all that it knows of a file, in a process that may end of it."""
    if format_ == "parquet":
        metadata = pq.read_metadata(path)
        for group in range(metadata.num_row_groups):
            for column in range(metadata.num_columns):
                metadata.row_group(group).column(column)
    read_whole(path, format_)


if __name__ == "__main__":
    look_at_all(*sys.argv[1:])
