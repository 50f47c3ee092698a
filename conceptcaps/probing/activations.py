"""What a network's named layers hold of a clip, and how its logits move with them: one row for each clip."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from conceptcaps.errors import InputError
from conceptcaps.workspace.processor import one_thread

Rows = NDArray[np.float64]
Clip = TypeVar("Clip")
One = TypeVar("One", covariant=True)
_BATCH = 4  # windows in one pass of the network
_AT_ONCE = 8  # clips in memory for each thread
_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.RNNBase)
_SECOND = (nn.Conv1d, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.MaxPool1d, nn.MaxPool2d)
_CHANGES_NOTHING = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Dropout, nn.Identity)


class Several(Protocol[One]):
    """A sized collection of items that is read anew at every iteration."""

    def __len__(self) -> int:
        """How many there are."""

    def __iter__(self) -> Iterator[One]:
        """One after the other."""


@dataclass(frozen=True)
class Readings:
    """What ``read`` found in n clips.

    Attributes:
        points: By layer, activations ``(n, channels)``: the mean over positions and windows.
        logits: ``(n, outputs)``, the mean over windows.
        slopes: By layer and output number, ``(k, channels)``: the derivative of that logit when all positions of all
            windows move alike, which is what moving ``points`` means, at the clips that were asked for it.
        asked: By output number, the numbers of those clips ``(k,)``.
        reasons: By clip number, why a clip could not be read; its numbers are NaN.
    """

    points: dict[str, Rows]
    logits: Rows
    slopes: dict[str, dict[int, Rows]]
    asked: dict[int, NDArray[np.int64]]
    reasons: dict[int, str]


def read(
    network: nn.Module,
    clips: Several[Clip],
    *,
    windows: Callable[[Clip], Tensor],
    layers: Sequence[str],
    axes: Mapping[str, int] | None = None,
    wanted: Sequence[Sequence[int]] | None = None,
    description: str = "activations",
) -> Readings:
    """Activations, logits and slopes of clips, each read once; results do not depend on its neighbours.

    Args:
        network: Gives logits ``(windows, outputs)``, or these and a dictionary of layers' outputs. Each core has a
            copy: on two threads of its own a small network is up to thirty times slower than on one.
        clips: Encoded audio files, read a few at a time, or whatever else ``windows`` takes.
        windows: Makes the network's input ``(windows, ...)`` of a clip; an ``InputError`` is the clip's, not the run's.
        layers: Names of submodules, each used once in a pass. Of one that gives a tuple, as a GRU, the first is read.
        axes: Channel axis of layers for which it cannot be told: 1 for ``(n, channels, ...)``, -1 for
            ``(n, sequence, channels)``. Convolutions have the first, recurrent, attention and linear layers the second.
        wanted: Output numbers whose slopes each clip gives; none if None.
        description: Label of the progress bar.

    Raises:
        InputError: If a layer is none of the network's, its channel axis cannot be told or no logit is made of it, or
            more than a tenth of the clips cannot be read.
    """
    _modules(network, layers)
    threads = torch.get_num_threads()
    readers: SimpleQueue[_Reader] = SimpleQueue()
    for _ in range(threads):
        readers.put(_Reader(network, layers, axes or {}))

    def work(clip: Clip, outputs: Sequence[int]) -> _Reading | str:
        try:
            inputs = windows(clip)
        except InputError as error:
            return str(error)
        reader = readers.get()
        try:
            return reader.read(inputs, outputs)
        finally:
            readers.put(reader)

    table = _Table(len(clips), layers)
    waiting = iter(tqdm(clips, desc=description, unit="clip"))
    done = 0
    with one_thread(), ThreadPoolExecutor(threads) as pool:
        while some := list(islice(waiting, _AT_ONCE * threads)):
            asked = [() if wanted is None else wanted[done + place] for place in range(len(some))]
            for reading in pool.map(work, some, asked):
                table.add(done, reading)
                done += 1
    if done != len(clips):
        raise InputError(f"expected {len(clips)} clips, got {done} of them")
    reasons = table.reasons
    if 10 * len(reasons) > done or len(reasons) == done:
        first = next(iter(reasons.items()), (0, "no clips"))
        raise InputError(
            f"expected nine clips in ten that can be read, got {len(reasons)} of {done} that cannot; "
            f"clip {first[0]}: {first[1]}"
        )
    return table.readings()


@dataclass(frozen=True)
class _Reading:
    """One clip: logits, and by layer its point and its slopes by output number."""

    logits: Rows
    points: list[Rows]
    slopes: dict[int, list[Rows]]


class _Reader:
    """A copy of the network that lets the outputs of its layers be seen and derived by."""

    def __init__(self, network: nn.Module, layers: Sequence[str], axes: Mapping[str, int]) -> None:
        with torch.no_grad():  # parameters of a scripted module's copy would else be results of copying
            self._network = copy.deepcopy(network).eval()
        for values in self._network.parameters():
            values.requires_grad_(False)
        self._layers, self._axes = layers, axes
        self._seen: dict[str, Tensor] = {}
        self._modules = _modules(self._network, layers)
        for name, module in self._modules.items():
            module.register_forward_hook(self._hook(name))

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def keep(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            tensor = output[0] if isinstance(output, tuple) else output
            if name in self._seen:
                raise InputError(f"expected layer {name!r} to be used once in a pass, got a second time")
            tensor = tensor if tensor.requires_grad else tensor.detach().requires_grad_()
            self._seen[name] = tensor
            onward = tensor.clone()  # the next layer may work in place
            return (onward, *output[1:]) if isinstance(output, tuple) else onward

        return keep

    def read(self, inputs: Tensor, outputs: Sequence[int]) -> "_Reading | str":
        """What the windows of a clip give, or why they give nothing."""
        logits: Rows | float = 0.0
        points: list[Rows | float] = [0.0] * len(self._layers)
        slopes: dict[int, list[Rows | float]] = {output: [0.0] * len(self._layers) for output in outputs}
        share = 1 / len(inputs)
        for batch in inputs.split(_BATCH):
            self._seen.clear()
            with torch.enable_grad(), _unoptimised():
                answer = self._network(batch if self._modules else batch.detach().requires_grad_())
            if isinstance(answer, tuple):
                answer, shown = answer
                self._seen |= {name: shown[name] for name in self._layers if name in shown}
            absent = [name for name in self._layers if name not in self._seen]
            if absent:
                raise InputError(f"expected layer {absent[0]!r} to be used when the network runs, got no output of it")
            logits = logits + answer.detach().double().sum(0).numpy() * share
            tensors = [self._seen[name] for name in self._layers]
            for place, tensor in enumerate(tensors):
                points[place] = points[place] + self._pool(place, tensor, len(batch)).mean(1).sum(0) * share
            for output in outputs:
                logit = answer[:, output].sum()
                found: Sequence[Tensor | None] = [None] * len(tensors)
                if logit.requires_grad:
                    found = torch.autograd.grad(logit, tensors, retain_graph=True, allow_unused=True)
                for place, slope in enumerate(found):
                    if slope is None:
                        raise InputError(
                            f"expected logits that are made of what layer {self._layers[place]!r} gives (the first of "
                            "a tuple), got none; name a layer nearer to the output"
                        )
                    moved = self._pool(place, slope, len(batch)).sum((0, 1)) * share
                    slopes[output][place] = slopes[output][place] + moved
        for name, values in (("output", logits), *zip(self._layers, points, strict=True)):
            if not np.isfinite(values).all():
                return f"expected finite activations, got NaN or infinity in layer {name!r}"
        return _Reading(
            np.asarray(logits),
            [np.asarray(point) for point in points],
            {output: [np.asarray(slope) for slope in found] for output, found in slopes.items()},
        )

    def _pool(self, place: int, tensor: Tensor, windows: int) -> Rows:
        """A layer's output as ``(windows, positions, channels)``."""
        name = self._layers[place]
        module, values = self._modules.get(name), tensor.detach().double()
        if getattr(module, "batch_first", True) is False and values.ndim == 3:
            values = values.transpose(0, 1)
        if len(values) != windows:
            raise InputError(f"expected {windows} windows in layer {name!r}, got shape {tuple(tensor.shape)}")
        if values.ndim == 2:
            return values[:, None].numpy()
        axis = self._axes.get(name, _axis(module))
        if axis is None:
            raise InputError(
                f"expected to know which axis of layer {name!r}, {tuple(tensor.shape)}, has its channels; "
                "say 1 or -1 in the model's axes"
            )
        return values.movedim(axis, -1).flatten(1, -2).numpy()


def _unoptimised() -> AbstractContextManager[None]:
    """Run scripted modules as they are written: optimised, they lose the gradients of layers that they show."""
    return torch.jit.optimized_execution(False)  # type: ignore[attr-defined]


def _axis(module: nn.Module | None) -> int | None:
    """Channel axis of what a module gives, or None where its type does not tell."""
    if isinstance(module, _LAST):
        return -1
    if isinstance(module, _SECOND):
        return 1
    if isinstance(module, nn.Sequential):
        return next((_axis(part) for part in reversed(module) if not isinstance(part, _CHANGES_NOTHING)), None)
    return None


def _modules(network: nn.Module, layers: Sequence[str]) -> dict[str, nn.Module]:
    """The submodules of these names; none for a scripted network, which must show its layers itself."""
    if isinstance(network, torch.jit.ScriptModule):
        return {}
    known = dict(network.named_modules())
    for layer in layers:
        if layer not in known or not layer:
            names = ", ".join(name for name, _ in network.named_children())
            raise InputError(f"expected a layer among {names} (or one inside them), got {layer!r}")
    return {layer: known[layer] for layer in layers}


class _Table:
    """The clips' readings one below the other, in the memory that they will need in the end and no more."""

    def __init__(self, count: int, layers: Sequence[str]) -> None:
        self._count, self._layers = count, layers
        self._logits = np.empty((0, 0))
        self._points: list[Rows] = []
        self._slopes: dict[int, list[list[Rows]]] = {}
        self._asked: dict[int, list[int]] = {}
        self.reasons: dict[int, str] = {}

    def add(self, number: int, reading: _Reading | str) -> None:
        """Take what a clip gives."""
        if isinstance(reading, str):
            self.reasons[number] = reading
            return
        if not len(self._logits):
            self._logits = np.full((self._count, len(reading.logits)), np.nan)
            self._points = [np.full((self._count, len(point)), np.nan) for point in reading.points]
        self._logits[number] = reading.logits
        for points, point in zip(self._points, reading.points, strict=True):
            points[number] = point
        for output, slopes in reading.slopes.items():
            self._slopes.setdefault(output, []).append(slopes)
            self._asked.setdefault(output, []).append(number)

    def readings(self) -> Readings:
        """All that was added."""
        outputs = sorted(self._asked)
        slopes = {
            name: {output: np.stack([slopes[place] for slopes in self._slopes[output]]) for output in outputs}
            for place, name in enumerate(self._layers)
        }
        points = dict(zip(self._layers, self._points, strict=True))
        asked = {output: np.array(self._asked[output], dtype=np.int64) for output in outputs}
        return Readings(points, self._logits, slopes, asked, self.reasons)
