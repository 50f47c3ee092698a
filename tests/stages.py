"""Runs stages in this process."""

import importlib

from conceptcaps import tracking


def run(stage: str, **changes: object) -> str:
    """Call a stage's ``main`` with what differs from its defaults and give the id of its run."""
    flags = [text for name, value in changes.items() for text in (f"--{name}", str(value))]
    importlib.import_module(f"entrypoints.{stage}").main(flags)
    return tracking.latest(stage)
