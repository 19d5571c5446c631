"""What is kept of a run so that it can be resumed and inspected."""
