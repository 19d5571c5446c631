"""Names that are more than the fields: pandas then goes by rows that a later chunk never sees."""

import random

import pytest
from csv_oracle import judge, write
from properties import mostly_thorough

from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.head import read_head
from taskinity_data.formats.csv.options import parse_options

SIZES = (1, 7, 1 << 30)
XYZ = {"names": ["x", "y", "z"]}

REFUSED = {
    "spaces, and a header that is shorter": (
        "c0 c1 c2\n 1 1\n 1 1\nTrue 1 1\n",
        {**XYZ, "sep": " ", "skipinitialspace": True, "quoting": 3, "header": 1},
    ),
    "a header that is shorter": ("a,b\n1,2\n3,4,5\n", {**XYZ, "header": 0}),
    "rows that would be skipped": (
        "a,b\n1,2\n3,4,5\n",
        {**XYZ, "header": 0, "on_bad_lines": "skip"},
    ),
    "usecols, and no row that is long": ("1\n2\n", {**XYZ, "usecols": [0]}),
    "usecols behind a blank row": ("\n1\n", {**XYZ, "usecols": [0], "skip_blank_lines": False}),
    "a header that a lone CR ends before a space": (
        '  1  1 "a b"\r "a b" x\n',
        {"sep": " ", "skipinitialspace": True, "quoting": 3, "header": 0},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("nbytes", SIZES)
def test_a_file_is_refused_where_later_rows_decide_what_pandas_makes_of_it(name, nbytes, tmp_path):
    text, options = REFUSED[name]
    assert judge(write(tmp_path, text), nbytes, options) in {"refused", "both refuse"}


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("a,b,c\n1,2\n4,5\n6,7,8\n", {**XYZ, "header": 0}),
        ("1\n2,3\n4,5,6\n", XYZ),
        ("1,2,3\n4\n", {**XYZ, "usecols": [0, 2]}),
    ],
)
@pytest.mark.parametrize("nbytes", SIZES)
def test_names_that_header_or_first_row_bear_out_are_read(text, options, nbytes, tmp_path):
    assert judge(write(tmp_path, text), nbytes, options) == "exact"


def test_the_refusal_says_what_to_give(tmp_path):
    text, options = REFUSED["spaces, and a header that is shorter"]
    with pytest.raises(PlanError, match="as many names as there are fields"):
        read_head(write(tmp_path, text), parse_options(options))


FIELDS = ["1", "1", "2.5", "True", "x", "", '"a b"', '"', "  ", "1 "]


@pytest.mark.parametrize("seed", mostly_thorough(range(8), 2))
def test_rows_by_spaces_are_exact_or_refused(seed, tmp_path):
    rng = random.Random(seed)
    for _ in range(12):
        sep = rng.choice([" ", " ", ","])
        rows = [
            " " * rng.choice([0, 0, 1, 2])
            + sep.join(rng.choice(FIELDS) for _ in range(rng.randint(1, 4)))
            for _ in range(rng.randint(1, 6))
        ]
        options = {"sep": sep, "skipinitialspace": True}
        header = rng.choice([None, 0, 1, "infer"])
        options |= {} if header == "infer" else {"header": header}
        options |= rng.choice([{}, {"quoting": 3}])
        options |= rng.choice([{}, {"names": list("xyzw")[: rng.randint(1, 4)]}])
        options |= rng.choice([{}, {}, {"on_bad_lines": "skip"}, {"usecols": [0]}])
        text = rng.choice(["\n", "\n", "\r"]).join(rows) + rng.choice(["\n", ""])
        file = write(tmp_path, text)
        for nbytes in SIZES:
            verdict = judge(file, nbytes, options)
            assert verdict in {"exact", "refused", "both refuse"}
