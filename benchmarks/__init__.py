"""Speed goals, each a ratio of two ways measured in one run, and what an ear finds of the music: ``make bench``."""
