"""Networks to probe with TCAV: our classifier and musicnn, with their inputs, outputs and layers."""

import zlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from conceptcaps.audio import spectrum
from conceptcaps.listening import embeddings, musicnn
from conceptcaps.probing import classifier
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.threads import one_thread

MUSICNN = {"musicnn_mtt": "MTT", "musicnn_msd": "MSD"}
_TIMBRAL = 408  # channels
_WINDOWS = 4096  # of musicnn in memory, 420 kB each
_FEWEST, _MOST = 5, 50  # clips of a target that `targets` takes


@dataclass(frozen=True)
class Probe:
    """A network in evaluation mode, and what is needed to ask it.

    Attributes:
        network: Gives logits.
        outputs: Names of the logits.
        layers: Layers that are probed unless told otherwise. Between the last hidden layer and the output there is one
            linear map, where every score is 0 or 1, so none of them is that layer.
        inputs: Encoded clips and a cache folder to a tensor ``(n, windows, ...)``.
    """

    network: nn.Module
    outputs: tuple[str, ...]
    layers: tuple[str, ...]
    inputs: Callable[[Sequence[bytes], Path], Tensor]


def of_classifier(model: classifier.GenreCNN) -> Probe:
    """Our genre classifier; a clip is one window."""

    def inputs(audio: Sequence[bytes], cache: Path) -> Tensor:
        made = embeddings.compute(audio, function=classifier.features, name="log_mel_pairs", cache=cache)
        return classifier.stack([clip["log_mel"] for clip in made], frames=model.frames)[:, None]

    return Probe(model, model.genres, ("conv2", "conv3", "conv4"), inputs)


class MusicnnBack(nn.Module):
    """Musicnn's tagger from the outputs of its first layers, ``(n, 561, 187)``, to logits ``(n, 50)``.

    The first layers cost nine tenths of a pass and are no part of any derivative from their outputs on, so they run
    once for each clip. Layers have the tagger's names and activations.
    """

    def __init__(self, tagger: musicnn.Tagger) -> None:
        """Take the layers of a tagger."""
        super().__init__()
        self.timbral, self.temporal = nn.Identity(), nn.Identity()
        self.cnn1, self.cnn2, self.cnn3 = tagger.cnn1, tagger.cnn2, tagger.cnn3
        self.penultimate, self.output = tagger.penultimate, tagger.output

    def forward(self, front: Tensor) -> Tensor:
        """Logits, as the whole tagger gives them."""
        timbral, temporal = self.timbral(front[:, :_TIMBRAL]), self.temporal(front[:, _TIMBRAL:])
        joined = torch.cat([timbral, temporal], dim=1)
        first = self.cnn1(joined)
        second = self.cnn2(first) + first
        third = self.cnn3(second) + second
        features = torch.cat([joined, first, second, third], dim=1)
        pooled = torch.stack([features.amax(2), features.mean(2)], dim=2)
        return self.output(self.penultimate(pooled.flatten(1)))


def of_musicnn(name: str) -> Probe:
    """Musicnn's tagger, by its name in ``MUSICNN``; clips are cut into windows of 3 s, of which all have as many.

    That is as many as the shortest clip has (at least one), and fewer where it would be over 4,096 windows in all.
    """
    model = musicnn.load(MUSICNN[name])

    def inputs(audio: Sequence[bytes], cache: Path) -> Tensor:
        workers = torch.get_num_threads()
        with one_thread(), ThreadPoolExecutor(workers) as pool, torch.no_grad():
            spectra = list(pool.map(spectrum.spectrum, audio))
            count = max(1, min(min(map(len, spectra)) // spectrum.FRAMES, _WINDOWS // len(spectra)))

            def front(frames: NDArray[np.float32]) -> Tensor:
                with torch.no_grad():  # a setting of the thread
                    log_mel = torch.from_numpy(spectrum.windows(frames, count=count))
                    normal = model.tagger.normalise(log_mel[:, None])[:, 0]
                    return torch.cat([model.tagger.timbral(normal), model.tagger.temporal(normal)], dim=1)

            return torch.stack(list(tqdm(pool.map(front, spectra), total=len(spectra), desc=name, unit="clip")))

    return Probe(MusicnnBack(model.tagger).eval(), model.tags, ("timbral", "cnn1", "cnn3"), inputs)


def targets(
    probe: Probe, tag_sets: Sequence[Collection[str]], *, taxonomy: Taxonomy, names: str, most: int, seed: int
) -> dict[str, tuple[int, NDArray[np.int64]]]:
    """Output number and clips of every target: the clips with the tags that the output's name stands for.

    A name stands for the tag of that name, or for what the matcher finds in it (musicnn's ``slow`` is ``slow tempo``).

    Args:
        probe: Network with named outputs.
        tag_sets: Tags that sound in each clip.
        taxonomy: What tags imply, and the matcher.
        names: Comma-separated outputs; ``auto`` takes those with most clips, one for each tag.
        most: Most targets for ``auto``.
        seed: Seed of the choice of 50 clips where a target has more: each costs a pass through the network.

    Raises:
        ValueError: If a name is no output, or has fewer than five clips.
    """
    sounding = taxonomy.encode([taxonomy.closure(tags) for tags in tag_sets])
    lookup = {tag: column for column, tag in enumerate(taxonomy.tags)}
    found: dict[str, tuple[int, NDArray[np.int64]]] = {}
    seen = set()
    chosen = list(probe.outputs) if names == "auto" else [name.strip() for name in names.split(",")]
    for name in chosen:
        if name not in probe.outputs:
            raise ValueError(f"expected targets among {', '.join(probe.outputs)}, got {name!r}")
        tags = (name,) if name in lookup else tuple(taxonomy.match(name))
        rows = (
            np.flatnonzero(sounding[:, [lookup[tag] for tag in tags]].all(1)) if tags else np.empty(0, dtype=np.int64)
        )
        if names == "auto" and (tags in seen or len(rows) < _FEWEST):
            continue
        if len(rows) < _FEWEST:
            raise ValueError(f"expected {_FEWEST} clips or more of target {name!r}, got {len(rows)}")
        seen.add(tags)
        found[name] = (probe.outputs.index(name), rows)
    if not found:
        raise ValueError(f"expected an output with {_FEWEST} clips or more among {', '.join(probe.outputs)}, got none")
    ranked = sorted(found, key=lambda name: -len(found[name][1]))
    generators = {name: np.random.default_rng([seed, zlib.crc32(name.encode())]) for name in found}
    return {
        name: (found[name][0], np.sort(generators[name].permutation(found[name][1])[:_MOST]))
        for name in (ranked[:most] if names == "auto" else found)
    }
