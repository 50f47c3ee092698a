"""Questions whose answer is known: what TCAV says where there is nothing to find, and where there surely is.

References:
    Adebayo et al., Sanity checks for saliency maps (2018), arXiv 1810.03292.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conceptcaps.probing import cav
from conceptcaps.probing.significance import Q, auc_interval

_LEVEL = 0.95  # share of a random network's effects that an effect must exceed
_DRAWS = 20
_MOST = 100


def against_random_network(scores: pd.DataFrame, random: pd.DataFrame) -> pd.DataFrame:
    """Scores; only those stay significant whose effect a network with random weights would hardly show.

    Logits of a network that was never taught anything move, if little, with everything that changes the sound, and
    interventions confirm it. So an effect must exceed, in logits, 95 % of the effects in the same layer of one.

    Args:
        scores: Of ``tcav.test``.
        random: The same of the network with random weights.

    Returns:
        ``scores`` with ``random_effect``, the 95 % quantile of the random network's ``|effect|`` in that layer, and
        ``significant`` where q <= .05 and ``|effect|`` exceeds it.
    """
    bars = random["effect"].abs().groupby(random["layer"]).quantile(_LEVEL)
    table = scores.assign(random_effect=scores["layer"].map(bars))
    table["significant"] = (table["q_value"] <= Q) & (table["effect"].abs() > table["random_effect"])
    return table


def random_share(random: pd.DataFrame) -> float:
    """Share of the random network's own cells that would be significant, each target held against the other targets.

    They have random weights of their own, so that they are as good as another network. NaN with one target.
    """
    names = random["target"].unique()
    if len(names) < 2:
        return float("nan")
    parts = [
        against_random_network(random[random["target"] == name], random[random["target"] != name]) for name in names
    ]
    return float(pd.concat(parts)["significant"].mean())


def knows(
    logits: NDArray[np.float64], outputs: Mapping[str, int], belongs: Mapping[str, NDArray[np.bool_]]
) -> pd.DataFrame:
    """How well each target's logit tells its own class's clips from others.

    Args:
        logits: ``(n, outputs)`` of clips that the network did not learn from; rows of NaN are left out.
        outputs: Output number by target.
        belongs: By target, whether each clip is one of its class, ``(n,)``.

    Returns:
        A row for each target: ``auc``, ``auc_low``, ``auc_high`` (``significance.auc_interval``).
    """
    whole = np.isfinite(logits).all(1)
    rows = []
    for name, number in outputs.items():
        auc, low, high = auc_interval(logits[whole, number], belongs[name][whole])
        rows.append({"target": name, "auc": auc, "auc_low": low, "auc_high": high})
    return pd.DataFrame(rows)


def own_targets(scores: pd.DataFrame, meanings: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Whether concepts move the outputs that stand for them, which any network worth asking does.

    Args:
        scores: Of ``interventions.join``.
        meanings: Tags that each target stands for.

    Returns:
        ``control/own_targets``, concepts that have an output of their own; ``control/own_targets_found``, those whose
        effect on it is significant and upwards in a layer; ``control/own_targets_wrong``, downwards in a layer, not
        contradicted by an intervention.
    """
    own = scores[[list(meanings[target]) == [concept] for concept, target in zip(*_pairs(scores), strict=True)]]
    found = own[own["significant"] & (own["effect"] > 0) & ~own["contradicted"]]
    wrong = own[own["significant"] & (own["effect"] < 0) & ~own["contradicted"]]
    return {
        "control/own_targets": float(own["concept"].nunique()),
        "control/own_targets_found": float(found["concept"].nunique()),
        "control/own_targets_wrong": float(wrong["concept"].nunique()),
    }


def stability(tables: Sequence[pd.DataFrame]) -> float:
    """Of the cells that are significant under some seed, the share that are so under every seed; NaN if none is."""
    marks = np.stack([table["significant"].to_numpy(dtype=bool) for table in tables])
    return float(marks.all(0).sum() / marks.any(0).sum()) if marks.any() else float("nan")


def domain_gap(
    concepts: Mapping[str, NDArray[np.float64]], targets: Mapping[str, NDArray[np.float64]], *, seed: int
) -> dict[str, float]:
    """How plainly each layer tells the concepts' clips from the targets': accuracy of a linear reader, .5 for not.

    Directions that were learnt in one kind of sound may mean something else in another.
    """
    generator = np.random.default_rng(seed)
    found = {}
    for layer, points in concepts.items():
        sides = [values[np.isfinite(values).all(1)] for values in (points, targets[layer])]
        size = min(len(sides[0]), len(sides[1]), _MOST)
        draws = [
            (
                generator.choice(len(sides[0]), size, replace=False),
                len(sides[0]) + generator.choice(len(sides[1]), size, replace=False),
            )
            for _ in range(_DRAWS)
        ]
        found[f"domain_gap/{layer}"] = float(cav.accuracies(np.concatenate(sides), draws, seed=seed).mean())
    return found


def _pairs(scores: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    return scores["concept"], scores["target"]
