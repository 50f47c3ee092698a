"""MLproject's parameters, the stages' flags and the commands' placeholders are one list, with one default."""

import argparse
import ast
import importlib
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
STAGES = sorted(path.stem for path in (ROOT / "entrypoints").glob("*.py") if path.stem != "__init__")


class Parsed(Exception):
    def __init__(self, parser: argparse.ArgumentParser):
        self.parser = parser


@pytest.fixture
def parser(request, monkeypatch) -> argparse.ArgumentParser:
    def parse_args(self, argv=None):
        raise Parsed(self)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
    with pytest.raises(Parsed) as parsed:
        importlib.import_module(f"entrypoints.{request.param}").parse_args([])
    return parsed.value.parser


def test_every_stage_has_an_entry_point_and_a_file():
    assert sorted(PROJECT["entry_points"]) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_command_passes_every_parameter_under_its_own_name(stage):
    spec = PROJECT["entry_points"][stage]
    command = spec["command"].split()
    assert command[:3] == ["python", "-m", f"entrypoints.{stage}"]
    flags = dict(zip(command[3::2], command[4::2], strict=True))
    assert flags == {f"--{name}": f"{{{name}}}" for name in spec["parameters"]}


@pytest.mark.parametrize(("parser", "stage"), [(stage, stage) for stage in STAGES], indirect=["parser"])
def test_flags_are_the_parameters_required_and_without_a_second_default(parser, stage):
    actions = [action for action in parser._actions if action.dest != "help"]
    assert [action.dest for action in actions] == list(PROJECT["entry_points"][stage]["parameters"])
    assert all(action.required and action.default is None and action.help for action in actions)
    assert all(action.option_strings == [f"--{action.dest}"] for action in actions)


@pytest.mark.parametrize(("parser", "stage"), [(stage, stage) for stage in STAGES], indirect=["parser"])
def test_defaults_have_the_flag_s_type(parser, stage):
    for action in parser._actions:
        spec = PROJECT["entry_points"][stage]["parameters"].get(action.dest)
        if isinstance(spec, dict):
            value = parser._get_value(action, str(spec["default"]))
            assert action.choices is None or value in action.choices
            assert spec["type"] == ("float" if action.type in {int, float} else "string")


def test_environment_is_the_lock_file():
    environment = yaml.safe_load((ROOT / "python_env.yaml").read_text())
    assert environment["dependencies"] == ["-r requirements.txt"]


def test_every_requirement_is_pinned_and_names_no_index():
    for file in ["requirements.txt", "requirements-dev.txt", "requirements-vllm.txt"]:
        lines = (ROOT / file).read_text().splitlines()
        pins = [line for line in lines if line and not line.lstrip().startswith("#")]
        assert pins and all(re.fullmatch(r"[A-Za-z0-9._\[\]-]+==[^ ;]+( ;.*)?", pin) for pin in pins)


def test_every_direct_requirement_is_imported():
    """A package of requirements.in that nothing imports is dead weight."""
    imported = set()
    for path in [*(ROOT / "conceptcaps").rglob("*.py"), *(ROOT / "entrypoints").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    modules = {
        "mauve-text": "mauve",
        "pyyaml": "yaml",
        "rouge-score": "rouge_score",
        "scikit-learn": "sklearn",
    }
    by_name = {"accelerate", "gguf", "torchvision"}  # transformers' Trainer, its GGUF reader, and laion-clap need them
    for line in (ROOT / "requirements.in").read_text().splitlines():
        name = re.split(r"[=<>\[ ]", line)[0]
        if name and not name.startswith("#") and name not in by_name:
            assert modules.get(name, name.replace("-", "_")) in imported, f"{name} is required but never imported"
