"""How good a classifier is, and whether it knows its classes well enough to be asked what it uses."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import ConfusionMatrixDisplay
from torch import Tensor

from conceptcaps.probing import classifier
from conceptcaps.probing.classifier import Part
from conceptcaps.probing.heads import Classifier
from conceptcaps.results.calibration import calibration_error


def evaluate(model: Classifier, parts: Mapping[str, Part]) -> tuple[dict[str, float], pd.DataFrame, Figure]:
    """How good a trained network is, compared with always answering the most frequent training genre.

    Args:
        model: What ``fit`` gave.
        parts: Features and class numbers of ``train``, ``validation`` and ``test``.

    Returns:
        Metrics: ``val/`` and ``test/`` ``nll`` (nats), ``accuracy``, ``accuracy_low`` and ``accuracy_high`` (95 %,
        Clopper and Pearson's, which has a width where all clips are right too), ``accuracy_majority`` and
        ``calibration_error``;
        ``test/interpretable``, 1 if the lower end exceeds the majority's accuracy: a network that does not know its
        classes is not worth probing. A table with ``val/nll`` and ``val/accuracy`` of every validation clip. The
        confusion matrix on test.
    """
    majority = int(parts["train"][1].bincount().argmax())
    metrics: dict[str, float] = {"train/temperature": float(model.temperature)}
    found = {name: classifier.evaluate(model, *parts[name]) for name in ("validation", "test")}
    for prefix, name in (("val", "validation"), ("test", "test")):
        correct = found[name]["correct"]
        metrics[f"{prefix}/nll"] = float(found[name]["nll"].mean())
        metrics[f"{prefix}/accuracy"] = float(correct.mean())
        metrics[f"{prefix}/accuracy_majority"] = float((parts[name][1] == majority).double().mean())
        metrics[f"{prefix}/calibration_error"] = calibration_error(found[name]["probability"], correct)
        if len(correct):
            exact = binomtest(int(correct.sum()), len(correct)).proportion_ci(method="exact")
            metrics |= {f"{prefix}/accuracy_low": float(exact.low), f"{prefix}/accuracy_high": float(exact.high)}
    low = metrics.get("test/accuracy_low", 0.0)
    metrics["test/interpretable"] = float(low > metrics["test/accuracy_majority"])
    per_item = pd.DataFrame({"val/nll": found["validation"]["nll"], "val/accuracy": found["validation"]["correct"]})
    return metrics, per_item, _confusion(model, parts["test"][1], found["test"]["predicted"], metrics)


def _confusion(
    model: Classifier, truth: Tensor, predicted: NDArray[np.float64], metrics: Mapping[str, float]
) -> Figure:
    side = 2.5 + 0.45 * len(model.genres)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    numbers = range(len(model.genres))
    settings = {"labels": numbers, "display_labels": model.genres, "cmap": "Blues", "xticks_rotation": "vertical"}
    ConfusionMatrixDisplay.from_predictions(truth.numpy(), predicted.astype(int), ax=axes, **settings)
    accuracy, majority = metrics["test/accuracy"], metrics["test/accuracy_majority"]
    verdict = "" if metrics["test/interpretable"] else ": not interpretable"
    axes.set(title=f"test clips: accuracy {accuracy:.2f}, majority {majority:.2f}{verdict}")
    axes.set(xlabel="predicted genre", ylabel="true genre")
    return figure
