"""What to do: the flow, its language, and the functions bound to its names."""
