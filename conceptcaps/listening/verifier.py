"""Calibrated detectors of tags: is the concept in the clip, with what probability, and when to say so.

A detector is a logistic regression on what musicnn's layers hear, fitted on clips whose truth is known, calibrated by a
second logistic regression on held-out scores (Platt). Its thresholds come from held-out clips too: at most 5 % of those
that lack the tag pass as present, at most 5 % of those that have it as absent.

References:
    Platt, Probabilistic outputs for support vector machines, 1999. Niculescu-Mizil and Caruana, Predicting good
    probabilities with supervised learning, 2005. Hanley and McNeil, The meaning and use of the area under a ROC curve,
    1982 (standard error of an AUC). Alain and Bengio, Understanding intermediate layers using linear classifier probes,
    2016, arXiv 1610.01644.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from safetensors.numpy import load_file, save_file
from scipy.special import expit
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from conceptcaps.errors import InputError
from conceptcaps.workspace.files import whole

Floats = NDArray[np.float64]
FALSE_RATE = 0.05  # of clips without a tag that pass as present, and of clips with it that pass as absent
LEAST_AUC = 0.6  # that a detector's lower bound has to reach
FEWEST = 20  # clips with a tag, and without it, that a detector is fitted on
VERDICTS = ("none", "present", "absent", "uncertain")
_FOLDS = 5
_DIMENSIONS = 1024  # of the rotation, which changes no regression as long as there are no more clips
_LEARNT = 2048  # clips that the rotation is of at most
_AT_ONCE = 256  # clips whose features stand in memory as doubles
_FARTHEST = 5.0  # standard deviations: what lies farther was never heard, and counts as that far
_PENALTY = 0.01  # C of the regression, on standardised features
_ARRAYS = ("mean", "components", "weights", "bias", "slope", "intercept", "present", "absent", "farthest")


class Vectors(Protocol):
    """Vectors ``(n, d)`` that are read some rows at a time: an array, or ``hearing.Features``."""

    def __len__(self) -> int:
        """Number of rows."""

    def __getitem__(self, rows: slice, /) -> NDArray[np.floating[Any]]:
        """Some of them ``(k, d)``."""


@dataclass(frozen=True)
class Verifier:
    """Detectors of ``tags``.

    Attributes:
        tags: n names.
        mean: Of the features ``(d,)``.
        components: Principal components of the standardised features, over their scales ``(k, d)``.
        weights: Of the regressions ``(n, k)``.
        bias: Of the regressions ``(n,)``.
        slope: Of the calibration ``(n,)``.
        intercept: Of the calibration ``(n,)``.
        present: Least probability ``(n,)`` of the verdict present.
        absent: Greatest probability ``(n,)`` of the verdict absent.
        auc: On clips that the detector was not fitted on, by tag.
        auc_low: Lower end of its 95 % interval, by tag.
        farthest: How far a feature may lie from its mean ``(d,)``: a layer's unit that stays still while a soundfont
            plays moves for a recording, by a million times its deviation. None bounds nothing.
    """

    tags: tuple[str, ...]
    mean: Floats
    components: Floats
    weights: Floats
    bias: Floats
    slope: Floats
    intercept: Floats
    present: Floats
    absent: Floats
    auc: Mapping[str, float]
    auc_low: Mapping[str, float]
    farthest: Floats | None = None

    def probabilities(self, features: Vectors) -> pd.DataFrame:
        """Calibrated probability of every tag (columns) in every clip (rows) of features ``(clips, d)``."""
        scores = _turned(features, self.mean, self.farthest, self.components) @ self.weights.T + self.bias
        return pd.DataFrame(expit(self.slope * scores + self.intercept), columns=list(self.tags))

    def decide(self, probabilities: Floats) -> NDArray[np.int8]:
        """Place among ``VERDICTS`` of each probability ``(clips, n)``; NaN, of a clip that has none, is ``none``."""
        sides = [probabilities >= self.present, probabilities <= self.absent, ~np.isnan(probabilities)]
        return np.select(sides, [1, 2, 3], default=0).astype(np.int8)

    def verdicts(self, probabilities: pd.DataFrame) -> pd.DataFrame:
        """``VERDICTS`` for every probability."""
        which = self.decide(probabilities[list(self.tags)].to_numpy())
        kinds = np.array(VERDICTS, dtype=object)
        return pd.DataFrame(kinds[which], columns=list(self.tags), index=probabilities.index)


def fit(
    features: Vectors,
    truth: Mapping[str, NDArray[np.float64]],
    *,
    groups: Sequence[str],
    sources: Sequence[str],
    seed: int,
) -> tuple[Verifier, pd.DataFrame, Floats]:
    """Fit a detector for every tag that can be told from chance.

    Args:
        features: Of the clips ``(clips, d)``, see ``hearing.features``.
        truth: By tag, 1 for clips that have it, 0 for those that lack it, NaN where it is unknown.
        groups: Clips that share one, such as the two sides of a pair, are held out together.
        sources: Soundfont of each clip. Where there are several, a detector has to be good on each font with groups
            that it was not fitted on in another: the same piece in two fonts has one group.
        seed: Of the principal components, and of the 2,048 clips that they are of where there are more.

    Returns:
        The verifier; a table of all tags with enough clips, ``tag``, ``positives``, ``negatives``, ``auc`` (held-out
        groups), ``auc_unseen`` (held-out groups in held-out fonts, the least over fonts; NaN with one font),
        ``auc_low`` (the least lower bound of these) and ``kept``; and the mean negative log-likelihood of each clip's
        truth by held-out scores, or by the tag's share where no detector is kept (nats), NaN for a clip without any. A
        tag that a fold could not be fitted on is in no row.

    Raises:
        InputError: If a clip has no soundfont, if no tag has enough clips or none can be told from chance.
    """
    unknown = sum(not isinstance(source, str) for source in sources)
    if unknown:
        raise InputError(f"expected clips of a soundfont, whose score tells what sounds, got {unknown} of no soundfont")
    scaler = StandardScaler()
    for part in _slices(len(features)):
        scaler.partial_fit(features[part])
    farthest = _FARTHEST * np.sqrt(scaler.var_)
    turned = _basis(features, scaler, seed=seed)
    hidden = _turned(features, scaler.mean_, farthest, turned)
    own, fonts = np.asarray(groups), np.asarray(sources)
    rows, kept = [], []
    losses, counts = np.zeros(len(features)), np.zeros(len(features))
    for tag, labels in tqdm(truth.items(), desc="detectors", unit="tag"):
        known = ~np.isnan(labels)
        y = labels[known].astype(int)
        if min(y.sum(), len(y) - y.sum()) < FEWEST or len(set(own[known])) < _FOLDS:
            continue
        x = hidden if known.all() else hidden[known]
        held_out = _held_out(x, y, groups=own[known])
        if np.isnan(held_out).any():
            continue
        auc = float(roc_auc_score(y, held_out))
        unseen, unseen_low = _unseen(x, y, groups=own[known], fonts=fonts[known])
        low = float(np.nanmin([_lower(auc, y), unseen_low]))
        positive, total = int(y.sum()), len(y)
        rows.append((tag, positive, total - positive, auc, unseen, low, low >= LEAST_AUC))
        platt = LogisticRegression(C=1e6).fit(held_out[:, None], y)
        probability = platt.predict_proba(held_out[:, None])[:, 1] if low >= LEAST_AUC else np.full(total, y.mean())
        losses[known] -= np.log(np.where(y == 1, probability, 1 - probability))
        counts[known] += 1
        if low < LEAST_AUC:
            continue
        whole_fit = LogisticRegression(C=_PENALTY, max_iter=1000).fit(x, y)
        numbers = (whole_fit.intercept_[0], platt.coef_[0, 0], platt.intercept_[0], *thresholds(probability, y))
        kept.append((tag, whole_fit.coef_[0], *numbers))
    names = ["tag", "positives", "negatives", "auc", "auc_unseen", "auc_low", "kept"]
    table = pd.DataFrame(rows, columns=names)
    if not kept:
        raise InputError(
            f"expected tags with {FEWEST} clips on each side whose AUC is at least {LEAST_AUC}, "
            f"got {len(table)} with enough clips of {len(truth)}, none above it"
        )
    tags, weights, bias, slope, intercept, present, absent = zip(*kept, strict=True)
    verifier = Verifier(
        tags=tags,
        mean=scaler.mean_.astype(np.float64),
        components=turned.astype(np.float64),
        weights=np.stack(weights),
        bias=np.array(bias),
        slope=np.array(slope),
        intercept=np.array(intercept),
        present=np.array(present),
        absent=np.array(absent),
        auc=dict(zip(table["tag"], table["auc"], strict=True)),
        auc_low=dict(zip(table["tag"], table["auc_low"], strict=True)),
        farthest=farthest,
    )
    return verifier, table, np.where(counts > 0, losses / np.maximum(counts, 1), np.nan)


def thresholds(probability: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """Lowest probability for the verdict present, and highest for absent, each with a false rate of 5 %.

    A detector so good that the two would cross says one or the other everywhere, from their middle on.

    >>> thresholds([.1, .2, .8, .9], [0, 0, 1, 1])
    (0.5, 0.5)
    """
    values, y = np.asarray(probability), np.asarray(labels)
    present = float(np.quantile(values[y == 0], 1 - FALSE_RATE))
    absent = float(np.quantile(values[y == 1], FALSE_RATE))
    return (present, absent) if absent < present else ((present + absent) / 2,) * 2


def save(verifier: Verifier, folder: Path) -> None:
    """Write ``verifier.safetensors`` and ``verifier.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    with whole(folder / "verifier.safetensors") as path:
        there = {name: getattr(verifier, name) for name in _ARRAYS}
        save_file({name: np.ascontiguousarray(value) for name, value in there.items() if value is not None}, path)
    facts = {"tags": verifier.tags, "auc": verifier.auc, "auc_low": verifier.auc_low}
    (folder / "verifier.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> Verifier:
    """Open what ``save`` wrote."""
    facts = json.loads((folder / "verifier.json").read_text(encoding="utf-8"))
    arrays: dict[str, Any] = load_file(folder / "verifier.safetensors")
    return Verifier(**{**facts, "tags": tuple(facts["tags"])}, **arrays)


def _slices(count: int) -> Iterator[slice]:
    """Rows that stand in memory together."""
    return (slice(begin, begin + _AT_ONCE) for begin in range(0, count, _AT_ONCE))


def _basis(features: Vectors, scaler: StandardScaler, *, seed: int) -> Floats:
    """Principal components ``(k, d)`` of standardised features, over their scales."""
    drawn = np.ones(len(features), dtype=bool)
    if len(features) > _LEARNT:
        drawn = np.isin(np.arange(len(drawn)), np.random.default_rng(seed).permutation(len(drawn))[:_LEARNT])
    some = (part for part in _slices(len(drawn)) if drawn[part].any())
    rows = np.concatenate([scaler.transform(features[part][drawn[part]]) for part in some])
    np.clip(rows, -_FARTHEST, _FARTHEST, out=rows)
    basis = PCA(min(_DIMENSIONS, *rows.shape), copy=False, svd_solver="randomized", random_state=seed).fit(rows)
    found: Floats = basis.components_ / scaler.scale_
    return found


def _turned(features: Vectors, mean: Floats, farthest: Floats | None, components: Floats) -> Floats:
    """Features ``(clips, d)``, none farther from its mean than it may be, turned to their components ``(clips, k)``."""
    least = None if farthest is None else -farthest
    found = np.empty((len(features), len(components)))
    for part in _slices(len(features)):
        found[part] = np.clip(features[part].astype(np.float64) - mean, least, farthest) @ components.T
    return found


def _held_out(
    x: Floats, y: NDArray[np.int_], *, groups: NDArray[np.str_], among: NDArray[np.bool_] | None = None
) -> Floats:
    """Scores by folds of groups that were not fitted on; NaN in a fold that has nothing to be fitted on.

    Args:
        x: Of the clips ``(n, k)``.
        y: 0 or 1.
        groups: Of the clips.
        among: Clips that may be fitted on; all if None.
    """
    scores = np.full(len(y), np.nan)
    usable = np.ones(len(y), dtype=bool) if among is None else among
    for train, test in GroupKFold(_FOLDS).split(x, y, groups):
        train = train[usable[train]]
        if 0 < y[train].sum() < len(train):
            model = LogisticRegression(C=_PENALTY, max_iter=1000).fit(x[train], y[train])
            scores[test] = model.decision_function(x[test])
    return scores


def _unseen(
    x: Floats, y: NDArray[np.int_], *, groups: NDArray[np.str_], fonts: NDArray[np.str_]
) -> tuple[float, float]:
    """Least AUC over fonts, on a font and groups that were not fitted on, and its lower bound; NaN with too few."""
    found = []
    for font in sorted(set(fonts)):
        test = fonts == font
        if all(min(part.sum(), len(part) - part.sum()) >= FEWEST // 2 for part in (y[test], y[~test])):
            scores = _held_out(x, y, groups=groups, among=~test)[test]
            if np.isfinite(scores).all():
                auc = float(roc_auc_score(y[test], scores))
                found.append((auc, _lower(auc, y[test])))
    return min(found, key=lambda bound: bound[1], default=(float("nan"), float("nan")))


def _lower(auc: float, y: NDArray[np.int_]) -> float:
    """Lower end of an AUC's 95 % interval (Hanley and McNeil 1982)."""
    positive, negative = int(y.sum()), int(len(y) - y.sum())
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (positive - 1) * (first - auc**2) + (negative - 1) * (second - auc**2)
    return float(auc - 1.96 * np.sqrt(max(spread, 0) / (positive * negative)))
