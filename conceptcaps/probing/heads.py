"""Genre classifiers: a small CNN on spectra, and heads on musicnn's features. Each is probed end to end.

All take what ``features`` makes of clips, cut or repeated to one length, ``(n, length, d)``, and give logits that are
divided by a ``temperature`` (1 until ``classifier.calibrate`` sets it).
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conceptcaps.audio import spectrum
from conceptcaps.audio.spectrum import BANDS
from conceptcaps.errors import InputError
from conceptcaps.listening import musicnn
from conceptcaps.probing.networks import MUSICNN_AXES, MUSICNN_FRONT, Probe, log_mel_windows

HEADS = ("linear", "mlp", "cnn")
_CHANNELS = (16, 32, 64, 128)
_EMBEDDING = 64
_HIDDEN = 64
_WIDTH = 1506  # of what musicnn's penultimate layer sees: more of it than that layer passes on


def features_cnn(clip: bytes) -> dict[str, NDArray[np.float32]]:
    """Log-mel spectrum of an encoded clip, averaged over pairs of frames: ``features`` ``(frames, 96)``, 31 a second.

    Raises:
        InputError: If the clip is shorter than two frames.
    """
    frames = spectrum.spectrum(clip)
    if len(frames) < 2:
        raise InputError(f"expected a clip of at least 512 samples at 16 kHz, got {len(frames)} frames of 256")
    return {"features": frames[: len(frames) // 2 * 2].reshape(-1, 2, BANDS).mean(1, dtype=np.float32)}


def features_musicnn(clip: bytes) -> dict[str, NDArray[np.float32]]:
    """Musicnn's (MTT) pooled layers in an encoded clip's windows of 3 s: ``features`` ``(windows, 1506)``."""
    with torch.inference_mode():
        return {"features": _tagger().pool(log_mel_windows(clip)).numpy()}


@cache
def _tagger() -> musicnn.Tagger:
    return musicnn.load("MTT").tagger


class Classifier(nn.Module):
    """What the classifiers share.

    Attributes:
        genres: Names of the classes.
        length: Frames or windows of the inputs that it was trained on.
        features: An encoded clip to its array ``features`` ``(length, width)``.
    """

    features: Callable[[bytes], dict[str, NDArray[np.float32]]]

    mean: Tensor
    scale: Tensor
    temperature: Tensor

    def __init__(self, genres: Sequence[str], *, length: int, width: int) -> None:
        """Take the classes and the shape ``(length, width)`` of a clip's features."""
        super().__init__()
        self.genres, self.length = tuple(genres), length
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("temperature", torch.ones(()))

    def standardise(self, batches: Iterable[Tensor]) -> None:
        """Take mean and spread of training inputs, which come as ``(some, length, width)``."""
        count, total, squares = 0, torch.zeros_like(self.mean.double()), torch.zeros_like(self.mean.double())
        for batch in batches:
            rows = batch.to(total).flatten(0, 1)
            count, total, squares = count + len(rows), total + rows.sum(0), squares + rows.square().sum(0)
        self.mean.copy_(total / count)
        variance = (squares - total.square() / count) / (count - 1)
        self.scale.copy_(variance.clamp_min(0).sqrt().clamp_min(1e-3))

    def probe(self) -> Probe:
        """The network that TCAV asks, from audio to logits."""
        raise NotImplementedError


class GenreCNN(Classifier):
    """Log-mel spectra ``(n, frames, 96)`` to logits ``(n, classes)``.

    Layers to probe: ``conv1`` to ``conv4`` ``(n, channels, time, frequency)`` with 16, 32, 64 and 128 channels, each
    half as long and high as the one before; ``embedding`` ``(n, 64)``; ``output``. The embedding reaches the output by
    one linear map, so a directional derivative there is the same for all clips, and a TCAV score 0 or 1.
    """

    features = staticmethod(features_cnn)

    def __init__(self, genres: Sequence[str], *, length: int) -> None:
        """Build the network with random weights."""
        super().__init__(genres, length=length, width=BANDS)
        sizes = zip((1, *_CHANNELS), _CHANNELS, strict=False)
        self.conv1, self.conv2, self.conv3, self.conv4 = (
            nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU())
            for before, after in sizes
        )
        self.dropout = nn.Dropout(0.3)
        self.embedding = nn.Sequential(nn.Linear(_CHANNELS[-1], _EMBEDDING), nn.ReLU())
        self.output = nn.Linear(_EMBEDDING, len(self.genres))

    def forward(self, log_mel: Tensor) -> Tensor:
        """Logits of the genres."""
        hidden = ((log_mel - self.mean) / self.scale)[:, None]
        hidden = self.conv4(self.conv3(self.conv2(self.conv1(hidden))))
        return self.output(self.embedding(self.dropout(hidden.mean((2, 3))))) / self.temperature

    def probe(self) -> Probe:
        """A clip is one window."""

        def windows(clip: bytes) -> Tensor:
            return torch.from_numpy(spectrum.to_length(features_cnn(clip)["features"], length=self.length))[None]

        every = ("conv1", "conv2", "conv3", "conv4", "embedding", "output")
        return Probe(self, self.genres, ("conv3", "conv4", "embedding"), windows, every=every)


class Head(Classifier):
    """Musicnn's pooled layers in a clip's windows ``(n, windows, 1506)`` to logits ``(n, classes)``.

    Logits are means over the windows. With ``hidden`` there is one layer of 64 units between, else one linear map.
    """

    features = staticmethod(features_musicnn)

    def __init__(self, genres: Sequence[str], *, length: int, hidden: bool) -> None:
        """Build the head with random weights."""
        super().__init__(genres, length=length, width=_WIDTH)
        self.hidden: nn.Module = nn.Identity()
        if hidden:
            self.hidden = nn.Sequential(nn.Linear(_WIDTH, _HIDDEN), nn.ReLU())
        self.dropout = nn.Dropout(0.3)
        self.output = nn.Linear(_HIDDEN if hidden else _WIDTH, len(self.genres))

    def forward(self, windows: Tensor) -> Tensor:
        """Logits of the genres."""
        hidden = self.hidden(self.dropout((windows - self.mean) / self.scale))
        return self.output(hidden).mean(1) / self.temperature

    def probe(self) -> Probe:
        """Musicnn with this head in place of its own output; ``pooled`` is what the head sees."""
        layers = ("timbral", "cnn3", "pooled")
        every = (*MUSICNN_FRONT, "pooled")
        return Probe(_Headed(_tagger(), self).eval(), self.genres, layers, log_mel_windows, MUSICNN_AXES, every)


class _Headed(nn.Module):
    """Log-mel windows ``(n, 187, 96)`` to the logits of a head."""

    def __init__(self, tagger: musicnn.Tagger, head: Head) -> None:
        super().__init__()
        for name, layer in tagger.named_children():  # before the tagger itself, so that layers go by these names
            if name not in ("penultimate", "output"):
                self.add_module(name, layer)
        self.tagger, self.head, self.pooled = tagger, head, nn.Identity()

    def forward(self, log_mel: Tensor) -> Tensor:
        return self.head(self.pooled(self.tagger.pool(log_mel))[:, None])


def build(head: str, genres: Sequence[str], *, length: int) -> Classifier:
    """An untrained classifier: ``linear`` or ``mlp`` on musicnn, or the ``cnn``.

    Raises:
        InputError: If ``head`` is another word.
    """
    if head not in HEADS:
        raise InputError(f"expected a head among {', '.join(HEADS)}, got {head!r}")
    return GenreCNN(genres, length=length) if head == "cnn" else Head(genres, length=length, hidden=head == "mlp")
