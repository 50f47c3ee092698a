"""A pipeline that is killed at any moment and run again ends as one that nothing disturbed.

A clone of the project runs a short pipeline, from corpus to clips with a training, a version and a promotion between,
as ``mlflow run`` does for a user. All its processes are killed at once at a drawn moment.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest

from conceptcaps.workspace.hashing import file_sha256

pytestmark = pytest.mark.slow
KILLS = 2
ROOT = Path(__file__).resolve().parents[2]
STAGE = '''
"""From corpus to clips."""
import entrypoints
import json
from pathlib import Path
from conceptcaps import tracking

def main():
    with tracking.run("main", {}), tracking.Pipeline(pull="trained", at_once=2) as pipeline:
        tag_sets = pipeline.step("distill_tags", "tag_sets")
        pipeline.step("train_vae", tag_sets=tag_sets, epochs=40, hidden_dim=16, latent_dim=4)
        vae = pipeline.promoted("vae")
        samples = pipeline.step("sample_tags", "samples", tag_sets=tag_sets, vae=vae, count=24)
        pipeline.step("generate_audio", "audio", captions=samples, duration=2, workers=2, shard_size=2)
        Path("runs.json").write_text(json.dumps({"runs": pipeline.runs, "vae": vae.result()}))

tracking.execute(main)
'''


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True).stdout


def checkout(folder: Path) -> Path:
    """The project as it lies here, committed, with one entry point more: steps of a clean checkout are reused."""
    for name in git(ROOT, "ls-files", "-co", "--exclude-standard").splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "entrypoints" / "small.py").write_text(STAGE)
    with (folder / "MLproject").open("a") as file:
        file.write("\n  small:\n    command: python -m entrypoints.small\n")
    git(folder, "init")
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-m", "1")
    return folder


class Place:
    """A checkout with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")

    def start(self) -> subprocess.Popen:
        temporary = self.folder / "temporary"
        temporary.mkdir(exist_ok=True)
        own = {"MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/mlflow.db", "TMPDIR": str(temporary)}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        return subprocess.Popen(
            [sys.executable, "-m", "mlflow", "run", ".", "-e", "small", "--env-manager", "local"],
            cwd=self.folder,
            env={**environment, **own, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self) -> None:
        said, _ = (process := self.start()).communicate()
        assert process.returncode == 0, said

    def kill(self, moment: float) -> None:
        """Start and kill the whole process group after so many seconds, or where it ends before."""
        process, started = self.start(), time.monotonic()
        while process.poll() is None and time.monotonic() - started < moment:
            time.sleep(0.01)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def runs(self) -> list[mlflow.entities.Run]:
        return self.client.search_runs([one.experiment_id for one in self.client.search_experiments()])

    def artifacts(self, run_id: str) -> dict[str, str]:
        """Sha256 of the files of a run, by path."""
        root = Path(self.client.get_run(run_id).info.artifact_uri.removeprefix("file://"))
        return {str(path.relative_to(root)): file_sha256(path) for path in root.rglob("*") if path.is_file()}

    def made(self) -> dict[str, dict[str, str]]:
        """Artifacts by label of the step, and the registered weights."""
        found = json.loads((self.folder / "runs.json").read_text())
        name, version = found["vae"].removeprefix("models:/").split("/")
        model = self.client.get_model_version(name, version).source.removeprefix("models:/")
        root = Path(self.client.get_logged_model(model).artifact_location.removeprefix("file://"))
        weights = root / "artifacts" / "weights"
        return {
            **{label: self.artifacts(run_id) for label, run_id in found["runs"].items()},
            "weights": {path.name: file_sha256(path) for path in weights.iterdir()},
        }


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A checkout in which nothing has been run."""
    folder = checkout(tmp_path_factory.mktemp("empty"))
    Place(folder).client.search_experiments()
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, empty):
    """What a pipeline makes, the artifacts of each kind of run, and the seconds that it took."""
    place = Place(shutil.copytree(empty, tmp_path_factory.mktemp("undisturbed") / "project"))
    started = time.monotonic()
    place.finish()
    seconds = time.monotonic() - started
    return (
        place.made(),
        {run.data.tags["stage"]: set(place.artifacts(run.info.run_id)) for run in place.runs()},
        seconds,
    )


def test_a_pipeline_killed_at_any_moments_ends_as_if_nothing_had_been(empty, undisturbed, tmp_path):
    made, whole, seconds = undisturbed
    place, draws = Place(shutil.copytree(empty, tmp_path / "project")), random.Random(0)
    for _ in range(KILLS):
        place.kill(moment := draws.uniform(0, seconds / 2))
        print(f"killed after {moment:.0f} of {seconds:.0f} s: {[run.info.status for run in place.runs()]}")
    place.finish()
    assert place.made() == made
    runs = place.runs()
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    finished = [run for run in runs if run.info.status == "FINISHED"]
    assert all(set(place.artifacts(run.info.run_id)) == whole[run.data.tags["stage"]] for run in finished)
    versions = [(one.name, int(one.version)) for one in place.client.search_model_versions()]
    assert versions == [("conceptcaps-vae", 1)]
