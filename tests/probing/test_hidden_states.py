"""Layers of pretrained audio models, read from tiny random ones."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    AutoFeatureExtractor,
    EncodecConfig,
    EncodecModel,
    LlamaConfig,
    LlamaForCausalLM,
    MusicgenForConditionalGeneration,
    Wav2Vec2Model,
)

from conceptcaps.audio import resampling, waveform
from conceptcaps.listening import clap
from conceptcaps.probing import hidden_states, networks
from tests import tiny_audio, toy_clips
from tests.listening.test_clap import state, tokenizer_files  # noqa: F401 (fixtures)

SOUND = toy_clips.waveform(["techno", "piano"], seed=0, seconds=1.3)
CLIP = toy_clips.flac(SOUND)


def heard(rate=tiny_audio.RATE):
    sound, own = waveform.decode(CLIP)
    return resampling.resample(sound, own, rate)[0]


def read(folder, clip=CLIP):
    return hidden_states.load(hidden_states.find(str(folder))).read(clip)


@pytest.mark.parametrize("stable", [False, True])
def test_layers_of_an_encoder_are_the_means_of_transformers_hidden_states(tmp_path, stable):
    folder = tiny_audio.wav2vec2(tmp_path, do_stable_layer_norm=stable, feat_extract_norm="layer")
    layers = read(folder)
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(heard(), sampling_rate=tiny_audio.RATE, return_tensors="pt")
    with torch.no_grad():
        states = Wav2Vec2Model.from_pretrained(folder).eval()(**inputs, output_hidden_states=True).hidden_states
    assert list(layers) == ["layer0", "layer1", "layer2"] and len(states) == 3
    for found, expected in zip(layers.values(), states, strict=True):
        assert found.shape == (16,) and np.allclose(found, expected[0].mean(0), atol=1e-6)


def test_no_more_than_thirty_seconds_are_read(tmp_path):
    folder = tiny_audio.wav2vec2(tmp_path, normalise=False)
    sound = np.resize(SOUND, 31 * tiny_audio.RATE)
    whole, cut = (toy_clips.flac(sound[: seconds * tiny_audio.RATE], rate=tiny_audio.RATE) for seconds in (31, 30))
    one, other = read(folder, whole), read(folder, cut)
    assert all((one[name] == other[name]).all() for name in one)


def test_mert_is_hubert_under_another_name(tmp_path):
    expected = read(tiny_audio.hubert(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "mert_model", "architectures": ["MERTModel"], "auto_map": {"AutoModel": "own.MERTModel"}}
    config |= {"feature_extractor_cqt": False, "attention_relax": 32.0}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = read(tmp_path)
    assert all((found[name] == expected[name]).all() for name in expected)
    (tmp_path / "config.json").write_text(json.dumps(config | {"feature_extractor_cqt": True}))
    with pytest.raises(ValueError, match="expected a MERT without feature_extractor_cqt"):
        hidden_states.find(str(tmp_path))


@pytest.mark.parametrize("channels", [1, 2])
def test_codes_are_delayed_as_transformers_delays_a_prompt(tmp_path, channels):
    decoder = MusicgenForConditionalGeneration.from_pretrained(tiny_audio.musicgen(tmp_path, channels=channels)).decoder
    codes = torch.randint(0, 32, (2 * channels, 9), generator=torch.Generator().manual_seed(0))
    prompt = torch.cat([torch.full((2 * channels, 1), 32), codes], dim=1)  # generation begins with a column of start
    _, pattern = decoder.build_delay_pattern_mask(prompt, pad_token_id=32, max_length=11)
    assert torch.equal(hidden_states.delay(codes, start=32, channels=channels), pattern)


@pytest.mark.parametrize("channels", [1, 2])
def test_musicgen_s_decoder_reads_the_clip_s_own_codes_without_text(tmp_path, channels):
    folder = tiny_audio.musicgen(tmp_path, channels=channels)
    layers = read(folder)
    model = MusicgenForConditionalGeneration.from_pretrained(folder).eval()
    with torch.no_grad():
        codes = model.audio_encoder.encode(torch.from_numpy(heard())[None, None]).audio_codes[0, 0]
        codes = codes.repeat_interleave(channels, 0)
        delayed = hidden_states.delay(codes, start=32, channels=channels)
        nothing = {"encoder_hidden_states": torch.zeros(1, 1, 32), "encoder_attention_mask": torch.zeros(1, 1).long()}
        states = model.decoder(delayed, **nothing, output_hidden_states=True).hidden_states
    assert list(layers) == ["layer0", "layer1", "layer2"]
    for found, expected in zip(layers.values(), states, strict=True):
        assert np.isfinite(found).all() and np.allclose(found, expected[0, 1:].mean(0), atol=1e-5)


def test_what_is_no_audio_encoder_is_refused_before_its_weights_are_opened(tmp_path):
    LlamaForCausalLM(
        LlamaConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=8)
    ).save_pretrained(tmp_path / "text")
    codec = EncodecConfig(num_filters=4, hidden_size=16, codebook_size=32, codebook_dim=16, num_lstm_layers=1)
    EncodecModel(codec).save_pretrained(tmp_path / "codec")
    tiny_audio.EncodecFeatureExtractor().save_pretrained(tmp_path / "codec")
    for name, message in (
        ("text", "expected a folder or Hub id of an audio model"),
        ("codec", "expected an audio enc"),
    ):
        with pytest.raises(ValueError, match=message):
            hidden_states.find(str(tmp_path / name))


def test_weights_are_read_from_safetensors_alone_and_must_be_whole(tmp_path):
    folder = tiny_audio.wav2vec2(tmp_path)
    version = hidden_states.find(str(folder)).version
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    place = hidden_states.find(str(folder))
    assert place.version != version
    with pytest.raises(ValueError, match="expected all weights of"):
        hidden_states.load(place)
    weights = folder / "model.safetensors"
    torch.save({}, folder / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(ValueError, match="expected weights in safetensors"):
        hidden_states.find(str(folder))


def test_clap_gives_its_stages_and_its_embedding(tmp_path, state, tokenizer_files):  # noqa: F811
    for name, content in tokenizer_files.items():
        (tmp_path / name).write_bytes(content)
    save_file(state, tmp_path / "clap.safetensors")
    model, sha256 = hidden_states.of_clap(tmp_path / "clap.safetensors")
    layers = model.read(CLIP)
    assert list(layers) == ["stage1", "stage2", "stage3", "stage4", "embedding"] and len(sha256) == 64
    assert all(np.isfinite(values).all() and np.ptp(values) > 0 for values in layers.values())
    expected = clap.load(tmp_path / "clap.safetensors").embed_clip(CLIP)["clap"]
    assert (layers["embedding"] == expected).all() and layers["stage4"].shape == (768,)
    assert all((model.read(CLIP)[name] == values).all() for name, values in layers.items())
    networks.randomise(model.network, seed=1)
    assert not np.allclose(model.read(CLIP)["stage2"], layers["stage2"])
