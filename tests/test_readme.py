"""What README and docs name exists: entry points, parameters, make targets, paths, stages."""

import re
from pathlib import Path

import pytest
import yaml

from conceptcaps.tracking import runs
from conceptcaps.workspace import project
from tools import mlproject

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text()
TEXT = "\n".join(page.read_text() for page in PAGES)
LINES = [re.sub(r"^run ", "mlflow run . --env-manager uv -e ", line) for line in TEXT.splitlines()]
COMMANDS = sorted({line for line in LINES if line.startswith("mlflow run .")})
LAUNCHED = [line for line in LINES if line.startswith("accelerate launch")]
STAGES = sorted(path.stem for path in (ROOT / "entrypoints").glob("[a-z]*.py"))


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
    assert named == set(STAGES) - {"main"}


@pytest.mark.parametrize("command", LAUNCHED)
def test_launched_stages_get_flags_of_theirs(command):
    words = command.split()
    stage = words[words.index("-m") + 1].removeprefix("entrypoints.")
    flags = {word.removeprefix("--") for word in words[words.index("-m") + 2 :] if word.startswith("--")}
    assert flags <= set(project.entry_point(stage)[0])


def test_the_demo_and_its_stages_are_run_in_one_experiment():
    text = (ROOT / "Makefile").read_text() + TEXT
    named = re.findall(r"(?:--experiment-name |MLFLOW_EXPERIMENT_NAME=)(\S+)", text)
    assert named and set(named) == {runs.EXPERIMENT}


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_a_page_names_the_experiment_before_its_first_command(page):
    before, *commands = re.split(r"^(?:run|mlflow run \.) ", page.read_text(), flags=re.MULTILINE)
    named = ("--experiment-name conceptcaps", "export MLFLOW_EXPERIMENT_NAME=conceptcaps")
    assert not commands or any(words in before for words in named)


def test_the_environment_takes_any_python_of_the_version_that_readme_names():
    version = yaml.safe_load((ROOT / "python_env.yaml").read_text())["python"]
    assert re.fullmatch(r"\d+\.\d+", version) and f"Python {version} " in README


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", TEXT, flags=re.MULTILINE))
    assert named and named <= targets


def test_readme_s_table_says_what_the_stages_say():
    assert README == mlproject.readme(README), "run make mlproject"
    assert [f"`{stage}`" in README for stage in STAGES] == [True] * len(STAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_of_the_repository(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    local = [link for link in links if "://" not in link and not link.startswith("reference/")]
    assert not [link for link in local if not (page.parent / link).exists()]


def test_paths_of_the_repository_that_text_and_commands_name_are_there():
    """Every path that begins with one of its folders, in code or in prose; a pattern must match something."""
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    named = set(re.findall(rf"(?<![\w./$-])((?:{'|'.join(folders | {'docs', 'notebooks'})})/[\w./*-]*\w)", TEXT))
    assert len(named) > 10 and not [path for path in named if not [*ROOT.glob(path)]]


def test_no_path_outside_of_a_fresh_clone_is_named():
    assert "../shared" not in TEXT and not re.search(r"[ =`](/work|/root|/tmp|/home)/", TEXT)


def test_readme_is_short():
    assert len(README.split()) <= 900


def test_nothing_is_left_to_fill_in():
    assert "@@" not in TEXT and "TODO" not in TEXT
