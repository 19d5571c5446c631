"""CSV files, read as pandas reads them."""
