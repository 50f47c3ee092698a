"""How well probabilities fit what happens."""

import numpy as np
from numpy.typing import ArrayLike

_BINS = 10


def calibration_error(probabilities: ArrayLike, outcomes: ArrayLike) -> float:
    """Expected calibration error, in [0, 1], best 0: distance of probability and frequency in ten bins of equal width.

    Args:
        probabilities: ``(n,)`` in [0, 1], n at least 1.
        outcomes: ``(n,)``, 1 for what happened, else 0.

    References:
        Naeini et al., Obtaining well calibrated probabilities using Bayesian binning, 2015.

    >>> calibration_error([0.25, 0.25, 0.25, 0.25], [1, 0, 0, 0]), calibration_error([0.75], [0])
    (0.0, 0.75)
    """
    values, happened = np.asarray(probabilities, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    bins = np.minimum((values * _BINS).astype(int), _BINS - 1)
    return float(np.abs(np.bincount(bins, values - happened, minlength=_BINS)).sum() / len(values))
