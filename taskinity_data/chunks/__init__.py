"""On which piece of data: datasets, plans, chunks and the readers that turn one into rows."""
