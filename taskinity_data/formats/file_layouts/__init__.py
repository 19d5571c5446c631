"""Where the parts of Arrow IPC and ORC files lie."""
