"""Which function a task runs, and where each of its arguments comes from."""
