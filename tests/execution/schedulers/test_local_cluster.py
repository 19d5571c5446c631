"""A local pool of ours closes, whatever state its workers were left in."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

import psutil
import pytest
from distributed.core import Status

from taskinity_data.execution.schedulers import connect as clusters
from taskinity_data.execution.schedulers import local_cluster as own_cluster
from taskinity_data.execution.schedulers.connect import start_local
from taskinity_data.execution.schedulers.dask import DaskStrategy

pytestmark = pytest.mark.thorough


def test_a_pool_closes_where_dask_waits_for_an_end_that_nobody_tells_it(monkeypatch):
    monkeypatch.setattr(own_cluster, "CLOSE_S", 0.5)
    strategy = start_local(2, None)
    pids = strategy._pids()
    for nanny in strategy._cluster.workers.values():
        # As it is left where a worker is killed twice while it starts.
        nanny.process.status = Status.stopping
    strategy.close()
    assert len(pids) == 2
    assert not any(
        psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        for pid in pids
    )


@pytest.fixture
def usual_port(monkeypatch):
    """A free port that stands for Dask's usual one."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    monkeypatch.setattr(clusters, "_DASHBOARD_PORT", port)
    return port


def test_of_two_pools_that_start_at_once_one_has_the_usual_dashboard_and_dask_does_not_warn(
    usual_port, recwarn
):
    with ThreadPoolExecutor(2) as pool:
        strategies = list(pool.map(lambda _: start_local(1, None), range(2)))
    try:
        ports = [urlsplit(one.dashboard_link).port for one in strategies]
        remarks = [one.dashboard_remark for one in strategies]
    finally:
        for strategy in strategies:
            strategy.close()
    assert ports.count(usual_port) == 1
    assert len(set(ports)) == 2
    assert sorted(remarks) == ["", f"port {usual_port} is in use"]
    assert [one for one in recwarn if "already in use" in str(one.message)] == []


def test_a_port_that_another_listens_at_is_left_to_it_and_that_is_said(usual_port, recwarn):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", usual_port))
        taken.listen()
        strategy = start_local(1, None)
        try:
            assert urlsplit(strategy.dashboard_link).port != usual_port
            assert strategy.dashboard_remark == f"port {usual_port} is in use"
        finally:
            strategy.close()
    assert [one for one in recwarn if "already in use" in str(one.message)] == []


def test_a_port_whose_last_connections_have_just_gone_is_free(usual_port):
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", usual_port))
        server.listen()
        with socket.create_connection(("127.0.0.1", usual_port)) as visitor:
            server.accept()[0].close()  # the first to close remembers it for a minute
            assert visitor.recv(1) == b""
    with closing(clusters._DashboardPort()) as port:
        assert (port.number, port.remark) == (usual_port, "")


def test_a_link_that_cannot_be_filled_in_costs_no_run():
    class Client:
        @property
        def dashboard_link(self):
            raise KeyError("USER_OF_NO_ONE")  # as format_dashboard_link does

    strategy = DaskStrategy.__new__(DaskStrategy)
    strategy._client = Client()
    assert strategy.dashboard_link is None
