"""Warnings of libraries, which nobody who runs a stage can do anything about."""

import warnings


def libraries() -> None:
    """Say no warnings but those of the project's own modules."""
    warnings.filterwarnings("ignore")
    warnings.filterwarnings("default", module=r"conceptcaps|entrypoints|__main__")
