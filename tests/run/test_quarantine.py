"""What failed of a run stands in its quarantine, with its rows, and can be run again from there."""

import errno
import json
import os
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from properties import mostly_thorough

import taskinity_data as td
from taskinity_data.checkpoints import quarantine as module
from taskinity_data.checkpoints import quarantine_rows as aside_rows
from taskinity_data.errors import FlowFailed, ResumeError
from taskinity_data.run.history import clean_runs

FRAME = pd.DataFrame({"a": range(40), "b": [f"text {n}" for n in range(40)]})


@pytest.fixture
def ground(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv("data.csv", index=False)
    FRAME.to_parquet("data.parquet")
    return tmp_path


def fails_at(*bad, error=ValueError):
    def look(chunk):
        if chunk.a.isin(bad).any():
            raise error(f"no {bad} please")
        return chunk

    return look


def go(function, source="data.csv", **options):
    base = {
        "reduce": td.concat(),
        "chunk_size": "10 rows",
        "run_dir": "runs",
        "scheduler": "synchronous",
    }
    return td.process(source, function, **(base | options))


def entries(run):
    return sorted(
        (json.loads(path.read_text("ascii")) for path in run.quarantine.glob("*.json")),
        key=lambda one: (one["position"], one["row"] or 0),
    )


def rows_of(run, entry):
    return pd.read_feather(run.quarantine / entry["kept"]["file"])


@pytest.mark.parametrize("source", ["data.csv", "data.parquet", FRAME])
def test_each_bad_row_of_a_bisected_chunk_is_an_entry_with_its_row_place_and_error(ground, source):
    run = go(fails_at(7, 33), source, on_error="bisect")
    found = entries(run)
    assert [(one["position"], one["row"], one["rows"]) for one in found] == [(0, 7, 1), (3, 3, 1)]
    for entry, number in zip(found, (7, 33), strict=True):
        expected = FRAME.iloc[[number]].reset_index(drop=True)
        pd.testing.assert_frame_equal(rows_of(run, entry), expected)
        (piece,) = entry["pieces"]
        if isinstance(source, str) and source.endswith("csv"):
            assert Path("data.csv").read_bytes()[piece["start"] : piece["stop"]] == (
                f"{number},text {number}\n".encode()
            )
        else:
            assert (piece["start"], piece["stop"], entry["unit"]) == (number, number + 1, "rows")
        assert entry["error"] == "ValueError: no (7, 33) please"
        assert "in look" in entry["traceback"]
        assert entry["key"] in set(run.failures.key)
    assert run.ledger.loc["quarantined", "rows"] == 2
    past = td.load_run(run.run_id, "runs").failures
    columns = ["task", "key", "path", "start", "stop", "status", "error", "traceback", "nbytes"]
    now = run.failures
    assert past[columns].values.tolist() == now[columns].values.tolist()
    difference = past.started.reset_index(drop=True) - now.started.reset_index(drop=True)
    assert difference.abs().max() < pd.Timedelta("2ms")


def test_a_skipped_chunk_is_an_entry_with_all_attempts(ground):
    run = go(fails_at(15), on_error="skip", retries=2, retry_delay=0)
    (entry,) = entries(run)
    pd.testing.assert_frame_equal(rows_of(run, entry), FRAME.iloc[10:20].reset_index(drop=True))
    assert (entry["status"], entry["position"], entry["row"]) == ("SKIPPED", 1, 0)
    assert [one["number"] for one in entry["attempts"]] == [1, 2, 3]
    assert all(one["worker"] and one["peak_nbytes"] for one in entry["attempts"])
    assert entry["versions"]["pandas"] == pd.__version__
    assert entry["platform"]


def test_a_failed_run_says_where_and_what_to_type_next(ground):
    with pytest.raises(FlowFailed) as caught:
        go(fails_at(15))
    run = caught.value.run
    key = run.failures.key.item()
    assert [one["key"] for one in entries(run)] == [key]
    for text in (str(caught.value), str(run)):
        assert str(run.quarantine) in text
        assert f'td.replay("{run.run_id}", "{key}", run_dir=' in text
        assert f'resume="{run.run_id}"' in text
    assert str(run.quarantine) in run._repr_html_()
    assert str(run.quarantine) in run.report(ground / "report.html").read_text()
    past = td.load_run(run.run_id, "runs")
    assert past.quarantine == run.quarantine


def test_what_does_not_parse_is_kept_as_it_stands(ground):
    lines = Path("data.csv").read_text().splitlines()
    lines[16] = "x,text"
    Path("data.csv").write_text("\n".join(lines) + "\n")
    run = go(lambda chunk: chunk, dtype={"a": "int64"}, on_error="skip")
    (entry,) = entries(run)
    assert entry["kept"]["file"].endswith(".raw")
    raw = (run.quarantine / entry["kept"]["file"]).read_bytes()
    assert raw.decode().splitlines() == lines[11:21]
    assert entry["error"].startswith("SchemaError")
    assert "SchemaError" in entry["kept"]["why_not"]


def test_lines_that_do_not_parse_stand_in_one_file_for_each_chunk(ground):
    lines = Path("data.csv").read_text().splitlines()
    lines[3], lines[25] = "1,2,3", "4,5,6,\x1b[31m"
    Path("data.csv").write_text("\n".join(lines) + "\n")
    run = go(lambda chunk: chunk, on_bad_lines="quarantine")
    found = entries(run)
    assert [one["bad_lines"] for one in found] == [1, 1]
    assert {one["status"] for one in found} == {"COMPLETED"}
    kept = pd.concat([rows_of(run, one) for one in found], ignore_index=True)
    columns = ["path", "start", "stop", "row", "raw", "reason"]
    pd.testing.assert_frame_equal(kept[columns], run.bad_lines[columns], check_dtype=False)
    # Used again they are still there.
    again = go(lambda chunk: chunk, on_bad_lines="quarantine", resume=run.run_id)
    assert again.run_id == run.run_id
    assert len(entries(again)) == 2


def test_replay_of_an_entry_runs_that_row_alone(ground):
    run = go(fails_at(7, 33), on_error="bisect")
    key = entries(run)[1]["key"]
    with pytest.raises(ValueError, match="please"):
        td.replay(run.run_id, key, tasks={"ProcessChunk": fails_at(33)}, run_dir="runs")
    back = td.replay(run.run_id, key, tasks={"ProcessChunk": fails_at(7)}, run_dir="runs")
    pd.testing.assert_frame_equal(back, FRAME.iloc[[33]].reset_index(drop=True))
    with pytest.raises(ResumeError, match="no finished chunk 'other'"):
        td.replay(run.run_id, "other", run_dir="runs")


class Today:
    """What functions of the runs below do, which is not part of their code."""

    bad = ()


def look(chunk):
    return fails_at(*Today.bad)(chunk)


def test_an_entry_goes_once_its_chunk_comes_through(ground):
    Today.bad = (7, 33)
    run = go(look, on_error="bisect")
    first = entries(run)
    assert len(first) == 2
    Today.bad = (33,)
    run = go(look, on_error="bisect", resume=run.run_id)
    assert [one["row"] for one in entries(run)] == [3]
    Today.bad = ()
    run = go(look, on_error="bisect", resume=run.run_id)
    assert run.quarantine is None
    assert list((ground / "runs" / run.run_id / "quarantine").iterdir()) == []
    pd.testing.assert_frame_equal(run.value, FRAME)


def test_a_try_that_stops_early_keeps_what_it_has_not_seen(ground):
    Today.bad = (15, 33)
    run = go(look, on_error="skip")
    assert [one["position"] for one in entries(run)] == [1, 3]
    with pytest.raises(FlowFailed) as caught:
        go(look, on_error="fail", resume=run.run_id)
    assert [one["position"] for one in entries(caught.value.run)] == [1, 3]
    assert [one["status"] for one in entries(caught.value.run)] == ["FAILED", "SKIPPED"]


@pytest.mark.parametrize("name", ["a\n..", "..", "../../up", "\x1b[31m", "x" * 200])
def test_hostile_names_stay_in_the_directory(ground, name):
    if "/" not in name:
        source = ground / f"{name} data.csv"
        FRAME.to_csv(source, index=False)
    else:
        source = "data.csv"
    before = {path for path in ground.rglob("*") if "runs" not in path.parts}
    run = go(fails_at(7), source, on_error="skip")
    assert {path for path in ground.rglob("*") if "runs" not in path.parts} == before
    for path in run.quarantine.iterdir():
        assert re.fullmatch(r"[0-9a-f]{32}-[0-9a-f]{8}\.(json|arrow)", path.name)
        assert path.stat().st_mode & 0o077 == 0
    assert run.quarantine.stat().st_mode & 0o077 == 0
    assert entries(run)[0]["pieces"][0]["path"] == str(Path(source).absolute())


def test_no_secret_and_no_environment_stands_in_an_entry(ground, monkeypatch):
    monkeypatch.setenv("A_VARIABLE", "of-the-environment")

    def look(chunk):
        url = "https://me:pass-word@example.org/a?X-Amz-Signature=5ec3e7"
        raise ConnectionError(f"no answer from {url} or s3://key-id:5ec3e7@bucket/a")

    run = go(look, on_error="skip")
    run.report("report.html")
    said = [str(run), run._repr_html_(), run.failures.to_string(), Path("report.html").read_text()]
    everything = [path for path in ground.rglob("*") if path.is_file() and path.name != "data.csv"]
    assert {".log", ".journal", ".json", ".html"} <= {path.suffix for path in everything}
    said += [path.read_bytes().decode("latin1") for path in everything]
    for secret in ("pass-word", "key-id", "of-the-environment", "5ec3e7"):
        assert not any(secret in text for text in said), secret
    kept = b"".join(path.read_bytes() for path in run.quarantine.iterdir())
    assert b"no answer from https://example.org/a?hidden=" in kept
    assert b"s3://bucket/a" in kept


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_what_can_not_be_written_is_said_once_and_costs_the_run_nothing(
    ground, monkeypatch, number
):
    def refuse(path, data, mode):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module, "replace_file", refuse)
    run = go(fails_at(7, 33), on_error="skip")
    expected = FRAME.drop(index=[*range(10), *range(30, 40)]).reset_index(drop=True)
    pd.testing.assert_frame_equal(run.value, expected)
    (notice,) = [one for one in run.notices if "quarantine" in one]
    assert os.strerror(number) in notice
    assert "run.failures" in notice
    assert run.quarantine is None
    assert list((ground / "runs" / run.run_id / "quarantine").iterdir()) == []


def test_an_entry_that_was_not_finished_is_none(ground, monkeypatch):
    whole = module.replace_file
    paths = []

    def fill_up(path, data, mode):
        paths.append(path)
        if len(paths) == 4:  # the second entry's rows are there, what they are is not
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(path, data, mode)

    monkeypatch.setattr(module, "replace_file", fill_up)
    run = go(fails_at(7, 33), on_error="skip")
    assert [one["position"] for one in entries(run)] == [0]
    assert sorted(run.quarantine.iterdir()) == sorted(paths[:3])
    assert {path.stat().st_mode & 0o777 for path in paths[:3]} == {0o600}


def test_runs_that_are_not_kept_have_none(ground):
    run = go(fails_at(7), on_error="skip", run_dir=None)
    assert run.quarantine is None
    assert "Bad rows" not in str(run)
    assert not (ground / ".taskinity").exists()


def test_cleaning_removes_it_with_the_run(ground):
    run = go(fails_at(7), on_error="skip")
    assert run.quarantine.is_dir()
    assert clean_runs("runs") == []
    ((name, status, nbytes),) = clean_runs("runs", older_than_s=0)
    assert (name, status) == (run.run_id, "PARTIAL")
    assert nbytes > 0
    assert not run.quarantine.exists()


def test_items_of_lists_and_streams_have_their_rows_where_they_are_tables(ground):
    def refuse(item):
        raise ValueError("never")

    parts = [FRAME.iloc[:10], FRAME.iloc[10:20]]
    run = go(refuse, iter(parts), reduce=td.count(), on_error="skip", chunk_size="auto")
    for entry, part in zip(entries(run), parts, strict=True):
        pd.testing.assert_frame_equal(rows_of(run, entry), part.reset_index(drop=True))


def test_of_the_largest_and_of_very_many_the_description_alone_is_kept(ground, monkeypatch):
    monkeypatch.setattr(module, "MAX_ENTRY_NBYTES", 10)
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    run = go(fails_at(7, 17, 27), on_error="skip")
    found = entries(run)
    assert [one["position"] for one in found] == [0, 1]
    assert ["file" in one["kept"] for one in found] == [False, False]
    assert "too large" in found[0]["kept"]["why_not"]
    assert len([one for one in run.notices if "2 entries" in one]) == 1


@pytest.mark.parametrize(
    "kind", mostly_thorough([td.errors.WorkerDied, MemoryError, TimeoutError], 1)
)
def test_what_ended_a_worker_is_not_read_here(ground, monkeypatch, kind):
    def look(chunk: td.Chunk):
        raise kind("gone")

    def fail(self, as_="pandas"):
        raise AssertionError("it was read")

    monkeypatch.setattr(td.Chunk, "load", fail)
    run = go(look, reduce=td.count(), on_error="skip", chunk_size="40 rows")
    found = [(run.quarantine / one["kept"]["file"]).read_bytes() for one in entries(run)]
    whole = Path("data.csv").read_bytes().removeprefix(b"a,b\n")
    starts = [one["pieces"][0]["start"] for one in entries(run)]
    assert b"".join(raw for _, raw in sorted(zip(starts, found, strict=True))) == whole
    # What has no raw form stays in its file.
    FRAME.iloc[:4].to_parquet("small.parquet")
    run = go(look, "small.parquet", reduce=td.count(), on_error="skip", chunk_size="4 rows")
    assert all("might fail" in entry["kept"]["why_not"] for entry in entries(run))
    pieces = [piece for entry in entries(run) for piece in entry["pieces"]]
    rows = [row for piece in pieces for row in range(piece["start"], piece["stop"])]
    assert sorted(rows) == [0, 1, 2, 3]


def test_columns_that_arrow_can_not_hold_are_said(ground):
    odd = aside_rows.pack_value(pd.DataFrame({"a": [1, "x", object()]}))
    assert not odd.suffix
    assert odd.why_not
    assert aside_rows.pack_value("no table").why_not
    assert pa.ipc.open_file(aside_rows.pack_value(FRAME).data).read_all().num_rows == 40
