"""A narrow Parquet query over S3: requests and bytes of taskinity_data and of `pyarrow.dataset`.

    python benchmarks/s3_narrow.py --rounds 3

A real S3 server (SeaweedFS) runs on this machine; each side talks to it through a proxy that counts
requests and the bytes of their answers, and keeps each answer back for `--latency-ms`, since a real
store is not on the same machine. The query takes 2 of 24 columns, with a filter that row groups'
statistics rule out three quarters of. The peer runs with Arrow's own S3 client, and over s3fs, with
and without `pre_buffer`. All answers must be equal. Each variant is a process of its own, which
first makes its client and lists another directory with it: timed apart, and not counted.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import TYPE_CHECKING, Any

from s3_server import KEY, SECRET, reach, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILES, GROUPS, GROUP_ROWS, COLUMNS = 4, 12, 20_000, 24
ROWS = FILES * GROUPS * GROUP_ROWS
BOUND = ROWS * 3 // 4
WANTED = ["n", "x7"]


def ours(port: int) -> tuple[int, float]:
    from concurrent.futures import ThreadPoolExecutor

    import pyarrow.compute as pc

    import taskinity_data as td

    dataset = td.open_dataset(
        "s3://narrow/data/",
        columns=WANTED,
        filters=[("n", ">=", BOUND)],
        storage_options=reach(port),
    )
    with ThreadPoolExecutor(2) as pool:
        tables = list(pool.map(lambda chunk: chunk.read("arrow"), dataset.plan(workers=2)))
    total = sum(pc.sum(table["x7"]).as_py() or 0.0 for table in tables)
    return sum(table.num_rows for table in tables), total


def arrows(port: int) -> Any:
    import pyarrow.fs as pfs

    return pfs.S3FileSystem(
        access_key=KEY,
        secret_key=SECRET,
        scheme="http",
        endpoint_override=f"127.0.0.1:{port}",
        region="us-east-1",
    )


def fsspecs(port: int) -> Any:
    import fsspec

    return fsspec.filesystem("s3", **reach(port))


def peer(system: Any, *, pre_buffer: bool) -> tuple[int, float]:
    import pyarrow.compute as pc
    import pyarrow.dataset as pds

    scan = pds.ParquetFragmentScanOptions(pre_buffer=pre_buffer)
    form = pds.ParquetFileFormat(default_fragment_scan_options=scan)
    dataset = pds.dataset("narrow/data/", filesystem=system, format=form)
    table = dataset.to_table(columns=WANTED, filter=pds.field("n") >= BOUND)
    return table.num_rows, pc.sum(table["x7"]).as_py()


VARIANTS: dict[str, Callable[[int], tuple[int, float]]] = {
    "taskinity_data (s3fs)": ours,
    "pyarrow.dataset, its own S3": lambda port: peer(arrows(port), pre_buffer=True),
    "pyarrow.dataset, its own S3, pre_buffer=False": lambda port: peer(
        arrows(port), pre_buffer=False
    ),
    "pyarrow.dataset over s3fs": lambda port: peer(fsspecs(port), pre_buffer=True),
    "pyarrow.dataset over s3fs, pre_buffer=False": lambda port: peer(
        fsspecs(port), pre_buffer=False
    ),
}


def make_client(name: str, port: int) -> None:
    if name.endswith(("own S3", "own S3, pre_buffer=False")):
        import pyarrow.fs as pfs

        arrows(port).get_file_info(pfs.FileSelector("narrow/other", allow_not_found=True))
    else:
        fsspecs(port).find("narrow/other")


@contextmanager
def proxy(target: int, latency_s: float) -> Iterator[tuple[int, dict[str, int]]]:
    """A port that passes all on to `target`, and what has been counted there."""
    counts = {"requests": 0, "nbytes": 0}
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: Any) -> None:
            pass

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server = http.client.HTTPConnection("127.0.0.1", target)
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                server.putheader(name, value)
            server.endheaders(body or None)
            got = server.getresponse()
            data = got.read()
            time.sleep(latency_s)
            if "other" not in self.path:
                with lock:
                    counts["requests"] += 1
                    counts["nbytes"] += len(data)
            self.send_response_only(got.status, got.reason)
            for name, value in got.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            length = got.getheader("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            server.close()

        def do_GET(self) -> None:
            self.answer()

        def do_HEAD(self) -> None:
            self.answer()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], counts
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fill(to: dict[str, Any]) -> None:
    import fsspec
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    system = fsspec.filesystem("s3", **to)
    random = np.random.default_rng(3)
    rows = GROUPS * GROUP_ROWS
    for place in range(FILES):
        columns = {"n": np.arange(place * rows, (place + 1) * rows)}
        columns |= {f"x{one}": random.normal(size=rows) for one in range(COLUMNS - 1)}
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(columns), sink, row_group_size=GROUP_ROWS)
        system.pipe(f"narrow/data/{place}.parquet", sink.getvalue().to_pybytes())


def measure(name: str, target: int, latency_s: float) -> dict[str, Any]:
    with proxy(target, latency_s) as (port, counts):
        ended = subprocess.run(
            [sys.executable, __file__, "--variant", name, "--port", str(port)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return {**counts, **json.loads(ended.stdout)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency-ms", type=float, default=20)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        for module in ("pyarrow.dataset", "s3fs", "taskinity_data.chunks.open_dataset"):
            import_module(module)  # loading is not what is timed

        start = time.perf_counter()
        make_client(arguments.variant, arguments.port)
        made = time.perf_counter()
        rows, total = VARIANTS[arguments.variant](arguments.port)
        times = {"client_s": made - start, "s": time.perf_counter() - made}
        print(json.dumps({**times, "rows": rows, "sum": round(total, 6)}))
        return
    with tempfile.TemporaryDirectory() as home, serving(home, "narrow") as to:
        fill(to)
        port = int(to["endpoint_url"].rpartition(":")[2])
        found = {
            name: [
                measure(name, port, arguments.latency_ms / 1000) for _ in range(arguments.rounds)
            ]
            for name in VARIANTS
        }
    answers = {(one["rows"], one["sum"]) for results in found.values() for one in results}
    if len(answers) != 1:
        sys.exit(f"the answers differ: {answers}")
    print("| | requests | MB | s | client, s |\n| --- | --- | --- | --- | --- |")
    for name, results in found.items():
        requests, nbytes, seconds, client = (
            statistics.median(one[key] for one in results)
            for key in ("requests", "nbytes", "s", "client_s")
        )
        told = f"{requests:.0f} | {nbytes / 1e6:.2f} | {seconds:.2f} | {client:.2f}"
        print(f"| {name} | {told} |")


if __name__ == "__main__":
    main()
