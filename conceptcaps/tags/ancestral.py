"""Drawing tag sets tag by tag: each given those drawn before it, none that one of them excludes."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conceptcaps.tags.taxonomy import Taxonomy

BARRED = -1e4  # added to the logit of a tag that one drawn before it excludes: its probability is 0 in float32
_BLOCK = 16  # tags after which what was drawn is handed on to all later ones at once
_ROWS = 2048  # sets drawn at once: what they need stays in the cache


class Chain(NamedTuple):
    """A distribution over tag sets: log-odds of each tag plus what the tags before it add.

    Attributes:
        order: Columns in the order in which they are drawn, ``(tags,)``.
        weights: ``[i, j]`` is what tag j adds to the log-odds of tag i, 0 unless j comes first, ``(tags, tags)``.
    """

    order: Tensor
    weights: Tensor

    def logits(self, base: Tensor, rows: Tensor) -> Tensor:
        """Log-odds ``(…, tags)`` of each tag of whole rows of 0 and 1, given those before it."""
        return base + rows @ self.weights.T


def chain(*, order: Tensor, clashes: Tensor, links: Tensor | None = None) -> Chain:
    """Chain with the given order.

    A group of which at most one tag may hold becomes a categorical variable in it, "none" included: each tag of the
    group has its probability given that no earlier one holds.

    Args:
        order: Columns in the order in which they are drawn.
        clashes: True where two tags exclude each other, ``(tags, tags)``.
        links: What tag j adds to tag i, read where j comes first; None links none.
    """
    place = order.argsort()
    before = place[None] < place[:, None]
    weights = before * links if links is not None else torch.zeros(before.shape)
    return Chain(order, torch.where(before & clashes, BARRED, weights))


def clashes(taxonomy: Taxonomy) -> Tensor:
    """True where two tags exclude each other, ``(tags, tags)``."""
    membership = torch.as_tensor(taxonomy.encode(taxonomy.exclusions)).float()
    return (membership.T @ membership > 0).fill_diagonal_(False)


def by_frequency(rows: Tensor) -> Tensor:
    """Columns of rows of 0 and 1, the most frequent first."""
    return rows.float().sum(0).argsort(descending=True, stable=True)


def draw(
    base: Tensor, chain: Chain, *, noise: Tensor, asked: Tensor | None = None, temperature: float = 1
) -> tuple[Tensor, Tensor]:
    """Draw one set for each row of log-odds; asked tags are put in, or left out, in their turn.

    Args:
        base: Log-odds before any tag is drawn, ``(n, tags)``.
        chain: Order and weights.
        noise: A tag is drawn where its log-odds exceed this, ``(n, tags)``: ``logistic`` gives Bernoulli draws, 0 the
            likelier value at each step.
        asked: 1 for tags that each set must hold, -1 for tags that it must not, else 0, ``(tags,)``.
        temperature: Divides the log-odds.

    Returns:
        Sets ``(n, tags)`` and the logarithm of the probability of what was asked, given what was drawn before it,
        ``(n,)``: the weight of the set in a sample of the sets that hold what was asked.

    >>> nothing = torch.zeros(2, 2, dtype=torch.bool)
    >>> alike = chain(order=torch.arange(2), clashes=nothing, links=torch.full((2, 2), 80.0))
    >>> draw(torch.tensor([[9.0, -40.0], [-9.0, -40.0]]), alike, noise=torch.zeros(2, 2))[0].tolist()
    [[True, True], [False, False]]
    """
    wish = torch.zeros(base.shape[1]) if asked is None else asked[chain.order]
    weights = chain.weights[chain.order][:, chain.order]
    if temperature != 1:
        weights = torch.where(weights == BARRED, BARRED, weights / temperature)
    sets, log_weights = torch.empty(base.shape, dtype=torch.bool), torch.zeros(len(base))
    for start in range(0, len(base), _ROWS):
        here = slice(start, start + _ROWS)
        odds = (base[here, chain.order] / temperature).T.contiguous()  # tags first: a tag is a whole row
        limits = noise[here, chain.order].T.contiguous()
        drawn = torch.zeros_like(odds)
        for first in range(0, len(odds), _BLOCK):
            last = min(first + _BLOCK, len(odds))
            for place in range(first, last):
                own = drawn[place]
                if wish[place] == 0:
                    torch.gt(odds[place], limits[place], out=own)
                else:
                    own.fill_(wish[place] > 0)
                    log_weights[here] += torch.nn.functional.logsigmoid(odds[place] * wish[place])
                odds[place + 1 : last].addr_(weights[place + 1 : last, place], own)
            odds[last:].addmm_(weights[last:, first:last], drawn[first:last])
        sets[here, chain.order] = drawn.T > 0
    return sets, log_weights


def logistic(shape: tuple[int, int], *, generator: np.random.Generator) -> Tensor:
    """Draws from the standard logistic distribution: a logit exceeds one with its probability."""
    return torch.logit(torch.from_numpy(generator.random(shape, dtype=np.float32)), eps=1e-7)


def log_likelihood(base: Tensor, chain: Chain, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Natural logarithm of the probability of each row ``(n, tags)`` under a chain, ``(n,)``.

    >>> nothing = torch.zeros(2, 2, dtype=torch.bool)
    >>> log_likelihood(torch.zeros(2), chain(order=torch.arange(2), clashes=nothing), np.zeros((1, 2), bool)).round(4)
    array([-1.3863])
    """
    values = torch.from_numpy(rows.astype(np.float32))
    logits = chain.logits(base, values)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, values, reduction="none")
    return -entropy.double().sum(1).numpy()
