"""Clips of audiocraft, made by a process in audiocraft's own environment; ``audiocraft_backend`` starts it.

It reads a line of what to open, ``{"model": …, "device": …}``, then one request a line, ``{"captions": […], "seeds":
[…], "duration": …, "batch_size": …, "dials": {…}}``, and answers each caption in order: a line ``{"error": …,
"sample_rate": …, "shape": [channels, samples]}``, and after it the waveform's float32 values, none with an error.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import spacy
import torch
import torch.nn.functional as F
from audiocraft.models import MAGNeT, MusicGen
from audiocraft.utils import utils
from torch import Tensor
from xformers import ops

from conceptcaps.audio.batching import in_batches


class Draws:
    """Draws of a batch, each clip's from a generator of its own; ``broken`` marks clips with NaN or infinity."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        """Start a generator for each seed."""
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self.broken = [False] * len(seeds)

    def multinomial(self, share: Tensor, num_samples: int) -> Tensor:
        """Drawing in place of audiocraft's own, which draws for all clips from one generator."""
        whole = torch.isfinite(share).flatten(1).all(1)
        self.broken = [old or not new for old, new in zip(self.broken, whole.tolist(), strict=True)]
        share = share.where(whole.reshape(-1, *[1] * (share.ndim - 1)), torch.ones_like(share))
        drawn = [
            torch.multinomial(own.flatten(0, -2), num_samples, generator=generator).reshape(*own.shape[:-1], -1)
            for own, generator in zip(share, self.generators, strict=True)
        ]
        return torch.stack(drawn)


def attention(query: Tensor, key: Tensor, value: Tensor, attn_bias: Tensor | None = None, p: float = 0.0) -> Tensor:
    """Attention ``(batch, time, heads, features)`` in place of xformers', which is built for one version of torch."""
    query, key, value = (each.transpose(1, 2) for each in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value, attn_mask=attn_bias, dropout_p=p).transpose(1, 2)


def load(name: str, device: str) -> Any:
    """A model of audiocraft; ``debug`` is its built-in one, of random weights, which wants words and no weights."""
    torch.manual_seed(0)
    ops.memory_efficient_attention = attention
    if name == "debug":
        setattr(spacy, "load", lambda _: spacy.blank("en"))  # noqa: B010
    return (MAGNeT if "magnet" in name.lower() else MusicGen).get_pretrained(name, device=device)


def generate(model: Any, captions: Sequence[str], seeds: Sequence[int]) -> Iterator[np.ndarray | None]:
    """Waveforms of captions that are equally long; None where the model gave no numbers."""
    draws = Draws(seeds, model.device)
    utils.multinomial = draws.multinomial
    _, codes = model.generate(list(captions), return_tokens=True)
    for own, broken in zip(codes, draws.broken, strict=True):
        yield None if broken else model.generate_audio(own[None])[0].float().cpu().numpy()


def length(model: Any, caption: str) -> int:
    """Tokens of a caption. Audiocraft attends to padding, so that only captions of one length may share a batch."""
    tokens = model.lm.condition_provider.conditioners["description"].tokenize([caption])
    return int((tokens["input_ids"] if "input_ids" in tokens else tokens[0]).shape[-1])


def main() -> None:
    """Open a model and answer until the input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints does not disturb the answers
    opened = json.loads(sys.stdin.readline())
    model = load(opened["model"], opened["device"])
    for line in sys.stdin:
        asked = json.loads(line)
        wanted = round(asked["duration"] * model.sample_rate)
        if isinstance(model, MusicGen):
            model.set_generation_params(duration=asked["duration"], **asked["dials"])
        elif asked["duration"] > model.duration:
            raise ValueError(f"expected at most {model.duration} s, as MAGNeT was trained, got {asked['duration']}")
        items = list(zip(asked["captions"], asked["seeds"], strict=True))
        made = in_batches(
            items,
            lambda part: list(generate(model, *zip(*part, strict=True))),
            key=lambda item: length(model, item[0]),
            batch_size=asked["batch_size"],
            equal=True,
        )
        for sound in made:
            data = np.empty((0, 0), np.float32) if sound is None else sound[:, :wanted].astype(np.float32)
            error = None if sound is not None else "expected finite logits of the model, got NaN or infinity"
            answer = {"error": error, "sample_rate": model.sample_rate, "shape": data.shape}
            answers.write(json.dumps(answer).encode() + b"\n" + data.tobytes())
        answers.flush()


if __name__ == "__main__":
    main()
