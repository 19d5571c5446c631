"""Python objects that functions return: written as they are, or refused, never bent."""

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from dateutil.tz import tzoffset

from taskinity_data.errors import SchemaError
from taskinity_data.output.sink import open_sink

DAY, NOON = dt.date(2020, 1, 1), pd.Timestamp("2020-01-01 17:30").to_pydatetime()
BERLIN = ZoneInfo("Europe/Berlin")


def _write(target, frame, **options):
    with open_sink(target, **options) as sink:
        return sink.commit([sink.writer.write("k", 0, frame)])


def _objects(*values):
    return pd.Series(list(values), dtype=object)


BENT = [
    _objects(DAY, NOON),
    _objects(None, DAY, NOON),
    _objects(pd.Timestamp(NOON), pd.Timestamp(NOON, tz="UTC")),
    _objects(NOON.replace(tzinfo=BERLIN), NOON.replace(tzinfo=ZoneInfo("Europe/Paris"))),
    _objects(dt.time(9, tzinfo=dt.UTC)),
    _objects(b"a", "b"),
    _objects(pd.Timedelta("5ns"), None),
    _objects(Decimal("NaN"), Decimal(1)),
    _objects(Decimal("NaN")),
    _objects(pd.Timestamp(NOON, tz="UTC"), NOON),
    _objects([DAY, NOON]),
    _objects([[NOON]], [[NOON.replace(tzinfo=BERLIN)]]),
    _objects([Decimal("NaN")]),
    _objects({"a": DAY}, {"a": NOON}),
    _objects(np.array([b"a", "b"], dtype=object)),
]


@pytest.mark.parametrize("column", BENT, ids=lambda column: str(list(column)))
def test_objects_that_arrow_would_change_are_refused(tmp_path, column):
    with pytest.raises(SchemaError, match=r"chunk 0 \(k\): column 'x'.*unchanged.*astype") as told:
        _write(tmp_path / "out", pd.DataFrame({"n": range(len(column)), "x": column}))
    assert told.value.column == "x"


def test_objects_in_an_index_and_in_categories_are_looked_at_too(tmp_path):
    labels = pd.Index([DAY, NOON], dtype=object, name="x")
    kinds = pd.Series(pd.Categorical([DAY, NOON], categories=labels))
    frames = [pd.DataFrame({"n": [1, 2]}, index=labels), pd.DataFrame({"n": [1, 2], "x": kinds})]
    for frame in frames:
        with pytest.raises(SchemaError, match=r"column 'x' .*\(date, datetime\)"):
            _write(tmp_path / "out", frame)


KEPT = [
    _objects("a", None, float("nan"), "b"),
    _objects(DAY, None),
    _objects(NOON, pd.NaT, pd.Timestamp(NOON)),
    _objects(NOON.replace(tzinfo=BERLIN), None),
    _objects(NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=1)))),
    _objects(NOON.replace(tzinfo=tzoffset(None, 3600)), NOON.replace(tzinfo=tzoffset(None, 3600))),
    _objects(dt.time(9), None),
    _objects(Decimal("1.5"), None),
    _objects(2**53 + 1, 5),
    _objects(True, False),
    _objects(1, 2.5),
    _objects([1, None], None, []),
    _objects({"a": 1}, {"b": "x"}, {}),
    _objects(np.array([1, 2]), None),
    _objects((1, 2), {3}),
    _objects(pd.Timedelta("5us"), None),
    _objects(None, None),
]


@pytest.mark.parametrize("column", KEPT, ids=lambda column: str(list(column)))
def test_objects_of_one_kind_and_missing_ones_are_written(tmp_path, column):
    frame = pd.DataFrame({"n": range(len(column)), "x": column})
    _write(tmp_path / "ours", frame)
    frame.to_parquet(tmp_path / "theirs.parquet")
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "ours"), pd.read_parquet(tmp_path / "theirs.parquet")
    )


UNFIT = [
    (_objects(2**70, 1), "beyond 64 bits"),
    (_objects(-(2**63) - 1), "beyond 64 bits"),
    (_objects([2**70]), "beyond 64 bits"),
    (pd.Series(pd.Categorical([2**70])), "beyond 64 bits"),
    (_objects(Decimal("Infinity"), Decimal(1)), "infinite decimal"),
    (pd.Series(pd.arrays.SparseArray([0, 0, 1])), "to_dense"),
    (pd.Series([1j]), "imaginary"),
    (_objects(1, "a"), "no type for together"),
    (_objects(object()), "no type for together"),
]


@pytest.mark.parametrize(("column", "said"), UNFIT, ids=lambda one: str(one)[:20])
def test_what_arrow_has_no_type_for_is_told_with_its_column(tmp_path, column, said):
    for name in ("x", 5):
        with pytest.raises(SchemaError, match=rf"chunk 0 \(k\): column {name!r}.*{said}") as told:
            _write(tmp_path / "out", pd.DataFrame({"n": range(len(column)), name: column}))
        assert told.value.column == str(name)
    indexed = pd.DataFrame({"n": range(len(column)), "x": column}).set_index("x")
    if not isinstance(column.dtype, pd.SparseDtype):  # an index is dense
        with pytest.raises(SchemaError, match=f"column 'x'.*{said}"):
            _write(tmp_path / "out", indexed)
