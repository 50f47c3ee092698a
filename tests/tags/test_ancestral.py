import numpy as np
import pytest
import torch

from conceptcaps.tags import ancestral
from conceptcaps.tags.taxonomy import Taxonomy


def taxonomy_of(groups: list[list[int]], tags: int) -> Taxonomy:
    """A taxonomy with exclusion groups of these columns."""
    names = [f"tag {place}" for place in range(tags)]
    listed = [{"name": name, "category": "genre"} for name in names]
    return Taxonomy({"tags": listed, "exclusions": [[names[one] for one in group] for group in groups]})


def coins(shares: list[float], groups: list[list[int]], *, links=None, asked=None, count: int = 60_000):
    """Draws from a chain in the order of the columns, and their weights."""
    chain = ancestral.chain(
        order=torch.arange(len(shares)), clashes=ancestral.clashes(taxonomy_of(groups, len(shares))), links=links
    )
    noise = ancestral.logistic((count, len(shares)), generator=np.random.default_rng(0))
    base = torch.logit(torch.tensor(shares)).expand(count, -1)
    return ancestral.draw(base, chain, noise=noise, asked=None if asked is None else torch.tensor(asked))


def test_draws_follow_the_probabilities():
    np.testing.assert_allclose(coins([0.1, 0.5, 0.9], [])[0].float().mean(0), [0.1, 0.5, 0.9], atol=0.01)


def test_a_group_is_a_categorical_variable_with_none():
    """The first holds with .4; the second with .5 of what is left, the third with .5 of what is left then."""
    rows, _ = coins([0.4, 0.5, 0.5], [[0, 1, 2]])
    assert not (rows.sum(1) > 1).any()
    np.testing.assert_allclose(rows.float().mean(0), [0.4, 0.3, 0.15], atol=0.01)


def test_overlapping_groups_leave_no_contradiction():
    """A tag of absence excludes four others, each pair a group, as "no percussion" does; and a group of five."""
    groups = [[0, 1], [0, 2], [0, 3], [0, 4], [4, 5, 6, 7, 8]]
    rows, _ = coins([0.7] * 9, groups)
    assert all((rows[:, group].sum(1) <= 1).all() for group in groups)
    others = rows[:, 1:4].float()
    assert others[~rows[:, 0]].mean() == pytest.approx(0.7, abs=0.01)
    assert rows[:, 0].float().mean() == pytest.approx(0.7, abs=0.01), "nothing is repaired, so that nothing is lost"


def test_a_drawn_tag_changes_the_odds_of_later_ones_and_of_no_earlier_one():
    links = torch.zeros(40, 40)
    links[30, 2], links[2, 30] = 2.0, 9.0  # 2 is drawn in an earlier block than 30; what 30 would add to 2 is not read
    rows, _ = coins([0.5] * 40, [], links=links)
    given = [rows[rows[:, 2] == value, 30].float().mean() for value in (False, True)]
    np.testing.assert_allclose(given, [0.5, 1 / (1 + np.exp(-2))], atol=0.01)
    assert rows[:, 2].float().mean() == pytest.approx(0.5, abs=0.01)


def test_drawn_sets_have_the_frequencies_that_the_likelihood_gives():
    links = torch.tensor([[0.0, 0, 0], [1.5, 0, 0], [-1, 2.0, 0]])
    rows, _ = coins([0.3, 0.6, 0.2], [[0, 2]], links=links)
    chain = ancestral.chain(order=torch.arange(3), clashes=ancestral.clashes(taxonomy_of([[0, 2]], 3)), links=links)
    every = np.array([[one, two, three] for one in (0, 1) for two in (0, 1) for three in (0, 1)], dtype=bool)
    exact = np.exp(ancestral.log_likelihood(torch.logit(torch.tensor([0.3, 0.6, 0.2])), chain, every))
    assert exact.sum() == pytest.approx(1) and exact[5] == exact[7] == 0
    np.testing.assert_allclose([(rows.numpy() == one).all(1).mean() for one in every], exact, atol=0.01)


def test_weights_of_asked_draws_are_what_rejection_gives():
    """Of two dependent tags the later is asked for: drawn, thrown away where it is missing, or put in and weighed."""
    links = torch.tensor([[0.0, 0, 0], [2.0, 0, 0], [-1.0, 0.5, 0]])
    shares = [0.3, 0.2, 0.4]
    free, _ = coins(shares, [], links=links, count=400_000)
    kept = free[free[:, 1] & ~free[:, 2]].float().mean(0)
    rows, log_weights = coins(shares, [], links=links, asked=[0, 1, -1])
    assert rows[:, 1].all() and not rows[:, 2].any()
    weighed = (log_weights.exp() @ rows.float()) / log_weights.exp().sum()
    np.testing.assert_allclose(weighed, kept, atol=0.01)
    assert log_weights.exp().mean() == pytest.approx(float((free[:, 1] & ~free[:, 2]).float().mean()), abs=0.005)
