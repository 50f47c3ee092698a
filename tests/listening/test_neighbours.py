import numpy as np
import pytest

from conceptcaps.listening.neighbours import density_coverage


def test_sets_of_one_distribution_are_dense_and_cover():
    random = np.random.default_rng(0)
    density, coverage = density_coverage(random.normal(size=(400, 4)), random.normal(size=(400, 4)))
    assert density == pytest.approx(1, abs=0.1) and coverage == pytest.approx(1 - 2**-5, abs=0.03)


def test_one_mode_of_two_is_dense_and_covers_half():
    random = np.random.default_rng(0)
    reference = random.normal(size=(400, 4)) + 20 * (np.arange(400) % 2)[:, None]
    density, coverage = density_coverage(random.normal(size=(400, 4)), reference)
    assert density > 0.9 and coverage == pytest.approx(0.5, abs=0.03)


def test_far_away_is_neither():
    random = np.random.default_rng(0)
    assert density_coverage(random.normal(size=(50, 4)) + 100, random.normal(size=(50, 4))) == (0, 0)
