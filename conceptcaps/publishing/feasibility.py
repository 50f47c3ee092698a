"""Whether a pipeline can run with its parameters: what would fail after hours is reported in the first minute."""

import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from conceptcaps.captions import language_model
from conceptcaps.errors import InputError
from conceptcaps.publishing import licence
from conceptcaps.tags import dialect
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import project

CONCEPTS = "piano,electric guitar,violin,flute,trumpet,organ,strings,drums"
GENRES = "blues,classical,country,disco,hip hop,jazz,metal,pop,reggae,rock"  # those of GTZAN
_SECOND = 64_000  # bytes of FLAC that a second of a clip takes at most, 32 kHz mono
_COPIES = 3  # shards, artifact and dataset; the dataset is put together in the temporary folder


def require(
    dials: Mapping[str, object], *, usual: Mapping[str, object] | None = None, free: int | None = None
) -> dict[str, str]:
    """Check the parameters of ``main`` before any stage begins.

    Args:
        dials: ``count``, ``classifier_count``, ``concept_count``, ``duration``, ``trials``, ``from_sweeps``,
            ``corpus``, ``taxonomy``, ``concepts``, ``genres``, ``base_model``, ``quantization``, ``caption_corpus``,
            ``audio_backend``, ``audio_model`` and ``license``.
        usual: What ``concepts`` and ``genres`` are where nobody asks for others; None for nothing usual.
        free: Bytes free for outputs and for temporary files; what the disk has if None.

    Returns:
        ``concepts`` and ``genres``: of the usual ones the tags that the taxonomy has, in its own words.

    Raises:
        InputError: With everything that is in the way, in one sentence each.
    """
    numbers = {name: float(str(dials[name])) for name in ("count", "classifier_count", "concept_count", "duration")}
    wrong = [f"expected {name} of at least 1, got {value:g}" for name, value in numbers.items() if value < 1]
    if dials["from_sweeps"] and not dials["trials"]:
        wrong.append("expected trials of at least 1 to train with what sweeps find, got 0: say from_sweeps=0")
    wrong += _missing_files(dials)
    if project.commit() == "unknown":
        wrong.append("expected a git checkout, whose commit the dataset's card names, got none: git clone")
    if dials["quantization"] != "none":
        try:
            language_model.require_nf4("cuda" if torch.cuda.is_available() else "cpu")
        except InputError as error:
            wrong.append(str(error))
    if dials["audio_backend"] != "soundfont" and dials["audio_model"] == "none":
        wrong.append(f"expected audio_model of audio_backend={dials['audio_backend']}, got none")
    lists = {name: str(dials[name]) for name in ("concepts", "genres")}
    if not wrong:
        file = str(dials["taxonomy"])
        known = Taxonomy.load(None if file == "builtin" else Path(file))
        lists |= {
            name: _of_taxonomy(tags, known, name=name, file=file)
            for name, tags in lists.items()
            if usual is not None and tags == usual[name]
        }
        wrong += _licence(dials)
        strange = dialect.meaningless(known)
        if strange and dials["audio_backend"] == "soundfont":
            warnings.warn(f"{len(strange)} tags mean nothing to the soundfont: {', '.join(strange)}", stacklevel=2)
        lost = sorted(set(strange) & set(lists["concepts"].split(",")))
        wrong += [f"expected concepts that the soundfont can play, got {', '.join(lost)}"] if lost else []
        wrong += _unknown(",".join(lists.values()).split(","), known)
    everything = (numbers["count"] + numbers["classifier_count"]) * _COPIES
    for place, clips in ((Path.cwd(), everything), (Path(tempfile.gettempdir()), numbers["count"])):
        needed = clips * numbers["duration"] * _SECOND
        bytes_free = shutil.disk_usage(place).free if free is None else free
        if needed > bytes_free:
            sizes = f"{needed / 2**30:.1f} GB free in {place} for the clips, got {bytes_free / 2**30:.1f} GB"
            wrong.append(f"expected {sizes}")
    if wrong:
        raise InputError("; ".join(wrong))
    return lists


def _of_taxonomy(tags: str, known: Taxonomy, *, name: str, file: str) -> str:
    """Of usual tags those that a taxonomy has, in its own words; a warning names the others."""
    there = {tag: [tag] if tag in known.tags else known.match(tag) for tag in tags.split(",")}
    if missing := [tag for tag, found in there.items() if not found]:
        warnings.warn(f"{file} has no {', '.join(missing)}: left out of {name}", stacklevel=3)
    return ",".join(dict.fromkeys(found[0] for found in there.values() if found)) or tags


def _missing_files(dials: Mapping[str, object]) -> list[str]:
    """Dials that name a local path, by its look, at which nothing is."""
    paths = {name: str(dials[name]) for name in ("corpus", "taxonomy", "base_model", "audio_model")}
    local = {name: path for name, path in paths.items() if path.startswith(("/", ".", "~")) or path.endswith(".csv")}
    return [f"expected {name} to exist, got {path}" for name, path in local.items() if not Path(path).exists()]


def _licence(dials: Mapping[str, object]) -> list[str]:
    """Why the dataset's licence could not be derived at the end from what goes in, if so."""
    told = {name: str(value) for name, value in dials.items()}
    font = str(project.entry_point("generate_audio")[0]["soundfont"])
    audio = {"backend": told["audio_backend"], "model": told["audio_model"], "soundfont": font}
    stages = {"distill_tags": told, "finetune_captioner": told, "generate_audio": audio}
    trained = ("write_captions", {"captioner": "models:/"})
    try:
        licence.derive(licence.materials([*stages.items(), trained]), stated=told["license"])
    except InputError as error:
        return [str(error)]
    return []


def _unknown(names: Sequence[str], known: Taxonomy) -> list[str]:
    found = []
    for name in names:
        try:
            known.resolve(name.strip() if name.strip() != "all" else known.tags[0])
        except InputError as error:
            found.append(str(error))
    return found
