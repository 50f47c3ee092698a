"""Embeddings of clips: computed once for each clip's content, one clip at a time on each core."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from conceptcaps import assets
from conceptcaps.audio import spectrum, waveform
from conceptcaps.listening import musicnn

Embedding = Mapping[str, NDArray[np.float32]]
MUSICNN = {"musicnn_mtt": "MTT", "musicnn_msd": "MSD"}
_CODE = Path(__file__).read_text()


def compute(
    clips: Sequence[bytes],
    *,
    function: Callable[[bytes], Embedding],
    name: str,
    cache: Path,
) -> list[Embedding]:
    """What ``function`` makes of every clip, kept in ``cache`` by the clip's sha256.

    The arrays are stored as ``<cache>/<name>/<sha256>.safetensors``, so that a stage after this one, a run after this
    one or a clip that stands in two sets finds them there.

    Args:
        clips: Encoded audio files.
        function: Takes an encoded clip and gives named arrays. Called from several threads with one torch thread each:
            whole clips in parallel lose less time than the many small products inside of one.
        name: What the arrays depend on besides the clip: model, weights and version (``version`` makes one).
        cache: Folder that outlives the run.

    Returns:
        The arrays of each clip, in order.
    """
    folder = cache / name
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{hashlib.sha256(clip).hexdigest()}.safetensors" for clip in clips]

    def make(path: Path, clip: bytes) -> None:
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        arrays = {key: np.ascontiguousarray(array) for key, array in function(clip).items()}
        save_file(arrays, temporary)
        temporary.replace(path)

    missing = {path: clip for path, clip in zip(paths, clips, strict=True) if not path.exists()}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            made = pool.map(make, missing.keys(), missing.values())
            for _ in tqdm(made, total=len(missing), desc=name, unit="clip", disable=not missing):
                pass
    finally:
        torch.set_num_threads(threads)
    return [load_file(path) for path in paths]


def version(*parts: object) -> str:
    """Twelve hex digits that stand for weights (their hash) and code (the file of a module): the end of a cache name.

    >>> version("a") == version("a"), version("a") == version("b")
    (True, False)
    """
    texts = [Path(part.__file__).read_text() if hasattr(part, "__file__") else str(part) for part in parts]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


def samples(clip: bytes, *, seconds: float = 0.0) -> NDArray[np.float32]:
    """Mono waveform ``(samples,)`` at musicnn's 16 kHz of an encoded clip, repeated until it lasts ``seconds``."""
    decoded, rate = waveform.decode(clip)
    mono = waveform.resample(waveform.to_mono(decoded), rate, spectrum.SAMPLE_RATE)[0]
    return np.resize(mono, max(len(mono), round(seconds * spectrum.SAMPLE_RATE)))


def musicnn_means(clips: Sequence[bytes], *, model: str, cache: Path) -> dict[str, NDArray[np.float32]]:
    """What musicnn hears in each clip, as means over its windows of 3 s; a shorter clip is repeated to fill one.

    Args:
        clips: Encoded audio files.
        model: ``musicnn_mtt`` or ``musicnn_msd``.
        cache: Folder that outlives the run; evaluation and verification share it.

    Returns:
        ``taggram`` ``(n, 50)``, likelihoods in [0, 1] of the tags of ``musicnn.TAGS``, and ``penultimate``
        ``(n, 200)``, the embedding.

    Raises:
        ValueError: If the model is another, there are no clips, or one is no audio.
    """
    if model not in MUSICNN:
        raise ValueError(f"expected an embedding among {', '.join(MUSICNN)}, got {model!r}")
    if not clips:
        raise ValueError("expected at least one clip, got none")
    network = musicnn.load(MUSICNN[model])

    def function(clip: bytes) -> Embedding:
        sound = torch.from_numpy(samples(clip, seconds=3.0))
        with torch.inference_mode():
            return {name: windows[0].mean(0).numpy() for name, windows in network(sound[None]).items()}

    name = f"{model}-{version(sorted(assets.ASSETS[model].sha256.items()), musicnn, waveform, _CODE)}"
    made = compute(clips, function=function, name=name, cache=cache)
    return {key: np.stack([arrays[key] for arrays in made]) for key in ("taggram", "penultimate")}


def loudness(clips: Sequence[bytes], *, cache: Path) -> NDArray[np.float32]:
    """Integrated loudness of each clip (LUFS), -inf for silence; see ``audio.loudness``."""

    def function(clip: bytes) -> Embedding:
        return {"loudness": np.array([waveform.loudness(*waveform.decode(clip))], dtype=np.float32)}

    made = compute(clips, function=function, name=f"loudness-{version(waveform)}", cache=cache)
    return np.concatenate([arrays["loudness"] for arrays in made])
