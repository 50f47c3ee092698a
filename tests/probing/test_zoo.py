"""Encoders by name, one table of them, its figures and its picture."""

import json

import numpy as np
import pandas as pd
import pytest

from conceptcaps.errors import InputError
from conceptcaps.probing import clips, encoders, linear_probes, zoo
from conceptcaps.probing.encoders import Encoder
from conceptcaps.probing.linear_probes import Task
from conceptcaps.probing.probe_map import probe_map
from tests import tiny_audio, toy_clips

PAIRS = 40
LABEL = np.tile([True, False], PAIRS)
NOISE = np.random.default_rng(1).normal(size=(2 * PAIRS, 12))


def task(concept, others):
    test = np.repeat(np.arange(PAIRS) % 3 == 0, 2)
    return Task(concept, np.arange(2 * PAIRS), LABEL, test, np.repeat(np.arange(PAIRS), 2), others)


def encoder(name, **layers):
    def read(_clips, seed):
        return layers if seed is None else dict.fromkeys(layers, NOISE[:, ::-1] ** 2)

    return Encoder(name, name, read)


def broken(_clips, _seed):
    raise InputError("expected weights, got none")


@pytest.fixture(scope="module")
def table():
    """``held`` in the second layer; ``confounded`` as well, but there another tag goes with it."""
    fair = np.random.default_rng(2).random((2 * PAIRS, 6)) < 0.5
    found = [task("held", fair), task("confounded", np.column_stack([fair, LABEL]))]
    deep = NOISE + 4 * LABEL[:, None]
    good, dead = encoder("models/good", first=NOISE, second=deep, third=NOISE[::-1].copy()), Encoder("dead", "", broken)
    flat = encoder("flat", only=np.ones((2 * PAIRS, 3)))
    return zoo.run([good, dead, flat], [None] * 2 * PAIRS, found, random_weights=True, seed=0)


def test_the_table_says_which_layer_holds_what_and_what_other_tags_give(table):
    assert list(table.columns) == list(zoo.COLUMNS) and len(table) == 10
    cells = table.set_index(["encoder", "layer", "concept"])
    held = cells.loc[("models/good", "second", "held")]
    assert held["auc"] > 0.95 and held["selectivity"] > 0.4 and held["random_auc"] < 0.6
    assert abs(held["text_auc"] - 0.5) < 0.25
    assert cells.loc[("models/good", "second", "confounded"), "text_auc"] == 1
    assert cells.loc[("models/good", "first"), "auc"].max() < 0.75


def test_what_cannot_be_used_keeps_its_rows_with_a_reason(table):
    failed = table[table["auc"].isna()]
    assert failed.groupby("encoder")["error"].first().to_dict() == {
        "dead": "expected weights, got none",
        "flat": "expected activations that differ between clips, got a constant layer",
    }
    assert (table["error"][table["auc"].notna()] == "").all()
    with pytest.raises(
        ValueError, match="expected a layer and a concept that can be probed, got none: expected weights"
    ):
        zoo.run([Encoder("dead", "", broken)], [None] * 80, [task("held", NOISE > 0)], random_weights=False, seed=0)


def test_the_best_layer_is_chosen_by_training_clips(table):
    metrics, best = zoo.summarise(table)
    assert best == {"good": "second"}
    part = table[(table["encoder"] == "models/good") & (table["layer"] == "second")]
    assert metrics["good/best_auc"] == pytest.approx(part["auc"].mean())
    assert (metrics["probes/cells"], metrics["probes/failed"]) == (10, 4)
    swapped = table.assign(cv_auc=table["cv_auc"].where(table["layer"] != "third", 1.1))
    assert zoo.summarise(swapped)[1] == {"good": "third"}


def test_the_picture_shows_every_cell(table):
    figure = probe_map(table)
    axes = figure.axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["first", "second", "third", "all", "only", "other tags alone"]
    shown = [text.get_text() for text in axes.texts]
    assert shown.count("–") == 4 and f"{table['auc'][0]:.2f}" in shown
    bold = [text.get_text() for text in axes.texts if text.get_weight() == "bold" and text.get_rotation() == 0]
    assert bold == [f"{table[(table['layer'] == 'second') & (table['concept'] == 'held')]['auc'].iloc[0]:.2f}"]


@pytest.fixture
def sounds(tmp_path):
    return clips.read(toy_clips.folder(tmp_path / "clips", toy_clips.rows(6, seconds=1.0)))


def find(names, tmp_path):
    return encoders.named(names, fetch=lambda uri: tmp_path / uri, cache=tmp_path / "cache")


def test_what_a_clip_gives_does_not_depend_on_its_neighbours(tmp_path, sounds):
    folder = tiny_audio.hubert(tmp_path / "hubert")
    (found,) = find(str(folder), tmp_path)
    whole = found.read(sounds, None)
    chosen = np.array([False, True, False, False, True, False])
    (fresh,) = encoders.named(str(folder), fetch=lambda uri: folder, cache=tmp_path / "other")
    part = fresh.read(sounds.only(chosen), None)
    assert list(whole) == ["layer0", "layer1", "layer2"] and whole["layer1"].shape == (6, 16)
    assert all((whole[layer][chosen] == part[layer]).all() for layer in whole)
    random = found.read(sounds, 1)
    assert all((random[layer] == found.read(sounds, 1)[layer]).all() for layer in random)
    assert not np.allclose(random["layer2"], found.read(sounds, 2)["layer2"])
    assert not np.allclose(random["layer2"], whole["layer2"])
    assert all((found.read(sounds, None)[layer] == whole[layer]).all() for layer in whole)


def test_layers_stand_from_the_input_on(tmp_path, sounds):
    folder = tiny_audio.wav2vec2(tmp_path / "deep", num_hidden_layers=11)
    (found,) = find(str(folder), tmp_path)
    assert list(found.read(sounds, None)) == [f"layer{number}" for number in range(12)]


def test_networks_of_tcav_are_encoders_too(tmp_path, sounds):
    (found,) = find("tests.probing.user_models:cnn", tmp_path)
    points = found.read(sounds, None)
    assert {layer: values.shape for layer, values in points.items()} == {"first": (6, 12), "second": (6, 16)}
    assert not np.allclose(found.read(sounds, 1)["second"], points["second"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("musicnn_xyz", "expected encoders by commas: musicnn_mtt"),
        ("musicnn mtt", "expected encoders by commas: musicnn_mtt"),
        ("musicnn_mtt,musicnn_mtt", "expected each of the encoders once"),
        ("no.such:module", "expected module:function"),
        ("empty", "expected a folder or Hub id of an audio model"),
    ],
)
def test_what_is_no_encoder_is_refused_at_once(tmp_path, monkeypatch, names, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        find(names, tmp_path)


def test_a_config_of_another_kind_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps({"model_type": "of nobody"}))
    with pytest.raises(ValueError, match="expected a folder or Hub id of an audio model, got"):
        find("other", tmp_path)


def test_designed_sets_are_probed_end_to_end(sounds):
    rows = sounds.rows.assign(concept="piano", positive=[True, False] * 3, part="train")
    (own,) = linear_probes.tasks(pd.DataFrame(rows), taxonomy=linear_probes.Taxonomy.load())
    assert own.fault().startswith("expected 4 train clips or more")
