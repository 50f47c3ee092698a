"""laion-clap's own network with random weights, in every form in which a checkpoint comes."""

import io
import json
import sys

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file
from tokenizers import ByteLevelBPETokenizer
from transformers import RobertaConfig, RobertaModel

from conceptcaps.listening import clap
from conceptcaps.workspace.hashing import file_sha256

TEXTS = ["a slow piano ballad", "fast drum and bass with a synth lead", "strings"]


@pytest.fixture(scope="module")
def tokenizer_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(TEXTS, vocab_size=300, min_frequency=1, special_tokens=specials)
    tokenizer.save_model(str(folder))
    return {name: (folder / name).read_bytes() for name in ("vocab.json", "merges.txt")}


@pytest.fixture(scope="module")
def state(tokenizer_files):
    """Random weights of HTSAT-tiny with a RoBERTa of one layer, in the names of a published checkpoint."""
    sys.argv, arguments = [sys.argv[0], "--audio", "as a stage would be called"], sys.argv
    try:
        laion_clap = clap._import()
        assert sys.argv[1:] == ["--audio", "as a stage would be called"]
    finally:
        sys.argv = arguments
    assert laion_clap.CLAP_Module
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(json.loads(tokenizer_files["vocab.json"])),
        hidden_size=64, num_hidden_layers=1, num_attention_heads=1, intermediate_size=32,
        max_position_embeddings=80, type_vocab_size=1, layer_norm_eps=1e-5,
    )  # fmt: skip
    text = {f"text_branch.{name}": tensor for name, tensor in RobertaModel(config).state_dict().items()}
    probe = {**text, "audio_branch.patch_embed.proj.weight": torch.zeros(96, 1, 4, 4)}
    network = clap._network(probe)
    return {name: tensor.clone().contiguous() for name, tensor in network.state_dict().items()}


@pytest.fixture
def folder(tmp_path, tokenizer_files):
    for name, content in tokenizer_files.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture(scope="module")
def model(tmp_path_factory, state, tokenizer_files):
    folder = tmp_path_factory.mktemp("model")
    for name, content in tokenizer_files.items():
        (folder / name).write_bytes(content)
    save_file(state, folder / "clap.safetensors")
    return clap.load(folder)


def noise(seconds, seed=0):
    return np.random.default_rng(seed).uniform(-0.3, 0.3, int(seconds * clap.SAMPLE_RATE)).astype(np.float32)


# --- windows


def test_windows_cover_the_whole_clip_at_fixed_places():
    ramp = np.linspace(-1, 1, 2 * clap.WINDOW + 1000, dtype=np.float32)
    parts = clap.windows(ramp)
    assert parts.shape == (3, clap.WINDOW)
    assert parts[0, 0] == -1 and parts[-1, -1] == 1
    assert len(clap.windows(ramp[: clap.WINDOW])) == 1 and len(clap.windows(ramp[: clap.WINDOW + 1])) == 2
    assert np.abs(clap.windows(ramp[: clap.WINDOW])[0] - ramp[: clap.WINDOW]).max() <= 1 / 32767


def test_windows_fill_a_short_clip_as_clap_was_trained(state):
    """Against laion-clap's own code, which is random for longer clips only."""
    features = sys.modules["hook"].get_audio_features
    config = {"hop_size": 480}
    short = noise(3)
    theirs = features({}, torch.from_numpy(short), clap.WINDOW, "rand_trunc", "repeatpad", config)["waveform"]
    quantised = sys.modules["hook"].int16_to_float32(sys.modules["hook"].float32_to_int16(theirs.numpy()))
    np.testing.assert_array_equal(clap.windows(short)[0], quantised)


def test_windows_refuse_stereo():
    with pytest.raises(ValueError, match=r"mono audio \(samples,\)"):
        clap.windows(np.zeros((2, 100), np.float32))


# --- embeddings


@pytest.fixture(scope="module")
def sound(model):
    return model.embed_audio(noise(10))


def test_embeddings_are_unit_vectors(model, sound):
    words = model.embed_text(TEXTS)
    assert sound.shape == (512,) and words.shape == (3, 512)
    assert np.linalg.norm(sound) == pytest.approx(1) and np.linalg.norm(words, axis=1) == pytest.approx(1)


def test_embeddings_do_not_depend_on_the_texts_beside_them(model):
    one_by_one = np.concatenate([model.embed_text([text]) for text in TEXTS])
    np.testing.assert_allclose(model.embed_text(TEXTS * 7)[:3], one_by_one, atol=1e-5)


def test_a_long_clip_is_heard_to_its_end(model, sound):
    end = noise(10, seed=1) * np.linspace(0, 1, clap.WINDOW, dtype=np.float32)
    mean = sound + model.embed_audio(end)
    np.testing.assert_allclose(
        model.embed_audio(np.concatenate([noise(10), end])), mean / np.linalg.norm(mean), atol=1e-5
    )


def test_agrees_with_laion_clap_s_own_forward_pass(model, sound):
    waveform = torch.from_numpy(clap.windows(noise(10))[:1])
    with torch.no_grad():
        theirs = model.network({"waveform": waveform}, None, device="cpu")[0]
    np.testing.assert_allclose(sound, theirs / theirs.norm(), atol=1e-6)


def test_an_encoded_clip_is_mixed_and_resampled(model, sound):
    target = io.BytesIO()
    stereo = np.stack([noise(10) * 1.5, noise(10) * 0.5], axis=1)
    soundfile.write(target, stereo, clap.SAMPLE_RATE, format="FLAC")
    np.testing.assert_allclose(model.embed_clip(target.getvalue())["clap"], sound, atol=1e-3)


# --- checkpoints


def test_loads_what_laion_publishes_and_what_older_transformers_wrote(model, state, folder):
    old = {f"module.{name}": tensor for name, tensor in state.items()}
    old["module.text_branch.embeddings.position_ids"] = torch.arange(80)[None]
    path = folder / "published.pt"
    torch.save({"epoch": 3, "state_dict": old, "best": np.float64(0.5), "step": np.int64(7)}, path)
    loaded = clap.load(path)
    np.testing.assert_array_equal(loaded.embed_text(TEXTS), model.embed_text(TEXTS))
    assert loaded.sha256 == file_sha256(path)


class Payload:
    def __reduce__(self):
        return (print, ("executed",))


def test_refuses_a_checkpoint_that_runs_code(folder, capsys):
    torch.save({"state_dict": {}, "args": Payload()}, folder / "evil.pt")
    with pytest.raises(ValueError, match="only tensors and numbers in evil.pt, got .*print"):
        clap.load(folder)
    assert "executed" not in capsys.readouterr().out


def test_refuses_other_checkpoints(folder, state):
    path = folder / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="HTSAT and RoBERTa"):
        clap.load(path)
    save_file({**state, "audio_branch.patch_embed.mel_conv2d.weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="without feature fusion"):
        clap.load(path)
    save_file({name: tensor for name, tensor in state.items() if "audio_projection" not in name}, path)
    with pytest.raises(ValueError, match="4 tensors missing and 0 unknown, audio_projection"):
        clap.load(path)


def test_refuses_a_folder_without_one_checkpoint(tmp_path):
    with pytest.raises(ValueError, match=r"one CLAP checkpoint .* got none"):
        clap.load(tmp_path)


def test_never_goes_on_with_the_empty_tokenizer_that_transformers_makes_of_nothing(tmp_path, state, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    save_file(state, tmp_path / "clap.safetensors")
    with pytest.raises(ValueError, match=r"vocab\.json and merges\.txt.* got one of \d$"):
        clap.load(tmp_path)
