"""Tag sets in equal shares: each holds exactly one of several tags, as clips for a classifier have to."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from conceptcaps.errors import InputError
from conceptcaps.tags import sampling
from conceptcaps.tags.sampling import Samples
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.tags.vae import BetaVAE


def conditions(tags: Sequence[str], *, taxonomy: Taxonomy) -> dict[str, list[str]]:
    """For each tag the condition that a set holds it and none of the others, but for those that it implies.

    >>> conditions(["rock", "metal", "jazz"], taxonomy=Taxonomy.load())["metal"]
    ['metal', '-jazz']

    Raises:
        InputError: If a tag is unknown or stands twice.
    """
    names = [taxonomy.resolve(tag) for tag in tags]
    if len(set(names)) < len(names):
        raise InputError(f"expected different tags to draw one of, got {', '.join(names)}")
    implied = {name: taxonomy.ancestors(name) for name in names}
    return {name: [name, *(f"-{one}" for one in names if one not in (name, *implied[name]))] for name in names}


def sample(model: BetaVAE, tags: Sequence[str], *, count: int, condition: Sequence[str], **dials: Any) -> Samples:
    """Draw tag sets of which each holds exactly one of ``tags``, in the order of the tags.

    Args:
        model: Trained VAE.
        tags: One of these is in every set; each gets an equal share, the first ones one more where it does not divide.
        count: Sets to draw.
        condition: What all sets hold or do not hold besides.
        dials: Those of ``sampling.sample``.

    Returns:
        The sets of all tags. A tag of which too few are found has fewer, and ``reason`` names it.

    Raises:
        InputError: If a tag is unknown or stands twice, or none has a set.
    """
    parts: list[Samples] = []
    reasons: list[str] = []
    for place, (tag, wanted) in enumerate(conditions(tags, taxonomy=model.taxonomy).items()):
        share = (count + len(tags) - 1 - place) // len(tags)
        if not share:
            continue
        try:
            parts.append(sampling.sample(model, count=share, condition=[*wanted, *condition], **dials))
        except InputError as error:
            reasons.append(f"{tag}: {error}")
        else:
            reasons += [f"{tag}: {parts[-1].reason}"] if parts[-1].reason else []
    if not parts:
        raise InputError("; ".join(reasons))
    draws = np.array([part.draws for part in parts])
    return Samples(
        rows=np.concatenate([part.rows for part in parts]),
        reason="; ".join(reasons),
        draws=int(draws.sum()),
        effective=float(sum(part.effective for part in parts)),
        left_out=float(np.average([part.left_out for part in parts], weights=draws)),
        frequencies=np.mean([part.frequencies for part in parts], axis=0),
        kept=np.mean([part.kept for part in parts], axis=0),
    )
