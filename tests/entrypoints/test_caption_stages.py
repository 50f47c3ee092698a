"""The captioner's stages as processes: two share a training, a kill -9 while writing changes nothing."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pandas as pd
import pyarrow.parquet as pq
import pytest

from conceptcaps import tracking
from conceptcaps.captions import captioner
from conceptcaps.tags import corpus
from tests import stages, tiny_model

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def arguments(stage: str, **changes: object) -> list[str]:
    return [
        "-m",
        f"entrypoints.{stage}",
        *(text for name, value in changes.items() for text in (f"--{name}", str(value))),
    ]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true"}


@pytest.fixture
def small(store) -> dict[str, object]:
    """Parameters of a short training of a tiny model on the demo corpus."""
    texts = [*corpus.load_corpus("demo")["caption"], *captioner.PROMPT.values()]
    stages.run("distill_tags")
    return {
        "tag_sets": f"runs:/{tracking.latest('distill_tags')}/tag_sets",
        "base_model": str(tiny_model.save(store / "base", texts=texts)),
        "max_examples": 24,
        "rank": 4,
        "epochs": 2,
    }


def test_two_processes_train_what_one_does(store, small):
    small = small | {"batch_size": 4}
    one = stages.run("finetune_captioner", **small)
    (store / "outputs").rename(store / "outputs of one")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    done = subprocess.run(
        [*launch, *arguments("finetune_captioner", **small)], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    two = tracking.latest("finetune_captioner")
    assert two != one and tracking.info(two)["status"] == "FINISHED"
    losses = [tracking.history(run, "train/loss")["value"].tolist() for run in (one, two)]
    assert len(losses[0]) == 12 and losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert tracking.metrics(two)["val/loss"] == pytest.approx(tracking.metrics(one)["val/loss"], rel=1e-4)
    runs = mlflow.search_runs(filter_string="tags.mlflow.runName = 'finetune_captioner'")
    assert len(runs) == 2, "the second process opens no run"


def test_captions_of_every_epoch_are_shown(small):
    run = stages.run("finetune_captioner", **small, batch_size=4)
    shown = sorted(path.name for path in tracking.fetch(f"runs:/{run}/captions").iterdir())
    assert shown == ["step_000006.json", "step_000012.json"]
    rows = pd.read_json(tracking.fetch(f"runs:/{run}/captions/step_000012.json"))
    assert len(rows) == 3 and {"plan", "caption", "tag_recall"} == set(rows)


def test_a_sweep_weighs_recall_against_closeness(small):
    sweep = {name: small[name] for name in ("tag_sets", "base_model")} | {"max_examples": 8, "trials": 2}
    run = stages.run("sweep_captioner", **sweep, objective="val/tag_recall,val/bertscore_f1")
    trials = pd.read_parquet(tracking.fetch(f"runs:/{run}/trials.parquet"))
    assert len(trials) == 2 and trials[["val/tag_recall", "val/bertscore_f1"]].notna().all(axis=None)
    for name in ("val/tag_recall", "val/bertscore_f1"):
        assert 0 <= tracking.metrics(run)[name] <= 1 and tracking.metrics(run)[name] in set(trials[name])
    for _, child, _ in tracking.children(run):
        assert {"val/loss", "val/tag_recall", "val/bertscore_f1"} <= set(tracking.metrics(child))


def test_a_writer_of_empty_captions_is_not_compared(store, small):
    rows = {"aspect_list": ["['jazz', 'piano']"] * 20, "caption": ["A jazz piece for piano."] * 20}
    for name, empty in {"one": 0, "other": 5}.items():
        frame = pd.DataFrame(rows)
        frame.loc[: empty - 1, "caption"] = ""
        frame.to_csv(store / f"{name}.csv", index=False)
    writers = f"one={store / 'one.csv'},other={store / 'other.csv'}"
    with pytest.raises(ValueError, match="at most 10% of captions without a score, got 5 of 20"):
        stages.run("compare_captions", writers=writers, references=small["tag_sets"])


def test_another_captioner_at_the_same_place_writes_its_own_captions(store, small):
    rows = pd.read_parquet(tracking.fetch(small["tag_sets"]) / "test.parquet")[["id", "tags"]].head(4)
    (store / "samples").mkdir()
    rows.assign(split="test").to_parquet(store / "samples" / "samples.parquet")
    for seed in (0, 1):
        stages.run("finetune_captioner", **small, seed=seed)
        weights = tracking.fetch("models:/conceptcaps-captioner@candidate")
        shutil.copytree(weights, store / "captioner", dirs_exist_ok=True)
        stages.run("write_captions", captioner=store / "captioner", samples=store / "samples", max_new_tokens=20)
    written = [pq.read_table(path)["caption"].to_pylist() for path in store.glob("outputs/write_captions/*/*.parquet")]
    assert len(written) == 2 and written[0] != written[1]


def test_writing_goes_on_after_a_kill_or_on_ray_with_the_same_bytes(store, small):
    stages.run("finetune_captioner", **small)
    rows = pd.read_parquet(tracking.fetch(small["tag_sets"]) / "test.parquet")[["id", "tags"]].head(24)
    rows["split"] = "test"
    (store / "samples").mkdir()
    rows.to_parquet(store / "samples" / "samples.parquet")
    writing = {
        "captioner": "models:/conceptcaps-captioner@candidate",
        "samples": store / "samples",
        "max_new_tokens": 40,
        "shard_size": 3,
    }
    command = [sys.executable, *arguments("write_captions", **writing, out=store / "killed")]
    run = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list((store / "killed").glob("part-*.parquet"))) < 2 and run.poll() is None:  # in whichever order
        assert time.monotonic() < deadline
        time.sleep(0.002)
    run.send_signal(signal.SIGKILL)
    run.wait()
    left = sorted(path.name for path in (store / "killed").glob("part-*.parquet"))
    assert 2 <= len(left) < 8 and not (store / "killed" / "manifest.json").exists()
    stamps = {name: (store / "killed" / name).stat().st_mtime_ns for name in left}

    stages.run("write_captions", **writing, out=store / "killed", workers=2)
    stages.run("write_captions", **writing, out=store / "at_once", workers=1)
    stages.run("write_captions", **writing, out=store / "ray", executor="ray", workers=2)
    assert {name: (store / "killed" / name).stat().st_mtime_ns for name in left} == stamps, "not written again"
    parts = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (store / out).glob("part-*.parquet")}
        for out in ("killed", "at_once", "ray")
    ]
    assert parts[0] == parts[1] == parts[2] and len(parts[0]) == 8
    assert pq.read_table(store / "killed" / "part-00000.parquet").num_rows == 3
