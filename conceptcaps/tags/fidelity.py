"""How similar samples are to real tag sets, and how new: figures on samples, over whole sets, off the diagonal."""

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from conceptcaps.results.intervals import as_metrics
from conceptcaps.tags.jaccard import jaccard
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.tags.two_sample import Separation, real_against_real, require_rows, separation

Rows = NDArray[np.bool_]
Floats = NDArray[np.float64]
Moments = Callable[[Rows, Floats], Floats]

LEAST = 50  # rows below which the figures say little
RARE = 20  # real rows with a tag below which its frequency says little
_FREQUENT = 40  # tags whose third moments are compared: those of rarer ones are noise
_SURE = 4  # standard errors beyond which a pair's frequency is off


class Agreement(NamedTuple):
    """Cosine of samples and held-out rows, of real and held-out rows (the ceiling), and their ratio with its ends."""

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


def covariances(rows: Rows, weights: Floats | None = None) -> Floats:
    """Covariance of each pair of different tags, ``(pairs,)``: 0 for independent tags, whatever their frequencies.

    >>> covariances(np.array([[True, True], [False, False]])).tolist()
    [0.25]
    """
    means = np.average(rows, axis=0, weights=weights)
    return pair_frequencies(rows, weights) - np.outer(means, means)[np.triu_indices(rows.shape[1], k=1)]


def third_moments(rows: Rows, weights: Floats | None = None) -> Floats:
    """Mean product of the centred values of each three different tags, ``(triples,)``: 0 for independent tags.

    >>> third_moments(np.array([[True, True, True], [False, False, False], [False, False, False]])).round(4).tolist()
    [0.0741]
    """
    share = np.full(len(rows), 1 / len(rows)) if weights is None else weights / weights.sum()
    centred = rows - share @ rows
    first, second = np.array(list(combinations(range(rows.shape[1]), 2))).T
    together = (centred[:, first] * centred[:, second] * share[:, None]).T @ centred
    return together[np.arange(rows.shape[1]) > second[:, None]]


def cosine(x: Floats, y: Floats) -> float:
    """Cosine of two vectors, NaN if one is zero.

    >>> cosine(np.array([1.0, 0.0]), np.array([1.0, 1.0]))
    0.7071067811865475
    """
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def agreement(
    moments: Moments, samples: Rows, *, held_out: Rows, real: Rows, seed: int, resamples: int = 100
) -> Agreement:
    """Cosine of the moments of samples and of held-out rows, over its noise ceiling.

    A finite held-out set agrees with no other set perfectly: the ceiling is what the training rows, which are real,
    reach against the same held-out rows. As many samples as training rows are used, the first samples and random
    training rows, so that noise takes its part of both alike. The interval is a percentile bootstrap over held-out
    rows.

    Args:
        moments: ``pair_frequencies``, ``covariances`` or ``third_moments``.
        samples: ``(n, tags)``.
        held_out: ``(m, tags)``, rows that trained nothing.
        real: ``(k, tags)``, the training rows.
        seed: Seed of training rows and bootstrap.
        resamples: Bootstrap draws.
    """
    require_rows(samples, held_out, real)
    generator = np.random.default_rng(seed)
    size = min(len(samples), len(real))
    chosen = np.sort(generator.permutation(len(real))[:size])
    ours, theirs = (moments(rows, np.ones(size)) for rows in (samples[:size], real[chosen]))

    def measure(weights: Floats) -> tuple[float, float]:
        reference = moments(held_out, weights)
        return cosine(ours, reference), cosine(theirs, reference)

    value, ceiling = measure(np.ones(len(held_out)))
    share = np.full(len(held_out), 1 / len(held_out))
    drawn = [measure(generator.multinomial(len(held_out), share).astype(np.float64)) for _ in range(resamples)]
    low, high = np.quantile([one / other for one, other in drawn], [0.025, 0.975])
    return Agreement(value, ceiling, value / ceiling, float(low), float(high))


def nearest_jaccard(rows: Rows, training: Rows) -> Floats:
    """Highest Jaccard index of each row with a training row, ``(n,)``; 1 is a copy."""
    one, other = rows.astype(np.float32), training.astype(np.float32)
    best = np.zeros(len(rows))
    for start in range(0, len(rows), 2048):
        best[start : start + 2048] = jaccard(one[start : start + 2048], other).max(1)
    return best


def contradictions(rows: Rows, *, taxonomy: Taxonomy) -> float:
    """Share of rows that hold two tags of an exclusion group; 0 is best."""
    return float(np.mean([bool(taxonomy.contradictions(tags)) for tags in taxonomy.decode(rows)]))


def pairs_off(samples: Rows, real: Rows) -> int:
    """Pairs of tags whose frequency among samples differs from that among real rows by more than 4 standard errors."""
    ours, theirs = pair_frequencies(samples), pair_frequencies(real)
    pooled = (ours * len(samples) + theirs * len(real)) / (len(samples) + len(real))
    error = np.sqrt(pooled * (1 - pooled) * (1 / len(samples) + 1 / len(real)))
    return int((np.abs(ours - theirs) > _SURE * error).sum())


def by_tag(samples: Rows, *, drawn: Floats, kept: Floats, real: Rows, taxonomy: Taxonomy) -> pd.DataFrame:
    """How often each tag occurs in real rows, in all draws, in those that were kept, and in the samples from these.

    Args:
        samples: ``(n, tags)``.
        drawn: Share of draws that hold each tag, before any was left out, ``(tags,)``.
        kept: The same of the draws that were kept, of which there may be many more than samples.
        real: ``(m, tags)``.
        taxonomy: Names the columns.

    Returns:
        Columns ``tag``, ``real_rows`` (a number), ``real``, ``drawn``, ``kept``, ``samples`` (shares of rows) and
        ``loss``: the part of a tag's share that was lost between drawing and keeping, 0 at best, below it for a gain.
    """
    shares = {"real": real.mean(0), "drawn": drawn, "kept": kept, "samples": samples.mean(0)}
    loss = np.divide(drawn - kept, drawn, out=np.zeros(len(drawn)), where=drawn > 0)
    return pd.DataFrame({"tag": taxonomy.tags, "real_rows": real.sum(0), **shares, "loss": loss})


def evaluate(
    samples: Rows, *, held_out: Rows, real: Rows, taxonomy: Taxonomy, seed: int, null: Separation | None = None
) -> dict[str, float]:
    """All figures of a set of samples.

    Args:
        samples: ``(n, tags)``.
        held_out: ``(m, tags)``: rows that trained nothing.
        real: ``(k, tags)``: the training rows.
        taxonomy: Exclusion groups.
        seed: Seed of bootstrap and classifier.
        null: Of ``real_against_real`` with as many rows as the smaller of ``samples`` and ``held_out``, where many sets
            are held against the same rows; None measures it.

    Returns:
        ``covariance``, ``third_moments`` and ``cooccurrence`` (cosines with held-out rows), each with ``_ceiling``,
        ``_of_ceiling``, ``_of_ceiling_low`` and ``_high``; ``covariance_all_of_ceiling``, of all samples, which may
        exceed 1, since many samples carry less noise than the ceiling's rows; ``two_sample_auc`` with ``_low`` and
        ``_high`` beside those of real against real (``_real``); ``pairs_off``; ``frequency_error`` (mean absolute
        difference of tag frequencies) beside that of the training rows (``_real``); ``size_distance`` (Wasserstein, in
        tags, of tags per row) likewise; ``copies`` (share that equals a training row) and ``nearest`` (mean Jaccard
        index of the nearest one) beside those of held-out rows; ``contradictions``; ``tags_per_row``.
    """
    frequent = np.argsort(-real.sum(0), kind="stable")[:_FREQUENT]
    alike = {
        "covariance": agreement(covariances, samples, held_out=held_out, real=real, seed=seed),
        "cooccurrence": agreement(pair_frequencies, samples, held_out=held_out, real=real, seed=seed),
        "third_moments": agreement(
            third_moments, samples[:, frequent], held_out=held_out[:, frequent], real=real[:, frequent], seed=seed
        ),
    }
    found: dict[str, float] = {}
    for name, value in alike.items():
        found |= {name: value.cosine, f"{name}_ceiling": value.ceiling}
        found |= as_metrics(f"{name}_of_ceiling", value.ratio, value.low, value.high)
    whole = cosine(covariances(samples), covariances(held_out))
    found["covariance_all_of_ceiling"] = whole / alike["covariance"].ceiling
    everything = np.concatenate([real, held_out])
    near, near_real = nearest_jaccard(samples, real), nearest_jaccard(held_out, real)
    return found | {
        **_told_apart(
            separation(samples, held_out, seed=seed),
            null or real_against_real(everything, size=min(len(samples), len(held_out)), seed=seed),
        ),
        "pairs_off": float(pairs_off(samples, everything)),
        **_margins(samples, held_out, real),
        "copies": float((near == 1).mean()),
        "copies_held_out": float((near_real == 1).mean()),
        "nearest": float(near.mean()),
        "nearest_held_out": float(near_real.mean()),
        "contradictions": contradictions(samples, taxonomy=taxonomy),
        "tags_per_row": float(samples.sum(1).mean()),
    }


def evaluate_condition(samples: Rows, *, real: Rows, seed: int) -> dict[str, float]:
    """Figures of samples that hold a condition.

    Args:
        samples: ``(n, tags)``.
        real: ``(m, tags)``: all real rows that hold the condition, most of which trained the model.
        seed: Seed of the classifier.

    Returns:
        ``real_rows``; from ``LEAST`` of them on ``two_sample_auc`` beside that of real against real (``_real``), both
        with as many rows, half of the real ones or all samples, and ``_low`` and ``_high``; ``frequency_error``,
        ``size_distance``, each beside that of one random half of the real rows against the other; ``copies`` and
        ``tags_per_row``.
    """
    found = {"real_rows": float(len(real)), "tags_per_row": float(samples.sum(1).mean())}
    if len(real) < LEAST:
        return found
    one, other = np.array_split(real[np.random.default_rng(seed).permutation(len(real))], 2)
    null = real_against_real(real, size=min(len(samples), len(other)), seed=seed)
    found |= _told_apart(separation(samples, other, seed=seed), null)
    found |= _margins(samples, other, one)
    return found | {"copies": float((nearest_jaccard(samples, real) == 1).mean())}


def evaluate_quickly(samples: Rows, *, train: Rows, validation: Rows, prefix: str) -> dict[str, float]:
    """Figures that a sweep may trade off against each other.

    Returns:
        ``<prefix>/covariance``, off-diagonal cosine with the validation rows (best 1), ``<prefix>/novelty``, 1 minus
        the mean Jaccard index of the nearest training row, and ``<prefix>/novelty_error``, how far that is from the
        novelty of validation rows (best 0): noise is newer than music.
    """
    require_rows(samples, train, validation)
    novelty = 1 - float(nearest_jaccard(samples, train).mean())
    target = 1 - float(nearest_jaccard(validation, train).mean())
    return {
        f"{prefix}/covariance": cosine(covariances(samples), covariances(validation)),
        f"{prefix}/novelty": novelty,
        f"{prefix}/novelty_error": abs(novelty - target),
    }


def _told_apart(ours: Separation, null: Separation) -> dict[str, float]:
    return as_metrics("two_sample_auc", *ours) | as_metrics("two_sample_auc_real", *null)


def _margins(samples: Rows, held_out: Rows, real: Rows) -> dict[str, float]:
    frequencies = [rows.mean(0) for rows in (samples, held_out, real)]
    sizes = [rows.sum(1) for rows in (samples, held_out, real)]
    return {
        "frequency_error": float(np.abs(frequencies[0] - frequencies[1]).mean()),
        "frequency_error_real": float(np.abs(frequencies[2] - frequencies[1]).mean()),
        "size_distance": float(wasserstein_distance(sizes[0], sizes[1])),
        "size_distance_real": float(wasserstein_distance(sizes[2], sizes[1])),
    }
