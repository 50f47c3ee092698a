"""musicnn, a real music tagger, in PyTorch: genre, mood, instrument and tempo words for every three seconds of audio.

The weights are the ones that its authors published as TensorFlow checkpoints, trained on MagnaTagATune (``MTT``, with
ROC-AUC .907 on its test set) or on the Million Song Dataset (``MSD``, ROC-AUC .880).

References:
    Pons and Serra, musicnn: Pre-trained convolutional neural networks for music audio tagging (2019), arXiv 1909.06654.
    Pons et al., End-to-end learning for music audio tagging at scale (2018), arXiv 1711.02520.
"""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conceptcaps.audio.spectrum import BANDS, FRAMES, HOP, LogMel
from conceptcaps.errors import InputError
from conceptcaps.listening import tf_checkpoint
from conceptcaps.workspace import assets

_EPSILON = 1e-3  # of TensorFlow's batch normalisation
_ROWS = 11  # frames transformed at once: their spectra stay in the processor's cache
_WINDOWS = 8  # windows in one pass of the network

TAGS = {
    "MTT": (
        "guitar, classical, slow, techno, strings, drums, electronic, rock, fast, piano, ambient, beat, violin, vocal, "
        "synth, female, indian, opera, male, singing, vocals, no vocals, harpsichord, loud, quiet, flute, woman, "
        "male vocal, no vocal, pop, soft, sitar, solo, man, classic, choir, voice, new age, dance, male voice, "
        "female vocal, beats, harp, cello, no voice, weird, country, metal, female voice, choral"
    ).split(", "),
    "MSD": (
        "rock, pop, alternative, indie, electronic, female vocalists, dance, 00s, alternative rock, jazz, beautiful, "
        "metal, chillout, male vocalists, classic rock, soul, indie rock, Mellow, electronica, 80s, folk, 90s, chill, "
        "instrumental, punk, oldies, blues, hard rock, ambient, acoustic, experimental, female vocalist, guitar, "
        "Hip-Hop, 70s, party, country, easy listening, sexy, catchy, funk, electro, heavy metal, Progressive rock, "
        "60s, rnb, indie pop, sad, House, happy"
    ).split(", "),
}


class _Filters(nn.Module):
    """Convolution, ReLU, normalisation, then the maximum over frequency: ``(n, frames, 96)`` to ``(n, c, frames)``.

    Normalisation is a straight line for each channel, so the maximum over frequency of what comes out is reached where
    the convolution is largest or, on falling lines, smallest. It is therefore taken first, on kernels whose sign is
    turned where the line falls, and the large maps before it are never kept.
    """

    def __init__(self, channels: int, frames: int, bands: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, (frames, bands))
        self.norm = nn.BatchNorm1d(channels, eps=_EPSILON)

    def forward(self, log_mel: Tensor) -> Tensor:
        reach = self.conv.kernel_size[0] - 1
        padded = nn.functional.pad(log_mel, (0, 0, reach // 2, reach - reach // 2))
        sign = torch.where(self.norm.weight < 0, -1.0, 1.0)
        peak = self.peak(padded, self.conv.weight[:, 0] * sign[:, None, None]).transpose(1, 2)
        assert self.conv.bias is not None
        return self.norm(torch.relu(sign[:, None] * peak + self.conv.bias[:, None]))

    def peak(self, padded: Tensor, kernels: Tensor) -> Tensor:
        """Largest value over frequency of the correlation with ``kernels`` ``(c, taps, bands)``: ``(n, frames, c)``."""
        raise NotImplementedError


class TimbralFilters(_Filters):
    """Kernels 7 frames long and many bands high: what a sound is made of."""

    def peak(self, padded: Tensor, kernels: Tensor) -> Tensor:
        """Correlates along frequency through the discrete Fourier transform, written as matrix products.

        A product of spectra is a circular correlation over the 96 bands, whose first ``97 - height`` values do not wrap
        around: exactly the valid ones. It takes about half the time of the direct form.
        """
        channels, taps, height = kernels.shape
        bins = torch.arange(BANDS // 2 + 1).to(padded)[:, None]
        angle = bins * torch.arange(BANDS).to(padded) % BANDS * (2 * math.pi / BANDS)
        cosine, sine = angle.cos(), angle.sin()
        weight = torch.where((bins == 0) | (bins == BANDS // 2), 1 / BANDS, 2 / BANDS).to(padded)
        inverse = torch.cat([cosine * weight, -sine * weight])[:, : BANDS + 1 - height].T

        real, imaginary = (torch.einsum("ctb,fb->ftc", kernels, basis[:, :height]) for basis in (cosine, sine))
        products = torch.cat([torch.cat([real, imaginary], 1), torch.cat([imaginary, -real], 1)])
        spectra = (padded @ torch.cat([cosine, sine]).T).unflatten(2, (2, -1)).unfold(1, taps, 1)
        rows = spectra.permute(3, 0, 1, 2, 4).flatten(3).flatten(1, 2).repeat(2, 1, 1)
        peaks = [
            (inverse @ torch.bmm(part, products).flatten(1)).amax(0).view(-1, channels)
            for part in rows.split(_ROWS, dim=1)
        ]
        return torch.cat(peaks).view(len(padded), -1, channels)


class TemporalFilters(_Filters):
    """Kernels one band high and up to two seconds long: how a sound moves."""

    def peak(self, padded: Tensor, kernels: Tensor) -> Tensor:
        """Correlates along time, one band at a time."""
        return nn.functional.conv2d(padded[:, None], kernels[:, None]).amax(3).transpose(1, 2)


class Branches(nn.ModuleList):
    """Layers side by side on one input, joined along channels."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs ``(n, channels of all, frames)``."""
        return torch.cat([layer(inputs) for layer in self], dim=1)


class Dense(nn.Sequential):
    """Convolution over 7 frames, ReLU, batch normalisation: ``(n, channels, frames)`` to ``(n, 64, frames)``."""

    def __init__(self, channels: int) -> None:
        """Take the number of input channels."""
        super().__init__(nn.Conv1d(channels, 64, 7, padding=3), nn.ReLU(), nn.BatchNorm1d(64, eps=_EPSILON))


class Tagger(nn.Module):
    """The network from log-mel windows ``(n, 187, 96)`` to logits ``(n, 50)``.

    Layers to probe, each a submodule whose output is its activation: ``timbral`` ``(n, 408, 187)``, ``temporal``
    ``(n, 153, 187)``, ``cnn1``, ``cnn2``, ``cnn3`` ``(n, 64, 187)`` before their residual sums, ``penultimate``
    ``(n, 200)``, ``output`` ``(n, 50)``.
    """

    def __init__(self) -> None:
        """Build the layers with random weights."""
        super().__init__()
        self.normalise = nn.BatchNorm2d(1, eps=_EPSILON)
        self.timbral = Branches([TimbralFilters(204, 7, 38), TimbralFilters(204, 7, 67)])
        self.temporal = Branches([TemporalFilters(51, 128, 1), TemporalFilters(51, 64, 1), TemporalFilters(51, 32, 1)])
        self.cnn1, self.cnn2, self.cnn3 = Dense(561), Dense(64), Dense(64)
        self.penultimate = nn.Sequential(
            nn.BatchNorm1d(1506, eps=_EPSILON), nn.Linear(1506, 200), nn.ReLU(), nn.BatchNorm1d(200, eps=_EPSILON)
        )
        self.output = nn.Linear(200, 50)

    def pool(self, log_mel: Tensor) -> Tensor:
        """Maxima and means over time ``(n, 1506)`` of the front and of the three residual layers after it."""
        inputs = self.normalise(log_mel[:, None])[:, 0]
        front = torch.cat([self.timbral(inputs), self.temporal(inputs)], dim=1)
        first = self.cnn1(front)
        second = self.cnn2(first) + first
        third = self.cnn3(second) + second
        features = torch.cat([front, first, second, third], dim=1)
        return torch.stack([features.amax(2), features.mean(2)], dim=2).flatten(1)

    def embed(self, log_mel: Tensor) -> Tensor:
        """Activations ``(n, 200)`` of the penultimate layer."""
        return self.penultimate(self.pool(log_mel))

    def forward(self, log_mel: Tensor) -> Tensor:
        """Logits; their sigmoid is the likelihood of a tag."""
        return self.output(self.embed(log_mel))


class Musicnn(nn.Module):
    """Waveforms to tags: ``log_mel``, then ``tagger`` on windows of 3 s. ``tags`` names the outputs."""

    def __init__(self, tags: list[str]) -> None:
        """Build the model with random weights; ``load`` gives it the published ones."""
        super().__init__()
        self.tags = tuple(tags)
        self.log_mel = LogMel()
        self.tagger = Tagger()

    def windows(self, waveforms: Tensor) -> Tensor:
        """Log-mel windows ``(batch, windows, 187, 96)``, one after another from the start; a remainder is left out.

        Raises:
            InputError: If ``waveforms`` is not ``(batch, samples)`` or shorter than a window (47,616 samples).
        """
        shortest = (FRAMES - 1) * HOP
        if waveforms.ndim != 2 or waveforms.shape[1] < shortest:
            shape = tuple(waveforms.shape)
            raise InputError(
                f"expected waveforms (batch, samples) of {shortest} samples at 16 kHz or more, got {shape}"
            )
        log_mel = self.log_mel(waveforms)
        count = log_mel.shape[1] // FRAMES
        return log_mel[:, : count * FRAMES].unflatten(1, (count, FRAMES))

    def forward(self, waveforms: Tensor | NDArray[np.float32]) -> dict[str, Tensor]:
        """Tags and embeddings of every window.

        Args:
            waveforms: Mono audio ``(batch, samples)`` at 16 kHz in [-1, 1].

        Returns:
            ``taggram`` ``(batch, windows, 50)``, likelihoods in [0, 1] in the order of ``tags``, ``penultimate``
            ``(batch, windows, 200)``, and ``pooled`` ``(batch, windows, 1506)``, what the penultimate layer reads.
            10 s make 3 windows.

        Raises:
            InputError: If a clip is shorter than a window.
        """
        device = self.log_mel.window.device
        windows = self.windows(torch.as_tensor(waveforms, dtype=torch.float32, device=device))
        parts = windows.flatten(0, 1).split(_WINDOWS)
        pooled = torch.cat([self.tagger.pool(part) for part in parts]).unflatten(0, windows.shape[:2])
        penultimate = self.tagger.penultimate(pooled.flatten(0, 1)).unflatten(0, windows.shape[:2])
        taggram = torch.sigmoid(self.tagger.output(penultimate))
        return {"taggram": taggram, "penultimate": penultimate, "pooled": pooled}


def load(name: str, *, folder: Path | None = None) -> Musicnn:
    """The tagger with its published weights, in evaluation mode and without gradients of its parameters.

    Args:
        name: ``MTT`` (MagnaTagATune) or ``MSD`` (Million Song Dataset).
        folder: Folder of the TensorFlow checkpoint; fetched from the package index if None.

    Raises:
        InputError: If the name is unknown or the checkpoint is another model's.
    """
    if name not in TAGS:
        raise InputError(f"expected musicnn's training set MTT or MSD, got {name!r}")
    variables = tf_checkpoint.read(f"{folder or assets.fetch(f'musicnn_{name.lower()}')}/")
    model = Musicnn(TAGS[name])
    counts: Counter[str] = Counter()
    for layer in _layers(model.tagger):
        kind = "batch_normalization"
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
            kind = "dense" if isinstance(layer, nn.Linear) else "conv2d"
        prefix = f"{kind}_{counts[kind]}" if counts[kind] else kind
        counts[kind] += 1
        layer.load_state_dict(_state(layer, variables, prefix=prefix))
    return model.eval().requires_grad_(False)


def _layers(tagger: Tagger) -> Iterator[nn.Module]:
    """Layers with weights, in the order in which TensorFlow's graph was built and its variables were numbered."""
    yield tagger.normalise
    for filters in (*tagger.timbral, *tagger.temporal):
        yield from (filters.conv, filters.norm)
    for dense in (tagger.cnn1, tagger.cnn2, tagger.cnn3):
        yield from (dense[0], dense[2])
    yield from (tagger.penultimate[0], tagger.penultimate[1], tagger.penultimate[3], tagger.output)


def _state(layer: nn.Module, variables: dict[str, NDArray[np.float32]], *, prefix: str) -> dict[str, Tensor]:
    """A layer's parameters out of TensorFlow's, whose convolution kernels are (height, width, in, out)."""

    def tensor(name: str) -> Tensor:
        if f"{prefix}/{name}" not in variables:
            raise InputError(f"expected a checkpoint of musicnn, got one without {prefix}/{name}")
        return torch.from_numpy(variables[f"{prefix}/{name}"])

    if isinstance(layer, nn.Conv2d):
        return {"weight": tensor("kernel").permute(3, 2, 0, 1), "bias": tensor("bias")}
    if isinstance(layer, nn.Conv1d):  # its channels are the width of a map with one channel
        return {"weight": tensor("kernel")[:, :, 0].permute(2, 1, 0), "bias": tensor("bias")}
    if isinstance(layer, nn.Linear):
        return {"weight": tensor("kernel").T, "bias": tensor("bias")}
    return {
        "weight": tensor("gamma"),
        "bias": tensor("beta"),
        "running_mean": tensor("moving_mean"),
        "running_var": tensor("moving_variance"),
        "num_batches_tracked": torch.tensor(0),
    }
