"""The code that MLflow runs to load a registered model ("models from code"); nothing of it is pickled."""

from conceptcaps import tracking

tracking.serve()
