"""Figures that more than one stage, notebook or report draws; each returns a figure and keeps no state."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.manifold import TSNE

COLOURS = {"genre": "#4477aa", "mood": "#ee6677", "instrument": "#228833", "tempo": "#ccbb44"}


def tag_frequency(tag_sets: Sequence[Sequence[str]], *, categories: Mapping[str, str], top: int = 12) -> Figure:
    """Horizontal bars of the most frequent tags of every category, as shares of the rows (%)."""
    counts = pd.Series([tag for tags in tag_sets for tag in tags]).value_counts()
    figure = Figure(figsize=(13, 5), layout="constrained")
    for axes, (category, colour) in zip(figure.subplots(1, len(COLOURS)), COLOURS.items(), strict=True):
        chosen = counts[[tag for tag in counts.index if categories[tag] == category]].head(top)[::-1]
        axes.barh(chosen.index, 100 * chosen / len(tag_sets), color=colour)
        axes.set(title=category, xlabel="rows with the tag (%)")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def tags_per_row(tag_sets: Sequence[Sequence[str]], *, categories: Mapping[str, str]) -> Figure:
    """Histogram of tags in a row, and of tags in a row by category."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    whole, parts = figure.subplots(1, 2)
    sizes = np.array([len(tags) for tags in tag_sets])
    whole.hist(sizes, bins=np.arange(sizes.max() + 2) - 0.5, color="#666666")
    whole.set(title=f"tags in a row (mean {sizes.mean():.1f})", xlabel="tags", ylabel="rows")
    by_category = {name: [sum(categories[tag] == name for tag in tags) for tags in tag_sets] for name in COLOURS}
    edges = np.arange(max(map(max, by_category.values())) + 2) - 0.5
    parts.hist(list(by_category.values()), bins=edges.tolist(), color=list(COLOURS.values()), label=list(COLOURS))
    parts.set(title="tags in a row, by category", xlabel="tags", ylabel="rows")
    parts.legend(frameon=False)
    return figure


def histogram(values: Sequence[float], *, title: str, label: str, ylabel: str = "rows") -> Figure:
    """Histogram of one quantity with its median marked."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.hist(values, bins=40, color="#4477aa")
    axes.axvline(float(np.median(values)), color="#aa3377", label=f"median {np.median(values):.3g}")
    axes.set(title=title, xlabel=label, ylabel=ylabel)
    axes.legend(frameon=False)
    return figure


def curves(histories: Mapping[str, pd.DataFrame], *, title: str, xlabel: str, ylabel: str) -> Figure:
    """One line for each history (columns ``step`` and ``value``), such as training and validation loss."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, history in histories.items():
        axes.plot(history["step"], history["value"], label=name, marker="o" if len(history) < 15 else None)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axes.legend(frameon=False)
    return figure


def latent_map(means: np.ndarray, genres: Sequence[Sequence[str]], *, seed: int, most: int = 10) -> Figure:
    """Posterior means in two dimensions (t-SNE), coloured by a row's first genre where that is a frequent one."""
    first = pd.Series([names[0] if names else "none" for names in genres])
    frequent = [genre for genre in first.value_counts().index if genre != "none"][:most]
    perplexity = min(30.0, (len(means) - 1) / 3)
    start = "pca" if means.shape[1] > 1 else "random"  # one latent variable has one principal component
    places = TSNE(2, perplexity=perplexity, init=start, random_state=seed).fit_transform(means)
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    others = ~first.isin(frequent)
    axes.scatter(places[others, 0], places[others, 1], s=8, color="#dddddd", label="others")
    for number, genre in enumerate(frequent):
        axes.scatter(places[first == genre, 0], places[first == genre, 1], s=16, color=f"C{number}", label=genre)
    axes.set(title="latent space of the tag VAE", xlabel="t-SNE 1", ylabel="t-SNE 2")
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def frequencies(samples: np.ndarray, real: np.ndarray, tags: Sequence[str], *, named: int = 8) -> Figure:
    """Frequency of each tag in samples against held-out rows, the largest differences named."""
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    axes.plot(100 * real, 100 * samples, "o", color="#4477aa", markersize=4, alpha=0.7)
    end = 105 * max(real.max(), samples.max())
    axes.plot([0, end], [0, end], color="#bbbbbb", zorder=0)
    for place in np.argsort(-np.abs(samples - real))[:named]:
        right = 100 * real[place] > end / 2  # a name stays inside of the axes
        axes.annotate(tags[place], (100 * real[place], 100 * samples[place]), fontsize=8, textcoords="offset points",
                      xytext=(-5, 4) if right else (5, 4), ha="right" if right else "left")  # fmt: skip
    axes.set(title="tag frequencies", xlabel="held-out rows (%)", ylabel="samples (%)")
    return figure


def sizes(groups: Mapping[str, np.ndarray]) -> Figure:
    """Share of rows by their number of tags, for each group of rows."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    most = max(int(values.max()) for values in groups.values())
    for name, values in groups.items():
        counts = np.bincount(values, minlength=most + 1) / len(values)
        axes.plot(np.arange(most + 1), 100 * counts, marker="o", markersize=3, label=f"{name} (n = {len(values)})")
    axes.set(title="tags in a row", xlabel="tags", ylabel="rows (%)")
    axes.legend(frameon=False)
    return figure


def priors(table: pd.DataFrame) -> Figure:
    """One row of bars for each of six figures, a bar for each prior and rival (columns of ``fidelity.evaluate``)."""
    shown = {
        "covariance_of_ceiling": "covariance, of its ceiling (best 1)",
        "third_moments_of_ceiling": "third moments, of their ceiling (best 1)",
        "two_sample_auc": "two-sample AUC (best .5)",
        "frequency_error": "tag frequency error (best 0)",
        "size_distance": "distance of tags per row (best 0)",
        "copies": "copies of training sets (share)",
    }
    figure = Figure(figsize=(17, 3), layout="constrained")
    for place, (axes, (name, label)) in enumerate(zip(figure.subplots(1, len(shown)), shown.items(), strict=True)):
        axes.barh(table["prior"][::-1], table[name][::-1], color="#4477aa")
        axes.set(xlabel=label)
        axes.tick_params(labelleft=place == 0)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def writers(means: pd.DataFrame) -> Figure:
    """Each writer's means with intervals, a panel for a score; columns as ``comparison.means`` gives them."""
    scores = list(dict.fromkeys(means["score"]))
    columns = min(4, len(scores))
    rows = -(-len(scores) // columns)
    figure = Figure(
        figsize=(3.4 * columns, 0.6 + rows * (0.8 + 0.25 * means["writer"].nunique())), layout="constrained"
    )
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, score in zip(panels, scores, strict=False):
        part = means[means["score"] == score][::-1]
        ends = [part["mean"] - part["low"], part["high"] - part["mean"]]
        axes.errorbar(part["mean"], part["writer"], xerr=ends, fmt="o", color="#4477aa", capsize=2)
        axes.set_title(score, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.margins(y=0.3)
    for axes in panels[len(scores) :]:
        axes.set_visible(False)
    return figure
