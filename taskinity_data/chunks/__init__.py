"""Datasets, plans, chunks, and how large the next chunk is."""
