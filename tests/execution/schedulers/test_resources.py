"""Tasks that ask for resources run where they are, and say so where nobody has them."""

import pandas as pd
import pytest
from distributed import Client, LocalCluster, get_worker

import taskinity_data as td
from taskinity_data.errors import FlowFailed, PlanError, SchedulerError
from taskinity_data.events import ChunkFinished
from taskinity_data.execution.schedulers import cluster_workers

FRAME = pd.DataFrame({"n": range(60)})

FLOW = """
flow F:
  task ProcessChunk[*]:
    resources: GPU=1
  task Aggregate:
    description: "of the names of workers"
  ProcessChunk[*] -> Aggregate
"""


def where(chunk):
    return get_worker().name


@pytest.fixture
def cluster():
    """A worker with a GPU, named 0, and two without, in this process."""
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        host="127.0.0.1",
        protocol="tcp",
        dashboard_address="127.0.0.1:0",
        resources={"GPU": 1, "RAM": 2.5},
    ) as made:
        options = {key: one for key, one in made.new_spec["options"].items() if key != "resources"}
        made.new_spec = made.new_spec | {"options": options}
        made.scale(3)
        with Client(made, set_as_default=False) as client:
            client.wait_for_workers(3)
        yield made


def go(scheduler, reduce=set, **options):
    base = {"reduce": reduce, "chunk_size": "2 rows", "scheduler": scheduler}
    return td.process(FRAME, where, **(base | options))


def test_only_a_worker_that_has_them_gets_the_chunks(cluster):
    assert go(cluster, resources={"GPU": 1}).value == {0}
    assert go(cluster, resources={"GPU": 0.5, "RAM": 2}).value == {0}
    assert len(go(cluster).value) > 1


def test_a_flow_text_asks_for_them_too(cluster):
    flow = td.parse_flow(FLOW.replace("ProcessChunk[*] ->", "Rows -> ProcessChunk[*] ->"))
    flow = flow.bind({"Rows": lambda: FRAME, "ProcessChunk": where, "Aggregate": set})
    assert td.run_flow(flow, scheduler=cluster, chunk_size="2 rows").value == {0}


def test_a_plain_task_and_an_aggregate_that_ask_for_them_go_there(cluster):
    @td.task(resources={"GPU": 1})
    def first():
        return [get_worker().name] * 3

    @td.task
    def process_chunk(item):
        return item

    @td.task(resources={"RAM": 1})
    def last(found):
        return [*found, get_worker().name]

    @td.flow
    def look():
        return last(process_chunk.map(first()))

    assert td.run_flow(look, scheduler=cluster).value == [0] * 4


def test_what_no_worker_has_is_an_error_before_anything_runs(cluster):
    calls = []
    flow = td.parse_flow("flow F:\n  Rows -> Look[*] -> Sum")
    for wanted in ({"GPU": 2}, {"TPU": 1}, {"GPU": 1, "TPU": 1}):
        look = td.task(where, resources=wanted)
        bound = flow.bind({"Rows": lambda: calls.append(1), "Look": look, "Sum": set})
        with pytest.raises(SchedulerError, match="Look: no worker of ") as caught:
            td.run_flow(bound, scheduler=cluster)
        assert "--resources" in str(caught.value)
    assert not calls


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", None])
def test_elsewhere_they_are_refused_with_what_to_use(scheduler):
    with pytest.raises(PlanError, match=r"resources \(GPU=1\).*dask worker ADDRESS --resources"):
        go(scheduler, resources={"GPU": 1})


def test_a_reducer_takes_none(cluster):
    flow = td.parse_flow("flow F:\n  task Sum:\n    resources: GPU=1\n  Rows -> Look[*] -> Sum")
    flow = flow.bind({"Rows": lambda: FRAME, "Look": len, "Sum": td.sum()})
    with pytest.raises(PlanError, match=r"give resources \(GPU=1\) to that task"):
        td.run_flow(flow, scheduler=cluster)


def test_a_worker_that_leaves_with_them_ends_the_run(cluster, monkeypatch):
    monkeypatch.setattr(cluster_workers, "WAIT_FOR_WORKERS_S", 0.3)
    monkeypatch.setattr(cluster_workers, "REFRESH_S", 0.1)

    class Retire:
        is_done = False

        def on_event(self, event):
            if isinstance(event, ChunkFinished) and not self.is_done:
                self.is_done = True
                workers = client.scheduler_info(n_workers=-1)["workers"]
                (gone,) = [at for at, one in workers.items() if one["name"] == 0]
                client.retire_workers([gone])

    with (
        Client(cluster, set_as_default=False) as client,
        pytest.raises(FlowFailed, match=r"no worker of .* has GPU=1"),
    ):
        go(client, resources={"GPU": 1}, observers=[Retire()])
