"""Where tasks run: threads, processes, Dask clusters, executors."""
