import csv
import pickle
import re

import numpy as np
import pandas as pd
import pytest

from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.options import SIGNATURE, parse_options


def _without_address(value):
    """The id of a parameter, the same in every process that collects it."""
    return re.sub(" at 0x[0-9a-f]+", "", str(value))


def test_no_options_are_those_of_pandas():
    options = parse_options({})
    assert (options.dialect.sep, options.dialect.quotechar) == (",", '"')
    assert (options.header, options.skiprows, options.encoding) == (0, 0, "utf-8")


def test_every_option_of_pandas_may_be_given_its_default():
    defaults = {
        name: default
        for name, default in SIGNATURE.items()
        if name not in {"low_memory", "dtype_backend"} and not isinstance(default, type)
    }
    assert parse_options({**defaults, "low_memory": False}) == parse_options({})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"skipfooter": 1}, "skipfooter"),
        ({"index_col": False, "on_bad_lines": "skip"}, "index_col"),
        ({"converters": {"a": int}}, "converters"),
        ({"parse_dates": [["a", "b"]]}, "names or positions"),
        ({"parse_dates": {"d": ["a", "b"]}}, "names or positions"),
        ({"parse_dates": ("a",)}, "names or positions"),
        ({"parse_dates": [True]}, "names or positions"),
        ({"parse_dates": [0], "usecols": ["a"]}, "give names"),
        ({"date_format": "%Y"}, "has no effect"),
        ({"date_format": "%Y", "parse_dates": False}, "has no effect"),
        ({"date_format": 1, "parse_dates": ["a"]}, "dict of column to format"),
        ({"date_format": {"a": 1}, "parse_dates": ["a"]}, "dict of column to format"),
        ({"date_format": "mixed", "parse_dates": ["a"]}, "ISO8601"),
        ({"date_format": {"a": "mixed"}, "parse_dates": ["a"]}, "ISO8601"),
        ({"sep": r"\s+", "on_bad_lines": "quarantine"}, "'skip'"),
        ({"iterator": True}, "iterator"),
        ({"chunksize": 10}, "chunk_size="),
        ({"lineterminator": ";"}, "lineterminator"),
        ({"skiprows": [1], "comment": "#"}, "comment="),
        ({"nrows": 5, "on_bad_lines": "skip"}, "on_bad_lines"),
        ({"usecols": bool, "header": None}, "positions"),
        ({"usecols": "ab"}, "list"),
        ({"header": [1, 0]}, "order of the file"),
        ({"header": -1}, "header"),
        ({"sep": None}, "guess"),
        ({"sep": "::"}, "regular expression"),
        ({"sep": r"\s*"}, "regular expression"),
        ({"sep": "§"}, "ASCII"),
        ({"sep": "\n"}, "can't be used"),
        ({"sep": ",", "delimiter": ";"}, "same option"),
        ({"sep": '"'}, "must differ"),
        ({"quotechar": "''"}, "one ASCII"),
        ({"quotechar": None}, "QUOTE_NONE"),
        ({"quoting": csv.QUOTE_NONNUMERIC}, "quoting"),
        ({"encoding": "utf-9"}, "Did you mean 'utf-8'"),
        ({"encoding_errors": "ignored"}, "Did you mean 'ignore'"),
        ({"engine": "python"}, "engine"),
        ({"engine": "pyarrow"}, "engine"),
        ({"on_bad_lines": lambda fields: None}, "Python engine"),
        ({"on_bad_lines": "quarantin"}, "Did you mean 'quarantine'"),
        ({"on_bad_lines": "skipp"}, "Did you mean 'skip'"),
        ({"on_bad_lines": "skip", "usecols": ["a"]}, "columns="),
        ({"float_precision": "legacy"}, "correctly rounded"),
        ({"dtype_backend": "numpy"}, "dtype_backend"),
        ({"true_values": ["1"]}, "true_values"),
        ({"false_values": [" 0.5 "]}, "false_values"),
        ({"true_values": "yes"}, "a list"),
        ({"false_values": ("no",)}, "a list"),
        ({"false_values": [0]}, "strings"),
        ({"decimal": None}, "decimal"),
        ({"thousands": ",,"}, "thousands"),
        ({"seperator": ";"}, "Did you mean"),
        ({"colums": ["a"]}, "Did you mean 'columns'"),
        ({"quote_char": "'"}, "Did you mean 'quotechar'"),
    ],
    ids=_without_address,
)
def test_what_can_not_be_honoured_is_refused_by_name_with_a_way_out(options, said):
    with pytest.raises(PlanError) as caught:
        parse_options(options)
    assert said in str(caught.value)
    assert any(name in str(caught.value) for name in options)


def test_spellings_of_an_encoding_are_one_encoding():
    assert {parse_options({"encoding": name}).encoding for name in ("UTF-8", "utf8", "utf_8")} == {
        "utf-8"
    }
    assert parse_options({"encoding": "ISO-8859-1"}).encoding == "iso8859-1"
    assert parse_options({"encoding": "shift-jis"}).encoding == "shift_jis"
    assert parse_options({"encoding": "UTF_16LE"}).encoding == "utf-16-le"


def test_names_alone_mean_that_there_is_no_header():
    assert parse_options({"names": ["a"]}).header is None
    assert parse_options({"names": ["a"], "header": 0}).header == 0


def test_options_pickle():
    options = parse_options({"sep": ";", "dtype": {"a": "int32"}, "na_values": ["x"]})
    assert pickle.loads(pickle.dumps(options)) == options


def test_identity_differs_where_an_option_does_and_not_by_the_order_of_a_set():
    texts = {
        parse_options(options).identity
        for options in (
            {},
            {"sep": ";"},
            {"na_values": ["x"]},
            {"na_values": ["y"]},
            {"encoding": "latin-1"},
            {"dtype": {"a": np.dtype("int32")}},
            {"dtype": {"a": pd.CategoricalDtype(["x"])}},
            {"dtype": {"a": pd.CategoricalDtype(["y"])}},
            {"na_values": np.arange(5000)},
            {"na_values": np.where(np.arange(5000) == 2500, -1, np.arange(5000))},
        )
    }
    assert len(texts) == 10
    first, second = {"na_values": {"a", "b"}}, {"na_values": {"b", "a"}}
    assert parse_options(first).identity == parse_options(second).identity
