import numpy as np
import pytest

from conceptcaps.tags import two_sample
from tests.tags.test_fidelity import blocks


def test_a_classifier_tells_unlike_sets_and_not_like_ones():
    like = two_sample.separation(blocks(200, 1), blocks(200, 2), seed=0)
    assert like.auc < 0.62 and like.low < like.auc < like.high
    assert two_sample.separation(~blocks(200, 1), blocks(200, 2), seed=0).auc > 0.99


def test_real_against_real_is_near_chance_and_takes_no_row_twice():
    rows = blocks(400, 1)
    null = two_sample.real_against_real(rows, size=150, seed=0)
    assert 0.38 < null.auc < 0.57 and null.low < null.auc < null.high
    own = np.eye(60, dtype=bool)  # rows that nothing else is like: if one were in both sets, the AUC would move
    assert two_sample.real_against_real(own, size=100, seed=0).auc == pytest.approx(
        two_sample.real_against_real(own, size=30, seed=0).auc
    ), "half of all rows at most"
