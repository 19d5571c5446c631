"""What users' own tests need: that reducers and chunk functions don't mind where cuts fall."""

from taskinity_data.testing.checks import check_chunkwise, check_reducer

__all__ = ["check_chunkwise", "check_reducer"]
