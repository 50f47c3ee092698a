import shutil
import subprocess
from pathlib import Path

import pytest

from conceptcaps.workspace import project

MLPROJECT = """
name: toy
entry_points:
  train:
    parameters:
      data: string
      beta: {type: float, default: 0.5}
    command: "python -m entrypoints.train --data {data} --beta {beta}"
"""


def git(checkout: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "-C", str(checkout), *identity, *arguments], check=True, capture_output=True)


def commit(checkout: Path) -> None:
    git(checkout, "add", "--all")
    git(checkout, "commit", "-m", "state")


@pytest.fixture
def checkout(tmp_path):
    for file in [
        "conceptcaps/vae.py",
        "conceptcaps/report.py",
        "entrypoints/train.py",
        "entrypoints/other.py",
        "requirements.txt",
        "data.csv",
    ]:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("1\n")
    (tmp_path / "conceptcaps/table.yaml").write_text("1\n")
    (tmp_path / "conceptcaps/vae.py").write_text("TABLE = 'table.yaml'\n")
    (tmp_path / "entrypoints/train.py").write_text("from conceptcaps import vae\n")
    (tmp_path / "MLproject").write_text(MLPROJECT)
    git(tmp_path, "init")
    commit(tmp_path)
    return tmp_path


def key(checkout: Path, **parameters: object) -> str | None:
    return project.step_key("train", {"data": "runs:/1/tag_sets", **parameters}, project=checkout)


def test_defaults_are_merged_in(checkout):
    assert key(checkout) == key(checkout, beta=0.5)
    assert key(checkout) != key(checkout, beta=0.25)
    assert key(checkout) != key(checkout, data="runs:/2/tag_sets")


@pytest.mark.parametrize(
    "file", ["conceptcaps/vae.py", "conceptcaps/table.yaml", "entrypoints/train.py", "requirements.txt"]
)
def test_code_and_lock_file_change_the_key(checkout, file):
    before = key(checkout)
    (checkout / file).write_text("2\n")
    assert key(checkout) is None, "a dirty tree is never reused"
    commit(checkout)
    assert key(checkout) not in {before, None}


def test_other_stages_and_documents_do_not(checkout):
    before = key(checkout)
    (checkout / "entrypoints/other.py").write_text("2\n")
    (checkout / "README.md").write_text("2\n")
    (checkout / "conceptcaps/report.py").write_text("2\n")
    assert key(checkout) == before
    commit(checkout)
    assert key(checkout) == before


def test_a_new_default_changes_the_key(checkout):
    before = key(checkout)
    (checkout / "MLproject").write_text(MLPROJECT.replace("0.5", "0.25"))
    commit(checkout)
    assert key(checkout) != before
    assert key(checkout, beta=0.5) == before


def test_contents_of_local_files_count(checkout):
    before = key(checkout, data="data.csv")
    (checkout / "data.csv").write_text("2\n")
    assert key(checkout, data="data.csv") != before


def test_without_a_git_checkout_nothing_is_reused(checkout):
    subprocess.run(["rm", "-rf", str(checkout / ".git")], check=True)
    assert key(checkout) is None


def test_unknown_entry_point_is_refused(checkout):
    with pytest.raises(ValueError, match="expected an entry point among train, got 'traim'"):
        project.entry_point("traim", project=checkout)


def test_default_folder_depends_on_every_parameter():
    first = project.default_folder("generate_audio", {"seed": 0})
    assert first == project.default_folder("generate_audio", {"seed": 0})
    assert first != project.default_folder("generate_audio", {"seed": 1})
    assert first.startswith("outputs/generate_audio/")


def test_long_text_is_no_path(checkout):
    assert key(checkout, beta="x" * 5000) != key(checkout, beta="y" * 5000)


def reached(file: str) -> set[str]:
    files = project.closure(project.PROJECT / file)
    return {path.relative_to(project.PROJECT).as_posix() for path in files}


def test_a_stage_reaches_what_it_imports_and_the_data_beside_it_and_no_more():
    audio = reached("entrypoints/generate_audio.py")
    assert {
        "conceptcaps/audio/sf2.py",
        "conceptcaps/audio/composing/genres.yaml",
        "conceptcaps/tags/taxonomy.yaml",
    } <= audio
    assert not {name for name in audio if name.startswith(("conceptcaps/publishing/", "conceptcaps/probing/"))}
    dataset = reached("entrypoints/build_dataset.py")
    assert {"conceptcaps/publishing/card.md.j2", "conceptcaps/publishing/dataset.py"} <= dataset


def test_what_is_run_before_a_stage_is_reached():
    assert "entrypoints/__init__.py" in reached("entrypoints/train_vae.py")


def test_a_module_named_by_a_string_is_reached():
    assert "conceptcaps/tags/served.py" in reached("entrypoints/train_vae.py")


def test_work_goes_on_after_a_comment_elsewhere_and_begins_anew_after_an_edit_of_its_own(tmp_path):
    """What a night's audio hangs on: not the report, not how runs are recorded, but the sampler."""
    shutil.copytree(project.PROJECT / "conceptcaps", tmp_path / "conceptcaps")
    shutil.copytree(project.PROJECT / "entrypoints", tmp_path / "entrypoints")
    for name in (project.LOCK, "MLproject"):
        shutil.copy(project.PROJECT / name, tmp_path)

    def edited(file: str) -> str:
        path = tmp_path / "conceptcaps" / file
        text = path.read_text()
        path.write_text(text + "# a comment\n")
        found = project.work_hash("generate_audio", project=tmp_path)
        path.write_text(text)
        return found

    whole = project.work_hash("generate_audio", project=tmp_path)
    assert edited("publishing/report.py") == edited("probing/tcav.py") == edited("tracking/records.py") == whole
    assert whole not in {edited("audio/sf2.py"), edited("tags/taxonomy.yaml"), edited("workspace/shards.py")}
