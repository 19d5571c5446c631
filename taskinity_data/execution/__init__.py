"""Run tasks and handle failures: driver, schedulers, workers."""
