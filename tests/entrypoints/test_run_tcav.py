import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import soundfile

from conceptcaps import tracking
from conceptcaps.probing import cav, clips, experiment, registered
from conceptcaps.workspace import shards
from entrypoints import intervene, run_tcav
from tests import toy_clips

COLUMNS = {
    "concept", "target", "layer", "score", "low", "high", "random_mean", "effect", "effect_low", "effect_high",
    "effect_own", "p_value", "q_value", "significant", "confirmed", "contradicted", "cav_accuracy",
    "random_accuracy", "n_concept", "n_target", "interpretable", "change", "change_q",
}  # fmt: skip
CNN = "tests.probing.user_models:cnn"
PAIRS = toy_clips.SCHEMA
for name in ("pair_id", "tag", "side"):
    PAIRS = PAIRS.append(pa.field(name, pa.string()))


def flags(audio, **changes):
    values = {
        "classifier": CNN, "audio": audio, "concepts": "piano,bass", "layers": "first,second", "random_sets": 20,
    } | changes  # fmt: skip
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


@pytest.fixture
def audio(store):
    return toy_clips.folder(store / "audio", toy_clips.rows(60, seconds=2.0))


@pytest.fixture
def pairs(store):
    """Every genre with and without ``piano`` or ``bass``, all else equal."""
    rows = []
    for number in range(24):
        tag, genre = ("piano", "bass")[number % 2], toy_clips.GENRES[number % 3]
        for side, tags in (("with", [genre, tag]), ("without", [genre])):
            clip = toy_clips.flac(toy_clips.waveform(tags, seed=number, seconds=2.0))
            rows.append(
                {"id": f"{number}-{side}", "tags": tags, "caption": "", "audio": {"bytes": clip, "path": "a.flac"}}
                | {"seed": number, "unrealised": [], "added": [], "sample_rate": toy_clips.RATE, "duration": 2.0}
                | {"pair_id": str(number), "tag": tag, "side": side}
            )
    settings = {"schema": PAIRS, "shard_size": 16, "settings": {}, "description": "pairs"}
    shards.map_shards(lambda part: part, pd.DataFrame(rows), out=str(store / "pairs"), **settings)
    return store / "pairs"


def table(run_id, name="tcav/scores"):
    return pd.read_parquet(tracking.fetch(f"runs:/{run_id}/{name}.parquet"))


def test_of_many_clips_those_of_the_targets_are_read_and_some_others(store, audio, monkeypatch):
    monkeypatch.setattr(experiment, "_CLASSES", 30)
    target_audio = toy_clips.folder(store / "classes", toy_clips.rows(90, seconds=1.0))
    run_tcav.main(flags(audio, target_audio=target_audio, targets=toy_clips.GENRES[0], random_sets=5))
    scores = table(tracking.latest("run_tcav"))
    many = sum(toy_clips.GENRES[0] in tags for tags in toy_clips.rows(90, seconds=1.0)["tags"])
    assert (scores["n_target"] == min(many, 50)).all()
    assert 0 < scores["target"].nunique() == 1
    local = table(tracking.latest("run_tcav"), "tcav/local")
    assert local["id"].nunique() == min(many, 50)


def test_scores_every_concept_target_and_layer_beside_controls(store, audio):
    run_tcav.main(flags(audio, concepts="auto"))
    run_id = tracking.latest("run_tcav")
    scores = table(run_id)
    assert COLUMNS <= set(scores.columns)
    assert {"piano", "bass"} <= set(scores["concept"]) and set(scores["target"]) == set(toy_clips.GENRES)
    assert list(scores["layer"].unique()) == ["first", "second"]
    assert scores["score"].between(0, 1).all() and not scores["confirmed"].any()
    assert (scores["q_value"][scores["significant"]] <= 0.05).all()
    metrics = tracking.metrics(run_id)
    assert metrics["tcav/tests"] == len(scores)
    assert metrics["tcav/significant_share"] == pytest.approx(scores["significant"].mean())
    assert {"control/random_weights", "control/permuted_labels", "control/own_targets"} <= set(metrics)
    assert metrics["control/permuted_labels"] <= 0.05 and metrics["control/random_weights"] <= 0.2
    assert tracking.fetch(f"runs:/{run_id}/figures/tcav_second.png").stat().st_size > 0
    cavs = cav.load(tracking.fetch(f"runs:/{run_id}/tcav/cavs.safetensors"))
    assert len(cavs) == len(scores[["concept", "layer"]].drop_duplicates())
    local = table(run_id, "tcav/local")
    cell = local[(local[["concept", "target", "layer"]] == ["piano", "techno", "first"]).all(axis=1)]
    own = scores.set_index(["concept", "target", "layer"])["effect_own"]["piano", "techno", "first"]
    assert len(cell) == 20 and cell["effect"].mean() == pytest.approx(own)
    balance = table(run_id, "tcav/balance")
    assert balance[balance["concept"] == "piano"]["adjusted"].abs().max() < 0.02
    assert len(mlflow.get_run(run_id).inputs.dataset_inputs) == 1


def test_the_same_again_is_the_same(store, audio):
    runs = []
    for _ in range(2):
        run_tcav.main(flags(audio, targets="metal"))
        runs.append(tracking.latest("run_tcav"))
    first, second = runs
    pd.testing.assert_frame_equal(table(first), table(second))
    assert table(first)[["concept", "target", "layer"]].to_numpy().tolist() == [
        [concept, "metal", layer] for concept in ("piano", "bass") for layer in ("first", "second")
    ]


def test_interventions_decide_which_cells_are_confirmed(store, audio, pairs):
    intervene.main(["--classifier", CNN, "--pairs", str(pairs)])
    source = tracking.latest("intervene")
    found = table(source, "interventions")
    assert found[["concept", "target"]].to_numpy().tolist() == [
        [concept, target] for concept in ("bass", "piano") for target in toy_clips.GENRES
    ]
    changes = table(source, "changes")
    assert changes[changes["concept"] == "piano"]["metal"].mean() == pytest.approx(
        found.set_index(["concept", "target"])["change"]["piano", "metal"]
    )
    assert tracking.metrics(source)["interventions/pairs"] == 24
    run_tcav.main(flags(audio, interventions=f"runs:/{source}/interventions.parquet"))
    scores = table(tracking.latest("run_tcav"))
    assert scores["change"].notna().all()
    same = np.sign(scores["effect"]) == np.sign(scores["change"])
    real = scores["significant"] & (scores["change_q"] <= 0.05)
    assert (scores["confirmed"] == (real & same)).all() and (scores["contradicted"] == (real & ~same)).all()
    assert scores["confirmed"].any()


def test_pairs_can_be_the_concepts_clips(store, pairs):
    run_tcav.main(flags(pairs, concepts="auto", targets="techno"))
    scores = table(tracking.latest("run_tcav"))
    assert set(scores["concept"]) == {"bass", "piano"} and (scores["n_concept"] == 12).all()
    assert (scores["information"] == 24).all()


def test_classes_may_have_clips_of_their_own(store, audio):
    folder = store / "genres"
    for at, genre in enumerate(toy_clips.GENRES):
        (folder / genre).mkdir(parents=True)
        for number in range(6):
            sound = toy_clips.waveform([genre], seed=number + 100 * at, seconds=2.0)
            soundfile.write(folder / genre / f"{number}.ogg", sound, toy_clips.RATE)
    run_tcav.main(flags(audio, target_audio=folder))
    run_id = tracking.latest("run_tcav")
    assert (table(run_id)["n_target"] == 6).all()
    assert 0.5 <= tracking.metrics(run_id)["domain_gap/second"] <= 1
    assert set(table(run_id, "tcav/local")["id"]) == {
        f"{genre}/{n}.ogg" for genre in toy_clips.GENRES for n in range(6)
    }


@pytest.mark.slow
def test_probes_musicnn(store, audio):
    run_tcav.main(flags(audio, classifier="musicnn_mtt", targets="piano,classical", layers="cnn1"))
    scores = table(tracking.latest("run_tcav"))
    assert len(scores) == 4
    assert scores.set_index("concept")["cav_accuracy"]["piano"].min() > 0.8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": "conv9"}, "expected a layer among first, second"),
        ({"layers": "first,first"}, "expected each of the layers once, got 'first' again"),
        ({"targets": "polka"}, "expected targets among techno, classical, metal"),
        ({"targets": "metal,metal"}, "expected each of the targets once, got 'metal' again"),
        ({"concepts": "viola"}, "expected 5 clips or more with 'viola'"),
        ({"concepts": "piano,piano"}, "expected each of the concepts once, got 'piano' again"),
        ({"classifier": "musicnn_xyz"}, "expected a local path"),
    ],
)
def test_refuses(store, audio, changes, message):
    with pytest.raises(ValueError, match=message):
        run_tcav.main(flags(audio, **changes))


def test_a_class_is_not_asked_at_clips_that_the_classifier_learnt_from(store, audio, monkeypatch):
    """A folder of recordings does not say which clips were its training; the classifier does."""
    known = clips.read(audio).rows
    learnt = frozenset(known["group"][:30])
    probe, interpretable, _ = registered.probe(CNN, fetch=lambda uri: None)
    monkeypatch.setattr(registered, "probe", lambda name, fetch: (probe, interpretable, learnt))
    run_tcav.main(flags(audio, target_audio=audio))
    asked = set(table(tracking.latest("run_tcav"), "tcav/local")["id"])
    assert asked and not asked & set(known["id"][known["group"].isin(learnt)])
