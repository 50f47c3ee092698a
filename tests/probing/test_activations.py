import numpy as np
import pytest
import torch
from captum.attr import LayerActivation, LayerGradientXActivation
from torch import nn

from conceptcaps.errors import InputError
from conceptcaps.listening import musicnn
from conceptcaps.probing import activations, heads
from conceptcaps.probing import heard as heard_clips
from tests.probing.nets import Deep, encoded, windows


def arrays(inputs):
    """Clips that stand for the rows of a tensor, and what reads them."""
    return [bytes([number]) for number in range(len(inputs))], lambda clip: inputs[clip[0]]


def read(network, inputs, **settings):
    clips, cut = arrays(inputs)
    return activations.read(network, clips, windows=cut, **settings)


class Recurrent(nn.Module):
    def __init__(self, batch_first=True):
        super().__init__()
        self.gru = nn.GRU(5, 7, batch_first=batch_first)
        self.batch_first, self.output = batch_first, nn.Linear(7, 2)

    def forward(self, inputs):
        hidden, _ = self.gru(inputs if self.batch_first else inputs.transpose(0, 1))
        return self.output(hidden.mean(1 if self.batch_first else 0))


class Attentive(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.block = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True, dropout=0.0)
        self.own = Projection()
        self.output = nn.Linear(6, 2)

    def forward(self, inputs):
        return self.output(self.own(self.block(inputs)).mean(1))


class Projection(nn.Module):
    """A layer whose type says nothing about its channels."""

    def forward(self, inputs):
        return torch.tanh(inputs)


def test_activations_are_captums_means_and_slopes_its_sums():
    torch.manual_seed(0)
    model = heads.GenreCNN(("a", "b", "c"), length=32).eval()
    inputs = torch.randn(3, 2, 32, 96)
    found = read(model, inputs, layers=["conv1", "conv3", "embedding"], wanted=[[1], [1, 2], [1]])
    flat = inputs.flatten(0, 1)
    for name in ("conv1", "conv3", "embedding"):
        layer = getattr(model, name)
        activation = LayerActivation(model, layer).attribute(flat).detach()
        channels = activation.shape[1]
        means = activation.reshape(3, 2, channels, -1).mean((1, 3))
        np.testing.assert_allclose(found.points[name], means, atol=1e-5)
        slope = LayerGradientXActivation(model, layer, multiply_by_inputs=False).attribute(flat, target=1)
        expected = slope.detach().reshape(3, 2, channels, -1).sum((1, 3)) / 2
        np.testing.assert_allclose(found.slopes[name][1], expected, atol=1e-6)
    assert found.asked[1].tolist() == [0, 1, 2] and found.asked[2].tolist() == [1]
    with torch.no_grad():
        np.testing.assert_allclose(found.logits, model(flat).unflatten(0, (3, 2)).mean(1), atol=1e-5)


def test_slopes_are_the_derivative_when_all_positions_of_all_windows_move():
    torch.manual_seed(0)
    model = heads.GenreCNN(("a", "b", "c"), length=32).eval().double()
    inputs, direction = torch.randn(3, 2, 32, 96).double(), torch.randn(64).double()
    found = read(model, inputs, layers=["conv3"], wanted=[[1]] * 3).slopes["conv3"][1] @ direction.numpy()

    def moved(step):
        handle = model.conv3.register_forward_hook(lambda _, __, output: output + step * direction[:, None, None])
        with torch.no_grad():
            logits = model(inputs.flatten(0, 1))[:, 1].unflatten(0, (3, 2)).mean(1)
        handle.remove()
        return logits.numpy()

    np.testing.assert_allclose((moved(1e-6) - moved(-1e-6)) / 2e-6, found, rtol=1e-4)


def test_neighbours_and_number_of_windows_change_nothing():
    torch.manual_seed(0)
    model = heads.GenreCNN(("a", "b"), length=32).eval()
    inputs = [torch.randn(count, 32, 96) for count in (1, 5, 9, 2)]
    together = read(model, inputs, layers=["conv2"], wanted=[[0]] * 4)
    alone = read(model, inputs[2:3], layers=["conv2"], wanted=[[0]])
    np.testing.assert_allclose(together.points["conv2"][2], alone.points["conv2"][0], atol=1e-6)
    np.testing.assert_allclose(together.slopes["conv2"][0][2], alone.slopes["conv2"][0][0], atol=1e-8)


def test_layers_that_are_overwritten_in_place_are_seen_as_they_came_out():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.act, self.output = nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)

        def forward(self, inputs):
            return self.output(self.act(self.first(inputs)))

    model, inputs = InPlace(), torch.randn(2, 1, 4)
    found = read(model, inputs, layers=["first"])
    assert (found.points["first"] < 0).any()
    np.testing.assert_allclose(found.points["first"], model.first(inputs[:, 0]).detach(), atol=1e-6)


@pytest.mark.parametrize("batch_first", [True, False])
def test_a_gru_gives_a_tuple_whose_first_is_read_along_its_last_axis(batch_first):
    torch.manual_seed(0)
    model, inputs = Recurrent(batch_first), torch.randn(3, 2, 9, 5)
    found = read(model, inputs, layers=["gru"], wanted=[[0]] * 3)
    with torch.no_grad():
        states = model.gru(inputs.flatten(0, 1) if batch_first else inputs.flatten(0, 1).transpose(0, 1))[0]
    states = states if batch_first else states.transpose(0, 1)
    np.testing.assert_allclose(found.points["gru"], states.mean(1).unflatten(0, (3, 2)).mean(1), atol=1e-6)
    np.testing.assert_allclose(found.slopes["gru"][0], np.tile(model.output.weight[0].detach(), (3, 1)), atol=1e-6)


def test_a_transformers_channels_are_its_last_axis():
    model, inputs = Attentive().eval(), torch.randn(3, 1, 9, 6)
    found = read(model, inputs, layers=["block", "own"], axes={"own": -1})
    with torch.no_grad():
        block = model.block(inputs[:, 0])
    np.testing.assert_allclose(found.points["block"], block.mean(1), atol=1e-5)
    np.testing.assert_allclose(found.points["own"], torch.tanh(block).mean(1), atol=1e-5)
    with pytest.raises(ValueError, match=r"expected to know which axis of layer 'own', \(1, 9, 6\), has its channels"):
        read(model, inputs, layers=["own"])


def test_a_clip_that_cannot_be_read_has_a_reason_and_no_numbers():
    points = np.random.default_rng(0).normal(size=(24, 16))
    points[5, 3] = np.nan
    clips = encoded(points)

    def cut(clip):
        if clip == clips[7]:
            raise InputError("expected an audio file")
        return windows(clip)

    found = activations.read(Deep(), clips, windows=cut, layers=["first"], wanted=[[0]] * 24)
    assert set(found.reasons) == {5, 7}
    assert found.reasons[7] == "expected an audio file" and "NaN or infinity in layer" in found.reasons[5]
    assert np.isnan(found.points["first"][[5, 7]]).all() and np.isfinite(np.delete(found.logits, [5, 7], 0)).all()
    assert found.asked[0].tolist() == [row for row in range(24) if row not in (5, 7)]
    with pytest.raises(ValueError, match="expected nine clips in ten that can be read, got 2 of 8"):
        activations.read(Deep(), clips[:8], windows=cut, layers=["first"])


@pytest.mark.parametrize("room", [10**9, 200, 0])
def test_clips_are_decoded_once_while_there_is_room_and_networks_see_the_same(room, monkeypatch):
    monkeypatch.setattr(heard_clips, "_ROOM", room)
    torch.manual_seed(0)
    inputs, decoded = torch.randn(12, 1, 16), []
    clips, cut = arrays(inputs)

    def windows(clip):
        decoded.append(clip[0])
        if clip[0] == 3:
            raise InputError("silence")
        return cut(clip)

    heard = heard_clips.Heard(clips, windows)
    for network in (Deep(), Deep(seed=1)):
        again = activations.read(network, heard, windows=heard.windows, layers=["first"], wanted=[[0]] * 12)
        plain = read(network, inputs, layers=["first"], wanted=[[0]] * 12)
        kept = [number for number in range(12) if number != 3]
        np.testing.assert_array_equal(again.points["first"][kept], plain.points["first"][kept])
        np.testing.assert_array_equal(again.slopes["first"][0], plain.slopes["first"][0][kept])
        assert again.reasons == {3: "silence"}
    fitting = {10**9: 11, 200: 3, 0: 0}[room]  # of 64 bytes each
    assert len(decoded) == 12 + 11 - fitting, "a reason takes no room"


def test_a_clip_that_does_not_come_is_an_error_and_no_row_without_numbers():
    class Short(list):
        def __len__(self):
            return super().__len__() + 1

    clips, cut = arrays(torch.randn(4, 1, 16))
    with pytest.raises(ValueError, match="expected 5 clips, got 4"):
        activations.read(Deep(), Short(clips), windows=cut, layers=["first"])


def test_a_network_that_works_in_place_does_not_change_what_the_next_one_sees():
    class Doubling(Deep):
        def forward(self, inputs):
            return super().forward(inputs.mul_(2))

    inputs = torch.ones(4, 1, 16)
    clips, cut = arrays(inputs.clone())
    heard = heard_clips.Heard(clips, cut)
    for network in (Doubling(), Deep()):
        found = activations.read(network, heard, windows=heard.windows, layers=["first"], wanted=[[]] * 4)
    np.testing.assert_array_equal(found.logits, read(Deep(), inputs, layers=["first"], wanted=[[]] * 4).logits)


def test_refuses_layers_that_are_unknown_unused_or_used_twice():
    class Odd(Deep):
        def __init__(self):
            super().__init__()
            self.unused = nn.Linear(2, 2)

        def forward(self, inputs):
            return self.output(self.second(self.first(self.first(inputs)[:, :16])))

    inputs = torch.randn(1, 1, 16)
    with pytest.raises(ValueError, match="expected a layer among first, second, output .*, got 'conv9'"):
        read(Deep(), inputs, layers=["conv9"])
    with pytest.raises(ValueError, match="expected layer 'first' to be used once"):
        read(Odd(), inputs, layers=["first"])
    with pytest.raises(ValueError, match="expected layer 'unused' to be used when the network runs"):
        read(Odd(), inputs, layers=["unused"])


def test_a_layer_that_the_logits_are_not_made_of_is_refused():
    """A GRU's last state is the second of its tuple: slopes by the first would be 0, and look like an answer."""

    class Last(Recurrent):
        def forward(self, inputs):
            return self.output(self.gru(inputs)[1][-1])

    with pytest.raises(ValueError, match="expected logits that are made of what layer 'gru' gives"):
        read(Last(), torch.randn(2, 1, 9, 5), layers=["gru"], wanted=[[0]] * 2)


def test_musicnns_layers_can_be_probed():
    torch.manual_seed(0)
    tagger, names = musicnn.Tagger().eval(), ["timbral", "cnn1", "cnn3", "penultimate"]
    found = read(tagger, torch.rand(2, 1, 187, 96), layers=names, wanted=[[4]] * 2, axes={"timbral": 1})
    assert [found.points[name].shape[1] for name in names] == [408, 64, 64, 200]
    assert all(found.slopes[name][4].shape == found.points[name].shape for name in names)
    np.testing.assert_allclose(found.slopes["penultimate"][4][0], tagger.output.weight[4].detach(), atol=1e-6)
