import numpy as np
import pytest

from conceptcaps.listening import distances
from conceptcaps.listening.neighbours import density_coverage, nearest


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


def test_a_few_rows_at_a_time_give_what_all_at_once_give(monkeypatch):
    """No matrix of all clips by all clips is needed, and none is made."""
    random = np.random.default_rng(0)
    rows, other = random.normal(size=(70, 4)), random.normal(size=(50, 4))

    def figures() -> list[float]:
        return [*density_coverage(rows, other), *nearest(rows, other), distances.kernel_distance(rows, other)]

    whole = figures()
    monkeypatch.setattr(distances, "_HELD", 120)
    assert max(len(part) for part in distances.between(rows, other)) == 3
    assert figures() == pytest.approx(whole, rel=1e-12)
