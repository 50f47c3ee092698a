"""A toy project of two stages, run for real as nested MLflow projects: nesting, reuse, cascade, failure."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import mlflow
import pytest

from conceptcaps import tracking
from conceptcaps.errors import Failure
from conceptcaps.tracking import pipeline as steps
from conceptcaps.tracking.runs import active
from conceptcaps.workspace import project

ROOT = Path(__file__).resolve().parents[2]
MLPROJECT = """
name: toy
entry_points:
  double:
    parameters:
      x: {type: float, default: 1}
    command: "python -m entrypoints.double --x {x}"
  add:
    parameters:
      before: string
      y: {type: float, default: 1e-3}
    command: "python -m entrypoints.add --before {before} --y {y}"
"""
STAGE = """
import argparse
import time
from conceptcaps import tracking
from conceptcaps.errors import InputError
TABLE = "table.txt"
parser = argparse.ArgumentParser()
for name in NAMES:
    parser.add_argument("--" + name, required=True)
def main():
    args = parser.parse_args()
    with tracking.run(STAGE, vars(args)):
        if getattr(args, "x", "") == "-1":
            raise InputError("expected x of at least 0, got -1")
        if getattr(args, "x", "") == "1000000000.0":
            time.sleep(300)
        tracking.log_metrics({"val/answer": 1.0})
tracking.execute(main)
"""


@pytest.fixture
def checkout(store, monkeypatch):
    root = store / "project"
    (root / "entrypoints").mkdir(parents=True)
    (root / "entrypoints" / "__init__.py").touch()
    (root / "entrypoints" / "table.txt").write_text("1")
    (root / "requirements.txt").write_text("")
    (root / "MLproject").write_text(MLPROJECT)
    for stage, names in {"double": ["x"], "add": ["before", "y"]}.items():
        code = STAGE.replace("NAMES", repr(names)).replace("STAGE", repr(stage))
        (root / "entrypoints" / f"{stage}.py").write_text(code)
    (root / ".gitignore").write_text("__pycache__\n")
    for command in [["init"], ["add", "--all"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-m", "1"]]:
        subprocess.run(["git", "-C", str(root), *command], check=True, capture_output=True)
    monkeypatch.setattr(project, "PROJECT", root)
    monkeypatch.setattr(project.step_key, "__kwdefaults__", {"project": root})
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return root


def pipeline(**changes: object) -> list[str]:
    with tracking.run("main", {}):
        first = tracking.submit("double", {key: value for key, value in changes.items() if key == "x"})
        second = {"before": f"runs:/{first}/out", **{key: value for key, value in changes.items() if key == "y"}}
        return [first, tracking.submit("add", second)]


def failing(monkeypatch, kind: str) -> None:
    """Let every step fail in a way."""

    def submit(entry_point, parameters, *, label=None, **options):
        with tracking.child_run(label, {}) as run_id:
            pass
        raise steps.StageFailed(entry_point, run_id, "the reason", kind)

    monkeypatch.setattr(steps, "submit", submit)


def test_a_step_that_its_inputs_do_not_allow_is_left_out(store, monkeypatch):
    failing(monkeypatch, "input")
    with tracking.run("main", {}) as run_id, tracking.Pipeline(pull="trained", at_once=1) as pipeline:
        below = pipeline.optional("add", before=pipeline.optional("double", x=-1))
        assert below.result() is None and pipeline.runs == {}
    assert tracking.left_out(run_id) == {"double": "the reason", "add": "before was left out"}


@pytest.mark.parametrize("kind", ["machine", "bug", "refused"])
def test_a_step_that_fails_otherwise_is_not_left_out(store, monkeypatch, kind):
    failing(monkeypatch, kind)
    with (
        pytest.raises(Failure, match="stage double failed: the reason"),
        tracking.run("main", {}) as run_id,
        tracking.Pipeline(pull="trained", at_once=1) as pipeline,
    ):
        below = pipeline.step("add", before=pipeline.optional("double", x=1))
        below.result()
    assert tracking.info(run_id)["status"] == "FAILED" and not tracking.left_out(run_id)


def test_each_pipeline_asks_again_who_is_champion_and_keeps_the_decision(store, monkeypatch):
    answers, asked = ["", "another is better"], []

    def submit(entry_point, parameters, *, label=None, reuse=True):
        asked.append((entry_point, reuse))
        with tracking.child_run(label, {}) as run_id:
            tracking.set_tags({"registered": "models:/conceptcaps-vae/1"})
        refusal = answers.pop(0) if entry_point == "promote" else ""
        if refusal:
            raise steps.StageFailed(entry_point, run_id, refusal, "refused")
        return run_id

    monkeypatch.setattr(steps, "submit", submit)
    kept = []
    for _ in range(2):
        with tracking.run("main", {}) as run_id, tracking.Pipeline(pull="trained", at_once=1) as pipeline:
            pipeline.step("train_vae")
            assert pipeline.promoted("vae").result() == "models:/conceptcaps-vae/1"
        kept.append(tracking.decisions(run_id))
    assert kept == [{"conceptcaps-vae": "promoted"}, {"conceptcaps-vae": "another is better"}]
    assert asked == [("train_vae", True), ("promote", False)] * 2


def test_a_step_begins_when_what_it_needs_has_ended_and_runs_keep_their_order(store, monkeypatch):
    began, meet = [], threading.Barrier(2)

    def submit(entry_point, parameters, *, label=None, reuse=True):
        began.append(label)
        if label in {"a", "b"}:
            meet.wait(timeout=30)  # each waits for the other: they run side by side
        assert mlflow.active_run() is not None
        return f"run-{label}"

    monkeypatch.setattr(steps, "submit", submit)
    with tracking.run("main", {}), tracking.Pipeline(pull="trained", at_once=2) as pipeline:
        first = pipeline.step("double", "out", label="a")
        after = pipeline.step("add", label="c", before=first, y=None)
        pipeline.step("double", label="b")
        pipeline.step("double", label="d", after=after)
        assert pipeline.runs == {label: f"run-{label}" for label in "acbd"}
        assert first.result() == "runs:/run-a/out"
    assert set(began[:2]) == {"a", "b"} and began[2:] == ["c", "d"]


def test_after_a_failure_no_step_begins_and_one_that_runs_may_end(store, monkeypatch):
    began, failed = [], threading.Event()

    def submit(entry_point, parameters, *, label=None, reuse=True):
        began.append(label)
        if label == "wrong":
            raise steps.StageFailed(entry_point, active(), "the reason", "bug")
        failed.wait(timeout=30)
        return "run"

    monkeypatch.setattr(steps, "submit", submit)
    with (
        pytest.raises(Failure, match="the reason"),
        tracking.run("main", {}),
        tracking.Pipeline(pull="trained", at_once=2) as pipeline,
    ):
        running = pipeline.step("double", label="long")
        wrong = pipeline.step("double", label="wrong")
        pipeline.step("double", label="never", after=running)
        wrong.exception()
        failed.set()
        pipeline.runs  # noqa: B018  waits
    assert running.result() == "runs:/run/" and sorted(began) == ["long", "wrong"]


def test_an_interrupt_ends_a_stage_that_is_about_to_begin(store, monkeypatch):
    on_the_way, ended = threading.Event(), []

    def submit(entry_point, parameters, *, label=None, reuse=True):
        on_the_way.set()
        time.sleep(0.3)
        stage = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)  # entrypoints.double"])
        ended.append(stage.wait())
        raise steps.StageFailed(entry_point, active(), "killed", "bug")

    monkeypatch.setattr(steps, "submit", submit)
    with pytest.raises(KeyboardInterrupt), tracking.run("main", {}) as run_id:
        with tracking.Pipeline(pull="trained", at_once=1) as line:
            line.step("double", label="a")
            line.step("double", label="b")
            on_the_way.wait(timeout=30)
            raise KeyboardInterrupt
    assert ended == [-signal.SIGTERM] and tracking.info(run_id)["status"] == "KILLED"


def test_a_failure_that_nobody_asked_about_fails_the_pipeline(store, monkeypatch):
    failing(monkeypatch, "bug")
    with pytest.raises(Failure, match="the reason"), tracking.run("main", {}) as run_id:
        with tracking.Pipeline(pull="trained", at_once=2) as line:
            line.step("double")
    assert tracking.info(run_id)["status"] == "FAILED"


def test_cores_are_shared_and_given_back(store, monkeypatch):
    seen = []

    def submit(entry_point, parameters, *, label=None, reuse=True):
        seen.append(os.environ.get("OMP_NUM_THREADS"))
        return "run"

    monkeypatch.setattr(steps, "submit", submit)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    for given in (None, "5"):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if given:
            monkeypatch.setenv("OMP_NUM_THREADS", given)
        for at_once in (1, 3):
            with tracking.run("main", {}), tracking.Pipeline(pull="trained", at_once=at_once) as line:
                line.step("double")
            assert os.environ.get("OMP_NUM_THREADS") == given
    assert seen == [None, "2", "5", "5"]
    with pytest.raises(ValueError, match="expected at least one step at a time, got 0"), tracking.run("main", {}):
        tracking.Pipeline(pull="trained", at_once=0)


@pytest.mark.slow
def test_an_interrupt_ends_the_stages_that_run(checkout):
    with (
        pytest.raises(KeyboardInterrupt),
        tracking.run("main", {}),
        tracking.Pipeline(pull="trained", at_once=2) as line,
    ):
        line.step("double", x=1e9)
        while "double" not in (running := {name: status for name, _, status in tracking.children(active())}):
            time.sleep(0.1)
        raise KeyboardInterrupt
    assert running and "RUNNING" not in {run.info.status for run in mlflow.search_runs(output_format="list")}


@pytest.mark.slow
def test_steps_are_nested_reused_and_cascade(checkout, capfd):
    with tracking.run("main", {}) as parent:
        first = tracking.submit("double", {})
    assert tracking.children(parent) == [("double", first, "FINISHED")]
    assert tracking.params(first) == {"x": "1"}

    before = pipeline()
    assert before[0] == first, "an equal step of another pipeline is reused"
    capfd.readouterr()
    assert pipeline(x=1, y="1e-3") == before, "defaults named are defaults merged in"
    assert "double: reused run" in capfd.readouterr().err

    below = pipeline(y=2)
    assert below[0] == before[0] and below[1] != before[1], "a changed step runs again, the one above does not"
    above = pipeline(x=3)
    assert above[0] != before[0] and above[1] != before[1], "a change cascades"
    assert tracking.tags(tracking.latest("main")).get(f"reused.double.{first[:8]}") is None

    (checkout / "entrypoints" / "table.txt").write_text("2")
    dirty = pipeline()
    assert not set(dirty) & set(before), "a dirty tree reuses nothing"
    assert "step_key" not in tracking.tags(dirty[0])


@pytest.mark.slow
def test_a_step_whose_arguments_are_refused_is_named_by_its_label(checkout):
    (checkout / "entrypoints" / "add.py").write_text((checkout / "entrypoints" / "double.py").read_text())
    with (
        pytest.raises(
            Failure, match="stage add failed: .*unrecognized arguments|stage add failed: arguments not under"
        ),
        tracking.run("main", {}),
        tracking.Pipeline(pull="trained", at_once=1) as line,
    ):
        line.step("add", label="add more", before=1)
    statuses = {run.info.run_name: run.info.status for run in mlflow.search_runs(output_format="list")}
    assert statuses == {"main": "FAILED", "add more": "FAILED"}


@pytest.mark.slow
def test_a_failed_stage_fails_the_pipeline_and_is_not_reused(checkout, capfd):
    with pytest.raises(Failure, match="stage double failed: expected x of at least 0, got -1"):
        pipeline(x=-1)
    statuses = {run.info.run_name: run.info.status for run in mlflow.search_runs(output_format="list")}
    assert statuses == {"main": "FAILED", "double": "FAILED"}
    assert "error: expected x of at least 0, got -1" in capfd.readouterr().err
    failed = next(run for run in mlflow.search_runs(output_format="list") if run.info.run_name == "double")
    assert "step_key" not in failed.data.tags
