"""The effect of one label with all others held fixed: weights for clips' activations, and what chance alone gives.

An adjusted regression coefficient is a weighted sum of the clips, and so is every permutation and every bootstrap draw
of it. A ``Contrast`` holds those weights: worked out once from the labels, they serve all layers, targets and logits.

References:
    Frisch and Waugh, Partial time regressions as compared with individual trends (1933).
    Draper and Stoneman, Testing for the inclusion of variables by permutation of residuals (1966).
    Welch, The generalization of Student's problem when several different population variances are involved (1947).
    Bell and McCaffrey, Bias reduction in standard errors for linear regression with multi-stage samples (2002).
    Haufe et al., On the interpretation of weight vectors of linear models (2014): a classifier's normal is no effect.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

_RAREST = 3  # units on the smaller side of a covariate that can be adjusted for
_SHARE = 3  # units for each covariate; of more covariates those most related to the label are taken
_LEAST_UNITS = 10.0  # information below which an effect is called not identifiable
_LEAST_FREE = 0.05  # of a unit's variance that the regression leaves, at least, where it is divided by
_ROUNDING = 1e-12  # of a quantity's size, below which what is left of it is nothing

Weights = NDArray[np.float64]


@dataclass(frozen=True)
class _Units:
    """What is permuted and drawn: label and covariates of units, and how clips make them up."""

    label: Weights
    covariates: Weights
    block: NDArray[np.int64]  # of each unit: labels move inside of blocks
    spread: Weights  # (units,): weight of each of its clips
    of_clip: NDArray[np.int64]  # unit of each clip, -1 for a clip that stands aside
    within: bool  # blocks are matched sets, whose means are held too


@dataclass(frozen=True)
class Contrast:
    """Weights of n clips whose weighted sum of any quantity is an effect of the label on it, in that quantity's unit.

    Attributes:
        own: ``(n,)``, the regression coefficient of the label, adjusted for the covariates. Sums to 0.
        null: ``(sets, n)``, the same for labels whose part that covariates do not explain was permuted.
        bootstrap: ``(resamples, n)``, draws of ``own`` for intervals.
        information: Units of a balanced experiment that would tell as much: 4 times the label's sum of squares that
            covariates do not explain.
        explained: Share of the label's variance that covariates explain, in [0, 1].
        covariates: Column numbers that were adjusted for.
        units: What counts as one observation.
        weights: ``own`` of the units.
        basis: Orthonormal ``(units, r)``, what else the regression explains.
    """

    own: Weights
    null: Weights
    bootstrap: Weights
    information: float
    explained: float
    covariates: NDArray[np.int64]
    units: _Units
    weights: Weights
    basis: Weights

    @property
    def identifiable(self) -> bool:
        """Whether enough of the label is left once the covariates are held fixed: 10 units or more."""
        return self.information >= _LEAST_UNITS

    def p_values(self, outcomes: ArrayLike, *, variance: ArrayLike = 0.0, freedom: ArrayLike = 1.0) -> Weights:
        """Two-sided p-values ``(k,)`` of the label's effect on each of k quantities ``(n, k)``.

        Welch's t-test, carried over to regression by Bell and McCaffrey: clips with the concept may vary more than
        those without. For two groups it has Welch's statistic, for pairs it is the paired test. Permuted labels would
        only estimate it, with an error that a seed moves, and hold for equal variances alone.

        Args:
            outcomes: The quantities.
            variance: How far effects vary for another reason, to be added, ``(k,)``.
            freedom: Degrees of freedom that it was estimated with.

        Returns:
            p in [0, 1]; NaN where the effect cannot be told, and for a quantity that never moves.
        """
        values = np.asarray(outcomes, dtype=np.float64)
        if not self.identifiable:
            return np.full(values.shape[1], np.nan)
        means = _to_units(values, self.units)
        centred = np.apply_along_axis(_centre, 0, means, self.units)
        left = centred - self.basis @ (self.basis.T @ centred)
        effect = self.weights @ left
        left -= np.outer(self.weights, effect) / (self.weights @ self.weights)
        leverage, own_freedom = _leverage(self.weights, self.basis, self.units)
        own, other = (self.weights**2 / (1 - leverage)) @ left**2, np.asarray(variance)
        nothing = _ROUNDING * np.linalg.norm(self.weights) * np.abs(means).max(axis=0, initial=0)
        effect, own = np.where(np.abs(effect) > nothing, effect, 0), np.where(own > nothing**2, own, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            together = (own + other) ** 2 / (own**2 / own_freedom + other**2 / np.asarray(freedom))
            together = np.where(own + other > 0, together, own_freedom)
            return np.asarray(2 * stats.t.sf(np.abs(effect) / np.sqrt(own + other), together))


def contrast(
    label: NDArray[np.float64],
    covariates: NDArray[np.float64] | NDArray[np.bool_],
    groups: NDArray[np.int64],
    *,
    sets: int,
    resamples: int,
    seed: Sequence[int],
) -> Contrast:
    """Weights of the label's adjusted effect.

    Clips of one group (a track, a tag set) are no independent evidence. Where most clips stand in groups with both
    labels, as pairs do, labels are compared and permuted inside of groups and the others stand aside; elsewhere a group
    counts once, with the mean of its clips, and labels are permuted between groups.

    Args:
        label: ``(n,)``: 1 with the concept, 0 without, NaN for a clip that stands aside.
        covariates: ``(n, p)``, what else differs between clips; those that are rare, constant or repeated are left out.
        groups: ``(n,)``, group number of each clip.
        sets: Permutations.
        resamples: Bootstrap draws; may be 0.
        seed: Seed of both, a list of numbers.

    Returns:
        The weights. With too little information they are 0, and ``identifiable`` is False.

    Example:
        Without covariates it is the difference of means:

        >>> made = contrast(np.r_[np.ones(6), np.zeros(6)], np.empty((12, 0)), np.arange(12), sets=2, resamples=2,
        ...                 seed=[0])
        >>> round(float(made.own @ np.r_[np.full(6, 5.0), np.full(6, 3.0)]), 9), made.information
        (2.0, 12.0)
    """
    units = _units(label, covariates, groups)
    centred = _centre(units.label, units)
    basis, used = _basis(units)
    rest = centred - basis @ (basis.T @ centred)
    power, whole = float(rest @ rest), float(centred @ centred)
    information, explained = 4 * power, 1 - power / whole if whole > 0 else 1.0
    if information < _LEAST_UNITS:
        nothing, none, no_draws = (np.zeros((rows, len(label))) for rows in (1, sets, resamples))
        return Contrast(nothing[0], none, no_draws, information, explained, used, units, 0 * rest, basis)
    own = rest / power
    generator = np.random.default_rng(list(seed))

    moved = _permuted(rest, units, sets=sets, generator=generator)
    moved -= (moved @ basis) @ basis.T  # else it would be closer to 0 than the label: covariates take freedom from it
    null = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-300) / np.sqrt(power)

    full = np.column_stack([basis, rest / np.sqrt(power)])
    free = 1 - np.square(full).sum(1)
    drawn = _drawn(units, resamples=resamples, generator=generator)
    wild = (drawn - 1) * own / np.sqrt(np.maximum(free, _LEAST_FREE))
    if units.within and resamples:
        wild = np.apply_along_axis(_centre, 1, wild, units)
    wild -= (wild @ full) @ full.T
    rows = (_to_clips(weights, units) for weights in (own[None], null, own + wild))
    first, second, third = rows
    return Contrast(first[0], second, third, information, explained, used, units, own, basis)


def balance(
    label: NDArray[np.float64], covariates: NDArray[np.bool_], made: Contrast, names: Sequence[str]
) -> pd.DataFrame:
    """How covariates differ between clips with and without the concept, before and after adjustment.

    Returns:
        A row for each covariate that varies: ``tag``, ``with_share`` and ``without_share`` of the clips that have it,
        ``difference`` of these, and ``adjusted``, what of it is left under the weights of ``own``, 0 where the tag was
        adjusted for and NaN where the effect cannot be told. The largest differences first.
    """
    sides = [covariates[label == side].mean(0) for side in (1, 0)]
    table = pd.DataFrame({"tag": list(names), "with_share": sides[0], "without_share": sides[1]})
    table["difference"] = table["with_share"] - table["without_share"]
    table["adjusted"] = made.own @ covariates if made.identifiable else np.nan
    varies = covariates[np.isfinite(label)].std(0) > 0
    order = table["difference"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[[place for place in order if varies[place]]].reset_index(drop=True)


def shuffled(
    label: NDArray[np.float64], groups: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.float64]:
    """A label that means nothing, moved as ``contrast`` moves it: inside of matched groups, else between groups.

    Clips that stand aside there are NaN; clips of one group share its mean where labels move between groups.
    """
    units = _units(label, np.empty((len(label), 0)), groups)
    return _to_clips(_permuted(units.label, units, sets=1, generator=generator) / units.spread, units, aside=np.nan)[0]


def _units(
    label: NDArray[np.float64], covariates: NDArray[np.float64] | NDArray[np.bool_], groups: NDArray[np.int64]
) -> _Units:
    rows = np.flatnonzero(np.isfinite(label))
    _, member = np.unique(groups[rows], return_inverse=True)
    sizes = np.bincount(member)
    means = np.bincount(member, label[rows]) / np.maximum(sizes, 1)
    mixed = (means > 0) & (means < 1)
    of_clip = np.full(len(label), -1)
    if 2 * sizes[mixed].sum() > len(rows):
        rows, member = rows[mixed[member]], member[mixed[member]]
        of_clip[rows] = np.arange(len(rows))
        block = np.unique(member, return_inverse=True)[1]
        return _Units(label[rows], covariates[rows].astype(float), block, np.ones(len(rows)), of_clip, within=True)
    of_clip[rows] = member
    averaged = np.zeros((len(sizes), covariates.shape[1]))
    np.add.at(averaged, member, covariates[rows])
    block = np.zeros(len(sizes), dtype=np.int64)
    return _Units(means, averaged / sizes[:, None], block, 1 / sizes, of_clip, within=False)


def _centre(values: NDArray[np.float64], units: _Units) -> NDArray[np.float64]:
    """Values less their mean in the unit's block."""
    if not len(values):
        return values
    means = np.bincount(units.block, values) / np.bincount(units.block)
    return values - means[units.block]


def _basis(units: _Units) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Orthonormal basis ``(units, r)`` of what is held, and the covariates that it stands for."""
    count = len(units.label)
    constant = np.empty((count, 0)) if units.within else np.full((count, 1), count**-0.5)
    centred = np.apply_along_axis(_centre, 0, units.covariates, units) if units.covariates.size else units.covariates
    smaller = np.minimum((units.covariates > 0).sum(0), (units.covariates < 1).sum(0))
    spread = np.linalg.norm(centred, axis=0)
    usable = np.flatnonzero((smaller >= _RAREST) & (spread > 1e-9))
    scaled = centred[:, usable] / spread[usable] if len(usable) else np.empty((count, 0))
    related = np.abs(scaled.T @ _centre(units.label, units))
    kept = np.sort(np.argsort(-related, kind="stable")[: count // _SHARE])
    left, strength, _ = np.linalg.svd(scaled[:, kept], full_matrices=False)
    return np.concatenate([constant, left[:, strength > 1e-8]], axis=1), usable[kept]


def _leverage(weights: Weights, basis: Weights, units: _Units) -> tuple[Weights, float]:
    """How far the regression follows each unit, in [0, .95], and the degrees of freedom of its error.

    With the residuals' projection M and B = M diag(w^2 / (1 - leverage)) M they are Satterthwaite's tr(B)^2 / tr(B^2),
    summed without a matrix of units by units.
    """
    full = np.column_stack([basis, weights / np.linalg.norm(weights)])
    block = units.block if units.within else np.arange(len(weights))
    sizes = np.bincount(block) if units.within else np.full(len(weights), np.inf)
    leverage = np.minimum(np.square(full).sum(1) + 1 / sizes[block], 1 - _LEAST_FREE)
    share = weights**2 / (1 - leverage)
    of_block = np.zeros((len(sizes), full.shape[1]))
    np.add.at(of_block, block, share[:, None] * full)
    overlap = np.square(full.T @ (share[:, None] * full)).sum()
    overlap += (np.bincount(block, share) ** 2 / sizes**2).sum() + 2 * (np.square(of_block).sum(1) / sizes).sum()
    square = share**2 @ (1 - 2 * leverage) + overlap
    return leverage, float((share @ (1 - leverage)) ** 2 / square)


def _permuted(
    values: NDArray[np.float64], units: _Units, *, sets: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Values moved inside of their blocks, ``(sets, units)``."""
    by_block = np.argsort(units.block, kind="stable")
    found = np.empty((sets, len(values)))
    for row in found:
        row[by_block] = values[np.lexsort((generator.random(len(values)), units.block))]
    return found


def _drawn(units: _Units, *, resamples: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """How often each unit is drawn with replacement, matched sets as wholes: ``(resamples, units)``."""
    which = units.block if units.within else np.arange(len(units.label))
    count = int(which.max()) + 1
    return generator.multinomial(count, np.full(count, 1 / count), size=resamples)[:, which].astype(float)


def _to_units(values: Weights, units: _Units) -> Weights:
    """Quantities of clips ``(n, k)`` as means of units ``(units, k)``."""
    inside = units.of_clip >= 0
    unit = units.of_clip[inside]
    found = np.zeros((len(units.label), values.shape[1]))
    np.add.at(found, unit, values[inside] * units.spread[unit, None])
    return found


def _to_clips(weights: NDArray[np.float64], units: _Units, *, aside: float = 0.0) -> NDArray[np.float64]:
    """Weights of units ``(k, units)`` as weights of clips ``(k, n)``, and a value for clips that stand aside."""
    found = np.full((len(weights), len(units.of_clip)), aside)
    inside = units.of_clip >= 0
    found[:, inside] = (weights * units.spread)[:, units.of_clip[inside]]
    return found
