"""How fast record ends are found, against reading alone and counting line feeds alone.

Run ``python benchmarks/csv_cuts.py [--nbytes N]``: figures of the machine at hand.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from taskinity_data.formats.csv.records.cuts import find_grains
from taskinity_data.formats.csv.records.dialect import Dialect

if TYPE_CHECKING:
    from collections.abc import Callable

GRAIN_NBYTES = 1 << 20
ROUNDS = 5
CASES = {
    "plain, short lines": (b"Hamburg;12.0\n", Dialect(sep=";")),
    "plain, long lines": (b"2013-01-01,517,UA," * 20 + b"x\n", Dialect()),
    "plain, CRLF": (b"aaa,bbb,ccc,ddd,eee\r\n", Dialect()),
    "old Mac, lone CR": (b"aaa,bbb,ccc,ddd,eee\r", Dialect()),
    "blank lines": (b"a,b,c,d\n\n  \n", Dialect()),
    "lightly quoted": (b'1,2,"a, b",4,5,6,7,some text here\n', Dialect()),
    "fully quoted": (b'"abc","12","def ghi","3.5","x"\n', Dialect()),
    "quoted newlines": (b'1,"a\nb",3\n', Dialect()),
    "a stray quote each 1 MB": (b"1,5,3\n" * 170_000 + b'1,5" disk,3\n', Dialect()),
    "a stray quote each line": (b'1,5" disk,3\n', Dialect()),
    "escapes in each line": (b'1,"a\\"b",3\n', Dialect(escapechar="\\")),
    "seeking only": (b"Hamburg;12.0\n", Dialect(sep=";", newlines_in_values=False)),
}
"""Name, a piece of text to repeat, and its dialect."""


def read_alone(path: Path) -> None:
    buffer = bytearray(1 << 18)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def count_line_feeds(path: Path) -> None:
    buffer = bytearray(1 << 18)
    array = np.frombuffer(buffer, np.uint8)
    total = 0
    with path.open("rb", buffering=0) as file:
        while nbytes := file.readinto(buffer):
            total += int(np.count_nonzero(array[:nbytes] == ord("\n")))


def cut(path: Path, dialect: Dialect) -> None:
    for _ in find_grains(path, 0, path.stat().st_size, dialect, GRAIN_NBYTES):
        pass


def measure(function: Callable[[], None], nbytes: int) -> str:
    """Gigabytes a second: of the clock, and of the process' CPU time; the best of a few rounds."""
    clock, cpu = [], []
    for _ in range(ROUNDS):
        clock_before, cpu_before = time.perf_counter(), time.process_time()
        function()
        clock.append(time.perf_counter() - clock_before)
        cpu.append(max(time.process_time() - cpu_before, 1e-6))
    return f"{nbytes / min(clock) / 1e9:8.2f} ({nbytes / min(cpu) / 1e9:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nbytes", type=int, default=100_000_000)
    options = parser.parse_args()
    print("GB/s by the clock (by CPU time)")
    print(f"{'':26}{'read':>18}{'line feeds':>18}{'cuts':>18}")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "data.csv")
        for name, (text, dialect) in CASES.items():
            piece = text * (1_000_000 // len(text) + 1)
            with path.open("wb") as file:
                while file.tell() < options.nbytes:
                    file.write(piece)
            nbytes = path.stat().st_size
            figures = [
                measure(partial(read_alone, path), nbytes),
                measure(partial(count_line_feeds, path), nbytes),
                measure(partial(cut, path, dialect), nbytes),
            ]
            print(f"{name:26}" + "".join(f"{figure:>18}" for figure in figures))


if __name__ == "__main__":
    main()
