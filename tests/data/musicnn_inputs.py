"""Inputs of musicnn's golden values, made by formula so that they need not be stored."""

import numpy as np


def log_mel():
    """Two windows ``(2, 187, 96)`` of smooth and rough patches in the range of real log-mel spectra."""
    rng = np.random.default_rng(7)
    frames, bands = np.arange(187)[:, None], np.arange(96)
    first = 2 + 1.5 * np.sin(frames / 9 + bands / 5) * np.cos(bands / 17)
    return np.stack([first, rng.gamma(1.5, 0.8, size=(187, 96))]).astype(np.float32)


def waveform():
    """6.5 s of soft major chords with a beat and some noise, at 16 kHz: two windows and a rest."""
    rng = np.random.default_rng(11)
    time = np.arange(int(6.5 * 16000)) / 16000
    root = 220 * 2 ** (np.array([0, 5, 7, 0, 9, 5, 7])[time.astype(int)] / 12)
    phase = 2 * np.pi * np.cumsum(root) / 16000
    chord = sum(np.sin(ratio * phase) / ratio for ratio in (1, 1.25, 1.5, 2, 3))
    decay = np.exp(-6 * (time % 0.5))
    return (0.04 * chord * decay + 0.01 * rng.standard_normal(len(time)) * (time % 0.5 < 0.03)).astype(np.float32)
