"""What holds for files in every store, whoever keeps them; an inheritable suite.

A subclass has a fixture `place`, a `Place`.
"""

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import FlowFailed, PlanError, SourceChanged, SourceNotFound

WRITERS = {
    "a.csv": lambda frame, path: frame.to_csv(path, index=False),
    "a.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "a.jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "a.parquet": lambda frame, path: frame.to_parquet(path, row_group_size=1_000),
}
READERS = {".csv": pd.read_csv, ".gz": pd.read_csv, ".parquet": pd.read_parquet}


@dataclass
class Place:
    """An empty bucket or container.

    `options` reach it, `denied` (another URL, other options) what may not be seen; `secrets` stand
    in either.
    """

    url: str
    options: dict[str, Any]
    system: Any
    elsewhere: str
    denied: tuple[str, dict[str, Any]]
    secrets: tuple[str, ...]

    def put(self, name, data):
        self.system.pipe_file(f"{self.url}/{name}", data)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The files here, one of each format."""
    directory = tmp_path_factory.mktemp("local")
    random = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "n": np.arange(4_000),
            "x": random.normal(size=4_000),
            "word": [f"wörd, {n % 97}" for n in range(4_000)],
        }
    )
    for name, write in WRITERS.items():
        write(frame, directory / name)
    return directory


class StoreContract:
    @pytest.mark.parametrize("name", WRITERS)
    def test_rows_are_those_of_the_file(self, place, local, name):
        place.put(f"all/{name}", (local / name).read_bytes())
        dataset = open_dataset(
            f"{place.url}/all/{name}", chunk_size=20_000, storage_options=place.options
        )
        chunks = [pickle.loads(pickle.dumps(chunk)) for chunk in dataset.plan()]
        assert len(chunks) > 1
        found = pd.concat([chunk.read() for chunk in chunks], ignore_index=True)
        suffix = name[name.rindex(".") :]
        read = READERS.get(suffix, lambda path: pd.read_json(path, lines=True))
        pd.testing.assert_frame_equal(found, read(local / name))
        assert not [one for one in place.secrets if one in repr(dataset) + repr(chunks)]

    def test_directories_globs_and_hive_keys_are_those_of_local_files(self, place, tmp_path):
        names = ("k=1/b.csv", "k=1/a.csv", "k=2/a.csv", "k=2/_hidden.csv", "_k=3/a.csv")
        for value, name in enumerate(names):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(f"a\n{value}\n")
            place.put(f"tree/{name}", f"a\n{value}\n".encode())
        for pattern in ("", "/k=*/*.csv", "/k=2"):
            here = open_dataset(f"{tmp_path}{pattern}")
            there = open_dataset(f"{place.url}/tree{pattern}", storage_options=place.options)
            pd.testing.assert_frame_equal(there.head(9), here.head(9))

    def test_what_is_not_there_is_missing(self, place):
        place.put("some/a.csv", b"a\n1\n")
        for url in (
            f"{place.url}/some/none.csv",
            f"{place.url}/none/",
            f"{place.url}/some/*.x",
            f"{place.elsewhere}/a.csv",
        ):
            with pytest.raises(SourceNotFound, match=r"no such file|no file"):
                open_dataset(url, storage_options=place.options)

    def test_what_may_not_be_seen_is_refused_without_secrets(self, place):
        place.put("some/a.csv", b"a\n1\n")
        url, options = place.denied
        with pytest.raises(PlanError, match=r"refuses to show it.*give credentials") as caught:
            open_dataset(f"{url}/some/a.csv", storage_options=options)
        assert not [one for one in place.secrets if one in str(caught.value)]

    @pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
    def test_an_object_that_changed_or_is_gone_is_not_read(self, place, local, name):
        data = (local / name).read_bytes()
        place.put(f"moving/{name}", data)
        chunk = open_dataset(f"{place.url}/moving/{name}", storage_options=place.options).plan()[0]
        assert len(chunk.read()) > 0
        place.put(f"moving/{name}", data[:-200] + bytes([data[-200] ^ 1]) + data[-199:])
        with pytest.raises(SourceChanged, match="changed after it was planned"):
            chunk.read()
        place.system.rm_file(f"{place.url}/moving/{name}")
        with pytest.raises(SourceChanged, match="is gone"):
            chunk.read()

    def test_output_appears_whole_or_stays_as_it_was(self, place, local):
        target = f"{place.url}/out"
        run = {
            "output": target,
            "storage_options": place.options,
            "chunk_size": 20_000,
            "scheduler": "synchronous",
        }
        place.put("in/a.csv", (local / "a.csv").read_bytes())

        def fail(chunk):
            if chunk.n.iloc[0] > 1_000:
                raise ValueError("no more")
            return chunk

        def read():
            dataset = open_dataset(target, storage_options=place.options)
            return pd.concat([chunk.read() for chunk in dataset.plan()], ignore_index=True)

        with pytest.raises(FlowFailed):
            td.process(f"{place.url}/in/a.csv", fail, **run)
        with pytest.raises(SourceNotFound):
            read()
        td.process(f"{place.url}/in/a.csv", lambda chunk: chunk, **run)
        whole = pd.read_csv(local / "a.csv")
        pd.testing.assert_frame_equal(read(), whole)
        with pytest.raises(FlowFailed):
            td.process(f"{place.url}/in/a.csv", fail, if_exists="overwrite", **run)
        pd.testing.assert_frame_equal(read(), whole)
        td.process(
            f"{place.url}/in/a.csv", lambda chunk: chunk[["n"]], if_exists="overwrite", **run
        )
        pd.testing.assert_frame_equal(read(), whole[["n"]])
