"""What starting costs: fresh processes, medians, and which heavy modules each loads.

python benchmarks/imports.py --rounds 9
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEAVY = ("numpy", "pandas", "pyarrow", "dask", "distributed", "bokeh", "rich", "jinja2", "click")
FLOW = "flow F:\n    A -> B[*] -> C\n"


def command(*arguments: str) -> str:
    lines = [
        "import sys",
        f"sys.argv[1:] = {list(arguments)!r}",
        "from taskinity_data.cli import main",
        "try:",
        "    main()",
        "except SystemExit as end:",
        "    assert not end.code, end.code",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        flow = Path(folder) / "f.flow"
        flow.write_text(FLOW)
        codes = {
            "python -c pass": "pass",
            "import taskinity_data": "import taskinity_data",
            "taskinity-data --help": command("--help"),
            "taskinity-data validate f.flow": command("validate", str(flow)),
            "taskinity-data visualize f.flow": command("visualize", str(flow)),
            "td.open_dataset": "import taskinity_data as td; td.open_dataset",
            "td.process": "import taskinity_data as td; td.process",
            "import pandas": "import pandas",
            "import distributed": "import distributed",
        }
        tell = f"\nimport sys\nprint(*[m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
        times: dict[str, list[float]] = {name: [] for name in codes}
        loaded = {}
        for _ in range(rounds):
            for name, code in codes.items():
                begun = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, "-c", code + tell], capture_output=True, text=True, check=True
                )
                times[name].append(time.perf_counter() - begun)
                loaded[name] = done.stderr.splitlines()[-1].strip() if done.stderr.strip() else ""
    print("| | ms | loads |")
    print("| --- | --- | --- |")
    for name, seconds in times.items():
        print(f"| `{name}` | {statistics.median(seconds) * 1e3:.0f} | {loaded[name]} |")


if __name__ == "__main__":
    main()
