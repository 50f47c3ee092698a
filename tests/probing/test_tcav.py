import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from conceptcaps.probing import activations, tcav
from conceptcaps.probing.cav import fit_normal
from conceptcaps.probing.tcav import Slopes
from tests.probing.nets import Deep, Linear, concept, encoded, windows


def slopes_of(network, points, *, layers, targets, own=60):
    read = activations.read(
        network, encoded(points), windows=windows, layers=layers, wanted=[list(targets.values())] * len(points)
    )
    everyone = np.arange(len(points))
    found = {
        name: Slopes(
            {layer: read.slopes[layer][output][:own] for layer in layers},
            {layer: read.slopes[layer][output] for layer in layers},
            everyone,
        )
        for name, output in targets.items()
    }
    return read.points, found


def planted(count=160, width=8):
    """Clips of which concept 0, 1 and 2 lift one hidden unit each by 2; concept 3 is heard in none."""
    generator = np.random.default_rng(0)
    has = generator.random((count, 4)) < 0.3
    points = 0.3 * generator.normal(size=(count, width))
    points[:, :3] += 2 * has[:, :3]
    return points, [concept(f"c{k}", has[:, k], np.delete(has, k, axis=1)) for k in range(4)]


def run_planted(sets=100, seed=0, **changes):
    points, concepts = planted()
    read, slopes = slopes_of(Linear(), points, layers=["hidden"], targets={"up": 0, "down": 1})
    return tcav.test(read, slopes, concepts, **{"random_sets": sets, "seed": seed} | changes)


def test_known_weights_give_scores_of_0_and_1_and_effects_in_logits():
    scores = run_planted()
    found = scores.set_index(["concept", "target"])
    assert found["score"]["c0", "up"] == 1 and found["score"]["c0", "down"] == 0
    assert found["score"]["c1", "up"] == 0 and found["score"]["c1", "down"] == 1
    assert found["significant"][["c0", "c1"]].all()
    assert not found["significant"][["c2", "c3"]].any()  # heard but unused; meaningless
    assert found["effect"]["c0", "up"] == pytest.approx(2, abs=0.15)  # unit 0 is lifted by 2, and weighs 1
    assert (scores["q_value"] >= scores["p_value"]).all()
    assert (scores["low"] <= scores["score"]).all() and (scores["score"] <= scores["high"]).all()
    assert ((scores["effect_low"] <= scores["effect"]) & (scores["effect"] <= scores["effect_high"])).all()


def test_effect_is_the_true_change_where_clips_vary_more_in_one_direction_than_in_another():
    """Anisotropic clips: a classifier's normal turns out of the direction in which they vary, an effect does not.

    The logit leans on just that direction, so that along the normal its change has the wrong sign.
    """
    generator = np.random.default_rng(0)
    mixing = np.diag([6.0, 0.4, 1.0, 1.0])
    mixing[0, 1] = 3.0  # the first direction leaks into the second
    step, weights = np.array([2.0, 0.3, 0.0, 0.0]), np.array([1.0, 0.6, 0.2, 0.0])  # what the concept adds; the logit
    network = nn.Sequential(nn.Identity(), nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        network[1].weight[:] = torch.tensor(weights)
    truth = float(step @ weights)
    effects, hits, wrong = [], [], []
    for trial in range(30):
        has = generator.random(400) < 0.5
        points = generator.normal(size=(400, 4)) @ mixing + has[:, None] * step
        read, slopes = slopes_of(network, points, layers=["0"], targets={"logit": 0})
        scores = tcav.test(read, slopes, [concept("c", has)], random_sets=20, seed=trial)
        effects.append(scores["effect"][0])
        hits.append(scores["effect_low"][0] <= truth <= scores["effect_high"][0])
        normal = fit_normal(points[has][:150], points[~has][:150], seed=0).direction
        wrong.append((normal @ weights) * (normal @ step) < 0)
    assert np.mean(effects) == pytest.approx(truth, abs=0.4)
    assert np.mean(hits) >= 0.85
    assert np.mean(wrong) > 0.9


def test_confounded_concepts_are_not_called_used():
    """A concept that goes with a used one, and is itself not used, stands out only while the other is not held."""
    generator, held, not_held = np.random.default_rng(1), [], []
    for trial in range(40):
        used = generator.random(200) < 0.5
        follower = np.where(generator.random(200) < 0.8, used, generator.random(200) < 0.5)
        points = generator.normal(size=(200, 8))
        points[:, 0] += 2 * used
        points[:, 2] += 2 * follower
        read, slopes = slopes_of(Linear(), points, layers=["hidden"], targets={"up": 0})
        for others, found in ((used[:, None], held), (None, not_held)):
            scores = tcav.test(read, slopes, [concept("f", follower, others)], random_sets=50, seed=trial)
            found.append(scores["p_value"][0])
    assert np.mean(np.array(held) < 0.05) <= 0.125
    assert np.mean(np.array(not_held) < 0.05) == 1


def test_a_logit_that_bends_both_ways_is_not_said_to_move_by_what_its_clips_come_to():
    """The layer holds the concept plainly; the logit rises along it in one clip in two and falls in the others."""
    generator, found = np.random.default_rng(3), []
    for trial in range(200):
        has = np.repeat([True, False], 32)
        points = {"layer": generator.normal(size=(64, 4)) + 3 * has[:, None]}
        slopes = {"layer": np.zeros((30, 4))}
        slopes["layer"][:, 0] = generator.choice([-1.0, 1.0], 30)
        targets = {"t": Slopes(slopes, slopes, np.arange(32, 62))}
        scores = tcav.test(points, targets, [concept("c", has)], random_sets=2, seed=trial, intervals=False)
        found.append(scores["p_value"].item())
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.035)


def test_an_effect_that_is_asked_at_a_single_clip_cannot_be_told():
    has = np.repeat([True, False], 10)
    slopes = {"layer": np.ones((1, 2))}
    points = {"layer": np.random.default_rng(0).normal(size=(20, 2)) + has[:, None]}
    scores = tcav.test(
        points, {"t": Slopes(slopes, slopes, np.array([15]))}, [concept("c", has)], random_sets=2, seed=0
    )
    assert np.isnan(scores["p_value"].item()) and not scores["significant"].item()


def test_meaningless_concepts_are_significant_no_more_often_than_they_may():
    generator = np.random.default_rng(1)
    points = generator.normal(size=(120, 16)) * np.linspace(3, 0.1, 16)
    read, slopes = slopes_of(Deep(), points, layers=["first"], targets={f"t{k}": k for k in range(3)})
    random = [concept(f"r{k}", np.isin(np.arange(120), generator.choice(120, 25, replace=False))) for k in range(60)]
    scores = tcav.test(read, slopes, random, random_sets=60, seed=0)
    assert 0.01 <= (scores["p_value"] < 0.05).mean() <= 0.1
    assert scores["significant"].mean() <= 0.02


def test_permuted_labels_find_nothing():
    found = [run_planted(permuted=True, seed=seed) for seed in range(20)]
    assert np.mean([scores["significant"].mean() for scores in found]) <= 0.05
    assert found[0]["p_value"].notna().all()


def test_row_order_seed_and_other_concepts():
    points, concepts = planted()
    read, slopes = slopes_of(Linear(), points, layers=["hidden"], targets={"up": 0})
    settings = {"random_sets": 10, "seed": 0}
    scores = tcav.test(read, slopes, concepts, **settings)
    pd.testing.assert_frame_equal(scores, tcav.test(read, slopes, concepts, **settings))
    alone = tcav.test(read, slopes, concepts[1:2], **settings)
    assert alone["p_value"][0] == pytest.approx(scores["p_value"][1])
    other = tcav.test(read, slopes, concepts, **(settings | {"seed": 1}))
    assert not np.allclose(other["random_mean"], scores["random_mean"])
    for name in ("effect", "p_value", "q_value"):  # no draw decides what is significant
        np.testing.assert_array_equal(other[name], scores[name])


def test_a_draw_of_the_clips_asked_moves_effects_of_networks_that_bend():
    generator = np.random.default_rng(2)
    has = generator.random(80) < 0.5
    points = generator.normal(size=(80, 16)) + has[:, None]
    for network, layer, bends in ((Deep(), "first", True), (Linear(16), "hidden", False)):
        read, slopes = slopes_of(network, points, layers=[layer], targets={"t": 0})
        one, same, other = (
            tcav.test(read, slopes, [concept("c", has)], random_sets=2, seed=0, redrawn=draw)["effect"].item()
            for draw in (1, 1, 2)
        )
        assert one == same and (abs(one - other) > 1e-9) == bends


def test_sensitivities_are_asked_at_clips_that_lack_the_concept():
    """A logit that saturates where the concept sounds: at its own class's clips nothing moves any more."""

    class Saturating(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Identity()

        def forward(self, inputs):
            return torch.relu(1 - self.hidden(inputs)[:, :1]) * -1

    has = np.arange(100) < 50
    points = 0.05 * np.random.default_rng(0).normal(size=(100, 4))
    points[:, 0] += 2 * has
    read, slopes = slopes_of(Saturating(), points, layers=["hidden"], targets={"logit": 0}, own=50)
    scores = tcav.test(read, slopes, [concept("c", has)], random_sets=50, seed=0)
    assert scores["effect_own"][0] == 0 and scores["score"][0] == 0
    assert scores["effect"][0] == pytest.approx(2, abs=0.1) and scores["significant"][0]


def test_what_cannot_be_told_is_nan_and_no_star():
    points, concepts = planted()
    twin = concept("twin", concepts[0].label, concepts[0].label[:, None] > 0)
    read, slopes = slopes_of(Linear(), points, layers=["hidden"], targets={"up": 0})
    dead = {"dead": np.zeros_like(read["hidden"]), **read}
    flat = {
        name: Slopes(
            one.own | {"dead": one.own["hidden"]}, one.elsewhere | {"dead": one.elsewhere["hidden"]}, one.clips
        )
        for name, one in slopes.items()
    }
    scores = tcav.test(dead, flat, [concepts[0], twin], random_sets=5, seed=0).set_index(["concept", "layer"])
    assert scores["p_value"][["twin"]].isna().all() and np.isnan(scores["score"]["c0", "dead"])
    assert scores["significant"]["c0", "hidden"] and not scores["significant"]["c0", "dead"]
    _, accuracy = tcav.cavs(dead, [concepts[0]], seed=0)
    assert accuracy["cav_accuracy"].isna().tolist() == [True, False]
    assert accuracy["cav_accuracy"][1] > 0.95 and accuracy["random_accuracy"][1] < 0.7


def test_refuses_empty_questions():
    points, concepts = planted()
    read, slopes = slopes_of(Linear(), points, layers=["hidden"], targets={"up": 0})
    with pytest.raises(ValueError, match="expected at least 2 random sets"):
        tcav.test(read, slopes, concepts, random_sets=1, seed=0)
    with pytest.raises(ValueError, match="a concept, a target and a layer, got 5 sets, 0 concepts"):
        tcav.test(read, slopes, [], random_sets=5, seed=0)
