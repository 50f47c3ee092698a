"""What a user may bring: a CNN, a transformer and a GRU of their own, each as one function that gives a ``Probe``."""

import torch
from torch import nn

from conceptcaps.audio import spectrum
from conceptcaps.probing.networks import Probe

OUTPUTS = ("techno", "classical", "metal")


def windows(clip):
    frames = spectrum.spectrum(clip)
    return torch.from_numpy(spectrum.to_length(frames, length=120).reshape(2, 60, 96))


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(96, 12, 5), nn.BatchNorm1d(12), nn.ReLU())
        self.second = nn.Sequential(nn.Conv1d(12, 16, 5), nn.ReLU())
        self.output = nn.Linear(16, 3)

    def forward(self, log_mel):
        return self.output(self.second(self.first(log_mel.transpose(1, 2))).mean(2))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(96, 16)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.output = nn.Linear(16, 3)

    def forward(self, log_mel):
        return self.output(self.block(self.project(log_mel)).mean(1))


class Gru(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.output = nn.GRU(96, 16, batch_first=True), nn.Linear(16, 3)

    def forward(self, log_mel):
        return self.output(self.gru(log_mel)[0].mean(1))


def probe(network, *layers):
    torch.manual_seed(0)
    return Probe(network(), OUTPUTS, layers, windows)


def cnn():
    return probe(Cnn, "first", "second")


def transformer():
    return probe(Transformer, "project", "block")


def gru():
    return probe(Gru, "gru")


def nothing():
    return None
