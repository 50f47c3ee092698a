"""How like real tag sets samples are, and how new: figures on samples, over whole sets, off the diagonal."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from conceptcaps.tags.taxonomy import Taxonomy

Rows = NDArray[np.bool_]
LEAST = 50  # samples below which the figures say little
Floats = NDArray[np.float64]


class Cooccurrence(NamedTuple):
    """Cosine of samples and held-out rows, of real and held-out rows (the noise ceiling), their ratio with ends."""

    cosine: float
    ceiling: float
    ratio: float
    low: float
    high: float


def pair_frequencies(rows: Rows, weights: Floats | None = None) -> Floats:
    """Share of rows that hold both tags of each pair of different tags, ``(pairs,)``."""
    values = rows.astype(np.float64)
    weighted = values if weights is None else values * weights[:, None]
    together = weighted.T @ values / len(rows)
    return together[np.triu_indices(rows.shape[1], k=1)]


def cosine(x: Floats, y: Floats) -> float:
    """Cosine of two vectors, NaN if one is zero.

    >>> cosine(np.array([1.0, 0.0]), np.array([1.0, 1.0]))
    0.7071067811865475
    """
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def cooccurrence(samples: Rows, held_out: Rows, real: Rows, *, seed: int, resamples: int = 200) -> Cooccurrence:
    """Off-diagonal co-occurrence cosine of samples against held-out rows, over its noise ceiling.

    A finite held-out set agrees with no other set perfectly: the ceiling is what the training rows, which are real,
    reach against the same held-out rows. The interval is a percentile bootstrap over held-out rows.

    Args:
        samples: ``(n, tags)``.
        held_out: ``(m, tags)``, rows that trained nothing.
        real: ``(k, tags)``, the training rows.
        seed: Seed of the bootstrap.
        resamples: Bootstrap draws.
    """
    _require(samples, held_out, real)
    ours, theirs = pair_frequencies(samples), pair_frequencies(real)

    def measure(weights: Floats | None) -> tuple[float, float]:
        reference = pair_frequencies(held_out, weights)
        return cosine(ours, reference), cosine(theirs, reference)

    value, ceiling = measure(None)
    generator = np.random.default_rng(seed)
    share = np.full(len(held_out), 1 / len(held_out))
    drawn = [measure(generator.multinomial(len(held_out), share).astype(np.float64)) for _ in range(resamples)]
    low, high = np.quantile([one / other for one, other in drawn], [0.025, 0.975])
    return Cooccurrence(value, ceiling, value / ceiling, float(low), float(high))


def two_sample_auc(samples: Rows, held_out: Rows, *, seed: int) -> float:
    """How well a random forest tells samples from held-out rows, cross-validated: .5 is chance and best, 1 worst.

    As many samples as held-out rows are used, the first ones.

    References:
        Lopez-Paz and Oquab, Revisiting classifier two-sample tests (2016), arXiv 1610.06545.
    """
    size = min(len(samples), len(held_out))
    features = np.concatenate([samples[:size], held_out[:size]]).astype(np.float32)
    labels = np.repeat([0, 1], size)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    forest = RandomForestClassifier(300, min_samples_leaf=2, random_state=seed, n_jobs=2)
    predicted = cross_val_predict(forest, features, labels, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(labels, predicted))


def nearest_jaccard(rows: Rows, training: Rows) -> Floats:
    """Highest Jaccard index of each row with a training row, ``(n,)``; 1 is a copy."""
    one, other = rows.astype(np.float32), training.astype(np.float32)
    best = np.zeros(len(rows))
    for start in range(0, len(rows), 2048):
        shared = one[start : start + 2048] @ other.T
        union = one[start : start + 2048].sum(1)[:, None] + other.sum(1)[None] - shared
        best[start : start + 2048] = (shared / np.maximum(union, 1)).max(1)
    return best


def contradictions(rows: Rows, *, taxonomy: Taxonomy) -> float:
    """Share of rows that hold two tags of an exclusion group; 0 is best."""
    return float(np.mean([bool(taxonomy.contradictions(tags)) for tags in taxonomy.decode(rows)]))


def evaluate(samples: Rows, *, held_out: Rows, real: Rows, taxonomy: Taxonomy, seed: int) -> dict[str, float]:
    """All figures of a set of samples.

    Args:
        samples: ``(n, tags)``.
        held_out: ``(m, tags)``: rows that trained nothing.
        real: ``(k, tags)``: the training rows.
        taxonomy: Exclusion groups.
        seed: Seed of bootstrap and classifier.

    Returns:
        ``cooccurrence``, ``cooccurrence_ceiling``, ``cooccurrence_of_ceiling`` with ``_low`` and ``_high``;
        ``two_sample_auc``; ``frequency_error`` (mean absolute difference of tag frequencies) beside that of the
        training rows (``_real``); ``size_distance`` (Wasserstein, in tags, of tags per row) likewise; ``copies`` (share
        that equals a training row) and ``nearest`` (mean Jaccard index of the nearest one) beside those of held-out
        rows; ``contradictions``; ``tags_per_row``.
    """
    together = cooccurrence(samples, held_out, real, seed=seed)
    near, near_real = nearest_jaccard(samples, real), nearest_jaccard(held_out, real)
    frequencies = [rows.mean(0) for rows in (samples, held_out, real)]
    sizes = [rows.sum(1) for rows in (samples, held_out, real)]
    return {
        "cooccurrence": together.cosine,
        "cooccurrence_ceiling": together.ceiling,
        "cooccurrence_of_ceiling": together.ratio,
        "cooccurrence_of_ceiling_low": together.low,
        "cooccurrence_of_ceiling_high": together.high,
        "two_sample_auc": two_sample_auc(samples, held_out, seed=seed),
        "frequency_error": float(np.abs(frequencies[0] - frequencies[1]).mean()),
        "frequency_error_real": float(np.abs(frequencies[2] - frequencies[1]).mean()),
        "size_distance": float(wasserstein_distance(sizes[0], sizes[1])),
        "size_distance_real": float(wasserstein_distance(sizes[2], sizes[1])),
        "copies": float((near == 1).mean()),
        "copies_held_out": float((near_real == 1).mean()),
        "nearest": float(near.mean()),
        "nearest_held_out": float(near_real.mean()),
        "contradictions": contradictions(samples, taxonomy=taxonomy),
        "tags_per_row": float(sizes[0].mean()),
    }


def glance(samples: Rows, *, train: Rows, validation: Rows, prefix: str) -> dict[str, float]:
    """What a sweep may weigh against each other, both 0 to 1 (best).

    Returns:
        ``<prefix>/cooccurrence``, off-diagonal cosine with the validation rows, and ``<prefix>/novelty``, 1 minus the
        mean Jaccard index of the nearest training row.
    """
    _require(samples, train, validation)
    together = cosine(pair_frequencies(samples), pair_frequencies(validation))
    novelty = 1 - float(nearest_jaccard(samples, train).mean())
    return {f"{prefix}/cooccurrence": together, f"{prefix}/novelty": novelty}


def _require(*sets: Rows) -> None:
    if min(map(len, sets)) < 2 or len({rows.shape[1] for rows in sets}) != 1:
        raise ValueError(f"expected sets of two rows or more with the same tags, got {[rows.shape for rows in sets]}")
