"""What users' own tests need: that reducers and chunk functions don't mind where cuts fall."""

from taskinity_data.checks.laws import check_chunkwise, check_reducer

__all__ = ["check_chunkwise", "check_reducer"]
