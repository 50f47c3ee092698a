import mlflow
import pandas as pd
import pytest
import torch

from conceptcaps import tracking
from conceptcaps.probing import classifier
from entrypoints import run_tcav
from tests import toy_clips

COLUMNS = {
    "concept", "target", "layer", "score", "p_value", "q_value", "significant", "low", "high", "cav_accuracy",
    "random_mean", "n_concept", "n_target",
}  # fmt: skip


def flags(audio, model, **changes):
    values = {
        "classifier": model, "audio": audio, "taxonomy": "builtin", "concepts": "auto", "targets": "auto",
        "layers": "auto", "random_sets": 4, "seed": 0,
    } | changes  # fmt: skip
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


@pytest.fixture
def audio(store):
    return toy_clips.folder(store / "audio", toy_clips.rows(60, seconds=3.1))


@pytest.fixture
def model(store):
    """A classifier with random weights."""
    torch.manual_seed(0)
    classifier.save(classifier.GenreCNN(toy_clips.GENRES, frames=48), store / "model")
    return store / "model"


def scores_of(run_id):
    return pd.read_parquet(tracking.fetch(f"runs:/{run_id}/tcav/scores.parquet"))


def test_scores_every_concept_target_and_layer(store, audio, model):
    run_tcav.main(flags(audio, model))
    run_id = tracking.latest("run_tcav")
    scores = scores_of(run_id)
    assert COLUMNS <= set(scores.columns)
    assert {"piano", "bass"} <= set(scores["concept"])
    assert set(scores["target"]) == set(toy_clips.GENRES)
    assert list(scores["layer"].unique()) == ["conv2", "conv3", "conv4"]
    assert scores["score"].between(0, 1).all()
    assert (scores["significant"] == (scores["q_value"] <= 0.05)).all()
    metrics = tracking.metrics(run_id)
    assert metrics["tcav/tests"] == len(scores)
    assert metrics["tcav/significant_share"] == pytest.approx(scores["significant"].mean())
    assert metrics["tcav/cav_accuracy_mean"] == pytest.approx(scores["cav_accuracy"].mean())
    assert tracking.fetch(f"runs:/{run_id}/figures/tcav_conv4.png").stat().st_size > 0
    runs = pd.read_parquet(tracking.fetch(f"runs:/{run_id}/tcav/runs.parquet"))
    assert len(runs) == len(scores) * (4 + 4 * 5)
    assert len(mlflow.get_run(run_id).inputs.dataset_inputs) == 1


def test_the_same_again_is_the_same_and_chosen_names_hold(store, audio, model):
    chosen = {"concepts": "piano, bass", "targets": "metal", "layers": "conv4,embedding"}
    tables = []
    for _ in range(2):
        run_tcav.main(flags(audio, model, **chosen))
        tables.append(scores_of(tracking.latest("run_tcav")))
    pd.testing.assert_frame_equal(*tables)
    assert tables[0][["concept", "target", "layer"]].to_numpy().tolist() == [
        [concept, "metal", layer] for concept in ("piano", "bass") for layer in ("conv4", "embedding")
    ]


@pytest.mark.slow
def test_probes_musicnn(store, audio):
    chosen = {"concepts": "piano,bass", "targets": "piano,classical", "layers": "cnn1"}
    run_tcav.main(flags(audio, "musicnn_mtt", **chosen))
    scores = scores_of(tracking.latest("run_tcav"))
    assert len(scores) == 4
    assert scores.set_index("concept")["cav_accuracy"]["piano"].min() > 0.8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": "conv9"}, "expected a layer among conv1, conv2, conv3, conv4"),
        ({"targets": "polka"}, "expected targets among techno, classical, metal"),
        ({"concepts": "viola"}, "expected 5 clips or more with 'viola'"),
        ({"classifier": "musicnn_xyz"}, "expected a local path"),
    ],
)
def test_refuses(store, audio, model, changes, message):
    with pytest.raises(ValueError, match=message):
        run_tcav.main(flags(audio, changes.pop("classifier", model), **changes))
