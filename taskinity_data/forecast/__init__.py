"""What a run will take, found out by trying a few slices of its data."""
