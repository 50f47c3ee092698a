"""Activations and gradients of a network's named layers, one row for each clip."""

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from captum.attr import LayerActivation, LayerGradientXActivation
from numpy.typing import NDArray
from torch import Tensor, nn

from conceptcaps.threads import one_thread

Attribute = Callable[[Tensor], list[Tensor]]
_BATCH = 4  # windows in one pass of the network


def activations(network: nn.Module, inputs: Tensor, *, layers: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Activations of every clip in every layer, averaged over windows and positions: ``(n, channels)``.

    Args:
        network: In evaluation mode.
        inputs: ``(n, windows, ...)``; the network takes ``(n * windows, ...)``.
        layers: Names of submodules whose output is ``(n * windows, channels, ...)``.

    Raises:
        ValueError: If a layer is none of the network's.
    """

    def probe(copied: nn.Module) -> Attribute:
        attribution = LayerActivation(copied, _modules(copied, layers))
        return lambda batch: attribution.attribute(batch)

    return _collect(network, inputs, layers=layers, probe=probe, pool=np.mean)


def gradients(
    network: nn.Module, inputs: Tensor, *, layers: Sequence[str], target: int
) -> dict[str, NDArray[np.float64]]:
    """Gradient of a clip's logit, the mean over its windows, in the space of ``activations``: ``(n, channels)``.

    It is the derivative when *all* positions of all windows move alike, which is what moving their mean along a
    direction means: the sum over positions, where the activation is the mean.

    Args:
        network: In evaluation mode, giving logits ``(n * windows, outputs)``.
        inputs: ``(n, windows, ...)``.
        layers: Names of submodules.
        target: Number of the output.

    Raises:
        ValueError: As ``activations``.
    """

    def probe(copied: nn.Module) -> Attribute:
        attribution = LayerGradientXActivation(copied, _modules(copied, layers), multiply_by_inputs=False)
        return lambda batch: attribution.attribute(batch, target=target)

    found = _collect(network, inputs, layers=layers, probe=probe, pool=np.sum)
    return {layer: values / inputs.shape[1] for layer, values in found.items()}


def _modules(network: nn.Module, layers: Sequence[str]) -> list[nn.Module]:
    known = dict(network.named_modules())
    for layer in layers:
        if layer not in known or not layer:
            names = ", ".join(name for name, _ in network.named_children())
            raise ValueError(f"expected a layer among {names} (or one inside of them), got {layer!r}")
    return [known[layer] for layer in layers]


def _collect(
    network: nn.Module,
    inputs: Tensor,
    *,
    layers: Sequence[str],
    probe: Callable[[nn.Module], Attribute],
    pool: Callable[..., NDArray[np.float64]],
) -> dict[str, NDArray[np.float64]]:
    """What a probe gives for every layer, pooled over windows and positions: a copy of the network on each core.

    Captum hooks into modules, so that threads cannot share one; and on two threads of its own musicnn is thirty times
    slower than on one.
    """
    batches = inputs.split(max(1, _BATCH // inputs.shape[1]))
    workers = max(1, min(torch.get_num_threads(), len(batches)))
    probes = [probe(copy.deepcopy(network)) for _ in range(workers)]

    def work(worker: int) -> list[list[NDArray[np.float64]]]:
        return [
            [
                pool(output.detach().double().reshape(*batch.shape[:2], output.shape[1], -1).numpy(), axis=(1, 3))
                for output in probes[worker](batch.flatten(0, 1))
            ]
            for batch in batches[worker::workers]
        ]

    with one_thread(), ThreadPoolExecutor(workers) as pool_of_threads:
        done = list(pool_of_threads.map(work, range(workers)))
    ordered = [done[number % workers][number // workers] for number in range(len(batches))]
    return {layer: np.concatenate([parts[at] for parts in ordered]) for at, layer in enumerate(layers)}
