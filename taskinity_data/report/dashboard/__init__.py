"""The run's page on Dask's dashboard."""
