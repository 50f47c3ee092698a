import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from matplotlib.figure import Figure

from conceptcaps import project, tracking
from tests import toy_model

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = pd.DataFrame({"x": [1.0, 2.0]})


def register(path: Path, *, offset: int) -> str:
    return tracking.register(
        "toy", toy_model.save(path, offset=offset), module="tests.toy_model", example=EXAMPLE, metrics={"val/loss": 0.5}
    )


def test_run_by_hand_logs_parameters_and_finishes(store):
    with tracking.run("stage", {"beta": 0.5}) as run_id:
        tracking.log_metrics({"val/loss": 1.0}, step=3)
    assert tracking.info(run_id)["name"] == "stage"
    assert tracking.info(run_id)["status"] == "FINISHED"
    assert tracking.params(run_id) == {"beta": "0.5"}
    assert tracking.history(run_id, "val/loss").to_dict("records") == [{"step": 3, "value": 1.0}]
    assert tracking.latest("stage") == run_id


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
        raise ValueError("expected a,\n got b")
    assert tracking.info(run_id)["status"] == "FAILED"
    assert tracking.tags(run_id)["error"] == "expected a, got b"
    assert "ValueError" in tracking.fetch(f"runs:/{run_id}/traceback.txt").read_text()


def test_interrupted_run_is_killed(store):
    with pytest.raises(KeyboardInterrupt), tracking.run("stage", {}) as run_id:
        raise KeyboardInterrupt
    assert tracking.info(run_id)["status"] == "KILLED"


def test_sigterm_closes_the_run_as_killed(store):
    code = (
        "import time\nfrom conceptcaps import tracking\n"
        "with tracking.run('stage', {}) as run_id:\n    print(run_id, flush=True)\n    time.sleep(60)\n"
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    run_id = process.stdout.readline().strip()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) != 0
    assert tracking.info(run_id)["status"] == "KILLED"


def test_children_are_nested_and_fail_alone(store):
    with tracking.run("sweep", {}) as parent:
        with tracking.child_run("trial", {"beta": 1}):
            tracking.log_metrics({"val/loss": 2.0})
        with pytest.raises(ValueError), tracking.child_run("trial", {"beta": 2}):
            raise ValueError("expected beta of at most 1, got 2")
        tracking.log_metrics({"trials": 2})
    assert [(name, status) for name, _, status in tracking.children(parent)] == [
        ("trial", "FINISHED"),
        ("trial", "FAILED"),
    ]
    assert tracking.metrics(parent) == {"trials": 2}


def test_execute_prints_one_line_and_exits_with_one(capsys):
    def main() -> None:
        raise ValueError("expected a,\n got b")

    with pytest.raises(SystemExit) as stopped:
        tracking.execute(main)
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "error: expected a, got b\n"


def test_a_server_that_is_down_is_reported_at_once(store, monkeypatch):
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(ConnectionError, match="expected a tracking server"), tracking.run("stage", {}):
        pass
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


def test_a_killed_process_leaves_no_running_run(store):
    code = "import os, signal; from conceptcaps import tracking\n"
    code += "with tracking.run('train_vae', {}): os.kill(os.getpid(), signal.SIGKILL)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    statuses = {run.info.run_name: run.info.status for run in mlflow.search_runs(output_format="list")}
    assert statuses == {"train_vae": "RUNNING"}
    with tracking.run("promote", {}) as mine:
        assert tracking.info(mine)["status"] == "RUNNING"
    statuses = {run.info.run_name: run.info.status for run in mlflow.search_runs(output_format="list")}
    assert statuses == {"train_vae": "KILLED", "promote": "FINISHED"}


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
