import pickle
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskinity_data.errors import SettingsError
from taskinity_data.policy import Policy, Value, parse_duration, parse_nbytes, value


def test_a_policy_survives_pickling():
    policy = Policy(
        retries=3,
        retry_on=(OSError,),
        give_up_on=(KeyError,),
        timeout_s=30.0,
        on_error=value(None),
        resources={"GPU": 1.0},
    )
    assert pickle.loads(pickle.dumps(policy)) == policy


def test_a_policy_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Policy().retries = 3


def test_policies_that_grant_the_same_are_equal_and_hash_alike():
    one, other = Policy(resources={"GPU": 1.0}), Policy(resources={"GPU": 1.0})
    assert one == other
    assert hash(one) == hash(other)
    assert one != Policy(resources={"GPU": 2.0})


@pytest.mark.parametrize("retries", [-1, 1.0, True, "3", None])
def test_retries_that_are_no_count_are_refused_with_an_example(retries):
    with pytest.raises(SettingsError, match=r"retries: .* e\.g\. retries=3"):
        Policy(retries=retries)


def test_a_fallback_value_is_told_apart_from_the_thing_itself():
    assert value(len) == Value(len)
    assert value(len).value is len


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("1s", 1.0),
        ("1", 1.0),
        ("1.5h", 5400.0),
        ("2m", 120.0),
        ("2 min", 120.0),
        (" 2 D ", 172_800.0),
        (0, 0.0),
        (0.5, 0.5),
    ],
)
def test_durations_that_people_write_are_understood(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1 fortnight", "1s1s", "1e3s", ".5s", -1, True, None, float("inf")]
)
def test_what_is_no_duration_is_refused_with_examples(text):
    with pytest.raises(SettingsError, match=r"is not a duration: write e.g. 500ms"):
        parse_duration(text)


def test_a_duration_that_is_no_number_is_refused():
    with pytest.raises(SettingsError):
        parse_duration(float("nan"))


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("64MiB", 64 * 2**20),
        ("64 mib", 64 * 2**20),
        ("2GB", 2 * 10**9),
        ("1.5kB", 1500),
        ("1_000_000", 10**6),
        ("7b", 7),
        (1, 1),
    ],
)
def test_sizes_that_people_write_are_understood(text, nbytes):
    assert parse_nbytes(text) == nbytes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0MiB",
        "64 MiBs",
        "-1",
        "1M",
        "MiB",
        "1..5kB",
        "1.5",
        "2.0 B",
        0,
        -5,
        True,
        1.5,
        None,
    ],
)
def test_what_is_no_size_is_refused_with_examples(text):
    with pytest.raises(SettingsError, match=r"is not a size: write e.g. 64MiB"):
        parse_nbytes(text)


@given(st.integers(1, 10**15))
def test_a_whole_number_of_bytes_is_kept_to_the_byte(nbytes):
    assert parse_nbytes(nbytes) == nbytes
    assert parse_nbytes(f"{nbytes:_}") == nbytes


@given(
    st.integers(1, 10**6),
    st.sampled_from(["kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"]),
)
def test_units_are_powers_of_a_thousand_and_with_an_i_of_1024(count, unit):
    power = "KMGT".index(unit[0].upper()) + 1
    base = 1024 if "i" in unit else 1000
    assert parse_nbytes(f"{count} {unit}") == count * base**power
