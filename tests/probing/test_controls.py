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


def drawn(count=400, outputs=40):
    """Logits of which the first knows the class; the others follow a property that clips of the class often have."""
    generator = np.random.default_rng(0)
    belongs = np.arange(count) < count // 4
    bright = 0.5 * belongs + generator.normal(size=count)
    logits = generator.normal(size=(count, outputs)) + bright[:, None] * generator.choice([-1, 1], outputs)
    logits[:, 0] = 2 * belongs + generator.normal(size=count)
    logits[-1] = np.nan
    return logits, belongs


def test_a_target_is_known_if_its_logit_tells_its_class_better_than_untaught_outputs_do():
    logits, belongs = drawn()
    told = np.column_stack([logits[:, :1], logits[:, 1:5]])
    outputs = {f"t{number}": number for number in range(5)}
    truth = dict.fromkeys(outputs, belongs.astype(float))
    found = controls.knows(told, outputs, truth, random=logits[:, 5:])
    assert found["known"].tolist() == [True, False, False, False, False]
    assert (found["auc_low"] > 0.5).sum() > 1  # what some property gives by chance
    assert found["auc"][0] > found["random_auc"][0] > 0.6 and found["auc_low"][0] < found["auc"][0]


def test_clips_of_which_the_class_is_not_known_are_not_held_against_it():
    """A third of the others are of the class too, and nobody knows: counted against it, they would hide the class."""
    logits, belongs = drawn()
    truth = belongs.astype(float)
    truth[200:300] = np.nan
    logits[200:300, 0] += 2
    told, counted = (
        controls.knows(logits[:, :1], {"t": 0}, {"t": each}, random=logits[:, 1:])["auc"].item()
        for each in (truth, belongs.astype(float))
    )
    assert told > 0.9 > counted + 0.1


def test_cells_of_a_random_network_count_as_often_as_its_outputs_pass_for_known():
    logits, belongs = drawn(outputs=21)
    belongs = belongs.astype(float)
    outputs = {f"t{number}": number for number in range(1, 21)}
    scores = table({name: np.ones(5) for name in outputs})
    scores.loc[::5, "significant"] = False
    truth = dict.fromkeys(outputs, belongs)
    assert 0 <= controls.random_share(scores, logits, outputs, truth) <= 0.1
    taught = controls.random_share(scores, logits, {"t1": 0, "t2": 2}, {"t1": belongs, "t2": belongs})
    assert taught == pytest.approx(4 / 10)  # of ten cells the significant ones of the output that knows the class
    other = np.random.default_rng(1).permutation(belongs)
    either = controls.random_share(scores, logits, {"t1": 0, "t2": 2}, {"t1": other, "t2": belongs})
    assert either == pytest.approx(2 / 10), "every output is asked for every class, whichever it is called after"
    assert np.isnan(controls.random_share(scores, logits[:, :1], {"t1": 0}, {"t1": belongs}))


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
