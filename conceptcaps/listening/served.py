"""The registered verifier: encoded clips in, probabilities and verdicts out."""

import base64
import json
from pathlib import Path

import pandas as pd

from conceptcaps.listening import hearing, verifier
from conceptcaps.listening.verifier import Verifier
from conceptcaps.workspace import cache

__all__ = ["load", "predict"]

load = verifier.load


def predict(model: Verifier, frame: pd.DataFrame) -> pd.DataFrame:
    """Verdicts on clips.

    Args:
        model: The detectors.
        frame: Column ``audio``: an encoded file (FLAC, WAV, OGG, MP3) in base64.

    Returns:
        ``present`` and ``absent`` (tags separated by commas) and ``probabilities`` (JSON, by tag).
    """
    clips = [base64.b64decode(text) for text in frame["audio"]]
    probabilities = model.probabilities(hearing.features(clips, cache=Path(cache.embeddings())))
    verdicts = model.verdicts(probabilities)
    rows = [
        {
            **{name: ", ".join(verdicts.columns[verdicts.iloc[row] == name]) for name in ("present", "absent")},
            "probabilities": json.dumps(probabilities.iloc[row].round(4).to_dict()),
        }
        for row in range(len(clips))
    ]
    return pd.DataFrame(rows)
