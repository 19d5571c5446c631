"""``output=``: what a run writes, read again by others, and what it leaves if it ends otherwise."""

import json
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import duckdb
import fsspec
import pandas as pd
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import taskinity_data as td
from taskinity_data.errors import FlowFailed, PlanError

FLIGHTS = Path(__file__).parents[2] / "datasets" / "flights"
MONTHS = [FLIGHTS / f"2013-0{month}.parquet" for month in (1, 2)]
FRAME = pd.DataFrame({"a": [1, 2, 3]})
TYPED = ("parquet", "arrow")
COLUMNS = ["carrier", "month", "dep_delay", "distance"]


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out"


def late(chunk):
    return chunk[chunk.dep_delay > 60]


def expected():
    whole = pd.concat([pd.read_parquet(month, columns=COLUMNS) for month in MONTHS])
    return late(whole).reset_index(drop=True)


def run(target, function=late, source=MONTHS, **options):
    options = {"columns": COLUMNS, "scheduler": "threads", "progress": False, **options}
    return td.process(list(map(str, source)), function, output=target, **options)


def left(directory):
    """What lies beside the target that is not the target."""
    return [path.name for path in directory.iterdir() if path.name != "out"]


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_the_parts_are_the_rows_in_order_and_the_value_is_where_they_are(target, scheduler):
    done = run(target, scheduler=scheduler, workers=2, chunk_size="10_000 rows")
    assert done.value == str(target)
    files = sorted(target.glob("*.parquet"))
    assert len(files) == done.output.files == len(done.plan) > 4
    read = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    pd.testing.assert_frame_equal(read, expected(), check_names=True)
    assert done.output.rows == len(read)
    assert done.output.nbytes == sum(file.stat().st_size for file in files)
    assert left(target.parent) == []


def test_a_reducer_still_answers_and_sees_what_is_written(target):
    done = run(target, reduce=td.group_by("carrier", n=("dep_delay", "count")))
    pd.testing.assert_frame_equal(
        done.value, expected().groupby("carrier").agg(n=("dep_delay", "count"))
    )
    assert done.output.rows == len(expected())


def test_without_a_function_all_columns_are_written_whatever_the_reducer_looks_at(target):
    done = run(target, None, reduce=td.group_by("carrier", n=("dep_delay", "count")))
    assert list(td.open_dataset(target).head(1).columns) == COLUMNS
    assert done.output.rows == done.value["n"].sum() + (
        pd.concat([pd.read_parquet(month) for month in MONTHS]).dep_delay.isna().sum()
    )


@pytest.mark.parametrize("output_format", ["parquet", "csv", "jsonl", "arrow"])
def test_each_format_reads_back_through_open_dataset(target, output_format):
    run(target, output_format=output_format, chunk_size="20_000 rows")
    read = td.process(target, reduce=td.concat(), progress=False).value
    # Text holds no types: a column of whole floats reads as integers.
    pd.testing.assert_frame_equal(read, expected(), check_dtype=output_format in TYPED)


def test_partitions_come_back_as_columns_and_are_read_by_others(target):
    run(target, partition_by=["carrier"])
    told = duckdb.sql(
        f"select carrier, count(*) n from read_parquet('{target}/**/*.parquet', "
        "hive_partitioning=true) group by 1 order by 1"
    ).df()
    counts = expected().groupby("carrier").size()
    assert dict(zip(told.carrier, told.n, strict=True)) == dict(counts)
    read = td.process(
        target, reduce=td.group_by("carrier", n=("distance", "count")), progress=False
    ).value
    assert dict(read.n) == dict(counts)


def test_the_manifest_tells_rows_inputs_and_the_run(target):
    done = run(target)
    told = json.loads((target / "_manifest.json").read_text())
    assert told["rows"] == len(expected())
    assert told["meta"]["run_id"] == done.run_id
    assert [one["path"] for one in told["meta"]["inputs"]] == list(map(str, MONTHS))


def test_what_exists_is_an_error_before_work_unless_told(target):
    run(target)
    before = sorted(path.name for path in target.iterdir())
    calls = []
    with pytest.raises(PlanError, match=r"out.*overwrite"):
        run(target, lambda chunk: calls.append(1))
    assert not calls
    assert sorted(path.name for path in target.iterdir()) == before
    rows = len(expected())
    with pytest.raises(PlanError, match="already"):
        run(target, if_exists="append")
    assert run(target, if_exists="append", allow_repeated=True).output.rows == rows
    assert td.process(target, reduce=td.count(), progress=False).value == 2 * rows
    run(target, if_exists="overwrite")
    assert td.process(target, reduce=td.count(), progress=False).value == rows


def test_a_failed_run_leaves_nothing_and_an_overwritten_target_as_it_was(target):
    def fail(chunk):
        if chunk.month.iloc[0] == 2:
            raise ValueError("February")
        return chunk

    with pytest.raises(FlowFailed, match="February"):
        run(target, fail)
    assert not target.exists()
    assert left(target.parent) == []
    run(target)
    with pytest.raises(FlowFailed, match="February"):
        run(target, fail, if_exists="overwrite")
    assert td.process(target, reduce=td.count(), progress=False).value == len(expected())


def test_a_partial_run_commits_what_there_is_and_says_so(target):
    def fail(chunk):
        if chunk.month.iloc[0] == 2:
            raise ValueError("February")
        return chunk

    done = run(target, fail, on_error="skip")
    assert str(done.status) == "PARTIAL"
    assert done.output.rows == len(pd.read_parquet(MONTHS[0]))


def test_a_retried_chunk_is_written_once(target, tmp_path):
    def flaky(chunk):
        mark = tmp_path / f"tried-{chunk.month.iloc[0]}"
        if not mark.exists():
            mark.touch()
            raise OSError("once")
        return chunk

    done = run(target, flaky, retries=1, retry_delay=0)
    assert done.outcomes.attempts.max() == 2
    assert done.output.rows == sum(len(pd.read_parquet(month)) for month in MONTHS)


def test_chunks_that_disagree_on_columns_fail_the_run_and_name_the_column(target):
    def more(chunk):
        return chunk.assign(extra=1) if chunk.month.iloc[0] == 2 else chunk

    with pytest.raises(FlowFailed, match="extra"):
        run(target, more)
    assert not target.exists()


def test_a_result_that_is_no_table_fails_its_chunk_with_what_to_return(target):
    with pytest.raises(FlowFailed, match="DataFrame"):
        run(target, len)
    assert not target.exists()


def test_options_of_an_output_that_there_is_not_are_refused():
    with pytest.raises(PlanError, match="output="):
        td.process(str(MONTHS[0]), len, partition_by=["carrier"], progress=False)


def test_where_a_flow_ends_with_what_is_written_no_table_comes_back(target):
    flow = td.parse_flow("flow Clean:\n    Prepare -> Clean[*]\n").bind(
        {"prepare": lambda data: td.open_dataset(data), "clean": late}
    )
    done = td.run_flow(flow, data=list(map(str, MONTHS)), output=target, progress=False)
    assert done.value == str(target)
    assert done.results == {"Prepare": done.results["Prepare"]}
    assert done.output.rows == len(late(pd.concat([pd.read_parquet(month) for month in MONTHS])))


def test_a_plain_aggregate_still_gets_what_is_written(target):
    flow = td.parse_flow("flow Clean:\n    Prepare -> Clean[*] -> Count\n").bind(
        {"prepare": lambda data: td.open_dataset(data), "clean": late, "count": len}
    )
    done = td.run_flow(flow, data=list(map(str, MONTHS)), output=target, progress=False)
    assert done.value == len(done.plan)


def test_an_output_that_is_read_is_refused_before_any_chunk_runs(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    FRAME.to_csv(source / "x.csv", index=False)
    options = {"output_format": "csv", "source": [source], "columns": None, "if_exists": "append"}
    options["allow_repeated"] = True
    assert run(source / "out", lambda chunk: chunk, **options).output.rows == len(FRAME)
    calls = []
    for target in (source / "out", source):
        with pytest.raises(PlanError, match=r"reads|this library did not write"):
            run(target, lambda chunk: calls.append(1), **options)
    assert not calls
    assert td.process(str(source), reduce=td.count(), progress=False).value == 2 * len(FRAME)


def test_integers_with_a_null_among_them_name_directories_and_read_back(target):
    frame = FRAME.assign(p=pd.array([None, 1, 2], "Int64"))
    td.process(frame, lambda chunk: chunk, output=target, partition_by="p", progress=False)
    read = td.open_dataset(target).head()
    assert read.sort_values("a").p.tolist()[1:] == [1, 2]
    assert read.p.isna().sum() == 1


def test_a_column_without_a_form_in_files_is_named(target):
    with pytest.raises(FlowFailed, match=r"not support the type of a column.*'z'"):
        td.process(
            FRAME, lambda chunk: chunk.assign(z=pd.cut(chunk.a, 3)), output=target, progress=False
        )
    assert not target.exists()


def test_a_path_that_can_be_none_is_refused():
    with pytest.raises(PlanError, match="not a path"):
        run("a\0b")


def test_a_directory_of_ones_own_is_not_offered_to_be_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(PlanError, match=r"choose another directory$"):
        run(tmp_path)


def test_a_flow_with_two_fan_outs_is_refused(target):
    flow = td.parse_flow("flow Two:\n    A[*] -> X\n    B[*] -> Y\n    X -> Z\n    Y -> Z\n").bind(
        {"a": lambda c: c, "b": lambda c: c, "x": len, "y": len, "z": lambda x, y: 1}
    )
    inputs = {name: [1, 2] for name in flow.required_inputs}
    with pytest.raises(PlanError, match="A, B"):
        td.run_flow(flow, output=target, inputs=inputs, progress=False)


def test_a_partition_column_that_is_missing_is_found_before_the_run_where_it_can_be(target):
    with pytest.raises(PlanError, match=r"no column 'carier' to partition by.*'carrier'"):
        run(target, None, partition_by="carier")
    with pytest.raises(PlanError, match=r"no column 'tailnum'"):
        run(target, None, partition_by=["carrier", "tailnum"])
    with pytest.raises(PlanError, match="uses all columns"):
        run(target, None, partition_by=COLUMNS)
    assert left(target.parent) == []
    run(target, None, partition_by="carrier")
    assert len(list(target.iterdir())) == 17


def test_so_does_a_column_that_no_directory_can_be_named_by(target):
    with pytest.raises(FlowFailed, match=r"'dep_delay' is double.*convert it") as caught:
        run(target, partition_by="dep_delay", on_error="skip")
    assert str(caught.value).count("is double") == 1
    assert left(target.parent) == []


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_else_it_ends_the_run_at_the_first_chunk_whatever_on_error_says(target, scheduler):
    calls = []

    def drop(chunk):
        calls.append(1)
        return chunk.drop(columns="carrier")

    with pytest.raises(FlowFailed, match=r"no column 'carrier' to partition by") as caught:
        run(
            target, drop, partition_by="carrier", chunk_size="1_000 rows", on_error="skip",
            retries=3, workers=1, scheduler=scheduler,
        )  # fmt: skip
    assert len(calls) <= 4  # what was in flight, of 52
    assert str(caught.value.run.status) == "FAILED"
    assert not target.exists()
    assert left(target.parent) == []


@pytest.fixture
def memory():
    """The file system of ``memory://``, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


@pytest.mark.parametrize("output_format", ["parquet", "csv", "jsonl", "arrow"])
def test_a_store_gets_what_a_disk_gets(target, memory, output_format):
    options = {"output_format": output_format, "chunk_size": "20_000 rows"}
    on_disk = run(target, **options)
    for if_exists, times in (("error", 1), ("append", 2), ("overwrite", 1)):
        is_again = {"allow_repeated": True} if if_exists == "append" else {}
        done = run("memory://runs/late", if_exists=if_exists, **is_again, **options)
        assert done.value == done.output.path == "memory://runs/late"
        assert done.output[1:] == on_disk.output[1:]
        read = td.process("memory://runs/late", reduce=td.concat(), progress=False).value
        whole = pd.concat([expected()] * times, ignore_index=True)
        pd.testing.assert_frame_equal(read, whole, check_dtype=output_format in TYPED)
    told = json.loads(memory.cat("/runs/late/_manifest.json"))
    assert told["meta"]["run_id"] == done.run_id
    assert len(memory.find("/runs")) == len(done.plan) + 1


@pytest.mark.thorough
def test_what_is_in_memory_is_written_by_threads(memory):
    assert "threads" in repr(run("memory://runs/late", scheduler=None))
    with pytest.raises(FlowFailed, match="scheduler='threads'"):
        run("memory://runs/other", scheduler="processes", workers=1, on_error="skip")
    assert not memory.find("/runs/other")


def test_a_file_url_is_a_directory_here(target):
    done = run(target.as_uri())
    assert done.value == target.as_uri()
    assert td.open_dataset(target).rows == len(expected())
    assert left(target.parent) == []


def test_a_relative_name_lies_below_the_folder_of_outputs(tmp_path, memory, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASKINITY_OUTPUT_DIR", "results")
    done = run("late/2013")
    assert done.value == done.output.path == os.path.join("results", "late", "2013")
    assert td.open_dataset("results/late/2013").rows == done.output.rows
    assert run(tmp_path / "elsewhere").value == str(tmp_path / "elsewhere")
    monkeypatch.setenv("TASKINITY_OUTPUT_DIR", "memory://runs/")
    assert run(Path("late")).value == "memory://runs/late"
    assert run("memory://other/late").value == "memory://other/late"
    for name in ("../late", ".", "a/../../b"):
        with pytest.raises(PlanError, match="TASKINITY_OUTPUT_DIR"):
            run(name)
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "results"]
    assert set(memory.find("/")) == set(memory.find("/runs/late") + memory.find("/other/late"))


def test_storage_options_are_for_urls_alone(target):
    for output in (target, None):
        with pytest.raises(PlanError, match="storage_options"):
            run(output, storage_options={"key": "hunter2"})
    flow = td.parse_flow("flow Clean:\n    Prepare -> Clean[*]\n").bind(
        {"prepare": lambda data: td.open_dataset(data), "clean": late}
    )
    with pytest.raises(PlanError, match=r"\(key\) are not used") as caught:
        td.run_flow(
            flow, data=str(MONTHS[0]), output=target, storage_options={"key": "hunter2"},
            progress=False,
        )  # fmt: skip
    assert "hunter2" not in str(caught.value)


def test_passwords_of_a_url_stand_nowhere(memory, monkeypatch):
    class Guarded(MemoryFileSystem):
        protocol = "guarded"

        def __init__(self, password=None, **options):
            super().__init__(**options)

        @classmethod
        def _strip_protocol(cls, path):
            return super()._strip_protocol(f"memory://{path.rpartition('@')[2]}")

        @staticmethod
        def _get_kwargs_from_urls(url):
            return {"password": "hunter2"}

    fsspec.register_implementation("guarded", Guarded, clobber=True)
    done = run("guarded://me:hunter2@runs/late", storage_options={"token": "hunter3"})
    assert done.value == done.output.path == "guarded://runs/late"
    told = memory.cat("/runs/late/_manifest.json").decode()
    with pytest.raises(PlanError, match="not empty") as caught:
        run("guarded://me:hunter2@runs/late", storage_options={"token": "hunter3"})
    for text in (told, repr(done), str(caught.value), done._repr_html_(), str(done.plan)):
        assert "hunter" not in text


@pytest.mark.parametrize("way", ["pandas", "duckdb", "polars"])
def test_directories_of_digits_are_read_as_texts_as_the_design_says(tmp_path, way):
    text = (Path(__file__).parents[2] / "docs" / "design" / "output.md").read_text()
    (code,) = re.findall(f"<!-- texts with {way} -->\n```python\n(.*?)```", text, re.DOTALL)
    frame = pd.DataFrame({"code": pd.Series(["007", "12", "007"], dtype="str"), "n": range(3)})
    results = str(tmp_path / "results")
    td.process(frame, output=results, partition_by="code", progress=False)
    names = {"results": results}
    exec(code, names)
    found = names["frame"] if way != "polars" else names["frame"].to_pandas()
    found = found.sort_values("n", ignore_index=True)
    assert found.code.astype("str").tolist() == frame.code.tolist()
    ours = pd.concat(chunk.read() for chunk in td.open_dataset(results).plan())
    assert ours.sort_values("n").code.tolist() == frame.code.tolist()


@pytest.mark.parametrize("way", ["duckdb", "dask"])
def test_what_was_written_is_sorted_by_two_lines_of_others(tmp_path, way):
    text = (Path(__file__).parents[2] / "docs" / "design" / "output.md").read_text()
    (code,) = re.findall(f"<!-- sort with {way} -->\n```python\n(.*?)```", text, re.DOTALL)
    run(tmp_path / "results")
    with warnings.catch_warnings(action="ignore"):  # Dask's own, of this pandas
        exec(code, {"results": str(tmp_path / "results"), "target": str(tmp_path / "sorted")})
        files = sorted(
            (tmp_path / "sorted").glob("*"), key=lambda file: int(file.name.split(".")[1])
        )
    read = pd.concat(map(pd.read_parquet, files or [tmp_path / "sorted"])).dep_delay
    assert read.tolist() == sorted(expected().dep_delay)


def test_what_a_killed_run_left_is_removed_by_the_next_run(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal\nimport taskinity_data as td\n"
        "def stop(chunk):\n"
        "    if chunk.month.iloc[0] == 2:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return chunk\n"
        f"td.process({list(map(str, MONTHS))!r}, stop, output='out', scheduler='threads',"
        " workers=1, chunk_size='5_000 rows', progress=False)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    stored = {".taskinity"}  # where the run took two seconds
    assert set(os.listdir(tmp_path)) - stored == {".out.writing", "script.py"}
    assert list(tmp_path.glob(".out.writing/run-*/parts/*.parquet"))
    run(tmp_path / "out")
    assert set(os.listdir(tmp_path)) - stored == {"out", "script.py"}
    assert td.open_dataset(tmp_path / "out").rows == len(expected())


def test_the_command_writes_and_says_what(tmp_path):
    (tmp_path / "clean.flow").write_text("flow Clean:\n    Prepare -> Clean[*] -> Report\n")
    (tmp_path / "my_tasks.py").write_text(
        "import taskinity_data as td\n"
        "def prepare(data):\n    return td.open_dataset(data)\n"
        "def clean(chunk):\n    return chunk[chunk.dep_delay > 60]\n"
        "report = td.count()\n"
    )
    done = subprocess.run(
        [
            sys.executable, "-m", "taskinity_data", "run", "clean.flow", "--tasks", "my_tasks.py",
            "--input", f"data={MONTHS[0]}", "--output", "out", "--output-format", "csv", "--json",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    rows = len(late(pd.read_parquet(MONTHS[0])))
    assert told["output"]["rows"] == told["value"] == rows
    assert sum(len(pd.read_csv(part)) for part in (tmp_path / "out").glob("*.csv")) == rows


def test_a_run_that_is_interrupted_leaves_the_target_absent(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, pathlib, signal, threading\nimport taskinity_data as td\n"
        "sent = []\n"
        "def stop(chunk):\n"
        "    if chunk.month.iloc[0] == 2 and not sent:\n"
        "        sent.append(1)\n"
        "        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)\n"
        "        threading.Event().wait(1)\n"
        "    return chunk\n"
        f"td.process({list(map(str, MONTHS))!r}, stop, output='out', scheduler='threads',"
        " workers=1, chunk_size='5_000 rows', progress=False)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode in (-signal.SIGINT, 1, 130), done.stderr
    assert "KeyboardInterrupt" in done.stderr
    # The target is absent; what was finished waits for a resume.
    assert not (tmp_path / "out").exists()
    kept, runs, script = sorted(os.listdir(tmp_path))
    assert kept.startswith(".out.kept-")
    assert (runs, script) == (".taskinity", "script.py")


TYPES = [
    pa.int64(), pa.uint8(), pa.bool_(), pa.float64(), pa.string(), pa.timestamp("us", "UTC"),
    pa.decimal128(3, 1), pa.list_(pa.int64()), pa.dictionary(pa.int8(), pa.string()),
    pa.struct({"a": pa.int8()}), pa.date32(),
]  # fmt: skip


@pytest.mark.parametrize("function", [None, lambda chunk: chunk], ids=["rows", "function"])
@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_arrow_dtypes_of_a_frame_are_those_that_pandas_reads(tmp_path, type_, function):
    frame = pd.DataFrame({"n": [1, 2], "x": pd.array([None, None], dtype=pd.ArrowDtype(type_))})
    frame.to_parquet(tmp_path / "pandas.parquet")
    td.process(frame, function, output=tmp_path / "out", chunk_size="1 rows", progress=False)
    try:
        expected = pd.read_parquet(tmp_path / "pandas.parquet").x.dtype
    except TypeError:  # pandas does not know the name that it has written
        expected = None
    found = pd.read_parquet(tmp_path / "out").x
    assert found.isna().all()
    if expected is not None and type_ != pa.string():  # which is a dtype of pandas by its name
        assert found.dtype == expected


@pytest.mark.parametrize("function", [None, lambda chunk: chunk], ids=["rows", "function"])
def test_integers_with_nulls_of_an_arrow_dtype_stay_exact_in_an_output(tmp_path, function):
    whole = pd.array([2**53 + 1, None, 7], dtype="int64[pyarrow]")
    frame = pd.DataFrame({"x": whole, "n": [1, 2, 3]})
    td.process(frame, function, output=tmp_path / "out", chunk_size="1 rows", progress=False)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out"), frame)


def test_integers_with_nulls_of_an_arrow_table_are_read_exactly_as_the_design_says(tmp_path):
    td.process(pa.table({"x": [2**53 + 1, None]}), output=tmp_path / "out", progress=False)
    read = pd.read_parquet(tmp_path / "out", dtype_backend="pyarrow")
    assert read.x[0] == 2**53 + 1
