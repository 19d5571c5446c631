"""When chunks fail: retry with back-off, a fallback, skipping under a threshold, one chunk alone.

python examples/error_handling.py [--workers N] [--scheduler S]
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd

import taskinity_data as td


def write_numbers(folder):
    """A thousand numbers, of which the 450th is a text."""
    path = folder / "numbers.csv"
    values = [str(number) for number in range(1_000)]
    values[450] = "oops"
    path.write_text("number\n" + "\n".join(values) + "\n")
    return path


def strict(chunk):
    return int(chunk["number"].astype("int64").sum())


def lenient(chunk):
    return int(pd.to_numeric(chunk["number"], errors="coerce").sum())


def tell(title, run):
    counts = run.outcomes.query("task != 'AggregateResults'")["status"].value_counts().to_dict()
    print(f"{title}: {run.status}, {counts}, answer {run.value}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scheduler", default="threads")
    where = vars(parser.parse_args()) | {"chunk_size": "100 rows", "dtype": {"number": "str"}}

    with tempfile.TemporaryDirectory() as folder:
        path = write_numbers(Path(folder))

        def flaky(chunk):
            """Fails the first time that it sees a chunk, as a service does that is busy."""
            seen = Path(folder) / f"seen-{chunk['number'].iloc[0]}"
            if not seen.exists():
                seen.touch()
                raise ConnectionError("the service is busy")
            return len(chunk)

        run = td.process(path, flaky, reduce=sum, retries=3, retry_delay="50ms", **where)
        chunks = run.outcomes.query("task == 'ProcessChunk'")
        tell("retry", run)
        print(f"  attempts: {chunks['attempts'].sum()} for {len(chunks)} chunks\n")

        run = td.process(path, strict, reduce=sum, on_error=lenient, **where)
        tell("fallback", run)
        print(f"  rows by the fallback: {run.ledger.at['fallback', 'rows']}\n")

        run = td.process(path, strict, reduce=sum, on_error="skip", max_failures="10%", **where)
        tell("skip", run)
        print(
            f"  rows skipped: {run.ledger.at['skipped', 'rows']}; {run.failures['error'].iloc[0]}\n"
        )

        try:
            td.process(path, strict, reduce=sum, **where)
        except td.errors.FlowFailed as error:
            place = str(error).split("only=")[1].split(";")[0].strip("'")
            print(f"no policy: {error.run.status}, and the error tells the chunk")
        where["scheduler"] = "synchronous"  # where a debugger stops in the function
        run = td.process(path, lenient, reduce=sum, only=place, **where)
        tell("that chunk alone, with a better function", run)


if __name__ == "__main__":
    main()
