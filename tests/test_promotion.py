import numpy as np
import pandas as pd
import pytest

from conceptcaps import promotion

IDS = [str(row) for row in range(200)]
NOISE = np.random.default_rng(0).normal(size=200)


def items(shift: float, metric: str = "val/loss") -> pd.DataFrame:
    return pd.DataFrame({"id": IDS, metric: 1 + NOISE + shift + 0.01 * np.random.default_rng(1).normal(size=200)})


def decide(candidate: pd.DataFrame, champion: pd.DataFrame, metric: str = "val/loss", margin: float = 0.0):
    return promotion.decide(metric, candidate, champion, margin=margin, seed=0)


def test_a_lower_loss_is_promoted_and_a_higher_one_is_not():
    assert decide(items(-0.1), items(0)).promoted
    worse = decide(items(0.1), items(0))
    assert not worse.promoted and "not above" in worse.reason
    assert decide(items(0.1, "val/iwae"), items(0, "val/iwae"), "val/iwae").promoted, "a bound is better when higher"


def test_a_gain_below_the_margin_is_not_enough():
    assert not decide(items(-0.1), items(0), margin=0.2).promoted
    assert decide(items(-0.1), items(0), margin=0.05).promoted


def test_pairing_ignores_the_order_of_rows():
    shuffled = items(-0.1).sample(frac=1, random_state=0)
    assert decide(shuffled, items(0)).metrics == pytest.approx(decide(items(-0.1), items(0)).metrics, abs=1e-3)


def test_other_rows_cannot_be_compared():
    decision = decide(items(-0.1)[:100], items(0))
    assert not decision.promoted and "not comparable" in decision.reason


def test_the_first_of_its_name_is_promoted_if_it_was_measured():
    assert promotion.first("val/loss", items(0)).promoted
    with pytest.raises(ValueError, match="expected column val/x in per_item.parquet, got id, val/loss"):
        promotion.first("val/x", items(0))
