"""Output in object stores."""
