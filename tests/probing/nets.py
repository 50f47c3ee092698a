"""Tiny networks whose use of their inputs is known by construction, and clips that are plain arrays."""

import numpy as np
import torch
from torch import nn

from conceptcaps.probing.concepts import Concept


class Linear(nn.Module):
    """Logits are known sums of hidden units: output 0 rises with unit 0 and falls with unit 1, output 1 reversed."""

    def __init__(self, width=8):
        super().__init__()
        self.hidden = nn.Identity()
        self.output = nn.Linear(width, 2, bias=False)
        with torch.no_grad():
            self.output.weight.zero_()
            self.output.weight[0, :2] = torch.tensor([1.0, -1.0])
            self.output.weight[1, :2] = torch.tensor([-1.0, 1.0])

    def forward(self, inputs):
        return self.output(self.hidden(inputs))


class Deep(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Sequential(nn.Linear(16, 32), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(32, 16), nn.ReLU())
        self.output = nn.Linear(16, 3)

    def forward(self, inputs):
        return self.output(self.second(self.first(inputs)))


def encoded(points):
    """Rows ``(n, d)`` as clips, each one window; ``windows`` reads them back."""
    return [np.asarray(row, dtype=np.float32).tobytes() for row in points]


def windows(clip):
    return torch.from_numpy(np.frombuffer(clip, dtype=np.float32).copy())[None]


def concept(name, label, covariates=None, groups=None):
    covariates = np.zeros((len(label), 0), dtype=bool) if covariates is None else covariates
    groups = np.arange(len(label)) if groups is None else groups
    names = tuple(f"tag {column}" for column in range(covariates.shape[1]))
    return Concept(name, np.asarray(label, dtype=float), covariates, names, groups)
