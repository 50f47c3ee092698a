"""Tables of clips, in the same form whichever backend made them."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from conceptcaps.audio import composition, soundfont, waveform
from conceptcaps.audio.waveform import Waveform
from conceptcaps.errors import InputError
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import executor, shards
from conceptcaps.workspace.hashing import row_seed

_FORESEEN = 128  # rows that are foreseen in one go: some ten seconds
_STRINGS = pa.list_(pa.string())
_CHORD = pa.struct([("time", pa.float64()), ("name", pa.string())])
_INSTRUMENT = pa.struct([("program", pa.int64()), ("key", pa.int64()), ("notes", pa.int64()), ("level", pa.float64())])
FACTS = [
    ("bpm", pa.float64()),
    ("key", pa.string()),
    ("mode", pa.string()),
    ("meter", pa.int64()),
    ("beats", pa.list_(pa.float64())),
    ("chords", pa.list_(_CHORD)),
    ("instruments", pa.list_(_INSTRUMENT)),
]
SOUND = [
    ("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ("seed", pa.int64()),
    ("unrealised", _STRINGS),
    ("added", _STRINGS),
    ("present", _STRINGS),
    ("absent", _STRINGS),
    ("facts", pa.struct(FACTS)),
    ("midi", pa.binary()),
    ("soundfont", pa.string()),
    ("sample_rate", pa.int64()),
    ("duration", pa.float64()),
    ("error", pa.string()),
]
FIELDS = [("id", pa.string()), ("tags", _STRINGS), ("caption", pa.string()), ("split", pa.string()), *SOUND]
SCHEMA = pa.schema(FIELDS)


def play_rows(
    rows: pd.DataFrame,
    *,
    taxonomy: Taxonomy,
    duration: float,
    seed: int,
    fonts: Sequence[Path],
    sample_rate: int,
    channels: int,
) -> pd.DataFrame:
    """Clips of the soundfont backend.

    Args:
        rows: Columns ``id``, ``tags``, ``caption`` and ``split``; and ``sample_id``, that of the tag set, if it is not
            ``id``.
        taxonomy: Its tags are decided for every clip.
        duration: Length of a clip (s).
        seed: Seed of the run; a row draws from ``row_seed(sample_id, seed)``, so that its music does not depend on
            its caption, which may be written for what will sound (``foreseen``).
        fonts: Soundfonts; each row draws one.
        sample_rate: Hz.
        channels: 1 or 2.

    Returns:
        Columns of ``FIELDS``. A row that cannot be played has no audio and says why in ``error``.
    """
    sets = rows["sample_id"] if "sample_id" in rows else rows["id"]
    seeds = [row_seed(sample, seed) for sample in sets]
    drawn = [fonts[row_seed(f"{sample} font", seed) % len(fonts)] for sample in sets]
    compose = partial(composition.compose, duration=duration, taxonomy=taxonomy)
    perform = partial(
        soundfont.perform, duration=duration, taxonomy=taxonomy, sample_rate=sample_rate, channels=channels
    )

    def made(row_id: str, tags: Sequence[str], own: int, font: Path) -> dict[str, Any]:
        try:
            clip = perform(compose(list(tags), seed=own), soundfont=font)
        except InputError as error:
            return failed(tags, seed=own, reason=str(error))
        return sound(clip, tags, name=row_id, seed=own, font=font.name, sample_rate=sample_rate, taxonomy=taxonomy)

    return beside(rows, [made(*row) for row in zip(rows["id"], rows["tags"], seeds, drawn, strict=True)])


def foreseen(rows: pd.DataFrame, *, taxonomy: Taxonomy, duration: float, seed: int) -> list[list[str]]:
    """Tags that will be present in the clips that ``play_rows`` makes for tag sets, embedded soundfont, 32 kHz, mono.

    At another rate, in stereo or with another soundfont a part may cross the level at which it counts.

    Args:
        rows: Columns ``id`` and ``tags``.
        taxonomy: Its tags are decided.
        duration: Length of a clip (s).
        seed: As for ``play_rows``.

    Returns:
        For each row its present tags; of one that cannot be played its own tags.
    """
    pairs = [(row_id, list(tags)) for row_id, tags in zip(rows["id"], rows["tags"], strict=True)]
    jobs = [(pairs[at : at + _FORESEEN], taxonomy, duration, seed) for at in range(0, len(pairs), _FORESEEN)]
    found: list[list[str]] = []
    with tqdm(total=len(pairs), desc="foresee", unit="row") as bar:
        for some in executor.gather(_foresee, jobs, executor.cores()):
            found += some
            bar.update(len(some))
    return found


def _foresee(pairs: Sequence[tuple[str, list[str]]], taxonomy: Taxonomy, duration: float, seed: int) -> list[list[str]]:
    (font,) = soundfont.named("embedded")
    foresee = partial(soundfont.foresee, soundfont=Path(font), sample_rate=32_000, channels=1)
    found = []
    for row_id, tags in pairs:
        try:
            piece = composition.compose(tags, duration=duration, seed=row_seed(row_id, seed), taxonomy=taxonomy)
            found.append(foresee(piece, duration=duration, taxonomy=taxonomy).present)
        except InputError:
            found.append(tags)
    return found


def sound(
    clip: soundfont.Clip, tags: Sequence[str], *, name: str, seed: int, font: str, sample_rate: int, taxonomy: Taxonomy
) -> dict[str, Any]:
    """Columns of ``SOUND`` for a clip that was played for some tags."""
    present, absent = clip.truth.present, clip.truth.absent
    return {
        **encoded(clip.waveform, name=name, seed=seed, sample_rate=sample_rate),
        "unrealised": sorted(set(tags) - set(present)),
        "added": sorted(set(present) - set(tags) - taxonomy.closure(set(tags) & set(taxonomy.tags))),
        "present": present,
        "absent": absent,
        "facts": clip.truth.facts,
        "midi": clip.midi,
        "soundfont": font,
    }


def encoded(clip: Waveform, *, name: str, seed: int, sample_rate: int) -> dict[str, Any]:
    """Columns of ``SOUND`` for a clip of which nothing but the sound is known."""
    file = {"bytes": waveform.encode_flac(clip, sample_rate), "path": f"{name}.flac"}
    nothing: dict[str, Any] = {kind: [] for kind in ("unrealised", "added", "present", "absent")}
    nothing |= dict.fromkeys(["facts", "midi", "soundfont", "error"])
    return {"audio": file, "seed": seed, **nothing, "sample_rate": sample_rate, "duration": clip.shape[1] / sample_rate}


def failed(tags: Sequence[str], *, seed: int, reason: str) -> dict[str, Any]:
    """Columns of ``SOUND`` for a clip that could not be made."""
    nothing: dict[str, Any] = dict.fromkeys([name for name, _ in SOUND])
    lists: dict[str, Any] = {kind: [] for kind in ("added", "present", "absent")}
    return {**nothing, **lists, "unrealised": sorted(tags), "seed": seed, "error": " ".join(reason.split())}


def generated(
    rows: pd.DataFrame, clips: Sequence[Waveform | InputError], *, seeds: Sequence[int], sample_rate: int
) -> pd.DataFrame:
    """Rows with the columns of a neural model's clips, or with the errors that say why there are none."""
    made = [
        failed(tags, seed=seed, reason=str(clip))
        if isinstance(clip, InputError)
        else encoded(clip, name=row_id, seed=seed, sample_rate=sample_rate)
        for clip, row_id, tags, seed in zip(clips, rows["id"], rows["tags"], seeds, strict=True)
    ]
    return beside(rows, made)


def beside(rows: pd.DataFrame, clips: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows with the columns of their clips."""
    own = {name: rows[name].tolist() for name in ("id", "caption", "split")}
    made = {name: [clip[name] for clip in clips] for name, _ in SOUND}
    return pd.DataFrame({**own, "tags": [list(tags) for tags in rows["tags"]], **made}, dtype=object)


def to_play(folder: Path, *, wordless: bool) -> pd.DataFrame:
    """Rows that clips are made for: ``id``, ``sample_id``, ``tags``, ``caption`` and ``split``.

    Args:
        folder: Shards of ``write_captions``, or one with the ``samples.parquet`` of ``sample_tags``, whose captions are
            empty.
        wordless: Whether the backend plays tags, and so needs no captions.

    Raises:
        InputError: If there are samples alone, and the backend needs captions.
    """
    columns = ["id", "sample_id", "tags", "caption", "split"]
    if (folder / "samples.parquet").exists():
        if not wordless:
            raise InputError(
                f"expected captions of write_captions, got samples without words in {folder}: only the soundfont "
                "backend plays tags"
            )
        samples = pd.read_parquet(folder / "samples.parquet")
        return samples.assign(caption="", sample_id=samples["id"])[columns]
    return shards.read(str(folder), columns=columns)


def summarise(rows: pd.DataFrame) -> dict[str, float]:
    """What a table holds.

    Args:
        rows: Columns ``tags``, ``duration``, ``unrealised``, ``added`` and ``error``.

    Returns:
        ``audio/clips``, ``audio/failed``, ``audio/hours``, ``audio/unrealised`` (share of asked tags that do not sound)
        and ``audio/added`` (tags a clip that sound unasked).
    """
    asked = sum(map(len, rows["tags"]))
    return {
        "audio/clips": float(len(rows)),
        "audio/failed": float(rows["error"].notna().sum()),
        "audio/hours": float(rows["duration"].sum() / 3600),
        "audio/unrealised": sum(map(len, rows["unrealised"])) / max(asked, 1),
        "audio/added": float(rows["added"].map(len).mean()),
    }


def failures(rows: pd.DataFrame) -> dict[str, str]:
    """Why rows have no clip, by id."""
    failed = rows[rows["error"].notna()]
    return dict(zip(failed["id"], failed["error"], strict=True))


def examples(out: str, *, most: int = 4) -> pd.DataFrame:
    """Rows to show of finished shards: those with a clip of the first ``most`` rows that hold any, one at least.

    Raises:
        InputError: If no row has a clip.
    """
    for batch in shards.batches(out, size=most):
        if batch["error"].isna().any():
            return batch[batch["error"].isna()]
    raise InputError(f"expected a row with a clip in {out}, got none")


def write_examples(rows: pd.DataFrame, folder: Path) -> Path:
    """Write clips as FLAC files, with their scores beside them as MIDI files; return the folder."""
    for row in rows.to_dict("records"):
        path = folder / row["audio"]["path"]
        path.write_bytes(row["audio"]["bytes"])
        if row["midi"]:
            path.with_suffix(".mid").write_bytes(row["midi"])
    return folder
