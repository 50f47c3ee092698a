"""Pretrained audio models of a few thousand random weights, from their own config classes."""

from pathlib import Path

import torch
from transformers import (
    EncodecConfig,
    EncodecFeatureExtractor,
    HubertConfig,
    HubertModel,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForConditionalGeneration,
    MusicgenMelodyConfig,
    MusicgenMelodyDecoderConfig,
    MusicgenMelodyFeatureExtractor,
    MusicgenMelodyForConditionalGeneration,
    T5Config,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
)

from conceptcaps.audio.musicgen import Guidance

RATE = 4000
_SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "conv_dim": (8, 8), "conv_kernel": (10, 4), "conv_stride": (10, 4), "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "vocab_size": 8,
}  # fmt: skip


def wav2vec2(folder: Path, *, normalise: bool = True, **changes: object) -> Path:
    torch.manual_seed(0)
    Wav2Vec2Model(Wav2Vec2Config(**(_SMALL | changes))).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(sampling_rate=RATE, do_normalize=normalise).save_pretrained(folder)
    return folder


def hubert(folder: Path, **changes: object) -> Path:
    torch.manual_seed(0)
    HubertModel(HubertConfig(**(_SMALL | changes))).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(sampling_rate=RATE, do_normalize=True).save_pretrained(folder)
    return folder


def musicgen(folder: Path, *, channels: int = 1, layers: int = 2, words: int = 40, melodic: bool = False) -> Path:
    torch.manual_seed(0)
    decoder_config = MusicgenMelodyDecoderConfig if melodic else MusicgenDecoderConfig
    text = T5Config(vocab_size=words, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, pad_token_id=1)
    codec = EncodecConfig(
        sampling_rate=RATE, num_filters=4, hidden_size=16, codebook_size=32, codebook_dim=16, upsampling_ratios=[8, 5],
        num_lstm_layers=1, target_bandwidths=[1.0], kernel_size=3, last_kernel_size=3,
    )  # fmt: skip
    decoder = decoder_config(
        vocab_size=32, hidden_size=32, ffn_dim=32, num_hidden_layers=layers, num_attention_heads=2,
        num_codebooks=2 * channels, audio_channels=channels, pad_token_id=32, bos_token_id=32,
        max_position_embeddings=256,
    )  # fmt: skip
    parts = {"text_encoder": text.to_dict(), "audio_encoder": codec.to_dict(), "decoder": decoder.to_dict()}
    if melodic:
        model = MusicgenMelodyForConditionalGeneration(MusicgenMelodyConfig(**parts, chroma_length=20))
        model.audio_enc_to_dec_proj.weight.data.normal_()  # nearly nothing at first: all melodies would be one
    else:
        model = MusicgenForConditionalGeneration(MusicgenConfig(**parts))
    for layer in model.audio_encoder.quantizer.layers:
        layer.codebook.embed.normal_()  # zero at first: all sounds would have one code
    for token in ("decoder_start", "pad", "bos"):
        setattr(model.generation_config, f"{token}_token_id", 32)
    model.save_pretrained(folder)
    reader = MusicgenMelodyFeatureExtractor(sampling_rate=RATE, n_fft=512, hop_length=128)
    (reader if melodic else EncodecFeatureExtractor(feature_size=1, sampling_rate=RATE)).save_pretrained(folder)
    return folder


def likeliest(model: torch.nn.Module, **given: torch.Tensor) -> torch.Tensor:
    """Codes ``(clips, codebooks, frames)`` that transformers' own loop decodes, the likeliest at each step."""
    seen, hook = [], model.audio_encoder.decode

    def decode(codes, **more):
        seen.append(codes)
        return hook(codes, **more)

    model.audio_encoder.decode = decode
    try:
        model.generate(**given, do_sample=False, guidance_scale=3.0, max_new_tokens=24)
    finally:
        model.audio_encoder.decode = hook
    return seen[0][0]


def guidance(**changes: float) -> Guidance:
    return Guidance(**{"scale": 3.0, "temperature": 1.0, "top_k": 250, **changes})
