"""Check in a user's tests that reducers and chunk functions do not depend on the cuts."""

from taskinity_data.checks.laws import check_chunkwise, check_reducer

__all__ = ["check_chunkwise", "check_reducer"]
