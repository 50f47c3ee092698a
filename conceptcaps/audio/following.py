"""Melodies that MusicGen's melody models follow: the strongest pitch class at a time, of whatever sounds in a clip.

Drums blur it; the published models learnt from clips without drums and bass.

References:
    Copet et al., Simple and controllable music generation (2023), arXiv 2306.05284, section 2.3.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import MusicgenMelodyFeatureExtractor, MusicgenMelodyForConditionalGeneration

from conceptcaps.audio.clips import Clips, fault
from conceptcaps.audio.waveform import Waveform, decode, resample, to_mono
from conceptcaps.errors import InputError


def tunes(folder: Path, ids: Sequence[str], *, rate: int) -> tuple[dict[str, Waveform], dict[str, InputError]]:
    """The clips of some ids, ``(1, samples)`` at a rate (Hz), and why others have none; folders as ``Clips.open``."""
    encoded = Clips.open(folder).encoded(set(ids))
    faults = {row_id: fault(encoded.get(row_id, b"")) for row_id in ids}
    sounds = {}
    for row_id in ids:
        if not faults[row_id]:
            sound, own = decode(encoded[row_id])
            sounds[row_id] = resample(to_mono(sound), own, rate)
    reasons = {row_id: reason for row_id, reason in faults.items() if reason}
    wanted = "expected a clip of this id to follow its melody"
    return sounds, {row_id: InputError(f"{wanted}, got {reason}") for row_id, reason in reasons.items()}


def states(
    model: MusicgenMelodyForConditionalGeneration,
    reader: MusicgenMelodyFeatureExtractor,
    melodies: Sequence[Waveform | None],
) -> Tensor:
    """Hidden states of n melodies, and after them of as many empty ones: ``(2n, chroma_length, hidden)``.

    Each is read by itself: in a batch the shorter would be lengthened by silence.
    """
    frames, classes = int(model.config.chroma_length), int(model.config.num_chroma)
    pitches = torch.zeros(2 * len(melodies), frames, classes)
    pitches[:, :, 0] = 1  # how the models were told that there is none
    for number, tune in enumerate(melodies):
        if tune is not None:
            read = reader(list(tune), sampling_rate=reader.sampling_rate, return_tensors="pt").input_features[0]
            pitches[number] = read.repeat(-(-frames // len(read)), 1)[:frames]
    pitches = pitches.to(model.device)
    return model.audio_enc_to_dec_proj(pitches) if classes != model.decoder.config.hidden_size else pitches
