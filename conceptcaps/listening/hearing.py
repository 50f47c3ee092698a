"""The features of detectors: layers of musicnn's two taggers, and the pulse, as one vector for each clip."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from conceptcaps.audio import spectrum
from conceptcaps.listening import embeddings, tempo
from conceptcaps.listening.embeddings import MUSICNN, Sounds
from conceptcaps.workspace.spool import Spool


def _pulse(clip: bytes) -> dict[str, NDArray[np.float32]]:
    frames = spectrum.spectrum(clip)
    return {"pulse": tempo.pulse(spectrum.to_length(frames, length=max(len(frames), spectrum.FRAMES)))}


class Features:
    """Vectors ``(n, d)`` of clips, on the disk; a slice of the clips is read when it is asked for."""

    def __init__(self) -> None:
        """Begin without clips."""
        self._spool = Spool()
        self._clips: list[list[int]] = []

    def __len__(self) -> int:
        """Number of clips."""
        return len(self._clips)

    def __getitem__(self, clips: slice) -> NDArray[np.float32]:
        """Vectors ``(k, d)``."""
        rows = [torch.cat([self._spool[place] for place in places]) for places in self._clips[clips]]
        return np.stack([row.numpy() for row in rows]) if rows else np.empty((0, 0), dtype=np.float32)

    def extend(self, clips: Sounds, *, cache: Path) -> None:
        """Listen to more clips.

        Args:
            clips: Encoded audio files; iterated three times.
            cache: Folder that outlives the run.
        """
        new: list[list[int]] = [[] for _ in range(len(clips))]
        for parts in _parts(clips, cache=cache):
            for places, part in zip(new, parts, strict=True):
                places.append(self._spool.append(torch.from_numpy(part)))
        self._clips += new


def features(clips: Sounds, *, cache: Path) -> Features:
    """Vectors ``(n, 3668)``.

    Of both taggers the pooled layers, the penultimate one and the log-odds of their tags; and the pulse at each of
    ``tempo.BPM``.

    Args:
        clips: Encoded audio files; iterated three times.
        cache: Folder that outlives the run.
    """
    found = Features()
    found.extend(clips, cache=cache)
    return found


def _parts(clips: Sounds, *, cache: Path) -> Iterator[Iterator[NDArray[np.float32]]]:
    """One pass over the clips after the other, each with a part of every clip's vector."""
    for model in MUSICNN:
        yield map(_heard, embeddings.musicnn_stream(clips, model=model, cache=cache))
    pulses = embeddings.stream(clips, function=_pulse, name="pulse", cache=cache)
    yield (arrays["pulse"] for arrays in pulses)


def _heard(arrays: embeddings.Embedding) -> NDArray[np.float32]:
    likelihood = np.clip(arrays["taggram"], 1e-6, 1 - 1e-6)
    return np.concatenate([arrays["pooled"], arrays["penultimate"], np.log(likelihood / (1 - likelihood))])
