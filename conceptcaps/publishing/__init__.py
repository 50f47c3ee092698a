"""Publishing: the dataset, its card and the report."""
