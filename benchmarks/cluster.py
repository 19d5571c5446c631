"""Time runs on Dask clusters that grow or are far away, beside Dask's own `Client.map` in one run.

    python benchmarks/cluster.py [far] [grow] [lost] [noop] [--rounds 3] [--chunks 1_000_000]

`far`: the client reaches the scheduler through a proxy that delays each way by 55 ms; 200 chunks of
0.2 s on two workers. `grow`: an adaptive cluster, 0 to 4 workers, 41 chunks of 1 s. `lost`: such a
cluster, 120 chunks of 0.5 s, of which a worker is killed every 5 s: all have one result, and what
was started a second time is counted. `noop`: chunks that do nothing, on two warm workers:
`--chunks` of them, and for `Client.map` as many as take it less than a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pandas as pd
from distributed import Client, LocalCluster

import taskinity_data as td

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DELAY_S = 0.055
PIECE_S, LOST_EACH_S = 0.5, 5.0
MAX_MAPPED = 10_000


async def _delay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on, each after `DELAY_S`, without holding up those behind it."""
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    async def send() -> None:
        data = b"begin"
        while data:
            due_s, data = await waiting.get()
            await asyncio.sleep(due_s - loop.time())
            writer.write(data)
        writer.close()

    sending = asyncio.create_task(send())
    data = b"begin"
    while data:
        try:
            data = await reader.read(1 << 16)
        except OSError:
            data = b""
        waiting.put_nowait((loop.time() + DELAY_S, data))
    await sending


@contextmanager
def delayed(address: str) -> Iterator[str]:
    """Yield an address that reaches `address` through a proxy with a delay."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_delay(reader, back), _delay(there, writer))

    async def listen() -> int:
        server = await asyncio.start_server(connect, "127.0.0.1")
        return int(server.sockets[0].getsockname()[1])

    yield f"tcp://127.0.0.1:{asyncio.run_coroutine_threadsafe(listen(), loop).result()}"
    # The loop goes on in its thread, so that nothing ends in the middle of a message.


def _sleep(chunk: pd.DataFrame) -> float:
    seconds = float(chunk.seconds.item())
    time.sleep(seconds)
    return seconds


def _take(chunk: pd.DataFrame) -> float:
    return float(chunk.to_numpy().item())


def _timed(act: Callable[[], object]) -> float:
    begun_s = time.perf_counter()
    act()
    return time.perf_counter() - begun_s


@contextmanager
def separate_cluster() -> Iterator[str]:
    """Yield the address of a scheduler with two workers of one thread, processes of their own."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        file = f"{folder}/scheduler.json"

        def start(*words: str) -> None:
            command = [sys.executable, "-m", "dask", *words, "--scheduler-file", file]
            command += ["--host", "127.0.0.1", "--no-dashboard"]
            child = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            stack.callback(child.terminate)

        start("scheduler", "--port", "0")
        for _ in range(2):
            start("worker", "--nthreads", "1", "--local-directory", folder)
        with Client(scheduler_file=file, set_as_default=False, timeout=60) as client:
            client.wait_for_workers(2)
            _run([0.0] * 20, client)
            yield client.scheduler.address


def _run(
    values: list[float], client: Client, function: Callable[[pd.DataFrame], float] = _sleep
) -> None:
    frame = pd.DataFrame({"seconds": values})
    options = {"chunk_size": "1 rows", "scheduler": client, "progress": False}
    assert td.process(frame, function, **options).value == values


def _map(
    values: list[float], client: Client, function: Callable[[pd.DataFrame], float] = _sleep
) -> None:
    # Frames, so that these workers import pandas, too.
    frames = [pd.DataFrame({"seconds": [value]}) for value in values]
    assert client.gather(client.map(function, frames, pure=False)) == values


def far(ways: list[str]) -> None:
    """Two workers behind a round trip of 110 ms; ideal: 20 s."""
    with separate_cluster() as scheduler, delayed(scheduler) as address:
        values = [0.2] * 200
        for way in ways:
            with Client(address, set_as_default=False) as client:
                act = _map if way == "Client.map" else _run
                seconds = _timed(lambda act=act, client=client: act(values, client))
                print(f"far   {way:15} {seconds:6.1f} s, {20 / seconds:.0%} of ideal", flush=True)


def grow(ways: list[str]) -> None:
    """From no workers to four."""
    for way in ways:
        with LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None) as cluster:
            cluster.adapt(minimum=0, maximum=4)
            with Client(cluster, set_as_default=False) as client:
                act = _map if way == "Client.map" else _run
                seconds = _timed(lambda act=act, client=client: act([1.0] * 41, client))
                print(f"grow  {way:15} {seconds:6.1f} s", flush=True)


def _write(chunk: pd.DataFrame) -> int:
    number = int(chunk.number.item())
    with open(chunk.log.item(), "a") as log:
        log.write(f"{number}\n")
    time.sleep(PIECE_S)
    return number


def _kill_workers(cluster: LocalCluster, ended: threading.Event, killed: list[int]) -> None:
    while not ended.wait(LOST_EACH_S):
        for nanny in list(cluster.workers.values())[:1]:
            if nanny.pid is not None:
                os.kill(nanny.pid, signal.SIGKILL)
                killed.append(nanny.pid)


def lost(ways: list[str]) -> None:
    """From no workers to four, of which one is killed every 5 s."""
    for way in ways:
        with ExitStack() as stack:
            log = f"{stack.enter_context(tempfile.TemporaryDirectory())}/started"
            cluster = LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None)
            client = Client(stack.enter_context(cluster), set_as_default=False)
            stack.enter_context(client)
            cluster.adapt(minimum=0, maximum=4)
            frame = pd.DataFrame({"number": range(120)}).assign(log=log)
            ended, killed = threading.Event(), []
            killing = threading.Thread(target=_kill_workers, args=(cluster, ended, killed))
            begun_s = time.perf_counter()
            killing.start()
            if way == "Client.map":
                rows = [frame[number : number + 1] for number in frame.number]
                numbers = client.gather(client.map(_write, rows, pure=False))
            else:
                options = {"chunk_size": "1 rows", "scheduler": client, "progress": False}
                numbers = td.process(frame, _write, **options).value
            seconds = time.perf_counter() - begun_s
            ended.set()
            killing.join()
            assert numbers == list(frame.number)
            with open(log) as file:
                again = sum(1 for _ in file) - len(frame)
            each_s = again * PIECE_S / max(1, len(killed))
            print(
                f"lost  {way:15} {seconds:6.1f} s, {len(killed)} workers lost, {again} chunks "
                f"started again: {each_s:.2f} s of work a worker lost",
                flush=True,
            )


def noop(ways: list[str], chunks: int = 100_000) -> None:
    """Items that take no time."""
    with separate_cluster() as address, Client(address, set_as_default=False) as client:
        for way in ways:
            is_map = way == "Client.map"
            act, count = (_map, min(chunks, MAX_MAPPED)) if is_map else (_run, chunks)
            values = [float(number) for number in range(count)]
            seconds = _timed(lambda act=act, values=values: act(values, client, _take))
            print(
                f"noop  {way:15} {1e6 * seconds / count:6.0f} µs an item of {count:,}", flush=True
            )


MEASUREMENTS = {"far": far, "grow": grow, "lost": lost, "noop": noop}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", nargs="*", choices=[*MEASUREMENTS, []], help="all without any")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--chunks", type=int, default=100_000, help="of noop")
    parsed = parser.parse_args()
    for name in parsed.what or MEASUREMENTS:
        options = {"chunks": parsed.chunks} if name == "noop" else {}
        MEASUREMENTS[name](["Client.map", "Taskinity"] * parsed.rounds, **options)
