"""A run that left something out of its output is completed there: only that runs, all at once."""

import json
import os
import types
from pathlib import Path

import fsspec
import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.checkpoints import checkpoints as checkpoints_module
from taskinity_data.errors import FlowFailed, PlanError, ResumeError
from taskinity_data.output.local import commit as commit_module
from taskinity_data.output.manifest import read_manifest
from taskinity_data.run.output import RunOutput

FRAME = pd.DataFrame({"n": range(100), "text": [f"t{n}" for n in range(100)]})
RunFigures = types.ModuleType("ran_state")
"""Which chunks ran: in no module of the user, so that it is not part of the functions."""


@pytest.fixture
def ground(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv("data.csv", index=False)
    RunFigures.numbers = []
    return tmp_path


@pytest.fixture
def memory():
    """The file system of ``memory://``, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def refusing(*bad):
    """A function that refuses chunks with these numbers, of 10 rows each."""

    def look(chunk):
        RunFigures.numbers.append(int(chunk.n.iloc[0]) // 10)
        if RunFigures.numbers[-1] in bad:
            raise ValueError("not yet")
        return chunk.assign(twice=chunk.n * 2)

    return look


def mended(chunk):
    RunFigures.numbers.append(int(chunk.n.iloc[0]) // 10)
    return chunk.assign(twice=chunk.n * 2)


def go(function, **options):
    base = {
        "output": "out", "chunk_size": "10 rows", "run_dir": "runs", "scheduler": "synchronous",
        "on_error": "skip", "progress": False,
    }  # fmt: skip
    return td.process("data.csv", function, **(base | options))


def ran():
    """The numbers of the chunks that ran since it was asked last."""
    found = sorted(RunFigures.numbers)
    RunFigures.numbers = []
    return found


def partial(*bad, **options):
    run = go(refusing(*bad), **options)
    assert str(run.status) == "PARTIAL"
    ran()
    return run


def numbers(directory="out"):
    """The rows in the order of the manifest, which is that of the files' names."""
    names = [part.path for part in read_manifest(directory).parts]
    assert names == sorted(names)
    rows = pd.concat([pd.read_parquet(Path(directory, name)) for name in names])
    assert (rows.twice == rows.n * 2).all()
    assert sorted(rows.n) == sorted(pd.read_parquet(directory).n)
    return rows.n.tolist()


def all_but(*bad):
    return [n for n in range(100) if n // 10 not in bad]


def test_only_what_was_left_out_runs_and_joins_what_stands(ground):
    before = partial(2, 5, 9)
    assert numbers() == all_but(2, 5, 9)
    inodes = {path.name: path.stat().st_ino for path in Path("out").glob("*.parquet")}
    done = go(mended, resume=before.run_id)
    assert ran() == [2, 5, 9]
    assert numbers() == list(range(100))
    assert (str(done.status), done.run_id, done.value) == ("COMPLETED", before.run_id, "out")
    assert (done.output.files, done.output.rows) == (10, 100)
    assert done.ledger.loc["processed", "rows"] == 100
    assert done.next_steps == ()
    assert done.quarantine is None
    assert any("the current code" in one for one in done.notices)
    now = {path.name: path.stat().st_ino for path in Path("out").glob("*.parquet")}
    assert {name: now[name] for name in inodes} == inodes  # neither copied nor written anew
    assert sorted(os.listdir(ground)) == ["data.csv", "out", "runs"]
    whole = go(mended, output="whole", run_dir="other")
    assert numbers("whole") == numbers()
    assert [part.path for part in read_manifest("whole").parts] == [
        part.path for part in read_manifest("out").parts
    ]
    assert whole.output.nbytes == done.output.nbytes
    with pytest.raises(ResumeError, match="already written"):
        go(mended, resume=before.run_id)


def test_the_answer_of_a_reducer_is_that_of_the_rows_that_stand(ground):
    options = {"reduce": td.group_by("text", n=("twice", "sum"))}
    before = partial(4, **options)
    done = go(mended, resume=before.run_id, **options)
    assert ran() == [4]
    whole = go(mended, output="whole", run_dir="other", **options)
    pd.testing.assert_frame_equal(done.value, whole.value)


def test_what_still_fails_leaves_the_output_as_it_was_or_joins_later(ground):
    before = partial(2, 5, 9)
    with pytest.raises(FlowFailed):
        go(refusing(5), resume=before.run_id, on_error="fail")
    assert ran() == [2, 5]
    assert numbers() == all_but(2, 5, 9)
    again = go(refusing(5), resume=before.run_id)
    assert (str(again.status), ran()) == ("PARTIAL", [5, 9])  # 2 is kept
    assert numbers() == all_but(5)
    done = go(refusing(), resume=before.run_id)
    assert (str(done.status), ran()) == ("COMPLETED", [5])
    assert numbers() == list(range(100))


def test_what_was_never_committed_runs_again_with_other_code(ground):
    before = partial(2, 5)

    def wrong(chunk):
        RunFigures.numbers.append(int(chunk.n.iloc[0]) // 10)
        if RunFigures.numbers[-1] == 5:
            raise ValueError("stop")
        return chunk.assign(twice=-1)

    with pytest.raises(FlowFailed):
        go(wrong, resume=before.run_id, on_error="fail")
    assert ran() == [2, 5]
    go(mended, resume=before.run_id)
    assert ran() == [2, 5]
    assert numbers() == list(range(100))


def test_nothing_is_visible_before_the_commit_and_what_came_through_is_kept(ground, monkeypatch):
    before = partial(2, 5)
    seen = []

    def stop(place, batch=""):
        seen.append(numbers())
        raise KeyboardInterrupt

    monkeypatch.setattr(commit_module, "publish_over", stop)
    with pytest.raises(KeyboardInterrupt):
        go(mended, resume=before.run_id)
    assert seen == [all_but(2, 5)]
    assert numbers() == all_but(2, 5)
    monkeypatch.undo()
    os.chdir(ground)
    ran()
    assert str(go(mended, resume=before.run_id).status) == "COMPLETED"
    assert numbers() == list(range(100))


def test_other_inputs_of_the_function_are_another_call(ground):
    def scale(chunk, factor):
        RunFigures.numbers.append(int(chunk.n.iloc[0]) // 10)
        if RunFigures.numbers[-1] == 3 and factor == 2:
            raise ValueError("not yet")
        return chunk.assign(twice=chunk.n * factor)

    process_chunk = td.task(on_error="skip")(scale)

    @td.flow
    def scaling(data, factor):
        return process_chunk.map(data, factor)

    options = {
        "output": "out", "run_dir": "runs", "scheduler": "synchronous", "progress": False,
        "data": "data.csv", "chunk_size": "10 rows",
    }  # fmt: skip
    before = td.run_flow(scaling, factor=2, **options)
    assert str(before.status) == "PARTIAL"
    ran()
    done = td.run_flow(scaling, factor=3, resume=before.run_id, **options)
    assert ran() == list(range(10))
    assert str(done.status) == "COMPLETED"
    assert (pd.read_parquet("out").twice == pd.read_parquet("out").n * 3).all()


def test_bad_rows_of_a_bisected_chunk_come_back_at_their_place(ground):
    def look(chunk):
        RunFigures.numbers.append(len(chunk))
        if chunk.n.isin([17, 63]).any():
            raise ValueError("not yet")
        return chunk.assign(twice=chunk.n * 2)

    before = go(look, on_error="bisect")
    assert len(numbers()) == 98
    ran()
    done = go(mended, on_error="bisect", resume=before.run_id)
    assert ran() == [1, 6]  # whole chunks, as parts are in no plan
    assert numbers() == list(range(100))
    assert done.output.files == 10


def test_columns_that_got_their_type_from_other_chunks_are_used_again(ground):
    def look(chunk):
        RunFigures.numbers.append(int(chunk.n.iloc[0]) // 10)
        if RunFigures.numbers[-1] in bad:
            raise ValueError("not yet")
        note = "x" if RunFigures.numbers[-1] == 4 else None
        return chunk.assign(twice=chunk.n * 2, note=pd.Series(note, chunk.index, "object"))

    bad = [6, 7]
    before = go(look)
    ran()
    bad = [7]
    assert str(go(look, resume=before.run_id).status) == "PARTIAL"
    assert 4 not in ran()
    bad = []
    assert str(go(look, resume=before.run_id).status) == "COMPLETED"
    assert len(ran()) <= 2
    assert numbers() == list(range(100))
    assert pd.read_parquet("out").note.notna().sum() == 10


@pytest.mark.parametrize("output_format", ["csv", "jsonl", "arrow"])
def test_partitions_and_other_formats_are_completed_too(ground, output_format):
    def by_tens(bad):
        def look(chunk):
            RunFigures.numbers.append(int(chunk.n.iloc[0]) // 10)
            if RunFigures.numbers[-1] in bad:
                raise ValueError("not yet")
            return chunk.assign(odd=chunk.n % 2)

        return look

    options = {"output_format": output_format, "partition_by": "odd", "max_rows_per_file": 3}
    before = go(by_tens([1, 8]), **options)
    ran()
    done = go(by_tens([]), resume=before.run_id, **options)
    assert done.output.rows == 100
    assert sum(part.rows for part in read_manifest("out").parts) == 100
    dataset = td.open_dataset("out")
    rows = pd.concat([chunk.read() for chunk in dataset.plan()])
    assert sorted(rows.n) == list(range(100))
    whole = go(by_tens([]), output="whole", run_dir="other", **options)
    assert [part.path for part in read_manifest("out").parts] == [
        part.path for part in read_manifest("whole").parts
    ]
    assert whole.output.nbytes == done.output.nbytes


@pytest.mark.parametrize("one_step", [True, False])
def test_an_appended_batch_is_completed_among_those_of_others(ground, monkeypatch, one_step):
    if not one_step:
        monkeypatch.setattr(commit_module, "exchange", lambda one, other: False)
    options = {"if_exists": "append", "allow_repeated": True}
    go(mended, **options)
    before = partial(2, **options)
    go(mended, **options)
    ran()
    first = go(mended, resume=before.run_id, **options)
    assert ran() == [2]
    assert first.output.rows == 100
    assert numbers() == 3 * list(range(100))
    assert sorted(os.listdir(ground)) == ["data.csv", "out", "runs"]


def test_the_first_run_is_completed_before_what_others_have_appended(ground):
    before = partial(2)
    go(mended, if_exists="append", allow_repeated=True)
    ran()
    done = go(mended, resume=before.run_id)
    assert (str(done.status), ran()) == ("COMPLETED", [2])
    assert numbers() == 2 * list(range(100))
    assert len(list(Path("out").glob("*.parquet"))) == 20
    with pytest.raises(ResumeError, match="already written"):
        go(mended, resume=before.run_id)


@pytest.mark.parametrize("number", [0, 1])
def test_a_run_of_a_partitioned_output_is_completed_among_those_of_others(ground, number):
    options = {"if_exists": "append", "allow_repeated": True, "partition_by": "twice"}
    runs = [go(mended, **options) if n != number else partial(2, **options) for n in range(3)]
    ran()
    done = go(mended, resume=runs[number].run_id, **options)
    assert (str(done.status), ran()) == ("COMPLETED", [2])
    assert sorted(pd.read_parquet("out").n) == sorted(3 * list(range(100)))
    assert sum(part.rows for part in read_manifest("out").parts) == 300


def damage(how):
    first = min(Path("out").glob("*.parquet"))
    if how == "gone":
        Path("out").rename("elsewhere")
    elif how == "overwritten":
        go(mended, if_exists="overwrite", run_dir="other")
    elif how == "a file less":
        first.unlink()
    elif how == "a file changed":
        first.write_bytes(first.read_bytes()[:-1] + b"x")
    else:
        Path("out", "mine.txt").write_text("mine")


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("gone", "removed or overwritten"),
        ("overwritten", "removed or overwritten"),
        ("a file less", "is gone since"),
        ("a file changed", "was changed since"),
        ("a file more", "mine.txt"),
    ],
)
def test_an_output_that_is_not_as_it_was_is_refused_before_anything_runs(ground, how, told):
    before = partial(2)
    damage(how)
    ran()
    stands = sorted(Path().glob("out/*"))
    with pytest.raises((ResumeError, PlanError), match=told):
        go(mended, resume=before.run_id)
    assert ran() == []
    assert sorted(Path().glob("out/*")) == stands
    assert td.load_run(before.run_id, "runs").status == "PARTIAL"


def test_a_source_that_is_gone_would_take_its_rows_along(ground):
    FRAME.assign(n=FRAME.n + 100).to_csv("more.csv", index=False)
    options = {"output": "out", "run_dir": "runs", "scheduler": "synchronous", "on_error": "skip"}
    options |= {"chunk_size": "10 rows", "progress": False}
    before = td.process("*.csv", refusing(2), **options)
    Path("more.csv").unlink()
    ran()
    with pytest.raises(ResumeError, match=r"more\.csv, which is no longer a source"):
        td.process("*.csv", mended, resume=before.run_id, **options)
    assert ran() == []
    assert len(numbers()) == 190


def test_a_table_in_memory_is_completed(ground):
    options = {"output": "out", "run_dir": "runs", "scheduler": "synchronous", "on_error": "skip"}
    options |= {"chunk_size": "10 rows", "progress": False}
    before = td.process(FRAME, refusing(2), **options)
    ran()
    done = td.process(FRAME, mended, resume=before.run_id, **options)
    assert (str(done.status), ran()) == ("COMPLETED", [2])
    assert numbers() == list(range(100))


def test_the_newest_run_is_not_completed_unasked(ground):
    before = partial(2)
    with pytest.raises(PlanError, match="already exists"):
        go(refusing(), resume=True)
    run = go(refusing(), resume=True, if_exists="overwrite")
    assert run.run_id != before.run_id
    assert any(f'resume="{before.run_id}"' in one for one in run.notices)


# -- stores ---------------------------------------------------------------------------------------

URL = "memory://bucket/out"
STORE = {"output": URL, "scheduler": "threads", "workers": 2}


def stored(memory):
    """The rows in the order of the manifest; all that lies there is listed."""
    manifest = json.loads(memory.cat("/bucket/out/_manifest.json"))
    names = [part["path"] for part in manifest["parts"]]
    there = [name.removeprefix("/bucket/out/") for name in memory.find("/bucket/out")]
    assert sorted([*names, "_manifest.json"]) == sorted(there)
    assert names == sorted(names)
    rows = [pd.read_parquet(f"{URL}/{name}") for name in names]
    return pd.concat(rows).n.tolist()


def test_an_output_in_a_store_is_completed(ground, memory):
    before = partial(2, 5, **STORE)
    assert stored(memory) == all_but(2, 5)
    with pytest.raises(FlowFailed):
        go(refusing(5), resume=before.run_id, **(STORE | {"on_error": "fail"}))
    assert stored(memory) == all_but(2, 5)
    ran()
    again = go(refusing(5), resume=before.run_id, **STORE)
    assert (str(again.status), set(ran()) <= {2, 5}) == ("PARTIAL", True)
    done = go(mended, resume=before.run_id, **STORE)
    assert (str(done.status), ran()) == ("COMPLETED", [5])
    assert stored(memory) == list(range(100))
    assert td.open_dataset(URL).plan() is not None
    with pytest.raises(ResumeError, match="already written"):
        go(mended, resume=before.run_id, **STORE)


def test_what_was_appended_in_a_store_is_completed_among_that_of_others(ground, memory):
    options = STORE | {"if_exists": "append", "allow_repeated": True}
    first = partial(7, **options)
    second = partial(2, **options)
    go(mended, **options)
    ran()
    for run, bad in ((second, 2), (first, 7)):
        assert go(mended, resume=run.run_id, **options).output.rows == 100
        assert ran() == [bad]
    assert stored(memory) == 3 * list(range(100))


def test_a_store_whose_parts_are_gone_or_not_its_own_is_refused(ground, memory):
    before = partial(2, **STORE)
    part = next(name for name in memory.find("/bucket/out") if "part-" in name)
    data = memory.cat(part)
    memory.pipe(part, data[:-1])
    with pytest.raises(ResumeError, match="was changed since"):
        go(mended, resume=before.run_id, **STORE)
    memory.pipe(part, data)
    go(mended, **(STORE | {"if_exists": "overwrite", "run_dir": "other"}))
    with pytest.raises(ResumeError, match="removed or overwritten"):
        go(mended, resume=before.run_id, **STORE)
    assert stored(memory) == list(range(100))


# -- what is told ---------------------------------------------------------------------------------


def test_the_next_step_of_a_call_from_python_is_true(ground):
    before = partial(2, 5)
    told = before.next_steps[0]
    what, _, typed = told.partition(": the same call with ")
    assert what == "rerun what did not complete, with the current code"
    assert str(eval(f"go(mended, {typed})").status) == "COMPLETED"
    assert ran() == [2, 5]
    assert numbers() == list(range(100))


def test_a_killed_run_that_has_committed_is_known_by_its_manifest(ground, monkeypatch):
    commit = RunOutput.commit

    def die(self, *arguments):
        commit(self, *arguments)
        self.written = None  # as far as the run came to know
        raise KeyboardInterrupt

    monkeypatch.setattr(RunOutput, "commit", die)
    with pytest.raises(KeyboardInterrupt) as caught:
        go(refusing(2))
    monkeypatch.setattr(RunOutput, "commit", commit)
    ran()
    done = go(refusing(), resume=caught.value.run.run_id)
    assert ran() == [2]
    assert (str(done.status), numbers()) == ("COMPLETED", list(range(100)))


def test_chunks_of_the_first_seconds_are_no_exception(ground, monkeypatch):
    pd.DataFrame({"n": range(1000)}).to_csv("data.csv", index=False)
    # Nobody asked for a journal, which begins once some time has gone.
    monkeypatch.setattr(checkpoints_module, "MAX_EARLY", 2)
    monkeypatch.setattr(checkpoints_module, "BEGIN_S", 60.0)
    with pytest.raises(KeyboardInterrupt) as caught:
        go(refusing(70), run_dir=None, observers=[Interrupts(90)])
    ran()
    again = go(refusing(70), resume=caught.value.run.run_id, run_dir=None)
    assert (str(again.status), ran()) == ("PARTIAL", [70, *range(90, 100)])
    done = go(refusing(), resume=again.run_id, run_dir=None)
    assert (str(done.status), ran()) == ("COMPLETED", [70])
    assert numbers() == list(range(1000))


class Interrupts:
    """Stops the run once that many chunks have ended."""

    def __init__(self, count):
        self.left = count

    def on_event(self, event):
        if type(event).__name__ == "ChunkFinished":
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt


def test_another_output_is_written_from_its_beginning(ground):
    before = partial(2)
    done = go(mended, resume=before.run_id, output="other")
    assert (str(done.status), numbers("other")) == ("COMPLETED", list(range(100)))
    assert numbers() == all_but(2)


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_workers_complete_it_as_well(ground, scheduler):
    options = {"scheduler": scheduler, "workers": 2}
    before = go(refusing(2, 7), **options)
    assert numbers() == all_but(2, 7)
    done = go(refusing(), resume=before.run_id, **options)
    assert (done.outcomes.status == "COMPLETED").all()
    assert numbers() == list(range(100))


def test_an_output_in_which_nothing_stands_yet_is_completed(ground):
    options = {"chunk_size": "20 rows"}
    before = partial(*range(10), **options)
    assert before.output.rows == 0
    assert f'resume="{before.run_id}"' in before.next_steps[0]
    done = go(mended, resume=before.run_id, **options)
    assert (str(done.status), numbers()) == ("COMPLETED", list(range(100)))


def test_what_a_fallback_stood_in_for_runs_once_the_function_is_mended(ground):
    def instead(chunk):
        return chunk.assign(twice=0)

    before = go(refusing(3), on_error=instead)
    assert (str(before.status), before.output.rows) == ("PARTIAL", 100)
    ran()
    done = go(refusing(), on_error=instead, resume=before.run_id)
    assert (str(done.status), ran()) == ("COMPLETED", [3])
    assert numbers() == list(range(100))


def test_chunks_that_are_cut_otherwise_are_reported_where_code_changed_too(ground):
    before = partial(2)
    done = go(mended, chunk_size="40 rows", resume=before.run_id)
    assert (ran(), numbers()) == ([0, 4, 8], list(range(100)))
    assert any("cut otherwise are run again" in notice for notice in done.notices)
