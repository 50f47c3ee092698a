"""From p-values to stars: the false discovery rate, and how well an output knows its class.

References:
    Benjamini and Hochberg, Controlling the false discovery rate (1995).
    DeLong, DeLong and Clarke-Pearson, Comparing the areas under correlated ROC curves (1988).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Q = 0.05  # false discovery rate at which an effect is called significant


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """q-values: the least false discovery rate at which each test is significant, in [p, 1]; NaN for tests not made.

    >>> benjamini_hochberg([0.01, 0.04, np.nan, 0.03]).round(3).tolist()
    [0.03, 0.04, nan, 0.04]
    """
    found = np.array(p_values, dtype=np.float64)
    made = np.isfinite(found)
    if made.any():
        found[made] = stats.false_discovery_control(found[made], method="bh")
    return found


def auc_interval(scores: ArrayLike, truth: ArrayLike, *, level: float = 0.95) -> tuple[float, float, float]:
    """Share of pairs of a clip of the class and another in which the class's scores higher, with DeLong's interval.

    Args:
        scores: ``(n,)``.
        truth: ``(n,)``, whether each clip is one of the class.
        level: Coverage.

    Returns:
        AUC, lower and upper end; NaN with fewer than two clips on a side. Best 1, by chance .5.

    Example:
        >>> auc_interval([3.0, 4.0, 1.0, 2.0], [1, 1, 0, 0])
        (1.0, 1.0, 1.0)
    """
    values, sides = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=bool)
    own, other = values[sides], values[~sides]
    if min(len(own), len(other)) < 2:
        return float("nan"), float("nan"), float("nan")
    above = (stats.rankdata(values)[sides] - stats.rankdata(own)) / len(other)
    below = 1 - (stats.rankdata(values)[~sides] - stats.rankdata(other)) / len(own)
    auc = float(above.mean())
    error = float(np.sqrt(above.var(ddof=1) / len(own) + below.var(ddof=1) / len(other)))
    reach = float(stats.norm.ppf((1 + level) / 2)) * error
    return auc, max(auc - reach, 0.0), min(auc + reach, 1.0)
