import numpy as np
import pandas as pd
import pytest
import torch

from conceptcaps.tags import sampling, vae
from conceptcaps.tags.taxonomy import Taxonomy
from tests.tags.test_vae import fit

TAXONOMY = Taxonomy.load()


@pytest.fixture(scope="module")
def model() -> vae.BetaVAE:
    return fit(epochs=60)


def sample(model, **changes) -> np.ndarray:
    given = {"count": 30, "prior": "aggregate", "temperature": 1.0, "condition": [], "min_categories": 1, "seed": 0}
    return sampling.sample(model, **{**given, **changes})


@pytest.mark.parametrize("prior", sampling.PRIORS)
def test_every_prior_gives_distinct_sets_without_contradictions(model, prior):
    rows = sample(model, prior=prior)
    assert rows.shape == (30, 200) and len(np.unique(rows, axis=0)) == 30
    assert not any(TAXONOMY.contradictions(tags) for tags in TAXONOMY.decode(rows))
    assert np.array_equal(rows, sample(model, prior=prior))
    assert not np.array_equal(rows, sample(model, prior=prior, seed=1))


def test_more_sets_begin_with_the_same(model):
    assert np.array_equal(sample(model, count=40)[:30], sample(model))


@pytest.mark.parametrize("prior", ["aggregate", "gmm"])
def test_draws_do_not_depend_on_the_number_of_cores(model, prior, monkeypatch):
    monkeypatch.setattr(sampling, "_CHUNK", 2048)
    many = {"count": 3000, "prior": prior, "temperature": 1.5}
    rows = []
    for cores in (1, 3):
        monkeypatch.setattr(sampling.torch, "get_num_threads", lambda cores=cores: cores)
        rows.append(sample(model, **many))
    assert np.array_equal(*rows)


def test_a_mixture_s_first_draws_are_like_its_last(model):
    mixture = sampling._mixture(model, seed=0)
    assert mixture.n_components > 1
    generator, nothing = np.random.default_rng(0), torch.zeros(200, dtype=torch.bool)
    logits = sampling.decoded(model, prior="gmm", condition=nothing, mixture=mixture, generator=generator, size=4000)
    first, last = torch.sigmoid(logits).chunk(2)
    assert (first.mean(0) - last.mean(0)).abs().max() < 0.05


def test_a_condition_is_contained_and_draws_its_companions(model):
    rows = np.concatenate([sample(model, condition=["piano"], count=10, seed=seed) for seed in range(8)])
    tags = TAXONOMY.decode(rows)
    assert all("piano" in one for one in tags)
    assert np.mean(["jazz" in one for one in tags]) > 0.6, "piano stands with jazz in every training row"


def test_min_categories_filters(model):
    for tags in TAXONOMY.decode(sample(model, min_categories=3, count=10)):
        assert len({TAXONOMY.category(tag) for tag in tags}) >= 3


def test_temperature_flattens(model):
    sizes = [sample(model, temperature=value).sum(1).mean() for value in (0.5, 1.0, 2.0)]
    assert sizes[0] < sizes[1] < sizes[2]


def exclusions(groups: list[list[int]], tags: int) -> sampling.Exclusions:
    """Exclusions of a taxonomy with these groups of columns."""
    names = [f"tag {place}" for place in range(tags)]
    listed = [{"name": name, "category": "genre"} for name in names]
    return sampling.Exclusions.of(
        Taxonomy({"tags": listed, "exclusions": [[names[one] for one in group] for group in groups]})
    )


def draws(shares: list[float], groups: list[list[int]], count: int = 60_000) -> torch.Tensor:
    logits = torch.logit(torch.tensor(shares)).expand(count, -1)
    generator = np.random.default_rng(0)
    return sampling.draw(logits, exclusions=exclusions(groups, len(shares)), generator=generator)


def test_draws_follow_the_probabilities():
    np.testing.assert_allclose(draws([0.1, 0.5, 0.9], []).float().mean(0), [0.1, 0.5, 0.9], atol=0.01)


def test_of_clashing_tags_at_most_one_holds_as_if_contradictions_had_been_thrown_away():
    """Of the four outcomes three are left, with weights .8 * .5, .2 * .5 and .2 * .5."""
    rows = draws([0.8, 0.5], [[0, 1]])
    assert not (rows.sum(1) > 1).any()
    np.testing.assert_allclose(rows.float().mean(0), [4 / 6, 1 / 6], atol=0.01)


def test_overlapping_groups_leave_no_contradiction():
    """A tag of absence excludes four others, each pair a group, as "no percussion" does; and a group of five."""
    groups = [[0, 1], [0, 2], [0, 3], [0, 4], [4, 5, 6, 7, 8]]
    rows = draws([0.7] * 9, groups)
    assert all((rows[:, group].sum(1) <= 1).all() for group in groups)
    others = rows[:, 1:4].float()
    assert others[~rows[:, 0]].mean() > 0.6 and rows[:, 0].float().mean() > 0.01


def test_rows_without_contradiction_are_left_alone():
    one, other = draws([0.4, 0.4, 0.4], []), draws([0.4, 0.4, 0.4], [[0, 1]])
    sound = one[:, :2].sum(1) <= 1
    assert torch.equal(one[sound], other[sound])


def test_a_condition_is_drawn_not_forced(model):
    """No row has banjo and metal: the decoder gives none, and sampling says so instead of making them up."""
    with pytest.raises(ValueError, match=r"expected 3000 distinct sets .* with \['banjo', 'piano', 'dark'\], got"):
        sample(model, condition=["banjo", "piano", "dark"], count=3000, temperature=0.25)


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
    answers = sampling.predict(model, frame)["tags"].tolist()
    assert "jazz" in answers[0].split(", ") and answers[1]
