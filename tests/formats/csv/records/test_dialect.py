"""Dialects: what they refuse, and what of them decides how text is searched."""

from __future__ import annotations

import pickle

import pytest

from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.records.dialect import Dialect


@pytest.mark.parametrize(
    ("option", "mark"),
    [
        ("sep", ""),
        ("sep", "::"),
        ("sep", "é"),
        ("sep", "\n"),
        ("quotechar", "\r"),
        ("comment", " "),
        ("comment", "//"),
    ],
)
def test_a_mark_that_is_not_one_ascii_character_is_refused_by_name(option: str, mark: str) -> None:
    with pytest.raises(PlanError, match=f"{option}="):
        Dialect(**{option: mark})


def test_a_field_separator_is_never_left_out() -> None:
    with pytest.raises(PlanError, match="sep=None"):
        Dialect(sep=None)


@pytest.mark.parametrize(
    ("dialect", "is_plain"),
    [
        (Dialect(), True),
        (Dialect(sep=" "), True),
        (Dialect(quotechar=None, comment="#", escapechar="\\"), True),
        (Dialect(sep='"'), False),
        (Dialect(escapechar='"'), False),
        (Dialect(sep=" ", skipinitialspace=True), False),
    ],
)
def test_a_byte_with_two_meanings_makes_a_dialect_not_plain(
    dialect: Dialect, is_plain: bool
) -> None:
    assert dialect.is_plain is is_plain


def test_blanks_are_those_that_do_not_separate_fields() -> None:
    assert Dialect().blank_bytes == b" \t"
    assert Dialect(sep="\t").blank_bytes == b" "


def test_a_dialect_pickles_and_is_a_key() -> None:
    dialect = Dialect(sep=";", comment="#")
    assert pickle.loads(pickle.dumps(dialect)) == dialect
    assert {dialect: 1}[Dialect(sep=";", comment="#")] == 1
