"""Concept activation vectors: how plainly a layer holds a concept, and a direction that can be saved and used again.

A ``Cav`` holds two directions. Its ``effect`` leads from clips without the concept to clips with it, all other tags
held: the way that a layer moves when the concept is added. Its ``normal`` is the logistic classifier's, which tells the
two apart best; it turns away from directions in which clips vary anyway, so logits do not move along it as they do with
the concept (Haufe et al.), and it serves only to measure accuracy and to rank clips.

References:
    Kim et al., Interpretability beyond feature attribution: quantitative testing with concept activation vectors
    (2018), arXiv 1711.11279.
    Haufe et al., On the interpretation of weight vectors of linear models in multivariate neuroimaging (2014).
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from conceptcaps.errors import InputError
from conceptcaps.probing.concepts import Draw
from conceptcaps.workspace.processor import one_thread

_C = 10.0  # inverse strength of the L2 penalty, on activations whose mean square norm is 1
_FOLDS = 3
_STEPS = 100  # of Newton's method, which needs about ten
_RIDGE = 0.1  # penalty of `accuracies`, on the same scale


@dataclass(frozen=True)
class Normal:
    """A logistic classifier of a concept in a layer.

    Attributes:
        direction: Unit normal ``(d,)`` of its plane, in the layer's own units, to the concept's side.
        offset: What a clip's projection on it must exceed.
        accuracy: Share of held-out clips on the right side, over three folds; chance is .5.
    """

    direction: NDArray[np.float64]
    offset: float
    accuracy: float


@dataclass(frozen=True)
class Cav:
    """What a layer says of a concept: ``effect`` ``(d,)``, in activations, and the ``normal`` of its classifier."""

    concept: str
    layer: str
    effect: NDArray[np.float64]
    normal: Normal

    def rank(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far each clip ``(n, d)`` lies on the concept's side, in the layer's units; above 0 on it."""
        return points @ self.normal.direction - self.normal.offset


def save(cavs: Sequence[Cav], path: Path) -> None:
    """Write CAVs to one safetensors file, a pair of arrays for each; ``load`` reads them back."""
    arrays: dict[str, NDArray[np.float64]] = {}
    facts: list[tuple[str, str, float, float]] = []
    for number, cav in enumerate(cavs):
        arrays |= {f"{number}.effect": cav.effect, f"{number}.normal": cav.normal.direction}
        facts.append((cav.concept, cav.layer, cav.normal.offset, cav.normal.accuracy))
    save_file(arrays, path, metadata={"cavs": json.dumps(facts)})


def load(path: Path) -> list[Cav]:
    """The CAVs of a file that ``save`` wrote.

    Raises:
        InputError: If the file holds none.
    """
    with safe_open(path, framework="numpy") as file:
        metadata: Mapping[str, str] = file.metadata() or {}
        if "cavs" not in metadata:
            raise InputError(f"expected CAVs saved by run_tcav in {path}, got tensors {', '.join(file.keys())}")
        return [
            Cav(
                concept,
                layer,
                file.get_tensor(f"{number}.effect"),
                Normal(file.get_tensor(f"{number}.normal"), offset, accuracy),
            )
            for number, (concept, layer, offset, accuracy) in enumerate(json.loads(metadata["cavs"]))
        ]


# --- the classifier of a concept --------------------------------------------------------------------------------------


def fit_normal(positives: ArrayLike, negatives: ArrayLike, *, seed: int) -> Normal:
    """Logistic regression with an L2 penalty between a concept's clips and as many others.

    Activations are centred and divided by one number for the layer, so that the direction is one of raw activations
    and the penalty means the same in all layers. It is scikit-learn's ``LogisticRegression(C=10)`` to its optimum.

    Args:
        positives: Activations ``(n, d)`` of clips with the concept.
        negatives: ``(n, d)`` of as many clips without it.
        seed: Seed of the folds that the accuracy is measured on.

    Raises:
        InputError: If the shapes differ or a side has fewer clips than folds (3).

    Example:
        >>> normal = fit_normal([[2.0, 0], [3, 0], [4, 0]], [[-2.0, 0], [-3, 0], [-4, 0]], seed=0)
        >>> normal.direction.round(6).tolist(), round(abs(normal.offset), 6), normal.accuracy
        ([1.0, 0.0], 0.0, 1.0)
    """
    first, second = np.asarray(positives, dtype=np.float64), np.asarray(negatives, dtype=np.float64)
    if first.ndim != 2 or first.shape != second.shape or len(first) < _FOLDS:
        raise InputError(f"expected two sets of {_FOLDS} clips or more, (n, d) each, got {first.shape}, {second.shape}")
    rows = np.arange(len(first))
    return fit_normals(np.concatenate([first, second]), [(rows, rows + len(rows))], seed=seed)[0]


def fit_normals(points: NDArray[np.float64], draws: Sequence[Draw], *, seed: int) -> list[Normal]:
    """A ``Normal`` for each draw of rows of ``points`` ``(clips, d)``, at once; all draws are of one size."""
    values = points[np.stack([np.concatenate(draw) for draw in draws])]
    half = values.shape[1] // 2
    centre = values.mean(1)
    values = values - centre[:, None]
    scale = np.sqrt(np.square(values).sum(2).mean(1))
    scale = np.where(scale > 0, scale, 1)
    scaled = torch.from_numpy(values / scale[:, None, None])
    gram = (scaled @ scaled.mT).numpy()
    labels = np.repeat([1.0, 0.0], half)

    fold = _folds(half, seed=seed)
    correct = np.empty(values.shape[:2])
    for number in range(_FOLDS):
        fit, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        weights, intercept = _logistic(gram[:, fit[:, None], fit], labels[fit])
        logits = np.einsum("kij,kj->ki", gram[:, held[:, None], fit], weights) + intercept[:, None]
        correct[:, held] = (logits > 0) == (labels[held] > 0)

    weights, intercept = _logistic(gram, labels)
    normals = np.einsum("ki,kid->kd", weights, values) / scale[:, None] ** 2
    lengths = np.linalg.norm(normals, axis=1)
    directions = normals / np.where(lengths > 0, lengths, 1)[:, None]
    offsets = np.einsum("kd,kd->k", directions, centre) - intercept / np.where(lengths > 0, lengths, 1)
    found = zip(directions, offsets.tolist(), correct.mean(1).tolist(), strict=True)
    return [Normal(direction, offset, accuracy) for direction, offset, accuracy in found]


def accuracies(points: NDArray[np.float64], draws: Sequence[Draw], *, seed: int) -> NDArray[np.float64]:
    """Held-out accuracy of a ridge classifier for each draw of clips, in closed form: ``(draws,)``, chance .5.

    It is scikit-learn's ``RidgeClassifier`` on clips scaled as for ``fit_normal``. What it says of a fold when fitted
    without that fold follows from one fit to all: ``y - (I - H)^-1 (y - fitted)``, H being the fold's block of the hat
    matrix.

    Args:
        points: ``(clips, d)``.
        draws: Rows of each draw's two sides, all of one size, at least 3.
        seed: Seed of the three folds, the same for all draws; a clip and its match leave together.

    Returns:
        The accuracies; NaN for clips that are all alike.
    """
    rows = np.stack([np.concatenate(draw) for draw in draws])
    half = rows.shape[1] // 2
    if half < _FOLDS:
        raise InputError(f"expected {_FOLDS} clips or more on each side, got {half}")
    everything, fold = torch.from_numpy(points), torch.from_numpy(_folds(half, seed=seed))
    labels = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat_interleave(half)
    held = [torch.nonzero(fold == number)[:, 0] for number in range(_FOLDS)]

    def accuracy(own: NDArray[np.int64]) -> float:
        values = everything[torch.from_numpy(own)]
        values = values - values.mean(0)
        size = values.square().sum(1).mean().sqrt()
        if size == 0:
            return float("nan")
        values = values / size
        if values.shape[1] < len(values):
            gram = values.T @ values + _RIDGE * torch.eye(values.shape[1], dtype=torch.float64)
            half_hat = torch.linalg.solve_triangular(torch.linalg.cholesky(gram), values.T, upper=False)
            hat = half_hat.T @ half_hat
        else:
            kernel = values @ values.T
            hat = torch.linalg.solve(kernel + _RIDGE * torch.eye(len(values), dtype=torch.float64), kernel)
        hat = hat + 1 / len(values)  # the intercept's
        rest = labels - hat @ labels
        correct = 0.0
        for part in held:
            block = torch.eye(len(part), dtype=torch.float64) - hat[part[:, None], part]
            said = labels[part] - torch.linalg.solve(block, rest[part])
            correct += float((said * labels[part] > 0).sum())
        return correct / len(values)

    threads = torch.get_num_threads()
    with one_thread(), ThreadPoolExecutor(threads) as pool:
        return np.array(list(pool.map(accuracy, rows)))


def _folds(half: int, *, seed: int) -> NDArray[np.int64]:
    """Fold of each clip of two sides; a clip and its match leave together: apart, chance would be below .5."""
    return np.tile(np.random.default_rng([seed, half]).permutation(half) % _FOLDS, 2)


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
    raise InputError(
        f"expected logistic regression to converge in {_STEPS} steps, got {len(labels)} clips where it did not"
    )
