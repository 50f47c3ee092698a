from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.signal
import torch

from conceptcaps.audio import spectrum
from conceptcaps.listening import musicnn, tf_checkpoint
from conceptcaps.workspace import assets
from tests.data import musicnn_inputs

GOLDEN = np.load(Path(__file__).parents[1] / "data" / "musicnn_golden.npz")  # made by make_musicnn_golden.py


@pytest.fixture(scope="module", params=["MTT", "MSD"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return musicnn.load(name)


@pytest.fixture(scope="module")
def activations(model):
    """What the named layers give for the stored input, by hooks, as a probe sees them."""
    found = {}
    layers = ["timbral", "temporal", "cnn1", "cnn2", "cnn3", "penultimate", "output"]
    hooks = [
        getattr(model.tagger, layer).register_forward_hook(
            lambda module, inputs, output, layer=layer: found.update({layer: output.numpy()})
        )
        for layer in layers
    ]
    model.tagger(torch.from_numpy(musicnn_inputs.log_mel()))
    for hook in hooks:
        hook.remove()
    return found


def numpy_forward(name, log_mel):
    """musicnn as its paper and published graph define it, in float64 with nothing but numpy and scipy."""
    variables = tf_checkpoint.read(f"{assets.fetch(f'musicnn_{name.lower()}')}/")
    numbers = {"conv2d": iter(range(8)), "batch_normalization": iter(range(11)), "dense": iter(range(2))}

    def variable(kind):
        number = next(numbers[kind])
        prefix = f"{kind}_{number}/" if number else f"{kind}/"
        return {key.removeprefix(prefix): np.float64(v) for key, v in variables.items() if key.startswith(prefix)}

    def norm(x):
        v = variable("batch_normalization")
        return (x - v["moving_mean"]) / np.sqrt(v["moving_variance"] + 1e-3) * v["gamma"] + v["beta"]

    def conv(x, pad):
        """Correlation of ``x`` (time, width, 1) with each kernel, zeros around it in time."""
        v = variable("conv2d")
        x = np.pad(x[..., 0], (pad, (0, 0)))
        maps = [scipy.signal.correlate(x, k, "valid", method="fft") for k in np.moveaxis(v["kernel"][:, :, 0], 2, 0)]
        return norm(np.maximum(np.stack(maps, -1) + v["bias"], 0))

    x = norm(log_mel[..., None].astype(np.float64))
    pads = [(3, 3), (3, 3), (63, 64), (31, 32), (15, 16)]
    front = np.concatenate([conv(x, pad).max(1) for pad in pads], axis=1)
    first = conv(front[..., None], (3, 3)).swapaxes(1, 2)
    second = conv(first, (3, 3)).swapaxes(1, 2) + first
    third = conv(second, (3, 3)).swapaxes(1, 2) + second
    features = np.concatenate([front, first[..., 0], second[..., 0], third[..., 0]], axis=1)
    pooled = norm(np.stack([features.max(0), features.mean(0)], axis=1).reshape(-1))
    dense = variable("dense")
    penultimate = norm(np.maximum(pooled @ dense["kernel"] + dense["bias"], 0))
    output = variable("dense")
    return penultimate, 1 / (1 + np.exp(-(penultimate @ output["kernel"] + output["bias"])))


def test_agrees_with_the_published_tensorflow_graph(name, activations):
    front = np.concatenate([activations["timbral"], activations["temporal"]], axis=1).swapaxes(1, 2)
    np.testing.assert_allclose(front[:, ::31], GOLDEN[f"{name}_front"], rtol=1e-4, atol=1e-4)
    first = activations["cnn1"]
    second = first + activations["cnn2"]
    dense = np.concatenate([first, second, second + activations["cnn3"]], axis=1).swapaxes(1, 2)
    np.testing.assert_allclose(dense[:, ::31], GOLDEN[f"{name}_dense"], rtol=1e-4, atol=3e-4)
    np.testing.assert_allclose(activations["penultimate"], GOLDEN[f"{name}_penultimate"], rtol=1e-4, atol=5e-5)
    taggram = 1 / (1 + np.exp(-activations["output"]))
    np.testing.assert_allclose(taggram, GOLDEN[f"{name}_taggram"], rtol=1e-4, atol=1e-6)


def test_agrees_with_a_forward_pass_in_numpy(name, activations):
    penultimate, taggram = numpy_forward(name, musicnn_inputs.log_mel()[0])
    np.testing.assert_allclose(activations["penultimate"][0], penultimate, rtol=1e-4, atol=5e-5)
    np.testing.assert_allclose(1 / (1 + np.exp(-activations["output"][0])), taggram, rtol=1e-4, atol=1e-6)


def test_audio_to_tags_agrees_with_the_original_but_for_its_half_precision(name, model):
    taggram = model(musicnn_inputs.waveform()[None])["taggram"][0]
    np.testing.assert_allclose(taggram, GOLDEN[f"{name}_audio_taggram"], atol=5e-4)


def test_log_mel_is_librosas():
    audio = musicnn_inputs.waveform()
    mel = librosa.feature.melspectrogram(
        y=audio, sr=16000, n_fft=512, hop_length=256, n_mels=96, pad_mode="reflect"
    ).T  # librosa 0.7, which musicnn used, reflected
    found = spectrum.LogMel()(torch.from_numpy(audio[None]))[0]
    np.testing.assert_allclose(found, np.log10(1 + 10000 * mel), atol=2e-5)


def test_timbral_filters_are_a_plain_convolution():
    """Fourier products, early maximum and turned signs change nothing: the textbook order gives the same."""
    torch.manual_seed(0)
    filters = musicnn.TimbralFilters(12, 7, 38).eval()
    torch.nn.init.normal_(filters.norm.weight)
    assert (filters.norm.weight < 0).any()
    log_mel = torch.randn(2, 40, 96)
    maps = torch.relu(filters.conv(torch.nn.functional.pad(log_mel, (0, 0, 3, 3))[:, None]))
    expected = filters.norm(maps.flatten(2)).unflatten(2, maps.shape[2:]).amax(3)
    torch.testing.assert_close(filters(log_mel), expected, rtol=1e-5, atol=1e-5)


def test_output_names_shapes_and_windows(model):
    outputs = model(torch.zeros(2, 10 * 16000))
    assert len(model.tags) == 50
    assert outputs["taggram"].shape == (2, 3, 50)
    assert outputs["penultimate"].shape == (2, 3, 200)
    assert ((outputs["taggram"] >= 0) & (outputs["taggram"] <= 1)).all()
    torch.testing.assert_close(outputs["taggram"][0], outputs["taggram"][1])


def test_windows_do_not_overlap():
    model = musicnn.load("MTT")
    audio = torch.from_numpy(musicnn_inputs.waveform())
    outputs = model(audio[None])["penultimate"][0]
    moved = audio.clone()
    moved[49_000:] = 0  # behind the first window's 187 frames and their reach
    changed = model(moved[None])["penultimate"][0]
    torch.testing.assert_close(changed[0], outputs[0])
    assert (changed[1] - outputs[1]).abs().max() > 0.1


def test_a_batch_changes_nothing(model):
    clips = np.stack([musicnn_inputs.waveform(), musicnn_inputs.waveform()[::-1]])
    together = model(clips)
    for name, values in together.items():
        for row, clip in zip(values, clips, strict=True):
            np.testing.assert_allclose(model(clip[None])[name][0], row, rtol=1e-4, atol=2e-5)


def test_tags_can_be_differentiated_back_to_the_waveform():
    model = musicnn.load("MTT").double()
    audio = torch.from_numpy(musicnn_inputs.waveform()[None, :48_000]).double().requires_grad_()
    guitar = model.tags.index("guitar")
    (gradient,) = torch.autograd.grad(model.tagger(model.windows(audio)[:, 0])[0, guitar], audio)
    step = 1e-6 * gradient / gradient.norm()
    with torch.no_grad():
        ahead, behind = (model.tagger(model.windows(moved)[:, 0])[0, guitar] for moved in (audio + step, audio - step))
    assert (ahead - behind).item() / 2e-6 == pytest.approx(gradient.norm().item(), rel=1e-4)


def test_refuses_short_clips_and_unknown_weights(tmp_path):
    model = musicnn.load("MTT")
    with pytest.raises(ValueError, match="47616 samples"):
        model(torch.zeros(1, 47_615))
    with pytest.raises(ValueError, match=r"expected waveforms \(batch, samples\)"):
        model(torch.zeros(48_000))
    with pytest.raises(ValueError, match="expected musicnn's training set MTT or MSD, got 'mtt'"):
        musicnn.load("mtt")
    with pytest.raises(FileNotFoundError):
        musicnn.load("MTT", folder=tmp_path)
