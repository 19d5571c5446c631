"""How many examples a property is tried with: by the profile, and by the test's own weight."""

import os

import pytest
from hypothesis import HealthCheck, settings

# Of a property that asks for nothing of its own: `fast` is what `make test` takes, `thorough`
# `make test-all`; `long` is for a change to the cuts, the parser or the tree.
PROFILES = {"fast": 10, "thorough": 100, "long": 2_000}
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "fast")


def load_profile():
    """Make every property follow `HYPOTHESIS_PROFILE`, without a limit on an example's time."""
    for name, count in PROFILES.items():
        settings.register_profile(
            name,
            max_examples=count,
            deadline=None,
            suppress_health_check=[
                HealthCheck.too_slow,
                # A fixture of a function that every example may share: a folder, a store.
                HealthCheck.function_scoped_fixture,
                # A test that several classes inherit, each with cases of its own: a contract.
                HealthCheck.differing_executors,
            ],
            print_blob=True,
            # CI reaches the same verdict twice; a person's runs look further.
            derandomize=bool(os.environ.get("CI")),
        )
    settings.load_profile(PROFILE)


def examples(thorough, **options):
    """Return settings with `thorough` examples under that profile, in proportion under others."""
    count = max(5, thorough * PROFILES[PROFILE] // PROFILES["thorough"])
    return settings(max_examples=count, **options)


def mostly_thorough(values, first):
    """Return `values` as parameters, all but the first few for the thorough lane alone."""
    values = list(values)
    return [
        *values[:first],
        *(pytest.param(value, marks=pytest.mark.thorough) for value in values[first:]),
    ]
