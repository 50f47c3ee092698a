import base64
import json

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from conceptcaps.probing import classifier, clips
from conceptcaps.tags.taxonomy import Taxonomy, tag_set_id
from tests import toy_clips

TAXONOMY = Taxonomy.load()
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
    settings = {"epochs": 15, "batch_size": 8, "learning_rate": 3e-3, "patience": 15, "seed": 0} | changes
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
    kept = classifier.evaluate(model, spectra, (labels + 1) % 3)["nll"].mean()
    assert kept == pytest.approx(nll[best], abs=1e-5)


def test_batch_size_of_evaluation_changes_nothing():
    model, (spectra, _) = fit(epochs=1), toy_parts(70)
    whole = classifier.log_probabilities(model, spectra)
    single = torch.cat([classifier.log_probabilities(model, clip[None]) for clip in spectra])
    torch.testing.assert_close(whole, single, rtol=1e-4, atol=1e-5)


def test_save_and_load_give_the_same_answers(tmp_path):
    model, (spectra, _) = fit(epochs=1), toy_parts()
    classifier.save(model, tmp_path / "model")
    classifier.save(model, tmp_path / "model")
    loaded = classifier.load(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (loaded.genres, loaded.frames, loaded.training) == (GENRES, 24, False)
    torch.testing.assert_close(
        classifier.log_probabilities(loaded, spectra), classifier.log_probabilities(model, spectra)
    )
    (tmp_path / "model" / "config.json").write_text(json.dumps({"offset": 1}))
    with pytest.raises(ValueError, match="expected a classifier's config with genres and frames"):
        classifier.load(tmp_path / "model")
    with pytest.raises(ValueError, match="config.json"):
        classifier.load(tmp_path)


def test_layers_have_the_names_and_shapes_that_are_documented():
    model = classifier.GenreCNN(GENRES, frames=32).eval()
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
        classifier.predict(classifier.GenreCNN(GENRES, frames=32), pd.DataFrame(frame))


def test_fit_refuses_empty_parts():
    empty = (torch.empty(0, 24, 96), torch.empty(0, dtype=torch.long))
    with pytest.raises(ValueError, match="expected training and validation clips, got 24 and 0"):
        fit(validation=empty)


def test_stereo_and_other_rates_are_heard_alike():
    sound = toy_clips.waveform(["classical"], seed=1, seconds=1.0)
    mono = classifier.features(toy_clips.flac(sound))["log_mel"]
    stereo = classifier.features(toy_clips.flac(np.stack([sound, sound], axis=1)))["log_mel"]
    np.testing.assert_allclose(stereo, mono, atol=1e-5)
    time = np.arange(44_100) / 44_100
    tones = [np.sin(2 * np.pi * 440 * time[:rate] * 44_100 / rate).astype("f4") / 2 for rate in (44_100, 16_000)]
    found = [
        classifier.features(toy_clips.flac(tone, rate=rate))["log_mel"]
        for tone, rate in zip(tones, (44_100, 16_000), strict=True)
    ]
    np.testing.assert_allclose(found[0][5:25], found[1][5:25], atol=0.05)


# --- genres and splits ---


def test_genre_of_a_clip_is_its_most_specific_one():
    assert clips.genre_of(["electronic", "techno", "piano"], taxonomy=TAXONOMY) == "techno"
    assert clips.genre_of(["jazz", "pop"], taxonomy=TAXONOMY) == "pop"  # the taxonomy's order
    assert clips.genre_of(["piano"], taxonomy=TAXONOMY) is None
    assert clips.genre_of([], taxonomy=TAXONOMY) is None
    assert clips.genre_of(["hiphop"], taxonomy=TAXONOMY) == "hiphop"  # a folder of GTZAN


def test_rare_genres_join_their_parents_or_are_left_out():
    genres = ["techno"] * 3 + ["house"] * 2 + ["dance music"] + ["pop"] * 6 + ["ska"] * 2 + [None]
    classes = clips.merge_rare(genres, taxonomy=TAXONOMY, min_clips=6)
    assert classes == ["dance music", "pop"]
    of = {genre: clips.class_of(genre, classes=classes, taxonomy=TAXONOMY) for genre in set(genres)}
    assert of == {
        **dict.fromkeys(["techno", "house", "dance music"], "dance music"),
        "pop": "pop",
        **dict.fromkeys(["ska", None]),
    }
    assert clips.merge_rare(genres, taxonomy=TAXONOMY, min_clips=3) == ["dance music", "pop", "techno"]
    with pytest.raises(
        ValueError, match="expected two genres or more with 7 training clips each, got pop .6., electronic"
    ):
        clips.merge_rare(genres, taxonomy=TAXONOMY, min_clips=7)


def test_no_tag_set_stands_in_two_splits_and_shares_hold():
    numbers = range(2000)
    columns = {
        "id": [str(number) for number in numbers],
        "sounds": [["pop" if number % 2 else "jazz"] for number in numbers],
        "group": [tag_set_id([f"tag set {number // 2}"]) for number in numbers],
    }
    frame = pd.DataFrame(columns)
    found = clips.label(frame, taxonomy=TAXONOMY, min_clips=5, seed=0)
    assert (found.rows.groupby("group")["split"].nunique() == 1).all()
    shares = found.rows["split"].value_counts(normalize=True)
    for name, share in clips.SPLITS.items():
        assert shares[name] == pytest.approx(share, abs=0.04)
    part = clips.label(frame.iloc[::3].reset_index(drop=True), taxonomy=TAXONOMY, min_clips=5, seed=0).rows
    assert (part.set_index("id")["split"] == found.rows.set_index("id")["split"][part["id"]]).all()
    other = clips.label(frame, taxonomy=TAXONOMY, min_clips=5, seed=1).rows
    assert (other["split"] != found.rows["split"]).any()


def test_what_sounds_is_what_was_realised_or_added(tmp_path):
    frame = toy_clips.rows(6, seconds=0.1)
    frame.at[0, "unrealised"] = [frame["tags"][0][0]]
    frame.at[1, "added"] = ["drums"]
    read, unreadable = clips.read(toy_clips.folder(tmp_path / "audio", frame))
    found = read.set_index("id")["sounds"]
    assert unreadable == []
    assert list(read["id"]) == sorted(frame["id"])
    assert found[frame["id"][0]] == frame["tags"][0][1:]
    assert "drums" in found[frame["id"][1]]
    assert found[frame["id"][2]] == frame["tags"][2]


def test_gtzan_folder_lists_what_it_cannot_read(tmp_path):
    for at, genre in enumerate(("blues", "hiphop")):
        (tmp_path / genre).mkdir()
        for number in range(2):
            sound = toy_clips.waveform([genre], seed=number + 10 * at, seconds=0.2)
            soundfile.write(tmp_path / genre / f"{genre}.0000{number}.{'wav' if number else 'au'}", sound, 22_050)
    (tmp_path / "blues" / "blues.00054.wav").write_bytes(b"broken")
    read, unreadable = clips.read(tmp_path)
    assert unreadable == ["blues/blues.00054.wav"]
    assert [tags[0] for tags in read["sounds"]] == ["blues", "blues", "hiphop", "hiphop"]
    assert read["group"].nunique() == len(read)
    with pytest.raises(ValueError, match="expected manifest.json or <genre>"):
        clips.read(tmp_path / "blues")


def test_assess_counts_the_majority_and_gives_an_interval():
    spectra, labels = toy_parts(30)
    model = fit(epochs=8)
    parts = {"train": (spectra, labels), "validation": (spectra[:9], labels[:9]), "test": (spectra[9:], labels[9:])}
    metrics, per_item, figure = classifier.assess(model, parts, seed=0)
    assert metrics["test/accuracy_majority"] == pytest.approx(1 / 3)
    assert metrics["test/accuracy_low"] <= metrics["test/accuracy"] <= metrics["test/accuracy_high"]
    assert metrics["val/nll"] == pytest.approx(per_item["val/nll"].mean())
    assert len(per_item) == 9
    assert figure.axes[0].get_xlabel() == "predicted genre"
