"""The README's commands name real entry points, parameters and make targets."""

import re
from pathlib import Path

import pytest

from conceptcaps import project

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
LINES = [re.sub(r"^run ", "mlflow run . --env-manager uv -e ", line) for line in README.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("mlflow run .")]
LAUNCHED = [line for line in LINES if line.startswith("accelerate launch")]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_name_real_entry_points_and_parameters(command):
    words = command.split()
    stage = words[words.index("-e") + 1] if "-e" in words else "main"
    defaults, _ = project.entry_point(stage)
    given = {words[place + 1].split("=", 1)[0] for place, word in enumerate(words) if word == "-P"}
    assert given <= set(defaults)
    assert {name for name, default in defaults.items() if default is None} <= given


def test_every_stage_has_a_command_of_its_own():
    named = {words[words.index("-e") + 1] for words in map(str.split, COMMANDS) if "-e" in words}
    assert named == {path.stem for path in (ROOT / "entrypoints").glob("[a-z]*.py")} - {"main", "report"}


@pytest.mark.parametrize("command", LAUNCHED)
def test_launched_stages_get_flags_of_theirs(command):
    words = command.split()
    stage = words[words.index("-m") + 1].removeprefix("entrypoints.")
    flags = {word.removeprefix("--") for word in words[words.index("-m") + 2 :] if word.startswith("--")}
    assert flags <= set(project.entry_point(stage)[0])


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", README))
    assert named and named <= targets


def test_every_stage_is_listed():
    for path in (ROOT / "entrypoints").glob("[a-z]*.py"):
        assert f"`{path.stem}`" in README


def test_nothing_is_left_to_fill_in():
    assert "@@" not in README and "TODO" not in README
