"""Networks to probe: musicnn, our classifiers and a user's own, with their inputs, outputs and layers."""

import copy
import importlib
import json
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conceptcaps.audio import resampling, spectrum, waveform
from conceptcaps.errors import InputError
from conceptcaps.listening import musicnn
from conceptcaps.probing import activations, concepts
from conceptcaps.probing.activations import Readings
from conceptcaps.probing.clips import Clips
from conceptcaps.probing.heard import Heard
from conceptcaps.tags.taxonomy import Taxonomy

MUSICNN = {"musicnn_mtt": "MTT", "musicnn_msd": "MSD"}
MUSICNN_LAYERS = ("timbral", "cnn3", "penultimate")
MUSICNN_FRONT = ("timbral", "temporal", "cnn1", "cnn2", "cnn3")
MUSICNN_AXES = {"timbral": 1, "temporal": 1}
_WINDOWS = 10  # of a clip, at most
_FEWEST, _MOST = 5, 50  # clips of a target that `targets` takes
MODEL, _FACTS = "model.pt", "model.json"


@dataclass(frozen=True)
class Probe:
    """A network and what is needed to probe it.

    Attributes:
        network: Gives logits ``(windows, outputs)``.
        outputs: Names of the logits.
        layers: Layers that are probed unless told otherwise. Between the last hidden layer and the output there is one
            linear map, where every score is 0 or 1, so none of them should be that layer.
        windows: An encoded clip to the network's input ``(windows, ...)``; raises ``InputError`` for one it cannot use.
        axes: Channel axis of layers whose type does not tell it: 1 for ``(n, channels, ...)``, -1 for ``(n, ..., d)``.
        every: All layers from the input on, for who asks what each of them holds; ``layers`` where it is empty.
    """

    network: nn.Module
    outputs: tuple[str, ...]
    layers: tuple[str, ...]
    windows: Callable[[bytes], Tensor]
    axes: Mapping[str, int] = field(default_factory=dict)
    every: tuple[str, ...] = ()

    def read(
        self,
        clips: Clips | Heard,
        *,
        layers: Sequence[str] = (),
        wanted: Sequence[Sequence[int]] | None = None,
        description: str = "activations",
    ) -> Readings:
        """Activations, logits and, where ``wanted``, slopes of clips (``activations.read``)."""
        asked: dict[str, Any] = {"layers": layers, "axes": self.axes, "description": description}
        asked["wanted"] = [()] * len(clips) if wanted is None else wanted
        if isinstance(clips, Heard):
            return activations.read(self.network, clips, windows=clips.windows, **asked)
        return activations.read(self.network, clips, windows=self.windows, **asked)

    def randomised(self, *, seed: int) -> "Probe":
        """The same network with new random weights: a control, for what it depends on nobody has taught it."""
        with torch.no_grad():
            network = copy.deepcopy(self.network)
        randomise(network, seed=seed)
        return replace(self, network=network.eval())


def randomise(network: nn.Module, *, seed: int) -> None:
    """Give a network new random weights, in place.

    Layers that know how are initialised anew; the entries of other parameters are shuffled.
    """
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for module in network.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
            else:
                for values in module.parameters(recurse=False):
                    order = torch.randperm(values.numel()).to(values.device)
                    values.copy_(values.flatten()[order].view_as(values))


def of_musicnn(name: str) -> Probe:
    """Musicnn's tagger, by its name in ``MUSICNN``; a clip's first ten windows of 3 s, at least one."""
    model = musicnn.load(MUSICNN[name])
    every = (*MUSICNN_FRONT, "penultimate", "output")
    return Probe(model.tagger, model.tags, MUSICNN_LAYERS, log_mel_windows, MUSICNN_AXES, every)


def log_mel_windows(clip: bytes) -> Tensor:
    """Windows of 3 s as musicnn sees them, ``(windows, 187, 96)``, at most ten; a shorter clip is repeated to one."""
    frames = spectrum.spectrum(clip)
    return torch.from_numpy(spectrum.windows(frames, count=min(max(1, len(frames) // spectrum.FRAMES), _WINDOWS)))


def of_function(name: str) -> Probe:
    """The probe that a user's ``module:function`` returns; modules of the working folder can be imported too.

    Raises:
        InputError: If there is no such function, or it gives no ``Probe``.
    """
    module_name, _, function_name = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"expected module:function that gives a networks.Probe, got {name!r}: {error}") from error
    probe = function()
    if not isinstance(probe, Probe):
        raise InputError(f"expected {name} to give a conceptcaps.probing.networks.Probe, got {type(probe).__name__}")
    return replace(probe, network=probe.network.eval())


class _Stage(nn.Module):
    """A scripted module inside of a plain one, whose output can be seen."""

    def __init__(self, scripted: nn.Module) -> None:
        super().__init__()
        self.scripted = scripted

    def forward(self, inputs: Tensor) -> Tensor:
        return self.scripted(inputs)


class _Stages(nn.Module):
    """The stages of a TorchScript ``Sequential``, called one by one, so that their outputs can be seen."""

    def __init__(self, scripted: nn.Module) -> None:
        super().__init__()
        for name, stage in scripted.named_children():
            self.add_module(name, _Stage(stage))

    def forward(self, inputs: Tensor) -> Tensor:
        for stage in self.children():
            inputs = stage(inputs)
        return inputs


def of_torchscript(folder: Path) -> Probe:
    """A TorchScript model in a folder: ``model.pt``, and ``model.json`` that says how to ask it.

    ``model.json`` has ``outputs`` (names of the logits), ``layers``, ``sample_rate`` (Hz), ``seconds`` (of a window)
    and where needed ``input`` (``waveform``, ``(n, samples)``, the default; or ``log_mel``, ``(n, frames, 96)`` at
    16 kHz) and ``axes`` (channel axis by layer). A scripted ``Sequential`` has its stages as layers. Any other module
    must show its layers itself, by giving logits and a dictionary of layers' outputs: inside of a scripted module
    nothing can be seen from without.

    Raises:
        InputError: If a file is missing or says too little.
    """
    for name in (MODEL, _FACTS):
        if not (folder / name).exists():
            raise InputError(f"expected {MODEL} and {_FACTS} in {folder}, got no {name}")
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    missing = {"outputs", "layers", "sample_rate", "seconds"} - set(facts)
    if missing:
        raise InputError(f"expected outputs, layers, sample_rate and seconds in {folder / _FACTS}, got no {missing}")
    scripted = torch.jit.load(folder / MODEL, map_location="cpu").eval()
    network = _Stages(scripted) if scripted.original_name == "Sequential" else scripted

    def windows(clip: bytes) -> Tensor:
        rate = int(facts["sample_rate"])
        sound, own_rate = waveform.decode(clip)
        mono = resampling.resample(waveform.to_mono(sound), own_rate, rate)[0]
        length = round(facts["seconds"] * rate)
        count = min(max(1, len(mono) // length), _WINDOWS)
        cut = torch.from_numpy(np.resize(mono, count * length).reshape(count, length))
        return spectrum.LogMel()(cut) if facts.get("input") == "log_mel" else cut

    return Probe(network, tuple(facts["outputs"]), tuple(facts["layers"]), windows, facts.get("axes", {}))


# --- targets ----------------------------------------------------------------------------------------------------------


def targets(
    probe: Probe,
    clips: pd.DataFrame,
    *,
    taxonomy: Taxonomy,
    names: str,
    most: int,
    seed: int,
    among: NDArray[np.bool_] | None = None,
) -> dict[str, NDArray[np.int64]]:
    """Clips of every target: those with the tags that the output's name stands for.

    A name stands for the tag of that name, or for what the matcher finds in it (musicnn's ``slow`` is ``slow tempo``),
    or for a folder of that name.

    Args:
        probe: Network with named outputs.
        clips: Column ``present``.
        taxonomy: What tags imply, and the matcher.
        names: Comma-separated outputs; ``auto`` takes those with most clips, one for each tag.
        most: Most targets for ``auto``.
        seed: Seed of the choice of 50 clips where a target has more: each costs a pass back through the network.
        among: Mask of the clips that may be taken; all if None.

    Returns:
        Row numbers by name of the output.

    Raises:
        InputError: If a name is no output, stands twice, or has fewer than five clips.
    """
    found: dict[str, NDArray[np.int64]] = {}
    seen = set()
    for name in named_outputs(probe, names):
        tags = meaning(name, taxonomy=taxonomy)
        rows = np.flatnonzero(belongs(name, clips, taxonomy=taxonomy) & (True if among is None else among))
        if names == "auto" and (tags in seen or len(rows) < _FEWEST):
            continue
        if len(rows) < _FEWEST:
            raise InputError(f"expected {_FEWEST} clips or more of target {name!r}, got {len(rows)}")
        seen.add(tags)
        found[name] = rows
    if not found:
        raise InputError(f"expected an output with {_FEWEST} clips or more among {', '.join(probe.outputs)}, got none")
    ranked = sorted(found, key=lambda name: -len(found[name]))
    generators = {name: np.random.default_rng([seed, zlib.crc32(name.encode())]) for name in found}
    return {
        name: np.sort(generators[name].permutation(found[name])[:_MOST])
        for name in (ranked[:most] if names == "auto" else found)
    }


def named_outputs(probe: Probe, names: str) -> list[str]:
    """Outputs that a comma-separated text names; ``auto`` names all.

    Raises:
        InputError: If a name is no output or stands twice.
    """
    chosen = list(probe.outputs) if names == "auto" else [name.strip() for name in names.split(",")]
    concepts.unique(chosen, what="targets")
    for name in chosen:
        if name not in probe.outputs:
            raise InputError(f"expected targets among {', '.join(probe.outputs)}, got {name!r}")
    return chosen


def meaning(output: str, *, taxonomy: Taxonomy) -> tuple[str, ...]:
    """Tags that the name of an output stands for; the name itself where it is no tag and the matcher finds none."""
    return (output,) if output in taxonomy.tags else tuple(taxonomy.match(output)) or (output,)


def belongs(output: str, clips: pd.DataFrame, *, taxonomy: Taxonomy) -> NDArray[np.bool_]:
    """Whether each clip is one of an output's class."""
    asked, known = set(meaning(output, taxonomy=taxonomy)), set(taxonomy.tags)
    return np.array([output in tags or asked <= taxonomy.closure(set(tags) & known) for tags in clips["present"]])


def truth(output: str, clips: pd.DataFrame, *, taxonomy: Taxonomy) -> NDArray[np.float64]:
    """Whether each clip is one of an output's class: 1, 0 for one that surely is not, NaN where that is not known."""
    tags = [tag for tag in meaning(output, taxonomy=taxonomy) if tag in taxonomy.tags]
    lacks = [concepts.lacks(tag, clips, taxonomy=taxonomy) for tag in tags]
    surely = np.any(lacks, axis=0) if lacks else np.ones(len(clips), dtype=bool)
    return np.where(belongs(output, clips, taxonomy=taxonomy), 1.0, np.where(surely, 0.0, np.nan))
