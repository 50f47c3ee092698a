"""The encoder zoo as a stage: designed toy clips, tiny random models, and once the real musicnn."""

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from conceptcaps import tracking
from conceptcaps.probing import zoo
from conceptcaps.workspace import shards
from tests import stages, tiny_audio, toy_clips

CNN = "tests.probing.user_models:cnn"
SCHEMA = toy_clips.SCHEMA
for name, kind in (("concept", pa.string()), ("positive", pa.bool_()), ("part", pa.string()), ("group", pa.string())):
    SCHEMA = SCHEMA.append(pa.field(name, kind))


def rows(concept, *, count, seconds=1.2):
    found = []
    for number in range(count):
        genre, part = toy_clips.GENRES[number % 3], "test" if number % 4 == 3 else "train"
        for positive in (True, False):
            tags = [genre, concept] if positive else [genre]
            sound = toy_clips.waveform(tags, seed=number, seconds=seconds)
            name = f"{concept}-{number}-{positive}"
            found.append(
                {"id": name, "tags": tags, "caption": "", "audio": {"bytes": toy_clips.flac(sound), "path": "a.flac"}}
                | {"seed": number, "unrealised": [], "added": [], "sample_rate": toy_clips.RATE, "duration": seconds}
                | {"concept": concept, "positive": positive, "part": part, "group": f"{concept}-{number}"}
            )
    return found


@pytest.fixture
def concepts(store):
    """``piano`` and ``bass`` of 12 pairs each, ``sad`` of 2, which are too few."""
    frame = pd.DataFrame([*rows("piano", count=12), *rows("bass", count=12), *rows("sad", count=2)])
    settings = {"schema": SCHEMA, "shard_size": 16, "settings": {}, "description": "concepts"}
    shards.map_shards(lambda part: part, frame, out=str(store / "concepts"), **settings)
    return store / "concepts"


def table(run_id):
    return pd.read_parquet(tracking.fetch(f"runs:/{run_id}/probes.parquet"))


def test_probes_every_layer_of_a_zoo_of_tiny_models(store, concepts, monkeypatch):
    monkeypatch.setenv("CONCEPTCAPS_CACHE", str(store / "cache"))
    hubert, generator = tiny_audio.hubert(store / "hubert"), tiny_audio.musicgen(store / "musicgen")
    names = [CNN, str(hubert), str(generator)]
    run_id = stages.run("probe_encoders", encoders=",".join(names), concepts=concepts)
    found = table(run_id)
    assert list(found.columns) == list(zoo.COLUMNS)
    layers = found.groupby("encoder", sort=False)["layer"].unique().map(list).to_dict()
    assert layers == {CNN: ["first", "second"]} | {name: ["layer0", "layer1", "layer2"] for name in names[1:]}
    assert set(found["concept"]) == {"piano", "bass", "sad"} and len(found) == 24
    enough = found["concept"] != "sad"
    assert (found["n_train"][enough] == 18).all() and (found["n_test"][enough] == 6).all()
    assert found["error"][~enough].str.startswith("expected 4 train clips or more").all()
    assert found["auc"][~enough].isna().all() and found["auc"][enough].between(0, 1).all()
    assert found["random_auc"][enough].notna().all() and (found["error"][enough] == "").all()
    assert np.allclose(found["selectivity"][enough], (found["auc"] - found["permuted_auc"])[enough])
    assert (found["text_auc"][enough] == 0.5).all()  # both sides of a pair have the same other tags
    assert found.set_index(["layer", "concept"])["auc"]["first", "piano"] == 1  # a high tone in the spectrum

    metrics, tags = tracking.metrics(run_id), tracking.tags(run_id)
    assert metrics["probes/cells"] == 24 and metrics["probes/failed"] == 8
    assert metrics["hubert/auc"] == pytest.approx(found[enough & (found["encoder"] == str(hubert))]["auc"].mean())
    assert tags["best_layer.cnn"] in {"first", "second"} and tags["best_layer.musicgen"].startswith("layer")
    assert tracking.fetch(f"runs:/{run_id}/figures/probes.png").stat().st_size > 0
    assert len(mlflow.get_run(run_id).inputs.dataset_inputs) == 1
    again = stages.run("probe_encoders", encoders=",".join(names), concepts=concepts)
    pd.testing.assert_frame_equal(table(again), found)


def test_random_weights_can_be_left_out(store, concepts):
    found = table(stages.run("probe_encoders", encoders=CNN, concepts=concepts, random_weights=0))
    assert found["random_auc"].isna().all() and found["auc"].notna().any()


@pytest.mark.slow
def test_musicnn_hears_a_piano_in_toy_clips(store, concepts):
    run_id = stages.run("probe_encoders", encoders="musicnn_mtt", concepts=concepts, random_weights=0)
    found = table(run_id)
    expected = ["timbral", "temporal", "cnn1", "cnn2", "cnn3", "penultimate", "output"]
    assert found["layer"].unique().tolist() == expected
    assert found[found["concept"] == "piano"]["auc"].min() > 0.8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoders": "musicnn_xyz"}, "expected encoders by commas"),
        ({"encoders": f"{CNN},{CNN}"}, "expected each of the encoders once"),
        ({"encoders": "clap:nowhere.pt"}, "expected a local path"),
        ({"concepts": "nowhere"}, "expected a local path"),
    ],
)
def test_refuses(store, concepts, changes, message):
    with pytest.raises(ValueError, match=message):
        stages.run("probe_encoders", **({"encoders": CNN, "concepts": concepts} | changes))


def test_clips_that_were_not_designed_are_refused(store):
    folder = toy_clips.folder(store / "audio", toy_clips.rows(4, seconds=1.0))
    with pytest.raises(ValueError, match="expected concepts/ of design_concepts"):
        stages.run("probe_encoders", encoders=CNN, concepts=folder)
