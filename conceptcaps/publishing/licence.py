"""The licence of a dataset, derived from what it was made of."""

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from conceptcaps.errors import InputError

TABLE = Path(__file__).with_name("licences.yaml")
UNKNOWN = "unknown"  # what no run has made
COUNTED = ("builtin", "tag_sets")  # text to learn that is the project's own, or of the corpus that is counted already
_FREE = {"cc-by-4.0"}
_FILES = (".csv", ".parquet", ".json", ".sf2", ".sf3")


@cache
def table() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """Materials by kind (``corpus``, ``base_model``, ``audio``): licence, whether it binds, whom to credit."""
    content: Mapping[str, Mapping[str, Mapping[str, Any]]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return content


def materials(runs: Iterable[tuple[str, Mapping[str, str]]]) -> dict[str, list[str]]:
    """Everything that a dataset was made of, by kind and sorted, from the runs behind it.

    A corpus, of tags or of captions to learn, is named by its Hub id or its file, a soundfont by its file, a model by
    its Hub id without revision. What was not made by one of the runs, as in a local folder, is ``unknown``; so is the
    base of a captioner whose training is not among them.

    Args:
        runs: Stage and parameters of each.

    >>> materials([("distill_tags", {"corpus": "google/MusicCaps@main"}), ("promote", {})])
    {'base_model': ['of captioner unknown'], 'corpus': ['google/MusicCaps'], 'audio': ['unknown']}
    """
    made = list(runs)
    found: dict[str, set[str]] = {"base_model": set(), "corpus": set(), "audio": set(), "captioner": set()}
    for kind, name in [material for stage, params in made for material in _of_run(stage, params)]:
        plain = name.split("@")[0]
        found[kind].add(Path(plain).name if plain.endswith(_FILES) else plain)
    captioners = found.pop("captioner") or {UNKNOWN}
    strange = {name for name in captioners if not (name.startswith("models:/") and found["base_model"])}
    found["base_model"] |= {f"of captioner {name}" for name in strange}
    for stage, kind in {"generate_audio": "audio", "distill_tags": "corpus"}.items():
        if not any(name == stage for name, _ in made):
            found[kind].add(UNKNOWN)
    return {kind: sorted(names or {UNKNOWN}) for kind, names in found.items()}


def _of_run(stage: str, params: Mapping[str, str]) -> list[tuple[str, str]]:
    """Kind and name of what a run puts into a dataset; ``captioner`` is the kind of what stands for a base model."""
    if stage == "distill_tags":
        return [("corpus", params["corpus"])]
    if stage in {"finetune_captioner", "sweep_captioner"}:
        text = params["caption_corpus"]
        return [("base_model", params["base_model"]), *([("corpus", text)] if text not in COUNTED else [])]
    if stage == "write_captions":
        return [("captioner", params["captioner"])]
    if stage in {"make_pairs", "design_concepts"} or (stage == "generate_audio" and params["backend"] == "soundfont"):
        return [("audio", name) for name in params["soundfont"].split(",")]
    if stage == "generate_audio":
        strange = params.get("melody", "none") != "none" and not params["melody"].startswith("runs:/")
        return [("audio", params["model"]), *([("audio", UNKNOWN)] if strange else [])]
    return []


def derive(materials: Mapping[str, Collection[str]], *, stated: str = "derived") -> tuple[str, list[str]]:
    """Licence (the Hub's identifier) and the list of credits.

    Where one material binds, its licence is the dataset's; where several bind with different licences, none satisfies
    all and ``other`` is stated. Attribution alone gives way to any other.

    Args:
        materials: Names by kind, such as ``{"corpus": ["demo"], "base_model": ["smollm2"], "audio": ["embedded"]}``.
        stated: A licence that the publisher states; it stands for materials that are not in the table.

    Raises:
        InputError: If a material is not in the table and no licence is stated.

    >>> derive({"corpus": ["google/MusicCaps"], "audio": ["facebook/musicgen-large"]})[0]
    'other'
    """
    known = {(kind, name): table()[kind].get(name) for kind, names in materials.items() for name in names}
    unknown = [" ".join(material) for material, facts in known.items() if facts is None]
    if unknown and stated == "derived":
        raise InputError(
            f"expected materials with a known licence, got {', '.join(unknown)}; "
            "say which licence applies with license=<identifier of the Hub>, or name runs in place of folders"
        )
    credits = list(dict.fromkeys(str(facts["credit"]) for facts in known.values() if facts is not None))
    if stated != "derived":
        return stated, credits
    binding = {str(facts["licence"]) for facts in known.values() if facts is not None and facts["binds"]}
    strict = binding - _FREE
    return next(iter(strict or binding)) if len(strict) <= 1 and binding else "other", credits
