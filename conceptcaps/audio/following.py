"""Melodies that MusicGen's melody models follow: the strongest pitch class at a time, of whatever sounds in a clip.

Drums blur it; the published models learnt from clips without drums and bass.

References:
    Copet et al., Simple and controllable music generation (2023), arXiv 2306.05284, section 2.3.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import torch
from torch import Tensor
from transformers import MusicgenMelodyFeatureExtractor, MusicgenMelodyForConditionalGeneration

from conceptcaps.audio.clips import fault
from conceptcaps.audio.resampling import resample
from conceptcaps.audio.waveform import Waveform, decode, to_mono
from conceptcaps.errors import InputError


def tunes(
    files: Mapping[str, Path], ids: Sequence[str], *, rate: int
) -> tuple[dict[str, Waveform], dict[str, InputError]]:
    """The clips of some ids, ``(1, samples)`` at a rate (Hz), and why others have none.

    Args:
        files: Shard or recording that holds each clip (``clips.files``).
        ids: Those that are read.
        rate: Hz.
    """
    encoded: dict[str, bytes] = {}
    for path in sorted({files[row_id] for row_id in ids if row_id in files}):
        wanted = [row_id for row_id in ids if files.get(row_id) == path]
        if path.suffix == ".parquet":
            rows = pq.read_table(path, columns=["id", "audio"], filters=[("id", "in", wanted)]).to_pylist()
            encoded |= {row["id"]: (row["audio"] or {}).get("bytes") or b"" for row in rows}
        else:
            encoded |= dict.fromkeys(wanted, path.read_bytes())
    faults = {row_id: fault(encoded.get(row_id, b"")) for row_id in ids}
    sounds = {}
    for row_id in ids:
        if not faults[row_id]:
            sound, own = decode(encoded[row_id])
            sounds[row_id] = resample(to_mono(sound), own, rate)
    begins = "expected a clip of this id to follow its melody, got"
    return sounds, {row_id: InputError(f"{begins} {reason}") for row_id, reason in faults.items() if reason}


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
