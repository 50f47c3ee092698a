"""What detectors hear with: layers of musicnn's two taggers, and the pulse, as one vector for each clip."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conceptcaps.audio import spectrum
from conceptcaps.listening import embeddings, tempo
from conceptcaps.listening.embeddings import MUSICNN, WIDTHS, Sounds


def _pulse(clip: bytes) -> dict[str, NDArray[np.float32]]:
    frames = spectrum.spectrum(clip)
    return {"pulse": tempo.pulse(spectrum.to_length(frames, length=max(len(frames), spectrum.FRAMES)))}


def features(clips: Sounds, *, cache: Path) -> NDArray[np.float32]:
    """Vectors ``(n, 3668)``.

    Of both taggers the pooled layers, the penultimate one and the log-odds of their tags; and the pulse at each of
    ``tempo.BPM``.

    Args:
        clips: Encoded audio files; iterated three times.
        cache: Folder that outlives the run.
    """
    width = sum(WIDTHS.values())
    found = np.empty((len(clips), len(MUSICNN) * width + len(tempo.BPM)), dtype=np.float32)
    for begin, model in zip(range(0, found.shape[1], width), MUSICNN, strict=False):
        heard = embeddings.musicnn_means(clips, model=model, cache=cache)
        likelihood = np.clip(heard["taggram"], 1e-6, 1 - 1e-6)
        parts = [heard["pooled"], heard["penultimate"], np.log(likelihood / (1 - likelihood))]
        np.concatenate(parts, axis=1, out=found[:, begin : begin + width])
    pulses = embeddings.stream(clips, function=_pulse, name="pulse", cache=cache)
    for row, arrays in enumerate(pulses):
        found[row, len(MUSICNN) * width :] = arrays["pulse"]
    return found
