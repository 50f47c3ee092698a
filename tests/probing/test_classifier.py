import base64
import json

import numpy as np
import pandas as pd
import pytest
import torch

from conceptcaps.probing import classifier, evaluation, heads
from tests import toy_clips

GENRES = ("classical", "metal", "techno")


def toy_parts(count=24, frames=24):
    """Spectra whose genre is the band that is loud."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    spectra = 0.1 * torch.randn(count, frames, 96, generator=generator)
    for row, label in enumerate(labels):
        spectra[row, :, 30 * label : 30 * label + 20] += 1
    return spectra, labels


def fit(parts=None, validation=None, **changes):
    parts = parts or toy_parts()
    settings = {
        "head": "cnn",
        "epochs": 15,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "weight_decay": 0.01,
        "patience": 15,
        "seed": 0,
    }
    settings |= changes
    return classifier.fit(train=parts, validation=validation or parts, genres=GENRES, **settings)


def test_overfits_what_can_be_told_apart():
    model = fit()
    scores = classifier.evaluate(model, *toy_parts())
    assert scores["correct"].all()
    assert scores["nll"].mean() < 0.1


def test_seed_decides_everything():
    first, again, other = fit(epochs=2), fit(epochs=2), fit(epochs=2, seed=1)
    for name, value in first.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)
    assert not torch.equal(first.output.weight, other.output.weight)


def test_fit_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    fit(epochs=1)
    torch.testing.assert_close(torch.rand(2), expected)


def test_keeps_the_best_epoch_and_stops_after_patience():
    """Validation labels are wrong, so that learning makes it worse and the first epochs are best."""
    spectra, labels = toy_parts()
    history = {}
    model = fit(
        validation=(spectra, (labels + 1) % 3),
        epochs=40,
        patience=3,
        on_epoch=lambda at, found: history.update({at: found}),
    )
    nll = [found["val/nll"] for found in history.values()]
    best = int(np.argmin(nll))
    assert len(nll) == best + 4
    assert set(history[0]) == {"train/nll", "val/nll", "val/accuracy"}
    model.temperature.fill_(1)
    kept = classifier.evaluate(model, spectra, (labels + 1) % 3)["nll"].mean()
    assert kept == pytest.approx(nll[best], abs=1e-5)


def test_batch_size_of_evaluation_changes_nothing():
    model, (spectra, _) = fit(epochs=1), toy_parts(70)
    whole = classifier.log_probabilities(model, spectra)
    single = torch.cat([classifier.log_probabilities(model, clip[None]) for clip in spectra])
    torch.testing.assert_close(whole, single, rtol=1e-4, atol=1e-5)


def test_save_and_load_give_the_same_answers(tmp_path):
    model, (spectra, _) = fit(epochs=1), toy_parts()
    classifier.save(model, tmp_path / "model", head="cnn", interpretable=True, learnt=["b", "a", "b"])
    classifier.save(model, tmp_path / "model", head="cnn", interpretable=True, learnt=["b", "a", "b"])
    loaded = classifier.load(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert classifier.learnt(tmp_path / "model") == {"a", "b"}
    assert (loaded.genres, loaded.length, loaded.training) == (GENRES, 24, False)
    torch.testing.assert_close(
        classifier.log_probabilities(loaded, spectra), classifier.log_probabilities(model, spectra)
    )
    (tmp_path / "model" / "learnt.json").unlink()
    with pytest.raises(ValueError, match="expected a classifier's learnt.json"):
        classifier.learnt(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(json.dumps({"offset": 1}))
    with pytest.raises(ValueError, match="expected a classifier's head, genres, length, interpretable"):
        classifier.load(tmp_path / "model")
    with pytest.raises(ValueError, match="config.json"):
        classifier.load(tmp_path)


def test_features_on_the_disk_are_those_in_memory_and_fit_the_same(tmp_path):
    sounds = [toy_clips.flac(toy_clips.waveform(["rock"], seed=n, seconds=1.0 + n / 10)) for n in range(5)]
    stored = classifier.features(sounds, head="cnn", cache=tmp_path)
    arrays = [heads.features_cnn(sound)["features"] for sound in sounds]
    assert (len(stored), stored.length) == (5, len(arrays[2]))
    whole = classifier.stack(arrays, length=stored.length)
    torch.testing.assert_close(stored[torch.tensor([3, 0, 3])], whole[[3, 0, 3]], rtol=0, atol=0)
    rows = pd.DataFrame(
        {
            "class": ["metal", "techno", "metal", "techno", "techno"],
            "split": ["train", "test", "train", "validation", "train"],
        }
    )
    parts = classifier.parts(stored, rows, classes=GENRES, permute=False, seed=0)
    inputs, labels = parts["train"]
    torch.testing.assert_close(inputs[torch.arange(3)], whole[[0, 2, 4]], rtol=0, atol=0)
    assert labels.tolist() == [1, 1, 2]
    on_disk, in_memory = fit(parts["train"], epochs=2), fit((whole[[0, 2, 4]], labels), epochs=2)
    for name, value in on_disk.state_dict().items():
        torch.testing.assert_close(in_memory.state_dict()[name], value, rtol=0, atol=0)


def test_inputs_are_standardised_by_their_own_mean_and_spread():
    spectra, _ = toy_parts()
    model = heads.GenreCNN(GENRES, length=24)
    model.standardise(spectra.split(7))
    torch.testing.assert_close(model.mean, spectra.mean((0, 1)))
    torch.testing.assert_close(model.scale, spectra.std((0, 1)))


def test_layers_have_the_names_and_shapes_that_are_documented():
    model = heads.GenreCNN(GENRES, length=32).eval()
    names = [name for name, _ in model.named_children()]
    assert {"conv1", "conv2", "conv3", "conv4", "embedding", "output"} <= set(names)
    assert model.conv4(model.conv3(model.conv2(model.conv1(torch.zeros(2, 1, 32, 96))))).shape == (2, 128, 2, 6)
    assert model(torch.zeros(2, 32, 96)).shape == (2, 3)


def test_predict_takes_base64_and_does_not_depend_on_its_neighbours():
    model = fit(epochs=1)
    sounds = [toy_clips.waveform([genre], seed=0, seconds=1.0) for genre in toy_clips.GENRES]
    coded = [base64.b64encode(toy_clips.flac(sound)).decode() for sound in sounds]
    together = classifier.predict(model, pd.DataFrame({"audio": coded}))
    assert list(together.columns) == ["genre", "probability"]
    assert together["probability"].between(1 / 3, 1).all()
    alone = classifier.predict(model, pd.DataFrame({"audio": coded[1:2]}))
    assert alone["genre"][0] == together["genre"][1]
    assert alone["probability"][0] == pytest.approx(together["probability"][1], abs=1e-5)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"sound": ["x"]}, "expected column audio"),
        ({"audio": ["no base64!"]}, "expected base64 text in row 0"),
        ({"audio": [None]}, "expected base64 text in row 0"),
        ({"audio": [base64.b64encode(b"no audio").decode()]}, "audio"),
    ],
)
def test_predict_refuses(frame, message):
    with pytest.raises(ValueError, match=message):
        classifier.predict(heads.GenreCNN(GENRES, length=32), pd.DataFrame(frame))


def test_fit_refuses_empty_parts():
    empty = (torch.empty(0, 24, 96), torch.empty(0, dtype=torch.long))
    with pytest.raises(ValueError, match="expected training and validation clips, got 24 and 0"):
        fit(validation=empty)


def test_stereo_and_other_rates_are_heard_alike():
    sound = toy_clips.waveform(["classical"], seed=1, seconds=1.0)
    mono = heads.features_cnn(toy_clips.flac(sound))["features"]
    stereo = heads.features_cnn(toy_clips.flac(np.stack([sound, sound], axis=1)))["features"]
    np.testing.assert_allclose(stereo, mono, atol=1e-5)
    time = np.arange(44_100) / 44_100
    tones = [np.sin(2 * np.pi * 440 * time[:rate] * 44_100 / rate).astype("f4") / 2 for rate in (44_100, 16_000)]
    found = [
        heads.features_cnn(toy_clips.flac(tone, rate=rate))["features"]
        for tone, rate in zip(tones, (44_100, 16_000), strict=True)
    ]
    np.testing.assert_allclose(found[0][5:25], found[1][5:25], atol=0.05)


def test_evaluation_counts_the_majority_and_gives_an_interval():
    spectra, labels = toy_parts(30)
    model = fit(epochs=8)
    parts = {"train": (spectra, labels), "validation": (spectra[:9], labels[:9]), "test": (spectra[9:], labels[9:])}
    metrics, per_item, figure = evaluation.evaluate(model, parts)
    assert metrics["test/accuracy_majority"] == pytest.approx(1 / 3)
    assert metrics["test/accuracy_low"] <= metrics["test/accuracy"] <= metrics["test/accuracy_high"]
    assert metrics["val/nll"] == pytest.approx(per_item["val/nll"].mean())
    assert len(per_item) == 9
    assert figure.axes[0].get_xlabel() == "predicted genre"


def test_three_right_answers_are_no_proof():
    """All right, but a coin between two classes is that in one case of eight."""
    model, parts = fit(epochs=30), toy_parts(90)
    few = {"train": parts, "validation": parts, "test": (parts[0][:3], parts[1][:3])}
    metrics, _, _ = evaluation.evaluate(model, few)
    assert metrics["test/accuracy_low"] < 0.5 and not metrics["test/interpretable"]
