"""What a stage says of itself, and that the next command it prints is one."""

import re

import mlflow
import pytest

from conceptcaps import tracking
from conceptcaps.tracking import console
from conceptcaps.workspace import project


@pytest.mark.parametrize("stage", console.NEXT)
def test_the_next_command_names_a_stage_its_parameters_and_fields_that_the_first_has(stage):
    following, *settings = console.NEXT[stage].split()
    defaults, _ = project.entry_point(following)
    given = {setting.partition("=")[0] for setting in settings}
    assert given <= set(defaults)
    assert {name for name, default in defaults.items() if default is None} <= given
    fields = set(re.findall(r"{(\w+)}", console.NEXT[stage]))
    assert fields <= {*project.entry_point(stage)[0], "run", "model"}


def test_a_stage_says_its_name_inputs_figures_artifacts_and_what_comes_next(store, capsys):
    (store / "rows").mkdir()
    (store / "rows" / "train.csv").write_text("id")
    with tracking.run("distill_tags", {}) as run:
        tracking.log_folder(tracking.fetch(str(store / "rows")), "tag_sets")
        tracking.log_metrics({"train/loss": 3.0}, 1)
        tracking.log_metrics({"val/f1": 0.5, "val/f1_low": 0.4, "val/f1_high": 0.6})
    said = capsys.readouterr().out
    assert said.startswith("\ndistill_tags") and f"reads      {store}/rows" in said
    assert "val/f1     0.5 [0.4, 0.6]" in said and "train/loss" not in said
    assert f"artifacts  {mlflow.get_run(run).info.artifact_uri.removeprefix('file://')}" in said
    assert f"next       mlflow run . --env-manager uv -e train_vae -P tag_sets=runs:/{run}/tag_sets" in said
    note = tracking.tags(run)["mlflow.note.content"]
    assert "val/f1     0.5 [0.4, 0.6]" in note and "train_vae" in note


def test_each_line_of_a_pipeline_s_step_begins_with_its_name(store, capsys, monkeypatch):
    with tracking.run("main", {}) as parent:
        pass
    step = mlflow.MlflowClient().create_run("0", tags={"mlflow.parentRunId": parent}, run_name="sample_tags more")
    monkeypatch.setenv("MLFLOW_RUN_ID", step.info.run_id)
    capsys.readouterr()
    with tracking.run("sample_tags", {}):
        tracking.log_metrics({"samples/rows": 3.0})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and {line[:20] for line in lines} == {"sample_tags more    "}
    assert "samples/rows 3" in lines[1] and "artifacts" in lines[2], "no next command: the pipeline goes on"


def test_a_next_command_without_its_model_is_left_out(store, capsys):
    with tracking.run("train_vae", {}):
        pass
    assert "next" not in capsys.readouterr().out


def test_a_next_command_without_its_artifact_is_left_out(store, capsys):
    with tracking.run("generate_audio", {"shard_range": "0:1"}):
        tracking.log_json({}, "audio.json")
    assert "next" not in capsys.readouterr().out


def test_runs_by_hand_go_to_an_experiment_of_the_project_s_name(store, monkeypatch):
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    with tracking.run("train_vae", {}) as run, tracking.child_run("trial", {}) as child:
        pass
    found = [mlflow.get_run(one).info.experiment_id for one in (run, child)]
    assert [mlflow.get_experiment(one).name for one in found] == ["conceptcaps"] * 2


@pytest.mark.parametrize(("experiment", "named"), [("ours", "ours"), ("of two", "'of two'")])
def test_the_next_command_stays_in_the_experiment_of_its_run(store, monkeypatch, capsys, experiment, named):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", experiment)
    with tracking.run("distill_tags", {}) as run:
        tracking.log_json({}, "tag_sets/facts.json")
    command = f"mlflow run . --env-manager uv --experiment-name {named} -e train_vae -P tag_sets=runs:/{run}/tag_sets"
    assert f"next       {command}" in capsys.readouterr().out
