import numpy as np
import pytest
from scipy import stats

from conceptcaps.results.intervals import bootstrap_mean, paired_difference, paired_p_value


def test_interval_agrees_with_the_normal_one_for_many_values():
    values = np.random.default_rng(0).normal(3.0, 2.0, 2000)
    interval = bootstrap_mean(values, seed=0)
    half = stats.norm.ppf(0.975) * values.std(ddof=1) / np.sqrt(len(values))
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(1)
    intervals = [bootstrap_mean(generator.normal(size=60), seed=n, level=0.9, resamples=500) for n in range(300)]
    covered = np.mean([interval.low <= 0 <= interval.high for interval in intervals])
    assert 0.84 <= covered <= 0.94


def test_same_seed_same_interval_whatever_the_order():
    values = np.random.default_rng(2).normal(size=50)
    assert bootstrap_mean(values, seed=5) == bootstrap_mean(values, seed=5)
    assert bootstrap_mean(values, seed=5) != bootstrap_mean(values, seed=6)


def test_pairing_finds_a_small_shift_between_very_different_items():
    generator = np.random.default_rng(3)
    items = generator.normal(scale=100.0, size=200)
    interval = paired_difference(items + generator.normal(1.0, 0.5, 200), items, seed=0)
    assert interval.low > 0.8 and interval.high < 1.2
    assert paired_p_value(items + generator.normal(1.0, 0.5, 200), items, seed=0) < 0.001


def test_permutation_test_is_exact_for_few_pairs():
    assert paired_p_value([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], seed=0) == pytest.approx(2 / 2**3)


def test_p_value_is_uniform_under_the_null():
    generator = np.random.default_rng(4)
    values = [
        paired_p_value(generator.normal(size=30), generator.normal(size=30), seed=n, resamples=199) for n in range(200)
    ]
    assert 0.01 <= np.mean(np.array(values) <= 0.05) <= 0.1


@pytest.mark.parametrize("values", [[], [1.0], [[1.0, 2.0]], [1.0, np.nan], [1.0, np.inf]])
def test_refuses_what_has_no_mean(values):
    with pytest.raises(ValueError, match="expected"):
        bootstrap_mean(values, seed=0)


def test_refuses_unpaired_items():
    with pytest.raises(ValueError, match="got 2 and 3"):
        paired_difference([1.0, 2.0], [1.0, 2.0, 3.0], seed=0)
    with pytest.raises(ValueError, match="got 2 and 3"):
        paired_p_value([1.0, 2.0], [1.0, 2.0, 3.0], seed=0)
