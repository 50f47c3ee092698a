"""Captions to audio with MusicGen, every clip drawn from a seed of its own.

References:
    Copet et al., Simple and controllable music generation (2023), arXiv 2306.05284.
    Ho and Salimans, Classifier-free diffusion guidance (2022), arXiv 2207.12598.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    LogitsProcessor,
    LogitsProcessorList,
    MusicgenForConditionalGeneration,
    PreTrainedTokenizerBase,
)

from conceptcaps.audio import loudness, table
from conceptcaps.audio.waveform import Waveform
from conceptcaps.hashing import row_seed

_ONE_HOT = 1e4  # finite, since guidance would turn a difference of infinities into NaN


@dataclass(frozen=True)
class Guidance:
    """Sampling dials; the defaults are the model authors'.

    Attributes:
        scale: Weight of the caption, above 1; logits are ``u + scale (c - u)`` with and without it.
        temperature: Divides the guided logits.
        top_k: Most likely codes that are kept.
    """

    scale: float = 3.0
    temperature: float = 1.0
    top_k: int = 250


@dataclass
class MusicGen:
    """A model and its tokenizer."""

    model: MusicgenForConditionalGeneration
    tokenizer: PreTrainedTokenizerBase


def load(name: str, *, device: str | None = None) -> MusicGen:
    """Open MusicGen from a folder, a Hub id, or a Hub id with ``@revision``; half precision on a GPU."""
    place, _, revision = (name, "", "") if Path(name).is_dir() else name.partition("@")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.float32 if device == "cpu" else torch.float16
    model = MusicgenForConditionalGeneration.from_pretrained(place, revision=revision or None, dtype=dtype)
    return MusicGen(model.to(device).eval(), AutoTokenizer.from_pretrained(place, revision=revision or None))


def generate(
    musicgen: MusicGen,
    captions: Sequence[str],
    *,
    seeds: Sequence[int],
    duration: float,
    guidance: Guidance,
    batch_size: int,
) -> list[Waveform]:
    """Generate one clip for each caption.

    Args:
        musicgen: Open model.
        captions: n texts.
        seeds: n seeds; a clip's draws follow its own alone, whatever shares its batch.
        duration: Length of a clip (s); published models were trained on up to 30 s.
        guidance: Sampling dials.
        batch_size: Clips at once; halved where a GPU's memory does not suffice.

    Returns:
        n waveforms ``(channels, samples)`` at ``sample_rate``, at the loudness of ``loudness.normalise``.

    Raises:
        ValueError: If lengths differ or a dial is out of its range.
    """
    if len(captions) != len(seeds) or not captions:
        raise ValueError(f"expected a seed for each caption, got {len(captions)} captions and {len(seeds)} seeds")
    if duration < 0.5 or batch_size < 1 or guidance.scale <= 1 or guidance.temperature <= 0 or guidance.top_k < 1:
        raise ValueError(
            "expected duration >= 0.5 s, batch_size >= 1, scale > 1, temperature > 0, top_k >= 1, "
            f"got {duration}, {batch_size}, {guidance}"
        )
    clips: list[Waveform] = []
    while len(clips) < len(captions):
        part = slice(len(clips), len(clips) + batch_size)
        try:
            clips += _batch(musicgen, captions[part], seeds=seeds[part], duration=duration, guidance=guidance)
        except torch.cuda.OutOfMemoryError:
            if batch_size == 1:
                raise
            torch.cuda.empty_cache()
            batch_size //= 2
    return clips


def generate_rows(
    rows: pd.DataFrame, *, model: MusicGen, guidance: Guidance, duration: float, batch_size: int, seed: int
) -> pd.DataFrame:
    """Clips for rows with ``id``, ``tags``, ``caption`` and ``split``: columns of ``table.FIELDS``.

    What sounds in such a clip is not known before it is verified: ``present`` and ``absent`` are empty.
    """
    seeds = [row_seed(row_id, seed) for row_id in rows["id"]]
    clips = generate(
        model, rows["caption"].tolist(), seeds=seeds, duration=duration, guidance=guidance, batch_size=batch_size
    )
    rate = sample_rate(model)
    made = [
        table.encoded(clip, name=row_id, seed=own, sample_rate=rate)
        for clip, row_id, own in zip(clips, rows["id"], seeds, strict=True)
    ]
    return table.beside(rows, made)


def sample_rate(musicgen: MusicGen) -> int:
    """Sample rate of the model's audio (Hz)."""
    return int(musicgen.model.config.audio_encoder.sampling_rate)


class GuidedDraw(LogitsProcessor):
    """Draws one code for each clip and codebook, by inverse transform, from guided logits.

    ``generate`` applies guidance after the processors that it is given, so that this one applies it itself and leaves
    both halves of the batch with the same certain code, which guidance then does not change.
    """

    def __init__(self, seeds: Sequence[int], *, codebooks: int, steps: int, guidance: Guidance) -> None:
        """Draw the uniform numbers of every clip beforehand, ``(clips * codebooks, steps)``."""
        draws = [np.random.default_rng(seed).random((codebooks, steps)) for seed in seeds]
        self._uniform = torch.as_tensor(np.concatenate(draws))
        self._guidance = guidance
        self._step = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores ``(2 * clips * codebooks, codes)``: with the caption, then without."""
        with_caption, without = scores.float().chunk(2)
        logits = without + (with_caption - without) * self._guidance.scale
        top, codes = logits.topk(min(self._guidance.top_k, logits.shape[1]), dim=1)
        reached = torch.softmax(top.double() / self._guidance.temperature, dim=1).cumsum(1)
        uniform = self._uniform[:, self._step, None].to(scores.device) * reached[:, -1:]
        place = (reached <= uniform).sum(1, keepdim=True).clamp(max=top.shape[1] - 1)
        self._step += 1
        certain = torch.full_like(with_caption, -_ONE_HOT).scatter_(1, codes.gather(1, place), _ONE_HOT)
        return torch.cat([certain, certain]).to(scores.dtype)


def _batch(
    musicgen: MusicGen, captions: Sequence[str], *, seeds: Sequence[int], duration: float, guidance: Guidance
) -> list[Waveform]:
    model = musicgen.model
    codebooks = int(model.decoder.num_codebooks)
    frames = int(np.ceil(duration * model.config.audio_encoder.frame_rate))
    steps = frames + codebooks  # a codebook starts one step after the one before it
    text = musicgen.tokenizer(list(captions), padding=True, return_tensors="pt").to(model.device)
    draw = GuidedDraw(seeds, codebooks=codebooks, steps=steps, guidance=guidance)
    with torch.inference_mode():
        sound = model.generate(
            **text,
            do_sample=False,
            guidance_scale=guidance.scale,
            max_new_tokens=steps,
            logits_processor=LogitsProcessorList([draw]),
        )
    rate = sample_rate(musicgen)
    length = round(duration * rate)
    clips = sound.float().cpu().numpy()
    if clips.shape[2] < length:
        raise ValueError(f"expected clips of {length} samples, got {clips.shape[2]}")
    return [loudness.normalise(np.ascontiguousarray(clip[:, :length]), rate) for clip in clips]
