"""What happens on a worker: run an item, capture logs, send the result."""
