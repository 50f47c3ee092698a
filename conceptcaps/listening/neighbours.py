"""How a set of clips lies among the neighbours of another: density and coverage, and how far each clip is."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.neighbors import NearestNeighbors

from conceptcaps.listening.distances import between, paired_sets


def density_coverage(x: ArrayLike, reference: ArrayLike, *, neighbours: int = 5) -> tuple[float, float]:
    """How densely a set lies where the reference is (fidelity), and how much of the reference it reaches (diversity).

    Density is the mean number of reference balls that a row of ``x`` lies in, over ``neighbours``: 1 for sets of one
    distribution, unbounded above. Coverage is the share of reference balls that hold a row of ``x``, at most 1. A ball
    is around a row of the reference and reaches its k-th neighbour.

    Args:
        x: Embeddings ``(m, d)``. Coverage grows with m, so sets of one size compare (``distances.of_one_size``).
        reference: Embeddings ``(n, d)``, n above ``neighbours``.
        neighbours: k.

    References:
        Naeem et al., Reliable fidelity and diversity metrics for generative models, 2020, arXiv 2002.09797.
    """
    rows, other = paired_sets(x, reference, fewest=neighbours + 1)
    tree = NearestNeighbors(n_neighbors=neighbours + 1).fit(other)
    radii = tree.kneighbors(other)[0][:, -1]
    balls, covered = 0, np.zeros(len(other), dtype=bool)
    for inside in (part < radii for part in between(rows, other)):
        balls += int(inside.sum())
        covered |= inside.any(0)
    return balls / (neighbours * len(rows)), float(covered.mean())


def nearest(x: ArrayLike, reference: ArrayLike) -> NDArray[np.float64]:
    """Euclidean distance of each row of ``x`` ``(m, d)`` to the nearest row of ``reference`` ``(n, d)``: best 0.

    What a clip adds to the difference of two sets: of makers of the same clips it can be compared clip by clip.

    >>> nearest([[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 1.0]]).round(3).tolist()
    [0.0, 4.243]
    """
    rows, other = paired_sets(x, reference)
    return np.concatenate([part.min(1) for part in between(rows, other)])
