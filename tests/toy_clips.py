"""Folders of tiny synthetic clips whose genres and concepts can be heard in them by construction."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import soundfile

from conceptcaps.tags.taxonomy import tag_set_id
from conceptcaps.workspace import shards

RATE = 16_000
GENRES = ("techno", "classical", "metal")
MOODS = ("happy", "calm", "dark", "epic", "dreamy", "playful", "sad")
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("caption", pa.string()),
        ("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("seed", pa.int64()),
        ("unrealised", pa.list_(pa.string())),
        ("added", pa.list_(pa.string())),
        ("sample_rate", pa.int32()),
        ("duration", pa.float64()),
    ]
)


def waveform(tags: list[str], *, seed: int, seconds: float = 3.2) -> np.ndarray:
    """Clicks for techno, a chord for classical, noise for metal; ``piano`` a high decaying tone, ``bass`` a low one."""
    generator = np.random.default_rng(seed)
    time = np.arange(int(RATE * seconds)) / RATE
    sound = 0.003 * generator.normal(size=time.size)
    if "techno" in tags:
        sound += 0.4 * np.sin(2 * np.pi * 60 * time) * (time % 0.5 < 0.1)
    if "classical" in tags:
        sound += sum(0.1 * np.sin(2 * np.pi * pitch * time) for pitch in (330, 415, 494))
    if "metal" in tags:
        sound += 0.2 * generator.normal(size=time.size)
    if "piano" in tags:
        sound += 0.3 * np.sin(2 * np.pi * 2000 * time) * np.exp(-4 * (time % 0.4))
    if "bass" in tags:
        sound += 0.3 * np.sin(2 * np.pi * 90 * time)
    return (sound * generator.uniform(0.5, 1)).astype(np.float32)


def flac(sound: np.ndarray, *, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sound, rate, format="FLAC")
    return buffer.getvalue()


def rows(count: int, *, seconds: float = 3.2) -> pd.DataFrame:
    """Clips with a genre each, ``piano`` and ``bass`` in about half of them, and moods that cannot be heard."""
    generator = np.random.default_rng(0)
    found = []
    for seed in range(count):
        tags = [GENRES[seed % len(GENRES)], *generator.choice(MOODS, 2, replace=False)]
        tags += [tag for tag in ("piano", "bass") if generator.random() < 0.45]
        clip = flac(waveform(tags, seed=seed, seconds=seconds))
        name = tag_set_id(tags, seed=seed, caption="toy")
        found.append(
            {"id": name, "tags": sorted(tags), "caption": "toy", "audio": {"bytes": clip, "path": f"{name}.flac"}}
            | {"seed": seed, "unrealised": [], "added": [], "sample_rate": RATE, "duration": seconds}
        )
    return pd.DataFrame(found)


def folder(path: Path, frame: pd.DataFrame) -> Path:
    """A finished folder of shards, as ``generate_audio`` leaves it."""
    shards.map_shards(
        lambda part: part, frame, out=str(path), schema=SCHEMA, shard_size=32, settings={}, description="toy clips"
    )
    return path


def tell_length(clip: bytes) -> dict[str, np.ndarray]:
    """An embedding that is quick to compute: the number of bytes."""
    return {"length": np.array([len(clip)], np.float32)}
