import numpy as np
import pandas as pd
import pytest
import torch

from conceptcaps import priors, vae
from conceptcaps.taxonomy import Taxonomy
from tests.test_vae import fit

TAXONOMY = Taxonomy.load()


@pytest.fixture(scope="module")
def model() -> vae.BetaVAE:
    return fit(epochs=60)


def sample(model, **changes) -> np.ndarray:
    given = {"count": 30, "prior": "aggregate", "temperature": 1.0, "condition": [], "min_categories": 1, "seed": 0}
    return priors.sample(model, **{**given, **changes})


@pytest.mark.parametrize("prior", priors.PRIORS)
def test_every_prior_gives_distinct_sets_without_contradictions(model, prior):
    rows = sample(model, prior=prior)
    assert rows.shape == (30, 200) and len(np.unique(rows, axis=0)) == 30
    assert not any(TAXONOMY.contradictions(tags) for tags in TAXONOMY.decode(rows))
    assert np.array_equal(rows, sample(model, prior=prior))
    assert not np.array_equal(rows, sample(model, prior=prior, seed=1))


def test_more_sets_begin_with_the_same(model):
    assert np.array_equal(sample(model, count=40)[:30], sample(model))


def test_a_condition_is_contained_and_draws_its_companions(model):
    rows = sample(model, condition=["piano"], count=10)
    tags = TAXONOMY.decode(rows)
    assert all("piano" in one for one in tags)
    assert np.mean(["jazz" in one for one in tags]) > 0.6, "piano stands with jazz in every training row"


def test_min_categories_filters(model):
    for tags in TAXONOMY.decode(sample(model, min_categories=3, count=10)):
        assert len({TAXONOMY.category(tag) for tag in tags}) >= 3


def test_temperature_flattens(model):
    sizes = [sample(model, temperature=value).sum(1).mean() for value in (0.5, 1.0, 2.0)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_draws_follow_the_probabilities():
    logits = torch.logit(torch.tensor([0.1, 0.5, 0.9])).expand(20_000, -1)
    nothing = torch.zeros(3, dtype=torch.bool)
    rows = priors.draw(logits, groups=[], condition=nothing, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(rows.float().mean(0), [0.1, 0.5, 0.9], atol=0.015)


def test_of_clashing_tags_one_stays_with_its_odds():
    """Both were drawn in every row: the first stays with odds 4 to 1."""
    logits = torch.logit(torch.tensor([0.8, 0.5])).expand(40_000, -1)
    rows = priors.draw(
        logits,
        groups=[torch.tensor([0, 1])],
        condition=torch.zeros(2, dtype=torch.bool),
        generator=torch.Generator().manual_seed(0),
    )
    assert not (rows.sum(1) > 1).any()
    # P(first alone) = .8 * .5 + .4 * 4/5, P(second alone) = .2 * .5 + .4 * 1/5
    np.testing.assert_allclose(rows.float().mean(0), [0.72, 0.18], atol=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "expected count of at least 1, got 0"),
        ({"temperature": 0}, "expected temperature above 0, got 0"),
        ({"prior": "uniform"}, "expected prior aggregate, gmm, standard, independent, random, got 'uniform'"),
        ({"condition": ["slow tempo", "fast tempo"]}, "expected a condition without contradictions"),
        ({"condition": ["polka metal"]}, "200 tags, got 'polka metal'"),
        ({"count": 10, "min_categories": 5}, "expected 10 distinct sets .* got 0 and none in the last"),
    ],
)
def test_refuses_what_it_cannot_do(model, changes, message):
    with pytest.raises(ValueError, match=message):
        sample(model, **changes)


def test_served_answers_are_text(model):
    frame = pd.DataFrame({"condition": ["jazz", ""], "seed": [0, 1]})
    answers = priors.predict(model, frame)["tags"].tolist()
    assert "jazz" in answers[0].split(", ") and answers[1]
