"""What a run writes, staged next to its target and committed at once."""
