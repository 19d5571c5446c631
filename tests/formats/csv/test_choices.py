"""Options of `pandas.read_csv` through the public API: chunks against pandas' own frame."""

import csv
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from properties import examples, mostly_thorough

import taskinity_data as td
from taskinity_data.errors import PlanError, ReadError

TEXT = 'a,b,c\n1,x,0.5\n2,y,\n\n3,z,1.5\n4,"q\nr",2.5\n5,w,3.5\n'
SIZES = (1, 17, 1 << 20)


def read(source, size, **options):
    chunks = [chunk.read() for chunk in td.open_dataset(source, **options).plan(chunk_size=size)]
    frame = pd.concat(chunks, ignore_index=True)
    if options.get("index_col") is not None:
        frame.index = concat_indexes([chunk.index for chunk in chunks])
    return frame


def concat_indexes(indexes):
    """Indexes put together as they are: pandas.concat makes one of str of one of objects."""
    levels = []
    unnamed = [index.set_names([None] * index.nlevels) for index in indexes]
    for level in range(unnamed[0].nlevels):
        values = [pd.Series(index.get_level_values(level)) for index in unnamed]
        labels = pd.concat(values, ignore_index=True)
        levels.append(pd.Index(labels.array, dtype=labels.dtype))
    whole = levels[0] if len(levels) == 1 else pd.MultiIndex.from_arrays(levels)
    return whole.set_names(indexes[0].names)


def check(directory, text, **options):
    path = directory / "data.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    expected = pd.read_csv(path, **{**options, "low_memory": False})
    for size in SIZES:
        assert_frame_equal(read(str(path), size, **options), expected, check_exact=True)


@pytest.mark.parametrize("nrows", [0, 1, 3, 4, 5, 100, 2.0, np.int64(2)])
def test_nrows_reads_the_first_rows_whatever_the_cuts(tmp_path, nrows):
    check(tmp_path, TEXT, nrows=nrows)


@pytest.mark.parametrize("text", ["d,x\n2020-01-01,1\n", "d,x\n"])
@pytest.mark.parametrize("more", [{}, {"date_format": "%Y-%m-%d"}, {"dtype_backend": "pyarrow"}])
def test_dates_of_no_rows_are_of_the_dtype_that_pandas_has(tmp_path, text, more):
    check(tmp_path, text, nrows=0, parse_dates=["d"], **more)


def test_rows_behind_nrows_are_neither_looked_at_nor_planned(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text('a,b\n1,2\n3,4\nx,y,z\n"never closed')
    dataset = td.open_dataset(str(path), nrows=2)
    assert dataset.schema.types == ["int64", "int64"]
    assert dataset.plan(chunk_size=1).rows == 2
    run = td.process(str(path), reduce=td.count(), nrows=2, scheduler="synchronous", progress=False)
    assert run.value == 2
    assert run.ledger.loc["rows", "planned"] == 2 if "rows" in run.ledger.index else True


def test_nrows_counts_in_each_file(tmp_path):
    for name, text in {"1": "a\n1\n2\n3\n", "2": "a\n4\n", "3": "a\n5\n6\n7\n"}.items():
        (tmp_path / f"{name}.csv").write_text(text)
    for size in SIZES:
        assert read(str(tmp_path / "*.csv"), size, nrows=2)["a"].tolist() == [1, 2, 4, 5, 6]


def test_a_run_with_another_nrows_uses_no_result_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data.csv"
    path.write_text("a\n1\n2\n3\n")
    values = [
        td.process(
            str(path), reduce=td.sum(), nrows=nrows, resume=True, scheduler="synchronous",
            progress=False,
        ).value["a"]
        for nrows in (1, 3, 2)
    ]  # fmt: skip
    assert values == [1, 6, 3]


@pytest.mark.parametrize(
    "lines", [[1], [2], [0, 2], [3], {4, 1}, range(1, 4), np.array([5]), [6], [5, 99], [0, 1]]
)
@pytest.mark.parametrize("blank", [True, False])
def test_listed_lines_are_left_out_whatever_the_cuts(tmp_path, lines, blank):
    check(
        tmp_path, TEXT, skiprows=lines, skip_blank_lines=blank, header=None, names=["x", "y", "z"]
    )


@pytest.mark.parametrize("more", [{}, {"index_col": "a"}, {"names": ["c", "x", "a"]}], ids=str)
def test_a_function_takes_the_columns_that_it_names(tmp_path, more):
    check(tmp_path, TEXT, usecols=lambda label: label in {"c", "a"}, **more)


def test_a_function_for_usecols_that_fails_or_takes_others_of_another_file_is_refused(tmp_path):
    (tmp_path / "1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "2.csv").write_text("a,b,c\n1,2,3\n")
    source = str(tmp_path / "*.csv")
    assert read(source, 1, usecols=lambda label: label < "c").columns.tolist() == ["a", "b"]
    with pytest.raises(PlanError, match="different columns in different files"):
        td.open_dataset(source, usecols=lambda label: label > "a")
    with pytest.raises(PlanError, match="function failed: TypeError"):
        td.open_dataset(source, usecols=lambda label: label + 1)


def test_readers_of_other_columns_that_functions_took_have_other_identities(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("a,b,c\n1,2,3\n")
    first, again, other = (
        td.open_dataset(str(path), usecols=usecols).plan()[0].key
        for usecols in (lambda label: label < "c", lambda label: label != "c", lambda label: True)
    )
    assert first == again != other


BLANKED = st.lists(
    st.sampled_from(["1", "x", "0.5", " ", "\t", "  ", '"a b"', '""', "\n", "\n", "1 2 3\n", "#"]),
    max_size=40,
).map("".join)


@examples(60)
@given(
    BLANKED,
    st.sampled_from(
        [
            {},
            {"comment": "#", "skip_blank_lines": False},
            {"skiprows": [2]},
            {"on_bad_lines": "skip"},
            {"header": None, "names": ["a", "b", "c"]},
            {"quoting": csv.QUOTE_NONE},
            {"index_col": 0},
        ]
    ),
)
def test_blanks_separate_whatever_the_cuts(tmp_path_factory, text, options):
    path = tmp_path_factory.mktemp("blanks") / "data.csv"
    path.write_text("a b c\n" + text)
    options = {"sep": r"\s+", **options}
    try:
        expected = pd.read_csv(path, low_memory=False, **options)
    except (ValueError, IndexError) as error:
        expected = error
    for size in SIZES:
        try:
            got = read(str(path), size, **options)
        except (PlanError, ReadError):
            continue  # an implied index, or what pandas refuses
        assert not isinstance(expected, Exception)
        assert_frame_equal(got, expected, check_exact=True)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gbk"])
@pytest.mark.parametrize("skip", [True, False])
def test_blanks_separate_in_every_encoding(tmp_path, encoding, skip):
    text = ' a\tb  c\n1 2 x\n\n\t3  4 "y\nz" \n   \n5 6\t\n'
    options = {"encoding": encoding, "skip_blank_lines": skip}
    check(tmp_path, text.encode(encoding), sep=r"\s+", **options)
    check(tmp_path, text.encode(encoding), delimiter=r"\s+", header=None, **options)


@pytest.mark.parametrize("text", ["a b\r1 2\r \r3 4\r", "a b\r \n1 2\n3 4\n"])
def test_blanks_behind_a_lone_return_are_refused(tmp_path, text):
    path = tmp_path / "data.csv"
    path.write_bytes(text.encode())
    with pytest.raises((PlanError, ReadError), match=r"\\r alone"):
        read(str(path), 1, sep=r"\s+")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk"])
def test_lines_and_rows_are_counted_in_every_encoding(tmp_path, encoding):
    check(tmp_path, TEXT.encode(encoding), skiprows=[2, 5], nrows=2, encoding=encoding)


def test_a_listed_line_may_hold_what_is_no_row(tmp_path):
    check(tmp_path, 'a,b\nunits,"of, what",and,more\n1,2\n3,4\n', skiprows=[1])


@pytest.mark.parametrize("index_col", [0, 1, 2, "a", "b", ["c"], [1]])
@pytest.mark.parametrize(
    "more",
    mostly_thorough([{}, {"usecols": ["b", "c", "a", "c"]}, {"dtype": str}, {"nrows": 2}], 2),
)
def test_one_column_stands_as_the_index_of_each_chunk(tmp_path, index_col, more):
    check(tmp_path, TEXT, index_col=index_col, **more)


@pytest.mark.parametrize(
    "index_col",
    mostly_thorough([[0, 1], ["b", "a"], [2, 0], ["c", "b"], [0, "b"], ["a", "b", "c"]], 2),
    ids=str,
)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"usecols": ["b", "c", "a"]},
        {"dtype": str},
        {"dtype": {"a": "float64", "b": object}},
        {"nrows": 2},
        {"nrows": 0},
        {"header": None, "names": ["a", "b", "c"], "skiprows": 1},
        {"na_values": {"b": ["x"]}},
    ],
    ids=str,
)
def test_several_columns_stand_as_the_index_of_each_chunk(tmp_path, index_col, more):
    check(tmp_path, TEXT, index_col=index_col, **more)


@pytest.mark.parametrize("text", [",,a\nx,1,2\ny,2,3\n", "k,,a\nx,1,\n,2,3\n", "k,l\nTrue,\n,x\n"])
def test_levels_of_an_index_have_the_names_and_types_that_pandas_gives_them(tmp_path, text):
    check(tmp_path, text, index_col=[0, 1])
    check(tmp_path, text, index_col=[1, 0], header=None)
    check(tmp_path, text, index_col=0)


@pytest.mark.parametrize("text", [",a\nx,1\ny,2\n", "Unnamed: 0,a\nx,1\ny,2\n"])
def test_an_index_has_the_name_that_pandas_gives_it(tmp_path, text):
    check(tmp_path, text, index_col=0)
    check(tmp_path, text, index_col=0, header=None)


def test_an_index_is_kept_where_other_columns_are_selected_or_filtered_on(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(TEXT)
    whole = pd.read_csv(path, index_col="b")
    dataset = td.open_dataset(str(path), index_col="b", columns=["c"], filters=[("a", ">", 2)])
    got = pd.concat([chunk.read() for chunk in dataset.plan(chunk_size=1)])
    assert_frame_equal(got, whole.loc[whole["a"] > 2, ["c"]])
    table = dataset.plan()[0].read("arrow")
    assert table.column_names == ["b", "c"]


def test_reducers_find_levels_of_the_index_where_no_function_is_given(tmp_path):
    path = tmp_path / "data.csv"
    options = {"index_col": "k", "chunk_size": 1, "scheduler": "synchronous", "progress": False}
    path.write_text("k,x\nb,1\na,2\nb,4\n")
    want = pd.read_csv(path, index_col="k").groupby("k").agg(n=("x", "sum"))
    assert_frame_equal(
        td.process(str(path), reduce=td.group_by("k", n=("x", "sum")), **options).value, want
    )
    path.write_text("k\nb\na\nb\n")
    assert td.process(str(path), reduce=td.count(), **options).value == 3


class Semicolons(csv.excel):
    delimiter = ";"
    quotechar = "'"


@pytest.mark.parametrize("dialect", ["excel-tab", "unix", Semicolons, Semicolons()])
def test_a_dialect_stands_for_its_options(tmp_path, dialect):
    check(tmp_path, "a;b\tc\n1;'2;3'\t4\n", dialect=dialect)


@pytest.mark.parametrize(
    "options",
    [
        {"float_precision": "round_trip"},
        {"memory_map": True},
        {"cache_dates": False},
        {"engine": "c"},
        {"low_memory": True},
        {"low_memory": False},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:.*float_precision")
def test_an_option_that_changes_no_value_is_taken(tmp_path, options):
    check(tmp_path, TEXT, **options)


def test_a_default_of_dtype_holds_for_all_columns_that_it_does_not_name(tmp_path):
    check(tmp_path, "a,b,c\n007,1,08\n", dtype=defaultdict(lambda: str, c="int64"))


def test_a_dtype_holds_for_further_columns_of_that_name(tmp_path):
    check(tmp_path, "a,b,a,a\n01,02,03,04\n", dtype={"a": str})
    check(tmp_path, "a,b,a,a\n01,02,03,04\n", dtype={"a": str, "a.1": "int64"})
    check(tmp_path, "a,a.1\n01,02\n", dtype={"a": str})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"names": {"x"}}, "names"),
        ({"usecols": [0, "b"]}, "usecols"),
        ({"usecols": [0.5]}, "usecols"),
        ({"usecols": [True]}, "usecols"),
        ({"parse_dates": np.array([0, 1])}, "parse_dates"),
        ({"nrows": -1}, "nrows"),
        ({"nrows": 1.5}, "nrows"),
        ({"nrows": "2"}, "nrows"),
        ({"skiprows": [-1]}, "skiprows"),
        ({"skiprows": callable}, "skiprows"),
        ({"skiprows": ["a"]}, "skiprows"),
        ({"index_col": ["a", 0]}, "index_col"),
        ({"index_col": []}, "index_col"),
        ({"index_col": [0, 3]}, "index_col"),
        ({"index_col": 7}, "index_col"),
        ({"index_col": "zz"}, "index_col"),
        ({"index_col": True}, "index_col"),
        ({"index_col": "a", "usecols": ["b"]}, "index_col"),
        ({"dialect": "no such"}, "dialect"),
        ({"dialect": 5}, "dialect"),
        ({"float_precision": "high"}, "float_precision"),
    ],
    ids=str,
)
def test_what_pandas_or_chunks_refuse_is_refused_by_name(tmp_path, options, named):
    path = tmp_path / "data.csv"
    path.write_text(TEXT)
    with pytest.raises(td.errors.PlanError, match=named):
        td.open_dataset(str(path), **options)


@pytest.mark.parametrize("option", ["memory_map", "cache_dates", "doublequote", "dayfirst"])
@pytest.mark.parametrize("value", [None, "False", 1.0])
def test_a_switch_that_is_no_bool_is_refused_as_by_pandas(tmp_path, option, value):
    path = tmp_path / "data.csv"
    path.write_text(TEXT)
    with pytest.raises(ValueError, match=option):
        pd.read_csv(path, **{option: value})
    with pytest.raises(td.errors.PlanError, match=option):
        td.open_dataset(str(path), **{option: value})


def test_texts_of_numpy_are_read_as_pandas_reads_them(tmp_path):
    check(tmp_path, "a,b\nx,1\n,2\n", dtype={"a": np.str_})
    with pytest.raises(td.errors.PlanError, match="'a'"):
        td.open_dataset(str(tmp_path / "data.csv"), dtype={"a": "U8"})


def test_a_default_of_dtype_gives_way_to_that_of_a_name_that_stands_there_twice(tmp_path):
    check(
        tmp_path, "a,b,a,b\n1,2,3,4\n", dtype=defaultdict(lambda: float, a="int64", **{"b.1": str})
    )


def test_an_index_of_objects_is_one_where_a_dict_names_them(tmp_path):
    check(tmp_path, "a,b\n01,2\n", index_col="a", dtype={"a": object})
    with pytest.raises(td.errors.PlanError, match="index_col"):
        td.open_dataset(str(tmp_path / "data.csv"), index_col="a", dtype=object)


def test_an_index_of_inferred_categories_is_refused_beside_arrow_dtypes(tmp_path):
    more = {"index_col": "a", "dtype_backend": "pyarrow"}
    check(tmp_path, "a,b\nx,x\ny,\n", dtype={"a": pd.CategoricalDtype(["y", "x"])}, **more)
    check(tmp_path, "a,b\nx,x\ny,\n", dtype={"b": "category"}, **more)
    with pytest.raises(td.errors.PlanError, match=r"index_col='a'.*CategoricalDtype"):
        td.open_dataset(str(tmp_path / "data.csv"), dtype={"a": "category"}, **more)


@pytest.mark.parametrize("digits", [20, 4_299, 4_400, 40_000])
def test_an_integer_of_any_number_of_digits_leaves_other_columns_what_they_are(tmp_path, digits):
    path = tmp_path / "data.csv"
    path.write_text("a,b\n" + "1,x\n" * 3 + "1," + "9" * digits + "\n" + "1,2\n" * 3)
    check(tmp_path, path.read_text())
    path.write_text("a,b\n" + "1,2\n" * 3 + "1," + "9" * digits + "\n" + "1,2\n" * 3)
    with pytest.raises(td.errors.PlanError, match=r"'b'.*beyond int64"):
        td.open_dataset(str(path))


def test_a_file_of_its_index_alone_has_the_columns_that_pandas_gives_it(tmp_path):
    check(tmp_path, "a\n1\n2\n", index_col="a")


def test_a_switch_beside_a_dialect_is_refused_as_by_pandas(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(TEXT)
    with pytest.raises(td.errors.PlanError, match="doublequote"):
        td.open_dataset(str(path), dialect="excel", doublequote="no")


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": {1: str}},
        {"dtype": {1: "category"}, "usecols": ["b", "c"]},
        {"dtype": {0: str}, "usecols": ["b", "c"]},
        {"dtype": {1: str, "b": "float64"}},
        {"dtype": {0: str}, "index_col": "b"},
        {"dtype": {1: str}, "header": None},
    ],
    ids=str,
)
def test_a_dtype_may_be_named_by_the_position_of_its_column(tmp_path, options):
    path = tmp_path / "data.csv"
    path.write_text("a,b,c\n01,02,03\n04,05,06\n")
    dataset = td.open_dataset(str(path), **options)
    rows = pd.concat([chunk.read() for chunk in dataset.plan(chunk_size=1)])
    whole = pd.read_csv(path, low_memory=False, **options)
    if "index_col" not in options:
        rows = rows.reset_index(drop=True)
    assert_frame_equal(rows, whole)


def test_a_dtype_by_position_is_none_of_another_column_of_that_name(tmp_path):
    check(tmp_path, "a,a\n01,02\n", dtype={0: str})
    check(tmp_path, "a,a\n01,02\n", dtype={1: str})
    check(tmp_path, "a,a\n01,02\n", dtype={"a": str, 1: "float64"})


def test_objects_of_a_name_that_stands_there_twice_are_str_the_second_time(tmp_path):
    check(tmp_path, "a,a,b\n01,02,x\nNA,,1\n", dtype={"a": object})


@pytest.mark.parametrize(
    "options",
    [{"dtype": {9: str}}, {"dtype": {0: object}}, {"dtype": {0: np.dtype("O")}}],
    ids=str,
)
def test_a_dtype_of_no_certain_column_is_refused(tmp_path, options):
    path = tmp_path / "data.csv"
    path.write_text(TEXT)
    with pytest.raises(td.errors.PlanError, match="dtype="):
        td.open_dataset(str(path), **options)


@pytest.mark.parametrize("more", [{}, {"header": None}, {"usecols": ["a", "c"]}], ids=str)
def test_no_index_may_be_asked_for_where_no_row_is_too_long(tmp_path, more):
    path = tmp_path / "data.csv"
    path.write_text(TEXT)
    expected = pd.read_csv(path, index_col=False, low_memory=False, **more)
    for size in SIZES:
        chunks = td.open_dataset(str(path), index_col=False, **more).plan(chunk_size=size)
        got = pd.concat([chunk.read() for chunk in chunks], ignore_index=True)
        assert_frame_equal(got, expected, check_exact=True)
    path.write_text("a,b\n1,2,3\n")
    with pytest.raises(td.errors.PlanError, match="names="):
        td.open_dataset(str(path), index_col=False)


DATES = "d,e,a\n2024-01-02,2020-01-01,1\n2024-01-03,x,2\n,2020-01-03,3\n"


@pytest.mark.parametrize("index_col", [None, 0, 1, "d", [0, 1], ["e", "d"]], ids=str)
def test_all_levels_of_an_index_are_parsed_as_dates(tmp_path, index_col):
    text = DATES.replace("\nx", "\n").replace(",x,", ",,")
    check(tmp_path, text, index_col=index_col, parse_dates=True)


def test_names_of_several_levels_are_those_of_pandas(tmp_path):
    names = [("x", "p"), ("x", "q"), ("y", "p")]
    check(tmp_path, "1,2,3\n4,5,6\n", names=names)
    check(tmp_path, TEXT, names=names, header=0)
    check(tmp_path, "1,2,3\n4,5,6\n", names=names, index_col=0)
    path = str(tmp_path / "data.csv")
    for wrong in ([("x", "p"), "a", "b"], [("x",), ("y", "z"), ("u", "v")], [("x", 1), ("y", 2)]):
        with pytest.raises(td.errors.PlanError, match="names="):
            td.open_dataset(path, names=wrong)


@pytest.mark.parametrize("header", [0, None])
def test_a_negative_count_of_skiprows_skips_nothing_as_in_pandas(tmp_path, header):
    check(tmp_path, TEXT, skiprows=-2, header=header)


@pytest.mark.filterwarnings("ignore:Could not infer format:UserWarning")
@pytest.mark.parametrize(
    "values", [("3", "1"), ("True", "False"), ("1.5", ""), ("a", "2"), ("2020-01-02", "2020-01-01")]
)
@pytest.mark.parametrize(
    "options",
    [
        {"index_col": 0, "parse_dates": True},
        {"index_col": ["i", "x"], "parse_dates": ["x", "y"]},
        {"index_col": 0, "parse_dates": [0], "dtype_backend": "numpy_nullable"},
    ],
    ids=str,
)
def test_an_index_without_dates_is_of_the_type_that_pandas_infers(tmp_path, values, options):
    rows = "".join(f"{value},{number},{value}\n" for number, value in enumerate(values))
    check(tmp_path, f"i,x,y\n{rows}", **options)


def test_an_index_that_a_file_without_rows_lacks_is_refused_by_its_option(tmp_path):
    (tmp_path / "data.csv").write_text("\n")
    with pytest.raises(PlanError, match=r"index_col=\['a'\]"):
        td.open_dataset(str(tmp_path / "data.csv"), header=None, names=["b"], index_col="a")
