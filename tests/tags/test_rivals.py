import itertools

import numpy as np
import pytest
import torch

from conceptcaps.tags import ancestral, rivals, sampling
from tests.tags.test_ancestral import taxonomy_of
from tests.tags.test_fidelity import blocks

EVERY = np.array(list(itertools.product([False, True], repeat=6)))
TREE = [-1, 0, 0, 1, 1, 2]  # parents


def tree_rows(count: int, seed: int) -> np.ndarray:
    """Six tags, each equal to its parent with probability .9."""
    generator = np.random.default_rng(seed)
    rows = np.zeros((count, 6), dtype=bool)
    for tag, parent in enumerate(TREE):
        rows[:, tag] = (
            generator.random(count) < 0.5 if parent < 0 else rows[:, parent] ^ (generator.random(count) < 0.1)
        )
    return rows


def fit(name: str, rows: np.ndarray | None = None) -> rivals.Rival:
    train = tree_rows(3000, 0) if rows is None else rows
    clashes = torch.zeros((train.shape[1],) * 2, dtype=torch.bool)
    return rivals.fit(name, train=train, validation=train[:500], clashes=clashes, seed=0)


@pytest.mark.parametrize("name", ["autoregressive", "mixture", "tree"])
def test_likelihoods_sum_to_one_and_draws_follow_them(name):
    rival = fit(name)
    exact = np.exp(rival.log_likelihood(EVERY))
    assert exact.sum() == pytest.approx(1, abs=1e-5)
    drawn = rival.draw(60_000, np.random.default_rng(0))
    shares = np.array([(drawn == row).all(1).mean() for row in EVERY])
    assert np.abs(shares - exact).max() < 0.01


def test_a_tree_is_found_and_its_likelihood_is_the_truth():
    rival, rows = fit("tree"), tree_rows(4000, 1)
    truth = np.log(0.5) + np.where(rows[:, 1:] == rows[:, TREE[1:]], np.log(0.9), np.log(0.1)).sum(1)
    assert rival.log_likelihood(rows).mean() == pytest.approx(truth.mean(), abs=0.01)


def test_a_mixture_finds_blocks_and_an_autoregression_links():
    rows, held_out = blocks(1500, 0)[:, :50], blocks(300, 1)[:, :50]
    frequency = rows.mean(0).clip(1e-3, 1 - 1e-3)
    independent = np.log(np.where(held_out, frequency, 1 - frequency)).sum(1).mean()
    for name in ("mixture", "autoregressive"):
        assert fit(name, rows).log_likelihood(held_out).mean() > independent + 4


def test_the_autoregression_never_contradicts_itself():
    taxonomy = taxonomy_of([[0, 1, 2]], 6)
    rows = tree_rows(2000, 0)
    rows = rows[rows[:, :3].sum(1) <= 1]
    clashes = ancestral.clashes(taxonomy)
    rival = rivals.fit("autoregressive", train=rows, validation=rows, clashes=clashes, seed=0)
    drawn = rival.draw(20_000, np.random.default_rng(0))
    assert (drawn[:, :3].sum(1) <= 1).all()
    np.testing.assert_allclose(drawn.mean(0), rows.mean(0), atol=0.03)


def test_the_bootstrap_changes_one_tag_of_a_training_row():
    rows = blocks(200, 0)
    rival = fit("bootstrap", rows)
    drawn = rival.draw(100, np.random.default_rng(0))
    changed = np.array([(drawn_row ^ rows).sum(1).min() for drawn_row in drawn])
    assert (changed <= 2).all() and (drawn.sum(1) >= 1).all() and np.isnan(rival.log_likelihood(rows)).all()


def test_rivals_are_drawn_like_the_model_and_reproducibly():
    rival = fit("tree")
    taxonomy = taxonomy_of([], 6)
    drawn = [
        sampling.distinct(
            rivals.drawer(rival, size=512, seed=0), taxonomy=taxonomy, count=20, size=512, min_categories=1
        )
        for _ in range(2)
    ]
    assert np.array_equal(drawn[0].rows, drawn[1].rows) and len(np.unique(drawn[0].rows, axis=0)) == 20
