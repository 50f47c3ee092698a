"""The encoder zoo, probed: one table of encoders, layers and concepts, and what stands out in it."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from tqdm import tqdm

from conceptcaps.errors import InputError
from conceptcaps.probing.clips import Clips
from conceptcaps.probing.encoders import Encoder, Rows
from conceptcaps.probing.linear_probes import Task, probe

COLUMNS = (
    "encoder", "layer", "concept", "n_train", "n_test", "auc", "low", "high", "permuted_auc", "selectivity", "cv_auc",
    "random_auc", "text_auc", "error",
)  # fmt: skip
_NAN = float("nan")


def run(
    encoders: Sequence[Encoder], clips: Clips, found: Sequence[Task], *, random_weights: bool, seed: int
) -> pd.DataFrame:
    """Probe every layer of every encoder for every concept.

    Args:
        encoders: Read one after the other.
        clips: Their rows are the tasks'.
        found: The concepts.
        random_weights: Whether to read each network once more, with random weights.
        seed: Seed of permutations, folds, intervals and weights.

    Returns:
        ``COLUMNS``: a row for each encoder, layer (from the input on) and concept. ``auc`` on the test clips in [0, 1],
        chance .5, with ``low`` and ``high`` (``probe``); ``permuted_auc``, ``selectivity``, ``cv_auc``; ``random_auc``,
        of the layer with random weights (NaN where not asked); ``text_auc``, of the other tags alone. NaN, and a reason
        in ``error``, where there are too few clips, the layer is dead or the encoder could not be used.

    Raises:
        InputError: If no cell could be measured.
    """
    texts = {task.concept: probe(task.others.astype(float), task, seed=seed, controls=False)["auc"] for task in found}
    rows = []
    for encoder in encoders:
        try:
            layers = encoder.read(clips, None)
            random: Mapping[str, Rows] = encoder.read(clips, seed) if random_weights else {}
        except InputError as error:
            layers, random, fault = {"all": np.full((len(clips), 1), np.nan)}, {}, str(error)
        else:
            fault = ""
        for layer, points in tqdm(layers.items(), desc=f"probes of {encoder.name}", unit="layer"):
            untaught = random.get(layer)
            for task in found:
                made = probe(points[task.clips], task, seed=seed)
                if untaught is not None:
                    made["random_auc"] = probe(untaught[task.clips], task, seed=seed, controls=False)["auc"]
                if fault:
                    made["error"] = fault
                key = {"encoder": encoder.name, "layer": layer, "concept": task.concept}
                rows.append({"random_auc": _NAN, "text_auc": texts[task.concept]} | key | made)
    table = pd.DataFrame(rows)[list(COLUMNS)]
    if not table["auc"].notna().any():
        raise InputError(f"expected a layer and a concept that can be probed, got none: {table['error'].iloc[0]}")
    return table


def summarise(table: pd.DataFrame) -> tuple[dict[str, float], dict[str, str]]:
    """Figures of each encoder, and its best layer.

    Args:
        table: Of ``run``.

    Returns:
        Metrics: ``probes/cells``, ``probes/failed``, ``probes/text_auc``; by encoder ``<title>/auc`` over all its
        layers, and of its best layer ``<title>/best_auc``, ``<title>/best_selectivity``, ``<title>/best_random_auc``,
        means over concepts. And by title the name of that layer: the one whose mean ``cv_auc`` is highest, which the
        test clips have no part in. An encoder without figures has none.
    """
    named = titles(table["encoder"].unique().tolist())
    texts = table.drop_duplicates("concept")["text_auc"]
    metrics = {"probes/cells": float(len(table)), "probes/failed": float(table["auc"].isna().sum())}
    metrics["probes/text_auc"] = float(texts.mean())
    best = {}
    for encoder, title in named.items():
        part = table[(table["encoder"] == encoder) & table["auc"].notna()]
        if part.empty:
            continue
        means = part.groupby("layer", sort=False)[["auc", "selectivity", "random_auc", "cv_auc"]].mean()
        best[title] = str(means["cv_auc"].idxmax())
        metrics[f"{title}/auc"] = float(part["auc"].mean())
        for name in ("auc", "selectivity", "random_auc"):
            metrics[f"{title}/best_{name}"] = float(means[name][best[title]])
    return metrics, best


def titles(encoders: Sequence[str]) -> dict[str, str]:
    """Short names: the last part of a path or URI where no other ends so.

    >>> titles(["musicnn_mtt", "clap:models/630k.pt", "m-a-p/MERT-v1-95M@main"])
    {'musicnn_mtt': 'musicnn_mtt', 'clap:models/630k.pt': '630k.pt', 'm-a-p/MERT-v1-95M@main': 'MERT-v1-95M'}
    """
    short = {name: re.split(r"[/:]", name.partition("@")[0].rstrip("/"))[-1] for name in encoders}
    if len(set(short.values())) == len(short):
        return short
    return {name: re.sub(r"[^\w. -]", "_", name).strip("_") for name in encoders}
