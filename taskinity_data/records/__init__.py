"""What is kept of a run: output files, written beside their target and made visible at once."""
