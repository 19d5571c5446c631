"""Items that travel in batches: each has its outcome, as if it had travelled alone."""

import os
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data import events
from taskinity_data.checkpoints import checkpoints
from taskinity_data.chunks.chunk import mark_chunk
from taskinity_data.chunks.cut_columns import CutColumns
from taskinity_data.chunks.sizing import Learner
from taskinity_data.errors import FlowFailed
from taskinity_data.execution.open_fan_out import PieceOptions, open_fan_out
from taskinity_data.execution.run_account import EndedItems
from taskinity_data.execution.schedulers.base import SynchronousStrategy
from taskinity_data.execution.schedulers.restarts import add_lost
from taskinity_data.execution.worker import run_item as run_item_module
from taskinity_data.execution.worker.job import Item, ItemColumns, Job, Step
from taskinity_data.execution.worker.run_item import run_each, run_item
from taskinity_data.execution.worker.shipping import pack_items, unpack_items
from taskinity_data.outcome import Attempt
from taskinity_data.outcome_block import OutcomeBlock

FLOW = "flow F:\n  Make -> Work[*] -> Gather\n"
ITEMS = 40
FACTS = ["task", "key", "rows", "nbytes", "status", "attempts", "error", "is_fallback"]


@pytest.fixture(autouse=True, params=[1, 7])
def batch_size(request, monkeypatch):
    monkeypatch.setattr(Learner, "batch_size", lambda *_: request.param)
    return request.param


def run(work, items=range(ITEMS), scheduler="synchronous", text=FLOW, **options):
    tasks = {"make": lambda: list(items), "work": work, "gather": lambda parts: parts}
    options = {"progress": False, **options}
    return td.run_flow(td.parse_flow(text).bind(tasks), scheduler=scheduler, **options)


def facts(done):
    return done.outcomes[FACTS].sort_values("key", ignore_index=True)


def double(item):
    return 2 * item


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_all_results_and_outcomes_are_there_in_order(scheduler):
    done = run(double, scheduler=scheduler, workers=None if scheduler == "synchronous" else 2)
    assert done.value == [2 * item for item in range(ITEMS)]
    items = done.outcomes[done.outcomes.task == "Work"]
    assert len(items) == items.key.nunique() == ITEMS
    assert (items.status == "COMPLETED").all()
    assert (done.attempts.duration_s >= done.attempts.function_s).all()
    assert done.ledger.loc["processed", "rows"] == ITEMS
    assert done.timings["cpu"] >= 0


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_the_rest_of_a_batch_that_takes_too_long_runs_next_and_each_item_once(
    scheduler, monkeypatch
):
    monkeypatch.setattr(run_item_module, "MAX_BATCH_S", 0.0)
    tries = []

    def work(item):
        tries.append(item)
        return item

    done = run(work, scheduler=scheduler, workers=None if scheduler == "synchronous" else 2)
    assert done.value == list(range(ITEMS))
    assert sorted(tries) == list(range(ITEMS))
    items = done.outcomes[done.outcomes.task == "Work"]
    assert (items.attempts == 1).all()


def test_tries_that_were_lost_with_their_worker_are_those_of_each_item_of_a_block():
    job = Job("Work", ((Step("Work", double),),))
    items = [Item(str(number), number, number) for number in range(3)]
    (block,) = run_each(job, items)
    lost = Attempt(1, 0.0, 0.0, "gone")
    (ended,) = add_lost([block], (lost,))
    assert [outcome.attempts[0] for outcome in ended.outcomes(items)] == [lost] * 3
    assert all(len(outcome.attempts) == 2 for outcome in ended.outcomes(items))


def test_those_that_fail_cost_themselves_alone_and_are_tried_again():
    tries = []

    def work(item):
        tries.append(item)
        if item == 20 or (item in (5, 6) and tries.count(item) == 1):
            raise ValueError(f"no {item}")
        return item

    policy = "  task Work[*]:\n    retries: 1\n    retry_delay: 0 s\n    on_error: skip\n  Make"
    done = run(work, text=FLOW.replace("  Make", policy))
    assert done.value == [item for item in range(ITEMS) if item != 20]
    frame = done.outcomes[done.outcomes.task == "Work"]
    assert len(frame) == ITEMS
    assert sorted(frame.attempts) == [1] * (ITEMS - 3) + [2] * 3
    assert frame.error[frame.status == "SKIPPED"].tolist() == ["ValueError: no 20"]
    assert done.ledger.loc["skipped", "rows"] == 1


def test_what_an_observer_sees_is_one_event_for_each_chunk():
    class Counts(td.Observer):
        def __init__(self):
            self.seen = []

        def on_event(self, event):
            self.seen.append(event)

    counts = Counts()
    done = run(double, observers=[counts])
    finished = [event for event in counts.seen if type(event) is events.ChunkFinished]
    submitted = [event for event in counts.seen if type(event) is events.ChunkSubmitted]
    assert not any(type(event) is events.ChunksCompleted for event in counts.seen)
    assert sorted(event.outcome.key for event in finished) == sorted(
        done.outcomes.key[done.outcomes.task == "Work"]
    )
    assert [event.outcome.value[1] for event in finished] == done.value
    assert [event.key for event in submitted] == [event.outcome.key for event in finished]


def test_what_a_function_changes_or_logs_is_laid_to_its_item(caplog, monkeypatch):
    monkeypatch.setenv("BLOCKS_OF", "before")

    def work(item):
        if item == 11:
            os.environ["BLOCKS_OF"] = "after"
        if item == 12:
            raise RuntimeError("after it")
        return item

    job = Job("P", ((Step("P", work),),))
    items = [Item(f"{number:032x}", number, number) for number in range(9, 16)]
    ended = run_each(job, items, restores=True)
    kinds = [type(one) is OutcomeBlock for one in ended]
    assert kinds == [True, False, False, True]
    assert ended[1].attempts[0].notices == ("changed the environment: 'BLOCKS_OF'",)
    assert os.environ["BLOCKS_OF"] == "before"
    assert ended[2].failure.message == "after it"
    assert [outcome.value[1] for outcome in ended[3].outcomes(items[4:])] == [13, 14, 15]


def tell(item):
    with open(os.environ["BLOCKS_RECORD"], "a") as file:
        file.write(f"{item}\n")
    if item == 25 and os.environ["BLOCKS_FAIL"]:
        raise ValueError("not yet")
    return item % 10


def test_a_run_that_failed_is_resumed_where_it_stopped(tmp_path, monkeypatch):
    record = tmp_path / "record"
    monkeypatch.setenv("BLOCKS_RECORD", str(record))
    monkeypatch.setenv("BLOCKS_FAIL", "1")
    with pytest.raises(FlowFailed) as caught:
        run(tell, run_dir=tmp_path)
    stopped = caught.value.run
    kept = td.load_run(stopped.run_id, tmp_path)
    pd.testing.assert_frame_equal(facts(kept), facts(stopped))
    monkeypatch.setenv("BLOCKS_FAIL", "")
    done = run(tell, run_dir=tmp_path, resume=stopped.run_id)
    assert done.value == [item % 10 for item in range(ITEMS)]
    calls = sorted(map(int, record.read_text().split()))
    assert calls == sorted([*range(ITEMS), 25])


def test_equal_items_are_kept_each(tmp_path):
    items = [1, 1, 2.0, 2, True, True, "a", None, "a", *range(20)]
    done = run(lambda item: repr(item), items, run_dir=tmp_path)
    calls = []

    def never(item):
        calls.append(item)
        return repr(item)

    kept = td.load_run(done.run_id, tmp_path)
    pd.testing.assert_frame_equal(facts(kept), facts(done), check_dtype=False)
    again = run(lambda item: repr(item), items, run_dir=tmp_path, resume=done.run_id)
    assert again.value == done.value == list(map(repr, items))
    assert f"{len(items)} finished chunks" in " ".join(again.notices)


class Odd:
    def __eq__(self, other):
        return type(other) is Odd

    __hash__ = None


def test_a_value_that_has_no_exact_form_costs_no_other_its_place(tmp_path):
    done = run(lambda item: Odd() if item == 9 else item, run_dir=tmp_path)
    again = run(lambda item: Odd() if item == 9 else item, run_dir=tmp_path, resume=done.run_id)
    assert again.value == done.value
    reused = [notice for notice in again.notices if "were reused" in notice]
    assert reused[0].startswith(f"{ITEMS - 1} finished chunks")


class BeginsLate:
    """Lets the journal begin once twenty items have ended."""

    def __init__(self, monkeypatch):
        self.ended, self.monkeypatch = 0, monkeypatch

    def on_event(self, event):
        self.ended += isinstance(event, events.ChunkFinished)
        if self.ended == 20:
            self.monkeypatch.setattr(checkpoints, "BEGIN_S", 0.0)


def test_equal_items_that_end_before_the_journal_begins_are_reused_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoints, "BEGIN_S", 600.0)
    items = [*[7, 7, 8] * 13, None]
    with pytest.raises(FlowFailed) as stopped:
        run(double, items, observers=[BeginsLate(monkeypatch)])
    with pytest.raises(FlowFailed) as again:
        run(double, items, resume=stopped.value.run.run_id)
    (reused,) = [notice for notice in again.value.run.notices if "were reused" in notice]
    assert reused.startswith("39 finished chunks")


def test_items_of_a_list_are_made_when_they_are_handed_out():
    numbers, job = list(range(10_000)), Job("Work", ((Step("Work", double),),))
    stage = SimpleNamespace(width="*", tasks=(), members=())
    tracemalloc.start()
    fan_out = open_fan_out(stage, job, numbers, PieceOptions(), SynchronousStrategy())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * len(numbers)
    assert fan_out.planned_rows == len(numbers)
    assert [item.data for item in fan_out.take_batch(1)] == numbers[:1]


def in_columns(items, chunks=None):
    columns = ItemColumns(chunks)
    columns.add(items)
    return columns


def test_columns_give_back_the_items_that_they_were_made_of():
    items = [Item(f"{n:032x}", [n], n, counted_rows=n % 3) for n in range(5, 20)]
    columns = in_columns(items)
    assert list(columns) == items
    assert columns[3:5] == items[3:5]
    assert list(columns.planned_rows) == [item.rows for item in items]
    assert columns.keys == b"".join(bytes.fromhex(item.key) for item in items)


@pytest.mark.parametrize("positions", [range(2, 7), [1, 2, 8], [0], range(10)], ids=str)
def test_chunks_in_columns_are_what_was_cut_here_and_on_a_worker(positions, tmp_path):
    paths = [str(tmp_path / name) for name in ("a.csv", "b.csv")]
    for path in paths:
        pd.DataFrame({"n": range(5)}).to_csv(path, index=False)
    chunks = list(map(mark_chunk, td.open_dataset(paths).plan(chunk_size="1 rows")))
    chunks[4] = replace(chunks[4], index=40)
    items = [Item(chunks[n].key, chunks[n], n) for n in positions]
    columns = ItemColumns(CutColumns(chunks), positions)
    unpacked = unpack_items(pack_items(columns))
    for given in (columns, columns[:], in_columns(items, columns.chunks), unpacked):
        assert list(given) == items
        assert [item.data.mark for item in given] == [item.data.mark for item in items]
        assert [item.data.index for item in given] == [item.data.index for item in items]
        assert given[-1] == items[-1]
    assert columns.sizes == [item.nbytes for item in items]
    assert list(columns.planned_rows) == [item.rows for item in items]
    assert columns.keys == b"".join(bytes.fromhex(item.key) for item in items)


def test_what_has_ended_is_listed_in_the_order_in_which_it_came():
    job = Job("P", ((Step("P", double),),))
    items = [Item(f"{n:032x}", n, n) for n in range(4)]
    alone = [(item, run_item(job, item)) for item in items]
    (block,) = run_each(job, items)
    ended = EndedItems()
    ended.append(*alone[0])
    ended.extend(in_columns(items[1:]), run_each(job, items[1:])[0])
    ended.append(None, alone[3][1])
    assert [item and item.position for item, _ in ended] == [0, 1, 2, 3, None]
    assert len(ended) == 5
    assert ended[-1][0] is None
    assert [pair[0] for pair in ended.singles] == [items[0], None]
    assert sum(outcome.attempts[0].cpu_s for outcome in block.outcomes(items)) == pytest.approx(
        block.cpu_s
    )
