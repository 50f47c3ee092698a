"""The README's commands name real entry points, parameters and make targets."""

import re
from pathlib import Path

import pytest

from conceptcaps import steps

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = [line for line in README.splitlines() if re.match(r"mlflow run \.", line)]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_name_real_entry_points_and_parameters(command):
    words = command.split()
    stage = words[words.index("-e") + 1] if "-e" in words else "main"
    defaults, _ = steps.entry_point(stage)
    given = {words[place + 1].split("=", 1)[0] for place, word in enumerate(words) if word == "-P"}
    assert given <= set(defaults)
    assert {name for name, default in defaults.items() if default is None} <= given


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", README))
    assert named and named <= targets


def test_every_stage_is_listed():
    for path in (ROOT / "entrypoints").glob("[a-z]*.py"):
        assert f"`{path.stem}`" in README


def test_nothing_is_left_to_fill_in():
    assert "@@" not in README and "TODO" not in README
