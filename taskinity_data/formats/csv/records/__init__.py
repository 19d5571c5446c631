"""Where CSV records end."""
