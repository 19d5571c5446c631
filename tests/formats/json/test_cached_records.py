"""Records that were parsed when a dataset was opened, and that its run takes."""

import json
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import taskinity_data as td
from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.open_dataset import open_source
from taskinity_data.errors import PlanError, ReadError
from taskinity_data.formats import reader as base_reader
from taskinity_data.formats import sampling
from taskinity_data.formats.json import reader as reader_module

CORPUS = Path(__file__).parents[2] / "corpus" / "tables"


def read(path, grain_nbytes, slice_nbytes, caches_rows, as_):
    """The rows of chunks of a grain each, as one table or as frames, or the refusal."""
    with ExitStack() as stack:
        for module in (sampling, base_reader):
            stack.enter_context(mock.patch.object(module, "GRAIN_NBYTES", grain_nbytes))
        for name in ("SCAN_SLICE_NBYTES", "MIN_SCAN_SLICE_NBYTES"):
            stack.enter_context(mock.patch.object(sampling, name, slice_nbytes))
        try:
            dataset = open_source(str(path), {}, caches_rows=caches_rows)
            pieces = list(dataset.iter_grains(grain_nbytes))
            parts = [Chunk(dataset.reader, (piece,)).read(as_) for piece in pieces]
        except (PlanError, ReadError) as error:
            return str(error)
    return pa.concat_tables(parts) if as_ == "arrow" else [part.to_dict("list") for part in parts]


def check(path, grain_nbytes, slice_nbytes):
    for as_ in ("arrow", "pandas"):
        cached, plain = (
            read(path, grain_nbytes, slice_nbytes, caches_rows, as_)
            for caches_rows in (True, False)
        )
        assert type(cached) is type(plain)
        # By their texts, since NaN is not itself.
        assert str(getattr(cached, "schema", "")) == str(getattr(plain, "schema", ""))
        rows = [getattr(part, "to_pylist", lambda part=part: part)() for part in (cached, plain)]
        assert repr(rows[0]) == repr(rows[1])


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.json*")), ids=lambda path: path.name)
def test_cached_records_of_other_projects_are_those_of_the_file(path):
    size = max(1, path.stat().st_size // 12)
    check(path, size, 3 * size)


VALUES = st.sampled_from([
    None, True, False, 0, -3, 7, 2**53 + 1, 2**63 - 1, 1.5, -0.0, 1e300, "", "x", "2020-01-01",
    "2020-01-01T00:00:00", [], [1], [None], {"p": 1}, {"q": "x"},
])  # fmt: skip


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(st.lists(VALUES, min_size=1, max_size=3), min_size=1, max_size=3),
    rows=st.integers(1, 30),
    sizes=st.tuples(st.integers(1, 60), st.integers(1, 4)),
    data=st.data(),
)
def test_cached_records_of_drawn_files_are_those_of_the_file(kinds, rows, sizes, data, tmp_path):
    records = [
        {f"c{number}": data.draw(st.sampled_from(kind)) for number, kind in enumerate(kinds)}
        for _ in range(rows)
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    check(path, sizes[0], sizes[0] * sizes[1])


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_a_run_parses_nothing_again_and_has_each_record_once(suffix, tmp_path, monkeypatch):
    records = [{"key": f"k{n % 7}", "n": n, "x": None if n % 3 else n / 7} for n in range(80_000)]
    lines = [json.dumps(record) for record in records]
    text = "\n".join(lines) if suffix == "jsonl" else f"[{','.join(lines)}]"
    path = tmp_path / f"a.{suffix}"
    path.write_text(text)
    parses = []
    read_piece = reader_module.JsonReader._read_piece
    monkeypatch.setattr(
        reader_module.JsonReader,
        "_read_piece",
        lambda self, piece, fields: parses.append(piece) or read_piece(self, piece, fields),
    )
    run = td.process(str(path), reduce=td.concat(), scheduler="threads", workers=2, progress=False)
    assert run.value["n"].tolist() == list(range(80_000))
    assert run.value["key"].tolist() == [record["key"] for record in records]
    assert len(run.plan) > 1
    assert parses == []
