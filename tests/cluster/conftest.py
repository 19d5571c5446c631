"""Clusters of real managers, and the README's flow with its answer."""

import contextlib
import os

import pytest
from managers.hosts import open_hosts, why_no_hosts
from managers.registry import MANAGERS, WITHOUT_CLUSTERS
from managers.site import Site
from readme_flow import ReadmeFlow

IS_REQUIRED = os.environ.get("CLUSTER_TESTS") == "required"


@pytest.fixture(scope="session")
def readme_flow(tmp_path_factory):
    return ReadmeFlow(tmp_path_factory.mktemp("readme"))


@pytest.fixture(scope="session")
def need():
    """A function that returns a manager, and skips the test where it is not installed."""

    def find_manager(name):
        manager = (MANAGERS | WITHOUT_CLUSTERS)[name]
        if missing := manager.describe_missing():
            message = f"{manager.title} needs {missing}: make cluster-managers"
            (pytest.fail if IS_REQUIRED else pytest.skip)(message)
        return manager

    return find_manager


@pytest.fixture
def open_manager(tmp_path, need):
    """A function that opens a cluster of a manager that is installed, in a place of its own."""
    sites = iter(range(9))

    def open_cluster(name, workers=2, options=(), **site_options):
        manager = need(name)
        site = Site(tmp_path / f"site{next(sites)}", **site_options)
        return _open(site, manager, workers, dict(options))

    return open_cluster


@contextlib.contextmanager
def _open(site, manager, workers, options):
    with site, manager.open(site, workers, **options) as cluster:
        yield cluster


@pytest.fixture
def hosts(tmp_path):
    """Three hosts with addresses of their own; the one thing that a machine may lack anywhere."""
    if why := why_no_hosts():
        pytest.skip(why)
    with open_hosts(tmp_path / "hosts") as opened:
        yield opened
