import numpy as np
import pandas as pd
import pytest

from conceptcaps.probing import controls


def table(effects, layer="a"):
    """Cells of ten concepts for each target, all with small q."""
    rows = [
        (f"c{row}", target, layer, effect) for target, values in effects.items() for row, effect in enumerate(values)
    ]
    frame = pd.DataFrame(rows, columns=["concept", "target", "layer", "effect"])
    return frame.assign(q_value=0.001, significant=True)


def test_effects_that_a_random_network_shows_too_are_not_significant():
    generator = np.random.default_rng(0)
    random = table({f"t{k}": 0.1 * generator.normal(size=200) for k in range(5)})
    real = table({"t": np.array([0.1, -0.15, 0.25, -3.0])})
    found = controls.against_random_network(real, random)
    assert found["significant"].tolist() == [False, False, True, True]
    assert found["random_effect"][0] == pytest.approx(0.196, abs=0.02)
    assert controls.random_share(random) == pytest.approx(0.05, abs=0.02)
    assert np.isnan(controls.random_share(random[random["target"] == "t0"]))


def test_a_network_knows_a_class_if_its_logit_does():
    logits = np.zeros((40, 2))
    logits[:20, 0] = 1 + np.arange(20)
    logits[:, 1] = np.random.default_rng(0).normal(size=40)
    logits[39] = np.nan
    belongs = {"good": np.arange(40) < 20, "bad": np.arange(40) < 20}
    found = controls.knows(logits, {"good": 0, "bad": 1}, belongs).set_index("target")
    assert found["auc"]["good"] == 1 and found["auc_low"]["good"] > 0.5 > found["auc_low"]["bad"]


def test_own_targets_count_concepts_not_cells():
    scores = table({"piano": [1.0], "slow": [-1.0], "flute": [1.0]})
    scores["concept"] = ["piano", "slow tempo", "flute"]
    scores = pd.concat([scores, scores.assign(layer="b")]).assign(contradicted=False)
    scores.loc[scores["concept"] == "flute", "significant"] = False
    meanings = {"piano": ("piano",), "slow": ("slow tempo",), "flute": ("flute",)}
    found = controls.own_targets(scores, meanings)
    assert found == {"control/own_targets": 3, "control/own_targets_found": 1, "control/own_targets_wrong": 1}


def test_stability_is_the_share_of_cells_that_stay():
    tables = [pd.DataFrame({"significant": marks}) for marks in ([1, 1, 0, 0], [1, 0, 1, 0])]
    assert controls.stability(tables) == pytest.approx(1 / 3)
    assert np.isnan(controls.stability([tables[0] * 0, tables[0] * 0]))


def test_domain_gap_is_chance_between_halves_and_plain_between_worlds():
    points = np.random.default_rng(0).normal(size=(300, 10))
    assert controls.domain_gap({"a": points[:150]}, {"a": points[150:]}, seed=0)["domain_gap/a"] == pytest.approx(
        0.5, abs=0.08
    )
    assert controls.domain_gap({"a": points[:150]}, {"a": points[150:] + 3}, seed=0)["domain_gap/a"] > 0.95
