"""Questions whose answer is known: what TCAV says where there is nothing to find, and where there surely is.

References:
    Adebayo et al., Sanity checks for saliency maps (2018), arXiv 1810.03292.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conceptcaps.probing import cav
from conceptcaps.probing.significance import auc_interval

Logits = NDArray[np.float64]

UNTAUGHT = 20  # outputs of random weights, beside the one that is asked about, of which 95 % is a number
_LEVEL = 0.95  # share of untaught outputs than which a logit must know its class better
_DRAWS = 20
_MOST = 100


def knows(
    logits: Logits, outputs: Mapping[str, int], truth: Mapping[str, NDArray[np.float64]], *, random: Logits
) -> pd.DataFrame:
    """How well each target's logit tells its own class's clips from others, beside what random weights can tell.

    Logits of a network that was never taught anything move with everything that changes the sound, and interventions
    confirm it: what such a network lacks is that its outputs mean something. By chance they tell a class from others
    too, in one direction or the other. So a target is known where the lower end of its AUC is above .5 and the AUC is
    above that of 95 % of a random network's outputs for the same class.

    Args:
        logits: ``(n, outputs)``; rows of NaN are left out.
        outputs: Output number by target.
        truth: By target, whether each clip is one of its class ``(n,)``: 1, 0, or NaN for a clip that is not asked,
            because that is not known of it or the network learnt from it.
        random: Logits of the network with random weights, all outputs of one draw or of several, ``(n, k)``.

    Returns:
        A row for each target: ``auc``, ``auc_low``, ``auc_high`` (``significance.auc_interval``), ``random_auc`` and
        ``known``.
    """
    whole = np.isfinite(logits).all(1) & np.isfinite(random).all(1)
    rows = []
    for name, number in outputs.items():
        asked = whole & np.isfinite(truth[name])
        own = truth[name][asked] == 1
        auc, low, high = auc_interval(logits[asked, number], own)
        bar = _bar(_aucs(random[asked], own))
        facts = {"random_auc": bar, "known": bool(low > 0.5 and auc > bar)}
        rows.append({"target": name, "auc": auc, "auc_low": low, "auc_high": high, **facts})
    return pd.DataFrame(rows)


def random_share(
    scores: pd.DataFrame, logits: Logits, outputs: Mapping[str, int], truth: Mapping[str, NDArray[np.float64]]
) -> float:
    """Share of the random network's own cells that are significant, of an output that passes for known.

    Which of its outputs stands for which class is nobody's choice, so that every output is asked for every class: the
    mean over these has a tenth of the chance that six outputs with a class each have. Each output is held against all
    others, which have random weights of their own. NaN with one output.

    Args:
        scores: Of ``tcav.test``, of the network with random weights.
        logits: Its logits, before those of further draws if there are any (``knows``).
        outputs: Output number by target.
        truth: See ``knows``.
    """
    if logits.shape[1] < 2:
        return float("nan")
    passes = {}
    for name, number in outputs.items():
        others = np.delete(logits, number, axis=1)
        told = knows(logits, dict.fromkeys(truth, number), truth, random=others)
        passes[name] = float(told["known"].mean())
    return float((scores["significant"] * scores["target"].map(passes)).mean())


def _aucs(logits: Logits, belongs: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.array([auc_interval(column, belongs)[0] for column in logits.T])


def _bar(aucs: NDArray[np.float64]) -> float:
    """The AUC that 95 % of outputs do not reach, whichever way they point."""
    return float(np.quantile(np.maximum(aucs, 1 - aucs), _LEVEL))


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
    """Share of the cells significant under some permutation seed that are significant under all; NaN without any."""
    marks = np.stack([table["significant"].to_numpy(dtype=bool) for table in tables])
    return float(marks.all(0).sum() / marks.any(0).sum()) if marks.any() else float("nan")


def domain_gap(
    concepts: Mapping[str, NDArray[np.float64]], targets: Mapping[str, NDArray[np.float64]], *, seed: int
) -> dict[str, float]:
    """How plainly each layer tells the concepts' clips from the targets': accuracy of a linear classifier (chance .5).

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
