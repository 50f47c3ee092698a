from itertools import combinations

import joblib
import numpy as np
import pytest
from scipy.stats import chi2_contingency

from conceptcaps.tags import fidelity, two_sample
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.tags.two_sample import Separation

TAXONOMY = Taxonomy.load()
NULL = Separation(0.5, 0.4, 0.6)


@pytest.fixture(autouse=True)
def small_forests(monkeypatch):
    """The classifier itself has tests of its own."""
    monkeypatch.setattr(two_sample, "_TREES", 10)
    with joblib.parallel_config(backend="sequential"):
        yield


def blocks(count: int, seed: int) -> np.ndarray:
    """Rows that hold one of five blocks of tags, each tag of it with probability .8."""
    generator = np.random.default_rng(seed)
    block = generator.integers(5, size=count)
    rows = np.zeros((count, 200), dtype=bool)
    for place in range(count):
        start = 10 * block[place]
        rows[place, start : start + 6] = generator.random(6) < 0.8
    return rows


def shuffled(rows: np.ndarray) -> np.ndarray:
    """The same tags as often, each independent of the others."""
    return np.stack([np.random.default_rng(tag).permutation(rows[:, tag]) for tag in range(rows.shape[1])], axis=1)


def ratio(moments, samples, held_out, real) -> fidelity.Agreement:
    return fidelity.agreement(moments, samples, held_out=held_out, real=real, seed=0)


def test_a_set_agrees_with_itself_and_independent_tags_have_no_covariance():
    real, held_out = blocks(2000, 0)[:, :60], blocks(400, 1)[:, :60]
    for moments in (fidelity.pair_frequencies, fidelity.covariances):
        assert ratio(moments, held_out, held_out, real).cosine == pytest.approx(1)
        assert ratio(moments, blocks(2000, 2)[:, :60], held_out, real).ratio == pytest.approx(1, abs=0.02)
    independent = shuffled(real)
    assert abs(ratio(fidelity.covariances, independent, held_out, real).ratio) < 0.1
    assert abs(ratio(fidelity.third_moments, independent[:, :20], held_out[:, :20], real[:, :20]).ratio) < 0.1
    assert ratio(fidelity.pair_frequencies, independent, held_out, real).ratio > 0.3, "it hardly separates anything"


def test_third_moments_see_what_covariances_do_not():
    """Three tags of which each pair is independent, and the third is there when just one of the others is."""
    one, two = np.random.default_rng(0).random((2, 4000)) < 0.5
    rows = np.stack([one, two, one ^ two], axis=1)
    assert np.abs(fidelity.covariances(rows)).max() < 0.02
    assert fidelity.third_moments(rows)[0] == pytest.approx(-0.125, abs=0.01)


def test_weights_count_rows_as_often():
    rows = blocks(40, 0)[:, :12]
    again, weights = np.repeat(rows, np.repeat([1, 2], 20), axis=0), np.repeat([1.0, 2.0], 20)
    for moments in (fidelity.covariances, fidelity.third_moments):
        np.testing.assert_allclose(moments(rows, 40 * weights / 60), moments(again), atol=1e-12)


def test_moments_are_those_of_the_definition_for_each_pair_and_triple_in_their_order():
    rows, weights = np.random.default_rng(0).random((30, 5)) < [0.2, 0.4, 0.5, 0.6, 0.8], np.arange(30.0)
    weights *= 30 / weights.sum()
    centred = rows - np.average(rows, axis=0, weights=weights)
    for moments, size in ((fidelity.covariances, 2), (fidelity.third_moments, 3)):
        wanted = [
            np.average(np.prod([centred[:, tag] for tag in tags], axis=0), weights=weights)
            for tags in combinations(range(5), size)
        ]
        np.testing.assert_allclose(moments(rows, weights), wanted, atol=1e-12)


def test_no_more_samples_are_compared_than_there_are_training_rows():
    real, held_out = blocks(60, 0)[:, :20], blocks(40, 1)[:, :20]
    alike, more = blocks(60, 2)[:, :20], ~blocks(50, 3)[:, :20]
    for moments in (fidelity.pair_frequencies, fidelity.covariances):
        assert ratio(moments, np.concatenate([alike, more]), held_out, real) == ratio(moments, alike, held_out, real)


def test_few_samples_have_the_ceiling_of_as_many_training_rows_drawn_at_random():
    real, held_out = blocks(2000, 0)[:, :60], blocks(400, 1)[:, :60]
    ordered = real[np.argsort(real[:, 0], kind="stable")]
    found = ratio(fidelity.covariances, blocks(60, 2)[:, :60], held_out, ordered)
    ceilings = [fidelity.cosine(fidelity.covariances(held_out), fidelity.covariances(blocks(60, seed)[:, :60]))
                for seed in range(10, 40)]  # fmt: skip
    assert min(ceilings) <= found.ceiling <= max(ceilings) < ratio(fidelity.covariances, real, held_out, real).ceiling
    ratios = [ratio(fidelity.covariances, blocks(60, seed)[:, :60], held_out, ordered).ratio for seed in range(3, 9)]
    assert np.mean(ratios) == pytest.approx(1, abs=0.02)


def test_samples_and_the_null_are_told_apart_with_as_many_rows():
    real, held_out, samples = blocks(300, 0), blocks(200, 1), blocks(40, 2)
    found = fidelity.evaluate(samples, held_out=held_out, real=real, taxonomy=TAXONOMY, seed=0)
    null = two_sample.real_against_real(np.concatenate([real, held_out]), size=40, seed=0)
    assert [found[f"two_sample_auc_real{end}"] for end in ("", "_low", "_high")] == pytest.approx([*null])
    held = fidelity.evaluate_condition(samples, real=real, seed=0)
    null = two_sample.real_against_real(real, size=40, seed=0)
    assert held["two_sample_auc_real"] == pytest.approx(null.auc)


def test_the_interval_is_that_of_rows_drawn_anew():
    real, held_out, samples = blocks(300, 0)[:, :20], blocks(80, 1)[:, :20], blocks(300, 2)[:, :20]
    samples = np.where(np.random.default_rng(0).random((300, 1)) < 0.5, samples, shuffled(samples))
    found = fidelity.agreement(fidelity.covariances, samples, held_out=held_out, real=real, seed=0, resamples=1000)
    generator, drawn = np.random.default_rng(1), []
    ours, theirs = fidelity.covariances(samples), fidelity.covariances(real)
    for _ in range(1000):
        again = fidelity.covariances(held_out[generator.integers(80, size=80)])
        drawn.append(fidelity.cosine(ours, again) / fidelity.cosine(theirs, again))
    np.testing.assert_allclose([found.low, found.high], np.quantile(drawn, [0.025, 0.975]), atol=0.01)
    assert found != fidelity.agreement(fidelity.covariances, samples, held_out=held_out, real=real, seed=1)


def test_the_interval_holds_the_ratio_that_new_held_out_rows_give_and_narrows_with_their_number():
    real, samples = blocks(2000, 0), shuffled(blocks(2000, 2))
    mixed = np.where(np.random.default_rng(0).random((2000, 1)) < 0.7, blocks(2000, 3), samples)[:, :40]
    real = real[:, :40]
    truth = ratio(fidelity.pair_frequencies, mixed, blocks(4000, 99)[:, :40], real).ratio
    widths = []
    for count in (100, 1600):
        held_out = [blocks(count, 10 + seed)[:, :40] for seed in range(8)]
        found = [ratio(fidelity.pair_frequencies, mixed, rows, real) for rows in held_out]
        assert sum(one.low <= truth <= one.high for one in found) >= 6
        assert all(one.low < one.ratio < one.high for one in found)
        widths.append(np.mean([one.high - one.low for one in found]))
    assert widths[1] < 0.5 * widths[0]


def test_pairs_are_counted_off_the_diagonal():
    rows = np.array([[True, True, False], [True, False, False]])
    assert fidelity.pair_frequencies(rows).tolist() == [0.5, 0.0, 0.0]


def test_pairs_that_are_off_are_counted():
    real, samples = blocks(2000, 0), blocks(2000, 1)
    assert fidelity.pairs_off(samples, real) == 0
    samples[:100] = np.isin(np.arange(200), [100, 150])
    assert fidelity.pairs_off(samples, real) == 1


def test_a_pair_is_off_where_a_test_of_two_shares_gives_a_deviate_above_four():
    for count in range(1, 60):
        samples, real = np.zeros((500, 2), dtype=bool), np.zeros((200, 2), dtype=bool)
        samples[:count], real[:20] = True, True
        table = [[count, 500 - count], [20, 180]]
        deviate = np.sqrt(chi2_contingency(table, correction=False).statistic)
        assert fidelity.pairs_off(samples, real) == (deviate > 4), count


def jaccard(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


def test_each_figure_of_a_set_is_that_of_its_definition():
    real, held_out, new = blocks(300, 0), blocks(100, 1), blocks(100, 3)
    new = new[[not (row == real).all(1).any() for row in new]][:30]
    new[:, 199] = True
    new[0, [TAXONOMY.tags.index(tag) for tag in ("slow tempo", "fast tempo")]] = True
    samples = np.concatenate([real[:10], new])
    sets = {"held_out": held_out, "real": real, "taxonomy": TAXONOMY}
    found = fidelity.evaluate(samples, **sets, seed=0, null=NULL)
    assert found["copies"] == 10 / len(samples) and len(new) > 5
    assert found["copies_held_out"] == np.mean([(row == real).all(1).any() for row in held_out])
    for name, rows in (("nearest", samples), ("nearest_held_out", held_out)):
        assert found[name] == pytest.approx(np.mean([max(jaccard(row, other) for other in real) for row in rows]))
    assert found["contradictions"] == 1 / len(samples)
    assert found["tags_per_row"] == pytest.approx(samples.sum() / len(samples))
    together = np.concatenate([real, held_out])
    assert found["pairs_off"] == fidelity.pairs_off(samples, together) > 0
    for name, rows in (("", samples), ("_real", real)):
        apart = [abs(rows[:, tag].mean() - held_out[:, tag].mean()) for tag in range(200)]
        assert found[f"frequency_error{name}"] == pytest.approx(sum(apart) / 200)
        longer = [rows.sum(1), held_out.sum(1)]
        at_most = [[(sizes <= size).mean() for size in range(200)] for sizes in longer]
        assert found[f"size_distance{name}"] == pytest.approx(np.abs(np.subtract(*at_most)).sum())
    assert [found[f"two_sample_auc_real{end}"] for end in ("", "_low", "_high")] == [*NULL]
    told = two_sample.separation(samples, held_out, seed=0)
    assert [found[f"two_sample_auc{end}"] for end in ("", "_low", "_high")] == pytest.approx([*told])
    often = sorted(range(200), key=lambda tag: -real[:, tag].sum())[:40]
    moments = {"covariance": fidelity.covariances, "cooccurrence": fidelity.pair_frequencies}
    agreed = {name: ratio(one, samples, held_out, real) for name, one in moments.items()}
    agreed["third_moments"] = ratio(fidelity.third_moments, *(rows[:, often] for rows in (samples, held_out, real)))
    for name, value in agreed.items():
        ends = ("", "_ceiling", "_of_ceiling", "_of_ceiling_low", "_of_ceiling_high")
        assert [found[f"{name}{end}"] for end in ends] == pytest.approx([*value])


def test_many_samples_carry_less_noise_than_training_rows_and_few_no_less():
    held_out, real = blocks(150, 1), blocks(60, 0)
    few, many = (
        fidelity.evaluate(blocks(count, 3), held_out=held_out, real=real, taxonomy=TAXONOMY, seed=0, null=NULL)
        for count in (60, 6000)
    )
    assert few["covariance_all_of_ceiling"] == pytest.approx(few["covariance_of_ceiling"])
    assert many["covariance_all_of_ceiling"] > many["covariance_of_ceiling"]
    assert many["covariance_all_of_ceiling"] * many["covariance_ceiling"] == pytest.approx(
        fidelity.cosine(fidelity.covariances(blocks(6000, 3)), fidelity.covariances(held_out))
    )


def test_a_tag_s_loss_is_the_part_of_its_draws_that_was_not_kept():
    samples = TAXONOMY.encode([["jazz"], ["jazz", "piano"]])
    drawn = np.zeros(200)
    drawn[[TAXONOMY.tags.index(tag) for tag in ("jazz", "piano", "rock")]] = 1.0, 0.8, 0.1
    kept = np.zeros(200)
    kept[[TAXONOMY.tags.index(tag) for tag in ("jazz", "piano")]] = 1.0, 0.6
    shares = {"drawn": drawn, "kept": kept}
    table = fidelity.by_tag(samples, **shares, real=samples[[0, 0, 1]], taxonomy=TAXONOMY).set_index("tag")
    assert list(table) == ["real_rows", "real", "drawn", "kept", "samples", "loss"]
    assert list(table.index) == [*TAXONOMY.tags]
    assert table.loc["piano"].to_list() == pytest.approx([1, 1 / 3, 0.8, 0.6, 0.5, 0.25]), "few samples do not count"
    assert table.loc["rock", "loss"] == 1
    assert table.loc["jazz", "loss"] == 0 == table.loc["folk", "loss"] and table.loc["jazz", "real_rows"] == 3
    shares = {"drawn": np.full(200, 0.4), "kept": np.full(200, 0.5)}
    gained = fidelity.by_tag(samples, **shares, real=samples, taxonomy=TAXONOMY).set_index("tag")
    assert gained.loc["piano", "loss"] == pytest.approx(-0.25), "more often among the samples than drawn"


def test_a_condition_is_held_against_real_rows_with_it():
    real, like, noise = blocks(700, 0), blocks(900, 1), np.random.default_rng(0).random((150, 200)) < 0.025
    real, like, noise[:, 0] = real[real[:, 0]], like[like[:, 0]], True
    found, unlike = (fidelity.evaluate_condition(rows, real=real, seed=0) for rows in (like, noise))
    assert found["real_rows"] == len(real)
    assert found["two_sample_auc"] < found["two_sample_auc_real"] + 0.15 < unlike["two_sample_auc"]
    assert found["size_distance"] < 0.5 < unlike["size_distance"]
    assert unlike["copies"] == 0
    copied = fidelity.evaluate_condition(np.concatenate([real[:30], noise[:90]]), real=real, seed=0)
    assert copied["copies"] == 0.25 and copied["tags_per_row"] > noise[:90].sum(1).mean() * 0.5
    few = fidelity.evaluate_condition(real[:60], real=real[:49], seed=0)
    assert few == {"real_rows": 49, "tags_per_row": real[:60].sum(1).mean()}


def test_a_condition_s_margins_are_beside_those_of_half_of_the_real_rows_against_the_other():
    row = np.arange(200) < 4
    real, samples = np.tile(row, (fidelity.LEAST, 1)), np.tile(np.arange(200) < 5, (30, 1))
    found = fidelity.evaluate_condition(samples, real=real, seed=0)
    assert found["real_rows"] == 50 and found["tags_per_row"] == 5 and found["copies"] == 0
    assert found["two_sample_auc"] == 1 and found["two_sample_auc_real"] == 0.5
    assert (found["frequency_error"], found["frequency_error_real"]) == (pytest.approx(1 / 200), 0)
    assert (found["size_distance"], found["size_distance_real"]) == (1, 0)


def test_a_glance_at_two_tags_that_go_together_where_they_should_keep_apart():
    apart, together = np.array([[1, 0], [0, 1]], dtype=bool), np.array([[1, 1], [0, 0]], dtype=bool)
    found = fidelity.evaluate_quickly(together, train=apart, validation=apart, prefix="val")
    assert found == pytest.approx({"val/covariance": -1, "val/novelty": 0.75, "val/novelty_error": 0.75})
    copied = fidelity.evaluate_quickly(apart, train=apart, validation=together, prefix="sweep")
    assert copied == pytest.approx({"sweep/covariance": -1, "sweep/novelty": 0, "sweep/novelty_error": 0.75})
    with pytest.raises(ValueError, match="expected sets of two rows or more"):
        fidelity.evaluate_quickly(apart, train=apart, validation=apart[:1], prefix="val")


def test_novelty_is_a_target_that_noise_misses():
    real, held_out = blocks(500, 0), blocks(100, 1)
    noise = np.random.default_rng(0).random((300, 200)) < 0.025
    figures = {name: fidelity.evaluate_quickly(rows, train=real, validation=held_out, prefix="val")
               for name, rows in {"noise": noise, "like": blocks(300, 2), "copies": real[:300]}.items()}  # fmt: skip
    assert figures["noise"]["val/novelty"] > figures["like"]["val/novelty"] > figures["copies"]["val/novelty"] == 0
    errors = {name: found["val/novelty_error"] for name, found in figures.items()}
    assert errors["like"] < 0.05 and errors["like"] < errors["copies"] and errors["noise"] > 0.5


def test_nearest_is_one_for_a_copy():
    real = blocks(100, 0)
    near = fidelity.nearest_jaccard(np.concatenate([real[:3], ~real[:1]]), real)
    assert near[:3].tolist() == [1, 1, 1] and near[3] < 0.1


def test_nearest_is_found_in_tables_of_any_length():
    real = np.eye(50, dtype=bool)
    rows = np.tile(np.eye(50, dtype=bool) | np.eye(50, k=1, dtype=bool), (90, 1))
    rows[[2047, 2048, 4499]] = real[[1, 2, 3]]
    near = fidelity.nearest_jaccard(rows, real)
    assert near.shape == (4500,) and near[[2047, 2048, 4499]].tolist() == [1, 1, 1]
    assert np.delete(near, [*range(49, 4500, 50), 2047, 2048]) == pytest.approx(0.5), "one of two tags"


def test_contradictions_are_a_share_of_rows():
    rows = TAXONOMY.encode([["slow tempo", "fast tempo"], ["jazz"], ["piano"], ["rock"]])
    assert fidelity.contradictions(rows, taxonomy=TAXONOMY) == 0.25


def test_all_figures_together_have_their_counterparts_of_real_rows():
    found = fidelity.evaluate(blocks(300, 3), held_out=blocks(150, 1), real=blocks(600, 0), taxonomy=TAXONOMY, seed=0)
    assert found["size_distance"] < 0.5 and found["frequency_error"] < 0.02
    for name in ("covariance", "third_moments", "cooccurrence"):
        assert found[f"{name}_of_ceiling"] == pytest.approx(found[name] / found[f"{name}_ceiling"])
    assert found["two_sample_auc"] - found["two_sample_auc_real"] < 0.15
    assert found["nearest"] == pytest.approx(found["nearest_held_out"], abs=0.1)
    with pytest.raises(ValueError, match="expected sets of two rows or more"):
        ratio(fidelity.covariances, blocks(1, 0), blocks(5, 0), blocks(5, 0))
