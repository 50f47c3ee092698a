import numpy as np
import pytest
from scipy import stats

from conceptcaps.probing.contrasts import balance, contrast, shuffled


def draw(generator, count=240, covariates=20, effect=0.0):
    """A label that follows two of its covariates, and an outcome that follows these and, by ``effect``, the label."""
    others = (generator.random((count, covariates)) < 0.3).astype(float)
    label = (others[:, 0] + others[:, 1] + generator.normal(size=count) > 1).astype(float)
    outcome = 2 * others[:, 0] + others[:, 1] + generator.standard_t(4, size=count) + effect * label
    return label, others, outcome


def test_effect_is_the_coefficient_of_ordinary_least_squares():
    label, others, outcome = draw(np.random.default_rng(0), effect=0.7)
    made = contrast(label, others, np.arange(240), sets=3, resamples=3, seed=[0])
    design = np.column_stack([np.ones(240), label, others])
    assert made.own @ outcome == pytest.approx(np.linalg.lstsq(design, outcome, rcond=None)[0][1])
    assert made.own @ label == pytest.approx(1) and made.own.sum() == pytest.approx(0)
    np.testing.assert_allclose(made.own @ others, 0, atol=1e-12)
    np.testing.assert_allclose(made.null @ others, 0, atol=1e-12)  # covariates are held in the null too
    assert (balance(label, others > 0, made, [f"t{k}" for k in range(20)])["adjusted"].abs() < 1e-12).all()


@pytest.mark.parametrize(("count", "covariates"), [(240, 20), (150, 50), (60, 10)])
def test_p_values_of_confounded_labels_without_effect_are_uniform(count, covariates):
    generator = np.random.default_rng(1)
    found, unadjusted = [], []
    for trial in range(300):
        label, others, outcome = draw(generator, count, covariates)
        made = contrast(label, others, np.arange(count), sets=60, resamples=2, seed=[trial])
        found.append(made.p_values(outcome[:, None]).item())
        unadjusted.append(stats.ttest_ind(outcome[label == 1], outcome[label == 0]).pvalue)
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert np.mean(np.array(unadjusted) < 0.05) > 0.3  # what adjustment is for


def test_p_values_are_welchs_the_paired_tests_and_the_dense_formulas():
    generator = np.random.default_rng(7)
    label, nothing = np.repeat([1.0, 0.0], 32), np.empty((64, 0))
    outcomes = generator.normal(size=(64, 5)) * (1 + label[:, None])
    made = contrast(label, nothing, np.arange(64), sets=2, resamples=0, seed=[0])
    welch = stats.ttest_ind(outcomes[:32], outcomes[32:], equal_var=False)
    np.testing.assert_allclose(made.p_values(outcomes), 2 * stats.t.sf(np.abs(welch.statistic), 62), rtol=1e-9)
    pairs = contrast(np.tile([1.0, 0.0], 32), nothing, np.arange(64) // 2, sets=2, resamples=0, seed=[0])
    paired = stats.ttest_rel(outcomes[::2], outcomes[1::2]).pvalue
    np.testing.assert_allclose(pairs.p_values(outcomes), paired, rtol=1e-9)

    for blocks in (np.arange(60), np.repeat(np.arange(12), 5)):  # tracks of their own, and sets with both labels
        label, others = (generator.random(60) < 0.4).astype(float), generator.random((60, 4)) < 0.4
        made = contrast(label, others, blocks, sets=2, resamples=0, seed=[0])
        kept = made.units.of_clip >= 0
        means = blocks[kept, None] == np.unique(blocks[kept]) if made.units.within else np.ones((60, 1))
        design = np.column_stack([label[kept], others[kept][:, made.covariates], means]).astype(float)
        hat = design @ np.linalg.pinv(design)
        left, weights = np.eye(len(hat)) - hat, np.linalg.pinv(design)[0]
        share = weights**2 / (1 - np.diag(hat))
        form = left @ np.diag(share) @ left
        freedom = np.trace(form) ** 2 / np.trace(form @ form)
        t = weights @ outcomes[:60][kept] / np.sqrt(share @ (left @ outcomes[:60][kept]) ** 2)
        np.testing.assert_allclose(made.p_values(outcomes[:60]), 2 * stats.t.sf(np.abs(t), freedom), rtol=1e-6)


def test_p_values_are_what_very_many_permutations_come_to():
    """Of labels that are as often 1 as 0 and clips that vary alike, where permutations are right."""
    generator = np.random.default_rng(8)
    others = (generator.random((64, 6)) < 0.3).astype(float)
    outcomes = generator.normal(size=(64, 40)) + 0.5 * np.repeat([1.0, 0.0], 32)[:, None]
    made = contrast(np.repeat([1.0, 0.0], 32), others, np.arange(64), sets=40_000, resamples=0, seed=[0])
    drawn = (np.abs(made.null @ outcomes) >= np.abs(made.own @ outcomes)).mean(0)
    exact = made.p_values(outcomes)
    apart = np.log(drawn / exact)[(exact > 0.005) & (exact < 0.2)]
    assert len(apart) > 15 and abs(apart.mean()) < 0.1 and np.abs(apart).max() < 0.5


@pytest.mark.parametrize(("share", "spread"), [(0.15, 2.0), (0.15, 0.5), (0.5, 2.0)])
def test_clips_with_the_concept_may_vary_more_or_less_than_others(share, spread):
    """Permuted labels take both to vary alike: with 15 % that vary twice as much 16 % of nothing had p below .05."""
    generator, found = np.random.default_rng(9), []
    for trial in range(400):
        others = (generator.random((200, 10)) < 0.3).astype(float)
        label = (generator.random(200) < share).astype(float)
        outcome = others[:, 0] + generator.normal(size=200) * np.where(label, spread, 1)
        made = contrast(label, others, np.arange(200), sets=2, resamples=0, seed=[trial])
        found.append(made.p_values(outcome[:, None]).item())
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(np.array(found) < 0.01) <= 0.025


def test_a_quantity_that_never_moves_has_no_p_value():
    made = contrast(np.repeat([1.0, 0.0], 8), np.empty((16, 0)), np.arange(16), sets=2, resamples=0, seed=[0])
    p = made.p_values(np.column_stack([np.zeros(16), np.full(16, 0.1), np.repeat([1.0, 0.0], 8)]))
    assert np.isnan(p[:2]).all() and p[2] == 0


def test_intervals_hold_the_truth_as_often_as_they_say():
    generator, hits = np.random.default_rng(2), []
    for trial in range(300):
        label, others, outcome = draw(generator, effect=0.5)
        made = contrast(label, others, np.arange(240), sets=2, resamples=200, seed=[trial])
        low, high = np.quantile(made.bootstrap @ outcome, [0.025, 0.975])
        hits.append(low <= 0.5 <= high)
    assert np.mean(hits) == pytest.approx(0.95, abs=0.035)


def test_clips_of_one_track_count_once():
    """Ten copies of each clip are no more evidence than one: taken for independent, they would be."""
    generator, found, naive = np.random.default_rng(3), [], []
    for trial in range(200):
        label, others, outcome = draw(generator, 60, 4)
        label, others, outcome = (np.repeat(values, 10, axis=0) for values in (label, others, outcome))
        for groups, p in ((np.repeat(np.arange(60), 10), found), (np.arange(600), naive)):
            made = contrast(label, others, groups, sets=40, resamples=2, seed=[trial])
            p.append(made.p_values(outcome[:, None]).item())
    assert np.mean(np.array(found) < 0.05) < 0.1
    assert np.mean(np.array(naive) < 0.05) > 0.4


def test_pairs_are_compared_inside_of_themselves():
    generator, found, hits = np.random.default_rng(4), [], []
    for trial in range(300):
        label, pairs = np.tile([1.0, 0.0], 30), np.repeat(np.arange(30), 2)
        piece = np.repeat(5 * generator.normal(size=30), 2)  # what differs between pieces is far larger
        outcome = piece + generator.normal(size=60) + 0.6 * label
        made = contrast(label, np.zeros((60, 0)), pairs, sets=60, resamples=200, seed=[trial])
        assert made.own @ outcome == pytest.approx((outcome[::2] - outcome[1::2]).mean())
        rest = outcome - 0.6 * label
        found.append(made.p_values(rest[:, None]).item())
        low, high = np.quantile(made.bootstrap @ outcome, [0.025, 0.975])
        hits.append(low <= 0.6 <= high)
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(hits) == pytest.approx(0.95, abs=0.05)


def test_what_covariates_explain_cannot_be_told():
    generator = np.random.default_rng(5)
    others = (generator.random((100, 4)) < 0.5).astype(float)
    made = contrast(others[:, 0].copy(), others, np.arange(100), sets=2, resamples=2, seed=[0])
    assert not made.identifiable and made.explained == pytest.approx(1) and made.information == pytest.approx(0)
    assert not made.own.any()
    few = contrast(np.r_[np.ones(4), np.zeros(4)], np.zeros((8, 0)), np.arange(8), sets=2, resamples=2, seed=[0])
    assert few.information == 8 and not few.identifiable


def test_clips_on_no_side_have_no_weight_and_order_does_not_count():
    generator = np.random.default_rng(6)
    label, others, outcome = draw(generator, effect=1.0)
    label[::7] = np.nan
    made = contrast(label, others, np.arange(240), sets=2, resamples=2, seed=[0])
    assert not made.own[::7].any() and not made.null[:, ::7].any() and not made.bootstrap[:, ::7].any()
    order = generator.permutation(240)
    moved = contrast(label[order], others[order], np.arange(240)[order], sets=2, resamples=2, seed=[0])
    assert moved.own @ outcome[order] == pytest.approx(made.own @ outcome)


def test_shuffled_labels_move_as_in_the_test():
    generator = np.random.default_rng(0)
    pairs = np.arange(40) // 2
    label = np.tile([1.0, 0.0], 20)
    moved = shuffled(label, pairs, generator)
    assert (np.bincount(pairs, moved) == 1).all() and (moved != label).any()
    tracks = np.arange(40) // 4
    label = np.repeat([1.0, 0.0], 20)
    moved = shuffled(label, tracks, generator)
    assert all(len(set(moved[tracks == track])) == 1 for track in range(10)) and moved.sum() == 20


def test_what_cannot_be_told_is_not_called_balanced():
    label = np.repeat([1.0, 0.0], 20)
    covariates = (label == 1)[:, None]
    made = contrast(label, covariates, np.arange(40), sets=2, resamples=2, seed=[0])
    table = balance(label, covariates, made, ["piano"])
    assert not made.identifiable and table["difference"].item() == 1 and np.isnan(table["adjusted"].item())
