import numpy as np
import pandas as pd
import pytest

from conceptcaps.results import promotion

IDS = [str(row) for row in range(200)]
NOISE = np.random.default_rng(0).normal(size=200)


def items(shift: float, metric: str = "val/loss") -> pd.DataFrame:
    return pd.DataFrame({"id": IDS, metric: 1 + NOISE + shift + 0.01 * np.random.default_rng(1).normal(size=200)})


def decide(candidate: pd.DataFrame, champion: pd.DataFrame, metric: str = "val/loss", margin: float = 0.0):
    return promotion.decide(metric, candidate, champion, margin=margin, seed=0)


def exact(metric: str, gains: list[float]) -> promotion.Decision:
    """The decision where each row's gain is known."""
    ids = [str(row) for row in range(len(gains))]
    champion = pd.DataFrame({"id": ids, metric: np.arange(len(gains), dtype=float)})
    return decide(champion.assign(**{metric: champion[metric] + gains}), champion, metric)


def test_the_numbers_are_those_of_the_gain_turned_so_that_more_is_better():
    up = exact("val/iwae", [0.25] * 8)
    assert up.promoted and up.metrics == {
        "promote/difference": 0.25,
        "promote/low": 0.25,
        "promote/high": 0.25,
        "promote/n": 8,
    }
    assert up.reason == "gain in val/iwae 0.25 [0.25, 0.25] is above 0"
    down = exact("val/iwae", [-0.25] * 8)
    assert down.metrics["promote/difference"] == -0.25 and not down.promoted
    assert down.reason == (
        "gain in val/iwae -0.25 [-0.25, -0.25] is not above 0; train a better one, or ask for a smaller margin"
    )
    spread = exact("val/iwae", [0.0, 1.0] * 50).metrics
    half = 1.96 * 0.5 / np.sqrt(100)
    assert spread["promote/difference"] == 0.5 and spread["promote/n"] == 100
    assert spread["promote/low"] == pytest.approx(0.5 - half, abs=0.02)
    assert spread["promote/high"] == pytest.approx(0.5 + half, abs=0.02)


@pytest.mark.parametrize("metric", ["val/loss", "val/nll", "val/perplexity", "val/frequency_error"])
def test_less_of_these_is_better(metric):
    assert exact(metric, [-0.5] * 4).promoted and not exact(metric, [0.5] * 4).promoted
    assert exact(metric, [-0.5] * 4).metrics["promote/difference"] == 0.5


def test_an_equal_candidate_passes_below_a_margin_of_zero_only():
    assert not exact("val/iwae", [0.0] * 4).promoted
    champion = items(0)
    assert decide(champion, champion, margin=-0.01).promoted


def test_a_lower_loss_is_promoted_and_a_higher_one_is_not():
    assert decide(items(-0.1), items(0)).promoted
    worse = decide(items(0.1), items(0))
    assert not worse.promoted and "not above" in worse.reason
    assert decide(items(0.1, "val/iwae"), items(0, "val/iwae"), "val/iwae").promoted, "a bound is better when higher"


def test_a_gain_below_the_margin_is_not_enough():
    assert not decide(items(-0.1), items(0), margin=0.2).promoted
    assert decide(items(-0.1), items(0), margin=0.05).promoted


def test_a_gain_that_chance_may_have_made_is_not_enough():
    """Its mean is above the margin, and so is not the lower end of its interval."""
    decision = exact("val/iwae", [3.0, -2.0] * 10)
    assert decision.metrics["promote/difference"] == 0.5 and decision.metrics["promote/low"] < 0
    assert not decision.promoted and "not above" in decision.reason


def test_the_same_seed_decides_alike():
    assert decide(items(-0.1), items(0)) == decide(items(-0.1), items(0))


def test_pairing_ignores_the_order_of_rows():
    shuffled = items(-0.1).sample(frac=1, random_state=0)
    assert decide(shuffled, items(0)).metrics == pytest.approx(decide(items(-0.1), items(0)).metrics, abs=1e-3)


def test_other_rows_cannot_be_compared():
    decision = decide(items(-0.1)[50:150], items(0)[:100])
    assert not decision.promoted and decision.metrics == {"promote/n": 50}
    assert decision.reason == (
        "not comparable: candidate has 100 validation rows, champion 100, 50 shared; "
        "to begin a champion of its own: -P replace=1 (rollback takes it back)"
    )


def test_the_first_of_its_name_is_promoted_if_it_was_measured():
    assert promotion.first("val/loss", items(0).assign(**{"val/loss": 1.5})) == promotion.Decision(
        True, "no other champion; val/loss is 1.5", {"promote/n": 200}
    )
    with pytest.raises(ValueError, match="expected column val/x in per_item.parquet, got id, val/loss"):
        promotion.first("val/x", items(0))


def test_a_replacement_is_promoted_if_it_was_measured():
    assert promotion.replacement("val/loss", items(0).assign(**{"val/loss": 1.5}), champion="3") == promotion.Decision(
        True, "replaces version 3, as asked; val/loss is 1.5", {"promote/n": 200}
    )
    with pytest.raises(ValueError, match="expected column val/x"):
        promotion.replacement("val/x", items(0), champion="3")


@pytest.mark.parametrize(
    ("table", "got"),
    [
        (items(0).assign(**{"val/loss": np.nan}), "0 in 200 rows"),
        (items(0)[:2].assign(**{"val/loss": [1.0, -np.inf]}), "1 in 2 rows"),
        (items(0)[:0], "0 in 0 rows"),
    ],
)
def test_what_was_not_measured_is_not_promoted(table, got):
    for decided in (
        lambda: promotion.first("val/loss", table),
        lambda: promotion.replacement("val/loss", table, champion="3"),
        lambda: decide(table, items(0)),
    ):
        with pytest.raises(ValueError, match=f"expected a finite val/loss in every row .*, got {got}"):
            decided()


def test_a_candidate_of_another_corpus_or_of_none_that_is_known_is_refused():
    demo, other = ("1f", "corpus demo"), ("2e", "corpus musiccaps.csv")
    assert promotion.foreign(demo, ("1f", "the same in other words")) is None and promotion.foreign(None, None) is None
    refused = promotion.foreign(other, demo)
    assert refused == promotion.Decision(
        False,
        "the candidate is of another corpus or taxonomy (corpus musiccaps.csv; lineage 2e) than the champion "
        "(corpus demo; lineage 1f); to begin a champion of its own: -P replace=1 (rollback takes it back)",
        {"promote/n": 0},
    )
    for pair in ((None, demo), (demo, None)):
        assert not promotion.foreign(*pair).promoted and "unknown" in promotion.foreign(*pair).reason


def test_only_validation_chooses():
    promotion.require_validation("val/loss")
    for metric in ("test/loss", "train/val/loss", "VAL/loss"):
        with pytest.raises(ValueError, match=f"begins with val/, got '{metric}': test rows choose nothing"):
            promotion.require_validation(metric)
