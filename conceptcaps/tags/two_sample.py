"""Two sets of rows told apart by a classifier, and what two sets of real rows give: the null."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from conceptcaps.errors import InputError

Features = NDArray[np.float32]
Labels = NDArray[np.int64]
Scores = NDArray[np.float64]
Rows = NDArray[np.bool_]

_REPEATS = 3  # pairs of sets that a classifier is trained on
_TREES = 100  # of each of their forests


class Separation(NamedTuple):
    """Area under the ROC curve of a classifier between two sets, mean over repeats, with the ends of its interval."""

    auc: float
    low: float
    high: float


def separation(one: Rows, other: Rows, *, seed: int, repeats: int = _REPEATS, resamples: int = 100) -> Separation:
    """How well a random forest tells two sets apart, cross-validated: .5 is chance and best, 1 worst.

    Each repeat takes as many rows of both, at random. Read it against that of two real sets: real rows that were dealt
    out to be alike are told apart worse than chance, and one forest's answer moves by .02 with its rows.

    Args:
        one: ``(n, tags)``.
        other: ``(m, tags)``.
        seed: Seed of rows, folds, forest and bootstrap.
        repeats: Forests cross-validated.
        resamples: Bootstrap draws over the scores of the rows, for the interval.

    References:
        Lopez-Paz and Oquab, Revisiting classifier two-sample tests (2016), arXiv 1610.06545.
    """
    require_rows(one, other)
    size = min(len(one), len(other))
    generator = np.random.default_rng(seed)
    labels = np.repeat([0, 1], size)
    aucs, drawn = [], []
    for repeat in range(repeats):
        chosen = [rows[generator.permutation(len(rows))[:size]] for rows in (one, other)]
        folds = StratifiedKFold(min(5, size), shuffle=True, random_state=seed + repeat)
        features = np.concatenate(chosen).astype(np.float32)
        scores = _votes(features, labels, folds=[*folds.split(features, labels)], seed=seed + repeat)
        aucs.append(roc_auc_score(labels, scores))
        for _ in range(resamples):
            again = generator.integers(size, size=(2, size)) + [[0], [size]]
            drawn.append(roc_auc_score(labels, scores[again.ravel()]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Separation(float(np.mean(aucs)), float(low), float(high))


def _votes(features: Features, labels: Labels, *, folds: Sequence[tuple[Labels, Labels]], seed: int) -> Scores:
    """How likely each row is of the second set, by a forest of the other folds.

    Folds share the cores, and each forest's trees vote in turn: in threads they would in the order in which they end,
    and the last bit of a sum would change.
    """
    scores = np.empty(len(labels))

    def vote(fold: tuple[Labels, Labels]) -> None:
        train, test = fold
        forest = RandomForestClassifier(_TREES, min_samples_leaf=2, random_state=seed, n_jobs=1)
        scores[test] = forest.fit(features[train], labels[train]).predict_proba(features[test])[:, 1]

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(vote, folds))
    return scores


def real_against_real(rows: Rows, *, size: int, seed: int, repeats: int = _REPEATS) -> Separation:
    """``separation`` of two random sets of different real rows: what samples could reach.

    Each has ``size`` rows, or half of all; each repeat deals the rows out anew, without regard to their tags.
    """
    generator = np.random.default_rng(seed)
    size = min(size, len(rows) // 2)
    dealt = [rows[generator.permutation(len(rows))[: 2 * size]] for _ in range(repeats)]
    found = [separation(two[:size], two[size:], seed=seed + place, repeats=1) for place, two in enumerate(dealt)]
    return Separation(*map(float, np.mean(found, axis=0)))


def require_rows(*sets: Rows) -> None:
    """Refuse sets of fewer than two rows, or of different tags."""
    if min(map(len, sets)) < 2 or len({rows.shape[1] for rows in sets}) != 1:
        raise InputError(f"expected sets of two rows or more with the same tags, got {[rows.shape for rows in sets]}")
