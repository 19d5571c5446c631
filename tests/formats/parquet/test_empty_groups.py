"""Parquet columns of groups without fields, which other writers than Arrow make: all null."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import taskinity_data as td

REQUIRED, OPTIONAL, REPEATED = range(3)
ROWS = 5


def _group(name, repetition, children):
    """A schema element in Thrift's compact protocol; `children` None: it does not say how many."""
    count = b"" if children is None else bytes([0x15, 2 * children])
    return bytes([0x35, 2 * repetition, 0x18, len(name)]) + name + count + b"\0"


def _write(path, *elements, parent=b"schema"):
    """A file of integers in row groups of two, in which `elements` are `parent`'s first child.

    They are in column ``b``, or in ``b`` of the struct ``s``, where that is the parent.
    """
    column = pa.array(range(ROWS))
    table = (
        {"b": column} if parent == b"schema" else {"s": pa.StructArray.from_arrays([column], "b")}
    )
    pq.write_table(pa.table(table), path, store_schema=False, row_group_size=2)
    data = path.read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    old = bytearray(data[footer:-8])
    end = old.index(bytes([0x18, len(parent)]) + parent) + 2 + len(parent) + 3
    assert old[3] in (0x2C, 0x3C)  # the list of all elements, with their number
    assert old[end - 3 : end] == bytes([0x15, 2, 0])  # the parent has one child
    old[3] += len(elements) << 4
    old[end - 2] = 4
    new = old[:end] + b"".join(elements) + old[end:]
    path.write_bytes(data[:footer] + new + len(new).to_bytes(4, "little") + b"PAR1")


SHAPES = {
    "optional": [_group(b"g", OPTIONAL, 0)],
    "required": [_group(b"g", REQUIRED, 0)],
    "repeated": [_group(b"g", REPEATED, 0)],
    "without a count": [_group(b"g", OPTIONAL, None)],
    "within another": [_group(b"g", OPTIONAL, 1), _group(b"h", OPTIONAL, 0)],
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", ["1 rows", "2 rows", "100 rows"])
@pytest.mark.parametrize("columns", [None, ["b"], ["g"], ["b", "g"]])
def test_a_group_without_fields_reads_as_pandas_reads_it(tmp_path, shape, size, columns):
    path = tmp_path / "a.parquet"
    _write(path, *SHAPES[shape])
    expected = pd.read_parquet(path, columns=columns)
    chunks = td.open_dataset(path, columns=columns).plan(chunk_size=size)
    found = pd.concat([chunk.read() for chunk in chunks], ignore_index=True)
    pd.testing.assert_frame_equal(found, expected)
    assert len(found) == ROWS


def test_filters_and_other_files_see_a_group_without_fields_as_null(tmp_path):
    for name in "ab":
        _write(tmp_path / f"{name}.parquet", *SHAPES["optional"])
    expected = pd.read_parquet(tmp_path, filters=[("b", ">", 1)])
    found = td.open_dataset(tmp_path, filters=[("b", ">", 1)]).plan(chunk_size="1 rows")
    frames = [chunk.read() for chunk in found]
    pd.testing.assert_frame_equal(pd.concat(frames, ignore_index=True), expected)


def test_a_file_of_nothing_but_a_group_without_fields_has_its_rows(tmp_path):
    path = tmp_path / "a.parquet"
    elements = _group(b"schema", REQUIRED, 1) + _group(b"g", OPTIONAL, 0)
    row_group = b"\x19\x0c\x16\x00\x16" + bytes([2 * 3]) + b"\0"  # no columns, 0 bytes, 3 rows
    footer = b"\x15\x02\x19\x2c" + elements + b"\x16" + bytes([2 * 3]) + b"\x19\x1c" + row_group
    footer += b"\0"
    path.write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    expected = pd.read_parquet(path)
    assert len(expected) == 3
    pd.testing.assert_frame_equal(td.open_dataset(path).head(), expected)
    assert td.process(path, reduce=td.count(), scheduler="synchronous", progress=False).value == 3


def test_a_group_without_fields_beside_others_in_a_struct_is_refused_as_by_pandas(tmp_path):
    path = tmp_path / "a.parquet"
    _write(path, *SHAPES["optional"], parent=b"s")
    with pytest.raises(pa.ArrowInvalid, match="no children"):
        pd.read_parquet(path)
    with pytest.raises(td.errors.ReadError, match=r"a\.parquet.*no children"):
        td.open_dataset(path).head()
