import numpy as np
import pytest
import torch

from conceptcaps.tags import priors, sampling, vae, vae_training
from conceptcaps.tags.taxonomy import Taxonomy
from tests.tags.test_ancestral import taxonomy_of
from tests.tags.test_vae import fit

TAXONOMY = Taxonomy.load()


@pytest.fixture(scope="module")
def model() -> vae.BetaVAE:
    return fit(epochs=60)


def sample(model, **changes) -> np.ndarray:
    given = {"count": 30, "prior": "aggregate", "temperature": 1.0, "condition": [], "min_categories": 1, "seed": 0}
    return sampling.sample(model, **{**given, **changes}).rows


@pytest.mark.parametrize("prior", priors.PRIORS)
def test_every_prior_gives_distinct_sets_without_contradictions(model, prior):
    rows = sample(model, prior=prior)
    assert rows.shape == (30, 200) and len(np.unique(rows, axis=0)) == 30
    assert not any(TAXONOMY.contradictions(tags) for tags in TAXONOMY.decode(rows))
    assert np.array_equal(rows, sample(model, prior=prior))
    assert not np.array_equal(rows, sample(model, prior=prior, seed=1))


def test_pairs_are_kept_apart_but_where_both_are_asked_for(model):
    free = sample(model, count=200)
    common = np.argsort(-free.sum(0))[:2]
    pair = tuple(TAXONOMY.tags[place] for place in common)
    assert free[:, common].all(1).any()
    assert not sample(model, count=200, never_together=[pair])[:, common].all(1).any()
    assert sample(model, condition=list(pair), never_together=[pair])[:, common].all()


def test_more_sets_begin_with_the_same(model):
    assert np.array_equal(sample(model, count=40)[:30], sample(model))


@pytest.mark.parametrize("prior", ["aggregate", "gmm"])
def test_draws_do_not_depend_on_the_number_of_cores(model, prior, monkeypatch):
    monkeypatch.setattr(sampling, "CHUNK", 2048)
    many = {"count": 3000, "prior": prior, "temperature": 1.5}
    rows = []
    for cores in (1, 3):
        monkeypatch.setattr(sampling.torch, "get_num_threads", lambda cores=cores: cores)
        rows.append(sample(model, **many))
    assert np.array_equal(*rows)


def test_a_condition_is_contained_and_draws_its_companions(model):
    rows = np.concatenate([sample(model, condition=["piano"], count=1, seed=seed) for seed in range(60)])
    tags = TAXONOMY.decode(rows)
    assert all("piano" in one for one in tags)
    assert np.mean(["jazz" in one for one in tags]) > 0.6, "piano stands with jazz in every training row"


def test_min_categories_filters(model):
    for tags in TAXONOMY.decode(sample(model, min_categories=3, count=10)):
        assert len({TAXONOMY.category(tag) for tag in tags}) >= 3


def test_temperature_flattens(model):
    sizes = [sample(model, temperature=value).sum(1).mean() for value in (0.5, 1.0, 2.0)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_conditional_sets_are_those_that_rejection_leaves(model):
    """Against the slow way, set by set: draw without a condition, keep what holds it."""
    draw = priors.drawer(model, prior="aggregate", temperature=1, asked=torch.zeros(200), seed=1, size=40_000)
    with torch.inference_mode():
        free = draw(0)[0].numpy()
    piano, dark = TAXONOMY.tags.index("piano"), TAXONOMY.tags.index("dark")
    kept = free[free[:, piano] & ~free[:, dark]]
    asked = np.concatenate([sample(model, condition=["piano", "-dark"], count=1, seed=seed) for seed in range(150)])
    assert asked[:, piano].all() and not asked[:, dark].any()
    error = np.sqrt(kept.mean(0) * (1 - kept.mean(0)) / len(asked)) + 0.005
    assert (np.abs(asked.mean(0) - kept.mean(0)) < 4 * error).all()


def test_conditional_draws_do_not_depend_on_the_number_of_cores(model, monkeypatch):
    rows = []
    for cores in (1, 3):
        monkeypatch.setattr(sampling.torch, "get_num_threads", lambda cores=cores: cores)
        rows.append(sample(model, count=50, condition=["piano"]))
    assert np.array_equal(*rows)


def test_a_tag_left_out_takes_its_descendants_along_and_a_tag_asked_for_what_it_excludes(model):
    asked = sampling.wish(["no percussion", "-strings"], taxonomy=TAXONOMY)
    value = {tag: int(asked[column]) for column, tag in enumerate(TAXONOMY.tags)}
    assert value["no percussion"] == 1 and value["drums"] == value["snare drum"] == -1
    assert value["strings"] == value["violin"] == -1 and value["piano"] == value["harp"] == 0


def test_names_are_resolved_and_near_ones_suggested(model):
    assert torch.equal(*(sampling.wish([name], taxonomy=TAXONOMY) for name in ("Jazz", "jazz")))
    with pytest.raises(ValueError, match="got 'pianno'; near: piano"):
        sampling.wish(["pianno"], taxonomy=TAXONOMY)


def test_fewer_sets_than_asked_for_are_kept_with_the_reason(monkeypatch):
    """A model of two tags knows four sets, and two that hold the first."""
    taxonomy = taxonomy_of([], 2)
    rows = np.array([[True, False], [True, True], [False, True], [False, False]] * 8)
    small = {"latent_dim": 1, "hidden_dim": 2, "dropout": 0.0, "beta": 1.0, "learning_rate": 1e-3, "batch_size": 8}
    small |= {"batch_norm": False, "warmup": 0}
    model = vae_training.fit(
        train=rows, validation=rows, taxonomy=taxonomy, **small, head=True, penalty=0.0, epochs=1, patience=1, seed=0
    )
    monkeypatch.setattr(sampling, "_MOST", 4096)
    dials = {"prior": "aggregate", "temperature": 1.0, "min_categories": 0, "seed": 0}
    every = sampling.sample(model, count=10, condition=[], **dials)
    assert len(every.rows) == 4 and "no new set in the last" in every.reason
    some = sampling.sample(model, count=10, condition=["tag 0"], **dials)
    assert sorted(map(tuple, some.rows.tolist())) == [(True, False), (True, True)]
    assert "4,096 draws are worth" in some.reason and "hold 2 sets" in some.reason
    assert sampling.sample(model, count=2, condition=["tag 0"], **dials).reason == ""
    for condition, reason in {(): "no new set in the last", ("tag 0",): "4,096 draws are worth 0 of equal"}.items():
        with pytest.raises(ValueError, match=f"expected sets of 4 categories or more .* got none: {reason}"):
            sampling.sample(model, count=10, condition=condition, **{**dials, "min_categories": 4})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "expected count of at least 1, got 0"),
        ({"temperature": 0}, "expected temperature above 0, got 0"),
        ({"prior": "uniform"}, "expected prior aggregate, gmm, standard, independent, random, got 'uniform'"),
        ({"condition": ["slow tempo", "fast tempo"]}, "expected a condition without contradictions"),
        ({"condition": ["violin", "-strings"]}, "asks for what it leaves out, got both for violin|both for violin"),
        ({"condition": ["polka metal"]}, "200 tags, got 'polka metal'; near: folk, metal"),
        ({"min_categories": 5}, "expected min_categories from 0 to 4, got 5"),
        ({"min_categories": -1}, "expected min_categories from 0 to 4, got -1"),
    ],
)
def test_refuses_what_it_cannot_do(model, changes, message):
    with pytest.raises(ValueError, match=message):
        sample(model, **changes)
