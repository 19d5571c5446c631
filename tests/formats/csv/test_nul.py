"""NUL in CSV: a character as any other, as in pandas' parser."""

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from properties import mostly_thorough

import taskinity_data as td

SIZES = (1, 1 << 20)
FIELDS = (
    "\0", "\0\0", "x\0y", "x\0z", "x", '"\0"', '"q\0\n"', '"\0""\0"', "NA\0", "\0NA", "1\0",
    "1\0.5", "0x1\0", "True\0", "inf\0", "2024-01-01\0", "18446744073709551615\0", " \0", "\0 ",
    "é\0",
)  # fmt: skip


def check(path, **options):
    expected = pd.read_csv(path, low_memory=False, **options)
    dataset = td.open_dataset(str(path), format="csv", **options)
    for size in SIZES:
        chunks = [chunk.read() for chunk in dataset.plan(chunk_size=size)]
        got = pd.concat(chunks, ignore_index=True)
        assert_frame_equal(got, expected, check_exact=True)
    table = dataset.plan()[0].read("arrow")
    assert table.column(0).to_pylist() == [
        None if pd.isna(value) else value for value in expected.iloc[:, 0].tolist()
    ]


@pytest.mark.parametrize("others", mostly_thorough(["1", "2.5", "True", ""], 1))
@pytest.mark.parametrize("field", FIELDS, ids=repr)
def test_a_field_with_nul_is_the_text_that_pandas_makes_of_it(tmp_path, field, others):
    path = tmp_path / "data.csv"
    path.write_text(f"a,b\n{field},{others}\n{others},{field}\n\n{others},{others}\n", "utf-8")
    check(path)


def test_what_is_missing_is_compared_to_the_end_of_a_field(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text('a,b\n"x\0y","1\0"\n"x\0z",NA\nx,2\n')
    check(path, na_values=["x\0y"], keep_default_na=False)
    check(path, true_values=["x\0y", "x"], false_values=["x\0z"])


@pytest.mark.parametrize(
    "options", mostly_thorough([{}, {"encoding": "utf-16"}, {"encoding": "cp932"}], 1), ids=str
)
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"], ids=repr)
def test_rows_with_nul_anywhere_are_cut_as_pandas_reads_them(tmp_path, options, ends):
    draw = np.random.default_rng(7)
    marks = ["\0", "\0", "a", "1", ",", ",", '"', " ", ends, ends]
    path = tmp_path / "data.csv"
    for _ in range(15):
        rows = "".join(draw.choice(marks, 40)).replace('"', "") if draw.random() < 0.5 else ""
        rows += ends.join(f'"\0{number}",\0{ends}' for number in range(3))
        lines = [line[: line.find(",", line.find(",") + 1)] if line.count(",") > 1 else line
                 for line in rows.split(ends)]  # fmt: skip
        text = "a,b" + ends + ends.join(lines) + ends
        path.write_bytes(text.encode(options.get("encoding", "utf-8")))
        check(path, dtype=str, **options)


def test_nul_behind_the_sample_does_not_fit_a_column_of_numbers(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("a,b\n" + "1,2\n" * 5 + '"3\0",4\n' + "5,6\n" * 5)
    dataset = td.open_dataset(str(path), format="csv", schema={"a": "int64"})
    with pytest.raises(td.errors.SchemaError, match="'a'"):
        [chunk.read() for chunk in dataset.plan(chunk_size=1)]


def test_nul_at_the_beginning_of_a_file_wants_the_word_that_it_is_csv(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"a,b\n\0,2\n")
    with pytest.raises(td.errors.PlanError, match=r'byte 4 is the control.*format="csv"'):
        td.open_dataset(str(path))
    assert td.open_dataset(str(path), format="csv").schema.names == ["a", "b"]


def test_a_name_with_nul_is_refused(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"a\0,b\n1,2\n")
    with pytest.raises(td.errors.PlanError, match="header"):
        td.open_dataset(str(path), format="csv")
