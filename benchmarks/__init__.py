"""Speed goals, each a ratio of two ways measured in one run: ``make bench``."""
