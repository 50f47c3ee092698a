"""How far a set of clips is from another: FAD, FAD-inf and KAD.

Sets are compared through embeddings of whole clips, one row a clip. Small sets look far apart by chance alone, so every
distance has a noise floor, that between random halves of one set, and sets of equal size are compared.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist, pdist
from scipy.stats import linregress

from conceptcaps.errors import InputError
from conceptcaps.results.intervals import Interval

KAD_SCALE = 100.0  # kadtk's
_ENDS = (0.025, 0.975)
_DRAWS = 40  # random halves behind an interval or a floor
_BEHIND = 2000  # rows of the reference behind the bandwidth
_HELD = 2_000_000  # distances that are held at once: 16 MB
_SIZES = 12  # sample sizes behind FAD-inf
CLIPS_PER_DIMENSION = 2  # that FAD-inf needs in each set

Array = NDArray[np.float64]
Distance = Callable[[ArrayLike, ArrayLike], float]


def frechet_distance(x: ArrayLike, y: ArrayLike) -> float:
    """Fréchet distance between Gaussians fitted to two sets of embeddings (FAD where they are of audio).

    ``|mean(x) - mean(y)|^2 + tr(Sx) + tr(Sy) - 2 tr((Sx^1/2 Sy Sx^1/2)^1/2)`` with the unbiased covariances ``Sx`` and
    ``Sy``. 0 is best, there is no upper bound, the unit is that of the embeddings squared. The last trace is the sum
    over the roots of a symmetric matrix' eigenvalues, taken as the singular values of a product of factors of ``Sx``
    and ``Sy``: real, not negative, and exact where covariances are singular.

    It is biased upwards with few clips, by about a constant over their number once that exceeds the dimension, so
    compare sets of equal size only and see ``frechet_inf``.

    Args:
        x: Embeddings ``(m, d)``, one row a clip.
        y: Embeddings ``(n, d)``.

    Returns:
        The distance, in float64, the same with ``x`` and ``y`` exchanged.

    Raises:
        InputError: If a set has fewer than two rows or values that are not finite, or the dimensions differ.

    Example:
        >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [1.0, 2.0]])
        >>> round(frechet_distance(x, x + [3.0, 0.0]), 6)
        9.0

    References:
        Dowson and Landau, The Fréchet distance between multivariate normal distributions, 1982.
        Kilgour et al., Fréchet Audio Distance, 2019, arXiv 1812.08466.
    """
    first, second = paired_sets(x, y)
    factors = [np.linalg.qr(part - part.mean(0), mode="r") / np.sqrt(len(part) - 1) for part in (first, second)]
    overlap = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    shift = np.square(first.mean(0) - second.mean(0)).sum()
    return max(0.0, float(shift + np.square(factors[0]).sum() + np.square(factors[1]).sum() - 2 * overlap))


@dataclass(frozen=True)
class Extrapolation:
    """FAD at several sample sizes and the line ``value + slope / size`` through it, which fits with ``r2``."""

    value: float
    slope: float
    r2: float
    sizes: tuple[int, ...]
    distances: tuple[float, ...]


def frechet_inf(x: ArrayLike, y: ArrayLike, *, seed: int, draws: int = 4) -> Extrapolation:
    """FAD-inf: Fréchet distance extrapolated to infinitely many clips, where its bias is gone.

    The distance is taken between random subsets of several sizes, and a line through it against one over the size is
    read at 0. Best value 0; noise can push it below. Gui et al. cut the evaluated set alone, because their reference
    is large; here both are cut alike, as both are small. Trust the value no further than ``r2``: below about as many
    clips as dimensions the bias is no straight line.

    Args:
        x: Embeddings ``(m, d)``, m at least 4.
        y: Embeddings ``(n, d)``, n at least 4.
        seed: Seed of the subsets.
        draws: Subsets of each size whose distances are averaged.

    Returns:
        Intercept, slope and R² of the line, and the points behind it.

    References:
        Gui et al., Adapting Fréchet Audio Distance for generative music evaluation, 2024, arXiv 2311.01616.
    """
    first, second = paired_sets(x, y, fewest=4)
    largest = min(len(first), len(second))
    inverse = np.linspace(1 / max(2, largest // 4), 1 / largest, _SIZES)
    sizes = sorted(set(np.rint(1 / inverse).astype(int).tolist()))
    rng = np.random.default_rng(seed)
    distances = [
        float(np.mean([frechet_distance(_draw(first, size, rng), _draw(second, size, rng)) for _ in range(draws)]))
        for size in sizes
    ]
    if np.ptp(distances) == 0:
        return Extrapolation(distances[0], 0.0, 1.0, tuple(sizes), tuple(distances))
    line = linregress(1 / np.array(sizes), distances)
    value, slope, r2 = float(line.intercept), float(line.slope), float(line.rvalue**2)
    return Extrapolation(value, slope, r2, tuple(sizes), tuple(distances))


def kernel_distance(x: ArrayLike, y: ArrayLike) -> float:
    """Kernel audio distance (KAD): 100 times the unbiased squared maximum mean discrepancy with a Gaussian kernel.

    ``k(a, b) = exp(-|a - b|^2 / (2 s^2))``, where ``s`` is the median distance between two rows of the reference. The
    estimate is the mean kernel value inside ``x`` plus that inside ``y`` minus twice that between them, pairs of a row
    with itself left out. It is unbiased at any size and therefore about 0, negative as often as not, for sets of one
    distribution; at most 200. No normality is assumed. Compare values of one reference and one embedding only.

    Args:
        x: Embeddings ``(m, d)`` to judge.
        y: Embeddings ``(n, d)`` of the reference, which sets the bandwidth.

    Raises:
        InputError: As ``frechet_distance``, or if half of the reference's rows or more are equal.

    References:
        Chung et al., KAD: No more FAD! An effective and efficient evaluation metric for audio generation, 2025,
        arXiv 2502.15602. Gretton et al., A kernel two-sample test, 2012.
    """
    first, second = paired_sets(x, y)
    bandwidth = float(np.median(pdist(second[:: 1 + len(second) // _BEHIND])))
    if bandwidth == 0:
        raise InputError(f"expected a reference of different clips, got {len(second)} of which most pairs are equal")

    def total(a: Array, b: Array) -> float:
        return sum(float(np.exp(-((part / bandwidth) ** 2) / 2).sum()) for part in between(a, b))

    within = [(total(part, part) - len(part)) / (len(part) * (len(part) - 1)) for part in (first, second)]
    return KAD_SCALE * (sum(within) - 2 * total(first, second) / (len(first) * len(second)))


def distance_interval(
    x: ArrayLike, y: ArrayLike, *, distance: Distance, seed: int, draws: int = _DRAWS
) -> tuple[Interval, float]:
    """A distance with its 95 % interval over clips, and its mean at half the size.

    Random halves of both sets, drawn without replacement, vary about as much as whole sets do (the delete-half
    jackknife); their spread is laid around the value of the whole sets. The usual bootstrap repeats clips, which both
    distances take for likeness inside a set: its values would lie far above the one that they are for.

    Args:
        x: Embeddings ``(m, d)``, m at least 4.
        y: Embeddings ``(n, d)``, n at least 4.
        distance: ``frechet_distance`` or ``kernel_distance``.
        seed: Seed of the halves.
        draws: Number of halves.

    Returns:
        The interval around ``distance(x, y)`` (its ``n`` is the smaller set's), and the mean distance of halves, which
        compares with ``noise_floor``.

    References:
        Shao and Wu, A general theory for jackknife variance estimation, 1989.
    """
    first, second = paired_sets(x, y, fewest=4)
    rng = np.random.default_rng(seed)
    halves = [distance(_draw(first, len(first) // 2, rng), _draw(second, len(second) // 2, rng)) for _ in range(draws)]
    value = distance(first, second)
    low, high = value + np.quantile(halves, _ENDS) - np.median(halves)
    floor = 0.0 if distance is frechet_distance else -np.inf
    return Interval(value, max(floor, float(low)), float(high), min(len(first), len(second))), float(np.mean(halves))


def noise_floor(x: ArrayLike, *, distance: Distance, seed: int, draws: int = _DRAWS) -> Interval:
    """Distance between two random halves of one set: what chance alone gives at half the size.

    Args:
        x: Embeddings ``(n, d)``, n at least 4.
        distance: ``frechet_distance`` or ``kernel_distance``.
        seed: Seed of the halves.
        draws: Number of times that the set is halved.

    Returns:
        Mean over the draws and where 95 % of them lie; ``n`` is the size of a half.
    """
    rows, _ = paired_sets(x, x, fewest=4)
    rng = np.random.default_rng(seed)
    half = len(rows) // 2
    shuffled = (rows[rng.permutation(len(rows))] for _ in range(draws))
    values = [distance(part[:half], part[half : 2 * half]) for part in shuffled]
    low, high = np.quantile(values, _ENDS)
    return Interval(float(np.mean(values)), float(low), float(high), half)


def compare(
    x: ArrayLike, reference: ArrayLike | None, *, name: str, seed: int, most: int | None = None
) -> tuple[dict[str, float], Extrapolation | None]:
    """Every distance of a set to its reference with interval and noise floor, or the noise floor of the set alone.

    With a reference: ``audio/fad_<name>`` and ``audio/kad_<name>`` (``_low``, ``_high``), ``audio/fad_inf_<name>``
    (``_slope``, ``_r2``) and, both at half the size and so to be held against each other, ``audio/fad_half_<name>`` and
    ``audio/fad_floor_<name>`` of the reference's own halves (``kad`` alike); ``audio/fad_decided_<name>`` is 1 where
    the first is above the upper end of the second, and 0 where chance alone explains the difference. Without:
    ``audio/fad_split_half_<name>``, ``audio/kad_split_half_<name>`` and ``audio/fad_inf_split_half_<name>``.
    ``audio/n_<name>`` is the size of a set. FAD-inf is left out where a set has fewer than two clips a dimension: there
    its line is biased, and fits all the same.

    Args:
        x: Embeddings ``(m, d)``, m at least 8.
        reference: Embeddings ``(n, d)``, n at least 8; the larger set is cut at random to the other's size. None
            compares random halves of ``x``.
        name: Name of the embedding, the end of each metric's name.
        seed: Seed of every draw.
        most: Rows of a set at most. FAD falls as sets grow, so several sets are compared at the size of the smallest.

    Returns:
        The metrics, and the points behind FAD-inf if it was measured.
    """
    rng = np.random.default_rng(seed)
    metrics: dict[str, float] = {}
    kinds = {"fad": frechet_distance, "kad": kernel_distance}
    if reference is None:
        rows, _ = paired_sets(x, x, fewest=8)
        rows = rows[rng.permutation(len(rows))]
        first, second = rows[: len(rows) // 2], rows[len(rows) // 2 : 2 * (len(rows) // 2)]
        found = {kind: noise_floor(rows, distance=distance, seed=seed) for kind, distance in kinds.items()}
        part = "_split_half"
    else:
        whole, other = paired_sets(x, reference, fewest=8)
        size = min(len(whole), len(other), most or len(whole))
        first, second, part, found = _draw(whole, size, rng), _draw(other, size, rng), "", {}
        for kind, distance in kinds.items():
            found[kind], half = distance_interval(first, second, distance=distance, seed=seed)
            metrics[f"audio/{kind}_half_{name}"] = half
            floor = noise_floor(second, distance=distance, seed=seed)
            metrics[f"audio/{kind}_floor_{name}"] = floor.mean
            metrics[f"audio/{kind}_decided_{name}"] = float(half > floor.high)
    for kind, interval in found.items():
        key = f"audio/{kind}{part}_{name}"
        metrics |= interval.metrics(key)
    metrics[f"audio/n_{name}"] = len(first)
    if len(first) < CLIPS_PER_DIMENSION * first.shape[1]:
        return metrics, None
    line = frechet_inf(first, second, seed=seed)
    key = f"audio/fad_inf{part}_{name}"
    return metrics | {key: line.value, f"{key}_slope": line.slope, f"{key}_r2": line.r2}, line


def of_one_size(x: ArrayLike, reference: ArrayLike, *, seed: int) -> tuple[Array, Array]:
    """The smaller of two sets ``(n, d)``, and as many rows of the other, drawn without replacement."""
    first, second = paired_sets(x, reference)
    size, rng = min(len(first), len(second)), np.random.default_rng(seed)
    return _draw(first, size, rng), _draw(second, size, rng)


def extrapolation_figure(lines: Mapping[str, Extrapolation]) -> Figure:
    """FAD against one over the number of clips, with the line whose value at 0 is FAD-inf, for each embedding."""
    figure = Figure(figsize=(6 * len(lines), 4), layout="constrained")
    for axes, (name, line) in zip(figure.subplots(1, len(lines), squeeze=False)[0], lines.items(), strict=True):
        inverse = 1 / np.array(line.sizes)
        ends = np.array([0, inverse.max()])
        axes.plot(inverse, line.distances, "o", color="#4477aa", label="random subsets")
        axes.plot(ends, line.value + line.slope * ends, color="#aa3377", label=f"line, R² {line.r2:.2f}")
        axes.plot(0, line.value, "s", color="#aa3377", clip_on=False, label=f"FAD-inf {line.value:.3g}")
        axes.set(title=name, xlabel="1 / clips in a set", ylabel="Fréchet distance (squared units)", xlim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return figure


def paired_sets(x: ArrayLike, y: ArrayLike, *, fewest: int = 2) -> tuple[Array, Array]:
    """Two sets of embeddings in double precision, checked: finite, of one dimension, with enough rows.

    Raises:
        InputError: If not.
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    for part in (first, second):
        if part.ndim != 2 or len(part) < fewest or not part.shape[1]:
            raise InputError(f"expected embeddings (clips, dimensions) of {fewest} clips or more, got {part.shape}")
        if not np.isfinite(part).all():
            bad = int((~np.isfinite(part)).any(1).sum())
            raise InputError(f"expected finite embeddings, got {bad} of {len(part)} rows that are not")
    if first.shape[1] != second.shape[1]:
        raise InputError(f"expected embeddings of one dimension, got {first.shape[1]} and {second.shape[1]}")
    return first, second


def between(x: Array, y: Array) -> Iterator[Array]:
    """Euclidean distances of rows of ``x`` to all of ``y``, some rows at a time: ``(part, n)``, never ``(m, n)``."""
    yield from (cdist(part, y) for part in np.array_split(x, 1 + len(x) * len(y) // _HELD))


def _draw(rows: Array, size: int, rng: np.random.Generator) -> Array:
    return rows[rng.permutation(len(rows))[:size]]
