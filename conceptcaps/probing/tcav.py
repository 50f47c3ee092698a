"""Testing with concept activation vectors: does a network's answer depend on a concept, and more than by chance?

Kept apart: concepts are sets of clips (``concepts``), a ``Cav`` is a direction in a layer, a score is a share of
directional derivatives, and a p-value holds concepts against random sets of clips.

References:
    Kim et al., Interpretability beyond feature attribution: quantitative testing with concept activation vectors
    (2018), arXiv 1711.11279.
    Benjamini and Hochberg, Controlling the false discovery rate (1995).
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from torch import Tensor, nn
from tqdm import tqdm

from conceptcaps.probing.activations import activations, gradients
from conceptcaps.probing.concepts import Concept, Draw
from conceptcaps.threads import one_thread

Q = 0.05  # false discovery rate at which a score is called significant
_C = 10.0  # inverse strength of the L2 penalty, on activations whose mean square norm is 1
_FOLDS = 3
_STEPS = 100  # of Newton's method, which needs about ten
_NULL_SETS = 5  # sets of negatives for each random set of clips, over which its effect is averaged


@dataclass(frozen=True)
class Cav:
    """Concept activation vector: the unit normal ``(d,)`` of the plane between a concept and its negatives.

    Attributes:
        layer: Layer whose activations it lives in, in their own units.
        direction: Points to the concept.
        separation: How far the mean of the concept's clips lies from that of the negatives along the direction.
        accuracy: Share of held-out clips on the right side, over three folds; chance is .5.
    """

    layer: str
    direction: NDArray[np.float64]
    separation: float
    accuracy: float


# --- directions, sensitivities and scores -----------------------------------------------------------------------------


def fit_cav(positives: ArrayLike, negatives: ArrayLike, *, layer: str, seed: int) -> Cav:
    """The direction that leads from negatives to a concept, by logistic regression with an L2 penalty.

    Activations are centred and divided by one number for the layer, so that the direction is one of raw activations
    and the penalty means the same in all layers. It is scikit-learn's ``LogisticRegression(C=10)`` to its optimum.

    Args:
        positives: Activations ``(n, d)`` of clips with the concept.
        negatives: ``(n, d)`` of as many clips without it.
        layer: Name of the layer.
        seed: Seed of the folds that the accuracy is measured on.

    Raises:
        ValueError: If the shapes differ or a side has fewer clips than folds (3).

    Example:
        >>> cav = fit_cav([[2.0, 0], [3, 0], [4, 0]], [[-2.0, 0], [-3, 0], [-4, 0]], layer="conv", seed=0)
        >>> cav.direction.round(6).tolist(), cav.separation, cav.accuracy
        ([1.0, 0.0], 6.0, 1.0)
    """
    first, second = np.asarray(positives, dtype=np.float64), np.asarray(negatives, dtype=np.float64)
    if first.ndim != 2 or first.shape != second.shape or len(first) < _FOLDS:
        raise ValueError(f"expected two sets of {_FOLDS} clips or more, (n, d) each, got {first.shape}, {second.shape}")
    rows = np.arange(len(first))
    return fit_cavs(np.concatenate([first, second]), [(rows, rows + len(rows))], layer=layer, seed=seed)[0]


def fit_cavs(points: NDArray[np.float64], draws: Sequence[Draw], *, layer: str, seed: int) -> list[Cav]:
    """A ``Cav`` for each draw of rows of ``points`` ``(clips, d)``, at once; all draws are of one size."""
    values = points[np.stack([np.concatenate(draw) for draw in draws])]
    half = values.shape[1] // 2
    values = values - values.mean(1, keepdims=True)
    scale = np.sqrt(np.square(values).sum(2).mean(1))
    scaled = torch.from_numpy(values / np.where(scale > 0, scale, 1)[:, None, None])
    gram = (scaled @ scaled.mT).numpy()
    labels = np.repeat([1.0, 0.0], half)

    generator = np.random.default_rng([seed, half])
    fold = np.tile(
        generator.permutation(half) % _FOLDS, 2
    )  # a clip and its match leave together: apart, chance is below .5
    correct = np.empty(values.shape[:2])
    for number in range(_FOLDS):
        fit, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        weights, intercept = _logistic(gram[:, fit[:, None], fit], labels[fit])
        logits = np.einsum("kij,kj->ki", gram[:, held[:, None], fit], weights) + intercept[:, None]
        correct[:, held] = (logits > 0) == (labels[held] > 0)

    normals = np.einsum("ki,kid->kd", _logistic(gram, labels)[0], values)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    directions = normals / np.where(lengths > 0, lengths, 1)
    apart = values[:, :half].mean(1) - values[:, half:].mean(1)
    separations = np.einsum("kd,kd->k", apart, directions)
    found = zip(directions, separations.tolist(), correct.mean(1).tolist(), strict=True)
    return [Cav(layer, direction, separation, accuracy) for direction, separation, accuracy in found]


def _logistic(
    gram: NDArray[np.float64], labels: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logistic regressions in the span of their rows: weights ``(k, n)`` of the rows and intercepts ``(k,)``.

    Minimises ``|w|^2 / 2 + C sum log-loss`` for each of k Gram matrices ``(k, n, n)`` by Newton's method, in n
    unknowns instead of d. At the optimum the weights are ``C (labels - probabilities)``, and sum to 0.
    """
    kernel, target = torch.from_numpy(gram), torch.from_numpy(labels)
    weights, intercept = torch.zeros_like(kernel[:, 0]), torch.zeros_like(kernel[:, 0, :1])
    for _ in range(_STEPS):
        logits = (kernel @ weights[..., None])[..., 0] + intercept
        curvature = (torch.sigmoid(logits) * torch.sigmoid(-logits)).clamp_min(1e-10)
        working = logits + (target - torch.sigmoid(logits)) / curvature
        factor = torch.linalg.cholesky(kernel + torch.diag_embed(1 / (_C * curvature)))
        solved = torch.cholesky_solve(torch.stack([working, torch.ones_like(working)], 2), factor)
        intercept = (solved[..., 0].sum(1) / solved[..., 1].sum(1))[:, None]
        before, weights = weights, solved[..., 0] - intercept * solved[..., 1]
        if (weights - before).abs().max() < 1e-7:
            return weights.numpy(), intercept[:, 0].numpy()
    raise ValueError(f"expected logistic regression to converge in {_STEPS} steps, got {len(labels)} clips where not")


def sensitivities(gradient: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Directional derivatives ``(n, k)`` of n clips' logits along k directions ``(k, d)``, gradients being ``(n, d)``.

    >>> sensitivities(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [0.0, -1.0]])).tolist()
    [[1.0, -2.0]]
    """
    return gradient @ directions.T


def tcav_score(sensitivity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of clips whose logit rises along each direction: ``(k,)`` from ``(n, k)``, in [0, 1].

    >>> tcav_score(np.array([[1.0, -2.0], [3.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    return (sensitivity > 0).mean(0)


def effects(gradient: NDArray[np.float64], cavs: Sequence[Cav]) -> NDArray[np.float64]:
    """Change of the logit, to first order, over the way from a CAV's negatives to its concept: ``(k,)``.

    The mean sensitivity of n clips (gradients ``(n, d)``) times ``separation``. Unlike a share of signs it is near 0
    for a direction that hardly separates the two sets.
    """
    directions = np.stack([cav.direction for cav in cavs])
    return sensitivities(gradient, directions).mean(0) * np.array([cav.separation for cav in cavs])


# --- tests ------------------------------------------------------------------------------------------------------------


def p_value(observed: float, null: ArrayLike) -> float:
    """Two-sided t-test that one number is one more draw from where ``null`` came from (normal, ``(k,)``, k >= 2).

    ``t = (observed - mean) / (s sqrt(1 + 1/k))`` with k - 1 degrees of freedom. The usual two-sample test between the
    runs of a concept and those of random sets is not valid: all runs of a concept share its clips, so it calls a
    meaningless set of clips significant as soon as there are runs enough.

    >>> p_value(0.0, [-1.0, 0.0, 1.0])
    1.0
    """
    values = np.asarray(null, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"expected a null of shape (k,) with k of at least 2, got {values.shape}")
    difference = abs(observed - values.mean())
    spread = values.std(ddof=1) * np.sqrt(1 + 1 / len(values))
    if spread == 0:
        return 1.0 if difference == 0 else 0.0
    return float(2 * stats.t.sf(difference / spread, len(values) - 1))


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """q-values: the least false discovery rate at which each test is significant, in [p, 1].

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    return np.asarray(stats.false_discovery_control(np.asarray(p_values, dtype=np.float64), method="bh"))


def run(
    network: nn.Module,
    inputs: Tensor,
    *,
    concepts: Sequence[Concept],
    targets: Mapping[str, tuple[int, NDArray[np.int64]]],
    layers: Sequence[str],
    random_sets: int,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """TCAV of every concept, target and layer.

    The score is the mean over ``random_sets`` CAVs, each the concept's clips against another random set. The test is
    of ``effects`` and not of the score itself: signs saturate, so that near the output random directions too score 0
    or 1 and no score can differ from theirs.

    Args:
        network: In evaluation mode, giving logits.
        inputs: ``(n, windows, ...)``, a row for each clip that the concepts and targets number.
        concepts: Which clips stand for what.
        targets: Output number and row numbers of the class's clips, by name.
        layers: Names of submodules.
        random_sets: Runs of a concept, and random sets of clips that it is tested against; 2 or more.
        seed: Seed of the random sets and folds.

    Returns:
        Scores, a row for each concept, target and layer: ``score`` [0, 1]; ``low`` and ``high``, the central 95 % of
        its runs; ``random_mean``, the mean score of random sets; ``effect`` (logits); ``p_value``, ``q_value`` over all
        rows, ``significant`` (q <= .05); mean ``cav_accuracy`` and ``random_accuracy``; ``n_concept``, ``n_target``.
        And runs, a row for each CAV and target: ``random`` is -1 for the concept or the number of the random set, then
        ``run``, ``score``, ``effect``, ``cav_accuracy``. No run is left out, however low its accuracy.

    Raises:
        ValueError: If there is nothing to test, or a layer is none of the network's.
    """
    if random_sets < 2 or not concepts or not targets or not layers:
        got = f"{random_sets} sets, {len(concepts)} concepts, {len(targets)} targets, {len(layers)} layers"
        raise ValueError(f"expected 2 random sets or more, and a concept, a target and a layer at least, got {got}")
    points = activations(network, inputs, layers=layers)
    slopes = {
        name: gradients(network, inputs[torch.from_numpy(rows)], layers=layers, target=output)
        for name, (output, rows) in tqdm(targets.items(), desc="gradients", unit="target")
    }
    scores, runs = [], []
    for concept in tqdm(concepts, desc="CAVs", unit="concept"):
        every = concept.draws(random_sets, seed=seed)
        every += concept.null_draws(random_sets, negatives=_NULL_SETS, seed=seed)
        origin = np.repeat(np.arange(-1, random_sets), [random_sets] + [_NULL_SETS] * random_sets)
        own = origin < 0
        with ThreadPoolExecutor(torch.get_num_threads()) as pool, one_thread():
            fitted = list(pool.map(lambda layer: fit_cavs(points[layer], every, layer=layer, seed=seed), layers))  # noqa: B023
        for layer, cavs in zip(layers, fitted, strict=True):
            directions = np.stack([cav.direction for cav in cavs])
            accuracy = np.array([cav.accuracy for cav in cavs])
            for target, (_, rows) in targets.items():
                share = tcav_score(sensitivities(slopes[target][layer], directions))
                effect = effects(slopes[target][layer], cavs)
                key = {"concept": concept.name, "target": target, "layer": layer}
                low, high = np.quantile(share[own], [0.025, 0.975])
                scores.append(
                    key
                    | {"score": share[own].mean(), "low": low, "high": high, "random_mean": share[~own].mean()}
                    | {"effect": effect[own].mean()}
                    | {"p_value": p_value(effect[own].mean(), effect[~own].reshape(-1, _NULL_SETS).mean(1))}
                    | {"cav_accuracy": accuracy[own].mean(), "random_accuracy": accuracy[~own].mean()}
                    | {"n_concept": len(concept.positives), "n_target": len(rows)}
                )
                run = np.concatenate([np.arange(random_sets), np.tile(np.arange(_NULL_SETS), random_sets)])
                columns = {"random": origin, "run": run, "score": share, "effect": effect, "cav_accuracy": accuracy}
                runs.append(pd.DataFrame({**key, **columns}))
    table = pd.DataFrame(scores)
    table["q_value"] = benjamini_hochberg(table["p_value"])
    table["significant"] = table["q_value"] <= Q
    return table, pd.concat(runs, ignore_index=True)


def summary(scores: pd.DataFrame) -> dict[str, float]:
    """How many tests, the share of significant ones, and the mean held-out accuracy of the CAVs (chance .5)."""
    return {
        "tcav/tests": float(len(scores)),
        "tcav/significant_share": float(scores["significant"].mean()),
        "tcav/cav_accuracy_mean": float(scores["cav_accuracy"].mean()),
        "tcav/random_accuracy_mean": float(scores["random_accuracy"].mean()),
    }


def heat_map(scores: pd.DataFrame, *, layer: str) -> Figure:
    """Scores of a layer, concepts by targets; pale where not significant, bold with a star where it is."""
    part = scores[scores["layer"] == layer]
    rows, columns = part["concept"].unique(), part["target"].unique()
    cells = part.set_index(["concept", "target"])
    grid, marks = (cells[name].unstack().loc[rows, columns] for name in ("score", "significant"))
    figure = Figure(figsize=(3.5 + 0.8 * grid.shape[1], 1.9 + 0.45 * grid.shape[0]), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(grid, cmap="RdBu_r", vmin=0, vmax=1, aspect="auto", alpha=np.where(marks, 1, 0.3))
    for (row, column), score in np.ndenumerate(grid.to_numpy()):
        text, weight = (f"{score:.2f}*", "bold") if marks.iat[row, column] else (f"{score:.2f}", "normal")
        colour = "white" if marks.iat[row, column] and abs(score - 0.5) > 0.35 else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour, weight=weight, fontsize=9)
    axes.set_xticks(range(grid.shape[1]), grid.columns, rotation=45, ha="right")
    axes.set_yticks(range(grid.shape[0]), grid.index)
    axes.set(title=f"TCAV in {layer}\n* q <= {Q} (Benjamini-Hochberg)", xlabel="target class", ylabel="concept")
    figure.colorbar(image, label="TCAV score (share of clips)")
    return figure
