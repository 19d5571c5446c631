"""A run that stopped goes on where it stopped, and its answer is that of one that did not stop."""

import errno
import os
import signal
import subprocess
import sys
import threading
import types

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import taskinity_data as td
from taskinity_data.checkpoints import checkpoints as checkpoints_module
from taskinity_data.checkpoints import journal as journal_module
from taskinity_data.checkpoints import value_budget
from taskinity_data.checkpoints.journal import list_segments
from taskinity_data.checkpoints.values import encode
from taskinity_data.chunks.plan import check_tiling
from taskinity_data.errors import FlowFailed, PlanError, ResumeError, SettingsError
from taskinity_data.outcome import RunStatus
from taskinity_data.run.history import clean_runs

REDUCE = td.group_by("k", total=("x", "sum"), mean=("x", "mean"), std=("x", "std"))


@pytest.fixture
def ground(tmp_path, monkeypatch):
    """The working directory, with rows in three files."""
    reset()
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(7)
    (tmp_path / "in").mkdir()
    for number in range(3):
        rows = pd.DataFrame(
            {"k": random.choice(["a", "b"], 400), "x": random.random(400) * 1e6, "n": number}
        )
        rows.to_csv(tmp_path / "in" / f"{number}.csv", index=False)
    return tmp_path


Work = types.ModuleType("work_state")
"""What the functions below count in: no module of the user, so not a part of their code."""


def reset(fails_from=None):
    Work.calls, Work.fails_from = [], fails_from


def work(chunk):
    Work.calls.append(len(chunk))
    if Work.fails_from is not None and len(Work.calls) > Work.fails_from:
        raise ValueError("stop here")
    return chunk.assign(x=chunk.x / 3)


def go(function=work, source="in/*.csv", **options):
    base = {
        "reduce": REDUCE, "chunk_size": "100 rows", "scheduler": "synchronous", "run_dir": "runs",
    }  # fmt: skip
    return td.process(source, function, **(base | options))


def stopped(after, **options):
    """A run that failed after that many chunks."""
    reset(after)
    with pytest.raises(FlowFailed) as caught:
        go(**options)
    reset()
    return caught.value.run


def same_bits(one, other):
    return b"".join(encode(one)) == b"".join(encode(other))


def undisturbed(**options):
    found = go(**({"run_dir": "other"} | options)).value
    reset()
    return found


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize("after", [0, 5, 11])
def test_finished_chunks_are_not_run_again(ground, after, scheduler):
    before = stopped(after)
    run = go(resume=True, scheduler=scheduler, workers=2)
    assert run.run_id == before.run_id
    assert len(Work.calls) == 12 - after
    reset()
    assert same_bits(run.value, undisturbed())
    assert run.status is RunStatus.COMPLETED
    assert run.ledger["rows"]["processed"] == run.ledger["rows"]["planned"] == 1200
    assert (run.outcomes["status"] == "COMPLETED").sum() == 13
    assert any(f"{after} finished chunks" in one for one in run.notices)


@pytest.mark.parametrize("is_named", [True, False])
def test_a_run_whose_directory_can_not_be_written_is_not_resumed(ground, is_named):
    before = stopped(3)
    lock = before.directory / "lock"
    lock.unlink()
    lock.mkdir()
    with pytest.raises(td.errors.ResumeError, match=f"{before.run_id} can't be resumed, since its"):
        go(resume=before.run_id if is_named else True)


def test_a_run_can_stop_again_and_again(ground):
    first = stopped(3)
    for after in (0, 2, 5):
        assert stopped(after, resume=first.run_id).run_id == first.run_id
    run = go(resume=first.run_id)
    assert len(Work.calls) == 12 - 10
    assert same_bits(run.value, undisturbed())


@pytest.mark.parametrize("after", [2, 5])
def test_the_chunks_of_a_file_that_is_given_twice_are_its_own_each(ground, after):
    few = {"source": ["in/0.csv", "in/0.csv"]}
    before = stopped(after, **few)
    assert len(td.load_run(before.run_id, "runs").outcomes) == len(before.outcomes)
    run = go(resume=True, **few)
    assert len(Work.calls) == 8 - after
    kept = td.load_run(run.run_id, "runs").outcomes
    assert kept[["key", "start", "status"]].equals(run.outcomes[["key", "start", "status"]])
    assert (kept["status"] == "COMPLETED").sum() == 9
    reset()
    assert same_bits(run.value, undisturbed(**few))


def test_sizes_that_were_learned_are_repeated(ground, monkeypatch):
    monkeypatch.setattr("taskinity_data.chunks.dataset.first_size", _tiny_size)
    before = stopped(3, chunk_size="auto")
    monkeypatch.setattr("taskinity_data.chunks.dataset.first_size", _large_size)
    run = go(resume=True, chunk_size="auto")
    cuts = [(chunk.path, chunk.start, chunk.stop) for chunk in before.plan][:3]
    assert [(chunk.path, chunk.start, chunk.stop) for chunk in run.plan][:3] == cuts
    assert same_bits(run.value, undisturbed(plan=run.plan))
    check_tiling(run.plan.extents, run.plan.chunks)
    # And where all chunks are cut already, no size is asked for at all.
    reset()
    again = go(resume=True, chunk_size="auto")
    assert Work.calls == []
    assert again.sizes["ProcessChunk"][0][2] == "as in the earlier run"
    assert same_bits(again.value, run.value)


def _tiny_size(*_):
    from taskinity_data.chunks.sizing import Size

    return Size(2000, "tiny")


def _large_size(*_):
    from taskinity_data.chunks.sizing import Size

    return Size(40_000, "large")


@pytest.mark.parametrize("name", ["parquet", "json", "frame", "table", "list"])
def test_every_kind_of_source_can_be_gone_on_with(ground, name):
    frame = pd.concat([pd.read_csv(one) for one in sorted((ground / "in").glob("*.csv"))])
    if name == "parquet":
        frame.to_parquet("data.parquet", row_group_size=300)
        source = "data.parquet"
    elif name == "json":
        frame.to_json("data.jsonl", orient="records", lines=True)
        source = "data.jsonl"
    else:
        source = frame.reset_index(drop=True)
        source = pa.Table.from_pandas(source) if name == "table" else source
    if name == "list":
        flow = td.parse_flow("flow F:\n    Make -> Work[*] -> Add\n").bind(
            {"Make": lambda: [1.5, 1.5, float("nan"), 4], "Work": item_work, "Add": list}
        )
        reset(2)
        with pytest.raises(FlowFailed):
            td.run_flow(flow, run_dir="runs", scheduler="synchronous")
        reset()
        value = td.run_flow(flow, run_dir="runs", scheduler="synchronous", resume=True).value
        assert repr(value) == "[3.0, 3.0, nan, 8]"
        assert len(Work.calls) == 2
        return
    stopped(7, source=source)
    run = go(source=source, resume=True)
    assert len(Work.calls) == 12 - 7
    reset()
    assert same_bits(run.value, undisturbed(source=source))


def item_work(item):
    Work.calls.append(item)
    if Work.fails_from is not None and len(Work.calls) > Work.fails_from:
        raise ValueError("stop here")
    return item * 2


def test_what_changed_is_run_again_and_said(ground):
    def make(factor):
        return lambda chunk: (Work.calls.append(1), chunk.assign(x=chunk.x * factor))[1]

    first = go(make(2))
    reset()
    run = go(make(3), resume=first.run_id)
    assert len(Work.calls) == 12
    assert any("task ProcessChunk" in one and "12 finished" in one for one in run.notices)
    assert same_bits(run.value, undisturbed(function=make(3)))
    run = go(make(3), resume=first.run_id, reduce=td.group_by("k", n=("x", "count")))
    assert len(Work.calls) == 12
    assert any("reducer" in one for one in run.notices)
    reset()
    # And what was kept of the first is still there.
    assert same_bits(go(make(2), resume=first.run_id).value, first.value)
    assert Work.calls == []


def test_a_file_that_changed_and_one_that_came_cost_their_own_chunks(ground):
    go()
    reset()
    changed = ground / "in" / "1.csv"
    rows = pd.read_csv(changed)
    rows.loc[3, "x"] = 99.0
    rows.to_csv(changed, index=False)
    rows.head(50).to_csv(ground / "in" / "3.csv", index=False)
    run = go(resume=True)
    assert len(Work.calls) == 5
    assert any("1.csv changed" in one for one in run.notices)
    assert same_bits(run.value, undisturbed(plan=run.plan))
    check_tiling(run.plan.extents, run.plan.chunks)
    (ground / "in" / "0.csv").unlink()
    run = go(resume=True)
    assert Work.calls == []
    assert any(
        "0.csv no longer among the sources; chunks of such files are left out" in one
        for one in run.notices
    )
    assert same_bits(run.value, undisturbed(plan=run.plan))


def test_another_chunk_size_or_reader_option_cuts_anew(ground):
    go()
    reset()
    run = go(resume=True, chunk_size="200 rows")
    assert len(Work.calls) == 6
    assert any("chunk sizes" in one for one in run.notices)
    reset()
    go(resume=True, na_values=["3"])
    assert len(Work.calls) == 12


def test_what_cannot_be_stored_is_said_once_and_computed_again(ground):
    class Odd:
        def __init__(self, total):
            self.total = total

    def combine(parts):
        return Odd(sum(one.total for one in parts))

    odd = td.reducer(combine, partial=lambda c: Odd(len(c)), finish=lambda one: one.total)
    run = stopped(5, reduce=odd)
    assert sum("Odd" in one and "dump=" in one for one in run.notices) == 1
    run = go(resume=True, reduce=odd)
    assert (run.value, len(Work.calls)) == (1200, 12)
    kept = td.reducer(
        combine, partial=lambda c: Odd(len(c)), finish=lambda one: one.total,
        dump=lambda one: one.total, load=Odd,
    )  # fmt: skip
    stopped(5, reduce=kept)
    run = go(resume=True, reduce=kept)
    assert (run.value, len(Work.calls)) == (1200, 7)


def test_what_has_no_identity_is_said_at_the_start_and_runs_again(ground):
    thread = threading.current_thread()

    def odd(chunk):
        Work.calls.append(1)
        return chunk if thread else None

    first = go(odd)
    assert any("without an identity" in one for one in first.notices)
    reset()
    go(odd, resume=True)
    assert len(Work.calls) == 12


def test_an_iterator_is_taken_again(ground):
    frames = [pd.DataFrame({"k": ["a"], "x": [1.5]})] * 3
    reset()
    for resume in (None, True):
        run = go(source=iter(frames), chunk_size="auto", resume=resume)
        assert run.value.total.tolist() == [1.5]
    assert len(Work.calls) == 6


def test_failed_and_skipped_chunks_run_again_with_today_s_code(ground):
    reset(8)
    run = go(on_error="skip")
    assert run.status is RunStatus.PARTIAL
    reset()
    run = go(resume=True)
    assert len(Work.calls) == 4
    assert run.status is RunStatus.COMPLETED
    assert same_bits(run.value, undisturbed())


def test_the_attempts_of_then_are_kept(ground):
    reset(8)
    with pytest.raises(FlowFailed):
        go(retries=1, retry_delay="0s")
    reset()
    run = go(resume=True)
    assert run.outcomes["attempts"].tolist() == [1] * 13
    record = td.load_run(run.run_id, "runs")
    assert record.status == "COMPLETED"
    assert sorted(record.outcomes.key) == sorted(run.outcomes.key)
    assert list(record.outcomes.columns) == list(run.outcomes.columns)
    pd.testing.assert_series_equal(record.outcomes.dtypes, run.outcomes.dtypes)
    assert same_bits(record.value, run.value)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_between_tries_the_answer_is_that_of_one_run(ground, seed):
    """Stops, changed and new files, other code, a cut journal, in an order that the seed says."""
    random = np.random.default_rng(seed)
    reset()
    run_id = go(lambda chunk: chunk, source="in/*.csv").run_id
    factor = 1

    def scale(chunk):
        Work.calls.append(1)
        if Work.fails_from is not None and len(Work.calls) > Work.fails_from:
            raise ValueError("stop here")
        return chunk.assign(x=chunk.x * factor)

    for step in range(6):
        what = random.choice(["stop", "stop", "change", "new", "code", "cut"])
        path = ground / "in" / f"{random.integers(0, 3)}.csv"
        if what == "change":
            rows = pd.read_csv(path)
            rows.loc[int(random.integers(0, len(rows))), "x"] = float(step)
            rows.to_csv(path, index=False)
        elif what == "new":
            pd.read_csv(path).head(150).to_csv(
                ground / "in" / f"{path.stem}-{step}.csv", index=False
            )
        elif what == "code":
            factor = int(random.integers(1, 3))
        elif what == "cut":
            last = list_segments(ground / "runs" / run_id)[-1]
            with last.open("rb+") as file:
                file.truncate(int(random.integers(0, last.stat().st_size + 1)))
        reset(int(random.integers(0, 15)))
        try:
            found = go(scale, resume=run_id)
        except FlowFailed:
            continue
        check_tiling(found.plan.extents, found.plan.chunks)
        reset()
        assert same_bits(found.value, undisturbed(function=scale, plan=found.plan))
    reset()
    found = go(scale, resume=run_id)
    reset()
    assert same_bits(found.value, undisturbed(function=scale, plan=found.plan))
    frame = pd.concat([pd.read_csv(one) for one in sorted((ground / "in").glob("*.csv"))])
    expected = (frame.x * factor).groupby(frame.k).sum()
    np.testing.assert_allclose(found.value.total, expected, rtol=1e-12)


# -- which run ------------------------------------------------------------------------------------


def test_a_run_that_is_not_there_is_refused_with_close_names(ground):
    run = go()
    with pytest.raises(ResumeError, match=f"Did you mean '{run.run_id}'"):
        go(resume=run.run_id[:-1] + "x")
    with pytest.raises(ResumeError, match="no run"):
        go(resume="../../etc")
    assert "no earlier run" in go(resume=True, source="in/0.csv").notices[0]
    with pytest.raises(SettingsError, match=r"resume=3"):
        go(resume=3)


def test_a_run_of_another_flow_is_refused(ground):
    run = go()
    flow = td.parse_flow("flow Other:\n    A -> B\n").bind({"A": lambda: 1, "B": lambda a: a})
    with pytest.raises(ResumeError, match="is of flow Process, and this is Other"):
        td.run_flow(flow, resume=run.run_id, run_dir="runs")


def test_other_versions_are_refused_or_named(ground, monkeypatch):
    run = stopped(5)
    here = dict(checkpoints_versions())
    monkeypatch.setattr("taskinity_data.run.journal.versions_here", lambda: here)
    here["pandas"] = "99.0.0"
    with pytest.raises(ResumeError, match=r"pandas .* then, 99\.0\.0 now"):
        go(resume=run.run_id)
    anew = go(resume=True)
    assert anew.run_id != run.run_id
    assert "can't be resumed" in anew.notices[0]
    here["pandas"] = checkpoints_versions()["pandas"].rpartition(".")[0] + ".999"
    reset()
    again = go(resume=run.run_id)
    assert len(Work.calls) == 7
    assert any(".999 now" in one for one in again.notices)


def checkpoints_versions():
    from taskinity_data.version import versions_here

    return versions_here()


def test_two_runs_on_one_id_or_one_output_are_refused_naming_the_first(ground):
    first = go()
    met = []

    def second(chunk):
        if not met:
            for options in ({"resume": first.run_id}, {"output": "out", "reduce": None}):
                with pytest.raises((ResumeError, PlanError)) as caught:
                    go(**options)
                met.append(str(caught.value))
        return chunk

    go(second, resume=first.run_id, output="out")
    assert len(met) == 2
    assert all(f"process {os.getpid()} on " in one for one in met)


# -- where ----------------------------------------------------------------------------------------


def test_a_small_run_leaves_nothing_behind_and_a_longer_one_can_be_resumed(ground, monkeypatch):
    td.process("in/*.csv", work, chunk_size="100 rows", reduce=REDUCE)
    with pytest.raises(FlowFailed):
        td.process("in/*.csv", lambda chunk: 1 / 0, chunk_size="100 rows")
    assert sorted(os.listdir(ground)) == ["in"]
    monkeypatch.setattr(checkpoints_module, "BEGIN_S", 0.0)
    run = stopped(8, run_dir=None)
    assert (ground / ".taskinity" / run.run_id).stat().st_mode & 0o077 == 0
    assert (ground / ".taskinity" / ".gitignore").read_text() == "*\n"
    assert f'resume="{run.run_id}"' in run.next_steps[0]
    go(resume=True, run_dir=None)
    assert len(Work.calls) == 4


def test_a_run_that_nobody_asked_to_keep_fills_no_disk(ground, monkeypatch):
    monkeypatch.setattr(checkpoints_module, "BEGIN_S", 0.0)
    monkeypatch.setattr(value_budget, "MAX_UNASKED_NBYTES", 0)
    run = stopped(8, run_dir=None)
    assert "with run_dir= or TASKINITY_RUN_DIR more of them are" in " ".join(run.notices)
    go(resume=True, run_dir=None)
    assert len(Work.calls) == 12


def test_of_such_a_run_no_result_is_kept_that_is_sooner_computed_again(ground, monkeypatch):
    monkeypatch.setattr(checkpoints_module, "BEGIN_S", 0.0)
    monkeypatch.setattr(value_budget, "FREE_NBYTES", 0)
    monkeypatch.setattr(value_budget, "MAX_UNASKED_SHARE", 0)
    stopped(8, run_dir=None)
    go(resume=True, run_dir=None)
    assert len(Work.calls) == 12
    Work.calls.clear()
    stopped(8)
    go(resume=True)
    assert len(Work.calls) == 12 - 8


def test_where_nothing_can_be_written_the_run_goes_on_or_is_refused_if_it_was_asked(
    ground, monkeypatch
):
    (ground / ".taskinity").write_text("in the way")
    monkeypatch.setattr(checkpoints_module, "BEGIN_S", 0.0)
    monkeypatch.setenv("TASKINITY_RUN_DIR", str(ground / "in" / "0.csv"))
    with pytest.raises(SettingsError, match="TASKINITY_RUN_DIR"):
        go(run_dir=None)
    monkeypatch.delenv("TASKINITY_RUN_DIR")
    with pytest.raises(SettingsError, match=r"in/0\.csv"):
        go(run_dir="in/0.csv/runs")
    monkeypatch.setattr(
        "taskinity_data.checkpoints.run_directory.enter_run",
        lambda *_: (_ for _ in ()).throw(OSError(errno.EROFS, "Read-only file system", "x")),
    )
    (ground / ".taskinity").unlink()
    run = go(run_dir=None)
    assert run.status is RunStatus.COMPLETED
    assert sum("no journal is kept: Read-only" in one for one in run.notices) == 1


def test_a_disk_that_fills_up_ends_the_journal_and_not_the_run(ground, monkeypatch):
    real = os.writev
    count = []

    def full(file, buffers):
        count.append(1)
        if len(count) > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, buffers)

    monkeypatch.setattr(journal_module.os, "writev", full)
    run = go()
    monkeypatch.undo()
    monkeypatch.chdir(ground)
    assert sum("can't be written any more (No space" in one for one in run.notices) == 1
    assert same_bits(run.value, undisturbed())
    go(resume=run.run_id)
    assert 0 < len(Work.calls) < 12


def test_no_secret_and_no_pickle_is_in_a_run_s_directory(ground, monkeypatch):
    monkeypatch.setenv("MY_PASSWORD", "hunter2")
    flow = td.parse_flow("flow F:\n    Make -> Work[*] -> Add\n").bind(
        {"Make": lambda url: [1, 2], "Work": item_work, "Add": list}
    )
    reset()
    run = td.run_flow(flow, url="https://me:hunter2@example.org/x?sig=hunter2", run_dir="runs")
    for path in (ground / "runs" / run.run_id).iterdir():
        assert b"hunter2" not in path.read_bytes()
        assert b"cloudpickle" not in path.read_bytes()


# -- a journal that is damaged --------------------------------------------------------------------


def test_a_damaged_journal_never_gives_a_wrong_answer(ground):
    few = {"source": "in/0.csv", "chunk_size": "100 rows"}
    run = stopped(3, **few)
    right = undisturbed(**few)
    (segment,) = list_segments(ground / "runs" / run.run_id)
    data = segment.read_bytes()
    used, refused = set(), set()
    for place in [*range(0, len(data), len(data) // 8), len(data) - 1]:
        for damage in (data[:place], data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :]):
            for one in list_segments(segment.parent):
                one.unlink()
            segment.write_bytes(damage)
            reset()
            try:
                found = go(resume=run.run_id, **few)
            except ResumeError as error:
                refused.add(str(error).partition(": ")[2])
                continue
            assert same_bits(found.value, right)
            used.add(len(Work.calls))
    assert used == {1, 2, 3, 4}
    assert refused == {"its journal is damaged from the start; start it again"}


def test_a_run_of_another_format_is_refused_and_says_so(ground):
    few = {"source": "in/0.csv", "chunk_size": "100 rows"}
    run = stopped(3, **few)
    (segment,) = list_segments(ground / "runs" / run.run_id)
    data = segment.read_bytes()
    segment.write_bytes(b"taskinity-data journal 1\n" + data.partition(b"\n")[2])
    with pytest.raises(ResumeError, match=r"another version of taskinity_data .*start it again"):
        go(resume=run.run_id, **few)


# -- output ---------------------------------------------------------------------------------------


def test_parts_of_finished_chunks_are_used_again(ground):
    options = {"output": "out", "reduce": None}
    run = stopped(7, **options)
    assert not (ground / "out").exists()
    kept = ground / f".out.kept-{run.run_id}"
    parts = sorted(kept.glob("part-*"))
    assert len(parts) == 7
    spoilt, missing = parts[:2]
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"x")
    missing.unlink()
    done = go(resume=True, **options)
    assert len(Work.calls) == 7
    assert sorted(os.listdir(ground)) == ["in", "out", "runs"]
    undisturbed(output="whole", reduce=None)
    pd.testing.assert_frame_equal(pd.read_parquet("out"), pd.read_parquet("whole"))
    assert done.output.rows == 1200
    # It is done: there is nothing to go on with.
    with pytest.raises(ResumeError, match="already written"):
        go(resume=done.run_id, **options)
    with pytest.raises(PlanError, match="already exists"):
        go(resume=True, **options)
    reset()
    anew = go(resume=True, if_exists="overwrite", **options)
    assert anew.run_id != done.run_id
    assert len(Work.calls) == 12


def test_what_was_committed_before_the_end_is_not_appended_twice(ground, monkeypatch):
    from taskinity_data.run.output import RunOutput

    options = {"output": "out", "reduce": None, "if_exists": "append", "allow_repeated": True}
    go(**options)
    commit = RunOutput.commit

    def die(self, *arguments):
        commit(self, *arguments)
        self.written = None  # as far as the run came to know
        raise KeyboardInterrupt

    monkeypatch.setattr(RunOutput, "commit", die)
    with pytest.raises(KeyboardInterrupt):
        go(**options)
    monkeypatch.setattr(RunOutput, "commit", commit)
    with pytest.raises(ResumeError, match="already written"):
        go(resume=True, **options)
    assert len(pd.read_parquet("out")) == 2400
    # A job that takes what is new starts another run: all that this one wrote is listed.
    options |= {"allow_repeated": False, "only_new": True}
    done = go(resume=True, **options)
    assert (str(done.status), done.output.rows) == ("COMPLETED", 0)
    assert any("has committed already; a new one starts" in text for text in done.notices)
    assert len(pd.read_parquet("out")) == 2400


# -- signals and sudden ends ----------------------------------------------------------------------

SCRIPT = """
import os, signal, sys, threading
import taskinity_data as td

def is_first():
    try:
        os.close(os.open("sent", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True

def work(chunk):
    done = len(os.listdir("ran"))
    if os.environ.get("KILL") and done >= int(os.environ["KILL"]) and is_first():
        os.kill(int(os.environ.get("PID", os.getpid())), int(os.environ["NUMBER"]))
        threading.Event().wait(float(os.environ.get("NAP", "30")))
    open(f"ran/{chunk.n.iloc[0]}-{chunk.x.iloc[0]}", "a").write("x")
    return chunk.assign(x=chunk.x / 3)

if __name__ == "__main__":
    os.environ["PID"] = str(os.getpid())
    run = td.process(
        "in/*.csv", work, chunk_size="100 rows", scheduler=os.environ.get("WHERE", "threads"),
        workers=2, run_dir="runs", resume=True, progress=False, **eval(sys.argv[1])
    )
    print(run.run_id, run.status)
"""
GROUPS = 'dict(reduce=td.group_by("k", total=("x", "sum"), mean=("x", "mean"), std=("x", "std")))'


def launch(ground, options=GROUPS, **environment):
    (ground / "ran").mkdir(exist_ok=True)
    (ground / "script.py").write_text(SCRIPT)
    (ground / "sent").unlink(missing_ok=True)
    return subprocess.run(
        [sys.executable, "script.py", options], cwd=ground, capture_output=True, text=True,
        check=False, env=os.environ | {name: str(value) for name, value in environment.items()},
        timeout=120,
    )  # fmt: skip


def ran(ground):
    return {one.name: one.stat().st_size for one in (ground / "ran").iterdir()}


@pytest.mark.thorough
def test_a_driver_that_is_killed_is_gone_on_with(ground):
    for kill in (3, 8):
        done = launch(ground, KILL=kill, NUMBER=int(signal.SIGKILL))
        assert done.returncode == -signal.SIGKILL, done.stderr
    (run_id,) = [one for one in os.listdir(ground / "runs") if one != ".gitignore"]
    kept = (td.load_run(run_id, "runs").outcomes["status"] == "COMPLETED").sum()
    begun = sum(ran(ground).values())
    done = launch(ground)
    assert done.stdout.split()[0] == run_id
    # What had ended and was written does not run again, all else does.
    assert kept > 0
    assert sum(ran(ground).values()) - begun == 12 - kept
    assert len(ran(ground)) == 12
    value = td.load_run(run_id, "runs").value
    assert same_bits(value, undisturbed())


@pytest.mark.thorough
def test_a_writer_that_is_killed_keeps_the_parts_that_are_whole(ground):
    options = 'dict(output="out")'
    done = launch(ground, options, KILL=5, NUMBER=int(signal.SIGKILL))
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (ground / "out").exists()
    (place,) = clean_runs("runs", older_than_s=0, dry_run=True)
    assert place[1] == "INTERRUPTED"
    assert place[2] > 4 * 1000  # its parts among them
    done = launch(ground, options)
    assert done.returncode == 0, done.stderr
    assert sum(times - 1 for times in ran(ground).values()) <= 2
    undisturbed(output="whole", reduce=None)
    pd.testing.assert_frame_equal(pd.read_parquet("out"), pd.read_parquet("whole"))
    assert [one for one in os.listdir(ground) if one.startswith(".out")] == []


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("number", "where"), [(signal.SIGINT, "threads"), (signal.SIGTERM, "processes")]
)
def test_a_signal_lets_what_runs_end_and_says_how_to_go_on(ground, number, where):
    done = launch(ground, KILL=6, NUMBER=int(number), NAP=0.2, WHERE=where)
    assert "KeyboardInterrupt" in done.stderr
    assert 'resume="' in done.stderr
    first = len(ran(ground))
    assert 6 <= first < 12
    done = launch(ground, WHERE="threads")
    run_id, status = done.stdout.split()
    assert status == "COMPLETED"
    assert len(ran(ground)) == 12
    if where == "threads":
        assert set(ran(ground).values()) == {1}
    assert same_bits(td.load_run(run_id, "runs").value, undisturbed())


def test_what_does_not_end_in_time_is_dropped_and_handlers_are_put_back(ground, monkeypatch):
    monkeypatch.setattr("taskinity_data.execution.driver.GRACE_S", 0.1)
    release, threads = threading.Event(), set(threading.enumerate())
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def hang(chunk):
        if len(Work.calls) == 3 and not release.is_set():
            Work.calls.append("signal")
            signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
            release.wait()
        Work.calls.append(1)
        return chunk

    reset()
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            go(hang, scheduler="threads", workers=1)
    finally:
        release.set()
    assert caught.value.run.status is RunStatus.INTERRUPTED
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    for thread in set(threading.enumerate()) - threads:
        if thread.name.startswith("taskinity"):
            thread.join()


# -- history --------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_and_cleaned(ground):
    done = go()
    failed = stopped(3)
    frame = td.list_runs("runs")
    assert frame.run_id.tolist() == [failed.run_id, done.run_id]
    assert frame.status.tolist() == ["FAILED", "COMPLETED"]
    assert frame.flow.tolist() == ["work", "work"]
    record = td.load_run(failed.run_id, "runs")
    assert frame.chunks.tolist() == [len(record.outcomes), 12]
    assert set(record.failures.error) == {"ValueError: stop here"}
    assert "stop here" in record.failures.traceback.iloc[0]
    assert "stop here" in record.stop_reason
    assert [one[:2] for one in clean_runs("runs", dry_run=True)] == [(done.run_id, "COMPLETED")]
    assert len(clean_runs("runs")) == 1
    assert td.list_runs("runs").run_id.tolist() == [failed.run_id]
    assert len(clean_runs("runs", older_than_s=0)) == 1
    assert td.list_runs("runs").empty
    assert td.list_runs("nowhere").empty
    with pytest.raises(ResumeError, match="no run"):
        td.load_run(done.run_id, "runs")


def test_one_chunk_is_replayed_here_with_nothing_caught(ground):
    failed = stopped(3)
    key = failed.failures.key.iloc[0]
    found = td.replay(failed.run_id, key, run_dir="runs")
    expected = failed.plan[3].read()
    pd.testing.assert_frame_equal(found, expected.assign(x=expected.x / 3))
    reset(0)
    with pytest.raises(ValueError, match="stop here"):
        td.replay(failed.run_id, key, {"ProcessChunk": work}, run_dir="runs")
    with pytest.raises(ResumeError, match="no finished chunk"):
        td.replay(failed.run_id, "nothing", run_dir="runs")
    reset()
    frame = pd.read_csv("in/0.csv")
    run = go(lambda chunk: len(chunk), source=frame, reduce=td.sum())
    key = run.outcomes.key.iloc[0]
    with pytest.raises(ResumeError, match="'source' was not stored"):
        td.replay(run.run_id, key, run_dir="runs")
    with pytest.raises(td.errors.BindError, match="ProcessChunk"):
        td.replay(run.run_id, key, run_dir="runs", source=frame)
    tasks = {"ProcessChunk": lambda chunk: chunk.n.sum()}
    assert td.replay(run.run_id, key, tasks, run_dir="runs", source=frame) == 0


@pytest.mark.parametrize("fails", ["one", "other"])
def test_of_chunks_with_one_key_that_is_replayed_which_failed(ground, fails):
    def work(name):
        def count_rows(chunk):
            if name == fails:
                raise ValueError(f"{name} fails")
            return len(chunk)

        return count_rows

    text = "flow F:\n data -> One[*] -> End\n data -> Other[*] -> End"
    policies = "\n task One[*]:\n  on_error: skip\n task Other[*]:\n  on_error: skip"
    functions = {"data": td.open_dataset, "one": work("one"), "other": work("other")}
    functions["end"] = lambda one, other: (one, other)
    flow = td.parse_flow(text + policies).bind(functions)
    options = {"chunk_size": "100 rows", "scheduler": "synchronous", "run_dir": "runs"}
    run = td.run_flow(flow, source="in/0.csv", **options)
    key = run.failures["key"].iloc[0]
    assert (run.outcomes["key"] == key).sum() == 2
    tasks = {task.name: functions[task.name.lower()] for task in flow.tasks}
    with pytest.raises(ValueError, match=f"{fails} fails"):
        td.replay(run.run_id, key, tasks, run_dir="runs")
