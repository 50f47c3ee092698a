"""The registered VAE: conditions in, tag sets out."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from conceptcaps.tags import sampling, vae
from conceptcaps.tags.vae import BetaVAE

__all__ = ["DEFAULTS", "REGISTERED", "Served", "load", "predict"]

DEFAULTS = {"condition": "", "seed": 0}  # columns that a request may leave out
REGISTERED = {"module": __name__, "example": pd.DataFrame({"condition": ["jazz, piano", ""], "seed": [0, 1]})}
"""How it is registered, and a request."""


class Served(NamedTuple):
    """A VAE and the dials that it is sampled with (``sampling.sample``)."""

    model: BetaVAE
    drawing: dict[str, Any]


def load(folder: Path) -> Served:
    """Open a registered VAE."""
    return Served(vae.load(folder), json.loads((folder / vae.DRAWING_FILE).read_text(encoding="utf-8")))


def predict(served: Served, frame: pd.DataFrame) -> pd.DataFrame:
    """One tag set for each row of a served request; rows that ask for the same get different sets while there are any.

    Args:
        served: Of ``load``.
        frame: Columns ``condition`` (tags separated by commas, a minus sign before those to leave out, may be empty)
            and ``seed``.

    Returns:
        Column ``tags``, separated by commas.
    """
    answers = np.empty(len(frame), dtype=object)
    asked = pd.DataFrame({"condition": frame["condition"].astype(str), "seed": frame["seed"].astype(int)})
    for rows in asked.groupby(["condition", "seed"], sort=False).indices.values():
        condition, seed = (asked[name].iloc[rows[0]] for name in ("condition", "seed"))
        wish: dict[str, Any] = {
            "condition": sampling.split_tags(str(condition)),
            "seed": int(seed),
            "min_categories": 1,
        }
        found = sampling.sample(served.model, count=len(rows), **wish, **served.drawing)
        texts = [", ".join(tags) for tags in served.model.taxonomy.decode(found.rows)]
        answers[rows] = [texts[place % len(texts)] for place in range(len(rows))]
    return pd.DataFrame({"tags": answers.tolist()})
