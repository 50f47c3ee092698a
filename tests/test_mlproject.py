"""MLproject is what the parsers of the stages say; the environment is the lock file."""

import ast
import importlib
import inspect
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tools import mlproject

ROOT = Path(__file__).resolve().parents[1]
WITHOUT_THE_DIAL = {("map_shards", "workers")}  # one suits the stages that have no such parameter
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())


def test_the_file_is_what_the_parsers_say():
    assert (ROOT / "MLproject").read_text() == mlproject.mlproject(), "run make mlproject"


@pytest.mark.parametrize("stage", mlproject.STAGES)
def test_parameters_are_flags_with_help_and_a_default_of_their_type(stage):
    spec = PROJECT["entry_points"][stage]
    for action in mlproject.parameters(stage):
        assert action.option_strings == [f"--{action.dest}"] and action.help
        assert f"--{action.dest} {{{action.dest}}}" in spec["command"]
        if not action.required:
            assert action.choices is None or action.default in action.choices
            assert type(action.default) is (action.type or str)


def used_of_the_library(stage: str) -> dict[str, object]:
    """Functions and classes of the library that a stage names, by name: called, or handed on to ``partial``."""
    module = importlib.import_module(f"entrypoints.{stage}")
    found = {}
    for node in ast.walk(ast.parse((ROOT / "entrypoints" / f"{stage}.py").read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found[node.attr] = getattr(getattr(module, node.value.id, None), node.attr, None)
        elif isinstance(node, ast.Name):
            found[node.id] = getattr(module, node.id, None)
    ours = {
        name: each for name, each in found.items() if str(getattr(each, "__module__", "")).startswith("conceptcaps.")
    }
    return {name: each for name, each in ours.items() if inspect.isfunction(each) or _holds_dials(each)}


def _holds_dials(each: object) -> bool:
    return inspect.isclass(each) and not issubclass(each, BaseException)


@pytest.mark.parametrize("stage", mlproject.STAGES)
def test_a_parameter_s_default_stands_once(stage):
    """In the parser, which may take all of a class's; None stands for nothing."""
    source = (ROOT / "entrypoints" / f"{stage}.py").read_text()
    names = {action.dest for action in mlproject.parameters(stage)}
    for name, each in used_of_the_library(stage).items():
        taken = names if name == "Sampling" and "set_defaults(**captioner.DECODING)" in source else set()
        for parameter in inspect.signature(each).parameters.values():
            if parameter.name in names - taken and parameter.default not in (None, inspect.Parameter.empty):
                assert (name, parameter.name) in WITHOUT_THE_DIAL, f"{name} has a default for {parameter.name} too"


def test_environment_is_the_lock_file():
    environment = yaml.safe_load((ROOT / "python_env.yaml").read_text())
    assert environment["dependencies"] == ["-r requirements.txt"]


def test_every_requirement_is_pinned_with_its_hashes_and_names_no_index():
    for file in ["requirements.txt", "requirements-dev.txt", "requirements-vllm.txt", "requirements-audiocraft.txt"]:
        text = re.sub(r" \\\n\s+", " ", (ROOT / file).read_text())
        pins = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
        shape = r"[A-Za-z0-9._\[\]-]+==[^ ;]+( ; [^-]+)?( --hash=sha256:[0-9a-f]{64})+"
        assert pins and not [pin for pin in pins if not re.fullmatch(shape, pin)]


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
    # Trainer, its GGUF reader, SQLAlchemy, fsspec and laion-clap open these by name.
    by_name = {"accelerate", "gguf", "psycopg", "s3fs", "torchvision"}
    for line in (ROOT / "requirements.in").read_text().splitlines():
        name = re.split(r"[=<>\[ ]", line)[0]
        if name and not name.startswith("#") and name not in by_name:
            assert modules.get(name, name.replace("-", "_")) in imported, f"{name} is required but never imported"


def test_the_demo_s_uv_names_no_packages_and_says_what_fails(tmp_path):
    (tmp_path / "bin").mkdir()
    (uv := tmp_path / "bin" / "uv").write_text('#!/bin/sh\necho "$@"; exit 3\n')
    uv.chmod(0o755)
    quiet = tmp_path / "quiet" / "uv"
    make = ["make", "--no-print-directory", f"LAUNCHER={tmp_path}", str(quiet)]
    made = subprocess.run(make, cwd=ROOT, capture_output=True, check=True)
    done = subprocess.run([quiet, "pip", "install", "a b"], capture_output=True, text=True, check=False)
    assert not made.stdout and (done.returncode, done.stdout) == (3, "--quiet pip install a b\n")
