"""Hosts whose links come and go, or are slow."""

from __future__ import annotations

import pytest
from managers.site import wait_until
from readme_flow import Calls, disturb

pytestmark = pytest.mark.thorough


def test_links_that_flap_change_nothing(open_manager, hosts, readme_flow, tmp_path):
    calls = Calls(tmp_path / "calls", free=4)
    with open_manager("plain", workers=3, hosts=hosts) as cluster:

        def act():
            wait_until(lambda: len(calls.held_pids()) == 3, "three calls that are held")
            for host in [*hosts.all, *hosts.all]:
                host.cut()
                host.join()
            calls.release()

        acting = disturb(act)
        run = readme_flow.run(cluster.scheduler, tmp_path, calls)
        acting.result()
    readme_flow.check(run, tmp_path)
    assert len(run.worker_table) == 3


def test_a_host_behind_a_slow_link_is_used(open_manager, hosts, readme_flow, tmp_path):
    calls = Calls(tmp_path / "calls", free=0)
    with open_manager("plain", workers=2, hosts=hosts) as cluster:
        hosts.all[0].slow_down("1mbit")

        def act():
            calls.wait_for_pids(2)
            calls.release()

        acting = disturb(act)
        run = readme_flow.run(cluster.scheduler, tmp_path, calls)
        acting.result()
    readme_flow.check(run, tmp_path)
    assert run.worker_table.chunks.min() > 0
