"""Detectors are fitted on planted concepts: found where they are, refused where they are not, calibrated, as saved."""

import numpy as np
import pytest
from scipy.special import expit

from conceptcaps.listening import hearing, verification, verifier

COUNT, SIZE = 1200, 40


@pytest.fixture(scope="module")
def planted():
    """Features in which "clear" and "faint" are planted along two directions and "nothing" is not."""
    random = np.random.default_rng(0)
    truth = {name: random.integers(0, 2, COUNT).astype(float) for name in ("clear", "faint", "nothing")}
    features = random.normal(size=(COUNT, SIZE)).astype(np.float32)
    features[:, 0] += 3 * truth["clear"]
    features[:, 1] += 1.5 * truth["faint"]
    truth["rare"] = np.where(np.arange(COUNT) < 10, 1.0, 0.0)
    truth["clear"][:50] = np.nan  # unknown
    groups = [f"piece {row // 2}" for row in range(COUNT)]
    sources = ["a" if row < COUNT / 2 else "b" for row in range(COUNT)]
    return features, truth, groups, sources


@pytest.fixture(scope="module")
def fitted(planted):
    features, truth, groups, sources = planted
    return verifier.fit(features, truth, groups=groups, sources=sources, seed=0)


def test_what_is_there_is_found_and_what_is_not_is_refused(fitted):
    model, table, _ = fitted
    by_tag = table.set_index("tag")
    assert set(model.tags) == {"clear", "faint"}
    assert by_tag.loc["clear", "auc"] > 0.95 > by_tag.loc["faint", "auc"] > 0.75
    assert not by_tag.loc["nothing", "kept"] and by_tag.loc["nothing", "auc_low"] < 0.6
    assert "rare" not in by_tag.index, "ten clips are too few"
    assert (by_tag["auc_low"] < by_tag["auc_unseen"]).all()


def test_probabilities_are_calibrated_and_false_verdicts_are_rare_on_new_clips(fitted):
    random = np.random.default_rng(1)
    truth = random.integers(0, 2, 4000)
    features = random.normal(size=(4000, SIZE))
    features[:, 1] += 1.5 * truth
    model = fitted[0]
    found = model.probabilities(features)
    assert verification.calibration_error(found["faint"], truth) < 0.05
    verdicts = model.verdicts(found)["faint"].to_numpy()
    assert (verdicts[truth == 0] == "present").mean() < 0.08
    assert (verdicts[truth == 1] == "absent").mean() < 0.08
    assert (verdicts == "uncertain").any()


def test_a_font_that_gives_the_concept_away_does_not_help(planted):
    """Within one font the label follows a feature that means the opposite in the other."""
    features, _, groups, sources = planted
    font = np.array([1.0 if source == "a" else -1.0 for source in sources])
    labels = np.random.default_rng(2).integers(0, 2, COUNT).astype(float)
    cheat = features.copy()
    cheat[:, 3] += 3 * font * (2 * labels - 1)
    with pytest.raises(ValueError, match="none above it"):
        verifier.fit(cheat, {"cheat": labels}, groups=groups, sources=sources, seed=0)


def test_the_same_pieces_in_two_fonts_are_not_told_by_heart():
    """What was learnt of a piece in one font tells that piece in the other, and nothing else."""
    random = np.random.default_rng(3)
    pieces = random.normal(size=(60, 200))
    labels = random.integers(0, 2, 60).astype(float)
    features = np.concatenate([pieces, pieces + random.normal(0, 0.1, pieces.shape)]).astype(np.float32)
    groups, sources = [f"piece {row % 60}" for row in range(120)], ["a"] * 60 + ["b"] * 60
    with pytest.raises(ValueError, match="none above it"):
        verifier.fit(features, {"coin": np.tile(labels, 2)}, groups=groups, sources=sources, seed=0)


def test_a_tag_of_one_group_has_no_detector(planted):
    """Without it nothing is left to fit on, and a score of 0 would look like an answer."""
    features, truth, _, _ = planted
    alone = (np.arange(COUNT) < 30).astype(float)
    groups = ["one" if own else f"piece {row}" for row, own in enumerate(alone)]
    tags = {"alone": alone, "clear": truth["clear"]}
    model, table, _ = verifier.fit(features, tags, groups=groups, sources=["a"] * COUNT, seed=0)
    assert model.tags == ("clear",) and "alone" not in set(table["tag"])


def test_losses_are_of_held_out_scores(fitted, planted):
    _, _, losses = fitted
    assert losses.shape == (COUNT,) and np.nanmean(losses) < np.log(2)


def test_what_is_saved_is_what_was_fitted(fitted, planted, tmp_path):
    model = fitted[0]
    verifier.save(model, tmp_path)
    again = verifier.load(tmp_path)
    assert again.tags == model.tags and again.auc_low == model.auc_low
    np.testing.assert_array_equal(again.probabilities(planted[0]), model.probabilities(planted[0]))


def test_a_probability_is_the_calibrated_regression(fitted, planted):
    model, features = fitted[0], planted[0][:3].astype(float)
    hidden = (features - model.mean) @ model.components.T
    expected = expit(model.slope * (hidden @ model.weights.T + model.bias) + model.intercept)
    np.testing.assert_allclose(model.probabilities(features), expected)


def test_batch_does_not_matter(fitted, planted):
    model, features = fitted[0], planted[0]
    whole = model.probabilities(features)
    np.testing.assert_allclose(model.probabilities(features[7:9]), whole[7:9], rtol=1e-12)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.1, 0.2, 0.8, 0.9], (0.5, 0.5)), ([0.1, 0.7, 0.3, 0.9], (0.67, 0.33))],
)
def test_thresholds(values, expected):
    assert verifier.thresholds(values, [0, 0, 1, 1]) == pytest.approx(expected)


def test_a_clip_without_sound_has_no_verdict(fitted):
    model = fitted[0]
    found = model.probabilities(np.zeros((2, SIZE)))
    found.iloc[0] = np.nan
    assert (model.verdicts(found).iloc[0] == "none").all() and not (model.verdicts(found).iloc[1] == "none").any()


def test_of_many_clips_the_rotation_is_of_a_draw(planted, fitted, monkeypatch):
    features, truth, groups, sources = planted
    monkeypatch.setattr(verifier, "_LEARNT", 150)
    monkeypatch.setattr(verifier, "_AT_ONCE", 64)
    one, again = (verifier.fit(features, truth, groups=groups, sources=sources, seed=0)[0] for _ in range(2))
    np.testing.assert_array_equal(one.components, again.components)
    assert one.components.shape[0] == min(150, features.shape[1])
    assert one.auc["clear"] == pytest.approx(fitted[0].auc["clear"], abs=0.02)


def test_without_clips_there_is_nothing_to_hear(tmp_path):
    with pytest.raises(ValueError, match="expected at least one clip, got none"):
        hearing.features([], cache=tmp_path)


def test_what_stood_still_in_all_clips_tells_nothing_however_far_it_moves_later(tmp_path):
    generator = np.random.default_rng(0)
    features = generator.normal(size=(200, 6))
    features[:, 5] = 3 + 1e-9 * generator.normal(size=200)
    truth = {"piano": (features[:, 0] > 0).astype(float)}
    model, *_ = verifier.fit(features, truth, groups=[str(n) for n in range(200)], sources=["one"] * 200, seed=0)
    verifier.save(model, tmp_path / "verifier")
    moved = features.copy()
    moved[:, 5] += generator.normal(size=200) * 100
    for one in (model, verifier.load(tmp_path / "verifier")):
        near, far = (one.probabilities(rows)["piano"].to_numpy() for rows in (features, moved))
        assert ((near > 0.5) == (features[:, 0] > 0)).mean() > 0.95
        assert ((far > 0.5) == (near > 0.5)).mean() > 0.9


def test_clips_that_no_soundfont_played_are_refused():
    truth = {"piano": np.arange(60) % 2.0}
    with pytest.raises(ValueError, match="expected clips of a soundfont, .* got 3 of no soundfont"):
        verifier.fit(
            np.ones((60, 2)), truth, groups=[str(n) for n in range(60)], sources=["one"] * 57 + [None] * 3, seed=0
        )
