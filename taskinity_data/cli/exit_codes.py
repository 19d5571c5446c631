"""What the numbers mean that a command ends with."""

__all__ = ["EXIT_CODES"]

EXIT_CODES = {"done": 0, "failed": 1, "wrong call": 2, "partial": 3, "interrupted": 130}
