"""Parts have the permissions of the run's own umask, whatever a function sets in its process."""

import os
import signal
import stat
import threading

import pandas as pd
import pytest

import taskinity_data as td

FRAME = pd.DataFrame({"n": range(40), "year": [2013, 2014] * 20})


@pytest.fixture(params=[0o777, 0o000], ids=["nobody may read", "all may write"])
def stray(request, monkeypatch, tmp_path):
    """A function that sets all that a process has but once."""
    monkeypatch.setenv("HOME", os.environ.get("HOME", "/"))
    monkeypatch.chdir(tmp_path)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)}
    umask = os.umask(0o027)
    mask, folder = request.param, str(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()

    def change(chunk):
        os.umask(mask)
        os.environ["HOME"] = "/nonexistent"
        os.chdir(folder)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGUSR1, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
        # The second half of the chunks has no type for this column: they are written anew.
        return chunk.assign(text="x" if chunk["n"].iloc[0] < 20 else None)

    yield change
    os.umask(umask)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("scheduler", "partition_by"),
    [("synchronous", ()), ("threads", ()), ("threads", "year"), ("processes", ())],
)
def test_parts_have_the_permissions_of_the_umask_that_the_run_began_with(
    stray, tmp_path, scheduler, partition_by
):
    run = td.process(
        FRAME, stray, output="out", partition_by=partition_by, scheduler=scheduler, workers=1,
        chunk_size="10 rows", progress=False, run_dir="runs",
    )  # fmt: skip
    target = tmp_path / "out"
    modes = {
        path.relative_to(target): stat.S_IMODE(path.stat().st_mode)
        for path in (target, *target.rglob("*"))
    }
    files = {name: mode for name, mode in modes.items() if name.suffix}
    assert len(files) >= 5
    assert set(files.values()) == {0o640}
    assert {mode for name, mode in modes.items() if not name.suffix} == {0o750}
    read = pd.concat(map(pd.read_parquet, sorted(target.rglob("*.parquet"))))
    assert sorted(read["n"]) == list(range(40))
    assert os.listdir(tmp_path / "elsewhere") == []
    assert os.umask(0o027) == 0o027
    assert str(td.load_run(run.run_id, run_dir=tmp_path / "runs").status) == "COMPLETED"


@pytest.mark.thorough
def test_a_worker_that_comes_by_another_umask_says_so_and_puts_it_back(tmp_path):
    run = td.process(
        FRAME, lambda chunk: os.umask(0o077), scheduler="processes", workers=1,
        chunk_size="10 rows", progress=False,
    )  # fmt: skip
    assert len(run.value) == 4
    assert set(run.value) == {os.umask(0o022)}
    os.umask(run.value[0])
    assert any("changed the umask to 0o077" in text for text in run.notices)
