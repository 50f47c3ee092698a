"""The picture of linear probes: layers by concepts, and beside them each layer's mean with its controls."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from conceptcaps.probing.zoo import titles

_TEXT = "other tags alone"
_CHANCE = 0.5


def probe_map(table: pd.DataFrame) -> Figure:
    """AUC of every layer (rows, from the input on) for every concept (columns), and means over concepts.

    Colour runs from chance (.5) to 1. Bold: the interval's lower end is above chance, and above what the other tags
    alone give. A dash: not measured.

    Args:
        table: Of ``zoo.run``.
    """
    named = titles(table["encoder"].unique().tolist())
    rows = table[["encoder", "layer"]].drop_duplicates().reset_index(drop=True)
    concepts = table["concept"].unique()
    grid = table.pivot(index=["encoder", "layer"], columns="concept")
    order = pd.MultiIndex.from_frame(rows)
    values = grid["auc"].loc[order, concepts].to_numpy()
    texts = grid["text_auc"].loc[order, concepts].to_numpy()
    sure = grid["low"].loc[order, concepts].to_numpy() > np.fmax(texts, _CHANCE)
    cells = np.vstack([values, texts[:1]])
    bold = np.vstack([sure, np.zeros_like(sure[:1])])
    labels = [*rows["layer"], _TEXT]
    starts = [place for place in rows.index if place == 0 or rows["encoder"][place] != rows["encoder"][place - 1]]

    reach = max(map(len, labels))
    wide, high = 0.72 * max(len(concepts), 4), 0.29 * len(labels)
    figure = Figure(figsize=(wide + 0.08 * reach + 5.2, high + 2.4), layout="constrained")
    axes, side = figure.subplots(1, 2, sharey=True, width_ratios=[wide, 3.2])
    axes.set_facecolor("#dddddd")
    image = axes.imshow(cells, cmap="viridis", vmin=_CHANCE, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(cells):
        text = f"{value:.2f}" if np.isfinite(value) else "\N{EN DASH}"
        colour = "white" if value < 0.8 else "black"
        weight = "bold" if bold[row, column] else "normal"
        axes.text(column, row, text, ha="center", va="center", color=colour, weight=weight, fontsize=8)
    axes.set_xticks(range(len(concepts)), concepts, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    for place in [*starts[1:], len(rows)]:
        for each in (axes, side):
            each.axhline(place - 0.5, color="white" if each is axes else "#999999", linewidth=3 if each is axes else 1)
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        axes.annotate(
            named[rows["encoder"][start]], (0, (start + end - 1) / 2), xycoords=("axes fraction", "data"),
            xytext=(-20 - 5.4 * reach, 0), textcoords="offset points", rotation=90, ha="center", va="center",
            fontsize=9, weight="bold",
        )  # fmt: skip
    axes.set_title("AUC of linear probes on test clips", fontsize=10, loc="left")
    figure.colorbar(image, ax=side, extend="min", label="AUC")

    for column, label, style in (
        ("auc", "probe", {"marker": "o", "color": "#4477aa"}),
        ("random_auc", "random weights", {"marker": "s", "color": "#ee6677", "markerfacecolor": "none"}),
        ("permuted_auc", "permuted labels", {"marker": "x", "color": "#888888"}),
    ):
        means = table.groupby(["encoder", "layer"], sort=False)[column].mean().loc[order].to_numpy()
        if np.isfinite(means).any():
            side.plot(means, range(len(rows)), linestyle="none", markersize=5, label=label, **style)
    side.axvline(float(np.nanmean(texts[:1])), color="#228833", linestyle="--", linewidth=1, label=_TEXT)
    side.axvline(_CHANCE, color="#cccccc", linewidth=1, zorder=0)
    side.tick_params(labelleft=False, left=False)
    side.set_xlabel("AUC")
    side.spines[["top", "right", "left"]].set_visible(False)
    side.set_title("mean over concepts", fontsize=10, loc="left")
    figure.legend(*side.get_legend_handles_labels(), loc="outside lower right", ncols=4, frameon=False, fontsize=8)
    return figure
