"""Runs stages in this process, with MLproject's defaults for what a test does not say."""

import importlib

from conceptcaps import project, tracking


def run(stage: str, **changes: object) -> str:
    """Call a stage's ``main`` and give the id of its run."""
    defaults, _ = project.entry_point(stage)
    values = {**defaults, **{name: str(value) for name, value in changes.items()}}
    missing = [name for name, value in values.items() if value is None]
    assert not missing, f"{stage} needs {missing}"
    flags = [text for name, value in values.items() for text in (f"--{name}", value)]
    importlib.import_module(f"entrypoints.{stage}").main(flags)
    return tracking.latest(stage)
