import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from matplotlib.figure import Figure

from conceptcaps import tracking
from conceptcaps.errors import InputError, Refused
from conceptcaps.results import promotion
from conceptcaps.tracking import session
from conceptcaps.tracking import store as runs_store
from conceptcaps.workspace import project
from tests import toy_model

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = pd.DataFrame({"x": [1.0, 2.0]})


def register(path: Path, *, offset: int) -> str:
    return tracking.register(
        "toy", toy_model.save(path, offset=offset), module="tests.toy_model", example=EXAMPLE, metrics={"val/loss": 0.5}
    )


def statuses() -> dict[str, str]:
    return {run.info.run_name: run.info.status for run in mlflow.search_runs(output_format="list")}


def test_run_by_hand_logs_parameters_and_finishes(store):
    with tracking.run("stage", {"beta": 0.5}) as run_id:
        tracking.log_metrics({"val/loss": 1.0}, step=3)
    assert tracking.info(run_id)["name"] == "stage"
    assert tracking.info(run_id)["status"] == "FINISHED"
    assert tracking.params(run_id) == {"beta": "0.5"}
    assert tracking.history(run_id, "val/loss").to_dict("records") == [{"step": 3, "value": 1.0}]
    assert tracking.latest("stage") == run_id


def test_newest_run_of_a_step_is_not_that_of_another_step_of_the_same_stage(store, monkeypatch):
    with tracking.run("stage", {}) as first:
        pass
    of_pipeline = mlflow.MlflowClient().create_run("0", tags={"mlflow.parentRunId": first}, run_name="stage more")
    monkeypatch.setenv("MLFLOW_RUN_ID", of_pipeline.info.run_id)
    with tracking.run("stage", {}) as more:
        pass
    assert tracking.latest("stage") == first and tracking.latest("stage more") == more
    with pytest.raises(ValueError, match="expected a finished run of stage again in"):
        tracking.latest("stage again")


def test_runs_are_found_beyond_the_first_page(store, monkeypatch):
    monkeypatch.setattr(runs_store, "_PAGE", 2)
    ids = []
    for _ in range(5):
        with tracking.run("stage", {}) as run_id:
            ids.append(run_id)
    found = [run.info.run_id for run in runs_store.search("tags.stage = 'stage'")]
    assert sorted(found) == sorted(ids) and runs_store.search("tags.stage = 'none'") == []


def test_run_under_mlflow_run_does_not_log_parameters_again(store, monkeypatch):
    run = mlflow.MlflowClient().create_run("0")
    mlflow.MlflowClient().log_param(run.info.run_id, "learning_rate", "1e-3")
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    with tracking.run("stage", {"learning_rate": 0.001}) as run_id:
        pass
    assert run_id == run.info.run_id
    assert tracking.params(run_id) == {"learning_rate": "1e-3"}
    assert tracking.info(run_id)["name"] == "stage"


def test_failed_run_keeps_its_error(store):
    with pytest.raises(ValueError, match="expected a"), tracking.run("stage", {}) as run_id:
        raise InputError("expected a,\n got b")
    assert tracking.info(run_id)["status"] == "FAILED"
    assert tracking.tags(run_id)["error"] == "expected a, got b"
    assert "InputError" in tracking.fetch(f"runs:/{run_id}/traceback.txt").read_text()


def test_interrupted_run_is_killed(store):
    with pytest.raises(KeyboardInterrupt), tracking.run("stage", {}) as run_id:
        raise KeyboardInterrupt
    assert tracking.info(run_id)["status"] == "KILLED"


def test_sigterm_closes_the_run_as_killed(store):
    code = (
        "import time\nfrom conceptcaps import tracking\n"
        "with tracking.run('stage', {}):\n    print('begun', flush=True)\n    time.sleep(60)\n"
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    while process.stdout.readline() != "begun\n":
        pass
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) != 0
    assert statuses() == {"stage": "KILLED"}


def test_children_are_nested_and_fail_alone(store):
    with tracking.run("sweep", {}) as parent:
        with tracking.child_run("trial", {"beta": 1}):
            tracking.log_metrics({"val/loss": 2.0})
        with pytest.raises(ValueError), tracking.child_run("trial", {"beta": 2}):
            raise InputError("expected beta of at most 1, got 2")
        tracking.log_metrics({"trials": 2})
    assert [(name, status) for name, _, status in tracking.children(parent)] == [
        ("trial", "FINISHED"),
        ("trial", "FAILED"),
    ]
    assert tracking.metrics(parent) == {"trials": 2}


def failing(main) -> int:
    with pytest.raises(SystemExit) as stopped:
        tracking.execute(main)
    return stopped.value.code


def test_what_the_user_can_mend_is_one_line_and_names_the_run(store, capsys):
    def main() -> None:
        with tracking.run("stage", {}):
            promotion.require_validation("test/loss")

    assert failing(main) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "error: expected a metric that begins with val/, got 'test/loss': test rows choose nothing"
    (run,) = mlflow.search_runs(output_format="list")
    assert said[1:] == [f"run {run.info.run_id} (stage) FAILED; see {run.info.artifact_uri}/traceback.txt"]
    assert run.data.tags["failure"] == "input"


def test_a_bug_shows_its_traceback_and_names_the_run_last(store, capsys):
    def main() -> None:
        with tracking.run("stage", {}):
            int("nan")

    assert failing(main) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("Traceback") and said[-2].startswith("ValueError: invalid literal for int()")
    assert said[-1].endswith("traceback.txt") and "(stage) FAILED" in said[-1]
    assert mlflow.search_runs(output_format="list")[0].data.tags["failure"] == "bug"


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), ConnectionError("no network"), mlflow.MlflowException("locked")]
)
def test_a_machine_that_fails_is_no_input_and_one_line(store, capsys, error):
    def main() -> None:
        with tracking.run("stage", {}):
            raise error

    assert failing(main) == 1
    assert capsys.readouterr().err.startswith(f"error: {error}")
    assert mlflow.search_runs(output_format="list")[0].data.tags["failure"] == "machine"


def test_a_gate_that_refuses_exits_with_three(store, capsys):
    def main() -> None:
        with tracking.run("promote", {}):
            raise Refused("version 2 is not promoted")

    assert failing(main) == 3
    assert capsys.readouterr().err == "error: version 2 is not promoted\n"
    assert statuses() == {"promote": "FAILED"}


def test_mistyped_arguments_leave_a_run_of_the_stage_s_name_with_the_error(store):
    run = mlflow.MlflowClient().create_run("0", run_name="gentle-fox-1")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_RUN_ID": run.info.run_id}
    command = [sys.executable, "-m", "entrypoints.rollback", "--model", "a", "--no-such-flag", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "unrecognized arguments: --no-such-flag 1" in done.stderr
    left = mlflow.get_run(run.info.run_id)
    assert (left.info.run_name, left.info.status) == ("rollback", "FAILED")
    assert "--no-such-flag" in left.data.tags["error"]


@pytest.mark.parametrize(("storage", "stays"), [("postgresql://me:s3cret@host/db", 0), ("sqlite:///study.db", 1)])
def test_mistyped_arguments_beside_a_password_delete_the_run(store, storage, stays):
    run = mlflow.MlflowClient().create_run("0")
    mlflow.MlflowClient().log_param(run.info.run_id, "storage", storage)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_RUN_ID": run.info.run_id}
    command = [sys.executable, "-m", "entrypoints.rollback", "--model", "a", "--storage", storage]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(mlflow.search_runs(output_format="list")) == stays


def test_a_failed_run_is_failed_though_its_artifacts_cannot_be_written(store):
    (store / "artifacts").write_text("a file where the folder should be")
    mlflow.create_experiment("broken", artifact_location=str(store / "artifacts"))
    code = (
        "from conceptcaps import tracking\nwith tracking.run('stage', {}):\n    tracking.log_json({}, 'facts.json')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_EXPERIMENT_NAME": "broken"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Not a directory" in done.stderr, done.stderr
    (run,) = mlflow.search_runs(experiment_names=["broken"], output_format="list")
    assert run.info.status == "FAILED" and "Not a directory" in run.data.tags["error"]


def test_parameters_that_cannot_be_logged_fail_the_run(store):
    with pytest.raises(mlflow.exceptions.MlflowException), tracking.run("stage", {"x" * 300: 1}):
        pass
    assert statuses() == {"stage": "FAILED"}


def test_a_password_is_refused_and_its_run_deleted(store):
    with pytest.raises(ValueError, match=r"expected storage without a password, got postgresql://me:\*\*\*@host/db"):
        with tracking.run("sweep_vae", {"storage": "postgresql://me:s3cret@host/db"}):
            pass
    assert statuses() == {}
    everything = mlflow.search_runs(output_format="list", run_view_type=mlflow.entities.ViewType.ALL)
    assert "s3cret" not in str([run.to_dictionary() for run in everything])


def test_a_server_that_is_down_is_reported_at_once(store, monkeypatch):
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(ConnectionError, match="expected a tracking server"), tracking.run("stage", {}):
        pass
    with pytest.raises(ConnectionError, match="expected a tracking server"):
        tracking.state()
    assert time.monotonic() - started < 10


def test_registered_model_is_served_by_its_library_module(store):
    with tracking.run("train", {}) as run_id:
        assert register(store / "weights", offset=10) == "1"
    assert tracking.registered_by(run_id) == "models:/toy/1"
    assert tracking.resolve("models:/toy@candidate") == "models:/toy/1"
    assert tracking.model_version("models:/toy@candidate") == ("toy", "1", run_id)
    loaded = mlflow.pyfunc.load_model("models:/toy/1")
    assert loaded.predict(EXAMPLE)["y"].tolist() == [11, 12]
    assert loaded.metadata.signature.inputs.input_names() == ["x"]
    assert loaded.input_example.equals(EXAMPLE)


def test_fetch_returns_the_weights_and_tags_the_version_behind_an_alias(store):
    with tracking.run("train", {}):
        register(store / "first", offset=1)
        register(store / "second", offset=2)
    tracking.move_alias("toy", alias="champion", version="1")
    with tracking.run("sample", {}) as run_id:
        weights = tracking.fetch("models:/toy@champion")
    assert toy_model.load(weights) == 1
    assert tracking.tags(run_id)["resolved.toy"] == "models:/toy/1"
    assert tracking.alias_version("toy", "candidate") == "2"
    assert not list(weights.rglob("*.pkl"))


def test_missing_alias_names_those_that_exist(store):
    with pytest.raises(ValueError, match="'champion', got aliases: none"):
        tracking.resolve("models:/toy@champion")
    with tracking.run("train", {}):
        register(store / "weights", offset=1)
    with pytest.raises(ValueError, match="'champion', got aliases: candidate"):
        tracking.resolve("models:/toy@champion")


def test_fetch_refuses_what_is_not_there(store):
    with pytest.raises(ValueError, match="expected a local path"):
        tracking.fetch("nowhere")
    with pytest.raises(ValueError, match="expected an artifact"):
        tracking.fetch("runs:/0123/tag_sets")


def test_datasets_figures_tables_and_json_are_artifacts(store):
    frame = pd.DataFrame({"id": ["a"], "tags": [["jazz", "piano"]]})
    with tracking.run("distil", {}) as source:
        tracking.log_frame(frame, "tag_sets/train.parquet")
    with tracking.run("stage", {}) as run_id:
        tracking.log_dataset(frame, name="tag_sets/train", source=f"runs:/{source}/tag_sets", context="training")
        tracking.log_figure(Figure(), "loss")
        tracking.log_frame(frame, "tables/rows.parquet")
        tracking.log_json({"b": 1}, "certificate.json")
    inputs = mlflow.get_run(run_id).inputs.dataset_inputs
    assert [(item.dataset.name, item.tags[0].value) for item in inputs] == [("tag_sets/train", "training")]
    assert f"runs:/{source}/tag_sets" in inputs[0].dataset.source
    assert tracking.fetch(f"runs:/{run_id}/figures/loss.png").exists()
    assert pd.read_parquet(tracking.fetch(f"runs:/{run_id}/tables/rows.parquet"))["id"].tolist() == ["a"]
    assert tracking.fetch(f"runs:/{run_id}/certificate.json").read_text() == '{\n  "b": 1\n}\n'


@pytest.mark.parametrize("told", [False, True])
def test_a_killed_process_leaves_no_running_run_and_no_copies(store, monkeypatch, told):
    """Whether or not ``mlflow run``, which started it, has called its run failed."""
    code = "import os, signal; from conceptcaps import tracking\n"
    code += "with tracking.run('train_vae', {}): tracking.scratch(); os.kill(os.getpid(), signal.SIGKILL)"
    (temporary := store / "temporary").mkdir()
    (other := temporary / "of somebody else").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert statuses() == {"train_vae": "RUNNING"} and len(list(temporary.iterdir())) == 2
    if told:
        (killed,) = mlflow.search_runs(output_format="list")
        mlflow.MlflowClient().set_terminated(killed.info.run_id, "FAILED")
    with tracking.run("promote", {}) as mine:
        assert tracking.info(mine)["status"] == "RUNNING"
    ended = {"train_vae": "FAILED" if told else "KILLED", "promote": "FINISHED"}
    assert statuses() == ended and list(temporary.iterdir()) == [other]


def test_copies_are_removed_from_the_temporary_folder_alone(store):
    (precious := store / "conceptcaps-precious").mkdir()
    with tracking.run("train_vae", {}) as run_id:
        mlflow.set_tag(session.SCRATCH, str(precious))
    session.clear_scratch_of(mlflow.get_run(run_id))
    assert precious.exists()


def test_a_command_that_is_killed_before_its_stage_begins_leaves_no_running_run(store):
    client, own = mlflow.MlflowClient(), {"mlflow.project.backend": "local"}
    here, elsewhere = (own | {"mlflow.source.name": f"file://{place}"} for place in (project.PROJECT, "/elsewhere"))
    long_ago = 1_000_000  # no process is as old
    for name, tags in {"here": here, "elsewhere": elsewhere, "below": here | {"mlflow.parentRunId": "0"}}.items():
        client.create_run("0", start_time=long_ago, tags=tags, run_name=name)
    launcher = [sys.executable, "-c", "import time; time.sleep(60)", "mlflow", "run"]
    with subprocess.Popen(launcher) as process:
        client.create_run("0", start_time=int(time.time() * 1000) + 5000, tags=here, run_name="installs")
        with tracking.run("promote", {}):
            pass
        process.kill()
    expected = {"here": "KILLED", "elsewhere": "RUNNING", "below": "RUNNING", "installs": "RUNNING"}
    assert statuses() == {**expected, "promote": "FINISHED"}


def test_a_log_that_fails_does_not_stop_a_training():
    def full(*_):
        raise OSError(28, "No space left on device")

    with pytest.warns(UserWarning, match="not logged: .* No space left"):
        tracking.attempt(full, {"train/loss": 1.0}, 3)
    seen = []
    tracking.attempt(lambda *args: seen.append(args), {"train/loss": 1.0}, 3)
    assert seen == [({"train/loss": 1.0}, 3)]


def test_a_run_says_from_which_commit_and_when(store, monkeypatch):
    with tracking.run("stage", {}) as run_id:
        pass
    found = tracking.provenance(run_id)
    assert (found["name"], found["run"], found["commit"]) == ("stage", run_id, project.commit())
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])
    monkeypatch.setattr(project, "commit", lambda: "unknown")
    with tracking.run("stage", {}) as run_id:
        pass
    with pytest.raises(ValueError, match="made in a git checkout, got one without a commit"):
        tracking.provenance(run_id)
