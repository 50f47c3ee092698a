"""Choosing two sets of clips in which all tags but one are equally frequent, and measuring how close they come."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conceptcaps.errors import InputError

MOST = 0.05  # standardised difference of a share that counts as balanced
_ROUNDS = 4000
_RARE = 0.02

Flags = NDArray[np.bool_]
Rows = NDArray[np.int64]


def differences(positive: Flags, negative: Flags) -> NDArray[np.float64]:
    """Standardised difference of each column's share between two sets: 0 is balanced, inf where only one side varies.

    The difference of the shares over the root of their mean variance; unsigned.

    Args:
        positive: ``(n, tags)``.
        negative: ``(m, tags)``.

    >>> differences(np.array([[True, True], [False, True]]), np.array([[True, True], [True, True]])).round(2).tolist()
    [1.41, 0.0]

    References:
        Austin, An introduction to propensity score methods, Multivariate Behavioral Research 46 (2011).
    """
    p, q = positive.mean(0), negative.mean(0)
    spread = np.sqrt((p * (1 - p) + q * (1 - q)) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.abs(p - q) / spread
    return np.where(p == q, 0.0, found)


def choose(
    positive: Flags, negative: Flags, *, strata: tuple[Sequence[str], Sequence[str]], counts: dict[str, int]
) -> tuple[Rows, Rows]:
    """Choose equally many rows of two sets so that the columns' counts agree, over all and in each stratum.

    Begins with the first rows of each stratum and exchanges one row after another as long as that helps.

    Args:
        positive: Candidates ``(n, tags)``; columns that may differ are left out by the caller.
        negative: Candidates ``(m, tags)``.
        strata: A stratum for each candidate, such as train and test.
        counts: Rows wanted of each stratum and side.

    Returns:
        Row numbers of the chosen positives and negatives, sorted.

    Raises:
        InputError: If a stratum has too few candidates.
    """
    signed = np.concatenate([positive, -1.0 * negative]).astype(np.float64)
    names = [(1, name) for name in strata[0]] + [(0, name) for name in strata[1]]
    inside = np.zeros(len(signed), dtype=np.bool_)
    groups = {}
    for side in (1, 0):
        for name, count in counts.items():
            members = np.array([row for row, own in enumerate(names) if own == (side, name)], dtype=np.int64)
            if len(members) < count:
                raise InputError(f"expected {count} candidates of part {name}, got {len(members)}")
            inside[members[:count]] = True
            groups[side, name] = members
    share = np.abs(signed).mean(0)
    scaled = signed / np.sqrt(np.maximum(share * (1 - share), _RARE * (1 - _RARE)))
    parts = [np.array([own[1] == name for own in names])[:, None] for name in counts]
    stacked = np.concatenate([scaled, *(0.3 * scaled * part for part in parts)], axis=1)
    norms = (stacked**2).sum(1)
    total = stacked[inside].sum(0)
    for _ in range(_ROUNDS):
        pull = stacked @ total
        best, exchange = -1e-9, None
        for members in groups.values():
            out, into = members[inside[members]], members[~inside[members]]
            if not len(out) or not len(into):
                continue
            leave = (norms[out] - 2 * pull[out])[:, None]
            enter = (norms[into] + 2 * pull[into])[None]
            gain = leave + enter - 2 * stacked[out] @ stacked[into].T
            place = np.unravel_index(int(gain.argmin()), gain.shape)
            if gain[place] < best:
                best, exchange = float(gain[place]), (out[place[0]], into[place[1]])
        if exchange is None:
            break
        inside[exchange[0]], inside[exchange[1]] = False, True
        total += stacked[exchange[1]] - stacked[exchange[0]]
    chosen = np.flatnonzero(inside)
    return chosen[chosen < len(positive)], chosen[chosen >= len(positive)] - len(positive)


def table(positive: Flags, negative: Flags, *, concept: str, tags: Sequence[str]) -> pd.DataFrame:
    """Columns ``concept``, ``tag``, ``positive`` and ``negative`` (shares), ``difference`` (standardised)."""
    columns = {
        "positive": positive.mean(0),
        "negative": negative.mean(0),
        "difference": differences(positive, negative),
    }
    return pd.DataFrame({"concept": concept, "tag": list(tags), **columns})


def report(table: pd.DataFrame, *, most: int = 3) -> str:
    """For each concept, the tags whose shares differ most, as text."""
    worst = table.sort_values("difference", ascending=False).groupby("concept", sort=False).head(most)
    return str(worst.sort_values(["concept", "difference"], ascending=[True, False]).round(3).to_string(index=False))


def balanced(table: pd.DataFrame, *, most: float, leave_out: bool = False) -> list[str]:
    """Concepts for which every other tag's share differs by less than ``most``.

    Args:
        table: Of ``table``, for one or more concepts.
        most: Standardised difference that is too large.
        leave_out: Whether concepts beyond it are left out, where one is within.

    Raises:
        InputError: If a concept is beyond it, or with ``leave_out`` if all are; names them, each with the tag that
            differs most.
    """
    worst = table.sort_values("difference", ascending=False).drop_duplicates("concept")
    off = worst[worst["difference"] >= most]
    if len(off) and (len(off) == len(worst) or not leave_out):
        named = ", ".join(f"{row.concept} ({row.tag} {row.difference:.2f})" for row in off.itertuples())
        raise InputError(
            f"expected every other tag's standardised difference under {most}, got more for {named}; leave these out "
            "(--unbalanced leave_out), ask for a larger --balance, or give other --contexts"
        )
    return [name for name in table["concept"].unique().tolist() if name not in set(off["concept"])]


def left_out(short: Mapping[str, str], *, allowed: bool) -> str:
    """Concepts with too few pairs, one a line, with the reason.

    Raises:
        InputError: If there are any and they may not be left out.
    """
    if short and not allowed:
        raise InputError("; ".join(f"{tag}: {why}" for tag, why in short.items()))
    return "".join(f"left out   {tag}: {why}\n" for tag, why in short.items())
