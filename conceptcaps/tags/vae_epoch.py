"""One epoch of the tag VAE's training, with gradients written out and all parameters in one vector.

Its batches are so small that autograd and an optimiser over eight tensors take longer than the arithmetic.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.adamw import adamw

from conceptcaps.tags.vae import BetaVAE, loss

_PARTIAL = 0.5  # share of rows that the encoder sees in part while it learns
_WEIGHT_DECAY = 0.01
_LEVELS = 1 << 16  # of the numbers behind yes or no draws


class AdamW(NamedTuple):
    """AdamW over all parameters as one vector; parameters and their gradients are views of it.

    Attributes:
        vector: Every parameter.
        gradient: Their gradients.
        mean: Running mean of the gradients.
        square: Running mean of their squares.
        steps: Steps taken, a scalar.
    """

    vector: Tensor
    gradient: Tensor
    mean: Tensor
    square: Tensor
    steps: Tensor

    @classmethod
    def of(cls, model: nn.Module) -> "AdamW":
        """Move a model's parameters into a vector, and give each a gradient."""
        parameters = list(model.parameters())
        vector = nn.utils.parameters_to_vector(parameters).detach()
        nn.utils.vector_to_parameters(vector, parameters)
        gradient, mean, square = (torch.zeros_like(vector) for _ in range(3))
        sizes = [parameter.numel() for parameter in parameters]
        for parameter, part in zip(parameters, gradient.split(sizes), strict=True):
            parameter.grad = part.view_as(parameter)
        return cls(vector, gradient, mean, square, torch.zeros(()))

    def step(self, *, learning_rate: float) -> None:
        """Follow the gradient.

        References:
            Loshchilov and Hutter, Decoupled weight decay regularization (2019), arXiv 1711.05101.
        """
        adamw(
            [self.vector],
            [self.gradient],
            [self.mean],
            [self.square],
            [],
            [self.steps],
            fused=True,
            lr=learning_rate,
            beta1=0.9,
            beta2=0.999,
            eps=1e-8,
            weight_decay=_WEIGHT_DECAY,
            amsgrad=False,
            maximize=False,
        )


def train_epoch(
    model: BetaVAE,
    optimiser: AdamW,
    rows: Tensor,
    *,
    beta: float,
    learning_rate: float,
    batch_size: int,
    generator: np.random.Generator,
) -> dict[str, float]:
    """One pass over the rows in random order; the last, smaller batch is shared out among the others.

    Args:
        model: Its parameters are those of ``optimiser``.
        optimiser: Takes a step a batch.
        rows: Tags of 0 and 1 ``(n, tags)``.
        beta: Weight of the KL term.
        learning_rate: Of every step.
        batch_size: Rows in a step.
        generator: Gives order, what the encoder sees, latents and dropout.

    Returns:
        ``train/loss`` and ``train/kl`` (nats, means over rows).
    """
    with torch.inference_mode():
        count, parts = len(rows), max(1, len(rows) // batch_size)
        shuffled = rows[torch.from_numpy(generator.permutation(count))]
        part, share = generator.random((2, count, 1))
        seen = shuffled * _coins(np.where(part < _PARTIAL, share, 1.0), shuffled.shape, generator=generator)
        noise = torch.from_numpy(generator.standard_normal((count, model.config["latent_dim"]), dtype=np.float32))
        keep, shape = 1 - model.config["dropout"], (count, model.config["hidden_dim"])
        kept = [_coins(keep, shape, generator=generator).div_(keep) for _ in range(2)]
        encoder, decoder = Half.of(model.encoder), Half.of(model.decoder)
        batches = zip(*(whole.tensor_split(parts) for whole in (shuffled, seen, noise, *kept)), strict=True)
        outputs = []
        for batch in batches:
            outputs.append(gradients(encoder, decoder, *batch, beta=beta))
            optimiser.step(learning_rate=learning_rate)
        logits, code = (torch.cat(tensors) for tensors in zip(*outputs, strict=True))
        value, kl = loss(logits, shuffled, *code.chunk(2, 1), beta=beta)
    return {"train/loss": float(value), "train/kl": float(kl)}


def _coins(share: float | NDArray[np.float64], shape: Sequence[int], *, generator: np.random.Generator) -> Tensor:
    """1 with a probability, ``share``, that is rounded to a multiple of 2**-16, or 0."""
    drawn = generator.integers(_LEVELS, size=shape, dtype=np.uint16)
    return torch.from_numpy((drawn < np.rint(np.asarray(share) * _LEVELS).astype(np.float32)).astype(np.float32))


class Saved(NamedTuple):
    """What a half's gradients need of its forward pass."""

    inputs: Tensor
    hidden: Tensor
    passed: Tensor
    norm: tuple[Tensor, ...]


class Half(NamedTuple):
    """Encoder or decoder: linear, batch normalisation if any, ReLU, dropout, linear.

    Attributes:
        first: Weights of the first layer.
        first_bias: Its biases.
        last: Weights of the last layer.
        last_bias: Its biases.
        norm: Batch normalisation behind the first layer, or None.
    """

    first: Tensor
    first_bias: Tensor
    last: Tensor
    last_bias: Tensor
    norm: nn.BatchNorm1d | None

    @classmethod
    def of(cls, layers: nn.Sequential) -> "Half":
        """The layers of ``BetaVAE``'s encoder or decoder."""
        norm = next((layer for layer in layers if isinstance(layer, nn.BatchNorm1d)), None)
        first, last = layers[0], layers[-1]
        assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
        return cls(first.weight, first.bias, last.weight, last.bias, norm)

    def forward(self, inputs: Tensor, kept: Tensor) -> tuple[Tensor, Saved]:
        """Outputs ``(n, outputs)`` of inputs, hidden units multiplied with ``kept`` ``(n, hidden_dim)``."""
        hidden = nn.functional.linear(inputs, self.first, self.first_bias)
        saved: tuple[Tensor, ...] = ()
        if self.norm is not None:
            own = self.norm
            running = (own.running_mean, own.running_var)
            before = hidden
            hidden, *moments = torch.native_batch_norm(before, own.weight, own.bias, *running, True, 0.1, own.eps)
            saved = (before, *moments)
        passed = torch.ops.aten.threshold_backward(kept, hidden, 0)  # what was kept of the units that are active
        hidden.mul_(passed)
        return nn.functional.linear(hidden, self.last, self.last_bias), Saved(inputs, hidden, passed, saved)

    def backward(self, slope: Tensor, saved: Saved) -> Tensor:
        """Write the parameters' gradients, given those of the outputs; give those of what the first layer put out."""
        torch.mm(slope.t(), saved.hidden, out=self.last.grad)
        torch.sum(slope, 0, out=self.last_bias.grad)
        inner = torch.mm(slope, self.last).mul_(saved.passed)
        if self.norm is not None:
            own, (before, *moments) = self.norm, saved.norm
            running = (own.running_mean, own.running_var)
            inner, *found = torch.ops.aten.native_batch_norm_backward(
                inner, before, own.weight, *running, *moments, True, own.eps, [True, True, True]
            )
            for parameter, gradient in zip(own.parameters(), found, strict=True):
                assert parameter.grad is not None
                parameter.grad.copy_(gradient)
        torch.mm(inner.t(), saved.inputs, out=self.first.grad)
        torch.sum(inner, 0, out=self.first_bias.grad)
        return inner


def gradients(
    encoder: Half, decoder: Half, rows: Tensor, seen: Tensor, noise: Tensor, *kept: Tensor, beta: float
) -> tuple[Tensor, Tensor]:
    """Write the gradients of ``vae.loss`` into the parameters.

    Args:
        encoder: Of the model.
        decoder: Of the model.
        rows: Tags of 0 and 1 ``(n, tags)`` that the decoder must give.
        seen: What the encoder sees of them.
        noise: Standard normal draws ``(n, latent_dim)``.
        kept: Factors of the encoder's and the decoder's hidden units ``(n, hidden_dim)``: dropout, scaled.
        beta: Weight of the KL term.

    Returns:
        Logits ``(n, tags)``, and posterior means and log-variances side by side.
    """
    weight = beta / len(rows)
    code, own = encoder.forward(seen, kept[0])
    mean, log_variance = code.chunk(2, 1)
    shift = (log_variance / 2).exp_().mul_(noise)
    logits, other = decoder.forward(mean + shift, kept[1])
    slope = torch.sigmoid(logits).sub_(rows).div_(len(rows))
    latent = torch.mm(decoder.backward(slope, other), decoder.first)
    spread = torch.addcmul(torch.expm1(log_variance).mul_(weight / 2), latent, shift, value=0.5)
    encoder.backward(torch.cat([torch.add(latent, mean, alpha=weight), spread], 1), own)
    return logits, code
