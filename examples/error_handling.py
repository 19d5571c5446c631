"""When chunks fail: each policy at work, a worker that dies, a run that is killed and goes on.

python examples/error_handling.py [--workers N] [--scheduler S]"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import taskinity_data as td


def strict(chunk):
    return int(chunk["number"].astype("int64").sum())


def fragile(chunk: td.Chunk):  # to the chunk with "oops" happens what its file is called
    path, frame = Path(chunk.path), chunk.read()
    if path.stem == "killed":
        time.sleep(0.2)
        path.with_name(f"{chunk.start}.done").touch()
    elif "oops" in set(frame["number"]):
        with path.with_suffix(".asked").open("a") as file:
            asked = file.write("x") and file.tell()  # so often by now
        if asked <= {"retry": 2, "redrive": 1}.get(path.stem, 0):
            raise ConnectionError("the service is busy")
        time.sleep(60 if path.stem == "timeout" else 0)
        if path.stem == "death" and asked == 1:  # as where a library crashes
            os._exit(1)
    return strict(frame[frame["number"] != "oops"])


def show(title, folder, function, **options):
    data = Path(folder, f"{title.split()[0]}.csv")
    numbers = map(str, ["number", *range(450), "oops", *range(451, 1_000)])
    data.exists() or data.write_text("\n".join(numbers))
    options |= {"chunk_size": "100 rows", "dtype": "str", "run_dir": Path(folder, "runs")}
    run = td.process(data, function, reduce=sum, progress=False, **options)
    chunks = run.attempts.query("task == 'ProcessChunk'")
    aside = len([*run.quarantine.glob("*.json")]) if run.quarantine else 0
    left = run.ledger["rows"].drop(["planned", "processed"]).loc[lambda rows: rows > 0]
    gaps = chunks.groupby("key")["started"].diff().dt.total_seconds().dropna()
    print(f"{title}: {run.status}, sum {run.value:,}, {len(chunks)} attempts, "
          f"{left.to_dict() or 'all rows'}, in quarantine: {aside}",
          *chunks["error"].dropna().unique(),
          *(f"next attempt after {gap:.2f} s" for gap in gaps), sep="\n  ")  # fmt: skip
    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scheduler", default="threads")
    parser.add_argument("--killed", help="the folder of the run that this script starts and kills")
    where = vars(parser.parse_args())
    if killed := where.pop("killed"):
        sys.exit(not show("killed", killed, fragile, **where))
    print('0 to 999 in ten chunks, with "oops" in place of 450; without it the sum is 499,050.\n')
    with tempfile.TemporaryDirectory() as folder:
        show("retry with back-off", folder, fragile, retries=3, retry_delay="50ms", **where)
        show("timeout of a second", folder, fragile, timeout="1s", on_error="skip", **where)
        show("fallback", folder, strict, on_error=fragile, **where)
        show("skip under 10 %", folder, strict, on_error="skip", max_failures="10%", **where)
        show("bisect to the bad row", folder, strict, on_error="bisect", **where)
        run = show("redrive (first)", folder, fragile, on_error="skip", **where)
        show("redrive (again)", folder, fragile, resume=run.run_id, **where)
        show("death of a worker", folder, fragile, retries=1, timeout="1 min", **where)
        command = [sys.executable, __file__, *sys.argv[1:], "--killed", folder]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
            while len(list(Path(folder).glob("*.done"))) < 4 and child.poll() is None:
                time.sleep(0.02)
            child.kill()
        show("killed and resumed", folder, fragile, resume=True, **where)


if __name__ == "__main__":
    main()
