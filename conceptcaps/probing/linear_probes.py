"""Linear probes: which layer of which network holds which concept, so that a plane can separate it.

A probe is a logistic regression on a layer's mean over time. It learns from the concept's training clips and is judged
on clips of other contexts. Three figures say what its own is worth: that of the same probe on permuted labels, on the
same layer with random weights, and on the other tags that sound in the clips, without any sound.

References:
    Alain and Bengio, Understanding intermediate layers using linear classifier probes (2016), arXiv 1610.01644.
    Hewitt and Liang, Designing and interpreting probes with control tasks (2019), arXiv 1909.03368.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.linear_model import LogisticRegression

from conceptcaps.audio import pairs
from conceptcaps.audio.truth import ties
from conceptcaps.errors import InputError
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace.processor import one_thread

_CONTROLS = ("permuted_auc", "selectivity", "cv_auc")
_C = 10.0  # inverse strength of the L2 penalty, on clips whose mean square norm is 1
_PERMUTATIONS = 20
_RESAMPLES = 2000
_FOLDS = 3
_FEWEST = {"train": 4, "test": 2}  # clips of each side
_NOTHING = 1e-6  # spread of a column, relative to its size, that is rounding
_UNREAD = 0.1  # share of a concept's clips that a layer may lack

Rows = NDArray[np.float64]
_NAN = float("nan")


@dataclass(frozen=True)
class Task:
    """A concept's clips, m of n.

    Attributes:
        concept: The tag.
        clips: Their numbers ``(m,)``.
        label: Whether each has it ``(m,)``.
        test: Whether it is for testing ``(m,)``.
        groups: Number of its group ``(m,)``: clips of one are no independent evidence.
        others: Whether each other tag sounds ``(m, tags)``.
    """

    concept: str
    clips: NDArray[np.int64]
    label: NDArray[np.bool_]
    test: NDArray[np.bool_]
    groups: NDArray[np.int64]
    others: NDArray[np.bool_]

    def only(self, chosen: NDArray[np.bool_]) -> "Task":
        """Some of the clips, by a mask over them."""
        sides = self.label[chosen], self.test[chosen], self.groups[chosen], self.others[chosen]
        return Task(self.concept, self.clips[chosen], *sides)

    def count(self, side: bool | None, *, test: bool) -> int:
        """Clips of a part, of one side or of both."""
        return int(((self.test == test) & (True if side is None else self.label == side)).sum())

    def fault(self) -> str:
        """Why there are too few clips; empty where there are enough."""
        for part, fewest in _FEWEST.items():
            counts = [self.count(side, test=part == "test") for side in (True, False)]
            if min(counts) < fewest:
                return f"expected {fewest} {part} clips or more with and without, got {counts[0]} and {counts[1]}"
        return ""

    def generator(self, seed: int, purpose: str) -> np.random.Generator:
        """A generator of its own, so that which other concepts are probed changes nothing."""
        return np.random.default_rng([seed, zlib.crc32(f"{purpose}:{self.concept}".encode())])


def tasks(clips: pd.DataFrame, *, taxonomy: Taxonomy) -> list[Task]:
    """The concepts of a designed set.

    Other tags are those that may be the same with and without the concept: not what it implies, is implied by or
    excludes, nor what is the same event in a score (``ties.alike``), which must differ.

    Args:
        clips: Columns ``present``, ``group``, ``concept``, ``positive`` and ``part`` of ``design_concepts``.
        taxonomy: What tags imply.

    Raises:
        InputError: If a column is missing.
    """
    missing = {"concept", "positive", "part"} - set(clips.columns)
    if missing:
        raise InputError(f"expected concepts/ of design_concepts, got clips without {', '.join(sorted(missing))}")
    known = set(taxonomy.tags)
    sounding = taxonomy.encode([taxonomy.closure(set(tags) & known) for tags in clips["present"]])
    groups = pd.factorize(clips["group"])[0].astype(np.int64)
    found = []
    for concept in sorted(clips["concept"].unique()):
        kin = pairs.related(concept, taxonomy) | ties.alike(concept)
        others = np.array([tag not in kin for tag in taxonomy.tags])
        own = np.flatnonzero(clips["concept"] == concept)
        label = clips["positive"].to_numpy(dtype=bool)[own]
        test = (clips["part"] == "test").to_numpy()[own]
        found.append(Task(concept, own, label, test, groups[own], sounding[own][:, others]))
    return found


def probe(points: Rows, task: Task, *, seed: int, controls: bool = True) -> dict[str, float | str]:
    """Learn a concept from a layer's training clips and judge it on the test clips.

    Columns are standardised by the training clips and divided by the root of their number, so that the L2 penalty means
    the same in all layers. A label permuted in both parts can be told by what was learnt by heart only where a clip
    stands in both; parts of other contexts leave chance, so ``permuted_auc`` far from .5 says that there are few clips.

    Args:
        points: ``(m, d)``, clips of the task.
        task: The concept.
        seed: Seed of permutations, folds and bootstrap.
        controls: Whether to make permutations, folds and interval; they are most of the work.

    Returns:
        ``auc``, share of pairs of test clips with and without in which the one with it scores higher; ``low`` and
        ``high``, its 95 % bootstrap interval over groups of test clips, the probe as it is (of no width where all pairs
        are right); ``permuted_auc``, the mean over 20 permutations of the labels inside of each part; ``selectivity``,
        ``auc - permuted_auc``; ``cv_auc``, over three folds of the training clips' groups, for choosing a layer without
        the test clips; ``n_train``, ``n_test``; ``error``, why there are none.
    """
    whole = np.asarray(np.isfinite(points).all(axis=1), dtype=np.bool_)
    unread = int((~whole).sum())
    points, task = points[whole], task.only(whole)
    label, test, train = task.label, task.test, ~task.test
    made: dict[str, float | str] = dict.fromkeys(("auc", "low", "high", *_CONTROLS), _NAN)
    made |= {"n_train": int(train.sum()), "n_test": int(test.sum()), "error": ""}
    if unread > _UNREAD * len(whole):
        return made | {"error": f"expected finite activations, got {unread} of {len(whole)} clips with NaN or infinity"}
    if reason := task.fault():
        return made | {"error": reason}
    space = _span(points, train)
    if controls and not space.shape[1]:
        return made | {"error": "expected activations that differ between clips, got a constant layer"}
    with one_thread(), config_context(assume_finite=True, skip_parameter_validation=True):
        scores = _scores(space, label, train, test)
        own = auc(scores, label[test])
        if not controls:
            return made | {"auc": own}
        low, high = _interval(scores, label[test], task.groups[test], task.generator(seed, "bootstrap"))
        permuted = _permuted(space, label, test, task.generator(seed, "permuted"))
        folded = _folded(space[train], label[train], task.groups[train], task.generator(seed, "folds"))
    found = {"auc": own, "low": low, "high": high, "cv_auc": folded}
    return made | found | {"permuted_auc": permuted, "selectivity": own - permuted}


def auc(scores: Rows, label: NDArray[np.bool_]) -> float:
    """Share of pairs of a clip with and one without in which the first scores higher, ties half; NaN without a pair.

    >>> auc(np.array([0.9, 0.4, 0.5, 0.4]), np.array([True, True, False, False]))
    0.625
    """
    wins = _wins(scores, label)
    return float(wins.mean()) if wins.size else _NAN


# --- one probe --------------------------------------------------------------------------------------------------------


def _span(points: Rows, train: NDArray[np.bool_]) -> Rows:
    """Standardised clips in the span of the training ones ``(m, rank)``, where the penalised optimum lies.

    What does not vary among the training clips is left out.
    """
    centre, spread = points[train].mean(0), points[train].std(0)
    size = np.sqrt(np.square(points[train]).mean(0))
    varies = spread > _NOTHING * np.where(size > 0, size, 1)
    if not varies.any():
        return np.zeros((len(points), 0))
    scaled = (points[:, varies] - centre[varies]) / spread[varies] / np.sqrt(varies.sum())
    _, strength, axes = np.linalg.svd(scaled[train], full_matrices=False)
    return np.asarray(scaled @ axes[strength > _NOTHING * strength[0]].T)


def _scores(space: Rows, label: NDArray[np.bool_], train: NDArray[np.bool_], held: NDArray[np.bool_]) -> Rows:
    """Logits of held clips; all alike where there is nothing to learn from."""
    if not space.shape[1]:
        return np.zeros(int(held.sum()))
    model = LogisticRegression(C=_C, solver="newton-cholesky", tol=1e-8, max_iter=200)
    model.fit(space[train], label[train])
    return np.asarray(model.decision_function(space[held]))


def _wins(scores: Rows, label: NDArray[np.bool_]) -> Rows:
    """Of each clip with and each without, 1 where the first scores higher, .5 for a tie."""
    return (np.sign(scores[label][:, None] - scores[~label]) + 1) / 2


def _permuted(space: Rows, label: NDArray[np.bool_], test: NDArray[np.bool_], generator: np.random.Generator) -> float:
    found = []
    for _ in range(_PERMUTATIONS):
        shuffled = label.copy()
        for part in (test, ~test):
            shuffled[part] = generator.permutation(label[part])
        found.append(auc(_scores(space, shuffled, ~test, test), shuffled[test]))
    return float(np.mean(found))


def _folded(space: Rows, label: NDArray[np.bool_], groups: NDArray[np.int64], generator: np.random.Generator) -> float:
    """Mean AUC over folds of the training clips; groups stay together, and a fold without both sides is left out."""
    names, number = np.unique(groups, return_inverse=True)
    fold = (generator.permutation(len(names)) % _FOLDS)[number]
    found = []
    for part in range(_FOLDS):
        held = fold == part
        if all(0 < label[side].sum() < side.sum() for side in (held, ~held)):
            found.append(auc(_scores(space, label, ~held, held), label[held]))
    return float(np.mean(found)) if found else _NAN


def _interval(
    scores: Rows, label: NDArray[np.bool_], groups: NDArray[np.int64], generator: np.random.Generator
) -> tuple[float, float]:
    """95 % percentile interval of the AUC when groups are drawn with replacement; draws without both sides are none.

    A pair inside of a group counts as often as its group is drawn, not the square of that: the sides of a designed pair
    are the easiest to tell apart, and of few groups they would else make up twice their share.
    """
    wins = _wins(scores, label)
    names, number = np.unique(groups, return_inverse=True)
    count = len(names)
    times = generator.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)[:, number]
    own, other = times[:, label].astype(np.float64), times[:, ~label].astype(np.float64)
    same = groups[label][:, None] == groups[~label]
    between = count / max(count - 1, 1)  # what pairs of two groups lose where one is drawn twice

    def total(pairs: Rows) -> Rows:
        apart = ((own @ np.where(same, 0, pairs)) * other).sum(1) * between
        return np.asarray(apart + own @ np.where(same, pairs, 0).sum(1))

    drawn, among = total(wins), total(np.ones_like(wins))
    low, high = np.quantile(drawn[among > 0] / among[among > 0], [0.025, 0.975])
    return float(low), float(high)
