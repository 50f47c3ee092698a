import subprocess
from pathlib import Path

import pytest

from conceptcaps import steps

MLPROJECT = """
name: toy
entry_points:
  train:
    parameters:
      data: string
      beta: {type: float, default: 0.5}
    command: "python -m entrypoints.train --data {data} --beta {beta}"
"""


def git(project: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "-C", str(project), *identity, *arguments], check=True, capture_output=True)


def commit(project: Path) -> None:
    git(project, "add", "--all")
    git(project, "commit", "-m", "state")


@pytest.fixture
def project(tmp_path):
    for file in ["conceptcaps/vae.py", "entrypoints/train.py", "entrypoints/other.py", "requirements.txt", "data.csv"]:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("1\n")
    (tmp_path / "MLproject").write_text(MLPROJECT)
    git(tmp_path, "init")
    commit(tmp_path)
    return tmp_path


def key(project: Path, **parameters: object) -> str | None:
    return steps.step_key("train", {"data": "runs:/1/tag_sets", **parameters}, project=project)


def test_defaults_are_merged_in(project):
    assert key(project) == key(project, beta=0.5)
    assert key(project) != key(project, beta=0.25)
    assert key(project) != key(project, data="runs:/2/tag_sets")


@pytest.mark.parametrize("file", ["conceptcaps/vae.py", "entrypoints/train.py", "requirements.txt"])
def test_code_and_lock_file_change_the_key(project, file):
    before = key(project)
    (project / file).write_text("2\n")
    assert key(project) is None, "a dirty tree is never reused"
    commit(project)
    assert key(project) not in {before, None}


def test_other_stages_and_documents_do_not(project):
    before = key(project)
    (project / "entrypoints/other.py").write_text("2\n")
    (project / "README.md").write_text("2\n")
    assert key(project) == before
    commit(project)
    assert key(project) == before


def test_a_new_default_changes_the_key(project):
    before = key(project)
    (project / "MLproject").write_text(MLPROJECT.replace("0.5", "0.25"))
    commit(project)
    assert key(project) != before
    assert key(project, beta=0.5) == before


def test_contents_of_local_files_count(project):
    before = key(project, data="data.csv")
    (project / "data.csv").write_text("2\n")
    assert key(project, data="data.csv") != before


def test_without_a_git_checkout_nothing_is_reused(project):
    subprocess.run(["rm", "-rf", str(project / ".git")], check=True)
    assert key(project) is None


def test_unknown_entry_point_is_refused(project):
    with pytest.raises(ValueError, match="expected an entry point among train, got 'traim'"):
        steps.entry_point("traim", project=project)


def test_default_folder_depends_on_every_parameter():
    first = steps.default_folder("generate_audio", {"seed": 0})
    assert first == steps.default_folder("generate_audio", {"seed": 0})
    assert first != steps.default_folder("generate_audio", {"seed": 1})
    assert first.startswith("outputs/generate_audio/")


def test_long_text_is_no_path(project):
    assert key(project, beta="x" * 5000) != key(project, beta="y" * 5000)
