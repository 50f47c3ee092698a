"""Versions: one for the same weights and code, what they carry, and where their weights are read."""

import zipfile

import mlflow
import pandas as pd
import pytest

from conceptcaps import tracking
from conceptcaps.errors import InputError
from conceptcaps.tracking import packing
from conceptcaps.workspace import project
from tests import toy_model

EXAMPLE = pd.DataFrame({"x": [1.0, 2.0]})


def register(store, *, offset: int, name: str = "weights") -> str:
    weights = store / name
    if not weights.exists():
        toy_model.save(weights, offset=offset)
    with tracking.run("train_vae", {}):
        tracking.log_metrics({"train/loss": 2.0}, 7)
        tracking.log_metrics({"val/loss": 0.5, "rows": 3.0})
        return tracking.register("toy", weights, module="tests.toy_model", example=EXAMPLE)


def test_the_same_weights_are_registered_once(store, capsys):
    assert register(store, offset=1) == "1"
    assert register(store, offset=2, name="others") == "2"
    assert register(store, offset=1) == "1", "as after a kill, or a training run again"
    assert "registers  nothing: models:/toy/1 has the same weights and code" in capsys.readouterr().out
    assert tracking.alias_version("toy", "candidate") == "1"
    assert tracking.registered_by(tracking.latest("train_vae")) == "models:/toy/1"


def test_a_version_says_what_it_is(store):
    register(store, offset=1)
    version = mlflow.MlflowClient().get_model_version("toy", "1")
    assert version.tags["val/loss"] == "0.5" and "rows" not in version.tags
    assert f"From run {version.run_id} of train_vae" in version.description and "val/loss   0.5" in version.description


def test_final_metrics_stand_where_training_ended(store):
    register(store, offset=1)
    assert tracking.history(tracking.latest("train_vae"), "val/loss").to_dict("records") == [{"step": 7, "value": 0.5}]


def test_a_version_carries_one_archive_and_the_packages_that_its_module_needs(store):
    register(store, offset=1)
    root = tracking.fetch("models:/toy/1").parents[1]
    code = [path for path in (root / "code").rglob("*") if path.is_file()]
    assert [path.name for path in code] == ["conceptcaps.zip"]
    assert zipfile.ZipFile(code[0]).namelist() == [
        "conceptcaps/__init__.py",
        "conceptcaps/errors.py",
        "tests/__init__.py",
        "tests/toy_model.py",
    ]
    assert not list(root.rglob("*.pkl"))
    needed = {line.split("==")[0] for line in (root / "requirements.txt").read_text().splitlines()}
    assert {"mlflow-skinny", "pandas", "numpy", "fastapi"} <= needed and not needed & {"torch", "transformers", "scipy"}


def test_an_archive_holds_what_the_module_reaches_and_is_the_same_again(tmp_path):
    files = packing.pack("conceptcaps.tags.sampling", tmp_path / "one.zip")
    packing.pack("conceptcaps.tags.sampling", tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    names = zipfile.ZipFile(tmp_path / "one.zip").namelist()
    assert {"conceptcaps/tags/vae.py", "conceptcaps/tags/taxonomy.yaml"} <= set(names)
    assert not [name for name in names if "tracking" in name or "audio" in name]
    pins = packing.requirements(files)
    packages = {pin.split("==")[0] for pin in pins}
    assert {"torch", "scikit-learn", "safetensors"} <= packages and not packages & {
        "transformers",
        "librosa",
        "datasets",
    }
    lock = (project.PROJECT / project.LOCK).read_text().splitlines()
    assert all(pin in {line.removesuffix(" \\") for line in lock} for pin in pins)


def test_a_local_store_is_read_where_it_lies_and_nothing_stays_in_the_temporary_folder(store, monkeypatch):
    (store / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(store / "tmp"))
    register(store, offset=1)
    with tracking.run("distill_tags", {}) as run:
        tracking.log_json({"a": 1}, "folder/facts.json")
    artifacts = mlflow.get_run(run).info.artifact_uri.removeprefix("file://")
    assert str(tracking.fetch(f"runs:/{run}/folder")) == f"{artifacts}/folder"
    assert (tracking.fetch("models:/toy@candidate") / "config.json").exists()
    assert not list((store / "tmp").iterdir())


def test_copies_of_a_store_elsewhere_go_with_the_run(store, monkeypatch):
    with tracking.run("distill_tags", {}) as run:
        tracking.log_json({"a": 1}, "facts.json")
    monkeypatch.setattr("conceptcaps.tracking.artifacts._in_place", lambda uri: None)
    with tracking.run("sample_tags", {}):
        copy = tracking.fetch(f"runs:/{run}/facts.json")
        with tracking.child_run("trial", {}):
            pass
        assert copy.exists(), "a nested run that ends takes nothing away"
    assert not copy.exists()


def test_pickles_and_forms_of_cards_are_not_logged(store):
    folder = store / "checkpoints" / "checkpoint-2"
    folder.mkdir(parents=True)
    for name in ("optimizer.pt", "rng_state.pth", "training_args.bin", "model.safetensors", "trainer_state.json"):
        (folder / name).write_text("{}")
    for name in ("README.md", "adapter_config.json"):  # peft's form of a card, with a path of this machine
        (folder / name).write_text("{}")
    with tracking.run("finetune_captioner", {}) as run:
        tracking.log_folder(store / "checkpoints", "checkpoints")
    logged = tracking.fetch(f"runs:/{run}/checkpoints/checkpoint-2")
    assert sorted(path.name for path in logged.iterdir()) == [
        "adapter_config.json",
        "model.safetensors",
        "trainer_state.json",
    ]


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_metrics_are_sent_in_batches_and_none_is_lost(store, monkeypatch, seconds):
    monkeypatch.setattr("conceptcaps.tracking.session._SECONDS", seconds)
    sent = []
    log_batch = mlflow.MlflowClient.log_batch
    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", lambda *a, **k: (sent.append(k), log_batch(*a, **k))[1])
    with tracking.run("train_vae", {}) as run:
        for epoch in range(2000):
            tracking.log_metrics({"train/loss": float(epoch)}, epoch)
            if seconds == 0 and epoch == 5:
                break
        assert len(tracking.history(run, "train/loss")) == epoch + 1, "what waits is sent before it is read back"
        sizes = [len(one["metrics"]) for one in sent if one.get("metrics")]
        assert sizes == ([1, 900, 900, 199] if seconds else [1] * 6)


@pytest.mark.parametrize("uri", ["train_vae", "models:/train_vae", "models:/train_vae/latest", "runs:/1/model"])
def test_what_is_no_version_of_a_model_is_refused(store, uri):
    with pytest.raises(InputError, match=r"expected models:/<name>/<version> or models:/<name>@<alias>, got "):
        tracking.model_version(uri)
