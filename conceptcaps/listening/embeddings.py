"""Embeddings of clips: computed once for each clip's content, one clip at a time on each core."""

import hashlib
import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from conceptcaps.audio import resampling, spectrum, waveform
from conceptcaps.audio.loudness import loudness as lufs
from conceptcaps.errors import InputError
from conceptcaps.listening import musicnn
from conceptcaps.workspace import hashing, project
from conceptcaps.workspace.cache import prune
from conceptcaps.workspace.files import whole

Embedding = Mapping[str, NDArray[np.float32]]
WIDTHS = {"taggram": 50, "penultimate": 200, "pooled": 1506}  # of what musicnn gives for a window
MUSICNN = {"musicnn_mtt": "MTT", "musicnn_msd": "MSD"}
_AT_ONCE = 8  # clips in memory for each thread


class Sounds(Protocol):
    """A sized collection of encoded audio files that is read anew at every iteration."""

    def __len__(self) -> int:
        """How many there are."""

    def __iter__(self) -> Iterator[bytes]:
        """One after the other."""


def stream(
    clips: Iterable[bytes],
    *,
    function: Callable[[bytes], Embedding],
    name: str,
    cache: Path,
    weights: str = "",
) -> Iterator[Embedding]:
    """The result of ``function`` for one clip after the other, kept in ``cache`` under the clip's sha256.

    The arrays are stored as ``<cache>/<name>-<version>/<sha256>.safetensors``, so that a stage after this one, a run
    after this one or a clip that stands in two sets finds them there. The version stands for the files that the
    function's module reaches, the lock file and the weights. Files that were used longest ago are removed when the
    cache outgrows its limit (``cache.prune``).

    Args:
        clips: Encoded audio files; read once, a few at a time.
        function: Takes an encoded clip and gives named arrays. Called from several threads with one torch thread each:
            whole clips in parallel lose less time than the many small products inside of one.
        name: What the arrays are.
        cache: Folder that outlives the run.
        weights: Hash of the weights, where no file of the project names them.

    Yields:
        The arrays of each clip, in order.
    """
    version = hashing.digest([project.code_hash(inspect.getfile(function)), weights])[:12]
    folder = cache / f"{name}-{version}"
    folder.mkdir(parents=True, exist_ok=True)

    def make(path: Path, clip: bytes) -> None:
        if not path.exists():
            arrays = {key: np.ascontiguousarray(array) for key, array in function(clip).items()}
            with whole(path) as temporary:
                save_file(arrays, temporary)
        path.touch()

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    waiting = iter(tqdm(clips, desc=name, unit="clip"))
    try:
        with ThreadPoolExecutor(threads) as pool:
            while some := list(islice(waiting, _AT_ONCE * threads)):
                paths = [folder / f"{hashlib.sha256(clip).hexdigest()}.safetensors" for clip in some]
                once = dict(zip(paths, some, strict=True))
                deque(pool.map(make, once.keys(), once.values()), maxlen=0)
                yield from map(load_file, paths)
    finally:
        torch.set_num_threads(threads)
    prune(cache)


def samples(clip: bytes, *, seconds: float = 0.0) -> NDArray[np.float32]:
    """Mono waveform ``(samples,)`` at musicnn's 16 kHz of an encoded clip, repeated until it lasts ``seconds``."""
    decoded, rate = waveform.decode(clip)
    mono = resampling.resample(waveform.to_mono(decoded), rate, spectrum.SAMPLE_RATE)[0]
    return np.resize(mono, max(len(mono), round(seconds * spectrum.SAMPLE_RATE)))


def musicnn_stream(clips: Sounds, *, model: str, cache: Path) -> Iterator[Embedding]:
    """What musicnn hears in each clip, as means over its windows of 3 s; a shorter clip is repeated to fill one.

    Args:
        clips: Encoded audio files.
        model: ``musicnn_mtt`` or ``musicnn_msd``.
        cache: Folder that outlives the run; evaluation and verification share it.

    Yields:
        Of each clip ``taggram`` ``(50,)``, likelihoods in [0, 1] of the tags of ``musicnn.TAGS``, ``penultimate``
        ``(200,)``, the embedding, and ``pooled`` ``(1506,)``, what the layer before it gives.

    Raises:
        InputError: If the model is another, there are no clips, or one is no audio.
    """
    if model not in MUSICNN:
        raise InputError(f"expected an embedding among {', '.join(MUSICNN)}, got {model!r}")
    if not len(clips):
        raise InputError("expected at least one clip, got none")
    network = musicnn.load(MUSICNN[model])

    def function(clip: bytes) -> Embedding:
        sound = torch.from_numpy(samples(clip, seconds=3.0))
        with torch.inference_mode():
            return {name: windows[0].mean(0).numpy() for name, windows in network(sound[None]).items()}

    yield from stream(clips, function=function, name=model, cache=cache)


def musicnn_means(clips: Sounds, *, model: str, cache: Path) -> dict[str, NDArray[np.float32]]:
    """All of ``musicnn_stream`` at once, each array ``(n, ...)``.

    Raises:
        InputError: As ``musicnn_stream``.
    """
    found = {name: np.empty((len(clips), width), dtype=np.float32) for name, width in WIDTHS.items()}
    made = musicnn_stream(clips, model=model, cache=cache)
    for row, arrays in zip(range(len(clips)), made, strict=True):
        for name, rows in found.items():
            rows[row] = arrays[name]
    return found


def loudness(clips: Iterable[bytes], *, cache: Path) -> NDArray[np.float32]:
    """Integrated loudness of each clip (LUFS), NaN for what is under the gate of -70; see ``audio.loudness``."""

    def function(clip: bytes) -> Embedding:
        return {"loudness": np.array([lufs(*waveform.decode(clip))], dtype=np.float32)}

    made = stream(clips, function=function, name="loudness", cache=cache)
    found = np.array([arrays["loudness"][0] for arrays in made])
    return np.where(np.isfinite(found), found, np.float32("nan"))
