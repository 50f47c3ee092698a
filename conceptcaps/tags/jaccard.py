"""The Jaccard index, by which tag sets are compared."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Real = TypeVar("Real", bound=np.floating[Any])


def jaccard(first: NDArray[Real], second: NDArray[Real]) -> NDArray[Real]:
    """Jaccard index of each row of one matrix with each of another: what both hold over what either holds, 0 to 1.

    Args:
        first: Tags of 0 and 1 ``(n, tags)``.
        second: The same ``(m, tags)``.

    Returns:
        ``(n, m)``, in the precision of the matrices; 0 for two empty rows.

    >>> jaccard(np.array([[1.0, 1.0, 0.0]]), np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])).round(3).tolist()
    [[1.0, 0.333]]
    """
    shared = first @ second.T
    either = first.sum(1)[:, None] + second.sum(1) - shared
    return np.asarray(shared / np.maximum(either, 1))
