"""Files that are hard to cut, each against `pandas.read_csv` of the whole: none may be wrong.

What is refused is listed in `refusals.json` with the reason that the user is given, so that a new
refusal, or one that is gone, is noticed.
"""

import json
from pathlib import Path

import pytest
from csv_oracle import as_source, in_chunks, judge

CORPUS = Path(__file__).parent.parent / "corpus"
OPTIONS = json.loads((CORPUS / "options.json").read_text())
REFUSALS = json.loads((Path(__file__).parent / "refusals.json").read_text())
FILES = sorted(path.name for path in CORPUS.glob("*.csv"))


def sizes_of(nbytes):
    """From records alone to the whole file, at a price that does not grow with the file."""
    return sorted({1 << 30, max(1, nbytes // 7), max(1, nbytes // 40)})


@pytest.mark.parametrize("name", FILES)
def test_chunks_are_the_whole_file_or_are_refused_for_a_listed_reason(name):
    file, options = as_source(CORPUS / name), OPTIONS[name]
    verdicts = {judge(file, size, options) for size in sizes_of(file.nbytes)}
    if name not in REFUSALS:
        assert verdicts == {"exact"}
        return
    assert verdicts == {REFUSALS[name]["verdict"]}
    for size in sizes_of(file.nbytes):
        assert REFUSALS[name]["reason"] in str(in_chunks(file, size, options))


def test_every_refusal_is_of_a_file_that_is_there():
    assert set(REFUSALS) <= set(FILES) == set(OPTIONS)
