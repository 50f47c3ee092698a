"""MusicGen's code path with a random model of a few thousand weights, built from its own config classes."""

import numpy as np
import pytest
import torch
from transformers import (
    EncodecConfig,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForConditionalGeneration,
    T5Config,
)

from conceptcaps.audio import musicgen
from conceptcaps.audio.musicgen import Guidance, GuidedDraw
from tests import tiny_model

CAPTIONS = ["A calm tune for harp.", "A loud and very fast rock song with drums and bass.", "Jazz."]
SEEDS = [11, 22, 33]


def save(folder) -> str:
    torch.manual_seed(0)
    text = T5Config(vocab_size=700, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, pad_token_id=1)
    codec = EncodecConfig(
        sampling_rate=4000, num_filters=4, hidden_size=16, codebook_size=32, codebook_dim=16, upsampling_ratios=[8, 5],
        num_lstm_layers=1, target_bandwidths=[1.0], kernel_size=3, last_kernel_size=3,
    )  # fmt: skip
    decoder = MusicgenDecoderConfig(
        vocab_size=32, hidden_size=32, ffn_dim=32, num_hidden_layers=1, num_attention_heads=2, num_codebooks=2,
        pad_token_id=32, bos_token_id=32, max_position_embeddings=256,
    )  # fmt: skip
    config = MusicgenConfig(text_encoder=text.to_dict(), audio_encoder=codec.to_dict(), decoder=decoder.to_dict())
    model = MusicgenForConditionalGeneration(config)
    for layer in model.audio_encoder.quantizer.layers:
        layer.codebook.embed.normal_()  # zero at first: all codes would sound the same
    model.generation_config.decoder_start_token_id = 32
    model.generation_config.pad_token_id = 32
    model.generation_config.bos_token_id = 32
    model.save_pretrained(folder / "model")
    tiny_model.save(folder / "tokenizer", texts=CAPTIONS)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (folder / "tokenizer" / name).exists():
            (folder / "tokenizer" / name).rename(folder / "model" / name)
    return str(folder / "model")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return musicgen.load(save(tmp_path_factory.mktemp("musicgen")), device="cpu")


def generate(model, captions=CAPTIONS, seeds=SEEDS, batch_size=3, **dials):
    return musicgen.generate(
        model, captions, seeds=seeds, duration=0.6, guidance=Guidance(**{"top_k": 32, **dials}), batch_size=batch_size
    )


def test_clips_have_the_length_asked_for_and_differ(model):
    clips = generate(model)
    rate = musicgen.sample_rate(model)
    assert rate == 4000 and all(clip.shape == (1, 2400) and np.isfinite(clip).all() for clip in clips)
    assert not np.allclose(clips[0], clips[1])


def test_a_clip_does_not_depend_on_its_batch(model):
    together = generate(model)
    alone = [generate(model, [text], [seed], 1)[0] for text, seed in zip(CAPTIONS, SEEDS, strict=True)]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_the_seed_decides_and_nothing_else(model):
    torch.manual_seed(5)
    first = generate(model)
    torch.manual_seed(6)
    assert all(np.array_equal(one, other) for one, other in zip(first, generate(model), strict=True))
    assert not np.allclose(first[0], generate(model, CAPTIONS[:1], [99], 1)[0])


def test_batches_are_halved_where_memory_does_not_suffice(model, monkeypatch):
    whole, sizes, inner = generate(model), [], musicgen._batch

    def small(model, captions, **dials):
        sizes.append(len(captions))
        if len(captions) > 1:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return inner(model, captions, **dials)

    monkeypatch.setattr(musicgen, "_batch", small)
    clips = generate(model)
    assert sizes == [3, 1, 1, 1]
    for one, other in zip(whole, clips, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_draws_follow_the_guided_probabilities():
    """With u = 0 and guidance 2, logits are twice the caption's: shares go with the square of its probabilities."""
    share = torch.tensor([0.6, 0.3, 0.1])
    clips = 4000
    scores = torch.cat([share.log().repeat(clips, 1), torch.zeros(clips, 3)])
    draw = GuidedDraw(range(clips), codebooks=1, steps=1, guidance=Guidance(scale=2, top_k=3))
    certain = draw(torch.zeros(clips, 1), scores)
    assert torch.equal(certain[:clips], certain[clips:]), "guidance afterwards changes nothing"
    found = torch.bincount(certain[:clips].argmax(1), minlength=3) / clips
    np.testing.assert_allclose(found, share**2 / (share**2).sum(), atol=0.03)


def test_refuses_wrong_dials(model):
    with pytest.raises(ValueError, match="expected a seed for each caption, got 3 captions and 1 seeds"):
        generate(model, seeds=[1])
    with pytest.raises(ValueError, match="scale > 1"):
        generate(model, scale=1.0)
