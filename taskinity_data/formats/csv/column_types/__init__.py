"""What types the columns of CSV files have: dates, categories, nullable ones."""
