"""What a run writes, staged beside its target and committed at once."""
