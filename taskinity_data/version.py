"""The version of this library, kept where building it needs no import of anything else."""

__version__ = "0.1.0"
