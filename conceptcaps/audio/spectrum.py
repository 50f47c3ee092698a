"""Log-mel spectra: the one that musicnn was trained on, which the classifier and the detectors read too."""

from functools import lru_cache

import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray
from torch import Tensor, nn

from conceptcaps.audio import resampling, waveform

SAMPLE_RATE = 16_000
FRAMES = 187  # of one window of 3 s
BANDS = 96
HOP = 256
_FFT = 512


class LogMel(nn.Module):
    """Waveforms ``(batch, samples)`` at 16 kHz to log-mel spectra ``(batch, frames, 96)``: log10(1 + 10,000 mel).

    Mel is librosa's default (Slaney's scale and norm, power spectra of 512 samples every 256, reflected at the ends).
    The original rounds mel to half precision before the logarithm, which turns whatever exceeds 6.55 into infinity;
    here it stays in single precision.
    """

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        """Make the window and the filter bank; nothing is learnt."""
        super().__init__()
        self.register_buffer("window", torch.hann_window(_FFT), persistent=False)
        filters = torchaudio.functional.melscale_fbanks(
            _FFT // 2 + 1, 0.0, SAMPLE_RATE / 2, BANDS, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
        )
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Log-mel spectra with ``1 + samples // 256`` frames."""
        spectra = torch.stft(waveforms, _FFT, HOP, window=self.window, pad_mode="reflect", return_complex=True)
        power = spectra.real.square() + spectra.imag.square()
        return torch.log10(1 + 10_000 * (power.transpose(1, 2) @ self.filters))


@lru_cache(maxsize=1)
def _log_mel() -> LogMel:
    return LogMel()


def spectrum(clip: bytes) -> NDArray[np.float32]:
    """Log-mel spectrum ``(frames, 96)`` of an encoded clip, mixed to mono at 16 kHz; 62.5 frames a second."""
    sound, rate = waveform.decode(clip)
    mono = resampling.resample(waveform.to_mono(sound), rate, SAMPLE_RATE).reshape(-1)
    with torch.inference_mode():
        return _log_mel()(torch.from_numpy(np.ascontiguousarray(mono))[None])[0].numpy()


def to_length(frames: NDArray[np.float32], *, length: int) -> NDArray[np.float32]:
    """The first ``length`` frames; a shorter clip is repeated from its start.

    >>> to_length(np.array([[1.0], [2.0]], dtype=np.float32), length=5).ravel().tolist()
    [1.0, 2.0, 1.0, 2.0, 1.0]
    """
    return np.resize(frames, (length, *frames.shape[1:]))


def windows(frames: NDArray[np.float32], *, count: int) -> NDArray[np.float32]:
    """The first ``count`` windows of 3 s that musicnn sees, ``(count, 187, 96)``."""
    return to_length(frames, length=count * FRAMES).reshape(count, FRAMES, BANDS)
