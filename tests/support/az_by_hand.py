"""Azure's store, as Azurite plays it; Azurite comes from npm alone, so that this is run by hand.

npm install azurite && pip install adlfs
AZURITE=node_modules/.bin/azurite-blob pytest tests/support/az_by_hand.py
"""

import os
import subprocess
import time

import fsspec
import pytest
from s3_server import free_ports
from store_contract import Place, StoreContract, local

from taskinity_data.chunks.open_dataset import open_dataset

__all__ = ["TestAz", "local", "place"]

ACCOUNT = "tester"
KEY, WRONG = "dmVyeSBzZWNyZXQga2V5", "YW5vdGhlciBzZWNyZXQga2V5"


def reach(port, key):
    return {
        "connection_string": f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};"
        f"AccountKey={key};BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT};"
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [
            *(os.environ["AZURITE"], "--silent", "--blobHost", "127.0.0.1"),
            *("--blobPort", str(port), "--location", str(tmp_path_factory.mktemp("azurite"))),
            "--skipApiVersionCheck",
        ],
        env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
    )
    try:
        options = reach(port, KEY)
        system = fsspec.filesystem("az", **options)
        until = time.monotonic() + 60
        while True:
            try:
                system.mkdir("flights")
                break
            except Exception:
                if time.monotonic() > until or process.poll() is not None:
                    raise
                time.sleep(0.2)
        denied = ("az://flights", reach(port, WRONG))
        yield Place("az://flights", options, system, "az://nowhere", denied, (KEY, WRONG))
    finally:
        process.terminate()
        process.wait()


class TestAz(StoreContract):
    def test_an_object_whose_answers_tell_its_tag_is_not_asked_after(self, place, monkeypatch):
        place.put("once/a.csv", b"a\n1\n")
        (chunk,) = open_dataset(f"{place.url}/once/a.csv", storage_options=place.options).plan()
        asked = []
        look = type(place.system)._info
        monkeypatch.setattr(
            type(place.system),
            "_info",
            lambda *given, **more: asked.append(1) or look(*given, **more),
        )
        assert chunk.read().a.tolist() == [1]
        assert asked == []
