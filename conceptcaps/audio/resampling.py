"""Waveforms at another sample rate; apart from ``waveform``, so that who plays a score need not load PyTorch."""

import torch
import torchaudio

from conceptcaps.audio.waveform import Waveform, check


def resample(waveform: Waveform, from_rate: int, to_rate: int) -> Waveform:
    """The waveform at another sample rate (Hz): ``ceil(samples * to_rate / from_rate)`` samples, band-limited."""
    check(waveform)
    if from_rate == to_rate:
        return waveform
    return torchaudio.functional.resample(torch.from_numpy(waveform), from_rate, to_rate).numpy()
