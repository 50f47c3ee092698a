"""MusicGen-small at full shape, random weights, on the CPU: against a plain float32 ``generate`` loop in file order.

Batches of 8, captions of mixed lengths, clips of 1 s (50 frames), all 250 likeliest codes kept; sound is left out. The
codes that agree are counted where the likeliest is taken, so that rounding is all that can change them.
"""

import time

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    EncodecConfig,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForConditionalGeneration,
    PreTrainedTokenizerFast,
    T5Config,
)

from conceptcaps.audio import musicgen
from conceptcaps.audio.musicgen import Guidance
from conceptcaps.workspace.processor import multiplies_bfloat16

CLIPS, BATCH, FRAMES, WORDS = 16, 8, 50, 60


def opened() -> musicgen.MusicGen:
    """The published small model's shape: T5-base, 24 layers of 1,024 features, 4 codebooks of 2,048 codes."""
    torch.manual_seed(0)
    text = T5Config(vocab_size=32_128, d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12)
    codec = EncodecConfig(sampling_rate=32_000, upsampling_ratios=[8, 5, 4, 4], hidden_size=128, codebook_size=2048)
    decoder = MusicgenDecoderConfig()
    config = MusicgenConfig(text_encoder=text.to_dict(), audio_encoder=codec.to_dict(), decoder=decoder.to_dict())
    model = MusicgenForConditionalGeneration(config).eval()
    model.generation_config.decoder_start_token_id = model.generation_config.pad_token_id = decoder.pad_token_id
    model.generation_config.bos_token_id = decoder.bos_token_id
    words = Tokenizer(models.WordLevel({"pad": 0, **{f"w{number}": number + 1 for number in range(99)}}, "pad"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return musicgen.MusicGen(model, PreTrainedTokenizerFast(tokenizer_object=words, pad_token="pad"), "none")


def plain(model: musicgen.MusicGen, captions: list[str], **dials: object) -> torch.Tensor:
    """Codes of ``generate``, batch by batch in file order."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(captions), BATCH):
            text = model.tokenizer(captions[start : start + BATCH], padding=True, return_tensors="pt")
            seen: list[torch.Tensor] = []
            decode = model.model.audio_encoder.decode

            def keep(codes: torch.Tensor, seen: list[torch.Tensor] = seen, **_: object) -> object:
                seen.append(codes[0])
                return type("Sound", (), {"audio_values": torch.zeros(len(codes[0]), 1, 1)})

            model.model.audio_encoder.decode = keep
            try:
                model.model.generate(
                    input_ids=text.input_ids,
                    attention_mask=text.attention_mask,
                    guidance_scale=3.0,
                    max_new_tokens=FRAMES + 4,
                    **dials,
                )
            finally:
                model.model.audio_encoder.decode = decode
            found += seen
    return torch.cat(found)[..., :FRAMES]


def ours(model: musicgen.MusicGen, captions: list[str], guidance: Guidance) -> torch.Tensor:
    """Codes of our loop, in batches of captions about as long as each other."""
    order = sorted(range(len(captions)), key=lambda number: len(captions[number].split()))
    codes: dict[int, torch.Tensor | None] = {}
    for start in range(0, len(order), BATCH):
        part = order[start : start + BATCH]
        texts, melodies = [captions[number] for number in part], [None] * len(part)
        made = musicgen.draw_codes(model, texts, seeds=part, frames=FRAMES, guidance=guidance, melodies=melodies)
        codes |= dict(zip(part, made, strict=True))
    return torch.stack([codes[number] for number in range(len(captions))])


def main() -> None:
    generator = np.random.default_rng(0)
    captions = [
        " ".join(f"w{word}" for word in generator.integers(0, 99, n)) for n in generator.integers(4, WORDS, CLIPS)
    ]
    model = opened()
    clock, seconds = time.perf_counter, {}
    started = clock()
    plain(model, captions, do_sample=True, top_k=250)
    seconds["plain"] = clock() - started
    likeliest = plain(model, captions, do_sample=False)
    for dtype in [torch.float32, *([torch.bfloat16] if multiplies_bfloat16() else [])]:
        model.model.decoder.to(dtype)
        started = clock()
        ours(model, captions, Guidance(3.0, 1.0, 250))
        seconds[str(dtype)] = clock() - started
        agreed = (ours(model, captions, Guidance(3.0, 1.0, top_k=1)) == likeliest).float().mean()
        print(
            f"musicgen, {CLIPS} clips of {FRAMES} frames, {torch.get_num_threads()} threads: plain float32 loop "
            f"{seconds['plain']:.1f} s, ours in {dtype} {seconds[str(dtype)]:.1f} s, "
            f"{seconds['plain'] / seconds[str(dtype)]:.2f} times faster; {agreed:.1%} of the likeliest codes agree"
        )


if __name__ == "__main__":
    main()
