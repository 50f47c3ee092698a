"""Captions to audio with MusicGen, every clip drawn from a seed of its own.

Codes are drawn in batches, and every clip's codes become sound by themselves. In single precision the codes do not
depend on the batch, but for a draw within a rounding error of a code's limit; with weights in half precision they may,
so that the batch size is part of what shards are made with.

The melody models (``facebook/musicgen-melody`` and its kin) can follow the pitch classes of a clip besides; they read
them and the caption before the first code, so that only captions of one length share a batch.

References:
    Copet et al., Simple and controllable music generation (2023), arXiv 2306.05284.
    Ho and Salimans, Classifier-free diffusion guidance (2022), arXiv 2207.12598.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoTokenizer,
    MusicgenForConditionalGeneration,
    MusicgenMelodyFeatureExtractor,
    MusicgenMelodyForConditionalGeneration,
    PreTrainedTokenizerBase,
)

from conceptcaps.audio import following, loudness, table
from conceptcaps.audio.batching import in_batches
from conceptcaps.audio.waveform import Waveform
from conceptcaps.errors import InputError
from conceptcaps.workspace.hashing import content, row_seed
from conceptcaps.workspace.processor import multiplies_bfloat16

LONGEST = 30.0  # seconds that the published models were trained on


@dataclass(frozen=True)
class Guidance:
    """Sampling dials.

    Attributes:
        scale: Weight of the caption, above 1; logits are ``u + scale (c - u)`` with and without it.
        temperature: Divides the guided logits.
        top_k: Most likely codes that are kept.
    """

    scale: float
    temperature: float
    top_k: int


@dataclass
class MusicGen:
    """A model, its tokenizer and, if it follows melodies, what reads them; ``place`` is their folder or Hub id."""

    model: MusicgenForConditionalGeneration | MusicgenMelodyForConditionalGeneration
    tokenizer: PreTrainedTokenizerBase
    place: str
    chroma: MusicgenMelodyFeatureExtractor | None = None

    def __reduce__(self) -> tuple[Callable[..., "MusicGen"], tuple[object, ...]]:
        """Another process opens it anew, on a device of its own, in the same precision."""
        return partial(load, dtype=self.model.decoder.dtype), (self.place,)


def load(name: str, *, device: str | None = None, dtype: torch.dtype | None = None) -> MusicGen:
    """Open MusicGen from a folder, a Hub id, or a Hub id with ``@revision``.

    The decoder, which takes nearly all of the time, is held in ``dtype``: if None in float16 on a GPU, in bfloat16 on a
    processor that multiplies it, and in float32 elsewhere. Text encoder and codec stay in float32.
    """
    place, _, revision = (name, "", "") if Path(name).is_dir() else name.partition("@")
    version = {"revision": revision or None}
    follows = AutoConfig.from_pretrained(place, **version).model_type == "musicgen_melody"
    kind = MusicgenMelodyForConditionalGeneration if follows else MusicgenForConditionalGeneration
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    fastest = torch.float16 if device != "cpu" else torch.bfloat16 if multiplies_bfloat16() else torch.float32
    model = kind.from_pretrained(place, dtype=torch.float32, **version)
    model.decoder.to(dtype or fastest)
    tokenizer = AutoTokenizer.from_pretrained(place, **version)
    chroma = MusicgenMelodyFeatureExtractor.from_pretrained(place, **version) if follows else None
    return MusicGen(model.to(device).eval(), tokenizer, name, chroma)


def traits(musicgen: MusicGen) -> list[str]:
    """What clips depend on besides the dials: the content of the model's folder, and what its decoder is held in."""
    place = Path(musicgen.place)
    return [content(place) if place.is_dir() else musicgen.place, str(musicgen.model.decoder.dtype)]


def generate(
    musicgen: MusicGen,
    captions: Sequence[str],
    *,
    seeds: Sequence[int],
    duration: float,
    guidance: Guidance,
    batch_size: int,
    melodies: Sequence[Waveform | None] | None = None,
) -> list[Waveform | InputError]:
    """Generate one clip for each caption.

    Args:
        musicgen: Open model.
        captions: n texts.
        seeds: n seeds; a clip's draws follow its own alone, whatever shares its batch.
        duration: Length of a clip (s), 0.5 to 30.
        guidance: Sampling dials.
        batch_size: Clips at once, those whose captions are about as long; halved where memory does not suffice.
        melodies: n waveforms ``(1, samples)`` at the rate of ``musicgen.chroma`` whose pitch classes a melody model
            follows, from their beginning and again where they end; None for a clip that follows none.

    Returns:
        For each caption a waveform ``(channels, samples)`` at ``sample_rate``, at the loudness of
        ``loudness.normalise``, or the error that says why there is none: NaN or infinity from the model, or silence.

    Raises:
        InputError: If lengths differ or a dial is out of its range.
    """
    if len(captions) != len(seeds) or not captions:
        raise InputError(f"expected a seed for each caption, got {len(captions)} captions and {len(seeds)} seeds")
    if melodies is not None and (_reader(musicgen) is None or len(melodies) != len(captions)):
        raise InputError(f"expected a melody or None for each of {len(captions)} captions, got {len(melodies)}")
    if not 0.5 <= duration <= LONGEST:
        raise InputError(f"expected a duration of 0.5 to {LONGEST:g} s, on which MusicGen was trained, got {duration}")
    if batch_size < 1 or guidance.scale <= 1 or guidance.temperature <= 0 or guidance.top_k < 1:
        raise InputError(
            f"expected batch_size >= 1, scale > 1, temperature > 0, top_k >= 1, got {batch_size}, {guidance}"
        )
    frames = int(np.ceil(duration * musicgen.model.config.audio_encoder.frame_rate))

    def make(part: Sequence[tuple[str, int, Waveform | None]]) -> list[Waveform | InputError]:
        texts, own, tunes = zip(*part, strict=True)
        codes = draw_codes(musicgen, texts, seeds=own, frames=frames, guidance=guidance, melodies=tunes)
        return [_sound(musicgen, each, duration=duration) for each in codes]

    return in_batches(
        list(zip(captions, seeds, [None] * len(captions) if melodies is None else melodies, strict=True)),
        make,
        key=lambda item: len(musicgen.tokenizer(item[0]).input_ids),
        batch_size=batch_size,
        equal=musicgen.chroma is not None,
    )


def generate_rows(
    rows: pd.DataFrame,
    *,
    model: MusicGen,
    guidance: Guidance,
    duration: float,
    batch_size: int,
    seed: int,
    melody: Mapping[str, Path] | None = None,
) -> pd.DataFrame:
    """Clips for rows with ``id``, ``tags``, ``caption`` and ``split``: columns of ``table.FIELDS``.

    What sounds in such a clip is not known before it is verified: ``present`` and ``absent`` are empty. With
    ``melody``, files of clips by id, each follows the one of its id; a row without one says so in ``error``.
    """
    seeds = [row_seed(row_id, seed) for row_id in rows["id"]]
    sounds: dict[str, Waveform] = {}
    made: dict[str, Waveform | InputError] = {}
    if melody is not None:
        sounds, missing = following.tunes(melody, rows["id"].tolist(), rate=_reader(model).sampling_rate)
        made |= missing
    whole = ~rows["id"].isin(list(made))
    if whole.any():
        clips = generate(
            model,
            rows["caption"][whole].tolist(),
            seeds=[one for one, takes_part in zip(seeds, whole, strict=True) if takes_part],
            duration=duration,
            guidance=guidance,
            batch_size=batch_size,
            melodies=None if melody is None else [sounds[row_id] for row_id in rows["id"][whole]],
        )
        made |= dict(zip(rows["id"][whole], clips, strict=True))
    return table.generated(rows, [made[row_id] for row_id in rows["id"]], seeds=seeds, sample_rate=sample_rate(model))


def sample_rate(musicgen: MusicGen) -> int:
    """Sample rate of the model's audio (Hz)."""
    return int(musicgen.model.config.audio_encoder.sampling_rate)


def draw_codes(
    musicgen: MusicGen,
    captions: Sequence[str],
    *,
    seeds: Sequence[int],
    frames: int,
    guidance: Guidance,
    melodies: Sequence[Waveform | None],
) -> list[Tensor | None]:
    """Codes ``(codebooks, frames)`` of one clip for each caption; None where the model gave no numbers.

    The codebooks of one frame are drawn one step after the other (delay pattern), both channels of one in one step.
    """
    model, decoder = musicgen.model, musicgen.model.decoder
    clips, codebooks, channels = len(captions), int(decoder.num_codebooks), int(decoder.config.audio_channels)
    delays = [codebook // channels for codebook in range(codebooks)]
    start = int(model.generation_config.decoder_start_token_id)
    uniform = np.stack([np.random.default_rng(seed).random((frames, codebooks)).T for seed in seeds])
    draws = torch.as_tensor(uniform, device=model.device)
    codes = torch.full((clips, codebooks, frames), start, device=model.device)
    sound = torch.ones(clips, dtype=torch.bool, device=model.device)
    cache = None
    with torch.inference_mode():
        read = _encode(musicgen, captions, melodies)
        column = torch.full((clips, codebooks), start, device=model.device)
        for step in range(frames + max(delays)):
            out = decoder(
                input_ids=column.repeat(2, 1).reshape(-1, 1),
                past_key_values=cache,
                use_cache=True,
                **(read if musicgen.chroma is None or step == 0 else {}),
            )
            cache = out.past_key_values
            logits = out.logits[:, -1].float().reshape(2, clips, codebooks, -1)
            guided = logits[1] + (logits[0] - logits[1]) * guidance.scale
            sound &= torch.isfinite(guided).all(dim=(1, 2))
            guided = guided.nan_to_num(0.0, 0.0, 0.0)
            column = torch.full_like(column, start)
            for codebook, delay in enumerate(delays):
                frame = step - delay
                if 0 <= frame < frames:
                    column[:, codebook] = draw(guided[:, codebook], draws[:, codebook, frame], guidance)
                    codes[:, codebook, frame] = column[:, codebook]
    return [own if whole else None for own, whole in zip(codes, sound.tolist(), strict=True)]


def draw(logits: Tensor, uniform: Tensor, guidance: Guidance) -> Tensor:
    """One code for each row of ``logits`` ``(rows, codes)``, by inverse transform of ``uniform`` ``(rows)``."""
    top, codes = logits.topk(min(guidance.top_k, logits.shape[1]), dim=1)
    reached = torch.softmax(top.double() / guidance.temperature, dim=1).cumsum(1)
    place = (reached <= uniform[:, None] * reached[:, -1:]).sum(1, keepdim=True).clamp(max=top.shape[1] - 1)
    return codes.gather(1, place)[:, 0]


def _encode(musicgen: MusicGen, captions: Sequence[str], melodies: Sequence[Waveform | None]) -> dict[str, Tensor]:
    """What the decoder reads: hidden states of the captions, and after them of as many empty ones, with their masks.

    A melody model reads the melodies' before them, and no masks.
    """
    model = musicgen.model
    text = musicgen.tokenizer(list(captions), padding=True, return_tensors="pt").to(model.device)
    states = model.text_encoder(input_ids=text.input_ids, attention_mask=text.attention_mask).last_hidden_state
    if states.shape[-1] != model.decoder.config.hidden_size:
        states = model.enc_to_dec_proj(states)
    states = (states * text.attention_mask[..., None]).to(model.decoder.dtype)
    states = torch.cat([states, torch.zeros_like(states)])
    if musicgen.chroma is not None:
        heard = following.states(model, musicgen.chroma, melodies).to(states.dtype)
        return {"encoder_hidden_states": torch.cat([heard, states], dim=1)}
    mask = torch.cat([text.attention_mask, torch.zeros_like(text.attention_mask)])
    return {"encoder_hidden_states": states, "encoder_attention_mask": mask}


def _reader(musicgen: MusicGen) -> MusicgenMelodyFeatureExtractor:
    if musicgen.chroma is None:
        raise InputError(
            f"expected a melody model, such as facebook/musicgen-melody, to follow one, got {musicgen.place}"
        )
    return musicgen.chroma


def _sound(musicgen: MusicGen, codes: Tensor | None, *, duration: float) -> Waveform | InputError:
    """Codes as sound, one clip at a time, so that its bytes do not depend on others."""
    if codes is None:
        return InputError("expected finite logits of the model, got NaN or infinity")
    model, rate = musicgen.model, sample_rate(musicgen)
    channels = int(model.decoder.config.audio_channels)
    length = round(duration * rate)
    with torch.inference_mode():
        sides = [
            model.audio_encoder.decode(codes[None, None, side::channels], audio_scales=[None]).audio_values[0]
            for side in range(channels)
        ]
    sound = torch.cat(sides).float().cpu().numpy()
    if sound.shape[1] < length:
        raise InputError(f"expected clips of {length} samples, got {sound.shape[1]}")
    try:
        return loudness.normalise(np.ascontiguousarray(sound[:, :length]), rate)
    except InputError as error:
        return error
