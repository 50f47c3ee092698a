"""Seconds of one whole TCAV experiment: 20 concepts, all 50 outputs of musicnn, 3 layers, 100 random sets, 400 clips.

The clips are noise and their tags are drawn: what is timed does not depend on what is found.
"""

import io
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from conceptcaps.probing import experiment, networks
from conceptcaps.probing.clips import Clips
from conceptcaps.tags.taxonomy import Taxonomy

_CLIPS, _SECONDS, _CONCEPTS, _RATE = 400, 8, 20, 16_000
_SHARE = 0.15  # of the clips that have a tag


def clips(folder: Path, *, outputs: tuple[str, ...], taxonomy: Taxonomy) -> tuple[Clips, list[str]]:
    """Clips of noise, and the names of the concepts that are drawn for them."""
    generator = np.random.default_rng(0)
    words = sorted({tag for output in outputs for tag in networks.meaning(output, taxonomy=taxonomy)})
    concepts = sorted(generator.choice([tag for tag in taxonomy.tags if tag not in words], _CONCEPTS, replace=False))
    rows = []
    for number in range(_CLIPS):
        sound = io.BytesIO()
        soundfile.write(sound, 0.1 * generator.normal(size=_SECONDS * _RATE), _RATE, format="FLAC")
        Path(folder, f"{number}.flac").write_bytes(sound.getvalue())
        tags = [tag for tag in [*words, *concepts] if generator.random() < _SHARE]
        rows.append({"id": f"{number}.flac", "present": tags, "group": str(number)})
    return Clips(folder, pd.DataFrame(rows), {}), [str(name) for name in concepts]


def main() -> None:
    taxonomy, probe = Taxonomy.load(), networks.of_musicnn("musicnn_mtt")
    targets = int(sys.argv[1]) if len(sys.argv) > 1 else len(probe.outputs)
    with tempfile.TemporaryDirectory() as folder:
        made, names = clips(Path(folder), outputs=probe.outputs, taxonomy=taxonomy)
        started, used = time.perf_counter(), time.process_time()
        found = experiment.run(
            probe, made, None, names=names, targets=",".join(probe.outputs[:targets]), most_targets=50,
            layers=probe.layers, intervened=None, interpretable=None, taxonomy=taxonomy, random_sets=100, seed=0,
        )  # fmt: skip
        seconds, used = time.perf_counter() - started, time.process_time() - used
        print(
            f"tcav: {len(found.scores):,} cells in {seconds:.0f} s, {used:.0f} s of them on a core's clock (goal: 300)"
        )


if __name__ == "__main__":
    main()
