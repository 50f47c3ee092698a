"""Tag sets unlike those of other samples, so that what tests one model has trained none that it is compared with."""

from pathlib import Path

import numpy as np
import pandas as pd

from conceptcaps.errors import InputError
from conceptcaps.tags import splits
from conceptcaps.tags.sampling import Samples
from conceptcaps.tags.taxonomy import Taxonomy


def leave_out(found: Samples, others: Path | None, *, taxonomy: Taxonomy) -> Samples:
    """Drawn sets without those that are equal or nearly so to a set of other samples, whatever its split.

    Args:
        found: Sets that were drawn.
        others: Folder with ``samples.parquet``; None leaves all in.
        taxonomy: Of the sets; the others may have tags that it lacks.

    Returns:
        The sets that are left, in order; ``reason`` counts the others.

    Raises:
        InputError: If none is left.
    """
    if others is None:
        return found
    rows = pd.read_parquet(others / "samples.parquet", columns=["tags"])["tags"]
    known = [[tag for tag in tags if tag in taxonomy.tags] for tags in rows]
    pairs = splits.near_equal(np.concatenate([labels := taxonomy.encode(known), found.rows]))
    first, second = pairs[:, 0], pairs[:, 1]
    like = np.unique(second[(first < len(labels)) & (second >= len(labels))] - len(labels))
    if len(like) == len(found.rows):
        raise InputError(f"expected sets unlike those of {others}, got {len(like)} that are all like one: draw more")
    told = [f"{len(like)} are like sets of the other samples"] if len(like) else []
    return found._replace(
        rows=np.delete(found.rows, like, axis=0), reason="; ".join([*filter(None, [found.reason]), *told])
    )
