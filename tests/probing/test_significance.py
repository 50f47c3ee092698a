import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from conceptcaps.probing.significance import auc_interval, benjamini_hochberg


def test_benjamini_hochberg_by_hand():
    np.testing.assert_allclose(benjamini_hochberg([0.005, 0.5, np.nan, 0.02, 0.03]), [0.02, 0.5, np.nan, 0.04, 0.04])
    assert np.isnan(benjamini_hochberg([np.nan])).all()


def test_auc_is_scikit_learns_and_its_interval_holds_the_truth():
    generator, hits = np.random.default_rng(0), []
    truth = stats.norm.cdf(1 / np.sqrt(2))
    for _ in range(300):
        sides = np.repeat([1, 0], [30, 80])
        scores = generator.normal(size=110).round(1) + sides
        auc, low, high = auc_interval(scores, sides)
        assert auc == pytest.approx(roc_auc_score(sides, scores))
        hits.append(low <= truth <= high)
    assert np.mean(hits) == pytest.approx(0.95, abs=0.04)
    assert np.isnan(auc_interval([1.0, 2.0, 3.0], [1, 0, 0])).all()
