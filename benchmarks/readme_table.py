"""Write the table of the README from RESULTS.md: some jobs, seconds, also where we lose.

python benchmarks/readme_table.py
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README, RESULTS = ROOT / "README.md", ROOT / "benchmarks" / "RESULTS.md"
TABLE = re.compile(r"(?<=writes this table -->\n).*?(?=<!-- end of the table)", re.DOTALL)

JOBS = {
    "W8": "a function that waits 1 ms per record, 4 workers",
    "W4": "a Python function per row, 674 k rows",
    "pandas a chunk": "a pandas function per chunk",
    "W2": "Parquet, 30 M rows: TPC-H query 1",
    "W1": "CSV, 50 M rows: min, mean, max by key",
    "join": "a join with a small table",
    "W7": "1 MB CSV in a new process",
}
COLUMNS = {
    "taskinity_data": "Taskinity Data",
    "pandas": "pandas",
    "Polars": "Polars",
    "DuckDB": "DuckDB",
    "dask.dataframe": "dask.dataframe",
}
SAME = {"multiprocessing, pandas": "pandas", "one after another": "pandas"}


def read_results(text):
    """Return by job and program the seconds and, where it was measured, the memory in MB."""
    results = {}
    for section in text.split("\n## ")[1:]:
        job = section.partition(":")[0]
        times = results[job] = {}
        for row in re.findall(r"^\| ([^|]*) \|(.*)\|$", section, re.MULTILINE):
            name, cells = row[0].strip(), [cell.strip() for cell in row[1].split("|")]
            if not re.fullmatch(r"[\d.]+", cells[0]) or name.endswith("cluster"):
                continue
            program = SAME.get(name, name.partition(",")[0])
            memory = cells[-1] if "| peak memory, MB |\n" in section else ""
            # The fastest way of each program.
            times[program] = min(times.get(program, (1e9, "")), (float(cells[0]), memory))
    return results


def make_table(text):
    """Return the table of the README."""
    results = read_results(text)
    lines = [f"| job | {' | '.join(COLUMNS.values())} |", "| --- |" + " --: |" * len(COLUMNS)]
    for job, words in JOBS.items():
        cells = []
        for program in COLUMNS:
            seconds, memory = results[job].get(program, (None, ""))
            shown = "" if seconds is None else f"{seconds:.2f}"
            cells.append(f"{shown} ({memory} MB)" if memory else shown)
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    """Replace the table in the README."""
    table = make_table(RESULTS.read_text(encoding="utf-8"))
    readme = README.read_text(encoding="utf-8")
    README.write_text(TABLE.sub(lambda _: table, readme), encoding="utf-8")


if __name__ == "__main__":
    main()
