"""What truly happens to a network's logits when a concept is added to a piece, and what that says of TCAV's cells.

A pair is one piece twice, with a tag and without it, all else equal. The change of a logit from one to the other is no
estimate through a layer's direction but the thing itself, so it decides which of TCAV's answers can be believed.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from conceptcaps.errors import InputError
from conceptcaps.probing.significance import Q, benjamini_hochberg

_FEWEST = 5  # pairs of a tag


def changes(pairs: pd.DataFrame, logits: NDArray[np.float64], outputs: Sequence[str]) -> pd.DataFrame:
    """Change of every logit in every pair.

    Args:
        pairs: A row for each clip: ``pair_id``, ``tag`` and ``side`` (``with`` or ``without``).
        logits: ``(clips, outputs)``; NaN for a clip that could not be read, whose pair is left out.
        outputs: Names of the logits.

    Returns:
        A row for each pair: ``pair_id``, ``concept``, and by output the logit with the tag less the one without it.

    Raises:
        InputError: If a pair has other sides than one with and one without.
    """
    frame = pd.DataFrame(logits, columns=list(outputs))
    frame.insert(0, "pair_id", pairs["pair_id"].to_numpy())
    frame.insert(1, "concept", pairs["tag"].to_numpy())
    counts = pairs.groupby("pair_id")["side"].agg(lambda sides: ",".join(sorted(sides)))
    wrong = counts[counts != "with,without"]
    if len(wrong):
        raise InputError(f"expected a clip with and one without in every pair, got {wrong.iloc[0]} in {wrong.index[0]}")
    sides = pairs["side"].to_numpy()
    one, other = (frame[sides == side].set_index(["pair_id", "concept"]) for side in ("with", "without"))
    return (one - other.loc[one.index]).dropna().reset_index()


def test(changed: pd.DataFrame) -> pd.DataFrame:
    """Mean change of each logit under each concept, with its 95 % interval (t), and q-values over all of them.

    Args:
        changed: Of ``changes``.

    Returns:
        A row for each concept and target: ``change`` (logits), ``change_low``, ``change_high``, ``p_value`` (paired,
        two-sided), ``q_value``, ``rises`` (share of pairs whose logit rises) and ``n_pairs``.

    Raises:
        InputError: If no concept has five pairs.

    Example:
        >>> pairs = pd.DataFrame({"pair_id": range(6), "concept": "piano", "piano": [1.0, 2, 1, 2, 1, 2]})
        >>> test(pairs)[["concept", "target", "change", "rises", "n_pairs"]].to_numpy().tolist()
        [['piano', 'piano', 1.5, 1.0, 6]]
    """
    rows = []
    for concept, part in changed.groupby("concept", sort=True):
        if len(part) < _FEWEST:
            continue
        values = part.drop(columns=["pair_id", "concept"])
        mean, error = values.mean(), values.sem()
        reach = error * stats.t.ppf(0.975, len(part) - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            p = 2 * stats.t.sf(np.abs(mean / error), len(part) - 1)
        rows.append(
            pd.DataFrame(
                {
                    "concept": concept,
                    "target": values.columns,
                    "change": mean.to_numpy(),
                    "change_low": (mean - reach).to_numpy(),
                    "change_high": (mean + reach).to_numpy(),
                    "p_value": p,
                    "rises": (values > 0).mean().to_numpy(),
                    "n_pairs": len(part),
                }
            )
        )
    if not rows:
        raise InputError(f"expected {_FEWEST} pairs or more of a concept, got {len(changed)} pairs in all")
    table = pd.concat(rows, ignore_index=True)
    table.insert(6, "q_value", benjamini_hochberg(table["p_value"]))
    return table


def join(scores: pd.DataFrame, interventions: pd.DataFrame | None) -> pd.DataFrame:
    """TCAV's cells with what interventions say about them.

    Args:
        scores: Of ``tcav.test``.
        interventions: Of ``test``, on the same network; None where there are none.

    Returns:
        ``scores`` with ``change``, ``change_low``, ``change_high`` and ``change_q``, NaN where the concept was never
        intervened on; ``confirmed``: significant, and the logit truly changes (q <= .05) with the same sign; and
        ``contradicted``: significant, and it truly changes with the other sign.
    """
    names = {"change": "change", "change_low": "change_low", "change_high": "change_high", "q_value": "change_q"}
    if interventions is None:
        table = scores.assign(**dict.fromkeys(names.values(), np.nan))
    else:
        known = interventions[["concept", "target", *names]].rename(columns=names)
        table = scores.merge(known, on=["concept", "target"], how="left", validate="many_to_one")
    real = table["significant"] & (table["change_q"] <= Q)
    same = np.sign(table["effect"]) == np.sign(table["change"])
    return table.assign(confirmed=real & same, contradicted=real & ~same)


def summarise(table: pd.DataFrame, meanings: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Concepts, pairs and the share of cells that change; and of concepts with an output of their own, which rise.

    Args:
        table: Of ``test``.
        meanings: Tags that each target stands for.
    """
    pairs = zip(table["concept"], table["target"], strict=True)
    own = table[[list(meanings[target]) == [concept] for concept, target in pairs]]
    changes = table["q_value"] <= Q
    found = {
        "interventions/concepts": float(table["concept"].nunique()),
        "interventions/pairs": float(table.groupby("concept")["n_pairs"].first().sum()),
        "interventions/changed_share": float(changes.mean()),
    }
    if len(own):
        found["interventions/own_rises_share"] = float(((own["change"] > 0) & changes[own.index]).mean())
    return found


def figure(table: pd.DataFrame) -> Figure:
    """Mean change of each logit under each concept, pale where it may be none (q > .05)."""
    cells = table.set_index(["concept", "target"])
    rows, columns = table["concept"].unique(), table["target"].unique()
    grid, q = (cells[name].unstack().loc[rows, columns].to_numpy() for name in ("change", "q_value"))
    picture = Figure(figsize=(3.5 + 0.3 * len(columns), 2.2 + 0.3 * len(rows)), layout="constrained")
    axes = picture.subplots()
    most = float(np.nanmax(np.abs(grid))) or 1.0
    image = axes.imshow(grid, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto", alpha=np.where(q <= Q, 1, 0.2))
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(title=f"what adding a concept does (pale: q > {Q})", xlabel="output", ylabel="concept")
    picture.colorbar(image, label="change of the logit")
    return picture
