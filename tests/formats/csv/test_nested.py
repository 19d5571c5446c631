"""Headers of several rows through the public API: chunks against pandas' own frame."""

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import taskinity_data as td

TEXT = "a,a,b\nq,r,q\n1,x,0.5\n2,y,\n\n3,z,1.5\n"
SIZES = (1, 17, 1 << 20)


def check(directory, text, **options):
    path = directory / "data.csv"
    path.write_text(text)
    expected = pd.read_csv(path, low_memory=False, **options)
    dataset = td.open_dataset(str(path), **options)
    for size in SIZES:
        chunks = [chunk.read() for chunk in dataset.plan(chunk_size=size)]
        assert_frame_equal(
            pd.concat(chunks, ignore_index="index_col" not in options), expected, check_exact=True
        )
    return dataset


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (TEXT, {"header": [0, 1]}),
        (TEXT, {"header": [0]}),
        (TEXT, {"header": [0, 2], "dtype": str}),
        (TEXT, {"header": [1, 2]}),
        (TEXT, {"header": [0, 1], "nrows": 2}),
        (TEXT, {"header": [0, 1], "dtype": {("a", "q"): "float64"}}),
        (TEXT.replace("r,q", "q,q"), {"header": [0, 1]}),
        ("x\n\n" + TEXT, {"header": [0, 1], "skiprows": 2}),
        ("a,,b\n,,q\n1,2,3\n", {"header": [0, 1]}),
        ("a,b\nA,B\n,\n1,2\n", {"header": [0, 1]}),
        ('a,"b\nc"\n\n"\n",B\n1,2\n', {"header": [0, 1]}),
        ("a\nb\n1\n2\n", {"header": [0, 1]}),
        ("a,b\nc,d\n", {"header": [0, 1]}),
        ("a,a,b\nq,r,s\nu,v,w\n1,2,3\n4,5,6\n", {"header": [0, 1, 2]}),
    ],
    ids=str,
)
def test_a_header_of_several_rows_makes_the_columns_that_pandas_makes(tmp_path, text, options):
    check(tmp_path, text, **options)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "k,a,b\n,q,q\n1,x,0.5\n2,y,\n",
        "k,a,b\nl,q,q\nname,,\n1,x,0.5\n2,y,1\n",
        "k,a,b\nl,q,q\nname,,\n",
        ",a,b\n,q,q\n1,x,0.5\n2,,\n3,,\n",
        ",a,b\n,q,q\n1,,\n2,y,\n",
    ],
    ids=repr,
)
@pytest.mark.parametrize("index_col", [0, [0], [0, 1]], ids=str)
def test_an_index_beside_a_header_of_several_rows_is_that_of_pandas(tmp_path, text, index_col):
    check(tmp_path, text, header=[0, 1], index_col=index_col)


def test_columns_of_several_levels_have_the_names_that_pandas_gives_them_in_arrow(tmp_path):
    dataset = check(tmp_path, TEXT, header=[0, 1])
    assert dataset.schema.names == ["('a', 'q')", "('a', 'r')", "('b', 'q')"]
    assert dataset.plan()[0].read("arrow").column("('a', 'r')").to_pylist() == ["x", "y", "z"]
    path = str(tmp_path / "data.csv")
    chosen = td.open_dataset(
        path, header=[0, 1], columns=[("b", "q"), ("a", "q")], filters=[("('a', 'q')", ">", 1)]
    )
    expected = pd.read_csv(path, header=[0, 1]).iloc[1:, [2, 0]].reset_index(drop=True)
    assert_frame_equal(chosen.plan()[0].read(), expected)


def test_rows_of_a_header_that_differ_in_width_are_refused_as_by_pandas(tmp_path):
    path = tmp_path / "data.csv"
    for text in ("a,b\nc\n", "a,b\nc\n1,2\n"):
        path.write_text(text)
        with pytest.raises(td.errors.PlanError, match="header"):
            td.open_dataset(str(path), header=[0, 1])


@pytest.mark.parametrize("index_col", [None, 0, [1]], ids=str)
@pytest.mark.parametrize("row", ["1", "1,2", '"q\n"'], ids=repr)
def test_a_short_first_row_behind_several_rows_of_names_is_refused(tmp_path, row, index_col):
    path = tmp_path / "data.csv"
    path.write_text(f"a,b,c\nd,e,f\n{row}\n1,2,3\n1,2,3\n")
    with pytest.raises(td.errors.PlanError, match=r"first row has fewer fields.*header="):
        td.open_dataset(str(path), header=[0, 1], index_col=index_col)
    check(tmp_path, f"a,b,c\nd,e,f\n1,2,3\n{row}\n1,2,3\n", header=[0, 1])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"header": [1, 0]}, "header"),
        ({"header": []}, "header"),
        ({"header": [0, -1]}, "header"),
        ({"header": ["a"]}, "header"),
        ({"header": [0, True]}, "header"),
        ({"header": [0, 9]}, "header"),
        ({"header": [0, 1], "names": ["a", "b", "c"]}, "names"),
        ({"header": [0], "usecols": [0]}, "usecols"),
        ({"header": [0, 1], "index_col": "a"}, "index_col"),
        ({"header": [0, 1], "on_bad_lines": "skip"}, "on_bad_lines"),
    ],
    ids=str,
)
def test_what_pandas_refuses_beside_a_list_of_rows_is_refused_by_name(tmp_path, options, named):
    path = tmp_path / "data.csv"
    path.write_text(TEXT)
    with pytest.raises(td.errors.PlanError, match=named):
        td.open_dataset(str(path), **options)
