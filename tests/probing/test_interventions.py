import numpy as np
import pandas as pd
import pytest
from scipy import stats

from conceptcaps.probing import interventions
from conceptcaps.probing.heat_map import heat_map, marks


def pairs(count=12):
    rows = [("piano", number, side) for number in range(count) for side in ("with", "without")]
    return pd.DataFrame(
        {"pair_id": [f"{tag}-{number}" for tag, number, _ in rows], "tag": [tag for tag, _, _ in rows],
         "side": [side for _, _, side in rows]}
    )  # fmt: skip


def test_changes_are_with_less_without_whatever_the_order():
    table, generator = pairs(), np.random.default_rng(0)
    logits = generator.normal(size=(24, 2))
    changed = interventions.changes(table, logits, ["a", "b"])
    np.testing.assert_allclose(changed[["a", "b"]], logits[::2] - logits[1::2])
    order = generator.permutation(24)
    moved = interventions.changes(table.iloc[order], logits[order], ["a", "b"])
    pd.testing.assert_frame_equal(
        moved.sort_values("pair_id", ignore_index=True), changed.sort_values("pair_id", ignore_index=True)
    )


def test_mean_interval_and_p_are_scipys_paired_t():
    logits = np.random.default_rng(0).normal(size=(24, 1)) + np.tile([[0.8], [0.0]], (12, 1))
    found = interventions.test(interventions.changes(pairs(), logits, ["a"])).iloc[0]
    expected = stats.ttest_rel(logits[::2, 0], logits[1::2, 0])
    low, high = expected.confidence_interval()
    assert found["p_value"] == pytest.approx(expected.pvalue)
    assert (found["change_low"], found["change_high"]) == pytest.approx((low, high))
    assert found["n_pairs"] == 12


def test_pairs_with_a_clip_that_could_not_be_read_are_left_out_and_broken_ones_refused():
    logits = np.ones((24, 1))
    logits[3] = np.nan
    assert len(interventions.changes(pairs(), logits, ["a"])) == 11
    with pytest.raises(ValueError, match="expected a clip with and one without in every pair, got with in piano-0"):
        interventions.changes(pairs().iloc[[0, 2, 3]], logits[:3], ["a"])
    with pytest.raises(ValueError, match="expected 5 pairs or more of a concept, got 4 pairs in all"):
        interventions.test(interventions.changes(pairs(4), logits[10:18], ["a"]))


def cells():
    """A significant cell of each kind, and one that is not significant."""
    table = pd.DataFrame(
        [(name, "t", "layer", score, effect, significant, True) for name, score, effect, significant in (
            ("same", 0.9, 1.0, True), ("other", 0.1, -1.0, True), ("unmoved", 0.8, 1.0, True),
            ("unknown", 0.8, 1.0, True), ("none", 0.5, 0.1, False),
        )],
        columns=["concept", "target", "layer", "score", "effect", "significant", "interpretable"],
    )  # fmt: skip
    known = pd.DataFrame(
        [
            (name, "t", 1.0, 0.9, 1.1, q)
            for name, q in (("same", 0.01), ("other", 0.01), ("unmoved", 0.5), ("none", 0.01))
        ],
        columns=["concept", "target", "change", "change_low", "change_high", "q_value"],
    )
    return table, known


def test_a_star_needs_both_and_a_contrary_change_is_said():
    table, known = cells()
    found = interventions.join(table, known).set_index("concept")
    assert found["confirmed"].to_dict() == {
        "same": True,
        "other": False,
        "unmoved": False,
        "unknown": False,
        "none": False,
    }
    assert found["contradicted"].to_dict() == {
        "same": False,
        "other": True,
        "unmoved": False,
        "unknown": False,
        "none": False,
    }
    assert marks(found).tolist() == ["★", "×", "", "☆", ""]
    alone = interventions.join(table, None)
    assert not alone["confirmed"].any() and marks(alone).tolist() == ["☆", "☆", "☆", "☆", ""]


def test_the_picture_says_what_its_marks_mean_and_shows_none_where_nothing_can_be_asked():
    table, known = cells()
    axes = heat_map(interventions.join(table, known), layer="layer").axes[0]
    assert [text.get_text() for text in axes.texts] == ["0.90★", "0.10×", "0.80", "0.80☆", "0.50"]
    assert all(mark in axes.get_title(loc="left") for mark in "★☆×")
    table["interpretable"] = False
    axes = heat_map(interventions.join(table, known), layer="layer").axes[0]
    assert not any(mark in text.get_text() for text in axes.texts for mark in "★☆×")
    assert "not interpretable" in axes.get_title(loc="left")
    table["interpretable"], table.loc[0, "score"] = True, np.nan
    axes = heat_map(interventions.join(table.assign(significant=False), known), layer="layer").axes[0]
    assert axes.texts[0].get_text() == "–" and "cannot be told" in axes.get_title(loc="left")


def test_summary_counts_concepts_that_raise_their_own_output():
    logits = np.random.default_rng(0).normal(size=(24, 2)) * 0.1 + np.tile([[1.0, 0.0], [0.0, 0.0]], (12, 1))
    table = interventions.test(interventions.changes(pairs(), logits, ["piano", "other"]))
    found = interventions.summarise(table, {"piano": ("piano",), "other": ("flute",)})
    assert found["interventions/own_rises_share"] == 1 and found["interventions/pairs"] == 12
    assert interventions.figure(table).axes[0].get_xlabel() == "output"
