"""The picture of TCAV: concepts by targets, and which cells deserve a star."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from conceptcaps.probing.significance import Q

_STAR, _HOLLOW, _CROSS = "\N{BLACK STAR}", "\N{WHITE STAR}", "\N{MULTIPLICATION SIGN}"
_FONT = "DejaVu Sans"  # has the stars


def marks(scores: pd.DataFrame) -> pd.Series:
    """The mark of each cell.

    A full star: significant, and interventions show the same change. A hollow one: significant, and nobody has
    intervened on the concept. A cross: significant, and interventions show the contrary. None where interventions show
    no change, and none at all for a target that does not know its own class.
    """
    known = scores["change_q"].notna()
    text = pd.Series("", index=scores.index)
    text[scores["significant"] & ~known] = _HOLLOW
    text[scores["confirmed"]] = _STAR
    text[scores["contradicted"]] = _CROSS
    return text.where(scores["interpretable"], "")


def heat_map(scores: pd.DataFrame, *, layer: str) -> Figure:
    """Scores of a layer, concepts by targets; pale but where there is a star, grey where nothing can be told."""
    part = scores[scores["layer"] == layer].assign(mark=marks(scores))
    rows, columns = part["concept"].unique(), part["target"].unique()
    cells = part.set_index(["concept", "target"])
    grid, signs = (cells[name].unstack().loc[rows, columns] for name in ("score", "mark"))
    figure = Figure(figsize=(3.5 + 0.8 * grid.shape[1], 2.6 + 0.45 * grid.shape[0]), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("#dddddd")
    strong = signs.isin([_STAR, _HOLLOW]).to_numpy()
    image = axes.imshow(grid, cmap="RdBu_r", vmin=0, vmax=1, aspect="auto", alpha=np.where(strong, 1, 0.3))
    for (row, column), score in np.ndenumerate(grid.to_numpy()):
        mark = str(signs.iat[row, column])
        colour = "white" if strong[row, column] and abs(score - 0.5) > 0.35 else "black"
        weight = "bold" if mark == _STAR else "normal"
        text = f"{score:.2f}{mark}" if np.isfinite(score) else "–"
        where = {"ha": "center", "va": "center"}
        axes.text(column, row, text, where, color=colour, weight=weight, fontsize=9, family=_FONT)
    axes.set_xticks(range(grid.shape[1]), grid.columns, rotation=45, ha="right")
    axes.set_yticks(range(grid.shape[0]), grid.index)
    axes.set(xlabel="target class", ylabel="concept")
    axes.set_title(_legend(part, layer), fontsize=9, family=_FONT, loc="left")
    figure.colorbar(image, label="TCAV score (share of clips)")
    return figure


def _legend(part: pd.DataFrame, layer: str) -> str:
    lines = [f"TCAV in {layer}"]
    if not part["interpretable"].any():
        return "\n".join([*lines, "not interpretable: the network does not know these classes"])
    used = set(part["mark"])
    if _STAR in used:
        lines.append(f"{_STAR} significant (q <= {Q}), and adding the concept to a piece moves the logit that way")
    if _HOLLOW in used:
        lines.append(f"{_HOLLOW} significant, not held against interventions: may be something that goes with it")
    if _CROSS in used:
        lines.append(f"{_CROSS} significant, but adding the concept moves the logit the other way")
    unknown = sorted(part["target"][~part["interpretable"]].unique())
    if unknown:
        lines.append(f"no stars for {', '.join(unknown)}: its logit does not tell its own clips from others")
    if part["score"].isna().any():
        lines.append("– cannot be told: other tags explain the concept, or the layer is dead")
    return "\n".join(lines)
