"""Bootstrap intervals and paired tests: how far a mean over items can be trusted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from conceptcaps.errors import InputError


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` items with the ends of its confidence interval, in the items' unit."""

    mean: float
    low: float
    high: float
    n: int

    def metrics(self, name: str) -> dict[str, float]:
        """The numbers to log, as ``as_metrics``."""
        return as_metrics(name, self.mean, self.low, self.high)


def as_metrics(name: str, value: float, low: float, high: float) -> dict[str, float]:
    """A value and the ends of its interval as they are logged: ``name``, ``name_low`` and ``name_high``."""
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def bootstrap_mean(values: ArrayLike, *, seed: int, level: float = 0.95, resamples: int = 2000) -> Interval:
    """Mean of per-item values with a percentile bootstrap interval.

    Items are drawn with replacement; the interval holds the central ``level`` of the means of the draws. It narrows as
    one over the square root of ``n`` and says nothing of items unlike those given.

    Args:
        values: Shape ``(n,)``, at least two finite numbers.
        seed: Seed of the draws.
        level: Coverage, in (0, 1).
        resamples: Number of draws.

    Returns:
        Mean, ends and ``n``.

    Raises:
        InputError: If there are fewer than two values, or one of them is NaN or infinite: a failed item has no value
            and must be left out and counted by the caller.

    Example:
        >>> bootstrap_mean([1.0, 1.0, 1.0], seed=0)
        Interval(mean=1.0, low=1.0, high=1.0, n=3)

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    array = _finite(values, "values")
    if np.ptp(array) == 0:  # every resample has the same mean
        return Interval(float(array[0]), float(array[0]), float(array[0]), len(array))
    ends = stats.bootstrap(
        (array,),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        batch=max(1, 2_000_000 // len(array)),
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(array.mean()), float(ends.low), float(ends.high), len(array))


def paired_difference(
    candidate: ArrayLike, baseline: ArrayLike, *, seed: int, level: float = 0.95, resamples: int = 2000
) -> Interval:
    """Mean of ``candidate - baseline`` over the same items, with its bootstrap interval.

    Pairing removes the spread between items, so that small differences show.

    Args:
        candidate: Shape ``(n,)``.
        baseline: Shape ``(n,)``, the same items in the same order.
        seed: Seed of the draws.
        level: Coverage, in (0, 1).
        resamples: Number of draws.

    Returns:
        Mean difference, ends and ``n``.

    Raises:
        InputError: If the lengths differ, or as ``bootstrap_mean``.

    Example:
        >>> paired_difference([2.0, 3.0, 4.0], [1.0, 2.0, 3.0], seed=0)
        Interval(mean=1.0, low=1.0, high=1.0, n=3)
    """
    first, second = _finite(candidate, "candidate"), _finite(baseline, "baseline")
    if first.shape != second.shape:
        raise InputError(f"expected the same items in candidate and baseline, got {len(first)} and {len(second)}")
    return bootstrap_mean(first - second, seed=seed, level=level, resamples=resamples)


def paired_p_value(candidate: ArrayLike, baseline: ArrayLike, *, seed: int, resamples: int = 9999) -> float:
    """Two-sided p-value of a sign-flip permutation test that paired values have the same mean.

    Under the null hypothesis each difference is as likely with either sign. The smallest answer is
    ``1 / (resamples + 1)``, or ``2 / 2**n`` where all sign patterns fit into ``resamples``.

    Args:
        candidate: Shape ``(n,)``.
        baseline: Shape ``(n,)``, the same items in the same order.
        seed: Seed of the permutations.
        resamples: Number of permutations.

    Returns:
        p in (0, 1].

    Raises:
        InputError: As ``paired_difference``.

    References:
        Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005.
    """
    first, second = _finite(candidate, "candidate"), _finite(baseline, "baseline")
    if first.shape != second.shape:
        raise InputError(f"expected the same items in candidate and baseline, got {len(first)} and {len(second)}")
    result = stats.permutation_test(
        (first, second),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, 2_000_000 // len(first)),
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def _finite(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2:
        raise InputError(f"expected {name} of shape (n,) with n of at least 2, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"expected finite {name}, got {int((~np.isfinite(array)).sum())} of {len(array)} that are not")
    return array
