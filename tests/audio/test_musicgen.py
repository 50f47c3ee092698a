"""MusicGen's code path with a random model of a few thousand weights, built from its own config classes."""

import numpy as np
import pandas as pd
import pytest
import torch

from conceptcaps.audio import musicgen
from tests import tiny_audio, tiny_model

CAPTIONS = ["A calm tune for harp.", "A loud and very fast rock song with drums and bass.", "Jazz."]
SEEDS = [11, 22, 33]


def save(folder, **kind: object) -> str:
    tiny_audio.musicgen(folder / "model", layers=1, words=700, **kind)
    tiny_model.save(folder / "tokenizer", texts=CAPTIONS)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (folder / "tokenizer" / name).exists():
            (folder / "tokenizer" / name).rename(folder / "model" / name)
    return str(folder / "model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return save(tmp_path_factory.mktemp("musicgen"))


@pytest.fixture(scope="module")
def model(folder):
    return musicgen.load(folder, device="cpu", dtype=torch.float32)


def generate(model, captions=CAPTIONS, seeds=SEEDS, batch_size=3, **dials):
    return musicgen.generate(
        model,
        captions,
        seeds=seeds,
        duration=0.6,
        guidance=tiny_audio.guidance(**{"top_k": 32, **dials}),
        batch_size=batch_size,
    )


def test_clips_have_the_length_asked_for_and_differ(model):
    clips = generate(model)
    rate = musicgen.sample_rate(model)
    assert rate == 4000 and all(clip.shape == (1, 2400) and np.isfinite(clip).all() for clip in clips)
    assert not np.allclose(clips[0], clips[1])


def test_the_likeliest_codes_are_those_of_transformers_own_loop(model):
    """With one code kept nothing is left to chance: the same tokens as ``generate`` decodes."""
    text = model.tokenizer(CAPTIONS, padding=True, return_tensors="pt")
    theirs = tiny_audio.likeliest(model.model, **text)
    frames = theirs.shape[-1]
    ours = musicgen.draw_codes(
        model, CAPTIONS, seeds=SEEDS, frames=frames, guidance=tiny_audio.guidance(top_k=1), melodies=[None] * 3
    )
    assert torch.equal(torch.stack(ours), theirs)


@pytest.mark.parametrize("batch_size", [1, 5, 8])
def test_sixteen_clips_have_the_same_bytes_in_any_batch(model, batch_size):
    captions = [" ".join(["tune", "for", "harp", "loud"][: 1 + n % 4] * (1 + n % 3)) for n in range(16)]
    one, other = (generate(model, captions, seeds=list(range(16)), batch_size=size) for size in (16, batch_size))
    assert [clip.tobytes() for clip in one] == [clip.tobytes() for clip in other]


def test_captions_as_long_as_each_other_share_a_batch(model, monkeypatch):
    batches, inner = [], musicgen.draw_codes

    def seen(model, captions, **dials):
        batches.append(list(captions))
        return inner(model, captions, **dials)

    monkeypatch.setattr(musicgen, "draw_codes", seen)
    generate(model, ["a b c d e f", "a", "a b c d e", "b"], [1, 2, 3, 4], 2)
    assert batches == [["a", "b"], ["a b c d e", "a b c d e f"]]


def test_the_seed_decides_and_nothing_else(model):
    torch.manual_seed(5)
    first = generate(model)
    torch.manual_seed(6)
    assert all(np.array_equal(one, other) for one, other in zip(first, generate(model), strict=True))
    assert not np.allclose(first[0], generate(model, CAPTIONS[:1], [99], 1)[0])


def test_half_precision_holds_the_decoder_alone_and_makes_clips(folder):
    model = musicgen.load(folder, device="cpu", dtype=torch.bfloat16)
    assert model.model.decoder.dtype == torch.bfloat16
    assert {each.dtype for each in model.model.audio_encoder.parameters()} == {torch.float32}
    assert all(np.isfinite(clip).all() for clip in generate(model))
    traits = musicgen.traits(model)
    assert traits[1] == "torch.bfloat16" and traits[0] == musicgen.traits(musicgen.load(folder, device="cpu"))[0]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")])
def test_batches_are_halved_where_memory_does_not_suffice(model, monkeypatch, caplog, error):
    whole, sizes, inner = generate(model), [], musicgen.draw_codes

    def small(model, captions, **dials):
        sizes.append(len(captions))
        if len(captions) > 1:
            raise error
        return inner(model, captions, **dials)

    monkeypatch.setattr(musicgen, "draw_codes", small)
    clips = generate(model)
    assert sizes == [3, 1, 1, 1] and "going on with 1" in caplog.text
    assert [clip.tobytes() for clip in clips] == [clip.tobytes() for clip in whole]


def test_an_error_that_is_not_of_memory_is_raised(model, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("shapes")

    monkeypatch.setattr(musicgen, "draw_codes", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        generate(model)


def test_a_clip_without_numbers_is_a_row_with_a_reason_and_harms_no_other(model, monkeypatch):
    """The text encoder gives NaN for one caption: today's codes would be arbitrary."""
    whole, inner = generate(model), musicgen._encode

    def poisoned(model, captions, melodies):
        read = inner(model, captions, melodies)
        jazz = [number for number, caption in enumerate(captions) if caption == "Jazz."]
        read["encoder_hidden_states"][jazz] = float("nan")
        return read

    monkeypatch.setattr(musicgen, "_encode", poisoned)
    clips = generate(model)
    assert isinstance(clips[2], ValueError)
    assert all(np.array_equal(one, other) for one, other in zip(clips[:2], whole[:2], strict=True))
    rows = pd.DataFrame(
        {"id": ["a", "b", "c"], "tags": [["harp"], ["rock"], ["jazz"]], "caption": CAPTIONS, "split": ["train"] * 3}
    )
    made = musicgen.generate_rows(
        rows, model=model, guidance=tiny_audio.guidance(top_k=32), duration=0.6, batch_size=2, seed=0
    )
    assert made["error"].tolist() == [None, None, "expected finite logits of the model, got NaN or infinity"]
    assert made["audio"].isna().tolist() == [False, False, True]


def test_draws_follow_the_guided_probabilities():
    share, rows = torch.tensor([0.6, 0.3, 0.1]), 4000
    uniform = torch.as_tensor(np.random.default_rng(0).random(rows))
    codes = musicgen.draw(share.log().repeat(rows, 1), uniform, tiny_audio.guidance(temperature=0.5, top_k=3))
    found = torch.bincount(codes, minlength=3) / rows
    np.testing.assert_allclose(found, share**2 / (share**2).sum(), atol=0.03)
    assert set(musicgen.draw(share.log().repeat(rows, 1), uniform, tiny_audio.guidance(top_k=1)).tolist()) == {0}


def test_refuses_wrong_dials(model):
    with pytest.raises(ValueError, match="expected a seed for each caption, got 3 captions and 1 seeds"):
        generate(model, seeds=[1])
    with pytest.raises(ValueError, match="scale > 1"):
        generate(model, scale=1.0)
    with pytest.raises(ValueError, match="expected a duration of 0.5 to 30 s, on which MusicGen was trained, got 31"):
        musicgen.generate(model, CAPTIONS, seeds=SEEDS, duration=31, guidance=tiny_audio.guidance(), batch_size=1)
