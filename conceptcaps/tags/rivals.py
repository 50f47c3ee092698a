"""Models of tag sets that the VAE is measured against: autoregressive, mixture, tree, and rows with one tag changed.

References:
    Gan, Henao, Carlson, Carin: Learning deep sigmoid belief networks (FVSBN), 2015. Chow, Liu: Approximating discrete
    probability distributions with dependence trees, 1968.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from scipy.special import logsumexp
from torch import Tensor, nn

from conceptcaps.tags import ancestral
from conceptcaps.workspace import hashing

Rows = NDArray[np.bool_]
Floats = NDArray[np.float64]

_PENALTIES = (3e-4, 1e-3, 3e-3)
_COMPONENTS = (10, 20, 40, 80)
_EM_STEPS = 60
_PRIOR_COUNT = 0.5  # rows with and without a tag that are added to what was counted


class Rival(NamedTuple):
    """A fitted model.

    Attributes:
        draw: Gives sets ``(size, tags)``.
        log_likelihood: Natural logarithm of the probability of each row, ``(n,)``; NaN where it has none.
    """

    draw: Callable[[int, np.random.Generator], Rows]
    log_likelihood: Callable[[Rows], Floats]


def fit(name: str, *, train: Rows, validation: Rows, clashes: Tensor, seed: int) -> Rival:
    """Fit one of ``RIVALS``; the validation rows choose its penalty or size.

    Args:
        name: Key of ``RIVALS``.
        train: ``(n, tags)``.
        validation: ``(m, tags)``.
        clashes: True where two tags exclude each other; of the rivals the autoregressive one alone knows them.
        seed: Seed of the mixtures' starts.
    """
    if name == "autoregressive":
        candidates = [_autoregressive(train, penalty=penalty, clashes=clashes) for penalty in _PENALTIES]
    elif name == "mixture":
        candidates = [_mixture(train, size=size, seed=seed) for size in _COMPONENTS if size < len(train)]
    else:
        return _tree(train) if name == "tree" else _bootstrap(train)
    return max(candidates, key=lambda rival: rival.log_likelihood(validation).mean())


RIVALS = ("autoregressive", "mixture", "tree", "bootstrap")


def drawer(rival: Rival, *, size: int, seed: int) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Chunks of draws for ``sampling.distinct``."""

    def draw(number: int) -> tuple[Tensor, Tensor]:
        generator = np.random.default_rng(hashing.row_seed(f"chunk {number}", seed))
        return torch.from_numpy(rival.draw(size, generator)), torch.zeros(size)

    return draw


def independent(rows: Tensor, *, order: Tensor, clashes: Tensor) -> tuple[Tensor, ancestral.Chain]:
    """Log-odds and chain that give each tag its own frequency among rows, whatever else holds but what excludes it."""
    chain = ancestral.chain(order=order, clashes=clashes)
    free = 1 - (rows @ (chain.weights < 0).float().T).clamp(max=1)
    shares = (rows * free).sum(0) / free.sum(0).clamp(min=1)
    return shares.clamp(1e-6, 1 - 1e-6).logit(), chain


def _autoregressive(rows: Rows, *, penalty: float, clashes: Tensor) -> Rival:
    """Each tag by a logistic regression on the more frequent ones, with an L2 penalty."""
    values = torch.from_numpy(rows.astype(np.float32))
    bias = nn.Parameter(values.mean(0).clamp(1e-4, 1 - 1e-4).logit())
    links = nn.Parameter(torch.zeros(clashes.shape))
    order = ancestral.by_frequency(values)
    optimiser = torch.optim.LBFGS([bias, links], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        logits = ancestral.chain(order=order, clashes=clashes, links=links).logits(bias, values)
        entropy = nn.functional.binary_cross_entropy_with_logits(logits, values, reduction="sum") / len(values)
        value = entropy + penalty * links.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    base = bias.detach()
    chain = ancestral.chain(order=order, clashes=clashes, links=links.detach())

    def draw(size: int, generator: np.random.Generator) -> Rows:
        noise = ancestral.logistic((size, len(base)), generator=generator)
        return ancestral.draw(base.expand(size, -1), chain, noise=noise)[0].numpy()

    return Rival(draw, lambda held: ancestral.log_likelihood(base, chain, held))


def _mixture(rows: Rows, *, size: int, seed: int) -> Rival:
    """Mixture of independent tags by expectation maximisation."""
    generator = np.random.default_rng(seed)
    frequency = rows.mean(0)
    shares = np.full(size, 1 / size)
    means = 0.5 * frequency + 0.5 * np.clip(rows[generator.permutation(len(rows))[:size]], 0.02, 0.6)
    values = rows.astype(np.float64)

    def joint(held: Rows) -> Floats:
        return np.log(shares) + held @ (np.log(means) - np.log1p(-means)).T + np.log1p(-means).sum(1)

    for _ in range(_EM_STEPS):
        found = joint(rows)
        weights = np.exp(found - logsumexp(found, axis=1, keepdims=True))
        shares = (weights.sum(0) + _PRIOR_COUNT) / (len(rows) + _PRIOR_COUNT * size)
        means = (weights.T @ values + 2 * frequency) / (weights.sum(0)[:, None] + 2)
        means = np.clip(means, 1e-6, 1 - 1e-6)

    def draw(count: int, generator: np.random.Generator) -> Rows:
        return generator.random((count, rows.shape[1])) < means[generator.choice(size, count, p=shares)]

    return Rival(draw, lambda held: logsumexp(joint(held), axis=1))


def _tree(rows: Rows) -> Rival:
    """The tree of tags with the greatest mutual information; each tag depends on its parent alone."""
    values, count = rows.astype(np.float64), len(rows) + 4 * _PRIOR_COUNT
    both = (values.T @ values + _PRIOR_COUNT) / count
    alone = (values.sum(0) + 2 * _PRIOR_COUNT) / count
    cells = [both, alone[:, None] - both, alone - both, 1 - alone[:, None] - alone + both]
    independent = [
        np.outer(*sides) for sides in ((alone, alone), (alone, 1 - alone), (1 - alone, alone), (1 - alone,) * 2)
    ]
    information = sum(cell * np.log(cell / other) for cell, other in zip(cells, independent, strict=True))
    np.fill_diagonal(information, 0)
    tree = minimum_spanning_tree(information.max() + 1 - information)
    order, parents = breadth_first_order(tree, int(np.argmax(alone)), directed=False)
    given = np.stack([cells[2].T / (1 - alone), both / alone])  # [value of the parent, tag, parent]

    def chance(tag: int, held: Rows) -> Floats:
        if parents[tag] < 0:
            return np.full(len(held), alone[tag])
        return given[held[:, parents[tag]].astype(int), tag, parents[tag]]

    def draw(size: int, generator: np.random.Generator) -> Rows:
        drawn, noise = np.zeros((size, rows.shape[1]), dtype=bool), generator.random((rows.shape[1], size))
        for tag in order.tolist():
            drawn[:, tag] = noise[tag] < chance(tag, drawn)
        return drawn

    def log_likelihood(held: Rows) -> Floats:
        chances = np.stack([chance(tag, held) for tag in range(rows.shape[1])], axis=1)
        return np.log(np.where(held, chances, 1 - chances)).sum(1)

    return Rival(draw, log_likelihood)


def _bootstrap(rows: Rows) -> Rival:
    """Training rows in which one tag gives way to another, drawn by frequency: nearly a copy."""

    def draw(size: int, generator: np.random.Generator) -> Rows:
        drawn = rows[generator.integers(len(rows), size=size)]
        leaving = np.where(drawn, generator.random(drawn.shape), -1).argmax(1)
        coming = np.where(drawn, -np.inf, np.log(rows.mean(0) + 1e-9) + generator.gumbel(size=drawn.shape)).argmax(1)
        drawn[np.arange(size), leaving] = False
        drawn[np.arange(size), coming] = True
        return drawn

    return Rival(draw, lambda held: np.full(len(held), np.nan))
