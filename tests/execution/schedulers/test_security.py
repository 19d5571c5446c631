"""Who may listen in: TLS where it is asked for, and no port that others can reach."""

from __future__ import annotations

import gc

import dask
import distributed
import pandas as pd
import psutil
import pytest
import trustme
from distributed.security import Security
from real_cluster import start_cluster

import taskinity_data as td
from taskinity_data import errors
from taskinity_data.execution.schedulers import connect as clusters
from taskinity_data.outcome import RunStatus

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.csv"
    pd.DataFrame({"n": range(400)}).to_csv(path, index=False)
    return str(path)


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """A client of a cluster that speaks TLS alone, and its security."""
    folder = tmp_path_factory.mktemp("secured")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        folder / "cert.pem"
    )
    ca, cert = str(folder / "ca.pem"), str(folder / "cert.pem")
    security = Security(
        tls_ca_file=ca, tls_client_cert=cert, tls_client_key=cert, require_encryption=True
    )
    words = ("--protocol", "tls", "--tls-ca-file", ca, "--tls-cert", cert, "--tls-key", cert)
    with start_cluster(folder, words=words, security=security) as client:
        client.settings = {
            "distributed.comm.tls.ca-file": ca,
            "distributed.comm.tls.client.cert": cert,
            "distributed.comm.tls.client.key": cert,
            "distributed.comm.require-encryption": True,
        }
        yield client


def count(csv, scheduler):
    return td.process(csv, reduce=td.count(), scheduler=scheduler, chunk_size="100 rows")


def test_a_client_with_its_security_is_taken_as_it_is(secured, csv):
    run = count(csv, secured)
    assert run.value == 400
    assert run.scheduler.startswith("tls://")


def test_an_address_is_reached_with_dasks_own_settings(secured, csv):
    with dask.config.set(secured.settings):
        run = count(csv, secured.scheduler.address)
        assert run.value == 400
        assert count(csv, str(secured.file)).value == 400
    assert run.status is RunStatus.COMPLETED


@pytest.mark.parametrize("protocol", ["tcp", "tls"])
def test_without_the_certificate_or_in_clear_text_nobody_gets_in(
    protocol, secured, csv, monkeypatch
):
    monkeypatch.setattr(clusters, "_CONNECT_S", 1.0)
    address = secured.scheduler.address.replace("tls", protocol)
    with pytest.raises(errors.SchedulerError, match=r"127\.0\.0\.1"):
        count(csv, address)


def test_clear_text_is_refused_where_encryption_is_required(secured, csv):
    with (
        dask.config.set(secured.settings),
        pytest.raises(errors.SchedulerError, match=r"encryption required|TLS configuration"),
    ):
        count(csv, "tcp://127.0.0.1:9")


def test_a_client_that_can_not_connect_is_closed_before_the_error_is_seen(secured, csv):
    before = [thing for thing in gc.get_objects() if isinstance(thing, distributed.Client)]
    with dask.config.set(secured.settings), pytest.raises(errors.SchedulerError) as caught:
        count(csv, "tcp://127.0.0.1:9")
    clients = [thing for thing in gc.get_objects() if isinstance(thing, distributed.Client)]
    made = [client for client in clients if not any(client is known for known in before)]
    assert [client.status for client in made] == ["closed"]  # the traceback still keeps it
    assert caught.traceback


def listening(processes):
    """The addresses and ports at which `processes` listen."""
    # psutil 6 gave it another name.
    found = [getattr(one, "net_connections", None) or one.connections for one in processes]
    return {
        (connection.laddr.ip, connection.laddr.port)
        for find in found
        for connection in find("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def test_child_processes_listen_nowhere(csv):
    heard, before = [], psutil.Process().children(recursive=True)

    class Listening:
        def on_event(self, event):
            if isinstance(event, td.events.ChunkFinished):
                now = psutil.Process().children(recursive=True)
                heard.append(listening(one for one in now if one not in before))

    td.process(
        csv, len, scheduler="processes", workers=2, chunk_size="100 rows", observers=[Listening()]
    )
    assert heard == [set()] * 4


def test_the_cluster_behind_a_dashboard_listens_on_loopback_alone(csv):
    here = psutil.Process()
    before = listening([here, *here.children(recursive=True)])
    with clusters.start_cluster(2) as cluster:
        now = listening([here, *here.children(recursive=True)])
        assert {address for address, _ in now - before} == {"127.0.0.1"}
        run = td.process(csv, len, scheduler=cluster, progress=False)
        assert run.dashboard_link.startswith("http://127.0.0.1:")
