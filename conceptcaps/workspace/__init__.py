"""What stages need on disk and machine: the checkout, its cache, files, hashes, shards of rows, worker processes."""
