"""What a machine may lack, or do, while a run goes: an answer, or a stop that says why."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.outcome import RunStatus

pytestmark = pytest.mark.thorough


@pytest.fixture
def source(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(60):
        pd.DataFrame({"n": [number]}).to_csv(tmp_path / "in" / f"{number:02}.csv", index=False)
    return f"{tmp_path}/in/*.csv"


@pytest.mark.parametrize("by_s", [86_400, -86_400])
@pytest.mark.parametrize("timeout", [None, "60s"])
def test_a_wall_clock_that_jumps_has_no_effect(by_s, timeout, source, tmp_path, monkeypatch):
    real, jumped = time.time, []
    monkeypatch.setattr(time, "time", lambda: real() + (by_s if jumped else 0))

    class Jump:
        def on_event(self, event):
            if isinstance(event, td.events.ChunkFinished):
                jumped.append(True)

    run = td.process(
        source, lambda chunk: chunk, reduce=td.count(), scheduler="threads", workers=2,
        chunk_size="1 rows", timeout=timeout, retries=1, retry_delay="10ms", observers=[Jump()],
        run_dir=tmp_path / "runs",
    )  # fmt: skip
    assert run.value == 60
    assert run.status is RunStatus.COMPLETED
    assert 0 <= run.timings["total"] < 43_200
    assert td.load_run(run.run_id, tmp_path / "runs").status == "COMPLETED"


def launch(source, folder, code="", **environment):
    script = folder / "script.py"
    script.write_text(
        textwrap.dedent(code)
        + textwrap.dedent(
            """
            import sys
            import taskinity_data as td

            if __name__ == "__main__":
                run = td.process(
                    sys.argv[1], lambda chunk: chunk, reduce=td.count(), scheduler="threads",
                    workers=2, chunk_size="1 rows", run_dir="runs", timeout="60s",
                )
                print(run.value, run.status)
            """
        )
    )
    kept = {name: value for name, value in os.environ.items() if name != "HOME"}
    return subprocess.run(
        [sys.executable, str(script), source], cwd=folder, env=kept | environment, text=True,
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip


def test_no_home_is_needed(source, tmp_path):
    done = launch(source, tmp_path)
    assert done.stdout.split() == ["60", "COMPLETED"], done.stderr
    done = launch(source, tmp_path, HOME="/nonexistent")
    assert done.stdout.split() == ["60", "COMPLETED"], done.stderr


def test_a_low_limit_of_open_files_is_enough_or_is_named(source, tmp_path):
    limit = """
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, ({0}, {0}))
        """
    done = launch(source, tmp_path, limit.format(32))
    assert done.stdout.split() == ["60", "COMPLETED"], done.stderr
    done = launch(source, tmp_path, limit.format(10))
    assert done.returncode == 1
    assert "Too many open files" in done.stderr
