"""Output directories on this machine."""
