"""The encoder zoo: networks that hear, by name, and what each of their layers holds of clips."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from conceptcaps.errors import InputError
from conceptcaps.listening import embeddings
from conceptcaps.probing import hidden_states, networks, registered
from conceptcaps.probing.clips import Clips
from conceptcaps.probing.concepts import unique
from conceptcaps.probing.hidden_states import Model
from conceptcaps.probing.networks import Probe
from conceptcaps.workspace import hashing
from conceptcaps.workspace.spool import Spool

HELP = (
    "by commas: musicnn_mtt, musicnn_msd, what run_tcav takes as classifier, clap:<checkpoint>, or a folder or Hub id "
    "(owner/name@revision) of an audio encoder such as MERT, or of MusicGen"
)
_CLAP = "clap:"
_HUB = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Encoder:
    """An audio network.

    Attributes:
        name: As it was asked for.
        version: What its weights are: a hash, or a commit on the Hub; the name where that says it.
        read: What each layer, from the input on, holds of each clip: ``(n, d)``, means over time, NaN where a clip
            could not be read. With a seed the network has random weights. Raises ``InputError`` where it cannot be
            used.
    """

    name: str
    version: str
    read: Callable[[Clips, int | None], Mapping[str, Rows]]


def named(names: str, *, fetch: Callable[[str], Path], cache: Path) -> list[Encoder]:
    """The encoders that a comma-separated text names, looked up before any clip is read.

    Large models are opened when they are read, one at a time.

    Args:
        names: As ``HELP`` says.
        fetch: Gives the file or folder of a URI or path.
        cache: Folder that keeps what pretrained models made of clips (``embeddings.stream``).

    Raises:
        InputError: If one is not known or stands twice.
    """
    chosen = [name.strip() for name in names.split(",")]
    unique(chosen, what="encoders")
    return [_find(name, fetch=fetch, cache=cache) for name in chosen]


def _find(name: str, *, fetch: Callable[[str], Path], cache: Path) -> Encoder:
    if name.startswith(_CLAP):
        checkpoint = fetch(name.removeprefix(_CLAP))
        _, sha256 = hidden_states.of_clap(checkpoint)
        return _pretrained(name, sha256, lambda: hidden_states.of_clap(checkpoint)[0], cache=cache)
    if name in networks.MUSICNN or (":" in name and "/" not in name):
        return _own(name, registered.probe(name, fetch=fetch)[0])
    place = name
    if "://" in name or name.startswith(("runs:/", "models:/")) or Path(name).exists():
        folder = fetch(name)
        if (folder / networks.MODEL).exists() or _is_classifier(folder):
            return _own(name, registered.probe(name, fetch=lambda _: folder)[0])
        place = str(folder)
    elif not _HUB.fullmatch(name):
        raise InputError(f"expected encoders {HELP}; got {name!r}")
    found = hidden_states.find(place)
    return _pretrained(name, found.version, lambda: hidden_states.load(found), cache=cache)


def _is_classifier(folder: Path) -> bool:
    config = folder / "config.json"
    return config.is_file() and "genres" in json.loads(config.read_text(encoding="utf-8"))


def _own(name: str, probe: Probe) -> Encoder:
    """A network of TCAV's."""

    def read(clips: Clips, seed: int | None) -> dict[str, Rows]:
        network = probe if seed is None else probe.randomised(seed=seed)
        title = name if seed is None else f"{name}, random weights"
        return network.read(clips, layers=probe.every or probe.layers, description=title).points

    return Encoder(name, name, read)


def _pretrained(name: str, version: str, load: Callable[[], Model], *, cache: Path) -> Encoder:
    """A model whose layers are kept by clip."""

    def read(clips: Clips, seed: int | None) -> Mapping[str, Rows]:
        model = load()
        if seed is not None:
            networks.randomise(model.network, seed=seed)
        weights = hashing.digest([version, seed])
        return _Layers(
            embeddings.stream(clips, function=model.read, name="hidden_states", cache=cache, weights=weights)
        )

    return Encoder(name, version, read)


class _Layers(Mapping[str, Rows]):
    """What every layer holds of every clip, on the disk, read layer by layer."""

    def __init__(self, clips: Iterable[embeddings.Embedding]) -> None:
        """Keep what each clip gives, by layer."""
        self._spool, self._kept = Spool(), dict[str, list[int]]()
        for layers in clips:
            for layer, values in layers.items():
                self._kept.setdefault(layer, []).append(self._spool.append(torch.from_numpy(values)))

    def __getitem__(self, layer: str) -> Rows:
        """``(n, d)``."""
        return np.stack([self._spool[number].numpy() for number in self._kept[layer]]).astype(np.float64)

    def __iter__(self) -> Iterator[str]:
        """From the input on."""
        return iter(sorted(self._kept, key=_place))

    def __len__(self) -> int:
        """How many layers there are."""
        return len(self._kept)


def _place(layer: str) -> tuple[bool, int]:
    """Where a layer stands: files forget the order, numbered ones go first."""
    number = re.search(r"\d+$", layer)
    return number is None, int(number[0]) if number else 0
