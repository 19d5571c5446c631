"""How values become JSON, texts of options become values, and what is said of outputs."""

import datetime as dt
import json
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskinity_data.cli.options import parse_inputs, parse_reader_options
from taskinity_data.cli.output import to_plain
from taskinity_data.errors import SettingsError
from taskinity_data.outcome import Attempt, Status

NAMED = pd.DataFrame({"late": [1, 2]}, index=pd.Index(["AA", "UA"], name="carrier"))
MANY = pd.DataFrame(
    {"x": [0.1]}, index=pd.MultiIndex.from_tuples([("a", 1)], names=["key", "number"])
)
HOLES = pd.DataFrame(
    {
        "a": pd.array([1, None], "Int64"),
        "b": [1.5, float("nan")],
        "c": pd.to_datetime(["2013-01-02", None]),
        "d": ["x", None],
        "e": pd.Categorical(["u", None]),
        "f": [True, False],
    }
)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.1 + 0.2, 0.1 + 0.2),
        (float("nan"), None),
        (float("inf"), None),
        ("text", "text"),
        (Status.FAILED, "FAILED"),
        (np.int64(7), 7),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.array([[1, 2]]), [[1, 2]]),
        (pd.NA, None),
        (pd.NaT, None),
        (pd.Timestamp("2013-01-02 03:04"), "2013-01-02T03:04:00"),
        (dt.date(2013, 1, 2), "2013-01-02"),
        (dt.timedelta(seconds=1.5), 1.5),
        (PurePosixPath("/a/b"), "/a/b"),
        ({1: (2, {3})}, {"1": [2, [3]]}),
        (NAMED, [{"carrier": "AA", "late": 1}, {"carrier": "UA", "late": 2}]),
        (NAMED["late"], [{"carrier": "AA", "late": 1}, {"carrier": "UA", "late": 2}]),
        (MANY, [{"key": "a", "number": 1, "x": 0.1}]),
        (pa.table({"a": [1, None]}), [{"a": 1}, {"a": None}]),
        (pl.DataFrame({"a": [1, 2]}), [{"a": 1}, {"a": 2}]),
        (b"\x00", "b'\\x00'"),
        (1 + 2j, "(1+2j)"),
    ],
    ids=repr,
)
def test_values_of_every_kind_become_plain_json(value, plain):
    assert json.loads(json.dumps(to_plain(value), allow_nan=False)) == plain


def test_missing_values_of_a_frame_are_null_whatever_their_kind():
    records = to_plain(HOLES)
    assert records[0] == {
        "a": 1, "b": 1.5, "c": "2013-01-02T00:00:00", "d": "x", "e": "u", "f": True
    }  # fmt: skip
    assert records[1] == {"a": None, "b": None, "c": None, "d": None, "e": None, "f": False}


def test_a_dataclass_becomes_an_object_of_its_fields():
    assert to_plain(Attempt(1, 2.0, 3.0, "w"))["worker"] == "w"


def test_a_number_keeps_all_its_digits():
    frame = pd.DataFrame({"a": [0.1 + 0.2], "b": [2**63 - 1]})
    assert to_plain(frame) == [{"a": 0.30000000000000004, "b": 9223372036854775807}]


def test_the_value_of_an_input_is_the_text_as_it_stands():
    assert parse_inputs(["data=a=b, c", "n=1", "empty="]) == {
        "data": "a=b, c",
        "n": "1",
        "empty": "",
    }


def test_reader_options_are_literals_or_texts():
    texts = ["sep=;", "header=None", "quoting=3", "dtype={'a': 'str'}", "names=['x', 'y']", "a=b=c"]
    assert parse_reader_options(texts) == {
        "sep": ";",
        "header": None,
        "quoting": 3,
        "dtype": {"a": "str"},
        "names": ["x", "y"],
        "a": "b=c",
    }


def test_reader_options_are_never_evaluated():
    assert parse_reader_options(["a=__import__('os').getcwd()"]) == {
        "a": "__import__('os').getcwd()"
    }


@pytest.mark.parametrize("parse", [parse_inputs, parse_reader_options])
@pytest.mark.parametrize("texts", [["a"], ["=1"], ["a b=1"], ["a=1", "a=2"]])
def test_what_is_no_name_and_value_is_refused(parse, texts):
    with pytest.raises(SettingsError):
        parse(texts)


WRITERS = """\
import taskinity_data as td


def data_preparation(data):
    return td.open_dataset(data)


def process_chunk(chunk):
    return chunk.assign(b="=" + chunk.b)


aggregate_results = td.count()
"""


@pytest.mark.parametrize(
    ("options", "files", "first", "codec"),
    [
        (["--max-rows-per-file", "30"], 4, "=x0", "SNAPPY"),
        (["--output-compression", "zstd"], 1, "=x0", "ZSTD"),
        (["--output-format", "csv"], 1, "=x0", None),
    ],
)
def test_options_say_how_an_output_is_written(folder, call, options, files, first, codec):
    (folder / "my_tasks.py").write_text(WRITERS)
    flow = ["totals.flow", "--tasks", "my_tasks.py", "--input", "data=numbers.csv"]
    said = call("run", *flow, "--output", "out", "--json", *options)
    assert said.exit_code == 0, said.stderr
    assert json.loads(said.stdout)["output"]["files"] == files
    parts = sorted((folder / "out").glob("part-*"))
    assert len(parts) == files
    if codec:
        assert pq.ParquetFile(parts[0]).metadata.row_group(0).column(0).compression == codec
        read = pd.concat(map(pd.read_parquet, parts))
    else:
        read = pd.concat(map(pd.read_csv, parts))
    assert read.b.iloc[0] == first
    assert len(read) == 100


def test_the_help_tells_what_the_options_of_outputs_are_for(call):
    said = call("run", "--help").stdout
    for words in (
        "--max-rows-per-file N", "--output-compression C", "s3://BUCKET", "snappy (default)",
    ):  # fmt: skip
        assert words in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--max-rows-per-file", "0"], "max-rows-per-file"),
        (["--output-compression", "ztsd"], "Did you mean 'zstd'"),
    ],
)
def test_options_of_an_output_that_cant_be_are_wrong_calls(folder, call, options, said):
    flow = ["totals.flow", "--tasks", "my_tasks.py", "--input", "data=numbers.csv", "--input"]
    done = call("run", *flow, "factor=1", "--output", "out", *options)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not (folder / "out").exists()


def test_only_new_inputs_are_run_and_shown(folder, call):
    (folder / "my_tasks.py").write_text(
        WRITERS.replace("open_dataset(data)", "open_dataset(data, chunk_size='50 rows')")
    )
    flow = ["totals.flow", "--tasks", "my_tasks.py", "--input", "data=in/*.csv", "--output", "out"]
    flow += ["--if-exists", "append", "--json"]
    (folder / "in").mkdir()
    text = (folder / "numbers.csv").read_text()
    (folder / "in" / "1.csv").write_text(text)

    def run(*options):
        done = call("run", *flow, *options)
        return done.exit_code, json.loads(done.stdout), done.stderr

    code, told, _ = run("--only-new")
    assert (code, told["output"]["rows"], told["chunks"]) == (0, 100, {"ProcessChunk": 2})
    (folder / "in" / "2.csv").write_text(text.replace("x", "y"))
    for again in ((), ("--dry-run",)):
        code, told, said = run(*again)
        assert code == (2 if again else 1)
        assert "1.csv already (1 of these 2 inputs)" in said
        assert "only_new=True" in said
        assert "allow_repeated=True" in said
    code, told, _ = run("--only-new", "--dry-run")
    assert code == 0
    plan = told["stages"][1]["plan"]
    assert (plan["files"], plan["chunks"]) == (1, 2)
    code, told, _ = run("--only-new", "--resume")
    assert (code, told["value"]) == (0, 100)
    code, told, _ = run("--only-new", "--dry-run")
    assert (code, told["stages"][1]["plan"]) == (0, None)
    shown = call("run", *flow[:-1], "--only-new", "--dry-run").stdout
    assert "No chunk: no input is new." in shown
    assert "holds the rows of 2 of these 2 inputs" in shown
    code, told, said = run("--only-new")
    assert (code, told["status"], told["output"]["rows"]) == (0, "COMPLETED", 0)
    assert "nothing is new" in said
    parts = sorted((folder / "out").glob("*.parquet"))
    read = pd.concat(map(pd.read_parquet, parts))
    assert read.b.tolist() == [f"={one}{n}" for one in "xy" for n in range(100)]
    code, told, _ = run("--allow-repeated")
    assert (code, told["output"]["rows"]) == (0, 200)
