"""Summaries of a column in little memory: distinct values, and quantiles."""
