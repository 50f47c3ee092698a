"""Testing with concept activation vectors: do a network's logits move when a layer moves as the concept moves it?

Kept apart: concepts are sets of clips (``concepts``); ``contrasts`` says what a concept changes with all other tags
held, and how far chance goes; ``activations`` says how logits move with a layer. An effect is the product of the two,
in logits, to first order; ``interventions`` hold it against what truly happens when the concept is added to a piece.

References:
    Sobel, Asymptotic confidence intervals for indirect effects in structural equation models (1982).
    Kim et al., Interpretability beyond feature attribution: quantitative testing with concept activation vectors
    (2018), arXiv 1711.11279.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from conceptcaps.errors import InputError
from conceptcaps.probing.cav import Cav, fit_normals
from conceptcaps.probing.concepts import Concept
from conceptcaps.probing.contrasts import Contrast
from conceptcaps.probing.significance import Q, benjamini_hochberg
from conceptcaps.workspace.processor import one_thread

RESAMPLES = 200  # bootstrap draws of an interval
_CAVS = 5  # sets of negatives that a CAV's accuracy is averaged over
_FEWEST = 2  # clips at which an effect is asked

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Slopes:
    """How one logit moves with each layer.

    Attributes:
        own: By layer, gradients ``(k, d)`` at clips of the target's class.
        elsewhere: By layer, gradients ``(b, d)`` at clips of any class.
        clips: ``(b,)``, their numbers among the concepts' clips, so that those that lack a concept can be picked.
    """

    own: Mapping[str, Rows]
    elsewhere: Mapping[str, Rows]
    clips: NDArray[np.int64]


def sensitivities(gradient: Rows, directions: Rows) -> Rows:
    """Directional derivatives ``(n, k)`` of n clips' logits along k directions ``(k, d)``, gradients being ``(n, d)``.

    >>> sensitivities(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [0.0, -1.0]])).tolist()
    [[1.0, -2.0]]
    """
    return gradient @ directions.T


def tcav_score(sensitivity: Rows) -> Rows:
    """Share of clips whose logit rises along each direction: ``(k,)`` from ``(n, k)``, in [0, 1].

    >>> tcav_score(np.array([[1.0, -2.0], [3.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    return (sensitivity > 0).mean(0)


def test(
    points: Mapping[str, Rows],
    targets: Mapping[str, Slopes],
    concepts: Sequence[Concept],
    *,
    random_sets: int,
    seed: int,
    permuted: bool = False,
    redrawn: int | None = None,
    intervals: bool = True,
) -> pd.DataFrame:
    """Effects of every concept on every target through every layer, and their p-values (``Contrast.p_values``).

    Args:
        points: By layer, activations ``(n, d)`` of the concepts' clips.
        targets: By name, how the logit moves.
        concepts: Which clips stand for what.
        random_sets: Permutations of each concept's label that ``random_mean`` is over, 2 or more.
        seed: Seed of permutations and bootstrap.
        permuted: Take labels that were shuffled among the clips in place of the concepts' own: a control.
        redrawn: Number of a draw with replacement of the clips at which effects are asked, to see what hangs on them;
            None takes them as they are.
        intervals: Whether to draw them; NaN else. They are most of the work.

    Returns:
        A row for each concept, target and layer: ``score`` in [0, 1], the share of the class's clips whose logit rises
        when the layer moves as the concept moves it, ``low`` and ``high`` its 95 % bootstrap interval over concept and
        target clips, ``random_mean`` the score of permuted labels; ``effect`` (logits), the mean derivative times that
        move at clips that lack the concept, which is where it would be added, with ``effect_low``, ``effect_high``,
        and ``effect_own`` at the class's clips; ``p_value``, ``q_value`` over all rows; ``information``,
        ``explained``, ``n_concept``, ``n_target``. What cannot be told, because other tags explain the concept or a
        layer is dead, is NaN.

    Raises:
        InputError: If there is nothing to test.
    """
    if random_sets < 2 or not concepts or not targets or not points:
        got = f"{random_sets} sets, {len(concepts)} concepts, {len(targets)} targets, {len(points)} layers"
        raise InputError(f"expected at least 2 random sets, a concept, a target and a layer, got {got}")
    finite = {layer: _finite(values) for layer, values in points.items()}
    rows = []
    for concept in tqdm(concepts, desc="concepts", unit="concept"):
        resamples = RESAMPLES if intervals else 0
        made = concept.contrast(sets=random_sets, resamples=resamples, seed=seed, permuted=permuted)
        weights = np.concatenate([made.own[None], made.null, made.bootstrap])
        facts = {"information": made.information, "explained": made.explained}
        facts["n_concept"] = int((concept.label == 1).sum())
        directions = {layer: weights @ values for layer, values in finite.items()}
        asked = {name: _asked(concept, slopes, redrawn) for name, slopes in targets.items()}
        p_values = {
            layer: _p_values(made, values, [slopes.elsewhere[layer][asked[name]] for name, slopes in targets.items()])
            for layer, values in finite.items()
        }
        for place, (name, slopes) in enumerate(targets.items()):
            own = len(next(iter(slopes.own.values())))
            shares = _shares(own, resamples, generator := concept.generator(seed, name))
            elsewhere = _shares(len(asked[name]), resamples, generator)
            for layer, moves in directions.items():
                key = {"concept": concept.name, "target": name, "layer": layer}
                lacking, p = slopes.elsewhere[layer][asked[name]], float(p_values[layer][place])
                cell = _cell(moves, slopes.own[layer], lacking, made, (shares, elsewhere), p)
                rows.append(key | cell | facts | {"n_target": own})
    table = pd.DataFrame(rows)
    table["q_value"] = benjamini_hochberg(table["p_value"])
    table["significant"] = table["q_value"] <= Q
    return table


def _finite(points: Rows) -> Rows:
    """Activations with 0 for clips that have none, which no concept counts; not copied where all have some."""
    return points if np.isfinite(points).all() else np.where(np.isfinite(points), points, 0.0)


def _asked(concept: Concept, slopes: Slopes, redrawn: int | None) -> NDArray[np.int64]:
    """Rows of the clips at which a concept's effect is asked: those that lack it, or a draw of them."""
    rows = np.flatnonzero(concept.label[slopes.clips] == 0)
    if redrawn is None or not len(rows):
        return rows
    return concept.generator(redrawn, "redrawn").choice(rows, len(rows))


def _p_values(made: Contrast, points: Rows, gradients: Sequence[Rows]) -> Rows:
    """P-values of a concept's effects on all targets through one layer, ``(targets,)``; NaN where they are not asked.

    An effect is the product of two means over clips, the concept's move and the gradient, and either is only as sure as
    its clips: the variance of the product is the sum of both (Sobel). Without the gradient's, a logit that bends up in
    some clips and down in others would be said to move by whatever these clips come to.
    """
    counts = np.array([len(rows) for rows in gradients])
    if counts.min() < _FEWEST:
        return np.full(len(gradients), np.nan)
    means = np.stack([rows.mean(0) for rows in gradients])
    along = np.array([(rows @ (made.own @ points)).var(ddof=1) for rows in gradients])
    return made.p_values(points @ means.T, variance=along / counts, freedom=counts - 1)


def _cell(
    directions: Rows, own: Rows, lacking: Rows, made: Contrast, shares: tuple[Rows, Rows], p_value: float
) -> dict[str, float]:
    """Score and effect of one cell, with intervals; NaN where the effect cannot be told."""
    names = ("score", "low", "high", "random_mean", "effect", "effect_low", "effect_high", "effect_own", "p_value")
    if not made.identifiable or not np.abs(directions[0]).max() > 0 or not len(lacking):
        return dict.fromkeys(names, float("nan"))
    sets = 1 + len(made.null)
    at_own, at_lacking = sensitivities(own, directions), sensitivities(lacking, directions)
    scores, changes = tcav_score(at_own), at_lacking.mean(0)
    ends = np.full((2, 2), np.nan)
    if len(made.bootstrap):
        risen = (at_own[:, sets:] > 0).astype(float)
        drawn = [(share * values.T).sum(1) for share, values in zip(shares, (risen, at_lacking[:, sets:]), strict=True)]
        ends = np.quantile(drawn, [0.025, 0.975], axis=1)
    (low, effect_low), (high, effect_high) = ends
    effects = (changes[0], effect_low, effect_high, at_own[:, 0].mean())
    values = (scores[0], low, high, scores[1:sets].mean(), *effects, p_value)
    return dict(zip(names, map(float, values), strict=True))


def _shares(count: int, draws: int, generator: np.random.Generator) -> Rows:
    """How much of each draw every one of ``count`` clips makes up, drawn with replacement: ``(draws, count)``."""
    if not count:
        return np.zeros((draws, 0))
    return generator.multinomial(count, np.full(count, 1 / count), size=draws) / count


def cavs(points: Mapping[str, Rows], concepts: Sequence[Concept], *, seed: int) -> tuple[list[Cav], pd.DataFrame]:
    """A CAV of every concept in every layer, and how plainly the layer holds it.

    Returns:
        The CAVs, but for dead layers, their effect NaN where it cannot be told; and a row for each concept and layer:
        ``cav_accuracy``, the logistic classifier's on held-out clips, averaged over five sets of negatives alike in
        other tags, and ``random_accuracy``, the same between random halves of those clips. NaN in a dead layer.
    """
    found, rows = [], []
    for concept in tqdm(concepts, desc="CAVs", unit="concept"):
        draws = concept.draws(_CAVS, seed=seed)
        shuffle = concept.generator(seed, "shuffled")
        halves = [np.split(shuffle.permutation(np.concatenate(draw)), 2) for draw in draws]
        made = concept.contrast(sets=2, resamples=2, seed=seed)
        effect = made.own if made.identifiable else np.full_like(made.own, np.nan)
        for layer, values in points.items():
            key = {"concept": concept.name, "layer": layer}
            if not np.nanstd(values, axis=0).max() > 0:
                rows.append(key | {"cav_accuracy": float("nan"), "random_accuracy": float("nan")})
                continue
            with one_thread():
                normals = fit_normals(values, [*draws, *((one, other) for one, other in halves)], seed=seed)
            own, random = ([normal.accuracy for normal in part] for part in (normals[:_CAVS], normals[_CAVS:]))
            rows.append(key | {"cav_accuracy": float(np.mean(own)), "random_accuracy": float(np.mean(random))})
            found.append(Cav(concept.name, layer, effect @ np.nan_to_num(values), normals[0]))
    return found, pd.DataFrame(rows)
