"""What makes sound, by name: each maps rows of captions to rows of clips."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from conceptcaps.audio import table
from conceptcaps.errors import InputError
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import hashing

# Imported where they are asked for: who plays a soundfont, and each of its workers, needs no networks.
NEURAL = {"musicgen": "conceptcaps.audio.musicgen", "audiocraft": "conceptcaps.audio.audiocraft_backend"}
BACKENDS = ("soundfont", *NEURAL)
DIALS = ("duration", "seed", "sample_rate", "channels", "model", "guidance", "temperature", "top_k", "batch_size")


def maker(
    backend: str,
    *,
    duration: float,
    seed: int,
    fonts: Sequence[Path],
    taxonomy: Taxonomy,
    sample_rate: int,
    channels: int,
    model: str,
    guidance: float,
    temperature: float,
    top_k: int,
    batch_size: int,
    melody: Mapping[str, Path] | None,
) -> tuple[Callable[[pd.DataFrame], pd.DataFrame], list[str]]:
    """The function that makes clips, and the hashes or names of the files that it reads.

    Args:
        backend: One of ``BACKENDS``.
        duration: Length of a clip (s).
        seed: Seed of the run.
        fonts: soundfont: as ``table.play_rows``, as are ``taxonomy``, ``sample_rate`` and ``channels``.
        taxonomy: See ``fonts``.
        sample_rate: See ``fonts``.
        channels: See ``fonts``.
        model: Neural models: as ``musicgen.load`` or ``audiocraft_backend.load``.
        guidance: As ``musicgen.Guidance``, as are ``temperature`` and ``top_k``.
        temperature: See ``guidance``.
        top_k: See ``guidance``.
        batch_size: Most clips at once.
        melody: musicgen: by id the file of a clip whose melody is followed (``clips.files``), or None.

    Raises:
        InputError: If a backend that follows no melodies is given one.
    """
    if melody is not None and backend != "musicgen":
        raise InputError(f"expected backend=musicgen to follow a melody, got {backend}")
    if backend == "soundfont":
        make = partial(
            table.play_rows,
            duration=duration,
            seed=seed,
            fonts=fonts,
            taxonomy=taxonomy,
            sample_rate=sample_rate,
            channels=channels,
        )
        return make, [hashing.content(path) for path in fonts]
    room = importlib.import_module(NEURAL[backend])
    opened = room.load(model)
    dials = room.Guidance(guidance, temperature, top_k)
    generate = partial(
        room.generate_rows, model=opened, guidance=dials, duration=duration, batch_size=batch_size, seed=seed
    )
    if melody is None:
        return partial(captioned, generate=generate, seed=seed), room.traits(opened)
    generate = partial(generate, melody=melody)
    sums = {path: hashing.file_sha256(path) for path in set(melody.values())}
    heard = hashing.digest({row_id: sums[path] for row_id, path in melody.items()})
    return partial(captioned, generate=generate, seed=seed), [*room.traits(opened), heard]


def captioned(rows: pd.DataFrame, *, generate: Callable[[pd.DataFrame], pd.DataFrame], seed: int) -> pd.DataFrame:
    """Clips of a neural backend; a row with a blank caption, for which any music would do, says so in ``error``."""
    blank = rows["caption"].fillna("").str.strip() == ""
    wordless, made = rows[blank], []
    if len(wordless):
        seeds = [hashing.row_seed(row_id, seed) for row_id in wordless["id"]]
        clips = [InputError("expected a caption, got a blank one")] * len(seeds)
        made.append(table.generated(wordless, clips, seeds=seeds, sample_rate=0))
    if not blank.all():
        made.append(generate(rows[~blank]))
    return pd.concat(made).set_index("id", drop=False).loc[rows["id"]].reset_index(drop=True)
