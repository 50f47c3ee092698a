"""Tables of clips: made for tables of captions by one backend or another, in one form."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from matplotlib.figure import Figure

from conceptcaps.audio import soundfont, spectrum, waveform
from conceptcaps.audio.waveform import Waveform
from conceptcaps.hashing import row_seed
from conceptcaps.tags.taxonomy import Taxonomy

BACKENDS = ("soundfont", "musicgen")
_STRINGS = pa.list_(pa.string())
FIELDS = [
    ("id", pa.string()),
    ("tags", _STRINGS),
    ("caption", pa.string()),
    ("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ("seed", pa.int64()),
    ("unrealised", _STRINGS),
    ("added", _STRINGS),
    ("sample_rate", pa.int64()),
    ("duration", pa.float64()),
]


def play_rows(
    rows: pd.DataFrame, *, taxonomy: Taxonomy, duration: float, sample_rate: int, channels: int, seed: int
) -> pd.DataFrame:
    """Clips of the soundfont backend for rows with ``id``, ``tags`` and ``caption``: columns of ``FIELDS``."""
    seeds = [row_seed(row_id, seed) for row_id in rows["id"]]
    play = partial(soundfont.play, duration=duration, taxonomy=taxonomy, sample_rate=sample_rate, channels=channels)
    clips = [play(list(tags), seed=own) for tags, own in zip(rows["tags"], seeds, strict=True)]
    return table(
        rows,
        [clip.waveform for clip in clips],
        sample_rate=sample_rate,
        seeds=seeds,
        unrealised=[clip.unrealised for clip in clips],
        added=[clip.added for clip in clips],
    )


def summary(rows: pd.DataFrame) -> dict[str, float]:
    """``audio/clips``, ``audio/hours``, ``audio/unrealised`` (share of asked tags), ``audio/added`` (tags a clip)."""
    asked = sum(map(len, rows["tags"]))
    return {
        "audio/clips": float(len(rows)),
        "audio/hours": float(rows["duration"].sum() / 3600),
        "audio/unrealised": sum(map(len, rows["unrealised"])) / asked,
        "audio/added": float(rows["added"].map(len).mean()),
    }


def spectra(rows: pd.DataFrame, *, most: int = 4) -> Figure:
    """Log-mel spectra of the first clips, with their tags."""
    figure = Figure(figsize=(12, 2.6 * min(most, len(rows))), layout="constrained")
    log_mel = spectrum.LogMel()
    shown = rows.head(most).to_dict("records")
    for axes, row in zip(np.atleast_1d(figure.subplots(len(shown), 1)), shown, strict=True):
        sound, rate = waveform.decode(row["audio"]["bytes"])
        mono = waveform.resample(waveform.to_mono(sound), rate, spectrum.SAMPLE_RATE)
        picture = log_mel(torch.as_tensor(mono))[0].T.numpy()
        axes.imshow(picture, origin="lower", aspect="auto", cmap="magma", extent=(0, row["duration"], 0, 96))
        axes.set_title(", ".join(row["tags"]), fontsize=9)
        axes.set(xlabel="time (s)", ylabel="mel band")
    return figure


def table(
    rows: pd.DataFrame,
    clips: Sequence[Waveform],
    *,
    sample_rate: int,
    seeds: Sequence[int],
    unrealised: Sequence[list[str]],
    added: Sequence[list[str]],
) -> pd.DataFrame:
    """Rows with their clips, encoded: columns of ``FIELDS``."""
    files = [
        {"bytes": waveform.encode_flac(clip, sample_rate), "path": f"{row_id}.flac"}
        for clip, row_id in zip(clips, rows["id"], strict=True)
    ]
    return pd.DataFrame(
        {
            "id": rows["id"].to_numpy(),
            "tags": [list(tags) for tags in rows["tags"]],
            "caption": rows["caption"].to_numpy(),
            "audio": files,
            "seed": list(seeds),
            "unrealised": list(unrealised),
            "added": list(added),
            "sample_rate": sample_rate,
            "duration": [clip.shape[1] / sample_rate for clip in clips],
        }
    )
