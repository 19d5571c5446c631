"""What holds for every test: the same settings, an empty folder to stand in, the same examples."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The default of 100 examples, with machines' own pace left out of it; `thorough` is for a change
# to the cuts, the parser or the tree: HYPOTHESIS_PROFILE=thorough make test
settings.register_profile(
    "modest",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    # A machine that only judges must come to the same verdict twice; people's runs look further.
    derandomize=bool(os.environ.get("CI")),
)
settings.register_profile("thorough", settings.get_profile("modest"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "modest"))


@pytest.fixture(autouse=True, scope="session")
def _neutral_ground(tmp_path_factory):
    """No setting of the person who runs the tests, nothing left in the checkout."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("TASKINITY_"):
                patch.delenv(name)
        # A relative PYTHONPATH would no longer lead anywhere for the processes that tests start.
        if "PYTHONPATH" in os.environ:
            there = os.environ["PYTHONPATH"].split(os.pathsep)
            patch.setenv("PYTHONPATH", os.pathsep.join(map(os.path.abspath, there)))
        patch.chdir(tmp_path_factory.mktemp("ground"))
        yield


@pytest.fixture(scope="session")
def demo_text():
    """The flow text that people bring, to the letter: comments, blanks at lines' ends."""
    return (Path(__file__).parent / "parallel_demo.flow").read_text(encoding="utf-8")
