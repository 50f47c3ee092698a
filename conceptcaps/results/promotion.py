"""The gate before the alias ``champion``: an interval of a paired difference, not a point."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from conceptcaps.errors import InputError
from conceptcaps.results.intervals import paired_difference

_LOWER_IS_BETTER = ("loss", "nll", "perplexity", "error")


class Decision(NamedTuple):
    """Whether to promote, why, and the numbers behind it: ``promote/difference``, ``_low``, ``_high``, ``n``."""

    promoted: bool
    reason: str
    metrics: dict[str, float]


def require_validation(metric: str) -> None:
    """Refuse to choose by anything but validation rows.

    Raises:
        InputError: If the metric's name does not begin with ``val/``.

    >>> require_validation("test/loss")
    Traceback (most recent call last):
    conceptcaps.errors.InputError: expected a metric that begins with val/, got 'test/loss': test rows choose nothing
    """
    if not metric.startswith("val/"):
        raise InputError(f"expected a metric that begins with val/, got {metric!r}: test rows choose nothing")


def first(metric: str, candidate: pd.DataFrame) -> Decision:
    """The decision if there is no other champion: yes, provided that the candidate was measured."""
    values = _column(candidate, metric)
    return Decision(True, f"no other champion; {metric} is {values.mean():.4g}", {"promote/n": len(values)})


def replacement(metric: str, candidate: pd.DataFrame, *, champion: str) -> Decision:
    """The decision if any champion is to be replaced: yes, provided that the candidate was measured."""
    values = _column(candidate, metric)
    reason = f"replaces version {champion}, as asked; {metric} is {values.mean():.4g}"
    return Decision(True, reason, {"promote/n": len(values)})


def foreign(candidate: tuple[str, str] | None, champion: tuple[str, str] | None) -> Decision | None:
    """The refusal of a candidate from another corpus or taxonomy than the champion's; None if they are the same.

    Args:
        candidate: Hash and words of the candidate's corpus and taxonomy, or None if they are not known.
        champion: The same of the present champion.

    >>> foreign(("1f", "corpus demo"), ("1f", "corpus demo"))
    >>> foreign(("2e", "corpus musiccaps.csv"), ("1f", "corpus demo")).promoted
    False
    """
    if (candidate or ("",))[0] == (champion or ("",))[0]:
        return None
    ours, theirs = ("{1}; lineage {0}".format(*one) if one else "unknown" for one in (candidate, champion))
    reason = (
        f"the candidate is of another corpus or taxonomy ({ours}) than the champion ({theirs}); "
        "to begin a champion of its own: -P replace=1 (rollback takes it back)"
    )
    return Decision(False, reason, {"promote/n": 0})


def decide(metric: str, candidate: pd.DataFrame, champion: pd.DataFrame, *, margin: float, seed: int) -> Decision:
    """Compare two versions on the same validation rows.

    The gain is the mean paired difference, turned so that more is better. The candidate is promoted if the lower end
    of its 95 % bootstrap interval is above ``margin``; a margin below zero lets an equal candidate pass.

    Args:
        metric: Column of both tables; names with loss, nll, perplexity or error are better when lower.
        candidate: Columns ``id`` and ``metric``.
        champion: The same of the present champion.
        margin: Least gain, in the metric's unit.
        seed: Seed of the bootstrap.

    Returns:
        The decision. Versions measured on different rows cannot be compared, and the champion stays.

    Raises:
        InputError: If a table lacks the metric, or a value of it.
    """
    ours, theirs = _column(candidate, metric), _column(champion, metric)
    if set(ours.index) != set(theirs.index):
        shared = len(set(ours.index) & set(theirs.index))
        reason = (
            f"not comparable: candidate has {len(ours)} validation rows, champion {len(theirs)}, {shared} shared; "
            "to begin a champion of its own: -P replace=1 (rollback takes it back)"
        )
        return Decision(False, reason, {"promote/n": shared})
    sign = -1.0 if any(word in metric for word in _LOWER_IS_BETTER) else 1.0
    gain = paired_difference(sign * ours, sign * theirs.loc[ours.index], seed=seed)
    reason = f"gain in {metric} {gain.mean:.4g} [{gain.low:.4g}, {gain.high:.4g}] is above {margin:g}"
    if gain.low <= margin:
        reason = reason.replace("is above", "is not above") + "; train a better one, or ask for a smaller margin"
    numbers = {"promote/difference": gain.mean, "promote/low": gain.low, "promote/high": gain.high}
    return Decision(gain.low > margin, reason, {**numbers, "promote/n": gain.n})


def _column(items: pd.DataFrame, metric: str) -> pd.Series:
    if metric not in items.columns:
        raise InputError(f"expected column {metric} in per_item.parquet, got {', '.join(items.columns)}")
    values = items.set_index("id")[metric].astype(float)
    finite = int(np.isfinite(values).sum())
    if finite < max(len(values), 1):
        raise InputError(
            f"expected a finite {metric} in every row of per_item.parquet, got {finite} in {len(values)} rows"
        )
    return values
