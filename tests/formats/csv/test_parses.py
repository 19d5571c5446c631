"""How often pandas parses a piece that its own engine reads."""

import pandas as pd
import pytest

import taskinity_data as td


@pytest.mark.parametrize("values", ["0;1", "0,5;1,5", ";", "1;", "0,0;x"])
@pytest.mark.parametrize("columns", [2, 40])
def test_a_piece_is_parsed_once_whatever_its_columns_hold(tmp_path, monkeypatch, values, columns):
    path = tmp_path / "data.csv"
    first, second = (";".join([value] * columns) for value in values.split(";"))
    header = ";".join(f"c{number}" for number in range(columns))
    # Floats in one row make floats of columns of which the others hold 0, 1 or nothing.
    path.write_text("\n".join([header, ";".join(["0,5"] * columns), *[first, second] * 20]))
    chunks = td.open_dataset(str(path), sep=";", decimal=",").plan(chunk_size=10 * columns).chunks
    counted = []
    original = pd.read_csv
    monkeypatch.setattr(
        pd, "read_csv", lambda *args, **more: (counted.append(1), original(*args, **more))[1]
    )
    for chunk in chunks:
        chunk.read()
    assert len(counted) == len(chunks) > 3
