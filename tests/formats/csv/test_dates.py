import pickle
import tempfile
import warnings
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from csv_oracle import as_source, chunks_of, judge, write
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from properties import examples
from reader_contract import Case, ReaderContract

from taskinity_data.errors import PlanError, SchemaError
from taskinity_data.formats import sampling
from taskinity_data.formats.csv.column_types.dates import DateColumn
from taskinity_data.formats.csv.open import open_csv

SIZES = (1, 30, 1 << 30)
ASK = {"parse_dates": ["d"]}


def reader_of(file, options=ASK, **keywords):
    return open_csv(
        [file],
        keywords.get("columns"),
        keywords.get("filters"),
        keywords.get("schema"),
        options,
    )


def text_of(values):
    return "d,x\n" + "".join(f"{value},1\n" for value in values)


def quietly_judge(file, size, options):
    with warnings.catch_warnings():
        # What pandas says of a format that it guesses, or can't guess.
        warnings.simplefilter("ignore", UserWarning)
        return judge(file, size, options)


DATES = {
    "days": (["2020-01-01", "2020-01-02", "0001-01-01", "9999-12-31"], {}),
    "times": (["2020-01-01 10:00:00", "2020-01-01 23:59:59"], {}),
    "a T between": (["2020-01-01T10:00:00", "2020-01-01T23:59:59"], {}),
    "fractions": (["2020-01-01 10:00:00.5", "2020-01-01 23:59:59.123456"], {}),
    "nanoseconds": (["2020-01-01 10:00:00.5", "2020-01-01 23:59:59.123456789"], {}),
    "nanoseconds first": (["2020-01-01 10:00:00.123456789", "2020-01-01 23:59:59.1"], {}),
    "missing ones": (["", "2020-01-01", "NA", "NaT", "2020-01-02"], {}),
    "missing ones alone": (["", "", "NA"], {}),
    "compact": (["20200101", "20200102", ""], {}),
    "years": (["2020", "2021"], {}),
    "months first": (["01/02/2020", "12/31/2020"], {}),
    "days first": (["13/02/2020", "01/02/2020"], {}),
    "words": (["Jan 1 2020", "Feb 2 2020"], {}),
    "short parts": (["2020-01-01", "2020-1-2"], {}),
    "UTC": (["2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z", ""], {}),
    "an offset": (["2020-01-01T00:00:00+01:00", "2020-01-02T00:00:00+01:00"], {}),
    "offsets": (["2020-01-01T00:00:00+01:00", "2020-01-02T00:00:00+02:00"], {}),
    "an offset and none": (["2020-01-01T00:00:00+01:00", "2020-01-02T00:00:00"], {}),
    "no date at all": (["x", "y", ""], {}),
    "one that is none": (["2020-01-01", "x", "2020-01-02"], {}),
    "the last is none": (["2020-01-01", "2020-01-02", "2020-13-01"], {}),
    "numbers": (["1.5", "2.5"], {}),
    "wide integers": (["99999999999999999999", "1"], {}),
    "bools": (["True", "False"], {}),
    "another layout": (["2020-01-01", "2020-01-02 10:00:00"], {}),
    "blanks": ([" 2020-01-01", "2020-01-02"], {}),
    "quoted": (['"2020-01-01"', '"2020-01-02"', '""'], {}),
    "no rows": ([], {}),
    "a format": (["2020/05/01", "2020/06/01", ""], {"date_format": "%Y/%d/%m"}),
    "a format that fails": (["2020/05/01", "2020/13/01"], {"date_format": "%Y/%m/%d"}),
    "a format with an offset": (["2020 +0100", "2021 +0100"], {"date_format": "%Y %z"}),
    "a format by column": (["1.2.2020", "3.4.2021"], {"date_format": {"d": "%d.%m.%Y"}}),
    "a format of another column": (["2020-01-01"], {"date_format": {"x": "%d.%m.%Y"}}),
    "a format of nanoseconds": (
        ["2020-01-01 1.5", "2020-01-01 1.123456789"],
        {"date_format": "%Y-%m-%d %S.%f"},
    ),
    "ISO": (["2020-01-01", "2020-01-02 10:00", "20200103"], {"date_format": "ISO8601"}),
    "ISO, nanoseconds": (
        ["2020-01-01", "2020-01-02T10:00:00.123456789"],
        {"date_format": "ISO8601"},
    ),
    "ISO, an offset and none": (
        ["2020-01-01", "2020-01-02T10:00:00Z"],
        {"date_format": "ISO8601"},
    ),
    "the day first": (["13/02/2020", "01/02/2020"], {"dayfirst": True}),
    "the day first, an unclear value": (["01/02/2020", "03/04/2021"], {"dayfirst": True}),
    "the day first, ISO": (["2020-02-01", "2020-02-13"], {"dayfirst": True}),
    "the day first, and not": (["01/02/2020", "01/13/2020"], {"dayfirst": True}),
    "the day first beside a format": (
        ["01/02/2020"],
        {"dayfirst": True, "date_format": "%m/%d/%Y"},
    ),
    "NaT alone": (["NaT", "nan", ""], {}),
    "NaT first": (["NaT", "2020-01-01T00:00:00Z", "NaT"], {}),
    "own missing values": (["-", "2020-01-01"], {"na_values": ["-"]}),
    "no missing values": (["", "2020-01-01"], {"keep_default_na": False}),
    "bad lines": (["2020-01-01", "x,y,z", "2020-01-02"], {"on_bad_lines": "skip"}),
    "a position": (["2020-01-01", "2020-01-02"], {"parse_dates": [0]}),
    "no header": (["2020-01-01", "2020-01-02"], {"parse_dates": [0], "names": ["e", "y"]}),
    "used columns": (["2020-01-01", ""], {"usecols": ["d"]}),
    "two": (["2020-01-01", ""], {"parse_dates": ["d", "x"], "date_format": {"x": "%d"}}),
    "none": (["2020-01-01"], {"parse_dates": []}),
}


@pytest.mark.parametrize("name", DATES)
def test_chunks_of_any_size_are_the_whole_file(name, tmp_path):
    values, options = DATES[name]
    text = text_of(values)
    if "names" in options:
        text = text.partition("\n")[2]
    file = write(tmp_path, text)
    assert {quietly_judge(file, size, {**ASK, **options}) for size in SIZES} == {"exact"}


@pytest.mark.parametrize("name", DATES)
def test_a_schema_of_many_slices_is_that_of_the_whole_file(name, tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "SCAN_SLICE_NBYTES", 8)
    values, options = DATES[name]
    text = text_of(values)
    if "names" in options:
        text = text.partition("\n")[2]
    file = write(tmp_path, text)
    assert quietly_judge(file, 1, {**ASK, **options}) == "exact"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["now", "2020-01-01"], "differ from chunk to chunk"),
        (["2020-01-01", "today"], "differ from chunk to chunk"),
        (["10:30", "11:30"], "infers no format"),
        (
            ["2020-01-01 00:00:00.123456789", "9999-01-01 00:00:00.1"],
            "out of their range",
        ),
    ],
    ids=str,
)
def test_what_pandas_reads_by_the_clock_or_value_by_value_is_refused(
    values, said, tmp_path, monkeypatch
):
    monkeypatch.setattr(sampling, "SCAN_SLICE_NBYTES", 8)
    file = write(tmp_path, text_of(values))
    with pytest.raises(PlanError, match=said) as caught:
        reader_of(file)
    assert "'d'" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"parse_dates": ["e"]}, "no column 'e'"),
        ({"parse_dates": [2]}, "no column 2"),
        ({"parse_dates": [-1]}, "no column -1"),
        ({"parse_dates": ["d"], "dtype": {"d": str}}, "keep one"),
        ({"parse_dates": ["d"], "usecols": ["x"]}, "usecols"),
    ],
    ids=str,
)
def test_columns_that_can_not_be_dates_are_refused(options, said, tmp_path):
    file = write(tmp_path, text_of(["2020-01-01"]))
    with pytest.raises(PlanError, match=said):
        reader_of(file, options)


# ------------------------------------------------------------------ the frozen type


@pytest.fixture
def _small_sample(monkeypatch):
    monkeypatch.setattr(sampling, "SCAN_NBYTES", 1000)
    monkeypatch.setattr(sampling, "SLICE_NBYTES", 400)


GOOD = "2020-01-01 00:00:00.500000"


@pytest.mark.usefixtures("_small_sample")
@pytest.mark.parametrize(
    ("good", "late"),
    [
        (GOOD, "x"),
        (GOOD, "2020-01-01"),
        (GOOD, "2020-01-01 00:00:00.123456789"),
        (GOOD, "now"),
        ("2020-01-01 00:00:00.123456789", "9999-01-01 00:00:00.123456"),
        ("2020-01-01T00:00:00+01:00", "2020-01-01T00:00:00+02:00"),
        ("", "2020-01-01"),
    ],
)
def test_a_later_value_that_does_not_fit_is_named_with_what_to_give(good, late, tmp_path):
    values = [good] * 2000
    values[703] = late
    file = write(tmp_path, text_of(values))
    reader = reader_of(file)
    errors = []
    for chunk in chunks_of(reader, [file], 3000):
        try:
            chunk.read()
        except SchemaError as error:
            errors.append((chunk, error))
    [(chunk, error)] = errors
    width = len(good) + len(",1\n")
    assert (error.column, error.value) == ("d", late)
    assert chunk.start + error.row * width == len("d,x\n") + 703 * width
    assert "date_format=" in str(error)
    assert file.path in str(error)


@pytest.mark.usefixtures("_small_sample")
def test_a_scan_finds_what_a_sample_misses(tmp_path):
    values = ["2020-01-01"] * 2000
    values[703] = "x"
    file = write(tmp_path, text_of(values))
    assert isinstance(reader_of(file).columns[0], DateColumn)
    reader = reader_of(file, schema="scan")
    frame = pd.concat(
        [chunk.read() for chunk in chunks_of(reader, [file], 3000)], ignore_index=True
    )
    assert_frame_equal(frame, pd.read_csv(file.path, **ASK))


@pytest.mark.usefixtures("_small_sample")
def test_text_in_the_sample_stays_text_whatever_follows(tmp_path):
    values = ["x"] * 50 + ["2020-01-01"] * 1950
    file = write(tmp_path, text_of(values))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        expected = pd.read_csv(file.path, **ASK)
    reader = reader_of(file)
    frame = pd.concat(
        [chunk.read() for chunk in chunks_of(reader, [file], 3000)], ignore_index=True
    )
    assert_frame_equal(frame, expected)


@pytest.mark.usefixtures("_small_sample")
def test_a_first_value_outside_the_sample_gives_no_format(tmp_path):
    values = [""] * 1000 + ["2020-01-01"] * 1000
    file = write(tmp_path, text_of(values))
    with pytest.raises(PlanError, match="first value"):
        reader_of(file)
    for reader in (
        reader_of(file, {**ASK, "date_format": "%Y-%m-%d"}),
        reader_of(file, schema="scan"),
    ):
        frames = [chunk.read() for chunk in chunks_of(reader, [file], 3000)]
        assert_frame_equal(pd.concat(frames, ignore_index=True), pd.read_csv(file.path, **ASK))


def test_the_first_file_gives_the_format_of_all(tmp_path):
    files = [
        write(tmp_path, text_of(["01/02/2020"]), "1.csv"),
        write(tmp_path, "x,d\n1,03/04/2020\n", "2.csv"),
    ]
    reader = open_csv(files, None, None, None, ASK)
    frames = [chunk.read() for chunk in chunks_of(reader, files, 1)]
    assert pd.concat(frames)["d"].tolist() == [
        pd.Timestamp(2020, 1, 2),
        pd.Timestamp(2020, 3, 4),
    ]


# ------------------------------------------------------------------ kinds, filters, identity


@pytest.mark.parametrize(
    ("value", "arrow_type"),
    [
        ("2020-01-01", pa.timestamp("us")),
        ("2020-01-01 00:00:00.123456789", pa.timestamp("ns")),
        ("2020-01-01T00:00:00Z", pa.timestamp("us", "UTC")),
        ("2020-01-01T00:00:00+01:00", pa.timestamp("us", "+01:00")),
    ],
)
@pytest.mark.parametrize("quirk", ["1", '1"'])
def test_every_kind_has_the_frozen_type(value, arrow_type, quirk, tmp_path):
    # A quote within a field is read by the exact engine.
    file = write(tmp_path, f"d,x\n{value},{quirk}\n,2\n")
    reader = reader_of(file)
    assert reader.schema.field("d").type == arrow_type
    [chunk] = chunks_of(reader, [file], 1 << 30)
    table, frame = chunk.read("arrow"), chunk.read()
    assert table.schema == reader.schema
    assert table.column("d").null_count == 1
    assert table.column("d")[0].as_py() == frame["d"].iloc[0]
    assert isinstance(chunk.read("polars"), pl.DataFrame)


def test_dates_are_filtered_by_and_left_out(tmp_path):
    file = write(tmp_path, text_of(["2020-01-01", "2020-01-02", "", "2020-01-03"]))
    filters = [("d", ">", pd.Timestamp("2020-01-01"))]
    for columns, expected in ((None, ["d", "x"]), (["x"], ["x"])):
        reader = reader_of(file, columns=columns, filters=filters)
        result = reader.read([reader.extent(file)], "pandas")
        assert (result.rows, result.filtered) == (2, 2)
        assert list(result.data) == expected
    assert reader_of(file, columns=["x"]).read([reader.extent(file)], "pandas").rows == 4


def test_identity_tells_formats_apart_and_a_reader_pickles(tmp_path):
    file = write(tmp_path, text_of(["01/02/2020"]))
    readers = [
        reader_of(file),
        reader_of(file, {}),
        reader_of(file, {**ASK, "date_format": "%d/%m/%Y"}),
    ]
    assert len({reader.identity() for reader in readers}) == 3
    again = pickle.loads(pickle.dumps(readers[2]))
    assert again.identity() == readers[2].identity()
    frame = again.read([again.extent(file)], "pandas").data
    assert frame["d"].tolist() == [pd.Timestamp(2020, 2, 1)]


def test_a_codec_and_a_slice_that_does_not_parse_do_not_hide_the_dates(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "SCAN_SLICE_NBYTES", 8)
    file = write(tmp_path, (text_of(["2020-01-01", "2020-01-02"])).encode("utf-16"))
    assert judge(file, 1, {**ASK, "encoding": "utf-16"}) == "exact"
    monkeypatch.setattr("taskinity_data.formats.csv.head.HEAD_NBYTES", 16)
    broken = write(tmp_path, b"d,x\n2020-01-01,1\n\xff,2\n2020-01-02,3\n")
    assert reader_of(broken).columns[0].dtype == np.dtype("datetime64[us]")


# ------------------------------------------------------------------ random files

FORMATS = ["%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%d/%m/%Y", "%m/%d/%Y", "%H"]
VALUES = st.one_of(
    st.sampled_from(["", "NA", "x", "1", "2020-02-30", "NaT", " 2020-01-01", "2020-01-01Z"]),
    st.builds(
        lambda moment, layout: moment.strftime(layout),
        st.datetimes(pd.Timestamp("1000-01-01").to_pydatetime()),
        st.sampled_from(FORMATS),
    ),
)


@examples(150)
@given(
    layout=st.sampled_from(FORMATS),
    moments=st.lists(
        st.one_of(st.none(), st.datetimes(pd.Timestamp("1000-01-01").to_pydatetime())), max_size=6
    ),
    others=st.lists(VALUES, max_size=1),
    date_format=st.sampled_from([None, None, *FORMATS, "ISO8601"]),
    size=st.sampled_from([1, 30, 1 << 30]),
)
def test_chunks_are_the_whole_file_or_refused(layout, moments, others, date_format, size):
    texts = ["" if moment is None else moment.strftime(layout) for moment in moments]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "data.csv"
        path.write_text(text_of([*texts, *others, *texts[:2]]))
        options = ASK if date_format is None else {**ASK, "date_format": date_format}
        assert quietly_judge(as_source(path), size, options) in {"exact", "refused"}


@st.composite
def dated(draw):
    days = draw(st.lists(st.one_of(st.none(), st.dates(date(1000, 1, 1))), min_size=1, max_size=12))
    days[0] = days[0] or date(2020, 1, 1)
    text = text_of(["" if day is None else day.isoformat() for day in days])

    def save(directory):
        path = f"{directory}/data.csv"
        Path(path).write_text(text)
        return path

    return Case(save, lambda path: pd.read_csv(path, **ASK), ASK)


class TestContract(ReaderContract):
    cases = dated()
