"""Linear probes on planted data: what a layer holds, what it does not, and what other tags give away."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from conceptcaps.probing import linear_probes
from conceptcaps.probing.linear_probes import Task, probe
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()
GENERATOR = np.random.default_rng(0)
NOISE = GENERATOR.normal(size=(160, 40))


def task(count=80, tests=30, others=None, concept="piano"):
    """Pairs of a clip with and one without, ``tests`` of them in the test part."""
    label = np.tile([True, False], count)
    test = np.repeat(np.arange(count) >= count - tests, 2)
    groups = np.repeat(np.arange(count), 2)
    others = np.zeros((2 * count, 0), dtype=bool) if others is None else others
    return Task(concept, np.arange(2 * count), label, test, groups, others)


def planted(shift, own):
    points = NOISE[: len(own.label)].copy()
    points[:, 7] += shift * own.label
    return points


def test_a_layer_that_holds_the_concept_tells():
    own = task()
    held = probe(planted(4.0, own), own, seed=0)
    assert held["auc"] > 0.95 and held["low"] > 0.85 and held["cv_auc"] > 0.9
    assert held["selectivity"] == pytest.approx(held["auc"] - held["permuted_auc"])
    assert abs(held["permuted_auc"] - 0.5) < 0.1 and held["selectivity"] > 0.4
    assert (held["n_train"], held["n_test"], held["error"]) == (100, 60, "")


def test_a_layer_that_does_not_hold_the_concept_is_at_chance():
    own = task(count=40, tests=15)
    noises = [np.random.default_rng(seed).normal(size=(80, 10)) for seed in range(12)]
    missed = pd.DataFrame([probe(noise, own, seed=0) for noise in noises])
    assert missed[["auc", "cv_auc", "permuted_auc"]].mean().sub(0.5).abs().max() < 0.1
    assert abs(missed["selectivity"].mean()) < 0.1
    assert ((missed["low"] < 0.5) & (missed["high"] > 0.5)).sum() >= 9


def test_a_concept_beneath_stronger_noise_is_found_by_its_direction():
    own = task()
    points = planted(3.0, own)
    points[:, :5] *= 1000  # units do not matter
    assert probe(points, own, seed=0)["auc"] == pytest.approx(probe(planted(3.0, own), own, seed=0)["auc"])


def test_it_is_scikit_learn_s_logistic_regression_on_standardised_activations():
    own = task()
    points = planted(1.0, own)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=10 / points.shape[1], tol=1e-10, max_iter=5000))
    model.fit(points[~own.test], own.label[~own.test])
    scores = model.decision_function(points[own.test])
    assert probe(points, own, seed=0)["auc"] == pytest.approx(roc_auc_score(own.label[own.test], scores), abs=1e-9)


def test_more_columns_than_clips_are_learnt_in_their_span():
    own = task(count=12, tests=4)
    wide = GENERATOR.normal(size=(24, 500))
    train = ~own.test
    space = linear_probes._span(wide, train)
    ours = linear_probes._scores(space, own.label, train, own.test)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=10 / 500, tol=1e-10, max_iter=5000))
    theirs = model.fit(wide[train], own.label[train]).decision_function(wide[own.test])
    assert space.shape == (24, 15) and np.allclose(ours, theirs, atol=1e-5)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Scores of two normals one apart: AUC .76. Clips of a group are alike, which a bootstrap over clips would miss."""
    truth, hits = 0.7602, 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        label = np.repeat(np.arange(40) % 2 == 0, 3)
        groups = np.repeat(np.arange(40), 3)
        scores = np.repeat(generator.normal(size=40), 3) + label
        low, high = linear_probes._interval(scores, label, groups, generator)
        hits += low <= truth <= high
    assert 180 <= hits <= 199


def test_the_interval_lies_around_the_figure_where_the_sides_of_a_pair_are_easiest():
    """Twins whose own pair is always right, five of them; other pairs are right by half."""
    middles = []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        label, groups = np.tile([True, False], 5), np.repeat(np.arange(5), 2)
        scores = np.repeat(generator.normal(size=5), 2) + 1e-3 * label
        low, high = linear_probes._interval(scores, label, groups, generator)
        assert linear_probes.auc(scores, label) == pytest.approx(0.6) and low <= 0.6 <= high
        middles.append((low + high) / 2)
    assert abs(np.mean(middles) - 0.6) < 0.03


def test_the_test_part_teaches_nothing():
    own = task()
    points = planted(2.0, own)
    shuffled = Task("piano", own.clips, own.label ^ own.test, own.test, own.groups, own.others)
    one, other = probe(points, own, seed=0), probe(points, shuffled, seed=0)
    assert other["auc"] == pytest.approx(1 - one["auc"]) and other["cv_auc"] == one["cv_auc"]


def test_neither_order_nor_other_concepts_move_a_figure():
    own = task()
    points = planted(1.5, own)
    assert probe(points, own, seed=0) == probe(points, own, seed=0)
    order = np.random.default_rng(3).permutation(len(points))
    there = probe(points[order], own.only(order), seed=0)
    assert there["auc"] == pytest.approx(probe(points, own, seed=0)["auc"])


@pytest.mark.parametrize(
    ("points", "own", "message"),
    [
        (np.ones((160, 4)), task(), "got a constant layer"),
        (np.full((160, 4), 0.1) + 1e-12 * NOISE[:, :4], task(), "got a constant layer"),
        (np.where(np.arange(160)[:, None] < 17, np.nan, NOISE), task(), "17 of 160 clips with NaN or infinity"),
        (NOISE[:12], task(count=6, tests=3), "expected 4 train clips or more with and without, got 3 and 3"),
        (NOISE[:20], task(count=10, tests=1), "expected 2 test clips or more with and without, got 1 and 1"),
    ],
)
def test_what_cannot_be_told_is_nan_and_says_why(points, own, message):
    made = probe(points, own, seed=0)
    assert message in made["error"]
    assert np.isnan([made[name] for name in ("auc", "low", "high", "permuted_auc", "selectivity", "cv_auc")]).all()


def test_a_few_clips_that_cannot_be_read_are_left_out():
    own = task()
    points = planted(4.0, own)
    points[:5] = np.nan
    made = probe(points, own, seed=0)
    assert made["n_train"] == 95 and made["auc"] > 0.95 and not made["error"]


def designed(rows):
    columns = ["concept", "positive", "part", "group", "present"]
    return pd.DataFrame(rows, columns=columns)


def test_tasks_are_the_designed_concepts_with_the_tags_that_are_free_to_sound():
    rows = [
        ("slow tempo", True, "train", "a", ["piano", "slow tempo"]),
        ("slow tempo", False, "train", "a", ["fast tempo", "violin"]),
        ("violin", True, "test", "b", ["violin", "rock"]),
        ("violin", False, "test", "b", ["rock"]),
    ]
    slow, violin = linear_probes.tasks(designed(rows), taxonomy=TAXONOMY)
    assert (slow.concept, slow.clips.tolist(), slow.label.tolist()) == ("slow tempo", [0, 1], [True, False])
    assert violin.clips.tolist() == [2, 3] and violin.test.all() and len(set(violin.groups)) == 1
    differ = slow.others[0] != slow.others[1]
    assert slow.others.shape[1] <= len(TAXONOMY.tags) - 4 and differ.sum() >= 3  # piano, violin and what they imply
    assert not (violin.others[0] != violin.others[1]).any()  # strings go with a violin
    with pytest.raises(ValueError, match="expected concepts/ of design_concepts, got clips without concept, part"):
        linear_probes.tasks(designed(rows).drop(columns=["concept", "part"]), taxonomy=TAXONOMY)
