import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from conceptcaps.audio import spectrum
from conceptcaps.listening import musicnn
from conceptcaps.probing import activations, clips, heads, networks, registered
from conceptcaps.tags.taxonomy import Taxonomy
from tests import toy_clips

TAXONOMY = Taxonomy.load()


@pytest.fixture
def audio(tmp_path):
    return clips.read(toy_clips.folder(tmp_path / "audio", toy_clips.rows(12, seconds=1.0)))


def test_targets_stand_for_tags_or_folders():
    probe = networks.Probe(nn.Identity(), (*musicnn.TAGS["MTT"], "hiphop"), (), lambda clip: torch.empty(0))
    tag_sets = (
        [["piano", "slow tempo"]] * 6 + [["techno", "female vocals"]] * 7 + [["flute"]] * 2 + [["techno"]] * 60
        + [["hiphop"]] * 5
    )  # fmt: skip
    frame = pd.DataFrame({"present": tag_sets})
    settings = {"taxonomy": TAXONOMY, "most": 20, "seed": 0}
    found = networks.targets(probe, frame, names="auto", **settings)
    assert found["piano"].tolist() == found["slow"].tolist() == list(range(6))
    assert len(found["techno"]) == 50 and found["hiphop"].tolist() == list(range(75, 80))
    assert len([name for name in found if "female" in name]) == 1  # musicnn has three words for it
    assert "flute" not in found
    held = np.arange(80) % 2 == 0
    assert networks.targets(probe, frame, names="techno", among=held, **settings)["techno"].max() < 75
    for names, message in (
        ("flute", "expected 5 clips or more of target 'flute', got 2"),
        ("zither", "expected targets among guitar, classical"),
        ("piano,piano", "expected each of the targets once, got 'piano' again"),
    ):
        with pytest.raises(ValueError, match=message):
            networks.targets(probe, frame, names=names, **settings)


def test_whether_a_clip_is_of_a_class_may_be_unknown():
    sets = [["piano"], ["flute"], ["guitar"], ["flute"]]
    frame = pd.DataFrame({"present": sets, "absent": [[], ["piano"], [], []], "known": [True, True, True, False]})
    found = {name: networks.truth(name, frame, taxonomy=TAXONOMY).tolist() for name in ("piano", "maqam")}
    np.testing.assert_array_equal(found["piano"], [1, 0, np.nan, 0])  # of the last nothing is known but what was asked
    assert found["maqam"] == [0, 0, 0, 0], "a folder's name is no tag that could sound unheard"
    np.testing.assert_array_equal(
        networks.truth("electric guitar", frame.drop(columns=["absent", "known"]), taxonomy=TAXONOMY), [0, 0, np.nan, 0]
    )


@pytest.mark.parametrize("name", ["cnn", "transformer", "gru"])
def test_a_users_own_model_is_read_through_its_layers(name, audio):
    probe, interpretable, _ = registered.probe(f"tests.probing.user_models:{name}", fetch=lambda uri: None)
    assert interpretable is None
    found = probe.read(audio, layers=probe.layers, wanted=[[0, 2]] * 12)
    assert not found.reasons and found.logits.shape == (12, 3)
    for layer in probe.layers:
        assert found.points[layer].shape == found.slopes[layer][2].shape
        assert found.points[layer].shape[1] in (12, 16) and np.abs(found.slopes[layer][0]).max() > 0
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    random = probe.randomised(seed=1)
    torch.testing.assert_close(torch.rand(2), expected)  # the global generator is left alone
    assert not np.allclose(random.read(audio).logits, found.logits)
    np.testing.assert_array_equal(random.read(audio).logits, probe.randomised(seed=1).read(audio).logits)


class Shown(nn.Module):
    """A scripted module that shows a layer itself."""

    def __init__(self):
        super().__init__()
        self.first, self.output = nn.Linear(96, 8), nn.Linear(8, 3)

    def forward(self, log_mel: torch.Tensor):
        hidden = torch.relu(self.first(log_mel))
        return self.output(hidden.mean(1)), {"hidden": hidden}


class Mean(nn.Module):
    def forward(self, inputs: torch.Tensor):
        return inputs.mean(1)


def scripted(folder, module, **facts):
    folder.mkdir()
    torch.jit.script(module.eval()).save(folder / "model.pt")
    facts = {"outputs": ["a", "b", "c"], "sample_rate": 16_000, "seconds": 1.0, "input": "log_mel"} | facts
    (folder / "model.json").write_text(json.dumps(facts))
    return folder


@pytest.mark.parametrize("shown", [True, False])
def test_torchscript_is_the_module_that_was_scripted(shown, audio, tmp_path):
    torch.manual_seed(0)
    shows = Shown()
    stages = nn.Sequential(nn.Sequential(shows.first, nn.ReLU()), Mean(), shows.output)
    layer = "hidden" if shown else "0"
    facts = {"layers": [layer], "axes": {layer: -1}}
    folder = scripted(tmp_path / "model", shows if shown else stages, **facts)
    probe, _, _ = registered.probe(str(folder), fetch=lambda uri: folder)
    found = probe.read(audio, layers=probe.layers, wanted=[[1]] * 12)
    plain = activations.read(stages, audio, windows=probe.windows, layers=["0"], axes={"0": -1}, wanted=[[1]] * 12)
    np.testing.assert_allclose(found.logits, plain.logits, atol=1e-5)
    np.testing.assert_allclose(found.points[layer], plain.points["0"], atol=1e-5)
    np.testing.assert_allclose(found.slopes[layer][1], plain.slopes["0"][1], atol=1e-6)
    assert np.isfinite(probe.randomised(seed=0).read(audio).logits).all()


def test_models_that_say_too_little_are_refused(tmp_path):
    folder = scripted(tmp_path / "model", nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="expected outputs, layers, sample_rate and seconds .* got no .'layers'."):
        networks.of_torchscript(folder)
    (folder / "model.json").unlink()
    with pytest.raises(ValueError, match="expected model.pt and model.json in .*, got no model.json"):
        networks.of_torchscript(folder)
    for name, message in (
        ("tests.probing.user_models:nothing", "to give a conceptcaps.probing.networks.Probe, got NoneType"),
        ("tests.probing.user_models:missing", "expected module:function that gives a networks.Probe"),
        ("no_such_module:probe", "expected module:function that gives a networks.Probe"),
    ):
        with pytest.raises(ValueError, match=message):
            networks.of_function(name)


def test_a_head_on_musicnn_is_probed_as_one_network(monkeypatch, audio):
    torch.manual_seed(0)
    tagger = musicnn.Tagger().eval().requires_grad_(False)
    monkeypatch.setattr(heads, "_tagger", lambda: tagger)
    head = heads.Head(("a", "b"), length=1, hidden=True).eval()
    probe = head.probe()
    assert probe.layers == ("timbral", "cnn3", "pooled")
    found = probe.read(audio, layers=[*probe.layers, "head.hidden"], wanted=[[1]] * 12)
    expected = [head(torch.from_numpy(heads.features_musicnn(clip)["features"])[None]) for clip in audio]
    np.testing.assert_allclose(found.logits, torch.cat(expected).detach(), atol=1e-4)
    assert found.points["pooled"].shape == (12, 1506) and found.points["head.hidden"].shape == (12, 64)
    assert all(np.abs(found.slopes[layer][1]).max() > 0 for layer in probe.layers)


def test_windows_of_musicnn_are_three_seconds_and_at_most_ten():
    for seconds, count in ((1.0, 1), (7.0, 2), (40.0, 10)):
        clip = toy_clips.flac(toy_clips.waveform(["piano"], seed=0, seconds=seconds))
        assert networks.log_mel_windows(clip).shape == (count, spectrum.FRAMES, 96)
