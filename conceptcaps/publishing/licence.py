"""The licence of a dataset, derived from what it was made of."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

TABLE = Path(__file__).with_name("licences.yaml")
_FREE = {"cc-by-4.0"}
_FILES = (".csv", ".parquet", ".json", ".sf2", ".sf3")


@cache
def table() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """Materials by kind (``corpus``, ``base_model``, ``audio``): licence, whether it binds, whom to credit."""
    content: Mapping[str, Mapping[str, Mapping[str, Any]]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return content


def materials(params: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """What a dataset was made of, by kind, from the parameters of its stages; those that did not run are left out.

    A corpus is named by its Hub id or its file, a soundfont by its file, a model by its Hub id without revision.

    Args:
        params: Parameters by stage.

    >>> materials({"distill_tags": {"corpus": "google/MusicCaps@main"}, "write_captions": {}})
    {'corpus': 'google/MusicCaps'}
    """
    found = {}
    if "distill_tags" in params:
        found["corpus"] = params["distill_tags"]["corpus"]
    if "finetune_captioner" in params:
        found["base_model"] = params["finetune_captioner"]["base_model"]
    if "generate_audio" in params:
        sound = params["generate_audio"]
        found["audio"] = sound["soundfont" if sound["backend"] == "soundfont" else "model"]
    plain = {kind: name.split("@")[0] for kind, name in found.items()}
    return {kind: Path(name).name if name.endswith(_FILES) else name for kind, name in plain.items()}


def derive(materials: Mapping[str, str], *, stated: str = "derived") -> tuple[str, list[str]]:
    """Licence (the Hub's identifier) and the list of credits.

    Where one material binds, its licence is the dataset's; where several bind with different licences, none satisfies
    all and ``other`` is stated. Attribution alone gives way to any other.

    Args:
        materials: Name by kind, such as ``{"corpus": "demo", "base_model": "smollm2", "audio": "embedded"}``.
        stated: A licence that the publisher states; it stands for materials that are not in the table.

    Raises:
        ValueError: If a material is not in the table and no licence is stated.

    >>> derive({"corpus": "google/MusicCaps", "audio": "facebook/musicgen-large"})[0]
    'other'
    """
    known = {kind: table()[kind].get(name) for kind, name in materials.items()}
    unknown = [f"{kind} {materials[kind]}" for kind, facts in known.items() if facts is None]
    if unknown and stated == "derived":
        raise ValueError(
            f"expected materials with a known licence, got {', '.join(unknown)}; "
            "say which licence follows with license=<identifier of the Hub>"
        )
    credits = [str(facts["credit"]) for facts in known.values() if facts is not None]
    if stated != "derived":
        return stated, credits
    binding = {str(facts["licence"]) for facts in known.values() if facts is not None and facts["binds"]}
    strict = binding - _FREE
    return next(iter(strict or binding)) if len(strict) <= 1 and binding else "other", credits
