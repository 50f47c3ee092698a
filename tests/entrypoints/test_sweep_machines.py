"""Machines that share a study and a tracking server, and no disk: whichever ends the study finds the best model."""

import pytest

from conceptcaps import tracking
from tests import stages


@pytest.mark.parametrize("stage", ["sweep_vae", "sweep_captioner"])
def test_the_best_trial_of_another_machine_is_registered(store, monkeypatch, stage):
    tag_sets = f"runs:/{stages.run('distill_tags')}/tag_sets"
    small = {"epochs": 2} if stage == "sweep_vae" else {"base_model": stages.tiny_base(store)}
    shared = {"tag_sets": tag_sets, "trials": 2, "storage": f"sqlite:///{store}/optuna.db", **small}
    first = stages.run(stage, **shared)
    (store / "other").mkdir()
    monkeypatch.chdir(store / "other")
    second = stages.run(stage, **shared)
    assert tracking.children(second) == [] and len(tracking.children(first)) == 2
    assert tracking.registered_by(second) == tracking.registered_by(first), "the same weights are one version"
    assert tracking.fetch(f"runs:/{second}/per_item.parquet").exists()
